//! The making of blocks, and the faults in it.

use super::{Pending, Shared, SimChain, SimChainOptions, TxOutcome};
use crate::api::chain::{NodeSuspicion, Params, ReporterReliability, TicketDeterioration, TxReceipt};
use crate::api::scheduler::{TaskHandle, sleep_unless_cancelled};
use crate::block::{Block, BlockError};
use crate::injection::{BlockFault, BlockRule, ScoreKind, TxOrder};
use crate::message::Response;
use crate::state::State;
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
        let plan = match self.plan_block() {
            Ok(Some(plan)) => plan,
            Ok(None) => return Ok(None),
            Err(error) => return Err(self.halt(error)),
        };
        let transactions = self.take_transactions(&plan, options.block_transactions_max);
        self.keep_replica();
        // Block time never goes back, whatever the wall clock does.
        let time_ms = time_ms.max(self.state.block_time_ms);
        match self.run_block(plan.height, time_ms, transactions) {
            Ok(block) => {
                self.wake_height_waiters();
                Ok(Some(block))
            }
            Err(error) => Err(self.halt(error)),
        }
    }

    /// Makes no more blocks, and lets go of everybody who waits for one.
    fn halt(&mut self, error: BlockError) -> BlockError {
        self.halted = Some(error.clone());
        self.mempool.clear();
        self.height_waiters.clear();
        error
    }

    /// Height and faults of the next block; `None` if it is frozen. An override that does not fit is an error: a tester's
    /// mistake must not pass for a result.
    fn plan_block(&mut self) -> Result<Option<BlockPlan>, BlockError> {
        let mut plan = BlockPlan { height: self.state.height + 1, order: None, drops_transactions: false };
        if self.frozen_intervals > 0 {
            self.frozen_intervals -= 1;
            return Ok(None);
        }
        let mut faults = self.injector.on_block(plan.height).into_iter();
        while let Some(fault) = faults.next() {
            match fault {
                BlockFault::Freeze { intervals: 0 } => {}
                BlockFault::Freeze { intervals } => {
                    // This block is the first that falls out; what else was due happens after the freeze.
                    self.frozen_intervals = intervals - 1;
                    for fault in faults {
                        self.injector.put_back(BlockRule { at_height: plan.height, fault });
                    }
                    return Ok(None);
                }
                BlockFault::JumpTo { height } => plan.height = plan.height.max(height),
                BlockFault::Reorder { order } => plan.order = Some(order),
                BlockFault::DropTransactions => plan.drops_transactions = true,
                BlockFault::OverrideParams { values } => override_params(&mut self.state, values)?,
                BlockFault::OverrideScore { of, id, score } => override_score(&mut self.state, of, id, score),
            }
        }
        Ok(Some(plan))
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

    /// Keeps the state before this block while a rule may ask for it.
    fn keep_replica(&mut self) {
        let kept = self.injector.longest_lag();
        if kept > 0 {
            self.history.push_back(Arc::new(self.state.clone()));
        }
        while self.history.len() > kept {
            self.history.pop_front();
        }
    }

    fn run_block(
        &mut self,
        height: i64,
        time_ms: i64,
        transactions: Vec<Pending>,
    ) -> Result<Block, BlockError> {
        let header_hash = self.state.header_hash(height);
        let begin_events = self.state.begin_block(height, &header_hash, time_ms)?;
        let mut outcomes = Vec::with_capacity(transactions.len());
        for pending in transactions {
            // A transaction that passed the ante checks uses up its sequence, refused or not (chain 0.2).
            if let Some(account) = self.state.bank.accounts.get_mut(&pending.creator) {
                account.sequence = account.sequence.saturating_add(1);
            }
            let result = self.state.deliver(&pending.message, &pending.creator);
            outcomes.push((pending, result));
        }
        let end_events = self.state.end_block()?;
        let mut results = Vec::with_capacity(outcomes.len());
        for (pending, result) in outcomes {
            let response_id = match result.as_ref().map(|delivered| &delivered.response) {
                Ok(Response::Action { action_id, .. }) => action_id.clone(),
                _ => String::new(),
            };
            let receipt = TxReceipt { tx_hash: pending.tx_hash, height, response_id };
            // The submitter may have given up.
            drop(pending.done.send(TxOutcome { receipt, result: result.clone() }));
            results.push(result);
        }
        Ok(Block { height, begin_events, results, end_events })
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

/// What is decided of a block before it is made.
struct BlockPlan {
    height: i64,
    order: Option<TxOrder>,
    drops_transactions: bool,
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
