//! What turns a manifest and a set of plugins into a running node.
//!
//! Owns the manifest and its problems, the registry of plugins, the resolution of needs, the order of starting and
//! draining, supervision, telemetry and the file signer. It knows no plugin by name and no rule of the protocol: which
//! services exist, and what it means that one is off, is told by the program that embeds it.
//!
//! The way through: [`Registry`] → [`Manifest::parse`] → [`Node::start`] → [`Node::drain`].
//!
//! What must stay absent here: clocks, timers, spawned tasks and sockets (they come from the scheduler and transport
//! seams); files, except for the node's key, the libraries of native plugins and recordings; unsafe code, except for loading those.
#![deny(unsafe_code)]

pub mod account;
pub mod identity;
pub mod inject;
pub mod manifest;
pub mod native;
pub mod node;
pub mod registry;
pub mod resolve;
pub mod supervise;
pub mod telemetry;

mod panics;
mod suggest;
#[cfg(test)]
mod testing;

pub use identity::FileSigner;
pub use manifest::{Manifest, Problem};
pub use node::{Node, NodeHost, StartError};
pub use registry::Registry;
pub use telemetry::TelemetryHub;
