//! A network of nodes with real plugins: transport in memory, replicas, challenges, a simulated chain.

use crate::liars::{Liar, Lie};
use lampkeeper_chain_sim::chain::{SimChain, SimChainOptions};
use lampkeeper_chain_sim::plugin::{ChainSimConfig, SupernodeEntry};
use lampkeeper_chain_sim::state::actions::{Action, CascadeMetadata};
use lampkeeper_chain_sim::state::tickets::ArtifactCounts;
use lampkeeper_epoch_reporter as epoch_reporter;
use lampkeeper_network_replicas as network_replicas;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, ChainMessage, ChainReader, EpochReportMessage, PortState, StorageChallengeObservation,
    StorageProofResult, TicketState,
};
use lampkeeper_plugin_sdk::api::journal::ProofJournal;
use lampkeeper_plugin_sdk::api::network::ArtifactNetwork;
use lampkeeper_plugin_sdk::api::plugin::Provided;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::store::{
    ArtifactEntry, ArtifactStore, ByteRange, CheckedArtifact, ProvenRanges, PutOutcome, StoreError,
    StoreUsage,
};
use lampkeeper_plugin_sdk::api::telemetry::Event;
use lampkeeper_plugin_sdk::api::transport::{CallerMint, Handler, Route, Router, ServerHandle, Transport};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::fixture::TicketFixture;
use lampkeeper_plugin_sdk::futures::future::join_all;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::testkit::{
    MemoryJournal, MemoryStore, RecordingTelemetry, TestSigner, VirtualScheduler, context,
};
use lampkeeper_recheck as recheck;
use lampkeeper_scrub as scrub;
use lampkeeper_storage_challenge as storage_challenge;
use lampkeeper_transport_memory::{Fabric, JoiningNode, MemoryTransport};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Copies of each artifact.
pub(crate) const REPLICAS: usize = 6;
/// Blocks of an epoch; a block takes a second.
pub(crate) const EPOCH_BLOCKS: u64 = 60;
/// The time that a target has for an answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The height at which challenges begin.
const FIRST_HEIGHT: i64 = 1201;
/// The heights of the tickets: two old ones, two recent ones.
const TICKET_HEIGHTS: [i64; 4] = [5, 70, 1000, 1090];

/// As many rows about probes as a report has room for, so that no probe is left out because others have failed.
const CHALLENGE_CONFIG: &str = r#"{
    "poll_interval_ms": 1000, "answer_timeout_ms": 2000, "retry_delay_ms": 500, "grace_blocks": 20,
    "probe_time_budget_ms": 20000, "max_probe_rows": 14
}"#;

/// The configurations of the reporter, the rechecks and the scrub: an epoch takes a minute here.
const OTHER_CONFIGS: [&str; 3] =
    [r#"{"poll_interval_ms": 1000}"#, r#"{"tick_interval_ms": 3000}"#, r#"{"cycle_days": 0.003}"#];

/// How a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    Fine = 0,
    /// It never answers.
    Hung = 1,
    /// Every call fails.
    Broken = 2,
}

/// A store whose disk can hang or break.
#[derive(Clone)]
pub(crate) struct FaultyStore {
    pub(crate) inner: MemoryStore,
    disk: Arc<AtomicU8>,
    scheduler: Arc<dyn Scheduler>,
}

impl FaultyStore {
    pub(crate) fn set(&self, disk: Disk) {
        self.disk.store(disk as u8, Ordering::Relaxed);
    }

