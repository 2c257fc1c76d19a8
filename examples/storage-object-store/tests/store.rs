//! In memory and in a folder it is a store like any other, and a node that links it starts with it.

use example_storage_object_store::{ObjectArtifacts, descriptor};
use lampkeeper_core::{Manifest, Node, NodeHost, Registry, TelemetryHub};
use lampkeeper_plugin_sdk::api::plugin::Seam;
use lampkeeper_plugin_sdk::api::store::ArtifactStore;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::testkit::conformance::{self, Damageable};
use lampkeeper_plugin_sdk::testkit::{TestSigner, VirtualScheduler, context};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use std::path::Path;
use std::sync::Arc;

fn made(url: &str) -> Result<Arc<dyn ArtifactStore>, String> {
    let config = format!(r#"{{"url": "{url}"}}"#);
    let context = context("storage-object-store").config(&config).build();
    let made = VirtualScheduler::new(1).block_on((descriptor().construct)(context));
    Ok(made.map_err(|error| error.to_string())?.store.unwrap())
}

fn url_of(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

#[test]
fn in_memory_it_is_a_store() {
    let make = async || {
        let store = ObjectArtifacts::new(Arc::new(InMemory::new()), Default::default());
        Arc::new(store) as Arc<dyn ArtifactStore>
    };
    VirtualScheduler::new(1).block_on(conformance::store(make)).assert_passed();
}

/// The store of a folder, and a hand that flips a bit in its files.
fn damageable() -> Damageable {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let backend = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let store: Arc<dyn ArtifactStore> = Arc::new(ObjectArtifacts::new(Arc::new(backend), Default::default()));
    let damage = move |key: &ArtifactKey| {
        let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = folder.path().join(&hex[..2]).join(hex);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    Damageable { store, damage: Box::new(damage) }
}

#[test]
fn in_a_folder_it_is_a_store_that_notices_damage_and_outlives_the_process() {
    let scheduler = VirtualScheduler::new(1);
    scheduler.block_on(conformance::store(async || damageable().store)).assert_passed();
    scheduler.block_on(conformance::store_with_damage(async || damageable())).assert_passed();
    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        let backend = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let store = ObjectArtifacts::new(Arc::new(backend), Default::default());
        Arc::new(store) as Arc<dyn ArtifactStore>
    };
    scheduler.block_on(conformance::store_survives_reopening(open)).assert_passed();
}

#[test]
fn where_nothing_can_be_kept_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let absent = url_of(&folder.path().join("absent"));
    let mut table = vec![
        ("nowhere", "config.url: `nowhere` is no URL"),
        ("ftp://host/artifacts", "config.url: `ftp` is none of memory, file and s3"),
        (absent.as_str(), "config.url: "),
    ];
    if cfg!(not(feature = "s3")) {
        table.push(("s3://bucket/prefix", "build the plugin with `--features s3`"));
    }
    for (url, words) in table {
        let told = made(url).err().unwrap();
        assert!(told.contains(words), "{url}: {told}");
    }
    made("memory:///").unwrap();
    made(&url_of(folder.path())).unwrap();
}

#[test]
fn a_node_that_links_it_keeps_artifacts_there() {
    let registry = Registry::from_static().unwrap().with_host_seams([Seam::Scheduler]);
    let text = "[node]\nname = 'n1'\nnetwork = 'devnet-1'\ndata_dir = 'data'\n\
                [plugins.storage-object-store.config]\nurl = 'memory:///'\n";
    let manifest = Manifest::parse(Path::new("node.toml"), text, &registry).unwrap();
    assert_eq!(manifest.plan.node_grants[&Seam::Store], "storage-object-store");
    let scheduler = VirtualScheduler::new(1);
    let mut host = NodeHost::new(Arc::new(TestSigner::new("n1")), TelemetryHub::new());
    host.seams.scheduler = Some(scheduler.handle());
    let node = scheduler.block_on(Node::start(&manifest, &registry, host)).unwrap();
    assert!(scheduler.block_on(node.drain()).is_clean());
}
