//! `MsgFinalizeAction` (chain Appendix C).

use super::{CASCADE_NAME, commitment, is_cascade, parse_metadata};
use crate::address;
use crate::api::chain::{SupernodeState, TicketState};
use crate::event::Event;
use crate::message::{FinalizeAction, Response};
use crate::names;
use crate::protocol::cascade::id_files::IdFileSeries;
use crate::refusal::{Refusal, action, audit};
use crate::state::State;
use crate::state::actions::{Action, CascadeMetadata};
use crate::state::bank::ACTION_MODULE;
use crate::state::evidence::EvidenceType;
use crate::state::tickets::ArtifactCounts;

/// How many supernodes may finalise an action.
pub(super) const FINALIZERS_MAX: usize = 10;

impl State {
    pub(crate) fn finalize_action(
        &mut self,
        message: &FinalizeAction,
        creator: &str,
    ) -> Result<Response, Refusal> {
        is_cascade(&message.action_type)?;
        let mut given =
            parse_metadata(&message.metadata).map_err(|words| action::INVALID_METADATA.because(words))?;
        if given.rq_ids_ids.is_empty() {
            let words = "rq_ids_ids field is required for cascade metadata";
            return Err(action::INVALID_METADATA.because(words));
        }
        let waiting = self.finalizable(&message.action_id, creator)?.clone();
        let top = self.top_finalizers(waiting.block_height);
        if !top.iter().any(|(_, account)| account == creator) {
            let reason =
                format!("supernode {creator} is not in the top {FINALIZERS_MAX} supernodes for the action");
            let kind = EvidenceType::ActionFinalizationNotInTop10;
            return self.reject_finalizer(&waiting, creator, &top, kind, &reason);
        }
        if let Err(words) = ids_match(&given.rq_ids_ids, &waiting.metadata) {
            let reason = format!("cascade finalization rejected: rq_ids_ids verification failed: {words}");
            let kind = EvidenceType::ActionFinalizationSignatureFailure;
            return self.reject_finalizer(&waiting, creator, &top, kind, &reason);
        }
        if let Some(committed) = &waiting.metadata.availability_commitment {
            // Only some codes survive the module's wrapping; the codes of proofs don't.
            commitment::check_proofs(committed, &given.chunk_proofs)
                .map_err(|inner| action::INVALID_STATE.because(inner.to_string()))?;
        }
        let fallback = u32::try_from(given.rq_ids_ids.len()).unwrap_or(u32::MAX);
        for count in [&mut given.index_artifact_count, &mut given.symbol_artifact_count] {
            *count = if *count == 0 { fallback } else { *count };
        }
        let counts =
            ArtifactCounts { index: given.index_artifact_count, symbol: given.symbol_artifact_count };
        self.anchor_artifact_counts(&waiting.action_id, counts)
            .map_err(|inner| action::INVALID_METADATA.because(inner.to_string()))?;
        self.complete(waiting, given, creator);
        Ok(Response::Empty)
    }

    /// Steps 2 to 4.
    fn finalizable(&self, action_id: &str, creator: &str) -> Result<&Action, Refusal> {
        let Some(waiting) = self.action.actions.get(action_id) else {
            return Err(action::INVALID_STATE.because(format!("action {action_id} not found: not found")));
        };
        if !matches!(waiting.state, TicketState::Pending | TicketState::Processing) {
            return Err(action::INVALID_STATE.because(format!(
                "action {action_id} cannot be finalized: current state {} is not one of pending or processing",
                names::action_state(waiting.state)
            )));
        }
        if waiting.supernodes.iter().any(|account| account == creator) {
            let words = format!("supernode {creator} has already finalized action {action_id}");
            return Err(action::UNAUTHORIZED_SUPERNODE.because(words));
        }
        Ok(waiting)
    }

    /// Operators and accounts that may finalise an action of this height.
    pub(super) fn top_finalizers(&self, height: i64) -> Vec<(String, String)> {
        let nodes = self.top_supernodes(height, FINALIZERS_MAX, Some(SupernodeState::Active));
        nodes
            .into_iter()
            .map(|node| (node.validator_address.clone(), node.supernode_account.clone()))
            .collect()
    }

