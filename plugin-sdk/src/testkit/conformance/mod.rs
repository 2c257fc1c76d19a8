//! What every implementation of a seam has to do, as checks that run against any of them.
//!
//! Owns one suite a seam, each derived from the contract in the seam's documentation, and the [`Report`] that they
//! fill. Checks never assume how an implementation works inside, and assume nothing about time but what a
//! [`Scheduler`](lampkeeper_api::scheduler::Scheduler) promises.
//!
//! A suite is a future like any other; an implementation that needs no runtime runs it in virtual time:
//!
//! ```
//! use lampkeeper_plugin_sdk::api::store::ArtifactStore;
//! use lampkeeper_plugin_sdk::testkit::{MemoryStore, VirtualScheduler, conformance};
//! use std::sync::Arc;
//!
//! let make = async || Arc::new(MemoryStore::new()) as Arc<dyn ArtifactStore>;
//! let report = VirtualScheduler::new(0).block_on(conformance::store(make));
//! println!("{report}");
//! report.assert_passed();
//! ```

mod chain;
mod challenger;
mod heal_strategy;
mod history;
mod journal;
mod network;
mod plugin;
mod report;
mod scheduler;
mod service;
mod signer;
mod staging;
mod store;
mod transport;

pub use chain::{ChainFixture, ChainReport, ForcedFault, chain};
pub use challenger::challenger;
pub use heal_strategy::{heal_strategy, heal_strategy_plugin};
pub use history::challenge as sample_challenge;
pub use journal::{
    claim as sample_claim, journal, journal_of_first_version, journal_survives_reopening,
    proof_row as sample_proof_row,
};
pub use network::network;
pub use plugin::{PluginReport, PluginUnderTest, Time, account_under_test, needs_real_time, plugin};
pub use report::{Check, CheckResult, Failure, Report, equal, holds, refused};
pub use scheduler::scheduler;
pub use service::service;
pub use signer::signer;
pub use staging::{staging, staging_survives_reopening};
pub use store::{Damageable, store, store_survives_reopening, store_with_damage};
pub use transport::{TransportPair, transport};

/// Bytes that look random, differ with `salt`, and are the same in every run.
fn pattern(len_bytes: usize, salt: u8) -> Vec<u8> {
    let mut reader = blake3::Hasher::new().update(&[salt]).finalize_xof();
    let mut bytes = vec![0; len_bytes];
    reader.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
