//! The scheduler as hyper wants it.

use hyper::rt::Executor;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use std::sync::Arc;

/// Runs hyper's work on the node's scheduler.
#[derive(Clone)]
pub(crate) struct OnScheduler {
    pub(crate) scheduler: Arc<dyn Scheduler>,
    /// The name of the tasks, for logs.
    pub(crate) name: &'static str,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for OnScheduler {
    fn execute(&self, work: F) {
        self.scheduler.spawn(self.name, Box::pin(work));
    }
}
