//! The small world: who is in it, what they hold, how they answer.

use crate::ask::{Asker, Question};
use crate::caps::CapsCache;
use crate::challenge::TargetChallenger;
use crate::config::{Config, ProbeShape};
use crate::detection::DrawsOfDay;
use crate::draw::{Draw, TicketArtifact};
use crate::epoch_view::{EpochView, Target};
use crate::history::SeenTickets;
use crate::members_then::MembersOfEpochs;
use crate::placement::Membership;
use crate::record::Recorder;
use crate::registered::RegisteredCallers;
use crate::serve::{CompoundProofHandler, READS_AT_ONCE};
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::chain::{
    AccountInfo, AssignedTargets, ChainError, ChainStatus, EpochAnchor, EpochInfo, Page, PageRequest, Params,
    PortState, Supernode, SupernodeState, Ticket,
};
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, within};
use lampkeeper_plugin_sdk::api::signer::{SignError, Signer};
use lampkeeper_plugin_sdk::api::store::{
    ArtifactEntry, ArtifactStore, ByteRange, ProvenRanges, PutOutcome, StoreError, StoreUsage,
};
use lampkeeper_plugin_sdk::api::transport::{
    CallError, CallerMint, MessageStream, Peer, Router, ServerHandle, Status, Transport, UnaryHandler,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::fixture::{MemoryNetwork, TicketFixture};
use lampkeeper_plugin_sdk::protocol::account::{KeyType, PublicKey};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket};
use lampkeeper_plugin_sdk::testkit::{
    MemoryJournal, MemoryStore, MockChain, MockChainBuilder, RecordingTelemetry, TestSigner, VirtualScheduler,
};
use lampkeeper_proto::supernode::GetCompoundProofRequest;
use prost::Message;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The epoch of the world.
pub(super) const EPOCH: u64 = 3;
/// The seed of that epoch.
pub(super) const SEED: [u8; 32] = [7; 32];
/// The challenger.
pub(super) const CHALLENGER: &str = "challenger";
/// The supernodes; the first is the challenger.
pub(super) const NODES: [&str; 6] = [CHALLENGER, "alpha", "beta", "gamma", "delta", "epsilon"];

/// The account of a node by its name.
pub(super) fn account(name: &str) -> String {
    TestSigner::new(name).account().to_owned()
}

/// A node's public key.
pub(super) fn public_key(name: &str) -> PublicKey {
    PublicKey::from_bytes(KeyType::Secp256k1, &TestSigner::new(name).public_key()).unwrap()
}

/// Makes an answer of a request and the honest answer to it.
type Alter = fn(&[u8], Vec<u8>) -> Result<Vec<u8>, CallError>;

/// What a node does with a call.
#[derive(Clone)]
pub(super) enum Reply {
    /// It answers from its store, as this plugin does.
    Serve,
    /// It is overloaded, or misbehaves, in a way that a function of the request and the honest answer tells.
    With(Alter),
    /// It never answers.
    Hang,
    /// Nobody is there.
    Down,
    /// Our own process stands still for this long, and then finds that time is up.
    StandStill(Duration),
}

/// A transport that hands calls to handlers, without a network.
pub(super) struct LocalTransport {
    pub(super) scheduler: Arc<dyn Scheduler>,
    pub(super) caller: String,
    pub(super) handlers: BTreeMap<String, Arc<CompoundProofHandler>>,
    /// What each node does with its next calls; when that is used up, it serves.
    pub(super) replies: Mutex<BTreeMap<String, VecDeque<Reply>>>,
    /// What each node does in the end, instead of serving.
    pub(super) habits: Mutex<BTreeMap<String, Reply>>,
    /// Who was called, in order.
    pub(super) calls: Mutex<Vec<String>>,
    /// What they were asked.
    pub(super) requests: Mutex<Vec<GetCompoundProofRequest>>,
    /// Nodes whose ports are closed.
    pub(super) closed: Mutex<Vec<String>>,
}

