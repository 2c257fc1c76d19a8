//! `MsgSubmitStorageRecheckEvidence` (chain 8).

use crate::api::chain::{EnforcementMode, RecheckEvidenceMessage, StorageProofResult};
use crate::event::Event;
use crate::message::Response;
use crate::names;
use crate::protocol::words::{Bucket, ResultClass};
use crate::refusal::{Refusal, audit};
use crate::state::State;
use crate::state::transcripts::Transcript;

/// What a refuted result costs its reporter.
const OVERTURNED_DELTA: i64 = 25;
/// What a confirmed result earns its reporter.
const CONFIRMED_DELTA: i64 = -3;

impl State {
    pub(crate) fn submit_recheck(
        &mut self,
        message: &RecheckEvidenceMessage,
        creator: &str,
    ) -> Result<Response, Refusal> {
        self.recheck_is_well_formed(message, creator)?;
        let challenged = self.challenged_transcript(message, creator)?.clone();
        self.recheck_is_new(message, creator, &challenged)?;
        self.link_recheck(message, creator, &challenged);
        let key = (message.ticket_id.clone(), creator.to_owned());
        self.audit.recheck_submissions.entry(message.epoch_id).or_default().insert(key);
        self.score_recheck(message, creator);
        self.settle_original_reporter(message, &challenged);
        let event = Event::audit("storage_truth_recheck_evidence_submitted")
            .with("epoch_id", message.epoch_id)
            .with("reporter_supernode_account", creator)
            .with("target_supernode_account", &message.challenged_supernode_account)
            .with("ticket_id", &message.ticket_id)
            .with("recheck_result_class", names::result_class(message.recheck_result_class));
        self.emit(event);
        Ok(Response::Empty)
    }

    /// Checks 1 to 10.
    fn recheck_is_well_formed(&self, message: &RecheckEvidenceMessage, creator: &str) -> Result<(), Refusal> {
        if creator.is_empty() {
            return Err(audit::INVALID_SIGNER.because("creator is required"));
        }
        let challenged = &message.challenged_supernode_account;
        let fields = [
            (challenged.is_empty(), "challenged_supernode_account is required"),
            (challenged == creator, "challenged_supernode_account must not equal creator"),
            (message.ticket_id.is_empty(), "ticket_id is required"),
            (
                message.challenged_result_transcript_hash.is_empty(),
                "challenged_result_transcript_hash is required",
            ),
            (message.recheck_transcript_hash.is_empty(), "recheck_transcript_hash is required"),
        ];
        refuse_first(&fields)?;
        if !self.audit.anchors.contains_key(&message.epoch_id) {
            let words = format!("epoch anchor not found for epoch_id {}", message.epoch_id);
            return Err(audit::INVALID_EPOCH_ID.because(words));
        }
        if self.supernode.supernodes.by_account(creator).is_none() {
            return Err(audit::REPORTER_NOT_FOUND.because("creator is not a registered supernode"));
        }
        refuse_first(&[
            (
                self.supernode.supernodes.by_account(challenged).is_none(),
                "challenged_supernode_account is not a registered supernode",
            ),
            (
                matches!(
                    message.recheck_result_class,
                    ResultClass::Unspecified | ResultClass::NoEligibleTicket
                ),
                "recheck_result_class is invalid",
            ),
        ])
    }

    /// Checks 11 to 16: the transcript that is rechecked.
    fn challenged_transcript(
        &self,
        message: &RecheckEvidenceMessage,
        creator: &str,
    ) -> Result<&Transcript, Refusal> {
        let invalid = audit::INVALID_RECHECK_EVIDENCE;
        let Some(record) = self.audit.transcripts.get(&message.challenged_result_transcript_hash) else {
            return Err(invalid.because(
                "challenged_result_transcript_hash does not reference a submitted storage proof result",
            ));
        };
        if record.epoch_id != message.epoch_id {
            return Err(invalid.because(format!(
                "challenged result epoch {} does not match request epoch {}",
                record.epoch_id, message.epoch_id
            )));
        }
        refuse_first(&[
            (
                record.ticket_id != message.ticket_id,
                "challenged result ticket_id does not match request ticket_id",
            ),
            (
                record.target != message.challenged_supernode_account,
                "challenged result target does not match challenged_supernode_account",
            ),
            (record.reporter == creator, "creator must be independent from the challenged result reporter"),
            (!record.recheck_eligible, "challenged result class is not recheck-eligible"),
        ])?;
        Ok(record)
    }

