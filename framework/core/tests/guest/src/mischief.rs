//! What a plugin does that should harm nobody but itself: leaks tasks, floods the log, loses threads.

use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::prelude::*;
use std::sync::Arc;

/// More records than a node writes of one plugin and level at once.
const FLOOD_RECORDS: u32 = 2_500;

/// What mischief is made with.
pub(crate) struct Mischief {
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
}

impl Mischief {
    /// Does what `deed` says; nothing if it is none.
    pub(crate) fn make(&self, deed: &str) {
        match deed {
            "leak-tasks" => {
                for name in ["sweep", "gossip"] {
                    self.scheduler.spawn(name, Box::pin(std::future::pending()));
                }
            }
            "flood" => (0..FLOOD_RECORDS).for_each(|_| self.telemetry.log(Level::Warn, "noise", &[])),
            "flood-tracing" => (0..FLOOD_RECORDS).for_each(|number| tracing::warn!(number, "noise")),
            "thread-panics" => lost_thread(|| panic!("nobody watches")),
            "thread-ends" => lost_thread(|| ()),
            _ => {}
        }
    }
}

/// Runs a thread to its end, well or badly.
fn lost_thread(work: fn()) {
    let thread = std::thread::Builder::new().name("stray".to_owned()).spawn(work).expect("a thread");
    let _ = thread.join();
}
