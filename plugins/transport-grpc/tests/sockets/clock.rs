//! Real time on the runtime of a test, because sockets know no other. A plugin's tests may not use the production scheduler,
//! which is another plugin.
#![expect(clippy::disallowed_methods, reason = "it stands in for the production scheduler")]

use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Permit, Permits, Scheduler, TaskFailure, TaskHandle};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// The scheduler of a test.
pub(crate) struct RealTime {
    handle: Handle,
    start: Instant,
}

impl RealTime {
    /// On the runtime that calls.
    pub(crate) fn new() -> Self {
        Self { handle: Handle::current(), start: Instant::now() }
    }
}

struct Task(Mutex<Option<JoinHandle<()>>>);

impl TaskHandle for Task {
    fn abort(&self) {
        if let Some(task) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }

    fn join(&self) -> BoxFuture<'static, Result<(), TaskFailure>> {
        let task = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async {
            match task {
                Some(task) => task.await.map_err(|_| TaskFailure::Aborted),
                None => Ok(()),
            }
        })
    }
}

struct SomePermits(Arc<Semaphore>);

impl Permits for SomePermits {
    fn acquire(&self) -> BoxFuture<'static, Permit> {
        let acquiring = Arc::clone(&self.0).acquire_owned();
        Box::pin(async {
            let permit = acquiring.await;
            Permit::new(move || drop(permit))
        })
    }

    fn try_acquire(&self) -> Option<Permit> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(Permit::new(move || drop(permit)))
    }
}

impl Scheduler for RealTime {
    fn now(&self) -> Moment {
        Moment::from_start(self.start.elapsed())
    }

    fn wall_clock_ms(&self) -> i64 {
        0
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let _runtime = self.handle.enter();
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, _name: &str, task: BoxFuture<'static, ()>) -> Arc<dyn TaskHandle> {
        Arc::new(Task(Mutex::new(Some(self.handle.spawn(task)))))
    }

    fn run_blocking(
        &self,
        _name: &str,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, Result<(), TaskFailure>> {
        let handle = self.handle.clone();
        Box::pin(async move { handle.spawn_blocking(work).await.map_err(|_| TaskFailure::Aborted) })
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(4);
    }

    fn permits(&self, count: usize) -> Arc<dyn Permits> {
        Arc::new(SomePermits(Arc::new(Semaphore::new(count.max(1)))))
    }

    fn parallelism(&self) -> usize {
        1
    }
}
