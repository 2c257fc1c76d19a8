//! The plugins of this build, and what they are called when they are left out of it.
//!
//! Owns the list; linking a crate is what registers it. Which of them a node runs is its manifest's decision.

#[cfg(feature = "chain-lumera")]
use lampkeeper_chain_lumera as _;
#[cfg(feature = "chain-sim")]
use lampkeeper_chain_sim as _;
#[cfg(feature = "epoch-reporter")]
use lampkeeper_epoch_reporter as _;
#[cfg(feature = "heal-full")]
use lampkeeper_heal_full as _;
#[cfg(feature = "heal-minimal")]
use lampkeeper_heal_minimal as _;
#[cfg(feature = "journal-postgres")]
use lampkeeper_journal_postgres as _;
#[cfg(feature = "journal-sqlite")]
use lampkeeper_journal_sqlite as _;
#[cfg(feature = "network-replicas")]
use lampkeeper_network_replicas as _;
#[cfg(feature = "recheck")]
use lampkeeper_recheck as _;
#[cfg(feature = "scheduler-tokio")]
use lampkeeper_scheduler_tokio as _;
#[cfg(feature = "scrub")]
use lampkeeper_scrub as _;
#[cfg(feature = "self-healing")]
use lampkeeper_self_healing as _;
#[cfg(feature = "storage-challenge")]
use lampkeeper_storage_challenge as _;
#[cfg(feature = "storage-fs")]
use lampkeeper_storage_fs as _;
#[cfg(feature = "transport-grpc")]
use lampkeeper_transport_grpc as _;
#[cfg(feature = "transport-memory")]
use lampkeeper_transport_memory as _;

use lampkeeper_core::Registry;
use lampkeeper_core::node::Advisory;
use lampkeeper_core::registry::{PluginRule, RegistryError};

/// Every plugin of this repository and the cargo feature that brings it.
const KNOWN: [(&str, &str); 16] = [
    ("chain-lumera", "chain-lumera"),
    ("chain-sim", "chain-sim"),
    ("epoch-reporter", "epoch-reporter"),
    ("heal-full", "heal-full"),
    ("heal-minimal", "heal-minimal"),
    ("journal-postgres", "journal-postgres"),
    ("journal-sqlite", "journal-sqlite"),
    ("network-replicas", "network-replicas"),
    ("recheck", "recheck"),
    ("scheduler-tokio", "scheduler-tokio"),
    ("scrub", "scrub"),
    ("self-healing", "self-healing"),
    ("storage-challenge", "storage-challenge"),
    ("storage-fs", "storage-fs"),
    ("transport-grpc", "transport-grpc"),
    ("transport-memory", "transport-memory"),
];

/// The services that a node of a LEP-6 network is expected to run.
pub const LEP6_SERVICES: [&str; 4] = ["storage-challenge", "epoch-reporter", "recheck", "self-healing"];

/// The plugins of this build, the names of those left out, and the rules between them.
///
/// # Errors
/// If two plugins were built with the same id.
pub fn registry() -> Result<Registry, RegistryError> {
    let rule = |plugin_id: &str, requires_id: &str, reason: &str| PluginRule {
        plugin_id: plugin_id.to_owned(),
        requires_id: requires_id.to_owned(),
        reason: reason.to_owned(),
    };
    Ok(Registry::from_static()?
        .with_left_out(KNOWN)
        .with_rule(rule(
            "storage-challenge",
            "epoch-reporter",
            "only a report carries the challenger's rows to the chain",
        ))
        .with_rule(rule("recheck", "storage-challenge", "rechecks are repeated challenges")))
}

/// What is said at start about services that are off (wire 9.4).
#[must_use]
pub fn advisory() -> Advisory {
    Advisory {
        subject: "LEP-6".to_owned(),
        plugin_ids: LEP6_SERVICES.map(str::to_owned).to_vec(),
        consequence:
            "this node sends no reports, heals or evidence for them, and the chain may count that against \
            it; enable them in the manifest with `[plugins.NAME]`"
                .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_consistent_and_complete() {
        let registry = registry().expect("no id is taken twice");
        for (id, feature) in KNOWN {
            let there = registry.find(id).is_some();
            let left_out = registry.feature_of(id) == Some(feature);
            assert!(there != left_out, "{id} is neither there nor named as left out");
        }
        assert_eq!(
            registry
                .plugins()
                .filter(|plugin| !KNOWN.iter().any(|(id, _)| *id == plugin.descriptor().id))
                .count(),
            0
        );
    }
}
