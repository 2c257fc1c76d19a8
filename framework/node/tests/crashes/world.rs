//! Everything that goes on when the process is killed: the chain, and six peers with all the services of a heal.

use crate::codec::{
    answer_status, call_error, chain_error, epoch, page, read_answer_status, read_heal_status, read_request,
    status,
};
use crate::diary::Diary;
use crate::killer::{Killer, Point};
use crate::node::{NODE_SOCKET, SEED, WORLD_SOCKET};
use crate::wire::{ask, receive, send};
use lampkeeper_api::chain::{
    ChainClient, ChainError, ChainMessage, ChainReader, EnforcementMode, HealOp, HealOpStatus, Params,
    SupernodeState,
};
use lampkeeper_api::plugin::{Provided, Seam};
use lampkeeper_api::scheduler::Scheduler;
use lampkeeper_api::signer::Signer;
use lampkeeper_api::transport::{
    Caller, CallerMint, MessageStream, Peer, Route, Router, ServerHandle, Status, StatusCode, StreamHandler,
    Transport, UnaryHandler,
};
use lampkeeper_chain_sim::address::operator_of_account;
use lampkeeper_chain_sim::chain::{SimChain, SimChainClient, SimChainOptions};
use lampkeeper_chain_sim::state::supernodes::{AddressRecord, SupernodeRecord};
use lampkeeper_chain_sim::{ChainConfig, State};
use lampkeeper_core::node::NodeHost;
use lampkeeper_core::{Manifest, Node, Registry, TelemetryHub};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::{FileToStore, LAYOUT_ID_FILES, StoreSeams, TicketDocuments, store_file};
use lampkeeper_plugin_sdk::testkit::{
    MemoryJournal, MemoryStaging, MemoryStore, RecordingTelemetry, TestSigner,
};
use lampkeeper_proto::methods::{FETCH, POSSESS, SERVE_RECONSTRUCTED_ARTEFACTS, STORE};
use lampkeeper_protocol::cascade::codec::FileSource;
use lampkeeper_scheduler_tokio::TokioScheduler;
use lampkeeper_transport_memory::{Fabric, Faults, JoiningNode, MemoryTransport};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// Blocks in an epoch: long, so that no node is missed for the reports that nobody makes here.
const EPOCH_LENGTH_BLOCKS: u64 = 2000;
const BLOCK_INTERVAL_MS: u64 = 25;
const PEERS: usize = 6;
/// Length of the file that is healed again and again.
const FILE_LEN_BYTES: usize = 400_000;

const PEER_MANIFEST: &str = r#"[node]
name = "NAME"
network = "crashes"
data_dir = "."

[plugins.heal-minimal]

[plugins.network-replicas.config]
refresh_interval_ms = 500
publish_refresh_ms = 500
stranger_refresh_ms = 500
call_timeout_ms = 3000

[plugins.self-healing.config]
poll_interval_ms = 50
verifier_fetch_attempts = 8
verifier_backoff_base_ms = 200
"#;
const PEER_SEAMS: [Seam; 6] =
    [Seam::ChainSubmit, Seam::Store, Seam::Staging, Seam::Journal, Seam::Transport, Seam::Scheduler];

/// A node that is never killed.
pub(crate) struct PeerNode {
    pub(crate) account: String,
    pub(crate) store: MemoryStore,
    pub(crate) node: Node,
}

/// What the node under test has submitted, and whether it was executed.
pub(crate) type Submitted = Arc<Mutex<Vec<(ChainMessage, bool)>>>;

/// The world.
pub(crate) struct World {
    pub(crate) chain: Arc<SimChain>,
    pub(crate) peers: Vec<PeerNode>,
    pub(crate) documents: TicketDocuments,
    pub(crate) submitted: Submitted,
    pub(crate) faults: Faults,
    _proxy: Box<dyn ServerHandle>,
}

fn signers() -> Vec<TestSigner> {
    let peers = (1..=PEERS).map(|number| TestSigner::new(&format!("peer {number}")));
    peers.chain([TestSigner::new(SEED)]).collect()
}

fn address_of(account: &str) -> String {
    format!("{account}.test:4444")
}

fn genesis(signers: &[TestSigner], now_ms: i64) -> State {
    let params = Params {
        epoch_length_blocks: EPOCH_LENGTH_BLOCKS,
        storage_truth_enforcement_mode: EnforcementMode::Soft,
        consecutive_epochs_to_postpone: 1000,
        ..Params::default()
    };
    let mut state = State::new(ChainConfig {
        chain_id: "crashes".to_owned(),
        genesis_time_ms: now_ms,
        params,
        ..ChainConfig::default()
    });
    let height = EPOCH_LENGTH_BLOCKS.cast_signed();
    state.advance_to(height).unwrap();
    for signer in signers {
        let account = state.bank.account_mut(signer.account());
        account.public_key = signer.public_key();
        signer.public_key_type_url().clone_into(&mut account.public_key_type_url);
        account.balance_ulume = 1_000_000_000_000;
        let operator = operator_of_account(signer.account()).unwrap();
        let mut record =
            SupernodeRecord::planted(&operator, signer.account(), SupernodeState::Active, height);
        record.prev_ip_addresses.push(AddressRecord { address: address_of(signer.account()), height });
        state.supernode.supernodes.insert(record);
    }
    state
}

