//! The chain that a scenario runs: the shared chain's mempool, blocks and faults, without its clients and its time.
//!
//! A submission either executes at once, in the block at the current height, or waits for the next block. Faults in calls
//! are carried out here, those in blocks by the shared chain. Time passes only in delays: a block is made for each second
//! of them.

use super::arguments::Arguments;
use super::messages::Sent;
use super::outcome::Outcome;
use super::problem::Problem;
use super::questions;
use super::value::Value;
use crate::block::Delivered;
use crate::chain::{Broadcast, Shared, SimChainOptions, TxRecord};
use crate::injection::{CallFault, InjectionPlan};
use crate::queries::QueryError;
use crate::refusal::Refusal;
use crate::transaction::merged;
use crate::{Block, BlockError, Event, State};
use futures::channel::oneshot;

/// Time between two blocks.
const BLOCK_INTERVAL_MS: u64 = 1000;
/// The most blocks that one step makes.
const BLOCKS_OF_STEP_MAX: u64 = 1_000_000;

pub(super) struct Network {
    shared: Shared,
    options: SimChainOptions,
    /// What delays have added up to since the last block.
    since_block_ms: u64,
}

/// What a step did.
#[derive(Default)]
pub(super) struct Done {
    /// What became of each message, query or call, in the order of the file.
    pub(super) outcomes: Vec<Outcome>,
    /// Everything that was told, in order.
    pub(super) events: Vec<Event>,
    /// What the last block told.
    pub(super) block_events: Vec<Event>,
}

impl Done {
    fn tell(&mut self, events: Vec<Event>) {
        self.block_events.clone_from(&events);
        self.events.extend(events);
    }

    fn take_block(&mut self, block: Block) {
        let delivered =
            block.results.into_iter().filter_map(Result::ok).flat_map(|delivered| delivered.events);
        let events = block.begin_events.into_iter().chain(delivered).chain(block.end_events).collect();
        self.tell(events);
    }

    /// Adds what processing a block came to: the height, or why the chain halted.
    fn finish(mut self, state: &State, result: Result<(), BlockError>) -> Self {
        self.outcomes.push(match result {
            Ok(()) => Outcome::Answer(questions::table(vec![("height", Value::integer(state.height))])),
            Err(error) => Outcome::of_block_error(&error),
        });
        self
    }
}

/// What a client hears of a submission whose end it does not know.
fn unknown_outcome(why: &str) -> Outcome {
    Outcome::Refused { code: "outcome_unknown".to_owned(), text: why.to_owned() }
}

/// What was executed, as the sender hears it.
fn outcome_of(result: Result<Delivered, Refusal>) -> Outcome {
    match result {
        Ok(delivered) => Outcome::of(&delivered.response).unwrap_or_else(Outcome::of_words),
        Err(refusal) => Outcome::of_refusal(&refusal),
    }
}

/// A submission on its way into a block.
struct Waiting {
    fault: Option<CallFault>,
    /// What the sender has heard already.
    early: Option<Outcome>,
    receiver: Option<oneshot::Receiver<TxRecord>>,
}

impl Waiting {
    fn finish(self) -> Outcome {
        let executed = self.receiver.and_then(|mut receiver| receiver.try_recv().ok().flatten());
        match (self.early, executed) {
            (Some(early), _) => early,
            (None, Some(record)) => after(self.fault.as_ref(), outcome_of(record.merged())),
            (None, None) => unknown_outcome("this block did not execute it"),
        }
    }
}

impl Network {
    pub(super) fn new(state: State) -> Self {
        let options = SimChainOptions::default();
        Self { shared: Shared::new(state, InjectionPlan::default()), options, since_block_ms: 0 }
    }

    pub(super) const fn state(&self) -> &State {
        &self.shared.state
    }

    /// Changes the state past all messages.
    pub(super) fn plant<T>(&mut self, change: impl FnOnce(&mut State) -> T) -> T {
        let answer = change(&mut self.shared.state);
        self.shared.replicas.planted(&self.shared.state);
        answer
    }

    pub(super) fn inject(&mut self, plan: InjectionPlan) {
        self.shared.inject(plan);
    }

    /// Executes a transaction at the current height, without a block around it.
    pub(super) fn deliver(&mut self, sent: &Sent, line: usize) -> Result<Done, Problem> {
        let mut done = Done::default();
        let fault = self.fault_of(sent);
        if let Some(CallFault::Delay { delay_ms }) = fault
            && let Err(error) = self.pass(delay_ms, &mut done, line)?
        {
            done.outcomes.push(Outcome::of_block_error(&error));
            return Ok(done);
        }
        let (early, _) = self.before(fault.as_ref(), sent);
        let early = early.or_else(|| self.refused_at_once(sent));
        if let Some(early) = early {
            done.outcomes.push(early);
            return Ok(done);
        }
        let result = merged(&self.plant(|state| state.deliver_transaction(&sent.transaction)));
        if let Ok(delivered) = &result {
            done.tell(delivered.events.clone());
        }
        let mut outcome = after(fault.as_ref(), outcome_of(result));
        if let Some(CallFault::DelayAfterAcceptance { delay_ms }) = fault
            && let Err(error) = self.pass(delay_ms, &mut done, line)?
        {
            outcome = Outcome::of_block_error(&error);
        }
        done.outcomes.push(outcome);
        Ok(done)
    }