    /// Checks 17 to 19.
    fn recheck_is_new(
        &self,
        message: &RecheckEvidenceMessage,
        creator: &str,
        challenged: &Transcript,
    ) -> Result<(), Refusal> {
        let invalid = audit::INVALID_RECHECK_EVIDENCE;
        let key = (message.ticket_id.clone(), creator.to_owned());
        if self.audit.recheck_submissions.get(&message.epoch_id).is_some_and(|keys| keys.contains(&key)) {
            return Err(invalid.because(format!(
                "recheck evidence already submitted for epoch {} ticket {:?} by {creator}",
                message.epoch_id, message.ticket_id
            )));
        }
        let (challenged_hash, recheck_hash) =
            (&message.challenged_result_transcript_hash, &message.recheck_transcript_hash);
        let linked = &challenged.recheck_transcript_hash;
        if !linked.is_empty() && linked != recheck_hash {
            return Err(invalid.because(format!(
                "challenged transcript {challenged_hash:?} already linked to recheck transcript {linked:?}"
            )));
        }
        let is_foreign = self.audit.transcripts.get(recheck_hash).is_some_and(|record| {
            record.challenged_transcript_hash != *challenged_hash || record.reporter != creator
        });
        if is_foreign {
            return Err(invalid.because(format!(
                "recheck transcript hash {recheck_hash:?} already recorded for a different challenged transcript or \
                 reporter"
            )));
        }
        Ok(())
    }

    /// Effect 1.
    fn link_recheck(&mut self, message: &RecheckEvidenceMessage, creator: &str, challenged: &Transcript) {
        let recheck_hash = &message.recheck_transcript_hash;
        self.audit.transcripts.update(&challenged.transcript_hash, |record| {
            record.recheck_transcript_hash.clone_from(recheck_hash);
        });
        self.audit.transcripts.insert(Transcript {
            transcript_hash: recheck_hash.clone(),
            epoch_id: challenged.epoch_id,
            reporter: creator.to_owned(),
            target: challenged.target.clone(),
            ticket_id: challenged.ticket_id.clone(),
            result_class: message.recheck_result_class,
            bucket: Bucket::Recheck,
            artifact_class: challenged.artifact_class,
            artifact_key: challenged.artifact_key.clone(),
            artifact_ordinal: challenged.artifact_ordinal,
            artifact_count: challenged.artifact_count,
            challenged_transcript_hash: challenged.transcript_hash.clone(),
            ..Transcript::default()
        });
    }

    /// Effect 3: at the current epoch, with base deltas only.
    fn score_recheck(&mut self, message: &RecheckEvidenceMessage, creator: &str) {
        if self.params().storage_truth_enforcement_mode == EnforcementMode::Unspecified {
            return;
        }
        let result = StorageProofResult {
            target_supernode_account: message.challenged_supernode_account.clone(),
            ticket_id: message.ticket_id.clone(),
            bucket_type: Bucket::Recheck,
            result_class: message.recheck_result_class,
            ..StorageProofResult::default()
        };
        let epoch_id = self.current_epoch();
        self.score_result(creator, &result, epoch_id);
    }

    /// Effects 4 and 5: in every mode.
    fn settle_original_reporter(&mut self, message: &RecheckEvidenceMessage, challenged: &Transcript) {
        let (epoch_id, params) = (self.current_epoch(), self.params());
        let overturned = match message.recheck_result_class {
            ResultClass::Pass => true,
            ResultClass::RecheckConfirmedFail => false,
            _ => return,
        };
        if overturned {
            self.apply_reporter(&challenged.reporter, OVERTURNED_DELTA, 1, epoch_id, &params);
            let event = Event::audit("storage_truth_score_updated")
                .with("epoch_id", epoch_id)
                .with("contradicted_reporter", &challenged.reporter)
                .with("recheck_result_class", names::result_class(message.recheck_result_class));
            self.emit(event);
        } else {
            self.apply_reporter(&challenged.reporter, CONFIRMED_DELTA, 0, epoch_id, &params);
        }
        self.audit.reporter_results.update(
            &challenged.reporter,
            challenged.epoch_id,
            &challenged.ticket_id,
            &challenged.target,
            |fact| {
                fact.overturned = overturned;
                fact.confirmed = !overturned;
            },
        );
        self.audit.transcripts.update(&challenged.transcript_hash, |record| {
            if overturned {
                record.contradicted_by_recheck = true;
            } else {
                record.confirmed_by_recheck = true;
            }
        });
    }
}

fn refuse_first(checks: &[(bool, &str)]) -> Result<(), Refusal> {
    match checks.iter().find(|(fails, _)| *fails) {
        Some((_, words)) => Err(audit::INVALID_RECHECK_EVIDENCE.because(*words)),
        None => Ok(()),
    }
}
