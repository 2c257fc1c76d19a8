//! Questions to the chain, each with a time limit.

use lampkeeper_plugin_sdk::api::TicketId;
use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, ChainError, EpochInfo, HealOp, HealOpStatus, PageRequest, Params, Supernode, Ticket,
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

    /// The tickets that a node holds.
    pub(crate) async fn own_tickets(&self, account: &str) -> Result<Vec<TicketId>, ChainError> {
        let mut request = PageRequest { key: None, limit: PAGE_LIMIT };
        let mut ticket_ids = Vec::new();
        for _ in 0..PAGES_MAX {
            let question = self.client.tickets_of_supernode(account, request.clone());
            let page = self.ask("this node's tickets", question).await?;
            let next = request.after(&page);
            let stored = page.items.into_iter().filter(|ticket| ticket.state.is_stored());
            ticket_ids.extend(stored.map(|ticket| ticket.ticket_id));
            match next {
                Some(next) => request = next,
                None => break,
            }
        }
        Ok(ticket_ids)
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

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::api::chain::Page;
    use lampkeeper_plugin_sdk::testkit::{MockChain, VirtualScheduler};

    /// The pages of a list, the last of which has a next one or not.
    fn listed(pages: u64, is_endless: bool) -> HealOpList {
        let status = HealOpStatus::Scheduled;
        let mut builder = MockChain::builder("ann");
        for page in 0..pages {
            let key = (page > 0).then(|| page.to_be_bytes().to_vec());
            let is_last = page + 1 == pages && !is_endless;
            let next_key = (!is_last).then(|| (page + 1).to_be_bytes().to_vec());
            // Later pages have earlier deadlines, and the first operation has none.
            let heal_op = HealOp {
                heal_op_id: page + 1,
                deadline_epoch_id: if page == 0 { 0 } else { 1000 - page },
                ..HealOp::default()
            };
            let page = Page { items: vec![heal_op], next_key };
            builder = builder.heal_ops_by_status(status, PageRequest { key, limit: 100 }, Ok(page));
        }
        let scheduler = VirtualScheduler::new(0);
        let timeout = Duration::from_secs(10);
        let chain = TimedChain { client: builder.build(), scheduler: scheduler.handle(), timeout };
        scheduler.block_on(chain.heal_ops(status)).expect("the chain answers")
    }

    #[test]
    fn all_pages_are_read_and_the_most_urgent_comes_first() {
        let list = listed(3, false);
        let ids: Vec<u64> = list.operations.iter().map(|heal_op| heal_op.heal_op_id).collect();
        assert_eq!((ids, list.truncated), (vec![3, 2, 1], false));
    }

    #[test]
    fn a_list_without_an_end_is_cut_off() {
        // Exactly a hundred pages are asked for: the script has no more, and all of them have to be used.
        let list = listed(PAGES_MAX as u64, true);
        assert!(list.truncated && list.operations.len() == PAGES_MAX);
    }

    #[test]
    fn a_chain_that_says_nothing_is_a_transient_error() {
        struct Silent;
        impl Silent {
            async fn forever(&self) -> Result<Params, ChainError> {
                std::future::pending().await
            }
        }
        let scheduler = VirtualScheduler::new(0);
        let timeout = Duration::from_secs(10);
        let client = MockChain::builder("ann").build();
        let chain = TimedChain { client, scheduler: scheduler.handle(), timeout };
        let answer = scheduler.block_on(chain.ask("its parameters", Silent.forever()));
        assert!(answer.is_err_and(|error| error.is_transient()));
        assert_eq!(scheduler.now().since_start(), timeout);
    }
}
