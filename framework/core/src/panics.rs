//! Panics of plugins, turned into text.
//!
//! Every entry into plugin code from core goes through here, so that a plugin that panics takes neither the node nor
//! its neighbours down. A plugin that is built with panic=abort can't be contained.

use futures::FutureExt as _;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work` and returns the words of its panic, if it panicked.
///
/// Unwind safety is asserted: what a panicking plugin leaves half-changed is its own, and its supervisor decides
/// whether it is entered again.
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| words(panic.as_ref()))
}

/// The same for a future, at each of its polls.
pub(crate) async fn contained_future<T>(future: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| words(panic.as_ref()))
}

/// What a panic said, if it said it in text.
fn words(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}
