//! The running chain: its mempool, the making of blocks, and what became of transactions.
//!
//! Owns the lock around everything, the two views of accounts (as committed, and as they will be when all that waits was
//! executed), gas and fees. Rules are the state machine's; a block is on disk before anybody sees it.

use crate::codes;
use crate::messages;
use crate::store::{Store, StoreError, StoredBlock};
use crate::transaction::{Arrived, Rules, Stage, hash_of};
use lampkeeper_chain_sim::address;
use lampkeeper_chain_sim::refusal::Refusal;
use lampkeeper_chain_sim::state::bank::BankAccount;
use lampkeeper_chain_sim::{Event, State};
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, TaskHandle, sleep_unless_cancelled};
use lampkeeper_proto::cosmos::base::abci::v1beta1::TxMsgData;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The module that fees are paid to.
const FEE_COLLECTOR: &str = "fee_collector";
/// The most transactions that wait.
const MEMPOOL_TRANSACTIONS_MAX: usize = 5000;
/// The most transactions of a block.
const BLOCK_TRANSACTIONS_MAX: usize = 1000;
/// Executed transactions that are remembered.
const TRANSACTIONS_MAX: usize = 5000;
/// Blocks that are remembered.
const BLOCKS_MAX: usize = 50_000;
/// After so many blocks the whole state is written, and the blocks before it are dropped from the disk.
const SNAPSHOT_EVERY_BLOCKS: usize = 500;

/// How the chain is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevChainOptions {
    /// Time between two blocks, in milliseconds; 0 makes a block as soon as a transaction arrives, and no others.
    pub block_interval_ms: u64,
    /// The least price of a unit of gas, in thousandths of an ulume.
    pub gas_price_min_milli: u64,
    /// Whether it tells of the EVM's module, as the present network's chain does (wire 9.6).
    pub evm_module: bool,
}

impl Default for DevChainOptions {
    fn default() -> Self {
        Self { block_interval_ms: 1000, gas_price_min_milli: 25, evm_module: true }
    }
}

/// A transaction that a block executed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutedTx {
    /// Uppercase hex of the SHA-256 of its bytes.
    pub hash: String,
    /// Its bytes in hex.
    pub bytes_hex: String,
    /// The block.
    pub height: i64,
    /// The block's time, in milliseconds since 1970.
    pub time_ms: i64,
    /// Whose error it is; empty without one.
    pub codespace: String,
    /// 0 is success.
    pub code: u32,
    /// What went wrong, in words.
    pub raw_log: String,
    /// The answers to its messages: hex of an encoded `TxMsgData`.
    pub data_hex: String,
    /// Gas that it asked for.
    pub gas_wanted: u64,
    /// Gas that it used.
    pub gas_used: u64,
    /// What it told.
    pub events: Vec<Event>,
}

/// Whether the node took a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Uppercase hex of the SHA-256 of its bytes.
    pub hash: String,
    /// Why it did not.
    pub refusal: Option<Refusal>,
}

/// What a simulation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated {
    /// Gas that it would use.
    pub gas_used: u64,
    /// The encoded `TxMsgData` of its answers.
    pub data: Vec<u8>,
    /// What it would tell.
    pub events: Vec<Event>,
}

struct Inner {
    state: State,
    mempool: VecDeque<Arrived>,
    /// Accounts as they will be when the mempool was executed; only those that have something in it.
    pending_accounts: BTreeMap<String, BankAccount>,
    transactions: BTreeMap<String, ExecutedTx>,
    transactions_in_order: VecDeque<String>,
    /// Time of each block, in milliseconds since 1970.
    block_times: BTreeMap<i64, i64>,
    store: Option<Store>,
    watcher: Option<BlockWatcher>,
    /// Why no more blocks are made.
    halted: Option<String>,
}

/// Is told of each block that is made, after it was executed: the state then, and what happened in the block. The chain
/// waits meanwhile.
pub type BlockWatcher = Box<dyn Fn(&State, &[Event]) + Send + Sync>;

