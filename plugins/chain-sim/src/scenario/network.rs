//! The chain that a scenario runs: the shared chain's mempool, blocks and faults, without its clients and its time.
//!
//! A submission either executes at once, in the block at the current height, or waits for the next block. Faults in calls
//! are carried out here, those in blocks by the shared chain.

use super::arguments::Arguments;
use super::messages::Transaction;
use super::outcome::Outcome;
use super::problem::Problem;
use super::questions;
use super::value::Value;
use crate::chain::{Shared, SimChainOptions, TxRecord};
use crate::injection::{CallFault, InjectionPlan};
use crate::{Block, BlockError, Event, State};
use futures::channel::oneshot;

/// Time between two blocks.
const BLOCK_INTERVAL_MS: i64 = 1000;

pub(super) struct Network {
    shared: Shared,
    options: SimChainOptions,
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
    pub(super) fn with(outcome: Outcome) -> Self {
        Self { outcomes: vec![outcome], ..Self::default() }
    }

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
            Err(error) => Outcome::Refused { code: "block".to_owned(), text: error.to_string() },
        });
        self
    }
}

/// What a client hears of a submission whose end it does not know.
fn unknown_outcome(why: &str) -> Outcome {
    Outcome::Refused { code: "outcome_unknown".to_owned(), text: why.to_owned() }
}

impl Network {
    pub(super) fn new(state: State) -> Self {
        let options = SimChainOptions::default();
        Self { shared: Shared::new(state, InjectionPlan::default()), options }
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

    /// Executes a message at the current height, without a block around it.
    pub(super) fn deliver(&mut self, transaction: &Transaction) -> Done {
        let fault = self.fault_of_submission(transaction);
        if let Some(outcome) = self.before(fault.as_ref(), transaction) {
            return Done::with(outcome);
        }
        let mut done = Done::default();
        let result = self.plant(|state| state.deliver(&transaction.message, &transaction.creator));
        let outcome = match result {
            Ok(delivered) => {
                done.tell(delivered.events);
                Value::of(&delivered.response).map_or_else(Outcome::of_words, Outcome::Answer)
            }
            Err(refusal) => Outcome::of_refusal(&refusal),
        };
        done.outcomes.push(after(fault, outcome));
        done
    }

    /// Makes one block with these messages, in this order.
    pub(super) fn block(&mut self, transactions: Vec<Transaction>, time_ms: Option<i64>) -> Done {
        let mut waiting = Vec::new();
        for transaction in transactions {
            let fault = self.fault_of_submission(&transaction);
            let early = self.before(fault.as_ref(), &transaction);
            let receiver = match early {
                None => Some(self.enqueue(&transaction, 0)),
                Some(_) => None,
            };
            waiting.push((fault, early, receiver));
        }
        let mut done = Done::default();
        let time_ms = time_ms.unwrap_or(self.shared.state.block_time_ms + BLOCK_INTERVAL_MS);
        match self.shared.produce_block(time_ms, &self.options) {
            Ok(Some(block)) => done.take_block(block),
            Ok(None) => {}
            Err(error) => return done.finish(&self.shared.state, Err(error)),
        }
        for (fault, early, receiver) in waiting {
            let executed = receiver.and_then(|mut receiver| receiver.try_recv().ok().flatten());
            let outcome = match (early, executed.map(|record| record.merged())) {
                (Some(early), _) => early,
                (None, Some(Ok(delivered))) => {
                    let answer =
                        Value::of(&delivered.response).map_or_else(Outcome::of_words, Outcome::Answer);
                    after(fault, answer)
                }
                (None, Some(Err(refusal))) => after(fault, Outcome::of_refusal(&refusal)),
                (None, None) => unknown_outcome("this block did not execute it"),
            };
            done.outcomes.push(outcome);
        }
        done
    }

    /// Makes this many blocks, frozen ones included.
    pub(super) fn advance(&mut self, blocks: u64) -> Done {
        let mut done = Done::default();
        let mut made = 0;
        let result = loop {
            if made == blocks {
                break Ok(());
            }
            made += 1;
            let time_ms = self.shared.state.block_time_ms + BLOCK_INTERVAL_MS;
            match self.shared.produce_block(time_ms, &self.options) {
                Ok(Some(block)) => done.take_block(block),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
        };
        done.finish(&self.shared.state, result)
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
        let mut done = Done::with(outcome);
        done.tell(std::mem::take(&mut self.shared.state.pending_events));
        Ok(done)
    }

    /// Asks a query; with `as`, as that account's client, whom faults may hit.
    pub(super) fn query(&mut self, value: Value) -> Result<Outcome, Problem> {
        let mut arguments = Arguments::of(value)?;
        let line = arguments.line();
        let name: String = arguments.read_required("name")?;
        let account: Option<String> = arguments.read("as")?;
        let call = snake_case(&name);
        let fault = account.and_then(|account| self.shared.injector.on_call(&account, &call));
        let state = match &fault {
            Some(CallFault::Lag { blocks }) => self.shared.lagging(*blocks),
            _ => &self.shared.state,
        };
        let outcome = questions::ask(state, &name, line, &mut arguments)?;
        arguments.finish()?;
        Ok(match fault {
            Some(CallFault::Fail { error } | CallFault::FailAfterAcceptance { error }) => {
                Outcome::of_client_error(&error.to_chain_error(&call))
            }
            Some(CallFault::Drop) => unknown_outcome("the query was never answered"),
            _ => outcome,
        })
    }

    fn enqueue(&mut self, transaction: &Transaction, postpone_blocks: u32) -> oneshot::Receiver<TxRecord> {
        let transaction = crate::Transaction::single(&transaction.creator, transaction.message.clone());
        self.shared.enqueue(transaction.into(), postpone_blocks).1
    }

    fn fault_of_submission(&mut self, transaction: &Transaction) -> Option<CallFault> {
        let call = format!("submit.{}", transaction.message.kind());
        self.shared.injector.on_call(&transaction.creator, &call)
    }

    /// What a fault does before a submission is executed; an outcome if it ends there.
    fn before(&mut self, fault: Option<&CallFault>, transaction: &Transaction) -> Option<Outcome> {
        match fault? {
            CallFault::Fail { error } => Some(Outcome::of_client_error(&error.to_chain_error("submit"))),
            CallFault::Drop => Some(unknown_outcome("the submission was lost")),
            CallFault::Postpone { blocks } => {
                // Nobody waits for it: the client that sent it has given up.
                drop(self.enqueue(transaction, *blocks));
                Some(unknown_outcome("the submission waits for a later block"))
            }
            CallFault::Delay { delay_ms } => {
                let state = &mut self.shared.state;
                state.block_time_ms = state.block_time_ms.saturating_add_unsigned(*delay_ms);
                None
            }
            _ => None,
        }
    }
}

/// What a fault makes of a submission that was executed.
fn after(fault: Option<CallFault>, outcome: Outcome) -> Outcome {
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
