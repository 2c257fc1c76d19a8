//! What the nodes told last, for whoever has to find out why a heal did not end.

use lampkeeper_core::TelemetryHub;
use lampkeeper_core::telemetry::Delivery;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Lines that are kept; older ones go.
const LINES_MAX: usize = 300;

/// The last lines of all nodes. Clones share them; the first to be dropped while a test fails prints them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<VecDeque<String>>>);

impl Diary {
    pub(crate) fn note(&self, line: String) {
        let mut lines = self.0.lock().unwrap();
        lines.push_back(line);
        if lines.len() > LINES_MAX {
            lines.pop_front();
        }
    }

    /// Takes down the events of the nodes on this hub.
    pub(crate) fn listen(&self, telemetry: &TelemetryHub) {
        let (diary, mut events) = (self.clone(), telemetry.events.listen());
        tokio::spawn(async move {
            while let Some(delivery) = events.next().await {
                if let Delivery::Event(record) = delivery {
                    diary.note(record.to_json().to_string());
                }
            }
        });
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = std::mem::take(&mut *self.0.lock().unwrap());
            lines.iter().for_each(|line| println!("{line}"));
        }
    }
}
