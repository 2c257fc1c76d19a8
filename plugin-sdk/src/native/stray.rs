//! Panics on threads that a native plugin started itself.
//!
//! No gate stands around such a thread: the system ends it, and nothing else would be heard of it. A panic hook of this
//! image tells the host. (The host's own hook does not see them: each image has its own.)

use super::forward;
use std::panic;
use std::sync::Once;

/// Installs the hook of this image, once. Whatever hook was there is called as well.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            previous(info);
            // Within a step the gate contains the panic, and tells of it.
            if forward::is_in_a_step() {
                return;
            }
            let Some(telemetry) = forward::listener() else { return };
            let thread = std::thread::current();
            let words = info.payload_as_str().unwrap_or("no message");
            telemetry.panicked("thread", thread.name().unwrap_or("unnamed"), words);
        }));
    });
}