/// A chain that serves any number of clients.
pub struct DevChain {
    inner: Mutex<Inner>,
    options: DevChainOptions,
    scheduler: Arc<dyn Scheduler>,
}

impl std::fmt::Debug for DevChain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DevChain").field("options", &self.options).finish_non_exhaustive()
    }
}

impl DevChain {
    /// A chain in memory.
    #[must_use]
    pub fn new(state: State, options: DevChainOptions, scheduler: Arc<dyn Scheduler>) -> Arc<Self> {
        Self::with_inner(Inner::new(state, None), options, scheduler)
    }

    /// A chain that is kept in a directory: it goes on where it stopped, or begins with `genesis`.
    ///
    /// # Errors
    /// The directory can't be read or written, what is in it is damaged, or it is another chain's.
    pub fn open(
        dir: &Path,
        genesis: impl FnOnce() -> Result<State, String>,
        options: DevChainOptions,
        scheduler: Arc<dyn Scheduler>,
    ) -> Result<Arc<Self>, StoreError> {
        let (store, kept) = Store::open(dir)?;
        let mut inner = match kept {
            Some(kept) => {
                let mut inner = Inner::new(kept.snapshot.state, None);
                inner.remember(kept.snapshot.transactions, kept.snapshot.block_times);
                for block in kept.blocks {
                    inner.replay(block).map_err(|reason| StoreError::Damaged { reason })?;
                }
                inner.store = Some(store);
                inner
            }
            None => {
                let state = genesis().map_err(|reason| StoreError::Genesis { reason })?;
                Inner::new(state, Some(store))
            }
        };
        inner.save_snapshot()?;
        Ok(Self::with_inner(inner, options, scheduler))
    }

    /// How it was made.
    #[must_use]
    pub const fn options(&self) -> &DevChainOptions {
        &self.options
    }

