//! Sleeping.

use super::executor::Core;
use lampkeeper_api::scheduler::Moment;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Completes at a moment that was fixed when it was made.
pub(super) struct Sleep {
    core: Arc<Core>,
    deadline: Moment,
    timer: Option<u64>,
}

impl Sleep {
    pub(super) fn new(core: Arc<Core>, duration: Duration) -> Self {
        let deadline = core.now().plus(duration);
        Self { core, deadline, timer: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.core.set_timer(self.deadline, self.timer, context.waker()) {
            None => Poll::Ready(()),
            timer => {
                self.timer = timer;
                Poll::Pending
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.core.remove_timer(self.deadline, timer);
        }
    }
}
