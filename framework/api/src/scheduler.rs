//! The only source of time, timers, randomness, spawned work and concurrency permits.
//!
//! Owns the [`Scheduler`] seam. Production runs it on tokio; tests run it in virtual time from a seed, so that a whole
//! network replays exactly.

use crate::BoxFuture;
use crate::cancel::Cancel;
use lampkeeper_api_macros::seam;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// A point in time on a monotonic clock that starts somewhere; only differences mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Moment {
    since_start: Duration,
}

impl Moment {
    /// The moment this long after the clock's start.
    #[must_use]
    pub const fn from_start(since_start: Duration) -> Self {
        Self { since_start }
    }

    /// How long after the clock's start this is.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.since_start
    }

    /// How long ago `earlier` was; zero if it was not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.since_start.saturating_sub(earlier.since_start)
    }

    /// This moment and `duration` more.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self { since_start: self.since_start.saturating_add(duration) }
    }
}

/// Spawned work. Dropping the handle lets the work go on.
#[seam("task")]
pub trait TaskHandle: Send + Sync {
    /// Ends the work at its next await point.
    fn abort(&self);
    /// Completes when the work has ended; `Err` with a description if it panicked or was aborted.
    fn join(&self) -> BoxFuture<'static, Result<(), TaskFailure>>;
}

/// Why spawned work did not end by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum TaskFailure {
    /// It panicked.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// It was aborted.
    #[error("it was aborted")]
    Aborted,
}

impl TaskFailure {
    /// The failure of work whose panic was caught, with the message if it was a text. For implementers.
    #[must_use]
    pub fn of_panic(payload: &(dyn std::any::Any + Send)) -> Self {
        Self::Panicked(crate::guard::panic_words(payload))
    }
}

/// A limited number of permits.
#[seam("permits")]
pub trait Permits: Send + Sync {
    /// Waits for a permit; it is given back when dropped. Waiters are served in order.
    #[seam(or_never, live)]
    fn acquire(&self) -> BoxFuture<'static, Permit>;
    /// A permit, if one is free now.
    #[seam(live)]
    fn try_acquire(&self) -> Option<Permit>;
}

/// The right to do one piece of work; given back when dropped.
pub struct Permit {
    release: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Permit {
    /// A permit that calls `release` when it is dropped. For implementers of [`Permits`].
    pub fn new(release: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { release: Some(Box::new(release)) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Permit")
    }
}

/// Time, timers, randomness, spawned work, permits.
///
/// Called by everybody, all the time. An implementer never blocks the caller, except for a scheduler in virtual time,
/// which may run `run_blocking` work in place.
#[seam("scheduler")]
pub trait Scheduler: Send + Sync {
    /// Now, monotonic.
    fn now(&self) -> Moment;
    /// Now, as the wall clock has it: milliseconds since 1970. May jump.
    fn wall_clock_ms(&self) -> i64;
    /// Completes when `duration` has passed since the call.
    #[seam(or_never)]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    /// Runs `task` on its own. `name` is for logs and for people.
    #[seam(with = crate::guard::spawn)]
    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Arc<dyn TaskHandle>;
    /// Runs work that holds a thread: disk, hashing, encoding. Completes when it is done; `Err` if it panicked. The work
    /// starts when the future is first awaited; once begun it runs to its end, even if the future is dropped.
    #[seam(with = crate::guard::run_blocking)]
    fn run_blocking(
        &self,
        name: &str,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, Result<(), TaskFailure>>;
    /// Fills `bytes` with random bytes. Not a source of secrets.
    fn fill_random(&self, bytes: &mut [u8]);
    /// `count` permits, at least one.
    #[seam(live)]
    fn permits(&self, count: usize) -> Arc<dyn Permits>;
    /// Into how many pieces of `run_blocking` work a computation is worth splitting; 1 in virtual time.
    fn parallelism(&self) -> usize;
}

/// A random number from a scheduler.
#[must_use]
pub fn random_u64(scheduler: &dyn Scheduler) -> u64 {
    let mut bytes = [0; 8];
    scheduler.fill_random(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Runs work that holds a thread, and hands back what it returns; `Err` if it panicked.
///
/// Dropping the future does not stop work that has begun.
pub async fn blocking<T: Send + 'static>(
    scheduler: &dyn Scheduler,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TaskFailure> {
    let (sender, receiver) = std::sync::mpsc::channel();
    // Nobody may be left to receive, which is the caller's choice.
    scheduler.run_blocking(name, Box::new(move || drop(sender.send(work())))).await?;
    receiver.try_recv().map_err(|_| TaskFailure::Aborted)
}

/// Sleeps, unless the signal comes first. `true` if the whole time was slept.
pub async fn sleep_unless_cancelled(scheduler: &dyn Scheduler, duration: Duration, cancel: &Cancel) -> bool {
    let mut sleep = scheduler.sleep(duration);
    let mut cancelled = Box::pin(cancel.cancelled());
    std::future::poll_fn(|context| {
        use std::task::Poll;
        if cancelled.as_mut().poll(context).is_ready() {
            return Poll::Ready(false);
        }
        sleep.as_mut().poll(context).map(|()| true)
    })
    .await
}

/// The future's outcome, or `None` when `timeout` passed first; the future is then dropped.
pub async fn within<T>(
    scheduler: &dyn Scheduler,
    timeout: Duration,
    future: impl Future<Output = T> + Send,
) -> Option<T> {
    let mut sleep = scheduler.sleep(timeout);
    let mut future = Box::pin(future);
    std::future::poll_fn(|context| {
        use std::task::Poll;
        if let Poll::Ready(outcome) = future.as_mut().poll(context) {
            return Poll::Ready(Some(outcome));
        }
        sleep.as_mut().poll(context).map(|()| None)
    })
    .await
}