    /// Makes one block with these transactions, in this order.
    pub(super) fn block(
        &mut self,
        all: Vec<Sent>,
        time_ms: Option<i64>,
        line: usize,
    ) -> Result<Done, Problem> {
        let mut waiting = Vec::with_capacity(all.len());
        for sent in all {
            let fault = self.fault_of(&sent);
            let (early, postpone_blocks) = self.before(fault.as_ref(), &sent);
            let early = early.or_else(|| self.refused_at_once(&sent));
            let receiver = early.is_none().then(|| self.enqueue(sent, postpone_blocks));
            waiting.push(Waiting { fault, early, receiver });
        }
        let mut done = Done::default();
        if let Err(error) = self.make_block(time_ms, &mut done) {
            return Ok(done.finish(&self.shared.state, Err(error)));
        }
        let longest_delay_ms = waiting.iter().map(|waiting| match waiting.fault {
            Some(CallFault::DelayAfterAcceptance { delay_ms }) => delay_ms,
            _ => 0,
        });
        let longest_delay_ms = longest_delay_ms.max().unwrap_or(0);
        done.outcomes = waiting.into_iter().map(Waiting::finish).collect();
        if let Err(error) = self.pass(longest_delay_ms, &mut done, line)? {
            return Ok(done.finish(&self.shared.state, Err(error)));
        }
        Ok(done)
    }

    /// Makes one block, unless a fault freezes it.
    fn make_block(&mut self, time_ms: Option<i64>, done: &mut Done) -> Result<(), BlockError> {
        let next_ms = self.shared.state.block_time_ms.saturating_add_unsigned(BLOCK_INTERVAL_MS);
        self.since_block_ms = 0;
        if let Some(block) = self.shared.produce_block(time_ms.unwrap_or(next_ms), &self.options)? {
            done.take_block(block);
        }
        Ok(())
    }

    /// Lets time pass, in which the chain makes its blocks.
    fn pass(
        &mut self,
        delay_ms: u64,
        done: &mut Done,
        line: usize,
    ) -> Result<Result<(), BlockError>, Problem> {
        let passed_ms = self.since_block_ms.saturating_add(delay_ms);
        let made = self.make_blocks(passed_ms / BLOCK_INTERVAL_MS, done, line)?;
        self.since_block_ms = passed_ms % BLOCK_INTERVAL_MS;
        Ok(made)
    }

    fn make_blocks(
        &mut self,
        blocks: u64,
        done: &mut Done,
        line: usize,
    ) -> Result<Result<(), BlockError>, Problem> {
        if blocks > BLOCKS_OF_STEP_MAX {
            let message = format!("{blocks} blocks are more than the {BLOCKS_OF_STEP_MAX} of one step");
            return Err(Problem::at(line, message));
        }
        Ok((0..blocks).try_for_each(|_| self.make_block(None, done)))
    }

    /// Makes this many blocks, frozen ones included.
    pub(super) fn advance(&mut self, blocks: u64, line: usize) -> Result<Done, Problem> {
        let mut done = Done::default();
        let result = self.make_blocks(blocks, &mut done, line)?;
        Ok(done.finish(&self.shared.state, result))
    }

    /// Runs BeginBlock alone. An empty hash stands for one that is not available.
    pub(super) fn begin_block(&mut self, height: i64, hash: Option<Vec<u8>>, time_ms: i64) -> Done {
        let mut done = Done::default();
        let hash = hash.unwrap_or_else(|| self.shared.state.header_hash(height).to_vec());
        let result =
            self.plant(|state| state.begin_block(height, &hash, time_ms)).map(|events| done.tell(events));
        done.finish(&self.shared.state, result)
    }

    /// Runs EndBlock alone.
    pub(super) fn end_block(&mut self) -> Done {
        let mut done = Done::default();
        let result = self.plant(State::end_block).map(|events| done.tell(events));
        done.finish(&self.shared.state, result)
    }

    /// Runs the five steps of an epoch's close, at whatever height the chain is.
    pub(super) fn close_epoch(&mut self, epoch_id: u64) -> Done {
        let mut done = Done::default();
        let result = self.plant(|state| state.close_epoch(epoch_id));
        done.tell(std::mem::take(&mut self.shared.state.pending_events));
        done.finish(&self.shared.state, result)
    }

    /// Calls a function on the state.
    pub(super) fn call(&mut self, value: Value) -> Result<Done, Problem> {
        let mut arguments = Arguments::of(value)?;
        let line = arguments.line();
        let name: String = arguments.read_required("name")?;
        let outcome = self.plant(|state| super::functions::call(state, &name, line, &mut arguments))?;
        arguments.finish()?;
        let mut done = Done { outcomes: vec![outcome], ..Done::default() };
        done.tell(std::mem::take(&mut self.shared.state.pending_events));
        Ok(done)
    }