impl LocalTransport {
    fn reply(&self, account: &str) -> Reply {
        let next = self.replies.lock().unwrap().get_mut(account).and_then(VecDeque::pop_front);
        next.or_else(|| self.habits.lock().unwrap().get(account).cloned()).unwrap_or(Reply::Serve)
    }

    async fn honest(&self, peer: &Peer, request: Vec<u8>) -> Result<Vec<u8>, CallError> {
        let Some(handler) = self.handlers.get(&peer.account) else {
            return Err(CallError::Unreachable { peer: peer.account.clone(), reason: "no such node".into() });
        };
        let caller = CallerMint::for_host().proved(&self.caller);
        let refused = |status: Status| CallError::Refused { peer: peer.account.clone(), status };
        handler.call(caller, request).await.map_err(refused)
    }
}

#[async_trait]
impl Transport for LocalTransport {
    async fn call(
        &self,
        peer: &Peer,
        _path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        self.calls.lock().unwrap().push(peer.account.clone());
        self.requests.lock().unwrap().extend(GetCompoundProofRequest::decode(request.as_slice()));
        let timed_out = || CallError::TimedOut {
            peer: peer.account.clone(),
            timeout_ms: timeout.as_millis().try_into().unwrap(),
        };
        match self.reply(&peer.account) {
            Reply::Serve => within(&*self.scheduler, timeout, self.honest(peer, request))
                .await
                .unwrap_or_else(|| Err(timed_out())),
            Reply::With(answer) => answer(&request, self.honest(peer, request.clone()).await?),
            Reply::Hang => {
                self.scheduler.sleep(timeout).await;
                Err(timed_out())
            }
            Reply::StandStill(duration) => {
                self.scheduler.sleep(duration).await;
                Err(timed_out())
            }
            Reply::Down => {
                Err(CallError::Unreachable { peer: peer.account.clone(), reason: "refused".into() })
            }
        }
    }

    async fn call_stream(
        &self,
        peer: &Peer,
        _path: &str,
        _request: Vec<u8>,
        _timeout: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        Err(CallError::Local { reason: format!("no streams to {}", peer.account) })
    }

    async fn serve(&self, _router: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        Err(CallError::Local { reason: "handlers are given".into() })
    }

    async fn probe_port(&self, address: &str, _port: u16, _timeout: Duration) -> PortState {
        let closed = self.closed.lock().unwrap();
        if closed.iter().any(|closed| address.starts_with(closed)) {
            PortState::Closed
        } else {
            PortState::Open
        }
    }
}

/// A signer whose key fails after some signatures.
pub(super) struct FailingSigner {
    pub(super) inner: TestSigner,
    pub(super) works: std::sync::atomic::AtomicBool,
}

impl Signer for FailingSigner {
    fn account(&self) -> &str {
        self.inner.account()
    }
    fn public_key(&self) -> Vec<u8> {
        self.inner.public_key()
    }
    fn public_key_type_url(&self) -> &str {
        self.inner.public_key_type_url()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.works.load(std::sync::atomic::Ordering::Relaxed) {
            return self.inner.sign(message);
        }
        Err(SignError { account: self.account().to_owned(), reason: "the key is locked".into() })
    }
}

/// Everything that a test touches.
pub(super) struct World {
    pub(super) scheduler: VirtualScheduler,
    pub(super) fixture: TicketFixture,
    pub(super) network: MemoryNetwork,
    pub(super) stores: BTreeMap<&'static str, MemoryStore>,
    pub(super) transport: Arc<LocalTransport>,
    pub(super) signer: Arc<FailingSigner>,
    pub(super) telemetry: RecordingTelemetry,
    /// What the challenger remembers.
    pub(super) memory: MemoryJournal,
}

/// The registry: every node active from the first block.
pub(super) fn supernodes() -> Vec<Supernode> {
    let node = |name: &&str| Supernode {
        supernode_account: account(name),
        latest_address: format!("{name}:4444"),
        state: SupernodeState::Active,
        state_height: 1,
        ..Supernode::default()
    };
    NODES.iter().map(node).collect()
}

