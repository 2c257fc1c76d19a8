//! A network of replicas over the transport in memory, in virtual time: artifacts survive a node that is down and one
//! that serves corrupt bytes.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use lampkeeper_network_replicas as network_replicas;
use lampkeeper_plugin_sdk::api::chain::{PAGE_LIMIT_MAX, Page, PageRequest, Supernode, SupernodeState};
use lampkeeper_plugin_sdk::api::network::{Artifact, ArtifactNetwork};
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::store::{
    ArtifactEntry, ArtifactStore, ByteRange, ProvenRanges, PutOutcome, StoreError, StoreUsage,
};
use lampkeeper_plugin_sdk::api::transport::{CallerMint, Router, ServerHandle, Transport};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::testkit::{
    MemoryStore, MockChain, RecordingTelemetry, TestSigner, VirtualScheduler, context,
};
use lampkeeper_transport_memory::{Fabric, JoiningNode, LinkQuality, MemoryTransport};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const NODES: usize = 7;
const ARTIFACTS: usize = 100;
/// The length of a packet (wire 4.7).
const ARTIFACT_LEN_BYTES: usize = 65_532;

/// A store that flips bits of what it returns once it is told to.
#[derive(Clone, Default)]
struct RottingStore {
    intact: MemoryStore,
    is_rotten: Arc<AtomicBool>,
}

#[async_trait]
impl ArtifactStore for RottingStore {
    async fn put(&self, key: &ArtifactKey, bytes: Vec<u8>) -> Result<PutOutcome, StoreError> {
        self.intact.put(key, bytes).await
    }
    async fn get(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bytes = self.intact.get(key).await?;
        if let Some(byte) = bytes.as_mut().and_then(|bytes| bytes.last_mut()) {
            *byte ^= u8::from(self.is_rotten.load(Ordering::Relaxed));
        }
        Ok(bytes)
    }
    async fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StoreError> {
        self.intact.size(key).await
    }
    async fn read_range(&self, key: &ArtifactKey, range: ByteRange) -> Result<Option<Vec<u8>>, StoreError> {
        self.intact.read_range(key, range).await
    }
    async fn prove_ranges(
        &self,
        key: &ArtifactKey,
        ranges: &[ByteRange],
    ) -> Result<Option<ProvenRanges>, StoreError> {
        self.intact.prove_ranges(key, ranges).await
    }
    async fn delete(&self, key: &ArtifactKey) -> Result<bool, StoreError> {
        self.intact.delete(key).await
    }
    async fn list(&self, after: Option<ArtifactKey>, limit: usize) -> Result<Vec<ArtifactEntry>, StoreError> {
        self.intact.list(after, limit).await
    }
    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.intact.usage().await
    }
}

struct Node {
    account: String,
    store: RottingStore,
    telemetry: RecordingTelemetry,
    network: Arc<dyn ArtifactNetwork>,
    _server: Box<dyn ServerHandle>,
}

/// A node with the plugin's own constructor, reachable over `fabric`.
fn start(scheduler: &VirtualScheduler, fabric: &Fabric, name: &str, supernodes: &[Supernode]) -> Node {
    let signer = TestSigner::new(name);
    let own = scheduler.for_node(name, 0).handle();
    let (store, telemetry) = (RottingStore::default(), RecordingTelemetry::new());
    let first_page = PageRequest { key: None, limit: PAGE_LIMIT_MAX };
    let listing = Page { items: supernodes.to_vec(), next_key: None };
    let chain = MockChain::builder(name).supernodes(first_page, Ok(listing)).always().build();
    let account = supernodes.iter().find(|node| node.latest_address.starts_with(name)).unwrap();
    let account = account.supernode_account.clone();
    let joining = JoiningNode {
        account: account.clone(),
        address: format!("{name}:4444"),
        scheduler: Arc::clone(&own),
        caller_mint: CallerMint::for_host(),
        telemetry: Arc::new(telemetry.clone()),
    };
    let transport = Arc::new(MemoryTransport::join(fabric, joining).unwrap());
    let context = context("network-replicas").telemetry(&telemetry).signer(signer).seams(|seams| {
        seams.chain_reader = Some(chain);
        seams.store = Some(Arc::new(store.clone()));
        seams.transport = Some(Arc::clone(&transport) as Arc<dyn Transport>);
        seams.scheduler = Some(own);
    });
    let provided = scheduler.block_on((network_replicas::descriptor().construct)(context.build())).unwrap();
    let mut router = Router::default();
    for route in provided.services.iter().flat_map(|service| service.routes()) {
        router.add(route).unwrap();
    }
    let _server = scheduler.block_on(transport.serve(router)).unwrap();
    Node { account, store, telemetry, network: provided.network.unwrap(), _server }
}

fn start_all(scheduler: &VirtualScheduler, fabric: &Fabric) -> Vec<Node> {
    use lampkeeper_plugin_sdk::api::signer::Signer;
    let names: Vec<_> = (1..=NODES).map(|number| format!("n{number}")).collect();
    let supernodes: Vec<_> = names
        .iter()
        .map(|name| Supernode {
            supernode_account: TestSigner::new(name).account().to_owned(),
            latest_address: format!("{name}:4444"),
            state: SupernodeState::Active,
            ..Supernode::default()
        })
        .collect();
    names.iter().map(|name| start(scheduler, fabric, name, &supernodes)).collect()
}

fn artifacts() -> Vec<Artifact> {
    let artifact = |number: usize| {
        let mut bytes = vec![0; ARTIFACT_LEN_BYTES];
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        Artifact { key: ArtifactKey::of(&bytes), bytes }
    };
    (0..ARTIFACTS).map(artifact).collect()
}

#[test]
fn artifacts_outlive_a_node_that_is_down_and_one_that_serves_corrupt_bytes() {
    let scheduler = VirtualScheduler::new(11);
    let fabric = Fabric::new();
    fabric.faults().set_every_link(LinkQuality {
        latency: Duration::from_millis(20),
        bandwidth_bytes_per_s: NonZeroU64::new(50_000_000),
    });
    let nodes = start_all(&scheduler, &fabric);
    let artifacts = artifacts();
    let keys: Vec<_> = artifacts.iter().map(|artifact| artifact.key).collect();

    let published = scheduler.block_on(nodes[0].network.publish(artifacts.clone())).unwrap();
    for published in &published {
        assert_eq!(published.stored_on.len(), 6, "{published:?}");
        assert!(published.failed_on.is_empty(), "{published:?}");
    }

    fabric.faults().take_down(&nodes[1].account);
    nodes[2].store.is_rotten.store(true, Ordering::Relaxed);
    // The reader lost its own copies.
    let reader = &nodes[3];
    for key in &keys {
        scheduler.block_on(reader.store.delete(key)).unwrap();
    }
    let before = scheduler.now();
    let fetched = scheduler.block_on(reader.network.fetch(&keys)).unwrap();
    for (artifact, fetched) in artifacts.into_iter().zip(fetched) {
        assert_eq!(fetched, Some(artifact));
    }
    let wrong = [("peer", nodes[2].account.as_str())];
    assert!(
        reader.telemetry.counter("network_wrong_artifacts_total", &wrong) > 0,
        "nobody asked the rotten one"
    );
    assert_eq!(
        reader.telemetry.counter_sum("network_wrong_artifacts_total"),
        reader.telemetry.counter("network_wrong_artifacts_total", &wrong),
        "only the rotten one is blamed"
    );
    let took = scheduler.now().since(before);
    assert!(took < Duration::from_secs(5), "a node that is down costs no timeout, but it took {took:?}");
    assert_eq!(scheduler.panics(), []);
}
