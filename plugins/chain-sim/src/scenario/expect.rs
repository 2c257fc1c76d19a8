//! Expectations: where to look, and what has to be there.

use super::arguments::Arguments;
use super::network::{Done, Network, event_value};
use super::outcome::Outcome;
use super::pattern::mismatch;
use super::plant::key_parts;
use super::problem::{Problem, unknown};
use super::stores;
use super::value::{Kind, Value};

/// Where an expectation can look.
const SOURCES: [&str; 6] = ["result", "events", "state", "pointer", "query", "call"];
/// What it can say of what it finds there.
const ASSERTIONS: [&str; 5] = ["is", "count", "absent", "ok", "refused"];

/// What was looked for, what was found, and whether it fits.
pub(super) struct Verdict {
    pub(super) what: String,
    pub(super) expected: String,
    pub(super) found: String,
    pub(super) passed: bool,
}

/// What a source has.
enum Found {
    Value(Value),
    Absent,
    Refused(Outcome),
}

impl From<Outcome> for Found {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answer(value) => Self::Value(value),
            refused @ Outcome::Refused { .. } => Self::Refused(refused),
        }
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(value) => write!(formatter, "{value}"),
            Self::Absent => formatter.write_str("nothing"),
            Self::Refused(outcome) => write!(formatter, "{outcome}"),
        }
    }
}

/// Whether an expectation is about the result of its step.
pub(super) fn is_about_result(expectation: &Value) -> bool {
    expectation.pointer("/result").is_some()
}

/// Checks one expectation.
pub(super) fn check(
    network: &mut Network,
    done: &Done,
    all_events: &[Value],
    expectation: Value,
) -> Result<Verdict, Problem> {
    let mut arguments = Arguments::of(expectation)?;
    let line = arguments.line();
    let Some((source, argument)) = arguments.one_of(&SOURCES, "expectation")? else {
        let message =
            format!("this expectation does not say where to look; add one of {}", SOURCES.join(", "));
        return Err(Problem::at(line, message));
    };
    let at: String = arguments.read("at")?;
    let Some((assertion, operand)) = arguments.one_of(&ASSERTIONS, "expectation")? else {
        let message =
            format!("this expectation does not say what to find; add one of {}", ASSERTIONS.join(", "));
        return Err(Problem::at(line, message));
    };
    arguments.finish()?;
    let what = format!("{source} {argument}{}{at}", if at.is_empty() { "" } else { " at " });
    let mut found = look(network, done, all_events, source, argument)?;
    if !at.is_empty()
        && let Found::Value(value) = &found
    {
        found = value.pointer(&at).cloned().map_or(Found::Absent, Found::Value);
    }
    let (expected, why) = assert(assertion, operand, &found)?;
    let found = match &why {
        Some(why) => format!("{why}; all of it is {}", shortened(found.to_string())),
        None => shortened(found.to_string()),
    };
    Ok(Verdict { what, expected, found, passed: why.is_none() })
}

/// The most bytes of a value that are shown; a mismatch is told apart from it.
const SHOWN_LEN_BYTES_MAX: usize = 600;

fn shortened(mut text: String) -> String {
    if text.len() > SHOWN_LEN_BYTES_MAX {
        let end = (0..=SHOWN_LEN_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let left_out = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("... and {left_out} bytes more"));
    }
    text
}

