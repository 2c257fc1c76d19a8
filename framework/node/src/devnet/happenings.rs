//! Everything that happens in a devnet, in one stream, and what of it is added up for the end.
//!
//! Owns the stream's sending half, the progress of the epoch and the tally. Where happenings come from is the network's
//! part, how they look the display's.

use super::display::EpochProgress;
use super::story::Happening;
use lampkeeper_api::telemetry::{Event, Value};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// What healing took, added up from the nodes' events.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Bytes that healers fetched.
    pub fetched_bytes: u64,
    /// Bytes that verifiers streamed.
    pub streamed_bytes: u64,
    /// Bytes that were published.
    pub published_bytes: u64,
    /// How often something was published.
    pub publishes: u64,
    /// Accounts that some challenge or probe did not pass.
    pub accused: BTreeSet<String>,
}

/// Where everything that happens is told.
pub struct Happenings {
    sender: mpsc::UnboundedSender<Happening>,
    tally: Mutex<Tally>,
    progress: Mutex<EpochProgress>,
}

impl Happenings {
    /// A stream, and the end that the display reads.
    #[must_use]
    pub fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Happening>) {
        // Unbounded, because the sources are this devnet's own nodes and the display never stops reading.
        let (sender, stream) = mpsc::unbounded_channel();
        let happenings = Self {
            sender,
            tally: Mutex::new(Tally::default()),
            progress: Mutex::new(EpochProgress::default()),
        };
        (Arc::new(happenings), stream)
    }

    /// Tells something; whether anybody listens still.
    pub fn tell(&self, happening: Happening) -> bool {
        if let Happening::Node { event, .. } = &happening {
            locked(&self.tally).note(event);
        }
        self.sender.send(happening).is_ok()
    }

    /// The devnet's own words.
    pub fn say(&self, subject: &'static str, text: impl Into<String>) {
        self.tell(Happening::Devnet { subject, text: text.into() });
    }

    /// The chain has a new block: its epoch, and how many of the epoch's blocks there are.
    pub fn block(&self, epoch_id: u64, blocks_done: u64, blocks: u64) {
        let mut progress = locked(&self.progress);
        progress.epoch_id = epoch_id;
        progress.blocks_done = blocks_done;
        progress.blocks = blocks;
    }

    /// What is waited for, to be shown beside the progress.
    pub fn wait_for(&self, what: impl Into<String>) {
        locked(&self.progress).waiting_for = what.into();
    }

    /// How far the epoch has come.
    #[must_use]
    pub fn progress(&self) -> EpochProgress {
        locked(&self.progress).clone()
    }

    /// What was added up so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        locked(&self.tally).clone()
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    fn note(&mut self, event: &Event) {
        let number = |field: &str| match event.fields.get(field) {
            Some(Value::Integer(number)) => u64::try_from(*number).unwrap_or_default(),
            _ => 0,
        };
        match event.name.as_str() {
            "heal.reconstructed" => self.fetched_bytes += number("fetched_bytes"),
            "heal.voted" => self.streamed_bytes += number("streamed_bytes"),
            "heal.published" => {
                self.publishes += 1;
                self.published_bytes += number("bytes");
            }
            "probe.failed" | "challenge.result" => {
                let passed = matches!(event.fields.get("class"), Some(Value::Text(class)) if class == "PASS");
                if let (false, Some(Value::Text(target))) = (passed, event.fields.get("target")) {
                    self.accused.insert(target.clone());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_tell_is_added_up_and_passed_on() {
        let (happenings, mut stream) = Happenings::new();
        let tell = |event| happenings.tell(Happening::Node { name: "n1".to_owned(), event });
        tell(Event::new("heal.published").with("bytes", 7_u64));
        tell(Event::new("challenge.result").with("class", "PASS").with("target", "a"));
        tell(Event::new("challenge.result").with("class", "HASH_MISMATCH").with("target", "b"));
        tell(Event::new("probe.failed").with("target", "c"));
        let tally = happenings.tally();
        assert_eq!((tally.publishes, tally.published_bytes), (1, 7));
        assert_eq!(tally.accused, ["b", "c"].map(str::to_owned).into());
        let mut passed_on = 0;
        while stream.try_recv().is_ok() {
            passed_on += 1;
        }
        assert_eq!(passed_on, 4);
    }
}
