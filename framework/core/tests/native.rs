//! The native tier with a real library: a plugin in a workspace of its own is built, loaded, called, made to panic; and
//! every reason to refuse a library is tried with a copy of it that was damaged for the purpose.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "builds and damages libraries")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod native {
    pub(crate) mod support;

    mod calls;
    mod cycles;
    mod mischief;
    mod refusals;
}