    async fn disk(&self) -> Result<(), StoreError> {
        while self.disk.load(Ordering::Relaxed) == Disk::Hung as u8 {
            self.scheduler.sleep(Duration::from_millis(500)).await;
        }
        if self.disk.load(Ordering::Relaxed) == Disk::Broken as u8 {
            return Err(StoreError::Io { attempted: "reading".into(), reason: "EIO".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl ArtifactStore for FaultyStore {
    async fn put(&self, key: &ArtifactKey, bytes: Vec<u8>) -> Result<PutOutcome, StoreError> {
        self.disk().await?;
        self.inner.put(key, bytes).await
    }
    async fn get(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk().await?;
        self.inner.get(key).await
    }
    async fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StoreError> {
        self.disk().await?;
        self.inner.size(key).await
    }
    async fn read_range(&self, key: &ArtifactKey, range: ByteRange) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk().await?;
        self.inner.read_range(key, range).await
    }
    async fn prove_ranges(
        &self,
        key: &ArtifactKey,
        ranges: &[ByteRange],
    ) -> Result<Option<ProvenRanges>, StoreError> {
        self.disk().await?;
        self.inner.prove_ranges(key, ranges).await
    }
    async fn delete(&self, key: &ArtifactKey) -> Result<bool, StoreError> {
        self.disk().await?;
        self.inner.delete(key).await
    }
    async fn list(&self, after: Option<ArtifactKey>, limit: usize) -> Result<Vec<ArtifactEntry>, StoreError> {
        self.disk().await?;
        self.inner.list(after, limit).await
    }
    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.inner.usage().await
    }
    async fn take_checked(&self) -> Result<Vec<CheckedArtifact>, StoreError> {
        self.inner.take_checked().await
    }
}

/// What runs of a node; gone after a crash.
struct Running {
    _server: Box<dyn ServerHandle>,
    _provided: Vec<Provided>,
}

/// A node and what survives its crashes.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) store: FaultyStore,
    pub(crate) journal: MemoryJournal,
    pub(crate) telemetry: RecordingTelemetry,
    pub(crate) lie: Option<Lie>,
    running: Option<Running>,
}

/// A row that the chain accepted.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) epoch_id: u64,
    pub(crate) row: StorageProofResult,
}

/// All nodes, their chain and their tickets.
pub(crate) struct Network {
    pub(crate) scheduler: VirtualScheduler,
    pub(crate) fabric: Fabric,
    pub(crate) chain: Arc<SimChain>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) tickets: Vec<TicketFixture>,
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) events: Vec<Event>,
    /// Reports that the chain refused.
    pub(crate) refused: Vec<String>,
    /// Whether the nodes report, recheck and scrub by themselves.
    is_whole: bool,
}

impl Network {
    /// Nodes with these names; a name with a lie tells it. Every artifact is on its replica set.
    pub(crate) fn start(seed: u64, names: &[(String, Option<Lie>)], file_len_bytes: usize) -> Self {
        Self::start_as(seed, names, file_len_bytes, false)
    }

    /// The same with nodes that have the plugins of a challenger all together.
    pub(crate) fn start_whole(seed: u64, names: &[(String, Option<Lie>)], file_len_bytes: usize) -> Self {
        Self::start_as(seed, names, file_len_bytes, true)
    }

    fn start_as(seed: u64, names: &[(String, Option<Lie>)], file_len_bytes: usize, is_whole: bool) -> Self {
        let scheduler = VirtualScheduler::new(seed);
        let tickets: Vec<_> = (1_u8..=4)
            .map(|number| TicketFixture::new(&number.to_string(), file_len_bytes, number))
            .collect();
        let chain = start_chain(&scheduler, seed, names, &tickets);
        let nodes = names.iter().map(|(name, lie)| node(&scheduler, name, *lie)).collect();
        let mut network = Self {
            fabric: Fabric::new(),
            chain,
            nodes,
            tickets,
            accepted: Vec::new(),
            events: Vec::new(),
            refused: Vec::new(),
            is_whole,
            scheduler,
        };
        network.tickets.iter().for_each(|ticket| network.place(ticket));
        for index in 0..network.nodes.len() {
            network.start_node(index);
        }
        network
    }

    /// Puts a ticket's artifacts on their replica sets.
    pub(crate) fn place(&self, fixture: &TicketFixture) {
        for artifact in fixture.artifacts() {
            let mut nodes: Vec<_> = self.nodes.iter().collect();
            nodes.sort_by_key(|node| artifact.key.distance_to_account(&node.account));
            for node in nodes.into_iter().take(REPLICAS) {
                let put = node.store.inner.put(&artifact.key, artifact.bytes.clone());
                self.scheduler.block_on(put).unwrap();
            }
        }
    }

