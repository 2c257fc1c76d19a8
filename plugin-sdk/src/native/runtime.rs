//! The tokio runtime of a native plugin.
//!
//! A shared library has its own copy of every static, tokio's thread-locals included: inside it the host's runtime is
//! not there, whatever thread it is called on. So a plugin that needs one gets its own, made on first use and kept until
//! the process ends, and every step of its work enters it.

/// The runtime that a plugin's code expects around it in the native tier. In the static tier it is the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(non_camel_case_types, reason = "the words of `register_plugin!`")]
#[non_exhaustive]
pub enum Runtime {
    /// None: the plugin only uses seams, and costs no thread.
    #[default]
    none,
    /// One with a single worker thread, for plugins that use a library which wants tokio.
    #[cfg(feature = "native-runtime")]
    small,
    /// One with a worker thread for each core, for plugins on which the whole node runs, such as a scheduler.
    #[cfg(feature = "native-runtime")]
    per_core,
}

impl Runtime {
    /// Runs `work` with the runtime entered.
    ///
    /// # Panics
    /// If the system gives no threads for it; called only where panics are contained.
    #[cfg(feature = "native-runtime")]
    pub(super) fn enter<T>(self, work: impl FnOnce() -> T) -> T {
        // On a thread of the runtime, and within a step of this image, it is entered already.
        if self == Self::none || tokio::runtime::Handle::try_current().is_ok() {
            return work();
        }
        let _entered = own(self).enter();
        work()
    }

    /// Runs `work`: without the feature there is no runtime to enter.
    #[cfg(not(feature = "native-runtime"))]
    pub(super) fn enter<T>(self, work: impl FnOnce() -> T) -> T {
        work()
    }
}

/// The runtime of this image. The first plugin of the image that needs one decides how large it is.
#[cfg(feature = "native-runtime")]
#[expect(
    clippy::expect_used,
    reason = "the caller contains it as a panic of this plugin, which is what it is"
)]
fn own(size: Runtime) -> &'static tokio::runtime::Runtime {
    use std::sync::OnceLock;
    use tokio::runtime::Builder;
    static OWN: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    OWN.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        if size == Runtime::small {
            builder.worker_threads(1);
        }
        builder.thread_name("plugin").enable_all().build().expect("threads for the plugin's runtime")
    })
}
