//! `tracing` inside a native plugin: its records go to the host.
//!
//! A shared library has its own copy of `tracing`, in which nobody listens; handing it the host's dispatcher would log
//! nothing, because call sites are registered with their own copy. So a subscriber is installed inside, once an image,
//! that passes records on through the telemetry of the plugin whose step is running on the thread. Records of threads of
//! the plugin's own go to the telemetry of the instance that was made last.
//!
//! Spans are not forwarded: the host adds its own span with node and plugin to every record.

use lampkeeper_api::telemetry::{Level, Telemetry, Value};
use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The most fields of a record that are passed on.
const FIELDS_MAX: usize = 32;

thread_local! {
    /// Whose steps are running on this thread, the innermost last.
    static LISTENERS: RefCell<Vec<Arc<dyn Telemetry>>> = const { RefCell::new(Vec::new()) };
}

/// The telemetry of the instance that was made last. Weak: an instance that is gone is not kept for its records.
static LAST: Mutex<Option<Weak<dyn Telemetry>>> = Mutex::new(None);

/// Installs the subscriber of this image, if it has none, and remembers the newest instance.
pub(super) fn install(telemetry: &Arc<dyn Telemetry>) {
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::downgrade(telemetry));
    // Of several plugins in one library the first installs it; a plugin that brought its own keeps that.
    let _ = tracing::dispatcher::set_global_default(tracing::Dispatch::new(Forwarder::default()));
}

/// While it lives, records of this thread go to one telemetry.
pub(super) struct Listening(());

impl Listening {
    pub(super) fn to(telemetry: &Arc<dyn Telemetry>) -> Self {
        // A thread that is ending has no thread-locals any more; its records go to the last instance.
        let _ = LISTENERS.try_with(|listeners| listeners.borrow_mut().push(Arc::clone(telemetry)));
        Self(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = LISTENERS.try_with(|listeners| listeners.borrow_mut().pop());
    }
}

/// Whether a step of this image is running on this thread.
pub(super) fn is_in_a_step() -> bool {
    LISTENERS.try_with(|listeners| !listeners.borrow().is_empty()).unwrap_or(false)
}

/// Whom records of this thread are for.
pub(super) fn listener() -> Option<Arc<dyn Telemetry>> {
    let here = LISTENERS.try_with(|listeners| listeners.borrow().last().cloned()).ok().flatten();
    here.or_else(|| LAST.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Weak::upgrade))
}

/// Passes records on.
#[derive(Default)]
struct Forwarder {
    spans_made: AtomicU64,
}

impl Subscriber for Forwarder {
    /// The host filters by level; `TRACE` has no name there.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::DEBUG
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans_made.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(telemetry) = listener() else { return };
        let mut said = Said::default();
        event.record(&mut said);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            _ => Level::Debug,
        };
        said.fields.push(("target", Value::from(event.metadata().target())));
        telemetry.log(level, &said.message, &said.fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The parts of a record.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Said {
    fn add(&mut self, field: &Field, value: Value) {
        if self.fields.len() < FIELDS_MAX {
            self.fields.push((field.name(), value));
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" { self.message = text } else { self.add(field, Value::Text(text)) }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned()
        } else {
            self.add(field, value.into())
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}