    /// Starts a node, for the first time or after a crash.
    pub(crate) fn start_node(&mut self, index: usize) {
        let node = &self.nodes[index];
        let own = self.scheduler.for_node(&node.name, 0);
        let joining = JoiningNode {
            account: node.account.clone(),
            address: format!("{}:4444", node.name),
            scheduler: own.handle(),
            caller_mint: CallerMint::for_host(),
            telemetry: Arc::new(node.telemetry.clone()),
        };
        let transport: Arc<dyn Transport> = Arc::new(MemoryTransport::join(&self.fabric, joining).unwrap());
        let client = Arc::new(self.chain.client(&node.account));
        let grant = |seams: &mut Provided| {
            seams.chain_reader = Some(Arc::clone(&client) as Arc<dyn ChainReader>);
            seams.store = Some(Arc::new(node.store.clone()));
            seams.transport = Some(Arc::clone(&transport));
            seams.scheduler = Some(own.handle());
            seams.journal = Some(Arc::new(node.journal.clone()));
        };
        let base = context("network-replicas").telemetry(&node.telemetry).signer(TestSigner::new(&node.name));
        let replicas = (network_replicas::descriptor().construct)(base.clone().seams(grant).build());
        let replicas = self.scheduler.block_on(replicas).unwrap();
        let artifact_network = replicas.network.clone().unwrap();
        let challenges = base.clone().config(CHALLENGE_CONFIG).seams(grant).seams(|seams| {
            seams.network = Some(Arc::clone(&artifact_network));
        });
        let challenges =
            self.scheduler.block_on((storage_challenge::descriptor().construct)(challenges.build())).unwrap();
        let mut others = Vec::new();
        let descriptors = [epoch_reporter::descriptor(), recheck::descriptor(), scrub::descriptor()];
        for (descriptor, config) in descriptors.into_iter().zip(OTHER_CONFIGS).filter(|_| self.is_whole) {
            let context = base.clone().config(config).seams(grant).seams(|seams| {
                seams.chain = Some(Arc::clone(&client) as Arc<dyn ChainClient>);
                seams.network = Some(Arc::clone(&artifact_network));
                seams.challenger.clone_from(&challenges.challenger);
            });
            others.push(self.scheduler.block_on((descriptor.construct)(context.build())).unwrap());
        }
        let other_services = others.iter().flat_map(|provided: &Provided| &provided.services);
        let mut router = Router::default();
        for service in replicas.services.iter().chain(&challenges.services).chain(other_services) {
            for route in service.routes() {
                router.add(disguise(node, route, &own.handle(), &artifact_network)).unwrap();
            }
            let service = Arc::clone(service);
            own.spawn(
                "service",
                Box::pin(async move {
                    service.run(Cancel::new()).await.unwrap();
                }),
            );
        }
        let server = self.scheduler.block_on(transport.serve(router)).unwrap();
        self.nodes[index].running =
            Some(Running { _server: server, _provided: [vec![replicas, challenges], others].concat() });
    }

    /// Ends a node's process at once.
    pub(crate) fn crash(&mut self, index: usize) {
        self.scheduler.kill_group(&self.nodes[index].name);
        self.nodes[index].running = None;
    }

    /// The epoch of the last block.
    pub(crate) fn epoch_id(&self) -> u64 {
        self.chain.read(|state| state.query_current_epoch().epoch_id)
    }

    /// Runs to the end of the present epoch, sends everybody's report shortly before, and returns the epoch.
    pub(crate) fn finish_epoch(&mut self) -> u64 {
        let (height, epoch) = self.chain.read(|state| (state.height, state.query_current_epoch()));
        let left = u64::try_from(epoch.epoch_end_height - height).unwrap();
        self.scheduler.run_for(Duration::from_secs(left.saturating_sub(5)));
        self.report(epoch.epoch_id);
        while self.epoch_id() == epoch.epoch_id {
            self.scheduler.run_for(Duration::from_secs(1));
        }
        epoch.epoch_id
    }

    fn report(&mut self, epoch_id: u64) {
        let clients: Vec<_> = self.nodes.iter().map(|node| self.chain.client(&node.account)).collect();
        let reports = self.nodes.iter().zip(&clients).map(|(node, client)| async move {
            let rows = node.journal.proof_rows(epoch_id).await.unwrap();
            let rows: Vec<_> = rows.into_iter().map(|pending| pending.row).collect();
            let assigned = client.assigned_targets(&node.account, epoch_id).await.unwrap();
            let open = vec![PortState::Open; assigned.required_open_ports.len()];
            let observations = assigned.target_supernode_accounts.into_iter().map(|account| {
                StorageChallengeObservation { target_supernode_account: account, port_states: open.clone() }
            });
            let report = EpochReportMessage {
                epoch_id,
                storage_challenge_observations: observations.collect(),
                storage_proof_results: rows.clone(),
                ..EpochReportMessage::default()
            };
            (client.submit(ChainMessage::EpochReport(report)).await, rows)
        });
        let outcomes = self.scheduler.block_on(join_all(reports));
        for (node, (outcome, rows)) in self.nodes.iter().zip(outcomes) {
            match outcome {
                Ok(_) => self.accepted.extend(rows.into_iter().map(|row| Accepted { epoch_id, row })),
                Err(error) => self.refused.push(format!("{}: {error}", node.name)),
            }
            self.events.extend(node.telemetry.events());
            node.telemetry.clear();
        }
    }

