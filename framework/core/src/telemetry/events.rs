//! Delivers events to listeners inside the process, such as a display or a control socket.
//!
//! A publisher never waits: a listener that falls behind loses the oldest events, and is told how many.

use lampkeeper_api::telemetry::{Event, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::broadcast;

/// How many events wait for the slowest listener; older ones are dropped for it.
pub const EVENTS_WAITING_MAX: usize = 4096;

/// An event, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// Ascends by one with each event of the bus, from 1.
    pub sequence: u64,
    /// The node.
    pub node: Arc<str>,
    /// The plugin.
    pub plugin: Arc<str>,
    /// When, in milliseconds since 1970; `None` for what happens before the node's scheduler runs.
    pub wall_clock_ms: Option<i64>,
    /// What happened.
    pub event: Event,
}

impl EventRecord {
    /// The record as one JSON object: `sequence`, `time_ms`, `node`, `plugin`, `event` and the event's `fields`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let fields: serde_json::Map<String, serde_json::Value> =
            self.event.fields.iter().map(|(name, value)| (name.clone(), value_json(value))).collect();
        serde_json::json!({
            "sequence": self.sequence,
            "time_ms": self.wall_clock_ms,
            "node": &*self.node,
            "plugin": &*self.plugin,
            "event": self.event.name,
            "fields": fields,
        })
    }
}

pub(super) fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => serde_json::Value::from(text.as_str()),
        Value::Integer(number) => serde_json::Value::from(*number),
        Value::Float(number) => serde_json::Value::from(*number),
        Value::Bool(flag) => serde_json::Value::from(*flag),
        Value::List(list) => serde_json::Value::from(list.clone()),
    }
}

/// What a listener gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// The next event.
    Event(Arc<EventRecord>),
    /// So many events were dropped, because the listener was too slow.
    Missed(u64),
}

/// Where events are published and listened to.
#[derive(Debug)]
pub struct EventBus {
    sender: broadcast::Sender<Arc<EventRecord>>,
    published: AtomicU64,
}

impl Default for EventBus {
    fn default() -> Self {
        Self::with_waiting_max(EVENTS_WAITING_MAX)
    }
}

impl EventBus {
    /// A bus that keeps at least `waiting_max` events for slow listeners; the next power of two, to be exact.
    #[must_use]
    pub fn with_waiting_max(waiting_max: usize) -> Self {
        let sender = broadcast::Sender::new(waiting_max.clamp(1, EVENTS_WAITING_MAX));
        Self { sender, published: AtomicU64::new(0) }
    }

    /// Listens to everything that is published from now on.
    #[must_use]
    pub fn listen(&self) -> EventListener {
        EventListener { receiver: self.sender.subscribe() }
    }

    pub(super) fn publish(
        &self,
        node: &Arc<str>,
        plugin: &Arc<str>,
        wall_clock_ms: Option<i64>,
        event: Event,
    ) {
        let sequence = self.published.fetch_add(1, Ordering::Relaxed) + 1;
        let record = EventRecord {
            sequence,
            node: Arc::clone(node),
            plugin: Arc::clone(plugin),
            wall_clock_ms,
            event,
        };
        // An error only says that nobody listens.
        let _ = self.sender.send(Arc::new(record));
    }
}

/// One listener of a bus.
#[derive(Debug)]
pub struct EventListener {
    receiver: broadcast::Receiver<Arc<EventRecord>>,
}

impl EventListener {
    /// Waits for what comes next; `None` once the bus is gone and everything was delivered.
    pub async fn next(&mut self) -> Option<Delivery> {
        match self.receiver.recv().await {
            Ok(record) => Some(Delivery::Event(record)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Delivery::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// What is there now, if anything is.
    pub fn try_next(&mut self) -> Option<Delivery> {
        match self.receiver.try_recv() {
            Ok(record) => Some(Delivery::Event(record)),
            Err(broadcast::error::TryRecvError::Lagged(count)) => Some(Delivery::Missed(count)),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
        }
    }
}
