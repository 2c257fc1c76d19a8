//! A node's chain client: what it submits, what it is told, and what a liar makes of it.

use super::{HealingLie, VotingLie, Watched};
use crate::sim::defect::Defect;
use lampkeeper_api::EpochId;
use lampkeeper_api::chain::{
    AccountInfo, AssignedTargets, ChainClient, ChainError, ChainMessage, ChainReader, ChainStatus,
    EpochAnchor, EpochInfo, EpochReport, HealOp, HealOpStatus, NodeSuspicion, Page, PageRequest, Params,
    ReporterReliability, Supernode, Ticket, TicketDeterioration, TxReceipt,
};
use lampkeeper_chain_sim::chain::SimChainClient;
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_protocol::words::ResultClass;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The hash that liars claim: 32 bytes, and nobody's.
const WRONG_HASH: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/// Blocks that may be made between a node's question and what it submits after it.
const ASKED_WITHIN_BLOCKS: i64 = 5;

/// A chain client that records submissions.
pub struct WatchedChain {
    /// The client behind it.
    pub inner: SimChainClient,
    /// Whose it is.
    pub watched: Watched,
    /// Operations that a node which believes silence takes to be gone.
    pub believed_gone: Mutex<BTreeSet<u64>>,
}

impl WatchedChain {
    /// The message as this node sends it; `None` if it does not.
    fn told(&self, message: ChainMessage) -> Option<ChainMessage> {
        let lies = |kind| self.watched.ledger.fault(kind);
        let role = self.watched.role;
        match message {
            ChainMessage::HealClaim(mut claim) if role.healing == Some(HealingLie::ClaimsWrongHash) => {
                lies("wrong hashes claimed");
                WRONG_HASH.clone_into(&mut claim.heal_manifest_hash);
                Some(ChainMessage::HealClaim(claim))
            }
            ChainMessage::HealVerification(_) if role.voting == Some(VotingLie::NeverVotes) => {
                lies("votes withheld");
                None
            }
            ChainMessage::HealVerification(mut vote) if role.voting == Some(VotingLie::VotesNo) => {
                lies("false votes");
                vote.verified = false;
                WRONG_HASH.clone_into(&mut vote.verification_hash);
                Some(ChainMessage::HealVerification(vote))
            }
            message => self.spoilt(message),
        }
    }

    /// The message as a node with a defect sends it.
    fn spoilt(&self, message: ChainMessage) -> Option<ChainMessage> {
        let suffers = |defect| self.watched.suffers(defect);
        match message {
            ChainMessage::HealClaim(_) if suffers(Defect::NeverClaims) => None,
            ChainMessage::EpochReport(_) if suffers(Defect::NeverReports) => None,
            ChainMessage::HealClaim(mut claim) if suffers(Defect::AgreesToAnything) => {
                WRONG_HASH.clone_into(&mut claim.heal_manifest_hash);
                Some(ChainMessage::HealClaim(claim))
            }
            ChainMessage::HealVerification(mut vote) if suffers(Defect::AgreesToAnything) => {
                vote.verified = true;
                WRONG_HASH.clone_into(&mut vote.verification_hash);
                Some(ChainMessage::HealVerification(vote))
            }
            ChainMessage::HealVerification(mut vote) if suffers(Defect::VotesTheOpposite) => {
                vote.verified = !vote.verified;
                WRONG_HASH.clone_into(&mut vote.verification_hash);
                Some(ChainMessage::HealVerification(vote))
            }
            ChainMessage::EpochReport(mut report) if suffers(Defect::AccusesOthers) => {
                let rows = &mut report.storage_proof_results;
                let passed = rows.iter_mut().find(|row| row.result_class == ResultClass::Pass);
                passed.into_iter().for_each(|row| row.result_class = ResultClass::HashMismatch);
                Some(ChainMessage::EpochReport(report))
            }
            message => Some(message),
        }
    }

    /// Whether the chain shows that it has executed this message already, so that asking it would have told.
    fn is_shown(&self, message: &ChainMessage) -> bool {
        let account = &self.watched.account;
        self.inner.chain().read(|state| {
            let asked_at_height = state.height - ASKED_WITHIN_BLOCKS;
            match message {
                ChainMessage::EpochReport(report) => {
                    let report = state.audit.reports.get(report.epoch_id, account);
                    report.is_some_and(|report| report.report_height < asked_at_height)
                }
                ChainMessage::HealClaim(claim) => {
                    state.audit.heal_ops.get(claim.heal_op_id).is_some_and(|op| {
                        op.status != HealOpStatus::Scheduled
                            && op.updated_height.cast_signed() < asked_at_height
                    })
                }
                _ => false,
            }
        })
    }

    async fn submit_watched(&self, message: ChainMessage) -> Result<TxReceipt, ChainError> {
        let Watched { name, account, ledger, .. } = &self.watched;
        if self.watched.chain_is_reliable && self.is_shown(&message) {
            let details = format!("submits a {} that the chain shows already", message.kind());
            ledger.violate("asked-first", name, details);
        }
        let submitting = ledger.submitting(name, account, &message);
        let outcome = self.inner.submit(message).await;
        submitting.end(outcome.as_ref().err());
        if let Err(error) = &outcome {
            ledger.note(|| format!("{name} is told: {error}"));
            ledger.fault(match error {
                ChainError::Transient { outcome_unknown: true, .. } => "submissions of unknown outcome",
                ChainError::Transient { .. } | ChainError::Unavailable { .. } => "submissions that failed",
                ChainError::Rejected(_) => "submissions refused",
                _ => "submissions that failed otherwise",
            });
        }
        outcome
    }

