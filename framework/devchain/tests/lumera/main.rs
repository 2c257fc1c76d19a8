//! The chain client for Lumera against the devchain, on real sockets: the whole conformance suite, and what happens when
//! connections, endpoints and sequences go wrong.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "a test has no public API; `pub` marks what a module offers the others")]
#![expect(clippy::disallowed_methods, reason = "sockets have a runtime of their own, and its time")]

mod conformance;
mod endpoints;
mod persistence;
mod queries;
mod submissions;
mod support;