pub(super) fn params() -> Params {
    Params { epoch_length_blocks: 400, ..Params::default() }.with_defaults()
}

pub(super) fn anchor(epoch_id: u64) -> EpochAnchor {
    let start = 1 + i64::try_from(epoch_id).unwrap() * 400;
    let mut accounts: Vec<_> = NODES.iter().map(|name| account(name)).collect();
    accounts.sort();
    EpochAnchor {
        epoch_id,
        epoch_start_height: start,
        epoch_end_height: start + 399,
        epoch_length_blocks: 400,
        seed: if epoch_id == EPOCH { SEED } else { [u8::try_from(epoch_id).unwrap(); 32] },
        active_supernode_accounts: accounts.clone(),
        target_supernode_accounts: accounts,
        ..EpochAnchor::default()
    }
}

pub(super) fn unavailable() -> ChainError {
    ChainError::Transient { attempted: "asking".into(), source: "down".into(), outcome_unknown: false }
}

impl World {
    /// Every node holds every artifact of one ticket.
    pub(super) fn new() -> Self {
        let scheduler = VirtualScheduler::new(1);
        let mut fixture = TicketFixture::new("17", 300_000, 3);
        fixture.ticket.supernode_accounts = NODES.iter().map(|name| account(name)).collect();
        (fixture.ticket.index_artifact_count, fixture.ticket.symbol_artifact_count) = (5, 5);
        fixture.ticket.block_height = 900;
        let accounts: Vec<_> = NODES.iter().map(|name| account(name)).collect();
        let network =
            MemoryNetwork::holding(&accounts.iter().map(String::as_str).collect::<Vec<_>>(), &fixture);
        let mut stores = BTreeMap::new();
        let mut handlers = BTreeMap::new();
        for name in NODES {
            let store = MemoryStore::new();
            for artifact in fixture.artifacts() {
                scheduler.block_on(store.put(&artifact.key, artifact.bytes.clone())).unwrap();
            }
            let handler = handler(&scheduler, name, Arc::new(store.clone()), serving_chain(name).build());
            handlers.insert(account(name), Arc::new(handler));
            stores.insert(name, store);
        }
        let transport = Arc::new(LocalTransport {
            scheduler: scheduler.handle(),
            caller: account(CHALLENGER),
            handlers,
            replies: Mutex::default(),
            habits: Mutex::default(),
            calls: Mutex::default(),
            requests: Mutex::default(),
            closed: Mutex::default(),
        });
        let signer = Arc::new(FailingSigner { inner: TestSigner::new(CHALLENGER), works: true.into() });
        let telemetry = RecordingTelemetry::new();
        let memory = MemoryJournal::new();
        Self { scheduler, fixture, network, stores, transport, signer, telemetry, memory }
    }

    /// What a node does with its next calls.
    pub(super) fn next_replies(&self, name: &str, replies: impl IntoIterator<Item = Reply>) {
        self.transport.replies.lock().unwrap().insert(account(name), replies.into_iter().collect());
    }

    /// What a node does with all calls.
    pub(super) fn habit(&self, name: &str, reply: Reply) {
        self.transport.habits.lock().unwrap().insert(account(name), reply);
    }

    /// How often a node was called.
    pub(super) fn calls_to(&self, name: &str) -> usize {
        let account = account(name);
        self.transport.calls.lock().unwrap().iter().filter(|called| **called == account).count()
    }

