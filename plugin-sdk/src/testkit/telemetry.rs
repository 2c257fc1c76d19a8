//! A [`Telemetry`] that remembers everything.

use lampkeeper_api::telemetry::{Event, Labels, Level, Telemetry, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A log record.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord {
    /// How important it is.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// What is known about it.
    pub fields: BTreeMap<String, Value>,
}

/// Events, records and metrics of a test, to be asked about. Clones share them.
///
/// ```
/// use lampkeeper_plugin_sdk::api::telemetry::{Event, Telemetry};
/// use lampkeeper_plugin_sdk::testkit::RecordingTelemetry;
///
/// let telemetry = RecordingTelemetry::new();
/// telemetry.event(Event::new("heal.claimed").with("heal_op_id", 7_u64));
/// telemetry.count("calls_total", &[("peer", "bob")], 2);
/// assert_eq!(telemetry.events_named("heal.claimed").len(), 1);
/// assert_eq!(telemetry.counter("calls_total", &[("peer", "bob")]), 2);
/// ```
#[derive(Debug, Clone, Default)]
pub struct RecordingTelemetry {
    records: Arc<Mutex<Records>>,
}

/// A metric's name and its labels, sorted.
type Series = (String, Vec<(String, String)>);

#[derive(Debug, Default)]
struct Records {
    events: Vec<Event>,
    log: Vec<LogRecord>,
    counters: BTreeMap<Series, u64>,
    gauges: BTreeMap<Series, f64>,
    observations: BTreeMap<Series, Vec<f64>>,
}

fn series(name: &str, labels: Labels<'_>) -> Series {
    let mut labels: Vec<_> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    labels.sort();
    (name.to_owned(), labels)
}

impl RecordingTelemetry {
    /// Nothing recorded yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All events, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// The events of this name, in order.
    #[must_use]
    pub fn events_named(&self, name: &str) -> Vec<Event> {
        self.lock().events.iter().filter(|event| event.name == name).cloned().collect()
    }

    /// All log records, in order.
    #[must_use]
    pub fn logs(&self) -> Vec<LogRecord> {
        self.lock().log.clone()
    }

    /// The log records at least as important as `level`, in order.
    #[must_use]
    pub fn logs_from(&self, level: Level) -> Vec<LogRecord> {
        self.lock().log.iter().filter(|record| record.level <= level).cloned().collect()
    }

    /// A counter with exactly these labels; 0 if nothing was ever added.
    #[must_use]
    pub fn counter(&self, name: &str, labels: Labels<'_>) -> u64 {
        self.lock().counters.get(&series(name, labels)).copied().unwrap_or(0)
    }

    /// A counter, summed over all labels.
    #[must_use]
    pub fn counter_sum(&self, name: &str) -> u64 {
        self.lock().counters.iter().filter(|((counter, _), _)| counter == name).map(|(_, sum)| sum).sum()
    }

    /// A gauge with exactly these labels, as it was last set.
    #[must_use]
    pub fn gauge_value(&self, name: &str, labels: Labels<'_>) -> Option<f64> {
        self.lock().gauges.get(&series(name, labels)).copied()
    }

    /// The observations of a distribution with exactly these labels, in order.
    #[must_use]
    pub fn observations(&self, name: &str, labels: Labels<'_>) -> Vec<f64> {
        self.lock().observations.get(&series(name, labels)).cloned().unwrap_or_default()
    }

    /// The names of all metrics that were touched, with their kind: `counter`, `gauge` or `distribution`.
    #[must_use]
    pub fn metric_kinds(&self) -> BTreeMap<String, &'static str> {
        let records = self.lock();
        let counters = records.counters.keys().map(|(name, _)| (name.clone(), "counter"));
        let gauges = records.gauges.keys().map(|(name, _)| (name.clone(), "gauge"));
        let distributions = records.observations.keys().map(|(name, _)| (name.clone(), "distribution"));
        counters.chain(gauges).chain(distributions).collect()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.lock() = Records::default();
    }
}

impl Telemetry for RecordingTelemetry {
    fn event(&self, event: Event) {
        self.lock().events.push(event);
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, Value)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.lock().log.push(LogRecord { level, message: message.to_owned(), fields });
    }

    fn count(&self, name: &str, labels: Labels<'_>, amount: u64) {
        *self.lock().counters.entry(series(name, labels)).or_default() += amount;
    }

    fn gauge(&self, name: &str, labels: Labels<'_>, value: f64) {
        self.lock().gauges.insert(series(name, labels), value);
    }

    fn observe(&self, name: &str, labels: Labels<'_>, value: f64) {
        self.lock().observations.entry(series(name, labels)).or_default().push(value);
    }
}
