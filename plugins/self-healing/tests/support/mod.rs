//! A node with the service in it: a scripted chain, everything else in memory.
#![allow(dead_code, reason = "every test file uses another part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::{
    EpochInfo, HealOp, HealOpStatus, Page, PageRequest, Params, PortState, Supernode, SupernodeState,
};
use lampkeeper_plugin_sdk::api::heal::{HealCost, HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_plugin_sdk::api::network::Artifact;
use lampkeeper_plugin_sdk::api::service::Service;
use lampkeeper_plugin_sdk::api::staging::{StagedArtifact, Staging, StagingManifest, StagingState};
use lampkeeper_plugin_sdk::api::transport::{
    CallError, Handler, MessageStream, Peer, Router, ServerHandle, Status, StreamHandler, Transport,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::fixture::{MemoryNetwork, TicketFixture};
use lampkeeper_plugin_sdk::testkit::{
    MemoryJournal, MemoryStaging, MockChain, MockChainBuilder, RecordingTelemetry, VirtualScheduler, context,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const ME: &str = "ann";
pub(crate) const HEALER: &str = "bob";
pub(crate) const ACCOUNTS: [&str; 8] = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"];
pub(crate) const HEAL_OP_ID: u64 = 4;
pub(crate) const POLL: Duration = Duration::from_secs(30);

/// Stages the fixture's file and its first symbol, which `cat` lacks.
pub(crate) struct StageOneSymbol {
    pub(crate) staging: MemoryStaging,
    pub(crate) fixture: TicketFixture,
    pub(crate) calls: Mutex<u32>,
}

#[async_trait]
impl HealStrategy for StageOneSymbol {
    fn name(&self) -> &str {
        "one-symbol"
    }

    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError> {
        *self.calls.lock().unwrap() += 1;
        stage(&self.staging, &self.fixture, job.heal_op.heal_op_id).await;
        let staged_bytes = self.fixture.symbols[0].bytes.len() as u64;
        let cost = HealCost { staged_bytes, fetched_bytes: 2 * staged_bytes, ..HealCost::default() };
        Ok(Reconstruction { manifest_hash: self.fixture.ticket.data_hash.clone(), cost })
    }
}

/// Seals a reconstruction as a strategy does.
pub(crate) async fn stage(staging: &MemoryStaging, fixture: &TicketFixture, heal_op_id: u64) {
    let symbol: &Artifact = &fixture.symbols[0];
    staging.begin(heal_op_id).await.unwrap();
    staging.write_file_at(heal_op_id, 0, fixture.file.clone()).await.unwrap();
    staging.put_artifact(heal_op_id, &symbol.key, symbol.bytes.clone()).await.unwrap();
    let artifact = StagedArtifact {
        key: symbol.key,
        len_bytes: symbol.bytes.len() as u64,
        missing_on: vec!["cat".to_owned()],
    };
    let manifest = StagingManifest {
        heal_op_id,
        ticket_id: fixture.ticket.ticket_id.clone(),
        manifest_hash: fixture.ticket.data_hash.clone(),
        file_len_bytes: fixture.file.len() as u64,
        artifacts: vec![artifact],
        strategy: "one-symbol".to_owned(),
    };
    staging.seal(&manifest).await.unwrap();
}

/// What a healer answers a verifier with, call after call; the last answer is repeated.
pub(crate) type Answer = Result<Vec<Result<Vec<u8>, Status>>, CallError>;

pub(crate) struct ScriptedTransport {
    pub(crate) answers: Mutex<Vec<Answer>>,
    pub(crate) calls: Mutex<u32>,
    pub(crate) others: PortState,
    /// Hosts and ports that were tried.
    pub(crate) probed: Mutex<Vec<(String, u16)>>,
}

impl ScriptedTransport {
    pub(crate) fn new(answers: Vec<Answer>, others: PortState) -> Self {
        let answers = Mutex::new(answers);
        Self { answers, calls: Mutex::default(), others, probed: Mutex::default() }
    }
}

struct Messages(Vec<Result<Vec<u8>, Status>>);

#[async_trait]
impl MessageStream for Messages {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        if self.0.is_empty() { None } else { Some(self.0.remove(0)) }
    }
}

#[async_trait]
impl Transport for ScriptedTransport {
    async fn call(&self, peer: &Peer, path: &str, _: Vec<u8>, _: Duration) -> Result<Vec<u8>, CallError> {
        panic!("unexpected call of {path} at {}", peer.account)
    }

    async fn call_stream(
        &self,
        _: &Peer,
        _: &str,
        _: Vec<u8>,
        _: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        *self.calls.lock().unwrap() += 1;
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        answer.map(|messages| Box::new(Messages(messages)) as Box<dyn MessageStream>)
    }

    async fn serve(&self, _: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        panic!("a service never serves by itself")
    }

    async fn probe_port(&self, host: &str, port: u16, _: Duration) -> PortState {
        self.probed.lock().unwrap().push((host.to_owned(), port));
        self.others
    }
}

/// What is special about a node.
pub(crate) struct Setup {
    pub(crate) scheduler: VirtualScheduler,
    pub(crate) answers: Vec<Answer>,
    pub(crate) others: PortState,
    pub(crate) config: &'static str,
    /// Instead of [`StageOneSymbol`].
    pub(crate) chosen: Option<Arc<dyn HealStrategy>>,
    pub(crate) shadow: Option<Arc<dyn HealStrategy>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            scheduler: VirtualScheduler::new(3),
            answers: Vec::new(),
            others: PortState::Open,
            config: "{}",
            chosen: None,
            shadow: None,
        }
    }
}

