//! The process that is killed: one node with everything real that is on its disk, and its services. Only its chain and
//! its peers are elsewhere, in the process that kills it.

use crate::codec::{
    answer_status, read_answer_status, read_call_error, read_chain_error, read_epoch, read_page, read_status,
    request,
};
use crate::wire::{ask, receive, send};
use lampkeeper_api::EpochId;
use lampkeeper_api::chain::{
    AccountInfo, AssignedTargets, ChainClient, ChainError, ChainMessage, ChainReader, ChainStatus,
    EpochAnchor, EpochInfo, EpochReport, HealOp, HealOpStatus, NodeSuspicion, Page, PageRequest, Params,
    PortState, ReporterReliability, Supernode, Ticket, TicketDeterioration, TxReceipt,
};
use lampkeeper_api::plugin::{Provided, Seam};
use lampkeeper_api::transport::{
    CallError, CallerMint, Handler, MessageStream, Peer, Router, ServerHandle, Status, Transport,
};
use lampkeeper_core::node::NodeHost;
use lampkeeper_core::telemetry::Delivery;
use lampkeeper_core::{Manifest, Node, Registry, TelemetryHub};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::testkit::TestSigner;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// Seams that the process brings; the rest is plugins.
pub(crate) const HOST_SEAMS: [Seam; 2] = [Seam::ChainSubmit, Seam::Transport];
/// The socket of the world, in the directory of the test.
pub(crate) const WORLD_SOCKET: &str = "world.sock";
/// The socket of the node.
pub(crate) const NODE_SOCKET: &str = "node.sock";
/// The line that says that the node runs.
pub(crate) const READY: &str = "ready";
/// What the node's key is made from.
pub(crate) const SEED: &str = "crashing node";

/// The node's manifest: what is on its disk is real.
const MANIFEST: &str = r#"[node]
name = "crashing"
network = "crashes"
data_dir = "DATA_DIR"

[plugins.scheduler-tokio]
[plugins.storage-fs]
[plugins.journal-sqlite]
[plugins.heal-minimal]

[plugins.network-replicas.config]
refresh_interval_ms = 500
publish_refresh_ms = 500
stranger_refresh_ms = 500
call_timeout_ms = 3000

[plugins.self-healing.config]
poll_interval_ms = 50
verifier_fetch_attempts = 6
verifier_backoff_base_ms = 200
"#;

/// Runs the node in `dir` until it is killed.
pub(crate) async fn run(dir: &Path) {
    let registry = Registry::from_static().unwrap().with_host_seams(HOST_SEAMS);
    let data_dir = dir.join("node");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&data_dir).unwrap();
    let text = MANIFEST.replace("DATA_DIR", data_dir.to_str().unwrap());
    let manifest = Manifest::parse(&data_dir.join("node.toml"), &text, &registry)
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let telemetry = TelemetryHub::new();
    let mut events = telemetry.events.listen();
    let mut host = NodeHost::new(Arc::new(TestSigner::new(SEED)), telemetry);
    let world = dir.join(WORLD_SOCKET);
    let chain = Arc::new(FarChain { world: world.clone(), account: crate::victim_account() });
    host.seams = Provided {
        chain_reader: Some(chain.clone()),
        chain: Some(chain),
        transport: Some(Arc::new(FarTransport { world, socket: dir.join(NODE_SOCKET) })),
        ..Provided::default()
    };
    let _node = Node::start(&manifest, &registry, host).await.unwrap_or_else(|error| panic!("{error}"));
    println!("{READY}");
    loop {
        if let Some(Delivery::Event(record)) = events.next().await {
            println!("{}", record.to_json());
        }
    }
}

/// The chain, in the other process.
struct FarChain {
    world: PathBuf,
    account: String,
}

impl FarChain {
    async fn value(&self, call: &str, arguments: Value) -> Result<Value, ChainError> {
        let header = json!({ "chain": call, "arguments": arguments });
        match ask(&self.world, &header, &[]).await {
            Ok((answer, _, _)) if answer["error"].is_null() => Ok(answer["ok"].clone()),
            Ok((answer, _, _)) => Err(read_chain_error(&answer["error"])),
            Err(error) => Err(ChainError::Transient {
                attempted: call.to_owned(),
                source: error.to_string(),
                outcome_unknown: true,
            }),
        }
    }

