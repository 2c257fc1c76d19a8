//! A chain that answers only what a test has scripted.
//!
//! Owns the script and its bookkeeping. Whoever wants a chain that lives by its rules uses the simulated one.

mod client;
mod difference;
mod script;

use lampkeeper_api::chain::{
    AccountInfo, AssignedTargets, ChainError, ChainMessage, ChainStatus, EpochAnchor, EpochInfo, EpochReport,
    HealOp, HealOpStatus, NodeSuspicion, Page, PageRequest, Params, ReporterReliability, Supernode, Ticket,
    TicketDeterioration, TxReceipt,
};
use lampkeeper_api::{Account, EpochId, TicketId};
use script::{Expectation, Matcher, Script};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One call of the chain seam with its arguments.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the method of that name and its arguments")]
pub enum ChainCall {
    Status,
    Params,
    CurrentEpoch,
    EpochAnchor(EpochId),
    AssignedTargets(Account, EpochId),
    EpochReport(Account, EpochId),
    HealOp(u64),
    HealOpsByStatus(HealOpStatus, PageRequest),
    HealOpsByTicket(TicketId, PageRequest),
    Ticket(TicketId),
    TicketsOfSupernode(Account, PageRequest),
    Tickets(PageRequest),
    TicketDeterioration(TicketId),
    NodeSuspicion(Account),
    ReporterReliability(Account),
    Supernode(Account),
    Supernodes(PageRequest),
    TopSupernodes(i64, u32),
    Account(Account),
    Submit(Box<ChainMessage>),
}

/// A chain client that answers from a script, and fails the test on any other call.
///
/// Each call uses up the first expectation that it matches, in any order unless [`MockChainBuilder::in_order`] was said.
/// An expectation is for one call unless [`MockChainBuilder::times`] or [`MockChainBuilder::always`] follows it.
///
/// Dropping it panics if a call was unexpected or an expectation is left. A drop inside of a task is of no use for that,
/// since a scheduler catches the panic: call [`Self::assert_done`] at the end of a test that shares it with tasks.
///
/// ```
/// use lampkeeper_plugin_sdk::api::chain::{ChainReader, HealOp};
/// use lampkeeper_plugin_sdk::testkit::{MockChain, VirtualScheduler};
///
/// let heal_op = HealOp { heal_op_id: 7, ..HealOp::default() };
/// let chain = MockChain::builder("lumera1alice").heal_op(7, Ok(heal_op.clone())).build();
/// let answer = VirtualScheduler::new(0).block_on(chain.heal_op(7));
/// assert_eq!(answer, Ok(heal_op));
/// chain.assert_done();
/// ```
pub struct MockChain {
    account: Account,
    script: Mutex<Script>,
}

/// Writes the script of a [`MockChain`].
#[must_use]
pub struct MockChainBuilder {
    account: Account,
    script: Script,
}

impl MockChain {
    /// A chain that expects nothing yet, and signs for `account`.
    pub fn builder(account: &str) -> MockChainBuilder {
        MockChainBuilder { account: account.to_owned(), script: Script::default() }
    }

    /// Every message that was submitted as expected, in order.
    #[must_use]
    pub fn submitted(&self) -> Vec<ChainMessage> {
        let is_submit = |call: &ChainCall| match call {
            ChainCall::Submit(message) => Some((**message).clone()),
            _ => None,
        };
        self.lock().answered.iter().filter_map(is_submit).collect()
    }

    /// Every call that was expected, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<ChainCall> {
        self.lock().answered.clone()
    }

    /// Checks that everything expected has happened, and nothing else.
    ///
    /// # Panics
    /// If not, with what is left and what was unexpected.
    pub fn assert_done(&self) {
        let complaint = self.lock().complaint();
        if let Some(complaint) = complaint {
            panic!("{complaint}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer<T: 'static>(&self, call: ChainCall) -> Result<T, ChainError> {
        let outcome = self.lock().answer(call);
        match outcome {
            Ok(answer) => answer,
            Err(complaint) => panic!("{complaint}"),
        }
    }
}

impl Drop for MockChain {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_done();
        }
    }
}

macro_rules! scripted {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $answer:ty, $call:expr;)+) => {
        impl MockChainBuilder {
            $($(#[$doc])*
            pub fn $name(self, $($argument: $type,)* answer: Result<$answer, ChainError>) -> Self {
                self.expect(Matcher::Call($call), answer)
            })+
        }
    };
}

