//! The seam to the chain, in two halves so that a plugin that only reads can't submit.

use super::{
    AccountInfo, ChainError, ChainMessage, EpochAnchor, EpochReport, HealOp, HealOpStatus, NodeSuspicion,
    Params, ReporterReliability, Supernode, Ticket, TicketDeterioration, TxReceipt,
};
use crate::{Account, EpochId};
use lampkeeper_api_macros::seam;
use serde::{Deserialize, Serialize};

/// The most records that one page may hold.
pub const PAGE_LIMIT_MAX: u32 = 1000;

/// Which part of a list is wanted. The first page has no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The `next_key` of the page before.
    pub key: Option<Vec<u8>>,
    /// At most this many records, 1 to [`PAGE_LIMIT_MAX`].
    pub limit: u32,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { key: None, limit: 100 }
    }
}

impl PageRequest {
    /// The page after this one, if there is one.
    #[must_use]
    pub fn after<T>(&self, page: &Page<T>) -> Option<Self> {
        page.next_key.clone().map(|key| Self { key: Some(key), limit: self.limit })
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The records, in the chain's order.
    pub items: Vec<T>,
    /// Where the next page starts; `None` at the end.
    pub next_key: Option<Vec<u8>>,
}

/// What the chain says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainStatus {
    /// The network.
    pub chain_id: String,
    /// The last committed block.
    pub latest_height: i64,
    /// That block's time, in milliseconds since 1970.
    pub latest_block_time_ms: i64,
}

/// The epoch of the last committed block (chain 9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochInfo {
    /// The epoch.
    pub epoch_id: EpochId,
    /// Its first block.
    pub epoch_start_height: i64,
    /// Its last block.
    pub epoch_end_height: i64,
}

/// Whom an account has to challenge (chain 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedTargets {
    /// The epoch.
    pub epoch_id: EpochId,
    /// Its first block.
    pub epoch_start_height: i64,
    /// The ports to probe, in the order in which their states are reported.
    pub required_open_ports: Vec<u32>,
    /// The targets; empty for an account that is not a prober.
    pub target_supernode_accounts: Vec<Account>,
}

/// Everything that a node reads from the chain.
///
/// Called by every service, on its own task, from many at once; an implementer does its own caching and must not
/// block. Answers describe the last committed block. No method waits for a future block. Every error is a
/// [`ChainError`] whose kind says what the caller may do; an implementer never lets a caller look at a text.
#[seam("chain:read")]
pub trait ChainReader: Send + Sync {
    /// The network and its last block.
    async fn status(&self) -> Result<ChainStatus, ChainError>;
    /// The parameters, defaults applied (chain 2).
    async fn params(&self) -> Result<Params, ChainError>;
    /// The epoch of the last committed block.
    async fn current_epoch(&self) -> Result<EpochInfo, ChainError>;
    /// The anchor of an epoch that has begun; `NotFound` for others.
    async fn epoch_anchor(&self, epoch_id: EpochId) -> Result<EpochAnchor, ChainError>;
    /// Whom `account` challenges in `epoch_id`; `NotFound` for an unregistered account or a missing anchor.
    async fn assigned_targets(&self, account: &str, epoch_id: EpochId)
    -> Result<AssignedTargets, ChainError>;
    /// The report of `account` for `epoch_id`; `NotFound` if there is none.
    async fn epoch_report(&self, account: &str, epoch_id: EpochId) -> Result<EpochReport, ChainError>;
    /// One heal operation.
    async fn heal_op(&self, heal_op_id: u64) -> Result<HealOp, ChainError>;
    /// The heal operations in a status, by ascending id.
    async fn heal_ops_by_status(
        &self,
        status: HealOpStatus,
        page: PageRequest,
    ) -> Result<Page<HealOp>, ChainError>;
    /// The heal operations of a ticket, by ascending id; none for an unknown ticket.
    async fn heal_ops_by_ticket(
        &self,
        ticket_id: &str,
        page: PageRequest,
    ) -> Result<Page<HealOp>, ChainError>;
    /// One ticket.
    async fn ticket(&self, ticket_id: &str) -> Result<Ticket, ChainError>;
    /// The tickets that `account` finalised.
    async fn tickets_of_supernode(
        &self,
        account: &str,
        page: PageRequest,
    ) -> Result<Page<Ticket>, ChainError>;
    /// All tickets, by ascending number.
    async fn tickets(&self, page: PageRequest) -> Result<Page<Ticket>, ChainError>;
    /// The raw score of a ticket; `NotFound` if nothing was ever recorded.
    async fn ticket_deterioration(&self, ticket_id: &str) -> Result<TicketDeterioration, ChainError>;
    /// The raw score of a node; `NotFound` if nothing was ever recorded.
    async fn node_suspicion(&self, account: &str) -> Result<NodeSuspicion, ChainError>;
    /// The raw score of a reporter; `NotFound` if nothing was ever recorded.
    async fn reporter_reliability(&self, account: &str) -> Result<ReporterReliability, ChainError>;
    /// One supernode, by its account.
    async fn supernode(&self, account: &str) -> Result<Supernode, ChainError>;
    /// All supernodes in any state.
    async fn supernodes(&self, page: PageRequest) -> Result<Page<Supernode>, ChainError>;
    /// The supernodes that may finalise a ticket of this height, best first (chain 9.2); `limit` is at least 1.
    async fn top_supernodes(&self, height: i64, limit: u32) -> Result<Vec<Supernode>, ChainError>;
    /// What the auth module knows of an account.
    async fn account(&self, address: &str) -> Result<AccountInfo, ChainError>;
}

/// A chain client that signs for one account.
#[seam("chain:submit")]
pub trait ChainClient: ChainReader {
    /// The account that messages are signed for.
    #[seam(live)]
    fn account_address(&self) -> &str;

    /// Submits a message and waits until the chain has executed it.
    ///
    /// `Ok` means executed with code 0, never merely accepted by a mempool. `Transient` with `outcome_unknown` means
    /// that it may yet be executed: look at the chain's state before submitting again. Dropping the future does not
    /// take the message back.
    async fn submit(&self, message: ChainMessage) -> Result<TxReceipt, ChainError>;
}