    async fn ask<T: DeserializeOwned>(&self, call: &str, arguments: Value) -> Result<T, ChainError> {
        Ok(serde_json::from_value(self.value(call, arguments).await?).unwrap())
    }

    async fn page<T: DeserializeOwned>(&self, call: &str, arguments: Value) -> Result<Page<T>, ChainError> {
        Ok(read_page(&self.value(call, arguments).await?))
    }
}

#[async_trait]
impl ChainClient for FarChain {
    fn account_address(&self) -> &str {
        &self.account
    }
    async fn submit(&self, message: ChainMessage) -> Result<TxReceipt, ChainError> {
        self.ask("submit", json!([message])).await
    }
}

#[async_trait]
impl ChainReader for FarChain {
    async fn status(&self) -> Result<ChainStatus, ChainError> {
        Ok(read_status(&self.value("status", json!([])).await?))
    }
    async fn params(&self) -> Result<Params, ChainError> {
        self.ask("params", json!([])).await
    }
    async fn current_epoch(&self) -> Result<EpochInfo, ChainError> {
        Ok(read_epoch(&self.value("current_epoch", json!([])).await?))
    }
    async fn epoch_anchor(&self, epoch_id: EpochId) -> Result<EpochAnchor, ChainError> {
        self.ask("epoch_anchor", json!([epoch_id])).await
    }
    async fn assigned_targets(&self, _: &str, _: EpochId) -> Result<AssignedTargets, ChainError> {
        Err(ChainError::Unavailable { reason: "nobody is challenged here".to_owned() })
    }
    async fn epoch_report(&self, who: &str, epoch_id: EpochId) -> Result<EpochReport, ChainError> {
        self.ask("epoch_report", json!([who, epoch_id])).await
    }
    async fn heal_op(&self, heal_op_id: u64) -> Result<HealOp, ChainError> {
        self.ask("heal_op", json!([heal_op_id])).await
    }
    async fn heal_ops_by_status(
        &self,
        status: HealOpStatus,
        page: PageRequest,
    ) -> Result<Page<HealOp>, ChainError> {
        self.page("heal_ops_by_status", json!([status, request(&page)])).await
    }
    async fn heal_ops_by_ticket(&self, of: &str, page: PageRequest) -> Result<Page<HealOp>, ChainError> {
        self.page("heal_ops_by_ticket", json!([of, request(&page)])).await
    }
    async fn ticket(&self, ticket_id: &str) -> Result<Ticket, ChainError> {
        self.ask("ticket", json!([ticket_id])).await
    }
    async fn tickets_of_supernode(&self, of: &str, page: PageRequest) -> Result<Page<Ticket>, ChainError> {
        self.page("tickets_of_supernode", json!([of, request(&page)])).await
    }
    async fn tickets(&self, page: PageRequest) -> Result<Page<Ticket>, ChainError> {
        self.page("tickets", json!([request(&page)])).await
    }
    async fn ticket_deterioration(&self, of: &str) -> Result<TicketDeterioration, ChainError> {
        self.ask("ticket_deterioration", json!([of])).await
    }
    async fn node_suspicion(&self, of: &str) -> Result<NodeSuspicion, ChainError> {
        self.ask("node_suspicion", json!([of])).await
    }
    async fn reporter_reliability(&self, of: &str) -> Result<ReporterReliability, ChainError> {
        self.ask("reporter_reliability", json!([of])).await
    }
    async fn supernode(&self, account: &str) -> Result<Supernode, ChainError> {
        self.ask("supernode", json!([account])).await
    }
    async fn supernodes(&self, page: PageRequest) -> Result<Page<Supernode>, ChainError> {
        self.page("supernodes", json!([request(&page)])).await
    }
    async fn top_supernodes(&self, height: i64, limit: u32) -> Result<Vec<Supernode>, ChainError> {
        self.ask("top_supernodes", json!([height, limit])).await
    }
    async fn account(&self, address: &str) -> Result<AccountInfo, ChainError> {
        self.ask("account", json!([address])).await
    }
}

