//! Calls that are made later.

use lampkeeper_api::guard::Decision;
use lampkeeper_api::scheduler::{Scheduler, random_u64};
use std::sync::Arc;
use std::time::Duration;

/// How much later.
pub(super) struct Delay {
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
}

impl Delay {
    /// A wait, in the scheduler's time. What is called before there is a scheduler is not delayed.
    pub(super) fn decide(&self, scheduler: Option<Arc<dyn Scheduler>>) -> Decision {
        let Some(scheduler) = scheduler else { return Decision::Pass };
        let jitter_ms = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX - 1);
        let more_ms = match jitter_ms {
            0 => 0,
            most => random_u64(scheduler.as_ref()) % (most + 1),
        };
        let sleep = scheduler.sleep(self.delay + Duration::from_millis(more_ms));
        Decision::Wait(Box::pin(async move {
            sleep.await;
            Decision::Pass
        }))
    }
}