    /// A chain that knows everything about the epoch, with `targets` assigned to the challenger. Where a test scripts
    /// an answer of its own before this, that one is used up first.
    pub(super) fn know(&self, chain: MockChainBuilder, targets: &[&str]) -> MockChainBuilder {
        let mut chain = self.fixture.known_to(chain).params(Ok(params())).always();
        let epoch = anchor(EPOCH);
        let info = EpochInfo {
            epoch_id: EPOCH,
            epoch_start_height: epoch.epoch_start_height,
            epoch_end_height: epoch.epoch_end_height,
        };
        chain = chain.current_epoch(Ok(info)).always();
        for epoch_id in 0..=EPOCH {
            chain = chain.epoch_anchor(epoch_id, Ok(anchor(epoch_id))).always();
        }
        let status = ChainStatus {
            chain_id: "test".into(),
            latest_height: epoch.epoch_start_height + 100,
            latest_block_time_ms: 0,
        };
        chain = chain.status(Ok(status)).always();
        let listing = Page { items: supernodes(), next_key: None };
        chain = chain.supernodes(PageRequest { key: None, limit: 500 }, Ok(listing)).always();
        let tickets = Page { items: vec![self.fixture.ticket.clone()], next_key: None };
        let no_heals = Page { items: Vec::new(), next_key: None };
        chain = chain.heal_ops_by_ticket("17", PageRequest::default(), Ok(no_heals)).always();
        chain = chain.tickets(PageRequest { key: None, limit: 500 }, Ok(tickets.clone())).always();
        for (name, node) in NODES.into_iter().zip(supernodes()) {
            let info = AccountInfo {
                address: account(name),
                public_key: TestSigner::new(name).public_key(),
                public_key_type_url: KeyType::Secp256k1.type_url().into(),
                ..AccountInfo::default()
            };
            chain = chain.account(&account(name), Ok(info)).always();
            chain = chain.supernode(&account(name), Ok(node)).always();
            for epoch_id in 0..EPOCH {
                let none = ChainError::NotFound { what: "the report".into() };
                chain = chain.epoch_report(&account(name), epoch_id, Err(none)).always();
            }
            let page = PageRequest::default();
            chain = chain.tickets_of_supernode(&account(name), page, Ok(tickets.clone())).always();
        }
        let assigned = AssignedTargets {
            epoch_id: EPOCH,
            epoch_start_height: epoch.epoch_start_height,
            required_open_ports: vec![4444],
            target_supernode_accounts: targets.iter().map(|name| account(name)).collect(),
        };
        chain.assigned_targets(&account(CHALLENGER), EPOCH, Ok(assigned)).always()
    }

    /// A configuration in which things go quickly, and canonical rows only.
    pub(super) fn config() -> Config {
        Config { probes_per_target: 0, ..Config::default() }
    }

    fn recorder(&self) -> Recorder {
        let (journal, telemetry) = (Arc::new(self.memory.clone()), Arc::new(self.telemetry.clone()));
        Recorder::new(journal, telemetry, "lumera-test".to_owned())
    }

    pub(super) fn asker(&self, chain: Arc<MockChain>) -> Asker {
        Asker {
            config: Self::config(),
            chain,
            network: Arc::new(self.network.clone()),
            store: Arc::new(MemoryStore::new()),
            transport: Arc::clone(&self.transport) as Arc<dyn Transport>,
            signer: Arc::clone(&self.signer) as Arc<dyn Signer>,
            scheduler: self.scheduler.handle(),
            recorder: self.recorder(),
        }
    }

    pub(super) fn challenger(&self, chain: Arc<MockChain>, config: Config) -> TargetChallenger {
        let mut asker = self.asker(Arc::clone(&chain));
        asker.config = config;
        TargetChallenger {
            artifacts: crate::artifacts::ArtifactsOfTickets::new(chain, Arc::new(self.network.clone())),
            asker,
            members: MembersOfEpochs::default(),
            seen: SeenTickets::default(),
            draws: DrawsOfDay::default(),
            telemetry: Arc::new(self.telemetry.clone()),
        }
    }

    pub(super) fn target(name: &str) -> Target {
        Target { account: account(name), address: format!("{name}:4444"), public_key: public_key(name) }
    }