/// The other nodes, in the other process.
struct FarTransport {
    world: PathBuf,
    socket: PathBuf,
}

fn lost(error: &std::io::Error) -> CallError {
    CallError::Local { reason: error.to_string() }
}

#[async_trait]
impl Transport for FarTransport {
    async fn call(
        &self,
        peer: &Peer,
        path: &str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let header = json!({
            "call": path, "account": peer.account, "address": peer.address,
            "timeout_ms": timeout.as_millis() as u64,
        });
        let (answer, body, _) = ask(&self.world, &header, &body).await.map_err(|error| lost(&error))?;
        if answer["error"].is_null() {
            Ok(body)
        } else {
            Err(read_call_error(&peer.account, &answer["error"]))
        }
    }

    async fn call_stream(
        &self,
        peer: &Peer,
        path: &str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        let header = json!({
            "stream": path, "account": peer.account, "address": peer.address,
            "timeout_ms": timeout.as_millis() as u64,
        });
        let (answer, _, stream) = ask(&self.world, &header, &body).await.map_err(|error| lost(&error))?;
        if answer["error"].is_null() {
            return Ok(Box::new(FarStream { stream }));
        }
        Err(read_call_error(&peer.account, &answer["error"]))
    }

    async fn serve(&self, router: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        // A killed process leaves its socket behind.
        drop(std::fs::remove_file(&self.socket));
        let listener = UnixListener::bind(&self.socket).map_err(|error| lost(&error))?;
        let router = Arc::new(router);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&router)));
            }
        });
        Ok(Box::new(Serving { address: self.socket.display().to_string(), task: serving }))
    }

    async fn probe_port(&self, _: &str, _: u16, _: Duration) -> PortState {
        PortState::Open
    }
}

struct Serving {
    address: String,
    task: tokio::task::JoinHandle<()>,
}

#[async_trait]
impl ServerHandle for Serving {
    fn local_address(&self) -> String {
        self.address.clone()
    }
    async fn drain(&self, _: Duration) {
        self.task.abort();
    }
}

/// Messages of a stream of the other process.
struct FarStream {
    stream: UnixStream,
}

#[async_trait]
impl MessageStream for FarStream {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        match receive(&mut self.stream).await {
            Ok((header, _)) if header["end"] == true => None,
            Ok((header, body)) if header["status"].is_null() => Some(Ok(body)),
            Ok((header, _)) => Some(Err(read_answer_status(&header["status"]))),
            Err(error) => {
                Some(Err(Status::new(lampkeeper_api::transport::StatusCode::Unavailable, error.to_string())))
            }
        }
    }
}

/// Answers one call of a peer; the account is what the other process says, which is the transport here.
async fn answer(mut stream: UnixStream, router: Arc<Router>) -> std::io::Result<()> {
    let (header, body) = receive(&mut stream).await?;
    let caller = CallerMint::for_host().proved(header["caller"].as_str().unwrap());
    let refusal = |status: &Status| json!({ "status": answer_status(status) });
    match router.find(header["path"].as_str().unwrap()) {
        None => {
            let status = Status::new(lampkeeper_api::transport::StatusCode::Internal, "no such method");
            send(&mut stream, &refusal(&status), &[]).await
        }
        Some(Handler::Unary(handler)) => match handler.call(caller, body).await {
            Ok(body) => send(&mut stream, &json!({}), &body).await,
            Err(status) => send(&mut stream, &refusal(&status), &[]).await,
        },
        Some(Handler::ServerStream(handler)) => match handler.call(caller, body).await {
            Err(status) => send(&mut stream, &refusal(&status), &[]).await,
            Ok(mut messages) => {
                while let Some(message) = messages.next().await {
                    match message {
                        Ok(body) => send(&mut stream, &json!({}), &body).await?,
                        Err(status) => return send(&mut stream, &refusal(&status), &[]).await,
                    }
                }
                send(&mut stream, &json!({ "end": true }), &[]).await
            }
        },
    }
}
