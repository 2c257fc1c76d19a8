//! Running a file: its setup, then its steps in order.

use super::arguments::Arguments;
use super::decode::decode;
use super::expect::{self, Refused};
use super::messages::sent;
use super::network::{Done, Network, event_value};
use super::outcome::Outcome;
use super::plant;
use super::problem::Problem;
use super::reference::resolve;
use super::value::{Kind, Table, Value, parse};
use super::{Check, ScenarioReport};
use crate::injection::InjectionPlan;
use crate::{ChainConfig, State};
use std::collections::BTreeMap;

/// What a step can do.
const ACTIONS: [&str; 16] = [
    "submit",
    "block",
    "advance",
    "to_height",
    "to_epoch",
    "begin_block",
    "end_block",
    "close_epoch",
    "plant",
    "remove",
    "set",
    "inject",
    "query",
    "call",
    "save",
    "load",
];

pub(super) struct Runner {
    network: Network,
    captured: Table,
    /// Saved states, as the text that they were saved as.
    saved: BTreeMap<String, String>,
    all_events: Vec<Value>,
}

/// Runs a file into a report. An error ends the run.
pub(super) fn run(text: &str, report: &mut ScenarioReport) -> Result<(), Problem> {
    let mut file = Arguments::of(Value { line: 1, kind: Kind::Table(parse(text)?) })?;
    if let Some(name) = file.optional("name") {
        report.name = name.into_text()?;
    }
    let setup = file.optional("setup");
    let steps = file.required("step")?;
    file.finish()?;
    let mut runner = Runner {
        network: Network::new(State::new(ChainConfig::default())),
        captured: Table::new(),
        saved: BTreeMap::new(),
        all_events: Vec::new(),
    };
    if let Some(mut setup) = setup {
        resolve(&mut setup, &runner.captured)?;
        runner.network.plant(|state| plant::plant(state, setup))?;
    }
    for (index, step) in steps.into_list()?.into_iter().enumerate() {
        let line = step.line;
        runner.step(index, step, report).map_err(|problem| problem.or_at(line))?;
    }
    Ok(())
}

impl Runner {
    fn step(&mut self, index: usize, mut step: Value, report: &mut ScenarioReport) -> Result<(), Problem> {
        // Expectations may refer to what this very step captures, so they are resolved after it.
        let expectations = match &mut step.kind {
            Kind::Table(table) => table.remove("expect"),
            _ => None,
        };
        resolve(&mut step, &self.captured)?;
        let mut arguments = Arguments::of(step)?;
        let line = arguments.line();
        let title: String = arguments.read("name")?;
        let captures: BTreeMap<String, String> = arguments.read("capture")?;
        let refused = arguments.optional("refused").map(Refused::of).transpose()?;
        let action = arguments.one_of(&ACTIONS, "step")?;
        arguments.finish()?;
        let action_name = action.as_ref().map_or("look", |(name, _)| *name);
        let label = format!(
            "step {} (line {line}) {}",
            index + 1,
            if title.is_empty() { action_name } else { &title }
        );
        let done = match action {
            Some((name, argument)) => self.act(name, argument)?,
            None => Done::default(),
        };
        self.all_events.extend(done.events.iter().map(event_value));
        let expectations = expectations.map_or_else(|| Ok(Vec::new()), Value::into_list)?;
        let is_looked_at = expectations.iter().any(expect::is_about_result);
        result_checks(&label, &done, refused.as_ref(), is_looked_at, report);
        self.capture(&done, captures, line)?;
        for mut expectation in expectations {
            resolve(&mut expectation, &self.captured)?;
            let line = expectation.line;
            let verdict = expect::check(&mut self.network, &done, &self.all_events, expectation)
                .map_err(|problem| problem.or_at(line))?;
            report.checks.push(Check {
                step: format!("{label}, line {line}"),
                what: verdict.what,
                expected: verdict.expected,
                found: verdict.found,
                passed: verdict.passed,
            });
        }
        Ok(())
    }

    fn capture(
        &mut self,
        done: &Done,
        captures: BTreeMap<String, String>,
        line: usize,
    ) -> Result<(), Problem> {
        for (name, pointer) in captures {
            let answer = match done.outcomes.as_slice() {
                [Outcome::Answer(value)] => value.clone(),
                outcomes => {
                    let values = outcomes.iter().map(|outcome| match outcome {
                        Outcome::Answer(value) => value.clone(),
                        Outcome::Refused { .. } => Kind::Null.into(),
                    });
                    Kind::List(values.collect()).into()
                }
            };
            let Some(value) = answer.pointer(&pointer) else {
                let message = format!("there is nothing at {pointer:?} to capture as `{name}` in {answer}");
                return Err(Problem::at(line, message));
            };
            self.captured.insert(name, value.clone());
        }
        Ok(())
    }