    /// What the node makes of an operation that it was told, or was not.
    fn taken_in(&self, answer: Result<HealOp, ChainError>, heal_op_id: u64) -> Result<HealOp, ChainError> {
        let is_silence = matches!(&answer, Err(error) if error.is_transient());
        if self.watched.suffers(Defect::BelievesSilence) {
            let mut believed_gone = self.believed_gone.lock().unwrap_or_else(PoisonError::into_inner);
            if is_silence {
                believed_gone.insert(heal_op_id);
            }
            if believed_gone.contains(&heal_op_id) {
                return Err(ChainError::NotFound { what: format!("heal operation {heal_op_id}") });
            }
        }
        let mut heal_op = answer?;
        if self.watched.suffers(Defect::PublishesEarly) && heal_op.status == HealOpStatus::HealerReported {
            heal_op.status = HealOpStatus::Verified;
        }
        Ok(heal_op)
    }
}

#[async_trait]
impl ChainClient for WatchedChain {
    fn account_address(&self) -> &str {
        self.inner.account_address()
    }

    async fn submit(&self, message: ChainMessage) -> Result<TxReceipt, ChainError> {
        let Some(message) = self.told(message) else {
            return Err(ChainError::Transient {
                attempted: "submitting".to_owned(),
                source: "this node keeps silent".to_owned(),
                outcome_unknown: false,
            });
        };
        let outcome = self.submit_watched(message.clone()).await;
        if outcome.is_ok() && self.watched.suffers(Defect::SubmitsTwice) {
            return self.submit_watched(message).await;
        }
        outcome
    }
}

#[async_trait]
impl ChainReader for WatchedChain {
    async fn status(&self) -> Result<ChainStatus, ChainError> {
        self.inner.status().await
    }

    async fn params(&self) -> Result<Params, ChainError> {
        assert!(!self.watched.suffers(Defect::Panics), "a defect that was asked for");
        self.inner.params().await
    }

    async fn current_epoch(&self) -> Result<EpochInfo, ChainError> {
        self.inner.current_epoch().await
    }

    async fn epoch_anchor(&self, epoch_id: EpochId) -> Result<EpochAnchor, ChainError> {
        self.inner.epoch_anchor(epoch_id).await
    }

    async fn assigned_targets(
        &self,
        account: &str,
        epoch_id: EpochId,
    ) -> Result<AssignedTargets, ChainError> {
        self.inner.assigned_targets(account, epoch_id).await
    }

    async fn epoch_report(&self, account: &str, epoch_id: EpochId) -> Result<EpochReport, ChainError> {
        if self.watched.suffers(Defect::NeverAsks) {
            return Err(ChainError::NotFound { what: format!("report of epoch {epoch_id}") });
        }
        self.inner.epoch_report(account, epoch_id).await
    }

    async fn heal_op(&self, heal_op_id: u64) -> Result<HealOp, ChainError> {
        self.taken_in(self.inner.heal_op(heal_op_id).await, heal_op_id)
    }

    async fn heal_ops_by_status(
        &self,
        status: HealOpStatus,
        page: PageRequest,
    ) -> Result<Page<HealOp>, ChainError> {
        self.inner.heal_ops_by_status(status, page).await
    }

    async fn heal_ops_by_ticket(
        &self,
        ticket_id: &str,
        page: PageRequest,
    ) -> Result<Page<HealOp>, ChainError> {
        self.inner.heal_ops_by_ticket(ticket_id, page).await
    }

    async fn ticket(&self, ticket_id: &str) -> Result<Ticket, ChainError> {
        assert!(!self.watched.suffers(Defect::PanicsInTasks), "a defect that was asked for");
        self.inner.ticket(ticket_id).await
    }

    async fn tickets_of_supernode(
        &self,
        account: &str,
        page: PageRequest,
    ) -> Result<Page<Ticket>, ChainError> {
        self.inner.tickets_of_supernode(account, page).await
    }

    async fn tickets(&self, page: PageRequest) -> Result<Page<Ticket>, ChainError> {
        self.inner.tickets(page).await
    }

    async fn ticket_deterioration(&self, ticket_id: &str) -> Result<TicketDeterioration, ChainError> {
        self.inner.ticket_deterioration(ticket_id).await
    }

    async fn node_suspicion(&self, account: &str) -> Result<NodeSuspicion, ChainError> {
        self.inner.node_suspicion(account).await
    }

    async fn reporter_reliability(&self, account: &str) -> Result<ReporterReliability, ChainError> {
        self.inner.reporter_reliability(account).await
    }

    async fn supernode(&self, account: &str) -> Result<Supernode, ChainError> {
        self.inner.supernode(account).await
    }

    async fn supernodes(&self, page: PageRequest) -> Result<Page<Supernode>, ChainError> {
        self.inner.supernodes(page).await
    }

    async fn top_supernodes(&self, height: i64, limit: u32) -> Result<Vec<Supernode>, ChainError> {
        self.inner.top_supernodes(height, limit).await
    }

    async fn account(&self, address: &str) -> Result<AccountInfo, ChainError> {
        self.inner.account(address).await
    }
}
