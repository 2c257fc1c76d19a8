//! A node with the plugin: a scripted chain, a store and a transport whose answers a test sets.

use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::*;
use lampkeeper_plugin_sdk::api::journal::ProofJournal;
use lampkeeper_plugin_sdk::api::plugin::Provided;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::service::{Health, Service};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::store::*;
use lampkeeper_plugin_sdk::api::transport::*;
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};
use lampkeeper_plugin_sdk::testkit::{
    MemoryJournal, MockChain, MockChainBuilder, RecordingTelemetry, TestSigner, VirtualScheduler, context,
};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The epoch of the tests; it has the blocks 1,001 to 1,100.
pub(crate) const EPOCH: u64 = 10;

pub(crate) fn own_account() -> String {
    TestSigner::new("own").account().to_owned()
}

pub(crate) fn not_found<T>() -> Result<T, ChainError> {
    Err(ChainError::NotFound { what: "the record".to_owned() })
}

pub(crate) fn transient(outcome_unknown: bool) -> ChainError {
    ChainError::Transient {
        attempted: "asking".to_owned(),
        source: "connection reset".to_owned(),
        outcome_unknown,
    }
}

pub(crate) fn rejected(reason: RejectionReason) -> ChainError {
    let message = "refused".to_owned();
    ChainError::Rejected(Rejection { reason, codespace: "audit".to_owned(), code: 9, message })
}

pub(crate) fn epoch(epoch_id: u64) -> EpochInfo {
    let first = i64::try_from(epoch_id).unwrap() * 100 + 1;
    EpochInfo { epoch_id, epoch_start_height: first, epoch_end_height: first + 99 }
}

pub(crate) fn assigned(targets: &[&str]) -> AssignedTargets {
    AssignedTargets {
        epoch_id: EPOCH,
        epoch_start_height: 1,
        required_open_ports: vec![4444, 4445],
        target_supernode_accounts: targets.iter().map(|target| (*target).to_owned()).collect(),
    }
}

pub(crate) fn params(mode: EnforcementMode) -> Params {
    Params { storage_truth_enforcement_mode: mode, ..Params::default() }
}

/// A chain in this mode, on which this node has one target, `a`; the rest is up to the test.
pub(crate) fn chain(mode: EnforcementMode) -> MockChainBuilder {
    let anchor = EpochAnchor { epoch_id: EPOCH, ..EpochAnchor::default() };
    let target = Supernode { latest_address: "a.example:4444".to_owned(), ..Supernode::default() };
    let builder = MockChain::builder(&own_account()).epoch_anchor(EPOCH, Ok(anchor)).always();
    let builder = builder.assigned_targets(&own_account(), EPOCH, Ok(assigned(&["a"]))).always();
    builder.params(Ok(params(mode))).always().supernode("a", Ok(target)).always()
}

/// The height at which this share of the epoch has passed.
pub(crate) fn status_at(percent: i64) -> ChainStatus {
    let latest_height = epoch(EPOCH).epoch_start_height - 1 + percent;
    ChainStatus { chain_id: "test".to_owned(), latest_height, latest_block_time_ms: 0 }
}

/// A row of this node about `a`; an empty ticket says "no eligible ticket".
pub(crate) fn row(bucket_type: Bucket, ticket_id: &str) -> StorageProofResult {
    let none = ticket_id.is_empty();
    StorageProofResult {
        target_supernode_account: "a".to_owned(),
        challenger_supernode_account: own_account(),
        bucket_type,
        ticket_id: ticket_id.to_owned(),
        result_class: if none { ResultClass::NoEligibleTicket } else { ResultClass::Pass },
        ..StorageProofResult::default()
    }
}

/// One RECENT and one OLD row about `a`.
pub(crate) fn covering_rows() -> Vec<StorageProofResult> {
    vec![row(Bucket::Recent, "1"), row(Bucket::Old, "2")]
}

/// Says how full it is, if it is told to, and nothing else.
#[derive(Default)]
pub(crate) struct UsageStore {
    pub(crate) usage: Mutex<Option<StoreUsage>>,
}

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable { reason: "the reporter only asks for the usage".to_owned() })
}

#[async_trait]
impl ArtifactStore for UsageStore {
    async fn put(&self, _: &ArtifactKey, _: Vec<u8>) -> Result<PutOutcome, StoreError> {
        unused()
    }
    async fn get(&self, _: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        unused()
    }
    async fn size(&self, _: &ArtifactKey) -> Result<Option<u64>, StoreError> {
        unused()
    }
    async fn read_range(&self, _: &ArtifactKey, _: ByteRange) -> Result<Option<Vec<u8>>, StoreError> {
        unused()
    }
    async fn prove_ranges(
        &self,
        _: &ArtifactKey,
        _: &[ByteRange],
    ) -> Result<Option<ProvenRanges>, StoreError> {
        unused()
    }
    async fn delete(&self, _: &ArtifactKey) -> Result<bool, StoreError> {
        unused()
    }
    async fn list(&self, _: Option<ArtifactKey>, _: usize) -> Result<Vec<ArtifactEntry>, StoreError> {
        unused()
    }
    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.usage.lock().unwrap().map_or_else(unused, Ok)
    }
}

/// How a port behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Port {
    /// Says so at once.
    Is(PortState),
    /// Never answers, whatever time it was given.
    Hangs,
}

/// Knows ports, and how many targets were probed at once.
#[derive(Default)]
pub(crate) struct PortTransport {
    pub(crate) scheduler: Mutex<Option<Arc<dyn Scheduler>>>,
    pub(crate) ports: Mutex<BTreeMap<(String, u16), Port>>,
    pub(crate) probed: Mutex<Vec<(String, u16)>>,
    under_way: Mutex<(usize, usize)>,
}