    fn with_inner(inner: Inner, options: DevChainOptions, scheduler: Arc<dyn Scheduler>) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(inner), options, scheduler })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in a rule leaves the state as it was then; what is left can still be read.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of blocks from now on, and of none that were made before. A later watcher replaces this one.
    pub fn watch(&self, watcher: BlockWatcher) {
        self.lock().watcher = Some(watcher);
    }

    /// Makes blocks until `stop`, or until the chain is dropped. With an interval of 0 that does nothing.
    pub fn start(self: &Arc<Self>, stop: Cancel) -> Arc<dyn TaskHandle> {
        let weak = Arc::downgrade(self);
        let scheduler = Arc::clone(&self.scheduler);
        let interval = Duration::from_millis(self.options.block_interval_ms);
        let task = async move {
            if interval.is_zero() {
                return;
            }
            while sleep_unless_cancelled(scheduler.as_ref(), interval, &stop).await {
                let Some(chain) = weak.upgrade() else { return };
                if chain.produce_block().is_err() {
                    return;
                }
            }
        };
        self.scheduler.spawn("devchain blocks", Box::pin(task))
    }

    /// Makes one block now.
    ///
    /// # Errors
    /// The block can't be processed or written; the chain has then halted for good.
    pub fn produce_block(&self) -> Result<i64, String> {
        let time_ms = self.scheduler.wall_clock_ms();
        self.lock().produce_block(time_ms)
    }

    /// Reads the state of the last committed block.
    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.lock().state)
    }

    /// Why the chain makes no more blocks, if it does not.
    #[must_use]
    pub fn halted(&self) -> Option<String> {
        self.lock().halted.clone()
    }

    /// The time of a block, in milliseconds since 1970; `None` for one that was not made or is forgotten.
    #[must_use]
    pub fn block_time_ms(&self, height: i64) -> Option<i64> {
        self.lock().block_times.get(&height).copied()
    }

    /// An executed transaction, by the hex of its hash in any case.
    #[must_use]
    pub fn transaction(&self, hash: &str) -> Option<ExecutedTx> {
        self.lock().transactions.get(&hash.to_ascii_uppercase()).cloned()
    }

    /// The executed transactions for which `matches` holds, latest first, at most `limit`.
    #[must_use]
    pub fn transactions(&self, limit: usize, matches: impl Fn(&ExecutedTx) -> bool) -> Vec<ExecutedTx> {
        let inner = self.lock();
        let latest_first = inner.transactions_in_order.iter().rev();
        let executed = latest_first.filter_map(|hash| inner.transactions.get(hash));
        executed.filter(|executed| matches(executed)).take(limit).cloned().collect()
    }

    /// Takes a transaction into the mempool, or refuses it (CheckTx). An executed one is refused by its sequence.
    pub fn broadcast(&self, bytes: &[u8]) -> Taken {
        let refusal = self.lock().take(bytes, &self.options).err();
        if refusal.is_none() && self.options.block_interval_ms == 0 {
            // A chain that halts says so to the next transaction.
            let _ = self.produce_block();
        }
        Taken { hash: hash_of(bytes), refusal }
    }

    /// What a transaction would do after those that wait, as far as its own account is concerned.
    ///
    /// # Errors
    /// Why it would be refused, in the words of the chain (chain 0.2).
    pub fn simulate(&self, bytes: &[u8]) -> Result<Simulated, String> {
        let arrived = Arrived::read(bytes).map_err(|refusal| refusal.to_string())?;
        let inner = self.lock();
        let rules = Rules {
            chain_id: &inner.state.chain_id,
            height: inner.state.height,
            gas_price_min_milli: 0,
            stage: Stage::Simulation,
        };
        let signer = &arrived.transaction.signer;
        arrived.check(inner.pending_account(signer), rules).map_err(|refusal| refusal.to_string())?;
        let gas_used = arrived.gas_used();
        let simulated = inner.state.simulate(&arrived.transaction);
        drop(inner);
        match simulated {
            Ok(delivered) => Ok(Simulated {
                gas_used,
                data: answers(&arrived, &delivered),
                events: delivered.into_iter().flat_map(|each| each.events).collect(),
            }),
            Err(failure) => Err(format!("{failure} with gas used: '{gas_used}'")),
        }
    }
}

/// The answers to the messages as the chain packs them.
fn answers(arrived: &Arrived, delivered: &[lampkeeper_chain_sim::Delivered]) -> Vec<u8> {
    let answers = arrived.type_urls.iter().zip(delivered);
    let msg_responses = answers.map(|(type_url, each)| messages::response(type_url, &each.response));
    TxMsgData { msg_responses: msg_responses.collect() }.encode_to_vec()
}

impl Inner {
    fn new(state: State, store: Option<Store>) -> Self {
        let block_times = BTreeMap::from([(state.height, state.block_time_ms)]);
        Self {
            state,
            mempool: VecDeque::new(),
            pending_accounts: BTreeMap::new(),
            transactions: BTreeMap::new(),
            transactions_in_order: VecDeque::new(),
            block_times,
            store,
            watcher: None,
            halted: None,
        }
    }

    /// An account as it will be when all that waits was executed.
    fn pending_account(&self, address: &str) -> Option<&BankAccount> {
        self.pending_accounts.get(address).or_else(|| self.state.bank.accounts.get(address))
    }

    fn take(&mut self, bytes: &[u8], options: &DevChainOptions) -> Result<(), Refusal> {
        if let Some(reason) = &self.halted {
            return Err(Refusal::unregistered(format!("the chain has halted: {reason}")));
        }
        let hash = hash_of(bytes);
        if self.mempool.iter().any(|waiting| waiting.hash == hash) {
            return Err(codes::ALREADY_IN_MEMPOOL.because(""));
        }
        if self.mempool.len() >= MEMPOOL_TRANSACTIONS_MAX {
            return Err(codes::MEMPOOL_IS_FULL.because(""));
        }
        let arrived = Arrived::read(bytes)?;
        let stage = Stage::Arrival;
        let account = self.check(&arrived, stage, self.state.height, options.gas_price_min_milli)?;
        self.wait(arrived, account);
        Ok(())
    }