/// What is expected in words, and why it is not so; `None` if it is.
fn assert(assertion: &str, operand: Value, found: &Found) -> Result<(String, Option<String>), Problem> {
    let no_value = || Some("there is no value".to_owned());
    match assertion {
        "is" => {
            let why = match found {
                Found::Value(value) => mismatch(&operand, value)?,
                Found::Absent | Found::Refused(_) => no_value(),
            };
            Ok((operand.to_string(), why))
        }
        "count" => {
            let length = match found {
                Found::Value(Value { kind: Kind::List(list), .. }) => list.len(),
                Found::Value(Value { kind: Kind::Table(table), .. }) => table.len(),
                Found::Absent => 0,
                Found::Value(_) | Found::Refused(_) => return Ok((format!("{operand} of them"), no_value())),
            };
            let length = Value::integer(i128::try_from(length).unwrap_or(i128::MAX));
            Ok((format!("{operand} of them"), mismatch(&operand, &length)?))
        }
        "absent" => {
            let wanted = operand.as_bool()?;
            let is_absent = match found {
                Found::Absent => true,
                Found::Value(value) => match &value.kind {
                    Kind::Null => true,
                    Kind::List(list) => list.is_empty(),
                    _ => false,
                },
                Found::Refused(_) => false,
            };
            let expected = if wanted { "nothing" } else { "something" };
            Ok((expected.to_owned(), (wanted != is_absent).then(|| "it is the other way round".to_owned())))
        }
        "ok" => {
            let is_ok = !matches!(found, Found::Refused(_));
            let expected = if operand.as_bool()? { "accepted" } else { "refused" };
            Ok((
                expected.to_owned(),
                (is_ok != operand.as_bool()?).then(|| "it is the other way round".to_owned()),
            ))
        }
        _ => {
            let wanted = Refused::of(operand)?;
            let why = match found {
                Found::Refused(outcome) => wanted.mismatch(outcome),
                Found::Value(_) | Found::Absent => Some("it was accepted".to_owned()),
            };
            Ok((wanted.to_string(), why))
        }
    }
}

/// A refusal that is expected: `{ code = "audit/9", phrase = "..." }`.
pub(super) struct Refused {
    code: Option<String>,
    phrases: Vec<String>,
}

impl Refused {
    pub(super) fn of(value: Value) -> Result<Self, Problem> {
        let mut arguments = Arguments::of(value)?;
        let line = arguments.line();
        let code: Option<String> = arguments.read("code")?;
        let phrases = match arguments.optional("phrase") {
            None => Vec::new(),
            Some(Value { kind: Kind::List(list), .. }) => {
                list.into_iter().map(Value::into_text).collect::<Result<_, _>>()?
            }
            Some(value) => vec![value.into_text()?],
        };
        arguments.finish()?;
        if code.is_none() && phrases.is_empty() {
            let message = "this refusal says nothing; write { code = \"audit/9\", phrase = \"...\" }";
            return Err(Problem::at(line, message));
        }
        Ok(Self { code, phrases })
    }

    /// Why an outcome is not this refusal; `None` if it is.
    pub(super) fn mismatch(&self, outcome: &Outcome) -> Option<String> {
        let Outcome::Refused { code, text } = outcome else { return Some("it was accepted".to_owned()) };
        if let Some(wanted) = self.code.as_ref().filter(|wanted| *wanted != code) {
            return Some(format!("the code is {code}, not {wanted}"));
        }
        let missing = self.phrases.iter().find(|phrase| !text.contains(phrase.as_str()))?;
        Some(format!("{missing:?} is not in its words"))
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("refused")?;
        if let Some(code) = &self.code {
            write!(formatter, " with {code}")?;
        }
        for phrase in &self.phrases {
            write!(formatter, ", saying {phrase:?}")?;
        }
        Ok(())
    }
}

fn look(
    network: &mut Network,
    done: &Done,
    all_events: &[Value],
    source: &str,
    argument: Value,
) -> Result<Found, Problem> {
    match source {
        "result" => {
            let index: usize = match argument.kind {
                Kind::Bool(true) => 0,
                _ => argument.as_integer()?,
            };
            match done.outcomes.get(index) {
                Some(outcome) => Ok(outcome.clone().into()),
                None => {
                    let count = done.outcomes.len();
                    Err(Problem::at(
                        argument.line,
                        format!("the step has {count} results; count them from 0"),
                    ))
                }
            }
        }
        "events" => events(done, all_events, argument),
        "state" => records(network, argument),
        "pointer" => {
            let line = argument.line;
            let image = Value::of(network.state())?;
            let pointer = argument.into_text()?;
            if !pointer.is_empty() && !pointer.starts_with('/') {
                return Err(Problem::at(line, "a pointer begins with `/`, as in \"/audit/next_heal_op_id\""));
            }
            Ok(image.pointer(&pointer).cloned().map_or(Found::Absent, Found::Value))
        }
        "query" => Ok(network.query(argument)?.outcomes.remove(0).into()),
        _ => Ok(network.call(argument)?.outcomes.remove(0).into()),
    }
}