    /// A symbol of the ticket.
    pub(super) fn draw(&self) -> Draw {
        let symbol = &self.fixture.symbols[2];
        let artifact = TicketArtifact {
            key: symbol.key,
            class: ArtifactClass::Symbol,
            position: 2,
            len_bytes: symbol.bytes.len() as u64,
        };
        Draw { artifact, ordinal: 1, count: 5 }
    }

    /// A question to a node about [`Self::draw`].
    pub(super) fn question<'a>(&'a self, target: &'a Target, draw: Draw) -> Question<'a> {
        let ticket_id = &self.fixture.ticket.ticket_id;
        let shape = ProbeShape::Ranges;
        Question { target, ticket_id, bucket: Bucket::Recent, draw, seed: &SEED, shape }
    }
}

/// The view of the epoch that all tests share.
pub(super) fn view() -> EpochView {
    let height = anchor(EPOCH).epoch_start_height + 100;
    let supernodes = supernodes();
    EpochView {
        anchor: anchor(EPOCH),
        params: params(),
        membership: Membership::new(&supernodes, height),
        height,
        supernodes: supernodes.into_iter().map(|node| (node.supernode_account.clone(), node)).collect(),
    }
}

/// A chain that knows the parameters and the challenger, which is all that serving needs.
pub(super) fn serving_chain(name: &str) -> MockChainBuilder {
    let registered = supernodes().into_iter().next().unwrap();
    MockChain::builder(name)
        .params(Ok(params()))
        .always()
        .supernode(&account(CHALLENGER), Ok(registered))
        .always()
}

/// A node's serving side.
pub(super) fn handler(
    scheduler: &VirtualScheduler,
    name: &str,
    store: Arc<dyn ArtifactStore>,
    chain: Arc<MockChain>,
) -> CompoundProofHandler {
    CompoundProofHandler {
        account: account(name),
        store,
        signer: Arc::new(TestSigner::new(name)),
        caps: Arc::new(CapsCache::new(Arc::clone(&chain) as _, scheduler.handle())),
        callers: Arc::new(RegisteredCallers::new(chain, scheduler.handle())),
        reads: scheduler.permits(READS_AT_ONCE),
        telemetry: Arc::new(RecordingTelemetry::new()),
    }
}

/// A store that fails in one way, whatever is asked.
pub(super) struct BrokenStore(pub(super) StoreError);

#[async_trait]
impl ArtifactStore for BrokenStore {
    async fn put(&self, _key: &ArtifactKey, _bytes: Vec<u8>) -> Result<PutOutcome, StoreError> {
        Err(self.0.clone())
    }
    async fn get(&self, _key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        Err(self.0.clone())
    }
    async fn size(&self, _key: &ArtifactKey) -> Result<Option<u64>, StoreError> {
        Err(self.0.clone())
    }
    async fn read_range(&self, _key: &ArtifactKey, _range: ByteRange) -> Result<Option<Vec<u8>>, StoreError> {
        Err(self.0.clone())
    }
    async fn prove_ranges(
        &self,
        _key: &ArtifactKey,
        _ranges: &[ByteRange],
    ) -> Result<Option<ProvenRanges>, StoreError> {
        Err(self.0.clone())
    }
    async fn delete(&self, _key: &ArtifactKey) -> Result<bool, StoreError> {
        Err(self.0.clone())
    }
    async fn list(
        &self,
        _after: Option<ArtifactKey>,
        _limit: usize,
    ) -> Result<Vec<ArtifactEntry>, StoreError> {
        Err(self.0.clone())
    }
    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        Err(self.0.clone())
    }
}

/// A future that a test lets run in the world's time.
pub(super) fn run<T>(world: &World, future: BoxFuture<'_, T>) -> T {
    world.scheduler.block_on(future)
}

/// The ticket, changed.
pub(super) fn ticket(world: &World, change: impl FnOnce(&mut Ticket)) -> Ticket {
    let mut ticket = world.fixture.ticket.clone();
    change(&mut ticket);
    ticket
}
