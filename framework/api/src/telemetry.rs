//! What a plugin tells its host: events, log records and metrics.
//!
//! Owns the [`Telemetry`] seam. Which of it is shown, stored or exported is the host's business. The host adds the
//! node and the plugin to everything.

use lampkeeper_api_macros::seam;
use std::collections::BTreeMap;

/// A value in an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// Several texts.
    List(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}
impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}
impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}
impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}
impl From<Vec<String>> for Value {
    fn from(list: Vec<String>) -> Self {
        Self::List(list)
    }
}

/// Something that happened and that a person or a program may want to follow.
///
/// ```
/// use lampkeeper_api::telemetry::Event;
/// let event = Event::new("challenge.result").with("target", "lumera1abc").with("class", "PASS");
/// assert_eq!(event.name, "challenge.result");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `subject.what`, such as `heal.claimed`; documented with the plugin that emits it.
    pub name: String,
    /// What is known about it.
    pub fields: BTreeMap<String, Value>,
}

impl Event {
    /// An event without fields.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), fields: BTreeMap::new() }
    }

    /// The event with one more field.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }
}

/// How important a log record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is broken and needs a person.
    Error,
    /// Something is wrong and was dealt with, or may become a problem.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What a developer wants to know.
    Debug,
}

/// Labels of a metric, name and value.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Where events, records and metrics go.
///
/// Called from any task; never blocks, never fails. Metric names are `snake_case` with the unit last; counters end in
/// `_total`.
#[seam("telemetry")]
pub trait Telemetry: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event);
    /// A log record.
    fn log(&self, level: Level, message: &str, fields: &[(&str, Value)]);
    /// Adds to a counter.
    fn count(&self, name: &str, labels: Labels<'_>, amount: u64);
    /// Sets a gauge.
    fn gauge(&self, name: &str, labels: Labels<'_>, value: f64);
    /// Adds one observation to a distribution.
    fn observe(&self, name: &str, labels: Labels<'_>, value: f64);
    /// Code of this plugin panicked, and was contained where it was entered. For the gates; a plugin has no use for it.
    fn panicked(&self, seam: &str, method: &str, words: &str) {
        let _ = (seam, method, words);
    }
}
