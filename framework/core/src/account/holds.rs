//! Steps that held a thread for too long, and when to warn of them again.

use lampkeeper_api::scheduler::Moment;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The shortest time between two warnings about one plugin.
pub(super) const HOLD_WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The long steps of one plugin.
#[derive(Debug, Default)]
pub(super) struct Holds {
    count: AtomicU64,
    warned: Mutex<Warned>,
}

#[derive(Debug, Default)]
struct Warned {
    last: Option<Moment>,
    count_then: u64,
}

impl Holds {
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Notes a long step; how many there were since the last warning, if it is time for another.
    pub(super) fn note(&self, now: Moment) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.last.is_some_and(|last| now.since(last) < HOLD_WARNING_INTERVAL) {
            return None;
        }
        let since_last = count.saturating_sub(warned.count_then);
        *warned = Warned { last: Some(now), count_then: count };
        Some(since_last)
    }
}
