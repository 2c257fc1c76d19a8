//! Questions to the chain, each with a time limit.

use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, ChainError, ChainStatus, EpochInfo, HealOp, HealOpStatus, PageRequest, Params, Supernode,
    Ticket,
};
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, within};
use std::sync::Arc;
use std::time::Duration;

/// Records of a page (wire 5.1).
const PAGE_LIMIT: u32 = 100;
/// The most pages that are read of one list (wire 5.1).
const PAGES_MAX: usize = 100;

/// The chain, asked with a time limit. Running out of time is a transient error (wire 10.2).
#[derive(Clone)]
pub(crate) struct TimedChain {
    pub(crate) client: Arc<dyn ChainClient>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) timeout: Duration,
}

/// Heal operations, and whether there are more than were read.
pub(crate) struct HealOpList {
    pub(crate) operations: Vec<HealOp>,
    pub(crate) truncated: bool,
}

impl TimedChain {
    async fn ask<T>(
        &self,
        what: &str,
        question: impl Future<Output = Result<T, ChainError>> + Send,
    ) -> Result<T, ChainError> {
        match within(&*self.scheduler, self.timeout, question).await {
            Some(answer) => answer,
            None => Err(ChainError::Transient {
                attempted: format!("asking the chain for {what}"),
                source: format!("no answer within {} ms", self.timeout.as_millis()),
                outcome_unknown: false,
            }),
        }
    }

    pub(crate) async fn params(&self) -> Result<Params, ChainError> {
        self.ask("its parameters", self.client.params()).await
    }

    pub(crate) async fn status(&self) -> Result<ChainStatus, ChainError> {
        self.ask("its height", self.client.status()).await
    }

    pub(crate) async fn current_epoch(&self) -> Result<EpochInfo, ChainError> {
        self.ask("the epoch", self.client.current_epoch()).await
    }

    pub(crate) async fn heal_op(&self, heal_op_id: u64) -> Result<HealOp, ChainError> {
        self.ask("a heal operation", self.client.heal_op(heal_op_id)).await
    }

    pub(crate) async fn ticket(&self, ticket_id: &str) -> Result<Ticket, ChainError> {
        self.ask("a ticket", self.client.ticket(ticket_id)).await
    }

    pub(crate) async fn supernode(&self, account: &str) -> Result<Supernode, ChainError> {
        self.ask("a supernode", self.client.supernode(account)).await
    }

    pub(crate) async fn some_supernodes(&self) -> Result<Vec<Supernode>, ChainError> {
        let page = PageRequest { key: None, limit: PAGE_LIMIT };
        Ok(self.ask("the supernodes", self.client.supernodes(page)).await?.items)
    }

    /// All heal operations in a status, most urgent first: by deadline, those without one last.
    pub(crate) async fn heal_ops(&self, status: HealOpStatus) -> Result<HealOpList, ChainError> {
        let mut request = PageRequest { key: None, limit: PAGE_LIMIT };
        let mut list = HealOpList { operations: Vec::new(), truncated: true };
        for _ in 0..PAGES_MAX {
            let question = self.client.heal_ops_by_status(status, request.clone());
            let page = self.ask("heal operations", question).await?;
            let next = request.after(&page);
            list.operations.extend(page.items);
            match next {
                Some(next) => request = next,
                None => {
                    list.truncated = false;
                    break;
                }
            }
        }
        list.operations.sort_by_key(|heal_op| {
            (heal_op.deadline_epoch_id == 0, heal_op.deadline_epoch_id, heal_op.heal_op_id)
        });
        Ok(list)
    }
}
