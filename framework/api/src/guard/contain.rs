//! Panics, turned into text in the image in which they happen.
//!
//! A panic that leaves its image ends the process, even below a `catch_unwind` of the other image: each has its own
//! copy of the panic machinery. So every gate contains panics on its own side.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`.
///
/// Unwind safety is asserted: what a panicking plugin leaves half-changed is its own, and its supervisor decides whether
/// it is entered again.
///
/// # Errors
/// The words of its panic, if it panicked.
pub fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let words = panic_words(panic.as_ref());
        contained_drop(panic);
        words
    })
}

/// Drops a value that may panic when it is dropped. If it does so again with what it panicked with, that is leaked:
/// there is no other way to stay alive.
pub fn contained_drop<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(move || drop(value))) {
        std::mem::forget(panic);
    }
}

/// What a panic said, if it said it in text. Only for a panic of this image.
#[must_use]
pub fn panic_words(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}