    fn check(
        &self,
        arrived: &Arrived,
        stage: Stage,
        height: i64,
        gas_price_min_milli: u64,
    ) -> Result<BankAccount, Refusal> {
        let rules = Rules { chain_id: &self.state.chain_id, height, gas_price_min_milli, stage };
        let signer = &arrived.transaction.signer;
        let account = match stage {
            Stage::Execution => self.state.bank.accounts.get(signer),
            Stage::Arrival | Stage::Simulation => self.pending_account(signer),
        };
        arrived.check(account, rules)
    }

    fn wait(&mut self, arrived: Arrived, mut account: BankAccount) {
        account.sequence = account.sequence.saturating_add(1);
        self.pending_accounts.insert(arrived.transaction.signer.clone(), account);
        self.mempool.push_back(arrived);
    }

    /// After a block, what still waits is checked again; what a changed account can't pay for any more is dropped.
    fn recheck(&mut self) {
        self.pending_accounts.clear();
        for arrived in std::mem::take(&mut self.mempool) {
            if let Ok(account) = self.check(&arrived, Stage::Arrival, self.state.height, 0) {
                self.wait(arrived, account);
            }
        }
    }

    fn produce_block(&mut self, time_ms: i64) -> Result<i64, String> {
        if let Some(reason) = &self.halted {
            return Err(reason.clone());
        }
        let count = self.mempool.len().min(BLOCK_TRANSACTIONS_MAX);
        let block = StoredBlock {
            height: self.state.height + 1,
            // Block time never goes back, whatever the wall clock does.
            time_ms: time_ms.max(self.state.block_time_ms),
            transactions_hex: self.mempool.iter().take(count).map(|each| hex::encode(&each.bytes)).collect(),
        };
        // Written before it is executed: what anybody was told of a block is still so after a crash.
        let written = self.store.as_mut().map_or(Ok(()), |store| store.append(&block));
        if let Err(error) = written {
            return Err(self.halt(error.to_string()));
        }
        let transactions: Vec<Arrived> = self.mempool.drain(..count).collect();
        let events = match self.execute(block.height, block.time_ms, &transactions) {
            Ok(events) => events,
            Err(reason) => return Err(self.halt(reason)),
        };
        if let Some(watcher) = &self.watcher {
            watcher(&self.state, &events);
        }
        self.recheck();
        let is_due = self.store.as_ref().is_some_and(|store| store.blocks() >= SNAPSHOT_EVERY_BLOCKS);
        if is_due && let Err(error) = self.save_snapshot() {
            return Err(self.halt(error.to_string()));
        }
        Ok(block.height)
    }

    fn halt(&mut self, reason: String) -> String {
        self.halted = Some(reason.clone());
        self.mempool.clear();
        reason
    }

    /// Makes a block again that was made before a restart.
    fn replay(&mut self, block: StoredBlock) -> Result<(), String> {
        if block.height <= self.state.height {
            return Ok(()); // The snapshot was written, and the process died before the blocks were dropped.
        }
        if block.height != self.state.height + 1 {
            return Err(format!("block {} is followed by block {}", self.state.height, block.height));
        }
        let mut transactions = Vec::with_capacity(block.transactions_hex.len());
        for text in &block.transactions_hex {
            let bytes = hex::decode(text).map_err(|error| format!("block {}: {error}", block.height))?;
            let read = Arrived::read(&bytes);
            transactions.push(read.map_err(|refusal| format!("block {}: {refusal}", block.height))?);
        }
        self.execute(block.height, block.time_ms, &transactions).map(drop)
    }