/// A node and what it works with.
pub(crate) struct Bench {
    pub(crate) scheduler: VirtualScheduler,
    pub(crate) chain: Arc<MockChain>,
    pub(crate) journal: MemoryJournal,
    pub(crate) staging: MemoryStaging,
    pub(crate) network: MemoryNetwork,
    pub(crate) telemetry: RecordingTelemetry,
    pub(crate) strategy: Arc<StageOneSymbol>,
    pub(crate) transport: Arc<ScriptedTransport>,
    pub(crate) service: Arc<dyn Service>,
}

impl Bench {
    pub(crate) fn new(
        chain: MockChainBuilder,
        fixture: &TicketFixture,
        answers: Vec<Answer>,
        others: PortState,
    ) -> Self {
        Self::on(MemoryJournal::new(), MemoryStaging::new(), chain, fixture, answers, others)
    }

    /// A node on a disk that is there already.
    pub(crate) fn on(
        journal: MemoryJournal,
        staging: MemoryStaging,
        chain: MockChainBuilder,
        fixture: &TicketFixture,
        answers: Vec<Answer>,
        others: PortState,
    ) -> Self {
        let setup = Setup { answers, others, ..Setup::default() };
        Self::with(setup, journal, staging, chain, fixture)
    }

    /// A node on a disk that is there already, and what is special about it.
    pub(crate) fn with(
        setup: Setup,
        journal: MemoryJournal,
        staging: MemoryStaging,
        chain: MockChainBuilder,
        fixture: &TicketFixture,
    ) -> Self {
        let Setup { scheduler, answers, others, config, chosen, shadow } = setup;
        let (chain, telemetry) = (chain.build(), RecordingTelemetry::new());
        let network = MemoryNetwork::holding(&ACCOUNTS, fixture);
        network.remove_from("cat", &fixture.symbols[0].key);
        let strategy = Arc::new(StageOneSymbol {
            staging: staging.clone(),
            fixture: fixture.clone(),
            calls: Mutex::default(),
        });
        let transport = Arc::new(ScriptedTransport::new(answers, others));
        let chosen = chosen.unwrap_or_else(|| strategy.clone());
        let context = context("self-healing").config(config).telemetry(&telemetry).seams(|seams| {
            seams.chain = Some(chain.clone());
            seams.journal = Some(Arc::new(journal.clone()));
            seams.staging = Some(Arc::new(staging.clone()));
            seams.network = Some(Arc::new(network.clone()));
            seams.transport = Some(transport.clone());
            seams.scheduler = Some(scheduler.handle());
            seams.heal_strategy = Some(chosen);
            seams.heal_shadow = shadow;
        });
        let construct = lampkeeper_self_healing::descriptor().construct;
        let provided = scheduler.block_on(construct(context.build())).unwrap();
        let service = provided.services[0].clone();
        Self { scheduler, chain, journal, staging, network, telemetry, strategy, transport, service }
    }