fn join(fabric: &Fabric, account: &str, scheduler: &Arc<dyn Scheduler>) -> Arc<MemoryTransport> {
    let joining = JoiningNode {
        account: account.to_owned(),
        address: address_of(account),
        scheduler: Arc::clone(scheduler),
        caller_mint: CallerMint::for_host(),
        telemetry: Arc::new(RecordingTelemetry::new()),
    };
    Arc::new(MemoryTransport::join(fabric, joining).unwrap())
}

impl World {
    /// Starts the chain and the peers, answers the node under test on its socket, and stores a file.
    pub(crate) async fn start(dir: &Path, killer: &Killer) -> Self {
        let handle = tokio::runtime::Handle::current();
        let scheduler: Arc<dyn Scheduler> = Arc::new(TokioScheduler::new(handle).unwrap());
        let signers = signers();
        let state = genesis(&signers, scheduler.wall_clock_ms());
        let options = SimChainOptions { block_interval_ms: BLOCK_INTERVAL_MS, ..SimChainOptions::default() };
        let chain = SimChain::new(state, options, Arc::clone(&scheduler));
        chain.produce_block().unwrap();
        chain.start();
        let fabric = Fabric::new();
        let mut peers = Vec::new();
        for signer in &signers[..PEERS] {
            peers.push(start_peer(&chain, &fabric, signer, &scheduler, &killer.diary).await);
        }
        let victim = crate::victim_account();
        let transport = join(&fabric, &victim, &scheduler);
        let _proxy = transport.serve(proxy(dir, killer)).await.unwrap();
        let submitted = Submitted::default();
        let outside = Outside {
            client: chain.client(&victim),
            transport,
            killer: killer.clone(),
            submitted: Arc::clone(&submitted),
        };
        outside.listen(dir);
        killer.start().await;
        let documents = store(&peers[0].node).await;
        Self { chain, peers, documents, submitted, faults: fabric.faults(), _proxy }
    }

    /// Lets the chain have scheduled a heal of the file.
    pub(crate) fn schedule(&self, healer: &str, verifiers: &[String]) -> u64 {
        self.chain.plant(|state| {
            let heal_op_id = state.audit.heal_ops.iter().map(|op| op.heal_op_id).max().unwrap_or(0) + 1;
            let epoch_id = state.query_current_epoch().epoch_id;
            let height = state.height.unsigned_abs();
            state.audit.heal_ops.insert(HealOp {
                heal_op_id,
                ticket_id: self.documents.ticket_id().to_owned(),
                scheduled_epoch_id: epoch_id,
                healer_supernode_account: healer.to_owned(),
                verifier_supernode_accounts: verifiers.to_vec(),
                status: HealOpStatus::Scheduled,
                created_height: height,
                updated_height: height,
                deadline_epoch_id: epoch_id + 3,
                ..HealOp::default()
            });
            heal_op_id
        })
    }

    pub(crate) fn op(&self, heal_op_id: u64) -> HealOp {
        self.chain.read(|state| state.audit.heal_ops.get(heal_op_id).cloned()).unwrap()
    }
}

async fn start_peer(
    chain: &Arc<SimChain>,
    fabric: &Fabric,
    signer: &TestSigner,
    scheduler: &Arc<dyn Scheduler>,
    diary: &Diary,
) -> PeerNode {
    let registry = Registry::from_static().unwrap().with_host_seams(PEER_SEAMS);
    let text = PEER_MANIFEST.replace("NAME", signer.account());
    let manifest = Manifest::parse(Path::new("node.toml"), &text, &registry)
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let (store, client) = (MemoryStore::new(), Arc::new(chain.client(signer.account())));
    let telemetry = TelemetryHub::new();
    diary.listen(&telemetry);
    let mut host = NodeHost::new(Arc::new(signer.clone()), telemetry);
    host.seams = Provided {
        chain_reader: Some(client.clone()),
        chain: Some(client),
        store: Some(Arc::new(store.clone())),
        staging: Some(Arc::new(MemoryStaging::new())),
        journal: Some(Arc::new(MemoryJournal::new())),
        transport: Some(join(fabric, signer.account(), scheduler)),
        scheduler: Some(Arc::clone(scheduler)),
        ..Provided::default()
    };
    let node = Node::start(&manifest, &registry, host).await.unwrap_or_else(|error| panic!("{error}"));
    PeerNode { account: signer.account().to_owned(), store, node }
}

