//! A shared chain that makes blocks in the scheduler's time.
//!
//! Owns the lock around the state, the mempool, the making of blocks and the carrying out of injected faults. All rules
//! are the state machine's. No lock is held across an await.

mod client;
mod ledger;
mod networks;
mod producer;
mod replica;
mod translate;

pub use client::SimChainClient;
pub use ledger::{BlockRecord, TxRecord};
pub use networks::{NetworkGuard, NetworkTaken, find_network, register_network};
pub(crate) use producer::params_with;

use crate::api::cancel::Cancel;
use crate::api::chain::{ChainError, TxReceipt};
use crate::api::scheduler::{Scheduler, TaskHandle};
use crate::block::{Block, BlockError, Delivered};
use crate::injection::{CallFault, CallRule, InjectionPlan, Injector, LAG_BLOCKS_MAX};
use crate::message::{Message, Response};
use crate::refusal::{ErrorCode, Refusal, sdk};
use crate::state::State;
use crate::state::bank::BankAccount;
use crate::transaction::{TRANSACTION_MESSAGES_MAX, Transaction, TxResult};
use futures::channel::oneshot;
use ledger::Ledger;
use replica::Replicas;
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
    /// The most blocks that are remembered with their transactions; nothing in the state depends on it.
    pub history_blocks_max: usize,
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
            history_blocks_max: 1000,
            injections: InjectionPlan::default(),
        }
    }
}

/// What became of a transaction with one message.
#[derive(Debug, Clone, PartialEq)]
pub struct TxOutcome {
    /// Hash and height.
    pub receipt: TxReceipt,
    /// What the message did, or why it was refused.
    pub result: Result<Delivered, Refusal>,
}

/// A transaction as it is broadcast: what was decoded from it, and what identifies it.
#[derive(Debug, Clone, PartialEq)]
pub struct Broadcast {
    /// What it says.
    pub transaction: Transaction,
    /// Uppercase hex of the SHA-256 of its bytes; `None` draws one.
    pub tx_hash: Option<String>,
    /// Its bytes, to be shown to those who ask for the transaction; may be empty.
    pub raw: Vec<u8>,
    /// The sequence that it was signed with; `None` for one that nobody signed, which any sequence is right for.
    pub sequence: Option<u64>,
}

impl From<Transaction> for Broadcast {
    fn from(transaction: Transaction) -> Self {
        Self { transaction, tx_hash: None, raw: Vec::new(), sequence: None }
    }
}

/// A transaction that waits for its block.
pub(crate) struct Pending {
    tx_hash: String,
    transaction: Transaction,
    raw: Vec<u8>,
    /// The first height at which it may be executed.
    not_before_height: i64,
    /// Told when it was executed; nobody may be left to listen.
    done: oneshot::Sender<TxRecord>,
}

pub(crate) struct Shared {
    pub(crate) state: State,
    mempool: VecDeque<Pending>,
    pub(crate) injector: Injector,
    /// States that are behind; kept only while a rule may ask for one.
    pub(crate) replicas: Replicas,
    pub(crate) ledger: Ledger,
    /// Blocks that are not to be made.
    frozen_intervals: u32,
    /// The error at which the chain halted.
    halted: Option<BlockError>,
    height_waiters: Vec<(i64, oneshot::Sender<()>)>,
    transactions_accepted: u64,
}

impl Shared {
    pub(crate) fn new(state: State, injections: InjectionPlan) -> Self {
        let mut shared = Self {
            state,
            mempool: VecDeque::new(),
            injector: Injector::default(),
            replicas: Replicas::default(),
            ledger: Ledger::default(),
            frozen_intervals: 0,
            halted: None,
            height_waiters: Vec::new(),
            transactions_accepted: 0,
        };
        shared.inject(injections);
        shared
    }

    pub(crate) fn inject(&mut self, plan: InjectionPlan) {
        self.injector.add(plan);
        self.replicas.keep(&self.injector.lags(), &self.state);
    }

