//! The rules of the chain, from outside: planted situations, messages, and what comes of them.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod actions;
mod determinism;
mod enforcement;
mod genesis;
mod heals;
mod injections;
mod live;
mod rechecks;
mod reports;
mod scoring;
mod shared_chain;
mod support;
mod transactions;