/// A file in memory.
struct Content(Vec<u8>);

impl FileSource for Content {
    fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        self.0[..].read_at(offset, bytes)
    }
}

async fn store(node: &Node) -> TicketDocuments {
    let provided = node.seams();
    let (chain, network) = (provided.chain.clone().unwrap(), provided.network.clone().unwrap());
    let (signer, scheduler) = (provided.signer.clone().unwrap(), node.scheduler());
    let seams = StoreSeams {
        chain: chain.as_ref(),
        network: network.as_ref(),
        scheduler: scheduler.as_ref(),
        signer: signer.as_ref(),
    };
    let mut content = vec![0; FILE_LEN_BYTES];
    blake3::Hasher::new().update(b"a file that is healed").finalize_xof().fill(&mut content);
    let file = FileToStore {
        source: Arc::new(Content(content)),
        file_name: "file".to_owned(),
        public: true,
        layout_id_files: LAYOUT_ID_FILES,
    };
    let stored = store_file(seams, file, &|_| {}).await.unwrap_or_else(|error| panic!("{error}"));
    let ticket = chain.ticket(&stored.ticket_id).await.unwrap();
    TicketDocuments::load(chain.as_ref(), network.as_ref(), &ticket).await.unwrap()
}

/// What the process under test meets when it asks for its chain or its peers.
#[derive(Clone)]
struct Outside {
    client: SimChainClient,
    transport: Arc<MemoryTransport>,
    killer: Killer,
    submitted: Submitted,
}

impl Outside {
    fn listen(self, dir: &Path) {
        let listener = UnixListener::bind(dir.join(WORLD_SOCKET)).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let outside = self.clone();
                // A process that was killed does not listen to the answer.
                tokio::spawn(async move { drop(outside.answer(stream).await) });
            }
        });
    }

    async fn answer(&self, mut stream: UnixStream) -> std::io::Result<()> {
        let (header, body) = receive(&mut stream).await?;
        if let Some(call) = header["chain"].as_str() {
            let Some(answer) = self.chain_call(call, &header["arguments"]).await else { return Ok(()) };
            return send(&mut stream, &answer, &[]).await;
        }
        let peer = Peer {
            account: header["account"].as_str().unwrap().to_owned(),
            address: header["address"].as_str().unwrap().to_owned(),
        };
        let timeout = Duration::from_millis(header["timeout_ms"].as_u64().unwrap());
        if let Some(path) = header["stream"].as_str() {
            return self.relay_stream(stream, &peer, path, body, timeout).await;
        }
        let path = header["call"].as_str().unwrap();
        if path == STORE && self.killer.reach(Point::Publishing) {
            return Ok(());
        }
        if path == FETCH && self.killer.reach(Point::Fetching) {
            return Ok(());
        }
        let outcome = self.transport.call(&peer, path, body, timeout).await;
        if path == STORE && self.killer.reach(Point::Published) {
            return Ok(());
        }
        match outcome {
            Ok(body) => send(&mut stream, &json!({}), &body).await,
            Err(error) => send(&mut stream, &json!({ "error": call_error(&error) }), &[]).await,
        }
    }

    async fn relay_stream(
        &self,
        mut stream: UnixStream,
        peer: &Peer,
        path: &str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> std::io::Result<()> {
        let mut messages = match self.transport.call_stream(peer, path, body, timeout).await {
            Ok(messages) => messages,
            Err(error) => return send(&mut stream, &json!({ "error": call_error(&error) }), &[]).await,
        };
        send(&mut stream, &json!({}), &[]).await?;
        while let Some(message) = messages.next().await {
            match message {
                Ok(body) => send(&mut stream, &json!({}), &body).await?,
                Err(status) => {
                    return send(&mut stream, &json!({ "status": answer_status(&status) }), &[]).await;
                }
            }
            if self.killer.reach(Point::Verifying) {
                return Ok(());
            }
        }
        send(&mut stream, &json!({ "end": true }), &[]).await
    }

    /// The chain's answer; `None` if the node was killed meanwhile.
    async fn chain_call(&self, call: &str, arguments: &Value) -> Option<Value> {
        if call == "submit" {
            return self.submit(arguments).await;
        }
        let outcome = self.query(call, arguments).await;
        Some(outcome.unwrap_or_else(|error| json!({ "error": chain_error(&error) })))
    }

    async fn submit(&self, arguments: &Value) -> Option<Value> {
        let message: ChainMessage = serde_json::from_value(arguments[0].clone()).unwrap();
        let (lost, executed) = match &message {
            ChainMessage::HealClaim(_) => (Point::ClaimLost, Point::ClaimExecuted),
            _ => (Point::VoteLost, Point::VoteExecuted),
        };
        if self.killer.reach(lost) {
            return None;
        }
        let outcome = self.client.submit(message.clone()).await;
        self.submitted.lock().unwrap().push((message, outcome.is_ok()));
        if self.killer.reach(executed) {
            return None;
        }
        Some(answer_of(outcome).unwrap_or_else(|error| json!({ "error": chain_error(&error) })))
    }

    async fn query(&self, call: &str, arguments: &Value) -> Result<Value, ChainError> {
        let text = |index: usize| arguments[index].as_str().unwrap_or_default().to_owned();
        let number = |index: usize| arguments[index].as_u64().unwrap_or_default();
        match call {
            "status" => Ok(json!({ "ok": status(&self.client.status().await?) })),
            "params" => answer_of(self.client.params().await),
            "current_epoch" => Ok(json!({ "ok": epoch(&self.client.current_epoch().await?) })),
            "heal_op" => answer_of(self.client.heal_op(number(0)).await),
            "ticket" => answer_of(self.client.ticket(&text(0)).await),
            "supernode" => answer_of(self.client.supernode(&text(0)).await),
            "account" => answer_of(self.client.account(&text(0)).await),
            "ticket_deterioration" => answer_of(self.client.ticket_deterioration(&text(0)).await),
            "tickets_of_supernode" => {
                let found = self.client.tickets_of_supernode(&text(0), read_request(&arguments[1])).await?;
                Ok(json!({ "ok": page(found) }))
            }
            "supernodes" => {
                let found = self.client.supernodes(read_request(&arguments[0])).await?;
                Ok(json!({ "ok": page(found) }))
            }
            "heal_ops_by_status" => {
                let (wanted, request) = (read_heal_status(&arguments[0]), read_request(&arguments[1]));
                Ok(json!({ "ok": page(self.client.heal_ops_by_status(wanted, request).await?) }))
            }
            other => Err(ChainError::Unavailable { reason: format!("{other} is not asked for here") }),
        }
    }
}