    /// Puts a transaction into the mempool, to be executed that many blocks later than it could be.
    pub(crate) fn enqueue(
        &mut self,
        broadcast: Broadcast,
        postpone_blocks: u32,
    ) -> (String, oneshot::Receiver<TxRecord>) {
        let Broadcast { transaction, tx_hash, raw, .. } = broadcast;
        let (done, receiver) = oneshot::channel();
        self.transactions_accepted += 1;
        let number = self.transactions_accepted;
        let tx_hash = tx_hash.map_or_else(
            || translate::tx_hash(&self.state.chain_id, number, &transaction),
            |hash| hash.to_ascii_uppercase(),
        );
        let not_before_height = self.state.height.saturating_add(1 + i64::from(postpone_blocks));
        let hash = tx_hash.clone();
        self.mempool.push_back(Pending { tx_hash, transaction, raw, not_before_height, done });
        (hash, receiver)
    }

    /// The sequence that an account's next transaction has to have, those that wait for their block counted.
    fn next_sequence(&self, address: &str) -> u64 {
        let waiting = self.mempool.iter().filter(|pending| pending.transaction.signer == address).count();
        let committed = self.state.bank.accounts.get(address).map_or(0, |account| account.sequence);
        committed.saturating_add(u64::try_from(waiting).unwrap_or(u64::MAX))
    }

    /// What is refused before a transaction waits for a block (chain 0.2).
    pub(crate) fn check(&self, broadcast: &Broadcast) -> Result<(), Refusal> {
        let Transaction { signer, messages } = &broadcast.transaction;
        if messages.is_empty() || messages.len() > TRANSACTION_MESSAGES_MAX {
            let count = messages.len();
            let words = format!("a transaction has 1 to {TRANSACTION_MESSAGES_MAX} messages, not {count}");
            return Err(sdk::INVALID_REQUEST.because(words));
        }
        let is_known = |hash: &String| {
            self.ledger.transaction(hash).is_some()
                || self.mempool.iter().any(|pending| pending.tx_hash.eq_ignore_ascii_case(hash))
        };
        if broadcast.tx_hash.as_ref().is_some_and(is_known) {
            return Err(TX_IN_MEMPOOL.because(""));
        }
        let expected = self.next_sequence(signer);
        match broadcast.sequence {
            Some(got) if got != expected => {
                Err(WRONG_SEQUENCE
                    .because(format!("account sequence mismatch, expected {expected}, got {got}")))
            }
            _ => Ok(()),
        }
    }

    /// The state that a replica with this lag has; the chain's own if there is no such replica.
    pub(crate) fn lagging(&self, blocks: u32) -> &State {
        self.replicas.get(blocks.min(LAG_BLOCKS_MAX)).unwrap_or(&self.state)
    }
}

