//! Nodes on loopback sockets, and a chain that knows whom a test says.
#![expect(clippy::expect_used, reason = "a test may fail")]

use crate::clock::RealTime;
use lampkeeper_plugin_sdk::api::chain::{AccountInfo, ChainError, ChainReader, Supernode};
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::transport::{
    Caller, CallerMint, Peer, Route, Router, ServerHandle, Status, StatusCode, Transport, UnaryHandler,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::protocol::account::KeyType;
use lampkeeper_plugin_sdk::testkit::{MockChain, RecordingTelemetry, TestSigner};
use lampkeeper_transport_grpc::{Config, GrpcTransport, Parts};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Long enough for any call that ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// A path that answers with what it was asked.
pub(crate) const ECHO: &str = "/lampkeeper.Test/Echo";
/// A path that answers nobody.
pub(crate) const FORBIDDEN: &str = "/lampkeeper.Test/Forbidden";

pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

pub(crate) fn scheduler() -> Arc<dyn Scheduler> {
    Arc::new(RealTime::new())
}

/// An account in the tests.
pub(crate) fn signer(seed: &str) -> TestSigner {
    let key_type = if seed.starts_with("evm") { KeyType::EthSecp256k1 } else { KeyType::Secp256k1 };
    TestSigner::with_key_type(seed, key_type)
}

/// A chain that has these supernodes and ordinary accounts, and nobody else.
pub(crate) fn chain(supernodes: &[&str], accounts: &[&str], strangers: &[&str]) -> Arc<dyn ChainReader> {
    let mut chain = MockChain::builder("lumera1own");
    let not_found = || ChainError::NotFound { what: "it".to_owned() };
    for seed in supernodes {
        let account = signer(seed).account().to_owned();
        let supernode = Supernode { supernode_account: account.clone(), ..Supernode::default() };
        chain = chain.supernode(&account, Ok(supernode)).always();
    }
    for seed in accounts {
        let account = signer(seed).account().to_owned();
        let info = AccountInfo { address: account.clone(), ..AccountInfo::default() };
        chain = chain.account(&account, Ok(info)).always();
    }
    for seed in strangers {
        let account = signer(seed).account().to_owned();
        chain = chain.supernode(&account, Err(not_found())).always();
        chain = chain.account(&account, Err(not_found())).always();
    }
    chain.build()
}

pub(crate) struct Node {
    pub(crate) transport: Arc<GrpcTransport>,
    pub(crate) account: String,
    pub(crate) telemetry: RecordingTelemetry,
}

pub(crate) fn node(seed: &str, chain: &Arc<dyn ChainReader>, config: Config) -> Node {
    let telemetry = RecordingTelemetry::new();
    let signer = signer(seed);
    let account = signer.account().to_owned();
    let parts = Parts {
        signer: Arc::new(signer),
        chain: Arc::clone(chain),
        scheduler: scheduler(),
        caller_mint: CallerMint::for_host(),
        telemetry: Arc::new(telemetry.clone()),
    };
    let transport = Arc::new(GrpcTransport::new(parts, config).expect("a good key"));
    Node { transport, account, telemetry }
}

pub(crate) fn loopback() -> Config {
    Config { listen: "127.0.0.1:0".to_owned(), dial_private_addresses: true, ..Config::default() }
}

/// Answers and counts.
#[derive(Default)]
pub(crate) struct Service {
    pub(crate) calls: AtomicUsize,
}

struct Echo(Arc<Service>);

#[async_trait]
impl UnaryHandler for Echo {
    async fn call(&self, _caller: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        self.0.calls.fetch_add(1, Ordering::AcqRel);
        Ok(request)
    }
}

struct Forbid;

#[async_trait]
impl UnaryHandler for Forbid {
    async fn call(&self, caller: Caller, _request: Vec<u8>) -> Result<Vec<u8>, Status> {
        Err(Status::new(StatusCode::PermissionDenied, format!("{} may not", caller.account())))
    }
}

impl Service {
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        let mut router = Router::default();
        router.add(Route::unary(ECHO, Arc::new(Echo(Arc::clone(self))))).expect("a new path");
        router.add(Route::unary(FORBIDDEN, Arc::new(Forbid))).expect("a new path");
        router
    }
}

/// A node that serves.
pub(crate) async fn serve(node: &Node) -> (Arc<Service>, Box<dyn ServerHandle>, Peer) {
    let service = Arc::new(Service::default());
    let handle = node.transport.serve(service.router()).await.expect("a free port");
    let peer = Peer { account: node.account.clone(), address: handle.local_address() };
    (service, handle, peer)
}

/// Waits for something that happens on its own.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let scheduler = scheduler();
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        scheduler.sleep(Duration::from_millis(10)).await;
    }
    assert!(is_so(), "{what}");
}
