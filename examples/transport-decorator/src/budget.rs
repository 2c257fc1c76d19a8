//! Bytes a second, shared by all calls: who comes while others wait, waits after them.

use lampkeeper_plugin_sdk::api::scheduler::{Moment, Scheduler};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A line that is busy for as long as the bytes take.
pub(crate) struct Budget {
    bytes_per_second: u64,
    scheduler: Arc<dyn Scheduler>,
    /// When the line is free again.
    free_at: Mutex<Moment>,
}

impl Budget {
    pub(crate) fn new(bytes_per_second: u64, scheduler: Arc<dyn Scheduler>) -> Self {
        let free_at = Mutex::new(scheduler.now());
        Self { bytes_per_second: bytes_per_second.max(1), scheduler, free_at }
    }

    /// Takes a place in the line and waits until the line is free for it.
    pub(crate) async fn spend(&self, len_bytes: usize) {
        let wait = self.owe(len_bytes);
        if !wait.is_zero() {
            self.scheduler.sleep(wait).await;
        }
    }

    /// Takes a place in the line without waiting for it; how long the wait would be.
    pub(crate) fn owe(&self, len_bytes: usize) -> Duration {
        let nanos = len_bytes as u128 * NANOS_PER_SECOND / u128::from(self.bytes_per_second);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let now = self.scheduler.now();
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = (*free_at).max(now);
        *free_at = begins.plus(takes);
        begins.since(now)
    }
}
