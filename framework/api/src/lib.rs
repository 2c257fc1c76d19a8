//! The seams of a Lampkeeper node and the plain types that cross them.
//!
//! A *seam* is an object-safe async trait that a plugin provides and other plugins need. This crate owns the seams,
//! the plugin descriptor and the types in their signatures; it has no implementation of any of them (core has the
//! registry, the plugins have the rest).
//!
//! What must stay absent here: anything that is not `std` in a public signature. No tokio, tonic, `Bytes`, `anyhow`,
//! `serde_json` or `tracing`. Layout then depends on the compiler, its flags and this source alone, and that is what
//! lets a plugin that was built elsewhere be compared with this host before it is trusted.
#![forbid(unsafe_code)]

pub mod cancel;
pub mod chain;
pub mod challenge;
pub mod guard;
pub mod heal;
pub mod history;
pub mod journal;
pub mod native;
pub mod network;
pub mod plugin;
pub mod scheduler;
pub mod service;
pub mod signer;
pub mod staging;
pub mod store;
pub mod telemetry;
pub mod transport;

use std::future::Future;
use std::pin::Pin;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A bech32 account as the chain writes it; never normalised.
pub type Account = String;
/// The id of a finalised cascade action: a decimal counter as text (wire 0).
pub type TicketId = String;
/// The number of an epoch.
pub type EpochId = u64;