    /// The name of an account's node.
    pub(crate) fn name_of(&self, account: &str) -> &str {
        self.nodes.iter().find(|node| node.account == account).map_or("nobody", |node| &node.name)
    }
}

fn node(scheduler: &VirtualScheduler, name: &str, lie: Option<Lie>) -> Node {
    let store = FaultyStore {
        inner: MemoryStore::new(),
        disk: Arc::new(AtomicU8::new(0)),
        scheduler: scheduler.handle(),
    };
    Node {
        name: name.to_owned(),
        account: TestSigner::new(name).account().to_owned(),
        store,
        journal: MemoryJournal::new(),
        telemetry: RecordingTelemetry::new(),
        lie,
        running: None,
    }
}

/// Puts a liar in front of the honest handler.
fn disguise(
    node: &Node,
    route: Route,
    scheduler: &Arc<dyn Scheduler>,
    network: &Arc<dyn ArtifactNetwork>,
) -> Route {
    match (node.lie, route.handler) {
        (Some(lie), Handler::Unary(honest)) if route.path.ends_with("/GetCompoundProof") => {
            let liar = Liar {
                lie,
                honest,
                signer: TestSigner::new(&node.name),
                store: node.store.inner.clone(),
                scheduler: Arc::clone(scheduler),
                network: Arc::clone(network),
            };
            Route::unary(route.path, Arc::new(liar))
        }
        (_, handler) => Route { path: route.path, handler },
    }
}

fn start_chain(
    scheduler: &VirtualScheduler,
    seed: u64,
    names: &[(String, Option<Lie>)],
    tickets: &[TicketFixture],
) -> Arc<SimChain> {
    let accounts: Vec<_> = names.iter().map(|(name, _)| TestSigner::new(name)).collect();
    let supernodes = names.iter().zip(&accounts).map(|((name, _), signer)| SupernodeEntry {
        account: signer.account().to_owned(),
        address: format!("{name}:4444"),
    });
    let params: BTreeMap<String, u64> = [
        ("epoch_length_blocks", EPOCH_BLOCKS),
        ("storage_truth_challenge_target_divisor", 1),
        ("storage_truth_recent_bucket_max_blocks", 1100),
        ("storage_truth_old_bucket_min_blocks", 1101),
        ("consecutive_epochs_to_postpone", 150),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let config = ChainSimConfig {
        seed,
        params: params.into_iter().map(|(name, value)| (name, value.into())).collect(),
        supernodes: supernodes.collect(),
        ..ChainSimConfig::default()
    };
    let mut state = config.genesis("lampkeeper-test", 1_750_000_000_000).unwrap();
    for signer in accounts.iter().chain([&tickets[0].creator]) {
        let account = state.bank.account_mut(signer.account());
        account.public_key = signer.public_key();
        account.public_key_type_url = signer.public_key_type_url().to_owned();
    }
    for (fixture, height) in tickets.iter().zip(TICKET_HEIGHTS) {
        let finalisers = accounts.iter().map(|signer| signer.account().to_owned()).collect();
        state.action.actions.insert(action(fixture, height, finalisers));
        let counts = ArtifactCounts { index: 5, symbol: 5 };
        state.audit.artifact_counts.insert(fixture.ticket.ticket_id.clone(), counts);
    }
    state.advance_to(FIRST_HEIGHT).unwrap();
    let chain = SimChain::new(state, SimChainOptions::default(), scheduler.handle());
    chain.start();
    chain
}

fn action(fixture: &TicketFixture, block_height: i64, supernodes: Vec<String>) -> Action {
    let ticket = &fixture.ticket;
    Action {
        action_id: ticket.ticket_id.clone(),
        creator: ticket.creator.clone(),
        metadata: CascadeMetadata {
            data_hash: ticket.data_hash.clone(),
            file_name: ticket.file_name.clone(),
            rq_ids_ic: ticket.rq_ids_ic,
            rq_ids_max: ticket.rq_ids_max,
            rq_ids_ids: ticket.rq_ids_ids.clone(),
            signatures: ticket.signatures.clone(),
            public: true,
            index_artifact_count: 5,
            symbol_artifact_count: 5,
            ..CascadeMetadata::default()
        },
        state: TicketState::Done,
        block_height,
        supernodes,
        file_size_kbs: ticket.file_size_kbs,
        ..Action::default()
    }
}
