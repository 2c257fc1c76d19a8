//! What a whole epoch's dispatch over 100 targets takes: how long in virtual time, and how much work of this process.
//!
//! Every target answers with a proof of its own, after 20 ms on the way; five of them never answer. Keys, proofs and
//! signatures are real, on both sides, and all in one thread; the network and the chain are in memory.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking, and prints figures"
)]

use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::{
    AccountInfo, AssignedTargets, ChainStatus, EpochAnchor, EpochInfo, Page, PageRequest, Params, PortState,
    Supernode, SupernodeState,
};
use lampkeeper_plugin_sdk::api::journal::ProofJournal;
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, within};
use lampkeeper_plugin_sdk::api::service::Service;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::store::ArtifactStore;
use lampkeeper_plugin_sdk::api::transport::{
    CallError, CallerMint, Handler, MessageStream, Peer, Router, ServerHandle, Transport, UnaryHandler,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::fixture::{MemoryNetwork, TicketFixture};
use lampkeeper_plugin_sdk::testkit::{
    MemoryJournal, MemoryStore, MockChain, MockChainBuilder, RecordingTelemetry, TestSigner,
    VirtualScheduler, context,
};
use lampkeeper_proto::methods::GET_COMPOUND_PROOF;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const TARGETS: usize = 100;
/// Every twentieth target never answers.
const SILENT_EVERY: usize = 20;
const LATENCY: Duration = Duration::from_millis(20);
const EPOCH: u64 = 10;
const EPOCH_BLOCKS: u64 = 400;
/// Placement puts each artifact on most of the nodes, so that every target holds some of both tickets.
const CONFIG: &str = r#"{"replica_count": 64, "max_concurrent_targets": 16, "poll_interval_ms": 1000}"#;

fn main() {
    let world = World::new();
    let made = world.dispatch();
    println!(
        "an epoch over {TARGETS} targets, {} of them silent: {} rows, {} probes, {} bytes of their proofs, {:.1} s of virtual time",
        TARGETS.div_ceil(SILENT_EVERY),
        made.rows,
        made.probes,
        made.probe_bytes,
        made.virtual_time.as_secs_f64()
    );
    divan::main();
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn an_epoch_over_100_targets(bencher: divan::Bencher<'_, '_>) {
    bencher.with_inputs(World::new).bench_local_refs(|world| world.dispatch());
}

/// What one dispatch came to.
struct Made {
    rows: usize,
    probes: u64,
    probe_bytes: u64,
    virtual_time: Duration,
}

struct World {
    scheduler: VirtualScheduler,
    journal: MemoryJournal,
    telemetry: RecordingTelemetry,
    service: Arc<dyn Service>,
}

impl World {
    fn new() -> Self {
        let scheduler = VirtualScheduler::new(1);
        let challenger = TestSigner::new("challenger");
        let targets: Vec<_> =
            (0..TARGETS).map(|number| TestSigner::new(&format!("target {number}"))).collect();
        let nodes: Vec<&TestSigner> = std::iter::once(&challenger).chain(&targets).collect();
        let tickets = [ticket("17", 3, 900, &nodes), ticket("18", 4, 3700, &nodes)];
        let store = MemoryStore::new();
        let network = MemoryNetwork::new(&["holder"]);
        for artifact in tickets.iter().flat_map(TicketFixture::artifacts) {
            scheduler.block_on(store.put(&artifact.key, artifact.bytes.clone())).unwrap();
            network.put("holder", artifact.clone());
        }
        let serving = |signer: &TestSigner| {
            let registered = supernode(challenger.account());
            let chain = MockChain::builder(signer.account()).params(Ok(params())).always();
            let chain = chain.supernode(challenger.account(), Ok(registered)).always().build();
            let context = context("storage-challenge").memory_seams(&scheduler).seams(|seams| {
                seams.chain_reader = Some(chain);
                seams.store = Some(Arc::new(store.clone()));
                seams.network = Some(Arc::new(network.clone()));
                seams.transport = Some(Arc::new(Wires::default()));
            });
            let construct = lampkeeper_storage_challenge::descriptor().construct;
            let provided = scheduler.block_on(construct(context.signer(signer.clone()).build())).unwrap();
            let mut routes = provided.services[0].routes().into_iter();
            let route = routes.find(|route| route.path == GET_COMPOUND_PROOF).unwrap();
            let Handler::Unary(handler) = route.handler else { panic!("a unary call") };
            (signer.account().to_owned(), handler)
        };
        let wires = Wires {
            scheduler: Some(scheduler.for_node("challenger", 0).handle()),
            caller: challenger.account().to_owned(),
            handlers: targets.iter().map(serving).collect(),
            silent: targets.iter().step_by(SILENT_EVERY).map(|target| target.account().to_owned()).collect(),
        };
        let (journal, telemetry) = (MemoryJournal::new(), RecordingTelemetry::new());
        let chain = chain(&challenger, &nodes, &tickets);
        let context = context("storage-challenge").config(CONFIG).telemetry(&telemetry).seams(|seams| {
            seams.chain_reader = Some(chain);
            seams.store = Some(Arc::new(MemoryStore::new()));
            seams.network = Some(Arc::new(network.clone()));
            seams.transport = Some(Arc::new(wires));
            seams.journal = Some(Arc::new(journal.clone()));
            seams.scheduler = Some(scheduler.for_node("challenger", 0).handle());
        });
        let construct = lampkeeper_storage_challenge::descriptor().construct;
        let provided = scheduler.block_on(construct(context.signer(challenger.clone()).build())).unwrap();
        let service = Arc::clone(&provided.services[0]);
        Self { scheduler, journal, telemetry, service }
    }

    /// Runs the service until the epoch is done with.
    fn dispatch(&self) -> Made {
        let service = Arc::clone(&self.service);
        let run = async move { service.run(Cancel::new()).await.unwrap() };
        self.scheduler.for_node("challenger", 0).spawn("challenges", Box::pin(run));
        let took = loop {
            self.scheduler.run_for(Duration::from_secs(1));
            let took = self.telemetry.observations("challenge_dispatch_seconds", &[]);
            if let Some(took) = took.first() {
                break *took;
            }
            assert!(self.scheduler.now().since_start() < Duration::from_secs(3600), "it ends");
        };
        self.scheduler.kill_group("challenger");
        let rows = self.scheduler.block_on(self.journal.proof_rows(EPOCH)).unwrap().len();
        assert_eq!(self.scheduler.panics(), []);
        assert_eq!(self.telemetry.counter_sum("challenge_held_total"), 0, "nobody is held");
        assert_eq!(rows, 2 * TARGETS, "a recent and an old row of each");
        Made {
            rows,
            probes: self.telemetry.counter_sum("probes_total"),
            probe_bytes: self.telemetry.counter_sum("probe_proof_bytes_total"),
            virtual_time: Duration::from_secs_f64(took),
        }
    }
}

fn ticket(ticket_id: &str, salt: u8, block_height: i64, nodes: &[&TestSigner]) -> TicketFixture {
    let mut fixture = TicketFixture::new(ticket_id, 3_000_000, salt);
    let ticket = &mut fixture.ticket;
    ticket.supernode_accounts = nodes.iter().map(|node| node.account().to_owned()).collect();
    (ticket.index_artifact_count, ticket.symbol_artifact_count) = (5, 5);
    ticket.block_height = block_height;
    fixture
}

fn supernode(account: &str) -> Supernode {
    Supernode {
        supernode_account: account.to_owned(),
        latest_address: format!("{account}:4444"),
        state: SupernodeState::Active,
        state_height: 1,
        ..Supernode::default()
    }
}

fn params() -> Params {
    Params {
        epoch_length_blocks: EPOCH_BLOCKS,
        storage_truth_recent_bucket_max_blocks: 1000,
        storage_truth_old_bucket_min_blocks: 1001,
        ..Params::default()
    }
    .with_defaults()
}

fn anchor(epoch_id: u64, accounts: &[String]) -> EpochAnchor {
    let start = 1 + i64::try_from(epoch_id * EPOCH_BLOCKS).unwrap();
    EpochAnchor {
        epoch_id,
        epoch_start_height: start,
        epoch_end_height: start + 399,
        epoch_length_blocks: EPOCH_BLOCKS,
        seed: [u8::try_from(epoch_id).unwrap(); 32],
        active_supernode_accounts: accounts.to_vec(),
        target_supernode_accounts: accounts.to_vec(),
        ..EpochAnchor::default()
    }
}

/// A chain that knows everything about the epoch, with all targets assigned to the challenger.
fn chain(challenger: &TestSigner, nodes: &[&TestSigner], tickets: &[TicketFixture]) -> Arc<MockChain> {
    let accounts: Vec<_> = nodes.iter().map(|node| node.account().to_owned()).collect();
    let now = anchor(EPOCH, &accounts);
    let epoch = EpochInfo {
        epoch_id: EPOCH,
        epoch_start_height: now.epoch_start_height,
        epoch_end_height: now.epoch_end_height,
    };
    let latest_height = now.epoch_start_height + 100;
    let status = ChainStatus { chain_id: "bench".into(), latest_height, latest_block_time_ms: 0 };
    let assigned = AssignedTargets {
        epoch_id: EPOCH,
        epoch_start_height: now.epoch_start_height,
        target_supernode_accounts: accounts[1..].to_vec(),
        required_open_ports: Vec::new(),
    };
    let listed = || Page { items: tickets.iter().map(|one| one.ticket.clone()).collect(), next_key: None };
    let page = || PageRequest { key: None, limit: 500 };
    let members = Page { items: accounts.iter().map(|account| supernode(account)).collect(), next_key: None };
    let mut chain = MockChain::builder(challenger.account());
    chain = chain.params(Ok(params())).always().current_epoch(Ok(epoch)).always().status(Ok(status)).always();
    chain = chain.assigned_targets(challenger.account(), EPOCH, Ok(assigned)).always();
    chain = chain.supernodes(page(), Ok(members)).always().tickets(page(), Ok(listed())).always();
    for epoch_id in 0..=EPOCH {
        chain = chain.epoch_anchor(epoch_id, Ok(anchor(epoch_id, &accounts))).always();
    }
    for fixture in tickets {
        let no_heals = Page { items: Vec::new(), next_key: None };
        let ticket_id = &fixture.ticket.ticket_id;
        chain = chain.ticket(ticket_id, Ok(fixture.ticket.clone())).always();
        chain = chain.heal_ops_by_ticket(ticket_id, PageRequest::default(), Ok(no_heals)).always();
    }
    chain = chain.account(tickets[0].creator.account(), Ok(tickets[0].creator_account())).always();
    for node in nodes {
        chain = known(chain, node).tickets_of_supernode(node.account(), PageRequest::default(), Ok(listed()));
        chain = chain.always();
    }
    chain.build()
}

fn known(chain: MockChainBuilder, node: &TestSigner) -> MockChainBuilder {
    let info = AccountInfo {
        address: node.account().into(),
        public_key: node.public_key(),
        public_key_type_url: node.public_key_type_url().into(),
        ..AccountInfo::default()
    };
    let chain = chain.account(node.account(), Ok(info)).always();
    chain.supernode(node.account(), Ok(supernode(node.account()))).always()
}

/// Carries calls to handlers after a while, or never.
#[derive(Default)]
struct Wires {
    /// Nobody's, for nodes that only serve.
    scheduler: Option<Arc<dyn Scheduler>>,
    caller: String,
    handlers: BTreeMap<String, Arc<dyn UnaryHandler>>,
    silent: Vec<String>,
}

#[async_trait]
impl Transport for Wires {
    async fn call(
        &self,
        peer: &Peer,
        _: &str,
        bytes: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let scheduler = self.scheduler.as_deref().unwrap();
        let is_silent = self.silent.contains(&peer.account);
        let answer = async {
            scheduler.sleep(if is_silent { timeout * 2 } else { LATENCY }).await;
            let caller = CallerMint::for_host().proved(&self.caller);
            self.handlers[&peer.account].call(caller, bytes).await
        };
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap();
        let timed_out = || CallError::TimedOut { peer: peer.account.clone(), timeout_ms };
        let answer = within(scheduler, timeout, answer).await.ok_or_else(timed_out)?;
        answer.map_err(|status| CallError::Refused { peer: peer.account.clone(), status })
    }
    async fn call_stream(
        &self,
        _: &Peer,
        _: &str,
        _: Vec<u8>,
        _: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        Err(CallError::Local { reason: "no streams here".to_owned() })
    }
    async fn serve(&self, _: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        Err(CallError::Local { reason: "handlers are given".to_owned() })
    }
    async fn probe_port(&self, _: &str, _: u16, _: Duration) -> PortState {
        PortState::Open
    }
}
