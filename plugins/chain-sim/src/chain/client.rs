//! The chain client of one account.

use super::{SimChain, outcome, translate};
use crate::api::chain::{
    AccountInfo, AssignedTargets, ChainClient, ChainError, ChainMessage, ChainReader, ChainStatus,
    EpochAnchor, EpochInfo, EpochReport, HealOp, HealOpStatus, NodeSuspicion, Page, PageRequest, Params,
    ReporterReliability, Supernode, SupernodeState, Ticket, TicketDeterioration, TxReceipt,
};
use crate::api::{Account, EpochId};
use crate::injection::CallFault;
use crate::queries::{ActionList, QueryError};
use crate::state::State;
use crate::transaction::Transaction;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// A client of a shared chain.
#[derive(Debug, Clone)]
pub struct SimChainClient {
    chain: Arc<SimChain>,
    account: Account,
}

impl SimChainClient {
    pub(super) fn new(chain: Arc<SimChain>, account: &str) -> Self {
        Self { chain, account: account.to_owned() }
    }

    /// The chain that it asks.
    #[must_use]
    pub const fn chain(&self) -> &Arc<SimChain> {
        &self.chain
    }

    async fn sleep(&self, delay_ms: u64) {
        self.chain.scheduler.sleep(Duration::from_millis(delay_ms)).await;
    }

    /// Answers a query from the committed state, or as a fault will have it.
    async fn query<T: Send>(
        &self,
        call: &str,
        answer: impl FnOnce(&State) -> Result<T, ChainError> + Send,
    ) -> Result<T, ChainError> {
        let (fault, answer) = match self.chain.ask(&self.account, call, answer) {
            Ok(answered) => return answered,
            Err(faulty) => faulty,
        };
        match fault {
            CallFault::Fail { error } | CallFault::FailAfterAcceptance { error } => {
                Err(error.to_chain_error(call))
            }
            CallFault::Delay { delay_ms } => {
                self.sleep(delay_ms).await;
                self.chain.read(answer)
            }
            CallFault::DelayAfterAcceptance { delay_ms } => {
                let answered = self.chain.read(answer);
                self.sleep(delay_ms).await;
                answered
            }
            CallFault::Drop => std::future::pending().await,
            CallFault::Postpone { .. } | CallFault::Lag { .. } => self.chain.read(answer),
        }
    }

    /// A query that answers a copy of one record.
    async fn record<T: Clone + Send>(
        &self,
        call: &str,
        find: impl FnOnce(&State) -> Result<&T, QueryError> + Send,
    ) -> Result<T, ChainError> {
        self.query(call, |state| find(state).cloned().map_err(translate::query_error)).await
    }
}

#[async_trait]
impl ChainReader for SimChainClient {
    async fn status(&self) -> Result<ChainStatus, ChainError> {
        self.query("status", |state| {
            Ok(ChainStatus {
                chain_id: state.chain_id.clone(),
                latest_height: state.height,
                latest_block_time_ms: state.block_time_ms,
            })
        })
        .await
    }

    async fn params(&self) -> Result<Params, ChainError> {
        self.query("params", |state| Ok(state.query_params())).await
    }

    async fn current_epoch(&self) -> Result<EpochInfo, ChainError> {
        self.query("current_epoch", |state| Ok(state.query_current_epoch())).await
    }

    async fn epoch_anchor(&self, epoch_id: EpochId) -> Result<EpochAnchor, ChainError> {
        self.record("epoch_anchor", |state| state.query_epoch_anchor(epoch_id)).await
    }

    async fn assigned_targets(
        &self,
        account: &str,
        epoch_id: EpochId,
    ) -> Result<AssignedTargets, ChainError> {
        self.query("assigned_targets", |state| {
            state.query_assigned_targets(account, Some(epoch_id)).map_err(translate::query_error)
        })
        .await
    }

    async fn epoch_report(&self, account: &str, epoch_id: EpochId) -> Result<EpochReport, ChainError> {
        self.record("epoch_report", |state| state.query_epoch_report(epoch_id, account)).await
    }

    async fn heal_op(&self, heal_op_id: u64) -> Result<HealOp, ChainError> {
        self.record("heal_op", |state| state.query_heal_op(heal_op_id)).await
    }

    async fn heal_ops_by_status(
        &self,
        status: HealOpStatus,
        page: PageRequest,
    ) -> Result<Page<HealOp>, ChainError> {
        let request = translate::page_query(page)?;
        self.query("heal_ops_by_status", |state| {
            let found =
                state.query_heal_ops_by_status(status, Some(&request)).map_err(translate::query_error)?;
            Ok(translate::page(found, |operation| operation))
        })
        .await
    }

    async fn heal_ops_by_ticket(
        &self,
        ticket_id: &str,
        page: PageRequest,
    ) -> Result<Page<HealOp>, ChainError> {
        let request = translate::page_query(page)?;
        self.query("heal_ops_by_ticket", |state| {
            let found =
                state.query_heal_ops_by_ticket(ticket_id, Some(&request)).map_err(translate::query_error)?;
            Ok(translate::page(found, |operation| operation))
        })
        .await
    }

