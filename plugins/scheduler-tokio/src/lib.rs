//! Time, timers, randomness and spawned work on the tokio runtime.
//!
//! Owns the [`Scheduler`] seam in production: this is the one crate besides transports and stores that reads a clock,
//! sleeps, spawns and asks the system for randomness. The runtime itself is its maker's.

mod permits;
mod task;

use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Permits, Scheduler, TaskFailure, TaskHandle};
use lampkeeper_plugin_sdk::prelude::*;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::Instrument;

/// What an operator may set: nothing.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
struct Config {}

async fn construct(context: PluginContext, _config: Config) -> Result<Provided, PluginError> {
    let cannot_start =
        |reason: String| PluginError::CannotStart { plugin_id: context.plugin_id.clone(), reason };
    let handle = Handle::try_current().map_err(|error| {
        cannot_start(format!("{error}; the node has to construct its plugins on a tokio runtime"))
    })?;
    let scheduler = TokioScheduler::new(handle)
        .map_err(|error| cannot_start(format!("the system gave no random seed: {error}")))?;
    Ok(Provided { scheduler: Some(Arc::new(scheduler)), ..Provided::default() })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "scheduler-tokio",
    summary: "Time, timers, randomness and spawned work on the tokio runtime.",
    provides: [Scheduler],
    needs: [],
    config: Config,
    construct: construct,
    runtime: per_core,
}

/// A [`Scheduler`] on a tokio runtime that has its timer enabled.
///
/// It may be called from any thread, also from outside the runtime. Spawned and blocking work runs in a `tracing` span
/// called `task` or `blocking_work` with the work's name. Blocking work runs on the runtime's blocking pool, which grows as
/// far as the runtime's maker allows, so work that waits for a disk does not keep other work from a core.
///
/// ```
/// use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
/// use lampkeeper_scheduler_tokio::TokioScheduler;
/// use std::time::Duration;
///
/// let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
/// let scheduler = TokioScheduler::new(runtime.handle().clone()).map_err(std::io::Error::other)?;
/// let before = scheduler.now();
/// runtime.block_on(scheduler.sleep(Duration::from_millis(1)));
/// assert!(scheduler.now() > before);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TokioScheduler {
    handle: Handle,
    start: Instant,
    /// Seeded once by the system. One lock is cheaper than a system call a draw, and nothing secret is drawn.
    randomness: Mutex<ChaCha12Rng>,
    parallelism: usize,
}

impl TokioScheduler {
    /// A scheduler on the runtime of `handle`. Its clock starts now.
    ///
    /// # Errors
    /// If the system gives no random seed.
    #[expect(clippy::disallowed_methods, reason = "this crate owns the scheduler seam")]
    pub fn new(handle: Handle) -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let start = {
            let _runtime = handle.enter(); // whose clock may be paused
            Instant::now()
        };
        Ok(Self {
            handle,
            start,
            randomness: Mutex::new(ChaCha12Rng::from_seed(seed)),
            parallelism: std::thread::available_parallelism().map_or(1, NonZero::get),
        })
    }
}

impl std::fmt::Debug for TokioScheduler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TokioScheduler")
            .field("parallelism", &self.parallelism)
            .finish_non_exhaustive()
    }
}

impl Scheduler for TokioScheduler {
    #[expect(clippy::disallowed_methods, reason = "this crate owns the scheduler seam")]
    fn now(&self) -> Moment {
        let _runtime = self.handle.enter();
        Moment::from_start(Instant::now().saturating_duration_since(self.start))
    }

    #[expect(clippy::disallowed_methods, reason = "this crate owns the scheduler seam")]
    fn wall_clock_ms(&self) -> i64 {
        let to_ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => to_ms(since),
            Err(before) => -to_ms(before.duration()),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this crate owns the scheduler seam")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let _runtime = self.handle.enter();
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Arc<dyn TaskHandle> {
        let span = tracing::info_span!("task", name);
        Arc::new(task::TokioTask::new(self.handle.spawn(task.instrument(span))))
    }

    fn run_blocking(
        &self,
        name: &str,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, Result<(), TaskFailure>> {
        let span = tracing::info_span!("blocking_work", name);
        let handle = self.handle.clone();
        Box::pin(async move { task::outcome(handle.spawn_blocking(move || span.in_scope(work)).await) })
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.randomness.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }

    fn permits(&self, count: usize) -> Arc<dyn Permits> {
        Arc::new(permits::SemaphorePermits::new(count))
    }

    fn parallelism(&self) -> usize {
        self.parallelism
    }
}