/// `sdk/19`: the transaction is known already.
const TX_IN_MEMPOOL: ErrorCode = ErrorCode { codespace: "sdk", code: 19, text: "tx already in mempool" };
/// `sdk/32`: it is another transaction's turn (wire 10.3).
const WRONG_SEQUENCE: ErrorCode =
    ErrorCode { codespace: "sdk", code: 32, text: "incorrect account sequence" };

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
        let shared = &mut *self.lock();
        let answer = change(&mut shared.state);
        shared.replicas.planted(&shared.state);
        answer
    }

    /// Adds faults to those in force.
    pub fn inject(&self, plan: InjectionPlan) {
        self.lock().inject(plan);
    }

    /// Takes a rule for calls back, however often it has fired. Other faults stay as they are.
    pub fn withdraw(&self, rule: &CallRule) {
        self.lock().injector.withdraw(rule);
    }

    /// Removes all faults that have not happened yet.
    pub fn clear_injections(&self) {
        let mut shared = self.lock();
        shared.injector.clear();
        shared.replicas = Replicas::default();
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
        let record = self.execute(Transaction::single(creator, message).into()).await?;
        Ok(outcome(&record))
    }

    /// Puts a transaction into the mempool, past all faults in calls, and answers its hash at once (chain 9.4,
    /// "tx broadcast (sync)"). [`Self::transaction`] knows it once a block has executed it.
    ///
    /// # Errors
    /// `Rejected` with the codespace `sdk` for a wrong sequence (32), a transaction that is known already (19), or one
    /// without messages (18); `Transient` if the chain has stopped or its mempool is full.
    pub fn broadcast(&self, broadcast: Broadcast) -> Result<String, ChainError> {
        self.accept(broadcast, 0).map(|(tx_hash, _)| tx_hash)
    }

    /// Broadcasts a transaction and waits for its execution, whose result may be a refusal.
    ///
    /// # Errors
    /// As [`Self::broadcast`]; `Transient` with an unknown outcome if no block executed it in time.
    pub async fn execute(&self, broadcast: Broadcast) -> Result<TxRecord, ChainError> {
        let (_, receiver) = self.accept(broadcast, 0)?;
        self.wait_for_record(receiver).await
    }

    /// What a transaction would come to after the last committed block. Nothing is changed; the state is copied.
    ///
    /// # Errors
    /// The message that would be refused.
    pub fn simulate(&self, transaction: &Transaction) -> TxResult {
        let mut copy = self.read(State::clone);
        copy.deliver_transaction(transaction)
    }

    /// A transaction that was executed, by its hash; forgotten with its block.
    #[must_use]
    pub fn transaction(&self, tx_hash: &str) -> Option<TxRecord> {
        self.lock().ledger.transaction(tx_hash).cloned()
    }

    /// A block by its height; `None` for one that was not made, or is forgotten
    /// ([`SimChainOptions::history_blocks_max`]).
    #[must_use]
    pub fn block(&self, height: i64) -> Option<BlockRecord> {
        self.lock().ledger.block(height).cloned()
    }

    /// The last block that was made since this process has the chain.
    #[must_use]
    pub fn latest_block(&self) -> Option<BlockRecord> {
        self.lock().ledger.latest().cloned()
    }

    /// An account with its number, sequence, key and coins as of the last committed block.
    #[must_use]
    pub fn account(&self, address: &str) -> Option<BankAccount> {
        self.read(|state| state.bank.accounts.get(address).cloned())
    }

    /// The sequence that an account's next transaction has to have, those that wait for their block counted.
    #[must_use]
    pub fn next_sequence(&self, address: &str) -> u64 {
        self.lock().next_sequence(address)
    }

    /// Puts a transaction into the mempool.
    fn accept(
        &self,
        broadcast: Broadcast,
        postpone_blocks: u32,
    ) -> Result<(String, oneshot::Receiver<TxRecord>), ChainError> {
        let refused = |source: String| ChainError::Transient {
            attempted: format!("submitting {}", broadcast.transaction.kinds()),
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
        shared.check(&broadcast).map_err(|refusal| translate::refusal(&refusal))?;
        Ok(shared.enqueue(broadcast, postpone_blocks))
    }

    async fn wait_for_record(&self, receiver: oneshot::Receiver<TxRecord>) -> Result<TxRecord, ChainError> {
        let timeout = std::time::Duration::from_millis(self.options.submit_timeout_ms);
        let unknown = |source: &str| ChainError::Transient {
            attempted: "waiting for a transaction's execution".to_owned(),
            source: source.to_owned(),
            outcome_unknown: true,
        };
        match crate::api::scheduler::within(self.scheduler.as_ref(), timeout, receiver).await {
            Some(Ok(record)) => Ok(record),
            Some(Err(_)) => Err(unknown("the transaction is no longer in the mempool")),
            None => Err(unknown("no block executed it in time")),
        }
    }

    /// Counts a call of a client and answers its fault.
    fn fault_of(&self, account: &str, call: &str) -> Option<CallFault> {
        self.lock().injector.on_call(account, call)
    }

    /// Answers a query from the committed state or a replica, or hands back the fault that keeps it from being answered.
    fn ask<T, F: FnOnce(&State) -> T>(
        &self,
        account: &str,
        call: &str,
        answer: F,
    ) -> Result<T, (CallFault, F)> {
        let mut shared = self.lock();
        match shared.injector.on_call(account, call) {
            None | Some(CallFault::Postpone { .. }) => Ok(answer(&shared.state)),
            Some(CallFault::Lag { blocks }) => Ok(answer(shared.lagging(blocks))),
            Some(fault) => Err((fault, answer)),
        }
    }
}

/// The receipt and result of a transaction with one message.
fn outcome(record: &TxRecord) -> TxOutcome {
    let response_id = record.responses().find_map(|response| match response {
        Response::Action { action_id, .. } => Some(action_id.clone()),
        _ => None,
    });
    let receipt = TxReceipt {
        tx_hash: record.tx_hash.clone(),
        height: record.height,
        response_id: response_id.unwrap_or_default(),
    };
    TxOutcome { receipt, result: record.merged() }
}