    /// The transaction succeeds; what remains is evidence and an event.
    fn reject_finalizer(
        &mut self,
        waiting: &Action,
        creator: &str,
        top: &[(String, String)],
        kind: EvidenceType,
        reason: &str,
    ) -> Result<Response, Refusal> {
        let metadata = top_ten_metadata(top);
        let reporter = address::module_account(ACTION_MODULE);
        let evidence = self.create_evidence(&reporter, creator, &waiting.action_id, kind, &metadata);
        let mut event = Event::new("action_finalization_rejected")
            .with("action_id", &waiting.action_id)
            .with("creator", &waiting.creator)
            .with("finalizer", creator)
            .with("action_type", CASCADE_NAME)
            .with("error", reason);
        // A finalizer that is no address can't be a subject; the chain logs that and goes on.
        if let Ok(evidence_id) = evidence {
            event = event.with("evidence_id", evidence_id);
        }
        self.emit(event);
        Ok(Response::Empty)
    }

    /// Anchors the artifact counts of a ticket (chain A.2).
    ///
    /// # Errors
    /// A count is 0, or differs from the anchored one.
    pub fn anchor_artifact_counts(&mut self, ticket_id: &str, counts: ArtifactCounts) -> Result<(), Refusal> {
        if counts.index == 0 || counts.symbol == 0 {
            let words = format!("artifact counts of ticket {ticket_id:?} must be > 0");
            return Err(audit::INVALID_STORAGE_PROOFS.because(words));
        }
        let stored = self.audit.artifact_counts.get(ticket_id).copied().unwrap_or_default();
        for (stored, given) in [(stored.index, counts.index), (stored.symbol, counts.symbol)] {
            if stored != 0 && stored != given {
                return Err(audit::INVALID_STORAGE_PROOFS.because(format!(
                    "ticket {ticket_id:?} artifact count is immutable: stored {stored}, got {given}"
                )));
            }
        }
        self.audit.artifact_counts.insert(ticket_id.to_owned(), counts);
        Ok(())
    }

    /// Step 8.
    fn complete(&mut self, waiting: Action, given: CascadeMetadata, creator: &str) {
        let has_proofs = waiting
            .metadata
            .availability_commitment
            .as_ref()
            .is_some_and(|it| !it.challenge_indices.is_empty());
        if has_proofs {
            let event = Event::new("svc_verification_passed")
                .with("action_id", &waiting.action_id)
                .with("supernodes", creator);
            self.emit(event);
        }
        let mut done = waiting;
        done.state = TicketState::Done;
        done.supernodes.push(creator.to_owned());
        done.metadata.rq_ids_ids = given.rq_ids_ids;
        done.metadata.chunk_proofs = given.chunk_proofs;
        done.metadata.index_artifact_count = given.index_artifact_count;
        done.metadata.symbol_artifact_count = given.symbol_artifact_count;
        let event = Event::new("action_finalized")
            .with("action_id", &done.action_id)
            .with("creator", &done.creator)
            .with("action_type", CASCADE_NAME)
            .with("supernodes", done.supernodes.join(","));
        self.action.actions.insert(done.clone());
        self.emit(event);
        self.distribute_fees(&done);
    }
}

/// The JSON of the evidence metadata that the action module writes.
pub(super) fn top_ten_metadata(top: &[(String, String)]) -> String {
    let operators: Vec<&str> = top.iter().map(|(operator, _)| operator.as_str()).collect();
    serde_json::json!({ "top_10_validator_addresses": operators }).to_string()
}

/// Whether the ids are those of the index id files (chain Appendix C, FinalizeAction 6). All of them are checked; the
/// reference checks one that it draws.
fn ids_match(ids: &[String], registered: &CascadeMetadata) -> Result<(), String> {
    if ids.len() as u64 != registered.rq_ids_max {
        return Err(format!("expected {} ids, got {}", registered.rq_ids_max, ids.len()));
    }
    if let Some(position) = ids.iter().position(String::is_empty) {
        return Err(format!("id {position} is empty"));
    }
    let count = u32::try_from(ids.len()).map_err(|_| "too many ids".to_owned())?;
    let expected = IdFileSeries::new(&registered.signatures, registered.rq_ids_ic, count)
        .and_then(|series| series.keys())
        .map_err(|error| error.to_string())?;
    for (position, (id, key)) in ids.iter().zip(expected).enumerate() {
        if *id != key.to_string() {
            return Err(format!("id {position} is {id}, expected {key}"));
        }
    }
    Ok(())
}
