//! A node's chain client.

use super::{Role, Watched};
use lampkeeper_api::EpochId;
use lampkeeper_api::chain::{
    AccountInfo, AssignedTargets, ChainClient, ChainError, ChainMessage, ChainReader, ChainStatus,
    EpochAnchor, EpochInfo, EpochReport, HealOp, HealOpStatus, NodeSuspicion, Page, PageRequest, Params,
    ReporterReliability, Supernode, Ticket, TicketDeterioration, TxReceipt,
};
use lampkeeper_chain_sim::chain::SimChainClient;
use lampkeeper_plugin_sdk::async_trait;

/// The hash that liars claim: 32 bytes, and nobody's.
const WRONG_HASH: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A chain client that records submissions.
pub struct WatchedChain {
    /// The client behind it.
    pub inner: SimChainClient,
    /// Whose it is.
    pub watched: Watched,
}

impl WatchedChain {
    /// The message as this node sends it; `None` if it does not.
    fn told(&self, message: ChainMessage) -> Option<ChainMessage> {
        match (self.watched.role, message) {
            (Role::ClaimsWrongHash, ChainMessage::HealClaim(mut claim)) => {
                WRONG_HASH.clone_into(&mut claim.heal_manifest_hash);
                Some(ChainMessage::HealClaim(claim))
            }
            (Role::NeverVotes, ChainMessage::HealVerification(_)) => None,
            (Role::VotesNo, ChainMessage::HealVerification(mut vote)) => {
                vote.verified = false;
                WRONG_HASH.clone_into(&mut vote.verification_hash);
                Some(ChainMessage::HealVerification(vote))
            }
            (_, message) => Some(message),
        }
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
                attempted: "voting".to_owned(),
                source: "this node keeps silent".to_owned(),
                outcome_unknown: false,
            });
        };
        let Watched { name, account, ledger, .. } = &self.watched;
        ledger.submitting(name, account, &message);
        let outcome = self.inner.submit(message.clone()).await;
        match &outcome {
            Ok(_) => ledger.executed(account, &message),
            Err(error) => ledger.note(|| format!("{name} is told: {error}")),
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
        self.inner.epoch_report(account, epoch_id).await
    }

    async fn heal_op(&self, heal_op_id: u64) -> Result<HealOp, ChainError> {
        self.inner.heal_op(heal_op_id).await
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
