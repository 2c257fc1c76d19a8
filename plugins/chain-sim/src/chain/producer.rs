//! The making of blocks, and the faults in it.

use super::ledger::{BlockRecord, TxRecord};
use super::{Pending, Shared, SimChain, SimChainOptions};
use crate::api::chain::{NodeSuspicion, Params, ReporterReliability, TicketDeterioration};
use crate::api::scheduler::{TaskHandle, sleep_unless_cancelled};
use crate::block::{Block, BlockError};
use crate::event::Event;
use crate::injection::{BlockFault, BlockRule, ScoreKind, TxOrder};
use crate::state::State;
use crate::transaction::{Transaction, TxResult};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn start(chain: &Arc<SimChain>) -> Arc<dyn TaskHandle> {
    let weak = Arc::downgrade(chain);
    let (scheduler, stop) = (Arc::clone(&chain.scheduler), chain.stop.clone());
    let interval = Duration::from_millis(chain.options.block_interval_ms);
    let task = async move {
        if interval.is_zero() {
            return;
        }
        while sleep_unless_cancelled(scheduler.as_ref(), interval, &stop).await {
            let Some(chain) = weak.upgrade() else { return };
            // A halted chain tells its error to everybody who submits.
            if chain.produce_block().is_err() {
                return;
            }
        }
    };
    chain.scheduler.spawn("chain-sim blocks", Box::pin(task))
}

impl Shared {
    pub(crate) fn produce_block(
        &mut self,
        time_ms: i64,
        options: &SimChainOptions,
    ) -> Result<Option<Block>, BlockError> {
        if let Some(error) = &self.halted {
            return Err(error.clone());
        }
        let Some(plan) = self.plan_block() else { return Ok(None) };
        let pending = self.take_transactions(&plan, options.block_transactions_max);
        let planned = PlannedBlock {
            height: plan.height,
            // Block time never goes back, whatever the wall clock does.
            time_ms: time_ms.max(self.state.block_time_ms),
            overrides: plan.overrides,
            transactions: pending.iter().map(|pending| pending.transaction.clone()).collect(),
        };
        let executed = match planned.execute(&mut self.state) {
            Ok(executed) => executed,
            Err(error) => return Err(self.halt(error)),
        };
        self.replicas.keep(&self.injector.lags(), &self.state);
        self.replicas.follow(&Arc::new(planned));
        let block = self.record(executed, pending, options.history_blocks_max);
        self.wake_height_waiters();
        Ok(Some(block))
    }

    /// Makes no more blocks, and lets go of everybody who waits for one.
    fn halt(&mut self, error: BlockError) -> BlockError {
        self.halted = Some(error.clone());
        self.mempool.clear();
        self.height_waiters.clear();
        error
    }

    /// Height and faults of the next block; `None` if it is frozen.
    fn plan_block(&mut self) -> Option<BlockPlan> {
        let mut plan = BlockPlan {
            height: self.state.height + 1,
            order: None,
            drops_transactions: false,
            overrides: Vec::new(),
        };
        if self.frozen_intervals > 0 {
            self.frozen_intervals -= 1;
            return None;
        }
        let mut faults = self.injector.on_block(plan.height);
        let is_freeze = |fault: &BlockFault| matches!(fault, BlockFault::Freeze { intervals: 1.. });
        if let Some(first) = faults.iter().position(is_freeze)
            && let BlockFault::Freeze { intervals } = faults.remove(first)
        {
            // This block is the first that falls out; what else was due happens after the freeze.
            self.frozen_intervals = intervals - 1;
            for fault in faults {
                self.injector.put_back(BlockRule { at_height: plan.height, fault });
            }
            return None;
        }
        for fault in faults {
            match fault {
                BlockFault::Freeze { .. } => {}
                BlockFault::JumpTo { height } => plan.height = plan.height.max(height),
                BlockFault::Reorder { order } => plan.order = Some(order),
                BlockFault::DropTransactions => plan.drops_transactions = true,
                fault @ (BlockFault::OverrideParams { .. } | BlockFault::OverrideScore { .. }) => {
                    plan.overrides.push(fault);
                }
            }
        }
        Some(plan)
    }

    fn take_transactions(&mut self, plan: &BlockPlan, count_max: usize) -> Vec<Pending> {
        let mut taken = Vec::new();
        let mut kept = std::collections::VecDeque::new();
        for pending in self.mempool.drain(..) {
            if pending.not_before_height <= plan.height && taken.len() < count_max {
                taken.push(pending);
            } else {
                kept.push_back(pending);
            }
        }
        self.mempool = kept;
        if plan.drops_transactions {
            taken.clear();
        }
        match plan.order {
            None => {}
            Some(TxOrder::Reverse) => taken.reverse(),
            Some(TxOrder::Shuffle) => {
                let salt = self.state.header_hash(plan.height);
                taken.sort_by_cached_key(|pending| {
                    *blake3::keyed_hash(&salt, pending.tx_hash.as_bytes()).as_bytes()
                });
            }
        }
        taken
    }

