//! How log records look: one line each, as text or JSON, always with the node and the plugin.
//!
//! Owns the `tracing` subscriber. Installing it for the whole process is the embedding program's decision; a library
//! must not.

use super::ORIGIN_TARGET;
use super::events::value_json;
use crate::manifest::{LogFormat, LogSection};
use lampkeeper_api::telemetry::Value;
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry};

/// What stands for the node or the plugin in records that come from neither.
const NOBODY: &str = "-";
/// The field in which events and records of plugins carry their own fields, as a JSON object.
const FIELDS: &str = "fields";

/// Whether a filter can be understood.
pub(crate) fn is_filter(filter: &str) -> bool {
    EnvFilter::try_new(filter).is_ok()
}

/// A subscriber that writes records to `writer` as the manifest says.
///
/// # Errors
/// If the filter can't be understood; a manifest that was parsed has one that can.
pub fn subscriber<W>(
    section: &LogSection,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, LogError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // Whatever is filtered, the spans that carry the origin of a record stay.
    let filter = format!("{},{ORIGIN_TARGET}=error", section.filter);
    let filter = EnvFilter::try_new(filter).map_err(|error| LogError::InvalidFilter {
        filter: section.filter.clone(),
        reason: error.to_string(),
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .event_format(RecordFormat { format: section.format })
        .with_writer(writer)
        .with_ansi(false);
    Ok(Registry::default().with(filter).with(OriginLayer).with(lines))
}

/// Makes a subscriber that writes to standard error the one of the whole process.
///
/// # Errors
/// If the filter can't be understood, or the process already has a subscriber.
pub fn install(section: &LogSection) -> Result<(), LogError> {
    let subscriber = subscriber(section, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadyInstalled)
}

/// Why logging could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The filter is malformed.
    #[error("`{filter}` is not a log filter: {reason}")]
    InvalidFilter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else in this process takes the records.
    #[error("this process already has a subscriber for log records")]
    AlreadyInstalled,
}

/// Fields as a JSON object; empty for none.
pub(super) fn fields_text<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let fields: serde_json::Map<String, serde_json::Value> =
        fields.map(|(name, value)| (name.to_owned(), value_json(value))).collect();
    if fields.is_empty() { String::new() } else { serde_json::Value::Object(fields).to_string() }
}

/// Where a span's records come from, remembered with the span.
#[derive(Debug, Clone, Default)]
struct Origin {
    node: Option<String>,
    plugin: Option<String>,
}

/// Remembers the node and plugin of each span that names them.
struct OriginLayer;

impl<S: Subscriber + for<'lookup> LookupSpan<'lookup>> Layer<S> for OriginLayer {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::span::Id,
        context: Context<'_, S>,
    ) {
        let mut collected = Collected::default();
        attributes.record(&mut collected);
        let origin = collected.take_origin();
        if let (true, Some(span)) = (origin.node.is_some() || origin.plugin.is_some(), context.span(id)) {
            span.extensions_mut().insert(origin);
        }
    }
}

/// The fields of a span or a record.
#[derive(Debug, Default)]
struct Collected {
    message: String,
    fields: serde_json::Map<String, serde_json::Value>,
}

impl Collected {
    fn put(&mut self, field: &Field, value: serde_json::Value) {
        match (field.name(), value) {
            ("message", serde_json::Value::String(message)) => self.message = message,
            (FIELDS, serde_json::Value::String(text)) => match serde_json::from_str(&text) {
                Ok(serde_json::Value::Object(fields)) => self.fields.extend(fields),
                // Records that were not written by the host may have a field of this name with any text.
                _ if text.is_empty() => {}
                _ => {
                    self.fields.insert(FIELDS.to_owned(), text.into());
                }
            },
            (name, value) => {
                self.fields.insert(name.to_owned(), value);
            }
        }
    }

    fn take_origin(&mut self) -> Origin {
        let mut take = |name| match self.fields.remove(name) {
            Some(serde_json::Value::String(text)) => Some(text),
            Some(other) => Some(other.to_string()),
            None => None,
        };
        Origin { node: take("node"), plugin: take("plugin") }
    }
}

impl Visit for Collected {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

/// Writes a record.
struct RecordFormat {
    format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for RecordFormat
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // The host's own origin wins over fields that a plugin may have called the same.
        let mut origin = Origin::default();
        for span in context.event_scope().into_iter().flatten() {
            if let Some(of_span) = span.extensions().get::<Origin>() {
                origin.node = origin.node.or_else(|| of_span.node.clone());
                origin.plugin = origin.plugin.or_else(|| of_span.plugin.clone());
            }
        }
        let mut record = Collected::default();
        event.record(&mut record);
        if origin.node.is_none() || origin.plugin.is_none() {
            let of_record = record.take_origin();
            origin.node = origin.node.or(of_record.node);
            origin.plugin = origin.plugin.or(of_record.plugin);
        }
        let node = origin.node.as_deref().unwrap_or(NOBODY);
        let plugin = origin.plugin.as_deref().unwrap_or(NOBODY);
        match self.format {
            LogFormat::Text => write_text(&mut writer, event, node, plugin, &record),
            LogFormat::Json => write_json(&mut writer, event, node, plugin, record),
        }
    }
}

fn write_text(
    writer: &mut Writer<'_>,
    event: &Event<'_>,
    node: &str,
    plugin: &str,
    record: &Collected,
) -> fmt::Result {
    SystemTime.format_time(writer)?;
    let metadata = event.metadata();
    write!(writer, " {:5} node={node} plugin={plugin} {}:", metadata.level(), metadata.target())?;
    if !record.message.is_empty() {
        // One record is one line, whatever a peer or a plugin put into it.
        write!(writer, " {}", record.message.replace('\n', "\\n"))?;
    }
    for (name, value) in &record.fields {
        write!(writer, " {name}={value}")?;
    }
    writeln!(writer)
}

fn write_json(
    writer: &mut Writer<'_>,
    event: &Event<'_>,
    node: &str,
    plugin: &str,
    record: Collected,
) -> fmt::Result {
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time))?;
    let metadata = event.metadata();
    let object = serde_json::json!({
        "time": time,
        "level": metadata.level().as_str().to_lowercase(),
        "node": node,
        "plugin": plugin,
        "target": metadata.target(),
        "message": record.message,
        "fields": record.fields,
    });
    writeln!(writer, "{object}")
}
