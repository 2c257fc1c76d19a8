//! The node's own tokio runtime, for calls that come in on a native plugin's threads.

use lampkeeper_core::account::EnterRuntime;
use tokio::runtime::Handle;

/// Enters the node's runtime where it is not entered already.
pub struct HostRuntime(Handle);

impl HostRuntime {
    /// The runtime that this is called on.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn current() -> Self {
        Self(Handle::current())
    }
}

impl EnterRuntime for HostRuntime {
    fn enter(&self, work: &mut dyn FnMut()) {
        if Handle::try_current().is_ok() {
            return work();
        }
        let _entered = self.0.enter();
        work();
    }
}
