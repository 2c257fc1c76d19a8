//! The scheduler as one plugin sees it: whatever it spawns runs in the plugin's span.

use super::PluginTelemetry;
use lampkeeper_api::BoxFuture;
use lampkeeper_api::scheduler::{Moment, Permits, Scheduler, TaskFailure, TaskHandle};
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument as _;

/// Forwards everything, puts spawned work into the plugin's span, and keeps the names of its tasks.
pub(crate) struct PluginScheduler {
    inner: Arc<dyn Scheduler>,
    telemetry: PluginTelemetry,
}

impl PluginScheduler {
    pub(crate) fn new(inner: Arc<dyn Scheduler>, telemetry: PluginTelemetry) -> Self {
        Self { inner, telemetry }
    }
}

impl Scheduler for PluginScheduler {
    fn now(&self) -> Moment {
        self.inner.now()
    }

    fn wall_clock_ms(&self) -> i64 {
        self.inner.wall_clock_ms()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }

    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Arc<dyn TaskHandle> {
        let running = self.telemetry.account().begin_task(name);
        let task = async move {
            let _running = running;
            task.await;
        };
        self.inner.spawn(name, Box::pin(task.instrument(self.telemetry.span().clone())))
    }

    fn run_blocking(
        &self,
        name: &str,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, Result<(), TaskFailure>> {
        let span = self.telemetry.span().clone();
        self.inner.run_blocking(name, Box::new(move || span.in_scope(work)))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.inner.fill_random(bytes);
    }

    fn permits(&self, count: usize) -> Arc<dyn Permits> {
        self.inner.permits(count)
    }

    fn parallelism(&self) -> usize {
        self.inner.parallelism()
    }
}