fn answer_of<T: Serialize>(outcome: Result<T, ChainError>) -> Result<Value, ChainError> {
    Ok(json!({ "ok": serde_json::to_value(outcome?).unwrap() }))
}

/// Hands calls of the peers on to the process under test.
fn proxy(dir: &Path, killer: &Killer) -> Router {
    let proxy = Proxy { socket: dir.join(NODE_SOCKET), killer: killer.clone() };
    let mut router = Router::default();
    for path in [FETCH, STORE, POSSESS] {
        let handler = ProxiedMethod { path, proxy: proxy.clone() };
        router.add(Route::unary(path, Arc::new(handler))).unwrap();
    }
    let handler = ProxiedMethod { path: SERVE_RECONSTRUCTED_ARTEFACTS, proxy };
    router.add(Route::server_stream(SERVE_RECONSTRUCTED_ARTEFACTS, Arc::new(handler))).unwrap();
    router
}

#[derive(Clone)]
struct Proxy {
    socket: PathBuf,
    killer: Killer,
}

struct ProxiedMethod {
    path: &'static str,
    proxy: Proxy,
}

fn gone(error: &std::io::Error) -> Status {
    Status::new(StatusCode::Unavailable, error.to_string())
}

impl ProxiedMethod {
    async fn ask(&self, caller: &Caller, body: &[u8]) -> Result<(Value, Vec<u8>, UnixStream), Status> {
        let header = json!({ "caller": caller.account(), "path": self.path });
        ask(&self.proxy.socket, &header, body).await.map_err(|error| gone(&error))
    }
}

#[async_trait]
impl UnaryHandler for ProxiedMethod {
    async fn call(&self, caller: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let (header, body, _) = self.ask(&caller, &request).await?;
        if header["status"].is_null() { Ok(body) } else { Err(read_answer_status(&header["status"])) }
    }
}

#[async_trait]
impl StreamHandler for ProxiedMethod {
    async fn call(&self, caller: Caller, request: Vec<u8>) -> Result<Box<dyn MessageStream>, Status> {
        let (header, body, stream) = self.ask(&caller, &request).await?;
        if !header["status"].is_null() {
            return Err(read_answer_status(&header["status"]));
        }
        let first = (header["end"] != true).then_some(body);
        Ok(Box::new(ProxiedStream { first, stream, killer: self.proxy.killer.clone() }))
    }
}

struct ProxiedStream {
    first: Option<Vec<u8>>,
    stream: UnixStream,
    killer: Killer,
}

#[async_trait]
impl MessageStream for ProxiedStream {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        self.killer.reach(Point::Serving);
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        match receive(&mut self.stream).await {
            Ok((header, _)) if header["end"] == true => None,
            Ok((header, body)) if header["status"].is_null() => Some(Ok(body)),
            Ok((header, _)) => Some(Err(read_answer_status(&header["status"]))),
            Err(error) => Some(Err(gone(&error))),
        }
    }
}