    async fn ticket(&self, ticket_id: &str) -> Result<Ticket, ChainError> {
        self.query("ticket", |state| {
            state.query_action(ticket_id).map(translate::ticket).map_err(translate::query_error)
        })
        .await
    }

    async fn tickets_of_supernode(
        &self,
        account: &str,
        page: PageRequest,
    ) -> Result<Page<Ticket>, ChainError> {
        let request = translate::page_query(page)?;
        self.query("tickets_of_supernode", |state| {
            let list = ActionList::OfSupernode(account);
            let found = state.query_action_list(list, Some(&request)).map_err(translate::query_error)?;
            Ok(translate::page(found, |action| translate::ticket(&action)))
        })
        .await
    }

    async fn tickets(&self, page: PageRequest) -> Result<Page<Ticket>, ChainError> {
        let request = translate::page_query(page)?;
        self.query("tickets", |state| {
            let (actions, next_key) =
                state.actions_by_number(&request.key, usize::try_from(request.limit).unwrap_or(usize::MAX));
            Ok(Page { items: actions.into_iter().map(translate::ticket).collect(), next_key })
        })
        .await
    }

    async fn ticket_deterioration(&self, ticket_id: &str) -> Result<TicketDeterioration, ChainError> {
        self.record("ticket_deterioration", |state| state.query_ticket_deterioration(ticket_id)).await
    }

    async fn node_suspicion(&self, account: &str) -> Result<NodeSuspicion, ChainError> {
        self.record("node_suspicion", |state| state.query_node_suspicion(account)).await
    }

    async fn reporter_reliability(&self, account: &str) -> Result<ReporterReliability, ChainError> {
        self.record("reporter_reliability", |state| state.query_reporter_reliability(account)).await
    }

    async fn supernode(&self, account: &str) -> Result<Supernode, ChainError> {
        self.query("supernode", |state| {
            state
                .query_supernode_by_account(account)
                .map(translate::supernode)
                .map_err(translate::query_error)
        })
        .await
    }

    async fn supernodes(&self, page: PageRequest) -> Result<Page<Supernode>, ChainError> {
        let request = translate::page_query(page)?;
        self.query("supernodes", |state| {
            let found = state.query_supernodes(Some(&request)).map_err(translate::query_error)?;
            Ok(translate::page(found, |record| translate::supernode(&record)))
        })
        .await
    }

    async fn top_supernodes(&self, height: i64, limit: u32) -> Result<Vec<Supernode>, ChainError> {
        if height <= 0 || limit == 0 {
            let reason = format!("the top {limit} supernodes at height {height}: both must be positive");
            return Err(ChainError::InvalidRequest { reason });
        }
        self.query("top_supernodes", |state| {
            let nodes = state.top_supernodes(height, limit as usize, Some(SupernodeState::Active));
            Ok(nodes.into_iter().map(translate::supernode).collect())
        })
        .await
    }

    async fn account(&self, address: &str) -> Result<AccountInfo, ChainError> {
        self.query("account", |state| match state.bank.accounts.get(address) {
            Some(account) => Ok(translate::account(address, account)),
            None => Err(ChainError::NotFound { what: format!("account {address}") }),
        })
        .await
    }
}

#[async_trait]
impl ChainClient for SimChainClient {
    fn account_address(&self) -> &str {
        &self.account
    }

    async fn submit(&self, message: ChainMessage) -> Result<TxReceipt, ChainError> {
        let call = format!("submit.{}", message.kind());
        let message = translate::message(message)?;
        let fault = self.chain.fault_of(&self.account, &call);
        let mut postponed_blocks = 0;
        match &fault {
            Some(CallFault::Fail { error }) => return Err(error.to_chain_error(&call)),
            Some(CallFault::Delay { delay_ms }) => self.sleep(*delay_ms).await,
            Some(CallFault::Postpone { blocks }) => postponed_blocks = *blocks,
            Some(CallFault::Drop) => {
                self.sleep(self.chain.options.submit_timeout_ms).await;
                return Err(ChainError::Transient {
                    attempted: call,
                    source: "no block executed it in time".to_owned(),
                    outcome_unknown: true,
                });
            }
            _ => {}
        }
        let transaction = Transaction::single(&self.account, message);
        let (_, accepted) = self.chain.accept(transaction.into(), postponed_blocks)?;
        let outcome = outcome(&self.chain.wait_for_record(accepted).await?);
        match fault {
            Some(CallFault::FailAfterAcceptance { error }) => return Err(error.to_chain_error(&call)),
            Some(CallFault::DelayAfterAcceptance { delay_ms }) => self.sleep(delay_ms).await,
            _ => {}
        }
        match outcome.result {
            Ok(_) => Ok(outcome.receipt),
            Err(refused) => Err(translate::refusal(&refused)),
        }
    }
}
