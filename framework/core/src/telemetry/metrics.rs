//! Adds up what plugins count, and renders it in the text format of Prometheus.
//!
//! Owns the limits: a plugin that makes up names or labels loses the excess, which is counted, never the memory of the
//! node.

use lampkeeper_api::telemetry::Labels;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most metrics of a process.
pub const METRICS_MAX: usize = 1024;
/// The most combinations of labels of one metric, over all nodes and plugins.
pub const SERIES_PER_METRIC_MAX: usize = 4096;
/// The most labels of a combination, besides node and plugin.
pub const LABELS_MAX: usize = 8;
/// The longest name or label, in bytes; longer ones are cut.
pub const TEXT_LEN_BYTES_MAX: usize = 128;
/// What was dropped because of a limit, or because a metric changed its kind.
pub const DROPPED_METRIC: &str = "metrics_dropped_total";
/// What a name begins with where metrics of many programs come together.
const PREFIX: &str = "lampkeeper_";

/// Upper bounds of buckets for metrics whose names end in `_ms`: a call in memory to a heal of a large file.
const BUCKETS_MS: [f64; 14] =
    [1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 60_000.0, 600_000.0];
/// Upper bounds for `_bytes`: a kibibyte to a gibibyte.
const BUCKETS_BYTES: [f64; 6] = [1024.0, 16_384.0, 262_144.0, 4_194_304.0, 67_108_864.0, 1_073_741_824.0];
/// Upper bounds for everything else, counts above all.
const BUCKETS_OTHER: [f64; 10] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 1000.0, 10_000.0];

/// The metrics of a process.
#[derive(Debug, Default)]
pub struct Metrics {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    metrics: BTreeMap<String, Metric>,
    dropped: u64,
}

/// Labels in their rendered order.
type Series = Vec<(String, String)>;

#[derive(Debug)]
struct Metric {
    kind: Kind,
    series: BTreeMap<Series, Measured>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug)]
enum Measured {
    Counter(u64),
    Gauge(f64),
    Histogram { buckets: Vec<u64>, count: u64, sum: f64 },
}

impl Metrics {
    pub(super) fn count(&self, node: &str, plugin: &str, name: &str, labels: Labels<'_>, amount: u64) {
        self.change(Kind::Counter, node, plugin, name, labels, |measured| {
            if let Measured::Counter(total) = measured {
                *total = total.saturating_add(amount);
            }
        });
    }

    pub(super) fn gauge(&self, node: &str, plugin: &str, name: &str, labels: Labels<'_>, value: f64) {
        self.change(Kind::Gauge, node, plugin, name, labels, |measured| {
            if let Measured::Gauge(current) = measured {
                *current = value;
            }
        });
    }

    pub(super) fn observe(&self, node: &str, plugin: &str, name: &str, labels: Labels<'_>, value: f64) {
        let bounds = bounds(name);
        self.change(Kind::Histogram, node, plugin, name, labels, |measured| {
            if let Measured::Histogram { buckets, count, sum } = measured {
                let bucket = bounds.iter().position(|bound| value <= *bound);
                if let Some(bucket) = bucket.and_then(|bucket| buckets.get_mut(bucket)) {
                    *bucket += 1;
                }
                *count += 1;
                *sum += value;
            }
        });
    }

    /// The value of a counter over all nodes, plugins and labels; 0 if there is none. For tests and displays.
    #[must_use]
    pub fn counter_total(&self, name: &str) -> u64 {
        let state = self.lock();
        let series = state.metrics.get(name).map(|metric| metric.series.values());
        series
            .into_iter()
            .flatten()
            .map(|measured| match measured {
                Measured::Counter(total) => *total,
                Measured::Gauge(_) | Measured::Histogram { .. } => 0,
            })
            .sum()
    }

    /// The values of a gauge on one node, with the labels of each; empty if there is none. For displays.
    #[must_use]
    pub fn gauges(&self, node: &str, name: &str) -> Vec<(Vec<(String, String)>, f64)> {
        let state = self.lock();
        let series = state.metrics.get(name).map(|metric| metric.series.iter()).into_iter().flatten();
        let of_node = series
            .filter(|(labels, _)| labels.iter().any(|label| *label == ("node".to_owned(), node.to_owned())));
        let gauge = |(labels, measured): (&Series, &Measured)| match measured {
            Measured::Gauge(value) => Some((labels.clone(), *value)),
            Measured::Counter(_) | Measured::Histogram { .. } => None,
        };
        of_node.filter_map(gauge).collect()
    }