    /// Executes a block; what happened in it.
    fn execute(&mut self, height: i64, time_ms: i64, transactions: &[Arrived]) -> Result<Vec<Event>, String> {
        let header_hash = self.state.header_hash(height);
        let begun = self.state.begin_block(height, &header_hash, time_ms);
        let mut events = begun.map_err(|error| error.to_string())?;
        let executed: Vec<_> = transactions.iter().map(|arrived| self.deliver(arrived)).collect();
        events.extend(executed.iter().flat_map(|executed| executed.events.iter().cloned()));
        events.extend(self.state.end_block().map_err(|error| error.to_string())?);
        self.remember(executed, BTreeMap::from([(height, time_ms)]));
        Ok(events)
    }

    /// Executes one transaction in the block that was begun (DeliverTx).
    fn deliver(&mut self, arrived: &Arrived) -> ExecutedTx {
        let mut executed = ExecutedTx {
            hash: arrived.hash.clone(),
            bytes_hex: hex::encode(&arrived.bytes),
            height: self.state.height,
            time_ms: self.state.block_time_ms,
            codespace: String::new(),
            code: 0,
            raw_log: String::new(),
            data_hex: String::new(),
            gas_wanted: arrived.gas_limit,
            gas_used: arrived.gas_used(),
            events: Vec::new(),
        };
        let mut refuse = |refusal: &Refusal, words: String| {
            executed.codespace = refusal.codespace.clone();
            executed.code = refusal.code;
            executed.raw_log = words;
        };
        let signer = &arrived.transaction.signer;
        // A transaction that fails here pays nothing and uses up no sequence.
        match self.check(arrived, Stage::Execution, self.state.height, 0) {
            Err(refusal) => {
                refuse(&refusal, refusal.to_string());
                return executed;
            }
            Ok(account) => {
                self.state.bank.accounts.insert(signer.clone(), account);
                self.state.bank.mint(&address::module_account(FEE_COLLECTOR), arrived.fee_ulume);
            }
        }
        if arrived.gas_used() > arrived.gas_limit {
            if let Some(account) = self.state.bank.accounts.get_mut(signer) {
                account.sequence = account.sequence.saturating_add(1);
            }
            let (limit, used) = (arrived.gas_limit, arrived.gas_used());
            let words = format!("out of gas in location: messages; gasWanted: {limit}, gasUsed: {used}");
            let refusal = codes::OUT_OF_GAS.because(words);
            refuse(&refusal, refusal.to_string());
            return executed;
        }
        match self.state.deliver_transaction(&arrived.transaction) {
            Ok(delivered) => {
                executed.data_hex = hex::encode_upper(answers(arrived, &delivered));
                executed.events = delivered.into_iter().flat_map(|each| each.events).collect();
            }
            Err(failure) => refuse(&failure.refusal, failure.to_string()),
        }
        executed
    }

    fn remember(&mut self, executed: Vec<ExecutedTx>, block_times: BTreeMap<i64, i64>) {
        for transaction in executed {
            let hash = transaction.hash.clone();
            if self.transactions.insert(hash.clone(), transaction).is_none() {
                self.transactions_in_order.push_back(hash);
            }
        }
        while self.transactions_in_order.len() > TRANSACTIONS_MAX {
            if let Some(oldest) = self.transactions_in_order.pop_front() {
                self.transactions.remove(&oldest);
            }
        }
        self.block_times.extend(block_times);
        while self.block_times.len() > BLOCKS_MAX {
            self.block_times.pop_first();
        }
    }

    fn save_snapshot(&mut self) -> Result<(), StoreError> {
        let Some(store) = self.store.as_mut() else { return Ok(()) };
        let in_order = self.transactions_in_order.iter();
        let transactions = in_order.filter_map(|hash| self.transactions.get(hash)).collect();
        store.save_snapshot(&self.state, transactions, &self.block_times)
    }
}