impl PortTransport {
    pub(crate) fn most_at_once(&self) -> usize {
        self.under_way.lock().unwrap().1
    }
}

#[async_trait]
impl Transport for PortTransport {
    async fn call(&self, _: &Peer, _: &str, _: Vec<u8>, _: Duration) -> Result<Vec<u8>, CallError> {
        Err(CallError::Local { reason: "the reporter calls nobody".to_owned() })
    }
    async fn call_stream(
        &self,
        _: &Peer,
        _: &str,
        _: Vec<u8>,
        _: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        Err(CallError::Local { reason: "the reporter calls nobody".to_owned() })
    }
    async fn serve(&self, _: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        Err(CallError::Local { reason: "the reporter serves nobody".to_owned() })
    }
    async fn probe_port(&self, address: &str, port: u16, _: Duration) -> PortState {
        let place = (address.to_owned(), port);
        self.probed.lock().unwrap().push(place.clone());
        let behaviour = self.ports.lock().unwrap().get(&place).copied();
        let scheduler = self.scheduler.lock().unwrap().clone().expect("the world has a scheduler");
        {
            let mut under_way = self.under_way.lock().unwrap();
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
        }
        scheduler.sleep(Duration::from_millis(10)).await;
        self.under_way.lock().unwrap().0 -= 1;
        match behaviour {
            Some(Port::Is(state)) => state,
            Some(Port::Hangs) => std::future::pending().await,
            None => PortState::Closed,
        }
    }
}

/// A node and its world.
pub(crate) struct World {
    pub(crate) scheduler: VirtualScheduler,
    pub(crate) journal: MemoryJournal,
    pub(crate) store: Arc<UsageStore>,
    pub(crate) transport: Arc<PortTransport>,
    pub(crate) telemetry: RecordingTelemetry,
    pub(crate) chain: Arc<MockChain>,
    pub(crate) service: Arc<dyn Service>,
    looks: Cell<u32>,
}

impl World {
    /// A started node with these rows of the present epoch in its journal.
    pub(crate) fn start(chain: MockChainBuilder, rows: &[StorageProofResult]) -> Self {
        let world = Self::prepare(chain, rows);
        world.run();
        world
    }

    /// A node that was not started yet.
    pub(crate) fn prepare(chain: MockChainBuilder, rows: &[StorageProofResult]) -> Self {
        let (scheduler, journal, chain) = (VirtualScheduler::new(0), MemoryJournal::new(), chain.build());
        let (store, transport) = (Arc::<UsageStore>::default(), Arc::<PortTransport>::default());
        let usage = StoreUsage {
            artifact_count: 2,
            artifact_bytes: 500,
            volume_total_bytes: 1000,
            volume_free_bytes: 250,
        };
        *store.usage.lock().unwrap() = Some(usage);
        *transport.scheduler.lock().unwrap() = Some(scheduler.handle());
        transport.ports.lock().unwrap().insert(("a.example".to_owned(), 4444), Port::Is(PortState::Open));
        let telemetry = RecordingTelemetry::new();
        scheduler.block_on(journal.append_proof_rows(EPOCH, rows)).unwrap();
        let context = context("epoch-reporter")
            .telemetry(&telemetry)
            .signer(TestSigner::new("own"))
            .memory_seams(&scheduler)
            .seams(|seams: &mut Provided| {
                seams.chain = Some(chain.clone());
                seams.store = Some(store.clone());
                seams.transport = Some(transport.clone());
                seams.journal = Some(Arc::new(journal.clone()));
            })
            .build();
        let construct = lampkeeper_epoch_reporter::descriptor().construct;
        let provided = scheduler.block_on(construct(context)).expect("the plugin starts");
        let service = provided.services.into_iter().next().expect("it provides its service");
        let looks = Cell::new(0);
        Self { scheduler, journal, store, transport, telemetry, chain, service, looks }
    }

    pub(crate) fn run(&self) {
        let service = Arc::clone(&self.service);
        let run = async move { service.run(Cancel::new()).await.expect("it runs until it is stopped") };
        self.scheduler.for_node("node", 0).spawn("reporter", Box::pin(run));
    }

    /// Lets this many looks happen, the first of them at once, and stops midway between two.
    pub(crate) fn looks(&self, count: u32) {
        self.looks.set(self.looks.get() + count);
        let end = Duration::from_millis(5_000) * self.looks.get() - Duration::from_millis(2_500);
        self.scheduler.run_for(end.saturating_sub(self.scheduler.now().since_start()));
        assert_eq!(self.scheduler.panics(), [], "a task panicked");
    }

    /// The tickets of the rows that wait in an epoch.
    pub(crate) fn waiting(&self, epoch_id: u64) -> Vec<String> {
        let rows = self.scheduler.block_on(self.journal.proof_rows(epoch_id)).unwrap();
        rows.into_iter().map(|pending| pending.row.ticket_id).collect()
    }

    /// The reports that were submitted.
    pub(crate) fn reports(&self) -> Vec<EpochReportMessage> {
        let submitted = self.chain.submitted().into_iter();
        let reports = submitted.map(|message| match message {
            ChainMessage::EpochReport(report) => report,
            other => panic!("the reporter submitted {other:?}"),
        });
        reports.collect()
    }

    /// Names and reasons of the events, in order.
    pub(crate) fn told(&self) -> Vec<String> {
        let text = |value: &lampkeeper_plugin_sdk::api::telemetry::Value| format!("{value:?}");
        let events = self.telemetry.events().into_iter();
        let lines = events.map(|event| match event.fields.get("reason") {
            Some(reason) => format!("{} {}", event.name, text(reason)),
            None => event.name,
        });
        lines.map(|line| line.replace("Text(\"", "").replace("\")", "")).collect()
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.service.health() == Health::Ok
    }
}
