//! A shared chain that makes blocks in the scheduler's time.
//!
//! Owns the lock around the state, the mempool, the making of blocks and the carrying out of injected faults. All rules
//! are the state machine's. No lock is held across an await.

mod client;
mod networks;
mod producer;
mod translate;

pub use client::SimChainClient;
pub use networks::{NetworkGuard, NetworkTaken, find_network, register_network};
pub(crate) use producer::params_with;

use crate::api::cancel::Cancel;
use crate::api::chain::{ChainError, TxReceipt};
use crate::api::scheduler::{Scheduler, TaskHandle};
use crate::block::{Block, BlockError, Delivered};
use crate::injection::{CallFault, InjectionPlan, Injector};
use crate::message::Message;
use crate::refusal::Refusal;
use crate::state::State;
use futures::channel::oneshot;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a shared chain is run.
#[derive(Debug, Clone, PartialEq)]
pub struct SimChainOptions {
    /// Time between two blocks; 0 means that blocks are only made by [`SimChain::produce_block`].
    pub block_interval_ms: u64,
    /// How long a submission waits for its execution before it gives up without knowing the outcome.
    pub submit_timeout_ms: u64,
    /// The most transactions in a block; the others wait.
    pub block_transactions_max: usize,
    /// The most transactions that wait; more are refused as transient.
    pub mempool_transactions_max: usize,
    /// What is to go wrong.
    pub injections: InjectionPlan,
}

impl Default for SimChainOptions {
    fn default() -> Self {
        Self {
            block_interval_ms: 1000,
            submit_timeout_ms: 60_000,
            block_transactions_max: 1000,
            mempool_transactions_max: 10_000,
            injections: InjectionPlan::default(),
        }
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct TxOutcome {
    /// Hash and height.
    pub receipt: TxReceipt,
    /// What the message did, or why it was refused.
    pub result: Result<Delivered, Refusal>,
}

/// A transaction that waits for its block.
pub(crate) struct Pending {
    tx_hash: String,
    creator: String,
    message: Message,
    /// The first height at which it may be executed.
    not_before_height: i64,
    /// Told when it was executed; nobody may be left to listen.
    done: oneshot::Sender<TxOutcome>,
}

pub(crate) struct Shared {
    pub(crate) state: State,
    mempool: VecDeque<Pending>,
    pub(crate) injector: Injector,
    /// Committed states before the present one, the latest last; kept only while a rule asks for a lagging replica.
    history: VecDeque<Arc<State>>,
    /// Blocks that are not to be made.
    frozen_intervals: u32,
    /// The error at which the chain halted.
    halted: Option<BlockError>,
    height_waiters: Vec<(i64, oneshot::Sender<()>)>,
    transactions_accepted: u64,
}

impl Shared {
    pub(crate) fn new(state: State, injections: InjectionPlan) -> Self {
        Self {
            state,
            mempool: VecDeque::new(),
            injector: Injector::new(injections),
            history: VecDeque::new(),
            frozen_intervals: 0,
            halted: None,
            height_waiters: Vec::new(),
            transactions_accepted: 0,
        }
    }

    /// Puts a transaction into the mempool, to be executed that many blocks later than it could be.
    pub(crate) fn enqueue(
        &mut self,
        creator: &str,
        message: Message,
        postpone_blocks: u32,
    ) -> oneshot::Receiver<TxOutcome> {
        let (done, receiver) = oneshot::channel();
        self.transactions_accepted += 1;
        let tx_hash = translate::tx_hash(&self.state.chain_id, self.transactions_accepted, creator, &message);
        let not_before_height = self.state.height.saturating_add(1 + i64::from(postpone_blocks));
        let creator = creator.to_owned();
        self.mempool.push_back(Pending { tx_hash, creator, message, not_before_height, done });
        receiver
    }

    /// The committed state of `blocks` blocks ago, or the oldest that is kept.
    pub(crate) fn replica(&self, blocks: u32) -> Option<Arc<State>> {
        let back = usize::try_from(blocks).unwrap_or(usize::MAX).min(self.history.len());
        self.history.get(self.history.len() - back).cloned()
    }
}

/// A chain that many clients share.
pub struct SimChain {
    shared: Mutex<Shared>,
    options: SimChainOptions,
    scheduler: Arc<dyn Scheduler>,
    stop: Cancel,
}

impl std::fmt::Debug for SimChain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SimChain").field("options", &self.options).finish_non_exhaustive()
    }
}

