//! Spawned tasks: what is kept of them, and what their spawners hold.

use super::executor::{Core, Node, TaskId};
use futures::FutureExt;
use futures::channel::oneshot;
use lampkeeper_api::BoxFuture;
use lampkeeper_api::scheduler::{TaskFailure, TaskHandle};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// What a task runs.
pub(super) type TaskFuture = BoxFuture<'static, ()>;

/// A task that has not ended.
pub(super) struct Task {
    pub(super) name: String,
    pub(super) node: Arc<Node>,
    /// Absent while it is polled.
    pub(super) future: Option<TaskFuture>,
    pub(super) waker: Waker,
    pub(super) queued: bool,
    /// To be dropped instead of polled.
    pub(super) doomed: bool,
    pub(super) outcome: oneshot::Sender<Result<(), TaskFailure>>,
}

impl Task {
    pub(super) fn full_name(&self) -> String {
        if self.node.name.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.node.name, self.name)
        }
    }
}

/// Spawns, or drops `future` unpolled if the node is dead.
pub(super) fn spawn(
    core: &Arc<Core>,
    node: &Arc<Node>,
    name: &str,
    future: TaskFuture,
) -> Arc<dyn TaskHandle> {
    let (sender, receiver) = oneshot::channel();
    let task = Task {
        name: name.to_owned(),
        node: Arc::clone(node),
        future: Some(future),
        waker: Waker::noop().clone(),
        queued: false,
        doomed: false,
        outcome: sender,
    };
    let id = core.add_task(task).ok();
    // A task whose sender is gone without a word was dropped.
    let outcome = receiver.map(|outcome| outcome.unwrap_or(Err(TaskFailure::Aborted))).boxed().shared();
    Arc::new(VirtualTask { core: Arc::clone(core), id, outcome })
}

struct VirtualTask {
    core: Arc<Core>,
    id: Option<TaskId>,
    outcome: futures::future::Shared<BoxFuture<'static, Result<(), TaskFailure>>>,
}

impl TaskHandle for VirtualTask {
    fn abort(&self) {
        if let Some(id) = self.id {
            self.core.abort_task(id);
        }
    }

    fn join(&self) -> BoxFuture<'static, Result<(), TaskFailure>> {
        Box::pin(self.outcome.clone())
    }
}

/// Lets others go first.
pub(super) async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What `work` returns, or its panic.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, TaskFailure> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| TaskFailure::of_panic(&*payload))
}