    /// Everything in the text exposition format of Prometheus, by ascending name.
    #[must_use]
    pub fn render_prometheus(&self) -> String {
        let state = self.lock();
        let mut text = String::new();
        for (name, metric) in &state.metrics {
            let name = &format!("{PREFIX}{name}");
            let _ = writeln!(text, "# TYPE {name} {}", metric.kind.name());
            for (series, measured) in &metric.series {
                render_series(&mut text, name, series, measured);
            }
        }
        let _ = writeln!(text, "# TYPE {PREFIX}{DROPPED_METRIC} counter");
        let _ = writeln!(text, "{PREFIX}{DROPPED_METRIC} {}", state.dropped);
        text
    }

    fn change(
        &self,
        kind: Kind,
        node: &str,
        plugin: &str,
        name: &str,
        labels: Labels<'_>,
        change: impl FnOnce(&mut Measured),
    ) {
        let name = clean_name(name);
        let series = series(node, plugin, labels);
        let mut state = self.lock();
        match find_or_add(&mut state.metrics, kind, name, series) {
            Some(measured) => change(measured),
            None => state.dropped = state.dropped.saturating_add(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    fn zero(self, name: &str) -> Measured {
        match self {
            Self::Counter => Measured::Counter(0),
            Self::Gauge => Measured::Gauge(0.0),
            Self::Histogram => {
                Measured::Histogram { buckets: vec![0; bounds(name).len()], count: 0, sum: 0.0 }
            }
        }
    }
}

/// The measured value of a series; `None` if a limit is reached or the metric is of another kind.
fn find_or_add(
    metrics: &mut BTreeMap<String, Metric>,
    kind: Kind,
    name: String,
    series: Series,
) -> Option<&mut Measured> {
    let is_new_beyond_limit = !metrics.contains_key(&name) && metrics.len() >= METRICS_MAX;
    // Node and plugin come on top of a plugin's own labels.
    if is_new_beyond_limit || series.len() > LABELS_MAX + 2 {
        return None;
    }
    let zero = kind.zero(&name);
    let metric = metrics.entry(name).or_insert_with(|| Metric { kind, series: BTreeMap::new() });
    let is_full = metric.series.len() >= SERIES_PER_METRIC_MAX && !metric.series.contains_key(&series);
    if metric.kind != kind || is_full {
        return None;
    }
    Some(metric.series.entry(series).or_insert(zero))
}

fn bounds(name: &str) -> &'static [f64] {
    if name.ends_with("_ms") {
        &BUCKETS_MS
    } else if name.ends_with("_bytes") {
        &BUCKETS_BYTES
    } else {
        &BUCKETS_OTHER
    }
}

/// Node and plugin first, then the plugin's own labels by name; the first of equal names stays.
fn series(node: &str, plugin: &str, labels: Labels<'_>) -> Series {
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in labels {
        let name = clean_name(name).replace(':', "_");
        if name != "node" && name != "plugin" {
            own.entry(name).or_insert_with(|| cut(value).to_owned());
        }
    }
    let host = [("node".to_owned(), cut(node).to_owned()), ("plugin".to_owned(), cut(plugin).to_owned())];
    host.into_iter().chain(own).collect()
}

/// A name that Prometheus takes: others would make the whole page unreadable.
fn clean_name(name: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let cleaned: String =
        cut(name).chars().map(|letter| if allowed(letter) { letter } else { '_' }).collect();
    if cleaned.starts_with(|first: char| first.is_ascii_digit()) || cleaned.is_empty() {
        format!("_{cleaned}")
    } else {
        cleaned
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_LEN_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn render_series(text: &mut String, name: &str, series: &Series, measured: &Measured) {
    let labels = render_labels(series);
    match measured {
        Measured::Counter(total) => {
            let _ = writeln!(text, "{name}{{{labels}}} {total}");
        }
        Measured::Gauge(value) => {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
        Measured::Histogram { buckets, count, sum } => {
            let mut below = 0;
            for (bound, bucket) in bounds(name).iter().zip(buckets) {
                below += bucket;
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
            }
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(text, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
        }
    }
}

fn render_labels(series: &Series) -> String {
    let rendered: Vec<String> = series
        .iter()
        .map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    rendered.join(",")
}