    /// Tells everybody who waits, and remembers the block.
    fn record(&mut self, executed: Executed, pending: Vec<Pending>, history_blocks_max: usize) -> Block {
        let (height, block_time_ms) = (self.state.height, self.state.block_time_ms);
        let mut records = Vec::with_capacity(pending.len());
        for ((index, pending), result) in (0_u32..).zip(pending).zip(executed.results) {
            let record = TxRecord {
                tx_hash: pending.tx_hash,
                height,
                index,
                block_time_ms,
                signer: pending.transaction.signer,
                raw: pending.raw,
                result,
            };
            // The submitter may have given up, or never have waited.
            drop(pending.done.send(record.clone()));
            records.push(record);
        }
        let block = Block {
            height,
            begin_events: executed.begin_events.clone(),
            results: records.iter().map(TxRecord::merged).collect(),
            end_events: executed.end_events.clone(),
        };
        let record = BlockRecord {
            height,
            header_hash: self.state.header_hash(height),
            block_time_ms,
            tx_hashes: records.iter().map(|record| record.tx_hash.clone()).collect(),
            begin_events: executed.begin_events,
            end_events: executed.end_events,
        };
        self.ledger.add(record, records, history_blocks_max);
        block
    }

    fn wake_height_waiters(&mut self) {
        let height = self.state.height;
        let (due, kept): (Vec<_>, Vec<_>) =
            self.height_waiters.drain(..).partition(|(wanted, _)| *wanted <= height);
        self.height_waiters = kept;
        for (_, waiter) in due {
            // The waiter may have given up.
            let _ = waiter.send(());
        }
    }
}

/// What is decided of a block before its transactions are chosen.
struct BlockPlan {
    height: i64,
    order: Option<TxOrder>,
    drops_transactions: bool,
    overrides: Vec<BlockFault>,
}

/// Everything that a block is made of: the same one makes the same of the same state.
pub(super) struct PlannedBlock {
    height: i64,
    time_ms: i64,
    /// What replaces parameters and scores before the block.
    overrides: Vec<BlockFault>,
    transactions: Vec<Transaction>,
}

/// What a block did.
pub(super) struct Executed {
    begin_events: Vec<Event>,
    results: Vec<TxResult>,
    end_events: Vec<Event>,
}

impl PlannedBlock {
    /// Processes the block. An override that does not fit is an error: a tester's mistake must not pass for a result.
    pub(super) fn execute(&self, state: &mut State) -> Result<Executed, BlockError> {
        for fault in &self.overrides {
            apply_override(state, fault)?;
        }
        let header_hash = state.header_hash(self.height);
        let begin_events = state.begin_block(self.height, &header_hash, self.time_ms)?;
        let results = self.transactions.iter().map(|each| state.deliver_transaction(each)).collect();
        Ok(Executed { begin_events, results, end_events: state.end_block()? })
    }
}

/// Parameters with some values replaced by name.
///
/// # Errors
/// The name or the value does not fit.
pub(crate) fn params_with(params: &Params, values: BTreeMap<String, Value>) -> Result<Params, String> {
    let mut table = serde_json::to_value(params).map_err(|error| error.to_string())?;
    if let Value::Object(table) = &mut table {
        table.extend(values);
    }
    serde_json::from_value(table).map_err(|error| error.to_string())
}

fn apply_override(state: &mut State, fault: &BlockFault) -> Result<(), BlockError> {
    match fault {
        BlockFault::OverrideParams { values } => override_params(state, values.clone()),
        BlockFault::OverrideScore { of, id, score } => {
            override_score(state, *of, id.clone(), *score);
            Ok(())
        }
        BlockFault::Freeze { .. }
        | BlockFault::JumpTo { .. }
        | BlockFault::Reorder { .. }
        | BlockFault::DropTransactions => Ok(()),
    }
}

fn override_params(state: &mut State, values: BTreeMap<String, Value>) -> Result<(), BlockError> {
    state.audit.params = params_with(&state.audit.params, values).map_err(|reason| {
        BlockError::new(format!("an injected override of parameters does not fit: {reason}"))
    })?;
    Ok(())
}

fn override_score(state: &mut State, of: ScoreKind, id: String, score: i64) {
    let epoch_id = state.current_epoch();
    match of {
        ScoreKind::NodeSuspicion => {
            let entry = state.audit.suspicion.entry(id.clone()).or_insert_with(|| NodeSuspicion {
                supernode_account: id,
                last_updated_epoch: epoch_id,
                ..NodeSuspicion::default()
            });
            entry.suspicion_score = score;
        }
        ScoreKind::ReporterReliability => {
            let entry = state.audit.reliability.entry(id.clone()).or_insert_with(|| ReporterReliability {
                reporter_supernode_account: id,
                last_updated_epoch: epoch_id,
                ..ReporterReliability::default()
            });
            entry.reliability_score = score;
        }
        ScoreKind::TicketDeterioration => {
            let stored = state.audit.tickets.get(&id).cloned();
            let ticket = stored.unwrap_or_else(|| TicketDeterioration {
                ticket_id: id,
                last_updated_epoch: epoch_id,
                ..TicketDeterioration::default()
            });
            state.audit.tickets.insert(TicketDeterioration { deterioration_score: score, ..ticket });
        }
    }
}
