//! Opening the staging area and the journal of a node that is stopped, and nothing else of it.

use super::look::{NodeHeals, Seams};
use crate::commands::check::load;
use crate::commands::passphrase;
use crate::commands::run::start_failure;
use crate::output::Failure;
use lampkeeper_api::plugin::Seam;
use lampkeeper_core::node::NodeHost;
use lampkeeper_core::{Manifest, Node, TelemetryHub};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// What is looked at, and the scheduler that it needs.
const SEAMS: [Seam; 3] = [Seam::Scheduler, Seam::Staging, Seam::Journal];

/// Looks at the disk of the manifest's node, which must not run.
pub(super) async fn look(path: &Path, heal_op_id: Option<u64>) -> Result<NodeHeals, Failure> {
    let (manifest, registry) = load(path)?;
    let signer = passphrase::open(&manifest.identity).map_err(Failure::invalid)?;
    if !manifest.node.data_dir.is_dir() {
        let dir = manifest.node.data_dir.display();
        return Err(Failure::failed(format!("{dir} is not there: the node has never run")));
    }
    let host = NodeHost::new(Arc::new(signer), TelemetryHub::new());
    let node = Node::start(&only_the_disk(manifest), &registry, host).await.map_err(start_failure)?;
    let found = match Seams::of(&node, None) {
        Ok(seams) => seams.look(heal_op_id).await,
        Err(reason) => Err(reason),
    };
    node.drain().await;
    found.map_err(Failure::failed)
}

/// The manifest with only those plugins in its plan that the disk is read through.
fn only_the_disk(mut manifest: Manifest) -> Manifest {
    let plan = &mut manifest.plan;
    plan.node_grants.retain(|seam, _| SEAMS.contains(seam));
    let mut wanted: BTreeSet<String> = plan.node_grants.values().cloned().collect();
    // Providers stand before those who need them.
    for step in plan.steps.iter().rev() {
        if wanted.contains(&step.plugin_id) {
            wanted.extend(step.grants.values().cloned());
        }
    }
    plan.steps.retain(|step| wanted.contains(&step.plugin_id));
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_core::FileSigner;
    use lampkeeper_protocol::account::KeyType;

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the test makes a node's files")]
    async fn only_the_disk_of_a_stopped_node_is_opened() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("node.toml");
        let text = "[node]\nname = 'n1'\nnetwork = 'test'\ndata_dir = 'data'\n[identity]\nkey_file = 'key'\n\
            [plugins.scheduler-tokio]\n[plugins.storage-fs]\n[plugins.journal-sqlite]\n[plugins.transport-memory]\n";
        std::fs::write(&path, text).expect("writes");
        FileSigner::create(&dir.path().join("key"), KeyType::Secp256k1).expect("a key");
        let never = look(&path, None).await.expect_err("never ran");
        assert!(never.message.contains("never run"), "{}", never.message);
        std::fs::create_dir(dir.path().join("data")).expect("a directory");

        let (manifest, _) = load(&path).expect("a fine manifest");
        let steps = only_the_disk(manifest).plan.steps;
        let mut ids: Vec<&str> = steps.iter().map(|step| step.plugin_id.as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["journal-sqlite", "scheduler-tokio", "storage-fs"]);
        // Twice: everything is given back.
        for _ in 0..2 {
            let found = look(&path, None).await.expect("looks");
            assert_eq!((found.name.as_str(), found.heals.len()), ("n1", 0));
        }
    }
}
