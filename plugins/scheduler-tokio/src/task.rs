//! What the spawner of a task holds.

use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::scheduler::{TaskFailure, TaskHandle};
use lampkeeper_plugin_sdk::futures::FutureExt;
use lampkeeper_plugin_sdk::futures::future::Shared;
use tokio::task::{AbortHandle, JoinError, JoinHandle};

/// A spawned task. Its outcome is kept, so that it can be joined more than once.
pub(crate) struct TokioTask {
    abort: AbortHandle,
    outcome: Shared<BoxFuture<'static, Result<(), TaskFailure>>>,
}

impl TokioTask {
    pub(crate) fn new(task: JoinHandle<()>) -> Self {
        Self { abort: task.abort_handle(), outcome: task.map(outcome).boxed().shared() }
    }
}

impl TaskHandle for TokioTask {
    fn abort(&self) {
        self.abort.abort();
    }

    fn join(&self) -> BoxFuture<'static, Result<(), TaskFailure>> {
        self.outcome.clone().boxed()
    }
}

/// How a task ended. A runtime that shuts down aborts its tasks.
pub(crate) fn outcome(joined: Result<(), JoinError>) -> Result<(), TaskFailure> {
    joined.map_err(|error| match error.try_into_panic() {
        Ok(payload) => TaskFailure::of_panic(&*payload),
        Err(_) => TaskFailure::Aborted,
    })
}
