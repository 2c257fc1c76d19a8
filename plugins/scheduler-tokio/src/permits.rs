//! Permits on tokio's semaphore, which serves its waiters in order.

use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::scheduler::{Permit, Permits};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) struct SemaphorePermits {
    semaphore: Arc<Semaphore>,
}

impl SemaphorePermits {
    /// `count` permits, at least one.
    pub(crate) fn new(count: usize) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS))) }
    }
}

impl Permits for SemaphorePermits {
    fn acquire(&self) -> BoxFuture<'static, Permit> {
        let semaphore = Arc::clone(&self.semaphore);
        Box::pin(async move {
            #[expect(clippy::expect_used, reason = "nobody closes the semaphore, which is private")]
            permit(semaphore.acquire_owned().await.expect("the semaphore is open"))
        })
    }

    fn try_acquire(&self) -> Option<Permit> {
        Arc::clone(&self.semaphore).try_acquire_owned().ok().map(permit)
    }
}

fn permit(owned: OwnedSemaphorePermit) -> Permit {
    Permit::new(move || drop(owned))
}