impl SimChain {
    /// A chain that continues from a state. No block is made before [`Self::start`] or [`Self::produce_block`].
    #[must_use]
    pub fn new(state: State, options: SimChainOptions, scheduler: Arc<dyn Scheduler>) -> Arc<Self> {
        let shared = Shared::new(state, options.injections.clone());
        Arc::new(Self { shared: Mutex::new(shared), options, scheduler, stop: Cancel::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic in a rule leaves the state as it was then; what is left can still be read.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes blocks until [`Self::stop`], or until the chain is dropped. With an interval of 0 that does nothing.
    pub fn start(self: &Arc<Self>) -> Arc<dyn TaskHandle> {
        producer::start(self)
    }

    /// Makes no more blocks. Submissions that wait end without a known outcome.
    pub fn stop(&self) {
        self.stop.cancel();
        let mut shared = self.lock();
        shared.mempool.clear();
        shared.height_waiters.clear();
    }

    /// A client that signs for `account`.
    #[must_use]
    pub fn client(self: &Arc<Self>, account: &str) -> SimChainClient {
        SimChainClient::new(Arc::clone(self), account)
    }

    /// Makes one block now, unless a fault freezes it.
    ///
    /// # Errors
    /// The block can't be processed; the chain has then halted for good.
    pub fn produce_block(&self) -> Result<Option<Block>, BlockError> {
        let time_ms = self.scheduler.wall_clock_ms();
        self.lock().produce_block(time_ms, &self.options)
    }

    /// Reads the state of the last committed block.
    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.lock().state)
    }

    /// Changes the state between two blocks: how a tester plants a situation in a running chain.
    pub fn plant<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.lock().state)
    }

    /// Adds faults to those in force.
    pub fn inject(&self, plan: InjectionPlan) {
        self.lock().injector.add(plan);
    }

    /// Removes all faults that have not happened yet.
    pub fn clear_injections(&self) {
        let mut shared = self.lock();
        shared.injector.clear();
        shared.frozen_intervals = 0;
    }

    /// Completes with `true` once a block of this height is committed, with `false` when the chain stops before.
    pub async fn wait_for_height(&self, height: i64) -> bool {
        let receiver = {
            let mut shared = self.lock();
            if shared.state.height >= height {
                return true;
            }
            if shared.halted.is_some() || self.stop.is_cancelled() {
                return false;
            }
            let (sender, receiver) = oneshot::channel();
            shared.height_waiters.push((height, sender));
            receiver
        };
        receiver.await.is_ok()
    }

    /// Submits any message in anybody's name, past all faults in calls, and waits for its execution.
    ///
    /// # Errors
    /// `Transient` if it could not be accepted, or was not executed in time.
    pub async fn submit_as(&self, creator: &str, message: Message) -> Result<TxOutcome, ChainError> {
        let receiver = self.accept(creator, message, 0)?;
        self.wait_for_outcome(receiver).await
    }

    /// Puts a transaction into the mempool.
    fn accept(
        &self,
        creator: &str,
        message: Message,
        postpone_blocks: u32,
    ) -> Result<oneshot::Receiver<TxOutcome>, ChainError> {
        let refused = |source: String| ChainError::Transient {
            attempted: format!("submitting {}", message.kind()),
            source,
            outcome_unknown: false,
        };
        let mut shared = self.lock();
        if let Some(error) = &shared.halted {
            return Err(refused(format!("the chain has halted: {error}")));
        }
        if self.stop.is_cancelled() {
            return Err(refused("the chain has stopped".to_owned()));
        }
        if shared.mempool.len() >= self.options.mempool_transactions_max {
            return Err(refused("the mempool is full".to_owned()));
        }
        Ok(shared.enqueue(creator, message, postpone_blocks))
    }

    async fn wait_for_outcome(
        &self,
        receiver: oneshot::Receiver<TxOutcome>,
    ) -> Result<TxOutcome, ChainError> {
        let timeout = std::time::Duration::from_millis(self.options.submit_timeout_ms);
        let unknown = |source: &str| ChainError::Transient {
            attempted: "waiting for a transaction's execution".to_owned(),
            source: source.to_owned(),
            outcome_unknown: true,
        };
        match crate::api::scheduler::within(self.scheduler.as_ref(), timeout, receiver).await {
            Some(Ok(outcome)) => Ok(outcome),
            Some(Err(_)) => Err(unknown("the transaction is no longer in the mempool")),
            None => Err(unknown("no block executed it in time")),
        }
    }

    /// Counts a call of a client and answers its fault.
    fn fault_of(&self, account: &str, call: &str) -> Option<CallFault> {
        self.lock().injector.on_call(account, call)
    }

    /// The committed state of `blocks` blocks ago, or the oldest that is kept.
    fn replica(&self, blocks: u32) -> Option<Arc<State>> {
        self.lock().replica(blocks)
    }
}
