//! Panics of plugins, turned into text.
//!
//! Every entry into plugin code from core that does not go through a gate goes through here, so that a plugin that
//! panics takes neither the node nor its neighbours down. A plugin that is built with panic=abort can't be contained.

use futures::FutureExt as _;
use lampkeeper_api::guard::panic_words;
use std::future::Future;
use std::panic::AssertUnwindSafe;

pub(crate) use lampkeeper_api::guard::contained;

/// The same for a future, at each of its polls.
pub(crate) async fn contained_future<T>(future: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| panic_words(panic.as_ref()))
}