    /// Runs the service until it has looked this often, and stops it.
    pub(crate) fn look(&self, times: u32) {
        let (shutdown, service) = (Cancel::new(), self.service.clone());
        let signal = shutdown.clone();
        let run = async move { service.run(signal).await.unwrap() };
        let task = lampkeeper_plugin_sdk::api::scheduler::Scheduler::spawn(
            &self.scheduler,
            "service",
            Box::pin(run),
        );
        // A look and a half more, so that what the last one started can end.
        self.scheduler.run_for(POLL * times + POLL / 2);
        shutdown.cancel();
        self.scheduler.block_on(task.join()).unwrap();
        assert_eq!(self.scheduler.panics(), []);
    }

    pub(crate) fn staging_state(&self) -> StagingState {
        self.scheduler.block_on(self.staging.state(HEAL_OP_ID)).unwrap()
    }

    pub(crate) fn handler(&self) -> Arc<dyn StreamHandler> {
        match self.service.routes().remove(0).handler {
            Handler::ServerStream(handler) => handler,
            Handler::Unary(_) => panic!("the route streams"),
        }
    }
}

pub(crate) fn fixture() -> TicketFixture {
    TicketFixture::new("7", 3_000_000, 5)
}

/// An operation on the fixture's ticket, whose healer and verifiers are given.
pub(crate) fn heal_op(status: HealOpStatus, healer: &str, verifiers: &[&str], result_hash: &str) -> HealOp {
    HealOp {
        heal_op_id: HEAL_OP_ID,
        ticket_id: "7".to_owned(),
        healer_supernode_account: healer.to_owned(),
        verifier_supernode_accounts: verifiers.iter().map(|account| (*account).to_owned()).collect(),
        status,
        deadline_epoch_id: 9,
        result_hash: result_hash.to_owned(),
        ..HealOp::default()
    }
}

/// Addresses are registered in many forms.
fn address_of(account: &str) -> String {
    match account {
        "cat" => "[2001:db8::7]:7000".to_owned(),
        "dan" => String::new(),
        "eve" => "[2001:db8::8]".to_owned(),
        "fay" => "fay".to_owned(),
        _ => format!("{account}:9000"),
    }
}

/// A chain in epoch 6 that knows the fixture's ticket and all nodes, and these lists of operations.
pub(crate) fn chain(
    fixture: &TicketFixture,
    scheduled: Vec<HealOp>,
    reported: Vec<HealOp>,
) -> MockChainBuilder {
    chain_after(MockChain::builder(ME), fixture, scheduled, reported)
}

pub(crate) fn in_epoch(epoch_id: u64) -> EpochInfo {
    EpochInfo { epoch_id, epoch_start_height: 601, epoch_end_height: 700 }
}

/// The same, once everything has been said that the builder has already.
pub(crate) fn chain_after(
    first: MockChainBuilder,
    fixture: &TicketFixture,
    scheduled: Vec<HealOp>,
    reported: Vec<HealOp>,
) -> MockChainBuilder {
    let page = || PageRequest { key: None, limit: 100 };
    let list = |items| Ok(Page { items, next_key: None });
    let supernode = |account: &str| Supernode {
        supernode_account: account.to_owned(),
        latest_address: address_of(account),
        state: SupernodeState::Active,
        ..Supernode::default()
    };
    fixture
        .known_to(first)
        .params(Ok(Params::default()))
        .always()
        .current_epoch(Ok(in_epoch(6)))
        .always()
        .supernode(HEALER, Ok(supernode(HEALER)))
        .always()
        .supernodes(page(), list_of(ACCOUNTS.map(supernode).to_vec()))
        .always()
        .heal_ops_by_status(HealOpStatus::Scheduled, page(), list(scheduled))
        .always()
        .heal_ops_by_status(HealOpStatus::HealerReported, page(), list(reported))
        .always()
}

fn list_of<T>(items: Vec<T>) -> Result<Page<T>, lampkeeper_plugin_sdk::api::chain::ChainError> {
    Ok(Page { items, next_key: None })
}
