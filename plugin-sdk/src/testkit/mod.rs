//! What tests of plugins and of the node are made with.
//!
//! Owns the scheduler in virtual time, implementations of the seams in memory, scripted and recording ones, and the
//! conformance suites. Nothing here is meant for production. Whole networks, faults and scenarios belong to the simulator
//! that is built on it.

pub mod conformance;
mod context;
pub mod evidence;
mod memory;
mod mock_chain;
mod recording;
mod signer;
mod telemetry;
mod virtual_scheduler;

pub use context::{ContextBuilder, context};
pub use memory::{MemoryJournal, MemoryStaging, MemoryStore};
pub use mock_chain::{ChainCall, MockChain, MockChainBuilder};
pub use recording::{LoadError, Recording};
pub use signer::TestSigner;
pub use telemetry::{LogRecord, RecordingTelemetry};
pub use virtual_scheduler::{VirtualOptions, VirtualScheduler};