/// `{ kind = "...", where = { ... }, of = "step" | "block" | "all" }`.
fn events(done: &Done, all_events: &[Value], argument: Value) -> Result<Found, Problem> {
    let mut arguments = Arguments::of(argument)?;
    let kind: Option<String> = arguments.read("kind")?;
    let filter = arguments.optional("where");
    let of = arguments.optional("of").unwrap_or_else(|| "step".into());
    arguments.finish()?;
    let line = of.line;
    let events: Vec<Value> = match of.into_text()?.as_str() {
        "step" => done.events.iter().map(event_value).collect(),
        "block" => done.block_events.iter().map(event_value).collect(),
        "all" => all_events.to_vec(),
        other => return Err(unknown(line, "range of events", other, &["step", "block", "all"])),
    };
    let mut matching = Vec::new();
    for event in events {
        let is_kind = kind.as_ref().is_none_or(|kind| {
            event
                .pointer("/kind")
                .is_some_and(|found| matches!(&found.kind, Kind::Text(found) if found == kind))
        });
        let is_meant = match &filter {
            Some(filter) => mismatch(filter, &event)?.is_none(),
            None => true,
        };
        if is_kind && is_meant {
            matching.push(event);
        }
    }
    Ok(Found::Value(Kind::List(matching).into()))
}

/// `{ store = "...", key = ... }` for one record, `{ store = "...", where = { ... } }` for a list of them.
fn records(network: &Network, argument: Value) -> Result<Found, Problem> {
    let mut arguments = Arguments::of(argument)?;
    let store = arguments.required("store")?;
    let key = arguments.optional("key");
    let filter = arguments.optional("where");
    arguments.finish()?;
    let (line, name) = (store.line, store.into_text()?);
    let image = Value::of(network.state())?;
    if name == "params" {
        return Ok(image.pointer("/audit/params").cloned().map_or(Found::Absent, Found::Value));
    }
    if name == "nodes" {
        return nodes(network, key, filter);
    }
    let store = stores::find(&name, line)?;
    if let Some(key) = key {
        let parts = key_parts(key)?;
        return Ok(store
            .find_record(&image, &parts)
            .map_or(Found::Absent, |record| Found::Value(Kind::Table(record).into())));
    }
    let records = store.records(&image).into_iter().map(|record| Kind::Table(record).into()).collect();
    filtered(records, filter)
}

fn filtered(records: Vec<Value>, filter: Option<Value>) -> Result<Found, Problem> {
    let mut kept = Vec::new();
    for record in records {
        let is_meant = match &filter {
            Some(filter) => mismatch(filter, &record)?.is_none(),
            None => true,
        };
        if is_meant {
            kept.push(record);
        }
    }
    Ok(Found::Value(Kind::List(kept).into()))
}

/// Supernodes by account: their latest state and why, beside the record.
fn nodes(network: &Network, key: Option<Value>, filter: Option<Value>) -> Result<Found, Problem> {
    let mut found = Vec::new();
    for record in network.state().supernode.supernodes.iter() {
        let latest = record.states.last().cloned().unwrap_or_default();
        let mut value = Value::of(record)?;
        for (name, field) in [
            ("account", Value::from(record.supernode_account.as_str())),
            ("operator", Value::from(record.validator_address.as_str())),
            ("state", latest.state.name().into()),
            ("reason", latest.reason.into()),
            ("height", Value::integer(latest.height)),
        ] {
            value.set_pointer(&format!("/{name}"), field);
        }
        found.push(value);
    }
    let Some(key) = key else { return filtered(found, filter) };
    let account = key.into_text()?;
    let is_it = |node: &&Value| {
        node.pointer("/account")
            .is_some_and(|found| matches!(&found.kind, Kind::Text(found) if *found == account))
    };
    Ok(found.iter().find(is_it).cloned().map_or(Found::Absent, Found::Value))
}
