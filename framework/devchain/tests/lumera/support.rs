//! Devchains that listen on loopback, clients of them, and faults in between.

use lampkeeper_chain_lumera::{ChainLumeraConfig, LumeraClient, connect};
use lampkeeper_chain_sim::state::supernodes::SupernodeRecord;
use lampkeeper_chain_sim::{ChainConfig, State, address};
use lampkeeper_devchain::{DevChain, DevChainOptions, DevChainService, Intercept, Listener, NoIntercept};
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::{HealOp, HealOpStatus, SupernodeState};
use lampkeeper_plugin_sdk::api::plugin::NodeInfo;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::testkit::{RecordingTelemetry, TestSigner, context};
use lampkeeper_scheduler_tokio::TokioScheduler;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::runtime::{Builder, Handle, Runtime};

pub const CHAIN_ID: &str = "lampkeeper-sim";
/// Coins of every account that has any.
pub const BALANCE_ULUME: u64 = 1_000_000_000;
/// The paths of the calls that a submission makes.
pub const BROADCAST: &str = "/cosmos.tx.v1beta1.Service/BroadcastTx";
pub const GET_TX: &str = "/cosmos.tx.v1beta1.Service/GetTx";
pub const SIMULATE: &str = "/cosmos.tx.v1beta1.Service/Simulate";
pub const LATEST_BLOCK: &str = "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock";
pub const MODULE_VERSIONS: &str = "/cosmos.upgrade.v1beta1.Query/ModuleVersions";
pub const PARAMS: &str = "/lumera.audit.v1.Query/Params";

pub fn scheduler() -> Arc<dyn Scheduler> {
    Arc::new(TokioScheduler::new(Handle::current()).expect("randomness"))
}

/// A chain on which these accounts are supernodes with coins, and that has made its first blocks.
pub fn state(accounts: &[String]) -> State {
    let mut state = State::new(ChainConfig { chain_id: CHAIN_ID.to_owned(), ..ChainConfig::default() });
    for account in accounts {
        let operator = address::operator_of_account(account).expect("an account");
        let record = SupernodeRecord::planted(&operator, account, SupernodeState::Active, 0);
        state.supernode.supernodes.insert(record);
        state.bank.mint(account, BALANCE_ULUME);
    }
    state.advance_to(3).expect("empty blocks");
    state
}

/// A heal operation that waits for the claim of `healer`.
pub fn claimable(heal_op_id: u64, healer: &str) -> HealOp {
    HealOp {
        heal_op_id,
        ticket_id: "1".to_owned(),
        healer_supernode_account: healer.to_owned(),
        verifier_supernode_accounts: vec![address::labelled_account("verifier")],
        status: HealOpStatus::Scheduled,
        deadline_epoch_id: 99,
        ..HealOp::default()
    }
}

/// A devchain that is served on a socket, on a runtime of its own: dropping it breaks every connection at once.
pub struct Served {
    pub chain: Arc<DevChain>,
    pub address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Served {
    /// Serves a chain on any port.
    pub fn new(chain: Arc<DevChain>, intercept: Arc<dyn Intercept>) -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"), chain, intercept)
    }

    /// Serves a chain at an address.
    pub fn at(address: SocketAddr, chain: Arc<DevChain>, intercept: Arc<dyn Intercept>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = {
            let _runtime = runtime.enter();
            Listener::bind(address).expect("a free port")
        };
        let address = listener.address();
        let service = DevChainService::new(Arc::clone(&chain), intercept);
        runtime.spawn(async move {
            // The runtime is shut down under it; there is nobody to tell.
            let _ = listener.serve(service, Cancel::new()).await;
        });
        Self { chain, address, runtime: Some(runtime) }
    }

    pub fn plain(state: State, options: DevChainOptions) -> Self {
        Self::new(DevChain::new(state, options, scheduler()), Arc::new(NoIntercept))
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // On a thread of its own: a test is on a runtime itself, which must not wait for another.
            let ended =
                std::thread::spawn(move || runtime.shutdown_timeout(std::time::Duration::from_secs(5)));
            ended.join().expect("the runtime ends");
        }
    }
}

/// Blocks are made as transactions arrive.
pub fn at_once() -> DevChainOptions {
    DevChainOptions { block_interval_ms: 0, ..DevChainOptions::default() }
}

/// Blocks are made by a timer, or by the test.
pub fn by_timer() -> DevChainOptions {
    DevChainOptions { block_interval_ms: 20, ..DevChainOptions::default() }
}

/// A configuration that does not make a test wait.
pub fn config(endpoints: Vec<String>) -> ChainLumeraConfig {
    ChainLumeraConfig {
        endpoints,
        call_timeout_ms: 5000,
        check_interval_ms: 50,
        inclusion_poll_interval_ms: 5,
        inclusion_timeout_ms: 30_000,
        ..ChainLumeraConfig::default()
    }
}

/// A client that remembers nothing when it is made again.
pub fn client_of(signer: &TestSigner, config: &ChainLumeraConfig) -> (Arc<LumeraClient>, RecordingTelemetry) {
    client_in(Path::new("there is no such directory"), signer, config)
}

/// A client with a data directory.
pub fn client_in(
    data_dir: &Path,
    signer: &TestSigner,
    config: &ChainLumeraConfig,
) -> (Arc<LumeraClient>, RecordingTelemetry) {
    let telemetry = RecordingTelemetry::new();
    let node = NodeInfo {
        name: "test".to_owned(),
        account: signer.account().to_owned(),
        chain_id: CHAIN_ID.to_owned(),
        data_dir: data_dir.to_owned(),
    };
    let context = context("chain-lumera")
        .node(node)
        .telemetry(&telemetry)
        .signer(signer.clone())
        .seams(|seams| seams.scheduler = Some(scheduler()))
        .build();
    (Arc::new(connect(&context, config).expect("a good configuration")), telemetry)
}

type Fault = Box<dyn FnMut(&str) -> Result<(), tonic::Status> + Send>;

/// Faults that a test sets while the chain is served.
#[derive(Default)]
pub struct Faults {
    before: Mutex<Option<Fault>>,
    after: Mutex<Option<Fault>>,
    seen: Mutex<Vec<String>>,
}

impl Faults {
    /// From now on every call passes through this before it is carried out.
    pub fn before(&self, fault: impl FnMut(&str) -> Result<(), tonic::Status> + Send + 'static) {
        *self.before.lock().expect("a lock") = Some(Box::new(fault));
    }

    /// From now on every call passes through this after it was carried out.
    pub fn after(&self, fault: impl FnMut(&str) -> Result<(), tonic::Status> + Send + 'static) {
        *self.after.lock().expect("a lock") = Some(Box::new(fault));
    }

    pub fn clear(&self) {
        *self.before.lock().expect("a lock") = None;
        *self.after.lock().expect("a lock") = None;
    }

    /// How often a path was called.
    pub fn count(&self, path: &str) -> usize {
        self.seen.lock().expect("a lock").iter().filter(|seen| *seen == path).count()
    }
}

impl Intercept for Faults {
    fn before(&self, path: &str) -> Result<(), tonic::Status> {
        self.seen.lock().expect("a lock").push(path.to_owned());
        self.before.lock().expect("a lock").as_mut().map_or(Ok(()), |fault| fault(path))
    }

    fn after(&self, path: &str) -> Result<(), tonic::Status> {
        self.after.lock().expect("a lock").as_mut().map_or(Ok(()), |fault| fault(path))
    }
}

/// The status of a broken connection.
pub fn cut() -> tonic::Status {
    tonic::Status::unavailable("the connection was cut")
}