    /// Asks a query; with `as`, as that account's client, whom faults may hit.
    pub(super) fn query(&mut self, value: Value) -> Result<Done, Problem> {
        let mut arguments = Arguments::of(value)?;
        let line = arguments.line();
        let name: String = arguments.read_required("name")?;
        let account: Option<String> = arguments.read("as")?;
        if arguments.read("nil")? {
            arguments.finish()?;
            let error = QueryError::invalid_argument("invalid request");
            return Ok(Done { outcomes: vec![questions::refused(&error)], ..Done::default() });
        }
        let call = snake_case(&name);
        let fault = account.and_then(|account| self.shared.injector.on_call(&account, &call));
        let mut done = Done::default();
        if let Some(CallFault::Delay { delay_ms }) = fault
            && let Err(error) = self.pass(delay_ms, &mut done, line)?
        {
            return Ok(done.finish(&self.shared.state, Err(error)));
        }
        let state = match &fault {
            Some(CallFault::Lag { blocks }) => self.shared.lagging(*blocks),
            _ => &self.shared.state,
        };
        let answered = match super::base::ask_chain(&self.shared, &name, &mut arguments)? {
            Some(answered) => answered,
            None => questions::ask(state, &name, line, &mut arguments)?,
        };
        arguments.finish()?;
        let mut outcome = match &fault {
            Some(CallFault::Fail { error } | CallFault::FailAfterAcceptance { error }) => {
                Outcome::of_client_error(&error.to_chain_error(&call))
            }
            Some(CallFault::Drop) => unknown_outcome("the query was never answered"),
            _ => answered,
        };
        if let Some(CallFault::DelayAfterAcceptance { delay_ms }) = fault
            && let Err(error) = self.pass(delay_ms, &mut done, line)?
        {
            outcome = Outcome::of_block_error(&error);
        }
        done.outcomes.push(outcome);
        Ok(done)
    }

    fn enqueue(&mut self, sent: Sent, postpone_blocks: u32) -> oneshot::Receiver<TxRecord> {
        self.shared.enqueue(sent.transaction.into(), postpone_blocks).1
    }

    fn fault_of(&mut self, sent: &Sent) -> Option<CallFault> {
        self.shared.injector.on_call(&sent.transaction.signer, &sent.call())
    }

    /// What is refused before a block sees it: a wrong sequence, no messages.
    fn refused_at_once(&self, sent: &Sent) -> Option<Outcome> {
        let broadcast = Broadcast { sequence: sent.sequence, ..sent.transaction.clone().into() };
        self.shared.check(&broadcast).err().map(|refusal| Outcome::of_refusal(&refusal))
    }

    /// What a fault does before a submission is executed: an outcome if it ends there for its sender, or the blocks by
    /// which it comes too late for the next one.
    fn before(&mut self, fault: Option<&CallFault>, sent: &Sent) -> (Option<Outcome>, u32) {
        match fault {
            Some(CallFault::Fail { error }) => {
                (Some(Outcome::of_client_error(&error.to_chain_error(&sent.call()))), 0)
            }
            Some(CallFault::Drop) => (Some(unknown_outcome("the submission was lost")), 0),
            Some(CallFault::Postpone { blocks }) => {
                // Nobody waits for it: the client that sent it has given up.
                drop(self.shared.enqueue(sent.transaction.clone().into(), *blocks));
                (Some(unknown_outcome("the submission waits for a later block")), 0)
            }
            Some(CallFault::Delay { delay_ms }) => {
                let late = self.since_block_ms.saturating_add(*delay_ms) / BLOCK_INTERVAL_MS;
                (None, u32::try_from(late).unwrap_or(u32::MAX))
            }
            _ => (None, 0),
        }
    }
}

/// What a fault makes of a submission that was executed.
fn after(fault: Option<&CallFault>, outcome: Outcome) -> Outcome {
    match fault {
        Some(CallFault::FailAfterAcceptance { error }) => {
            Outcome::of_client_error(&error.to_chain_error("submit"))
        }
        _ => outcome,
    }
}

/// `HealOpsByStatus` becomes `heal_ops_by_status`: the names of calls in fault descriptions.
fn snake_case(name: &str) -> String {
    let mut call = String::new();
    let mut was_upper = true;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !was_upper {
            call.push('_');
        }
        was_upper = letter.is_ascii_uppercase();
        call.push(letter.to_ascii_lowercase());
    }
    call
}

/// Events as values: their kind and attributes in one table.
pub(super) fn event_value(event: &Event) -> Value {
    let mut entries: Vec<(&str, Value)> = event
        .attributes
        .iter()
        .rev() // the first of equal names stays
        .map(|(name, value)| (name.as_str(), Value::from(value.as_str())))
        .collect();
    entries.push(("kind", event.kind.as_str().into()));
    questions::table(entries)
}