scripted! {
    /// Expects `status`.
    status() -> ChainStatus, ChainCall::Status;
    /// Expects `params`.
    params() -> Params, ChainCall::Params;
    /// Expects `current_epoch`.
    current_epoch() -> EpochInfo, ChainCall::CurrentEpoch;
    /// Expects `epoch_anchor`.
    epoch_anchor(epoch_id: EpochId) -> EpochAnchor, ChainCall::EpochAnchor(epoch_id);
    /// Expects `assigned_targets`.
    assigned_targets(account: &str, epoch_id: EpochId) -> AssignedTargets,
        ChainCall::AssignedTargets(account.to_owned(), epoch_id);
    /// Expects `epoch_report`.
    epoch_report(account: &str, epoch_id: EpochId) -> EpochReport,
        ChainCall::EpochReport(account.to_owned(), epoch_id);
    /// Expects `heal_op`.
    heal_op(heal_op_id: u64) -> HealOp, ChainCall::HealOp(heal_op_id);
    /// Expects `heal_ops_by_status`.
    heal_ops_by_status(status: HealOpStatus, page: PageRequest) -> Page<HealOp>,
        ChainCall::HealOpsByStatus(status, page);
    /// Expects `heal_ops_by_ticket`.
    heal_ops_by_ticket(ticket_id: &str, page: PageRequest) -> Page<HealOp>,
        ChainCall::HealOpsByTicket(ticket_id.to_owned(), page);
    /// Expects `ticket`.
    ticket(ticket_id: &str) -> Ticket, ChainCall::Ticket(ticket_id.to_owned());
    /// Expects `tickets_of_supernode`.
    tickets_of_supernode(account: &str, page: PageRequest) -> Page<Ticket>,
        ChainCall::TicketsOfSupernode(account.to_owned(), page);
    /// Expects `tickets`.
    tickets(page: PageRequest) -> Page<Ticket>, ChainCall::Tickets(page);
    /// Expects `ticket_deterioration`.
    ticket_deterioration(ticket_id: &str) -> TicketDeterioration,
        ChainCall::TicketDeterioration(ticket_id.to_owned());
    /// Expects `node_suspicion`.
    node_suspicion(account: &str) -> NodeSuspicion, ChainCall::NodeSuspicion(account.to_owned());
    /// Expects `reporter_reliability`.
    reporter_reliability(account: &str) -> ReporterReliability,
        ChainCall::ReporterReliability(account.to_owned());
    /// Expects `supernode`.
    supernode(account: &str) -> Supernode, ChainCall::Supernode(account.to_owned());
    /// Expects `supernodes`.
    supernodes(page: PageRequest) -> Page<Supernode>, ChainCall::Supernodes(page);
    /// Expects `top_supernodes`.
    top_supernodes(height: i64, limit: u32) -> Vec<Supernode>, ChainCall::TopSupernodes(height, limit);
    /// Expects `account`.
    account(address: &str) -> AccountInfo, ChainCall::Account(address.to_owned());
    /// Expects `submit` of exactly this message.
    submit(message: ChainMessage) -> TxReceipt, ChainCall::Submit(Box::new(message));
}

impl MockChainBuilder {
    /// Expects `submit` of a message that `is_right` accepts; `what` says which, for people.
    pub fn submit_where(
        self,
        what: &str,
        is_right: impl Fn(&ChainMessage) -> bool + Send + 'static,
        answer: Result<TxReceipt, ChainError>,
    ) -> Self {
        let matcher = Matcher::SubmitWhere { what: what.to_owned(), is_right: Box::new(is_right) };
        self.expect(matcher, answer)
    }

    /// Answers whatever is asked about the members of a network, any number of times: each of these supernodes and its
    /// account, and all of them as the first page, however small a page was wanted.
    pub fn members(mut self, supernodes: &[Supernode]) -> Self {
        for supernode in supernodes {
            let account = &supernode.supernode_account;
            let info = AccountInfo { address: account.clone(), ..AccountInfo::default() };
            self = self.supernode(account, Ok(supernode.clone())).always();
            self = self.account(account, Ok(info)).always();
        }
        let all = Page { items: supernodes.to_vec(), next_key: None };
        self.expect(Matcher::FirstSupernodes, Ok(all)).always()
    }

    /// Unexpected calls are answered with `Unavailable`, and are no failure of the test.
    pub const fn otherwise_unavailable(mut self) -> Self {
        self.script.is_lenient = true;
        self
    }

    /// The last expectation is for exactly this many calls.
    pub fn times(mut self, count: usize) -> Self {
        if let Some(last) = self.script.expectations.last_mut() {
            last.calls_left = Some(count);
        }
        self
    }

    /// The last expectation is for any number of calls, none included.
    pub fn always(mut self) -> Self {
        if let Some(last) = self.script.expectations.last_mut() {
            last.calls_left = None;
        }
        self
    }

    /// Calls have to come in the order of the script; those that are [`Self::always`] expected may come at any time.
    pub const fn in_order(mut self) -> Self {
        self.script.in_order = true;
        self
    }

    /// The chain.
    #[must_use]
    pub fn build(self) -> Arc<MockChain> {
        Arc::new(MockChain { account: self.account, script: Mutex::new(self.script) })
    }

    fn expect<T: Clone + Send + 'static>(mut self, matcher: Matcher, answer: Result<T, ChainError>) -> Self {
        let answer = Box::new(move || Box::new(answer.clone()) as Box<dyn std::any::Any>);
        self.script.expectations.push(Expectation { matcher, calls_left: Some(1), answer });
        self
    }
}

#[cfg(test)]
mod tests;