    fn act(&mut self, action: &str, argument: Value) -> Result<Done, Problem> {
        let line = argument.line;
        match action {
            "submit" => {
                let sent = sent(self.network.state(), argument)?;
                self.network.deliver(&sent, line)
            }
            "block" => self.block(argument),
            "advance" => self.advance(argument.as_integer()?, line),
            "to_height" => self.advance_to(argument.as_integer()?, line),
            "to_epoch" => {
                let height = self.network.state().schedule().start_height(argument.as_integer()?);
                self.advance_to(height, line)
            }
            "begin_block" => {
                let mut arguments = Arguments::of(argument)?;
                let state = self.network.state();
                let (next_height, next_time_ms) = (state.height + 1, state.block_time_ms + 1000);
                let height = arguments.read::<Option<i64>>("height")?.unwrap_or(next_height);
                let hash: Option<Vec<u8>> = arguments.read("hash")?;
                let time_ms = arguments.read::<Option<i64>>("time_ms")?.unwrap_or(next_time_ms);
                arguments.finish()?;
                plant::within_bounds(height, line)?;
                plant::within_bounds(time_ms, line)?;
                Ok(self.network.begin_block(height, hash, time_ms))
            }
            "end_block" => Arguments::of(argument)?.finish().map(|()| self.network.end_block()),
            "close_epoch" => Ok(self.network.close_epoch(argument.as_integer()?)),
            "plant" => self.network.plant(|state| plant::plant(state, argument)).map(|()| Done::default()),
            "remove" => self.network.plant(|state| plant::remove(state, argument)).map(|()| Done::default()),
            "set" => self.network.plant(|state| plant::set(state, argument)).map(|()| Done::default()),
            "inject" => {
                self.network.inject(decode::<InjectionPlan>(&argument)?);
                Ok(Done::default())
            }
            "query" => self.network.query(argument),
            "call" => self.network.call(argument),
            "save" => {
                let text =
                    self.network.state().to_json().map_err(|error| Problem::at(line, error.to_string()))?;
                self.saved.insert(argument.into_text()?, text);
                Ok(Done::default())
            }
            _ => self.load(argument),
        }
    }

    fn block(&mut self, argument: Value) -> Result<Done, Problem> {
        let line = argument.line;
        let mut arguments = Arguments::of(argument)?;
        let rows = arguments.optional("transactions").map_or_else(|| Ok(Vec::new()), Value::into_list)?;
        let time_ms: Option<i64> = arguments.read("time_ms")?;
        arguments.finish()?;
        if let Some(time_ms) = time_ms {
            plant::within_bounds(time_ms, line)?;
        }
        // Defaults are those of the block that will execute the messages.
        let mut ahead = self.network.state().clone();
        ahead.height += 1;
        let all = rows.into_iter().map(|row| sent(&ahead, row)).collect::<Result<Vec<_>, _>>()?;
        self.network.block(all, time_ms, line)
    }

    fn advance(&mut self, blocks: u64, line: usize) -> Result<Done, Problem> {
        self.network.advance(blocks, line)
    }

    fn advance_to(&mut self, height: i64, line: usize) -> Result<Done, Problem> {
        let current = self.network.state().height;
        match u64::try_from(height.saturating_sub(current)) {
            Ok(blocks) => self.advance(blocks, line),
            Err(_) => Err(Problem::at(
                line,
                format!(
                    "height {height} is past; the chain is at {current}. Plant `chain.height` to go back"
                ),
            )),
        }
    }

    fn load(&mut self, argument: Value) -> Result<Done, Problem> {
        let line = argument.line;
        let name = argument.into_text()?;
        let Some(text) = self.saved.get(&name) else {
            let known: Vec<&str> = self.saved.keys().map(String::as_str).collect();
            return Err(super::problem::unknown(line, "saved state", &name, &known));
        };
        let state = State::from_json(text).map_err(|error| Problem::at(line, error.to_string()))?;
        self.network.plant(|present| *present = state);
        Ok(Done::default())
    }
}

/// A result that no expectation looks at must be what `refused` says, or accepted.
fn result_checks(
    label: &str,
    done: &Done,
    refused: Option<&Refused>,
    is_looked_at: bool,
    report: &mut ScenarioReport,
) {
    if is_looked_at && refused.is_none() {
        return;
    }
    for (index, outcome) in done.outcomes.iter().enumerate() {
        let (expected, why) = match refused {
            Some(refused) => (refused.to_string(), refused.mismatch(outcome)),
            None => {
                let is_refused = matches!(outcome, Outcome::Refused { .. });
                ("accepted".to_owned(), is_refused.then(|| "it was refused".to_owned()))
            }
        };
        report.checks.push(Check {
            step: label.to_owned(),
            what: if done.outcomes.len() > 1 { format!("result {index}") } else { "result".to_owned() },
            expected,
            found: match &why {
                Some(why) => format!("{outcome} ({why})"),
                None => outcome.to_string(),
            },
            passed: why.is_none(),
        });
    }
}
