//! The requests that a node answers, with any bytes: no panic, an answer for each, and none above the greatest length.
//!
//! The first byte chooses the method, the second whether the rest is the whole request or follows a good one, so that
//! fields behind the first check are reached (later fields of a protobuf message replace earlier ones).
#![no_main]

use async_trait::async_trait;
use lampkeeper_plugin_sdk::api::chain::*;
use lampkeeper_plugin_sdk::api::heal::{HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_plugin_sdk::api::plugin::{PluginDescriptor, Provided};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::transport::*;
use lampkeeper_plugin_sdk::cascade::fixture::MemoryNetwork;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::testkit::{
    ContextBuilder, MemoryStore, RecordingTelemetry, TestSigner, VirtualScheduler, context,
};
use lampkeeper_proto::lampkeeper::v1;
use lampkeeper_proto::{methods, supernode};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

static OWN: LazyLock<TestSigner> = LazyLock::new(|| TestSigner::new("own"));
static CALLER: LazyLock<TestSigner> = LazyLock::new(|| TestSigner::new("caller"));
/// An artifact that the node holds.
static ARTIFACT: LazyLock<Vec<u8>> = LazyLock::new(|| (0..5000_u32).map(|i| (i * 31) as u8).collect());

/// The contexts of the plugins, without what a run changes: to begin one costs a key.
static CONTEXTS: LazyLock<BTreeMap<&str, ContextBuilder>> = LazyLock::new(|| {
    PATHS.into_iter().map(|path| (path, context(&plugin_of(path).id).signer(OWN.clone()))).collect()
});
const PATHS: [&str; 7] = [
    methods::GET_COMPOUND_PROOF,
    methods::GET_SLICE_PROOF,
    methods::VERIFY_SLICE_PROOF,
    methods::SERVE_RECONSTRUCTED_ARTEFACTS,
    methods::POSSESS,
    methods::FETCH,
    methods::STORE,
];

fuzz_target!(|input: &[u8]| {
    let [choice, form, rest @ ..] = input else { return };
    let path = PATHS[usize::from(*choice) % PATHS.len()];
    let request = if form & 1 == 0 { rest.to_vec() } else { [good_request(path).as_slice(), rest].concat() };
    let scheduler = VirtualScheduler::new(0);
    let router = router(&scheduler, path);
    let caller = CallerMint::for_host().proved(CALLER.account());
    scheduler.block_on(async move {
        match router.find(path).expect("a route") {
            Handler::Unary(handler) => {
                if let Ok(answer) = handler.call(caller, request).await {
                    assert!(answer.len() <= MESSAGE_LEN_BYTES_MAX);
                }
            }
            Handler::ServerStream(handler) => {
                let Ok(mut answers) = handler.call(caller, request).await else { return };
                while let Some(Ok(answer)) = answers.next().await {
                    assert!(answer.len() <= MESSAGE_LEN_BYTES_MAX);
                }
            }
        }
    });
});

/// The plugin that answers the path.
fn plugin_of(path: &str) -> PluginDescriptor {
    match path {
        methods::SERVE_RECONSTRUCTED_ARTEFACTS => lampkeeper_self_healing::descriptor(),
        methods::POSSESS | methods::FETCH | methods::STORE => lampkeeper_network_replicas::descriptor(),
        _ => lampkeeper_storage_challenge::descriptor(),
    }
}

/// The routes of the plugin that answers the path, in a node of its own that has one artifact: runs share nothing that one
/// of them changes.
fn router(scheduler: &VirtualScheduler, path: &str) -> Router {
    let plugin = plugin_of(path);
    let store = MemoryStore::new();
    let chain = Arc::new(Chain);
    let context = CONTEXTS[path].clone().telemetry(&RecordingTelemetry::new()).memory_seams(scheduler).seams(
        |seams: &mut Provided| {
            seams.store = Some(Arc::new(store.clone()));
            seams.chain_reader = Some(Arc::clone(&chain) as Arc<dyn ChainReader>);
            seams.chain = Some(chain);
            seams.transport = Some(Arc::new(Nobody));
            seams.network = Some(Arc::new(MemoryNetwork::new(&[OWN.account(), CALLER.account()])));
            seams.heal_strategy = Some(Arc::new(Nobody));
        },
    );
    scheduler.block_on(async move {
        use lampkeeper_plugin_sdk::api::store::ArtifactStore as _;
        store.put(&ArtifactKey::of(&ARTIFACT), ARTIFACT.clone()).await.expect("room in memory");
        let provided = (plugin.construct)(context.build()).await.expect("all seams are there");
        let mut router = Router::default();
        for service in &provided.services {
            for route in service.routes() {
                router.add(route).expect("a new path");
            }
        }
        router
    })
}

/// A request that is answered.
fn good_request(path: &str) -> Vec<u8> {
    let key = ArtifactKey::of(&ARTIFACT).to_string();
    let (own, caller) = (OWN.account().to_owned(), CALLER.account().to_owned());
    match path {
        methods::GET_COMPOUND_PROOF => supernode::GetCompoundProofRequest {
            challenge_id: "00".repeat(32),
            epoch_id: 7,
            seed: vec![3; 32],
            ticket_id: "1".to_owned(),
            target_supernode_account: own,
            challenger_account: caller,
            artifact_class: 1,
            artifact_ordinal: 0,
            artifact_count: 1,
            bucket_type: 1,
            artifact_key: key,
            artifact_size: ARTIFACT.len() as u64,
            ranges: vec![supernode::ByteRange { start: 10, end: 266 }; 4],
            ..Default::default()
        }
        .encode_to_vec(),
        methods::GET_SLICE_PROOF => supernode::GetSliceProofRequest {
            challenge_id: "1".to_owned(),
            epoch_id: 7,
            seed: vec![3; 32],
            file_key: key,
            requested_start: 0,
            requested_end: 100,
            challenger_id: caller,
            recipient_id: own,
            ..Default::default()
        }
        .encode_to_vec(),
        methods::SERVE_RECONSTRUCTED_ARTEFACTS => {
            supernode::ServeReconstructedArtefactsRequest { heal_op_id: 1, verifier_account: caller }
                .encode_to_vec()
        }
        methods::POSSESS => v1::PossessRequest { keys: vec![key], verify: true }.encode_to_vec(),
        methods::FETCH => v1::FetchRequest { keys: vec![key] }.encode_to_vec(),
        methods::STORE => v1::StoreRequest { artifacts: vec![ARTIFACT.clone()] }.encode_to_vec(),
        _ => Vec::new(),
    }
}

/// A transport and a strategy that do nothing: no request needs them.
struct Nobody;

#[async_trait]
impl HealStrategy for Nobody {
    fn name(&self) -> &str {
        "nobody"
    }
    async fn reconstruct(&self, _: HealJob) -> Result<Reconstruction, HealError> {
        Err(HealError::Lost { ticket_id: String::new(), have: 0, need: 1 })
    }
}

#[async_trait]
impl Transport for Nobody {
    async fn call(&self, _: &Peer, _: &str, _: Vec<u8>, _: Duration) -> Result<Vec<u8>, CallError> {
        Err(CallError::Local { reason: "nobody is there".to_owned() })
    }
    async fn call_stream(
        &self,
        _: &Peer,
        _: &str,
        _: Vec<u8>,
        _: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        Err(CallError::Local { reason: "nobody is there".to_owned() })
    }
    async fn serve(&self, _: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        Err(CallError::Local { reason: "nobody is there".to_owned() })
    }
    async fn probe_port(&self, _: &str, _: u16, _: Duration) -> PortState {
        PortState::Unknown
    }
}

/// A chain with two supernodes and one heal operation.
struct Chain;

fn supernode(account: &str) -> Supernode {
    Supernode {
        supernode_account: account.to_owned(),
        validator_address: account.to_owned(),
        latest_address: "192.0.2.7:4444".to_owned(),
        state: SupernodeState::Active,
        ..Supernode::default()
    }
}

fn not_found<T>() -> Result<T, ChainError> {
    Err(ChainError::NotFound { what: "it".to_owned() })
}

#[async_trait]
impl ChainReader for Chain {
    async fn status(&self) -> Result<ChainStatus, ChainError> {
        not_found()
    }
    async fn params(&self) -> Result<Params, ChainError> {
        Ok(Params::default())
    }
    async fn current_epoch(&self) -> Result<EpochInfo, ChainError> {
        not_found()
    }
    async fn epoch_anchor(&self, _: u64) -> Result<EpochAnchor, ChainError> {
        not_found()
    }
    async fn assigned_targets(&self, _: &str, _: u64) -> Result<AssignedTargets, ChainError> {
        not_found()
    }
    async fn epoch_report(&self, _: &str, _: u64) -> Result<EpochReport, ChainError> {
        not_found()
    }
    async fn heal_op(&self, heal_op_id: u64) -> Result<HealOp, ChainError> {
        Ok(HealOp {
            heal_op_id,
            healer_supernode_account: OWN.account().to_owned(),
            verifier_supernode_accounts: vec![CALLER.account().to_owned()],
            status: HealOpStatus::HealerReported,
            ..HealOp::default()
        })
    }
    async fn heal_ops_by_status(&self, _: HealOpStatus, _: PageRequest) -> Result<Page<HealOp>, ChainError> {
        not_found()
    }
    async fn heal_ops_by_ticket(&self, _: &str, _: PageRequest) -> Result<Page<HealOp>, ChainError> {
        not_found()
    }
    async fn ticket(&self, _: &str) -> Result<Ticket, ChainError> {
        not_found()
    }
    async fn tickets_of_supernode(&self, _: &str, _: PageRequest) -> Result<Page<Ticket>, ChainError> {
        not_found()
    }
    async fn tickets(&self, _: PageRequest) -> Result<Page<Ticket>, ChainError> {
        not_found()
    }
    async fn ticket_deterioration(&self, _: &str) -> Result<TicketDeterioration, ChainError> {
        not_found()
    }
    async fn node_suspicion(&self, _: &str) -> Result<NodeSuspicion, ChainError> {
        not_found()
    }
    async fn reporter_reliability(&self, _: &str) -> Result<ReporterReliability, ChainError> {
        not_found()
    }
    async fn supernode(&self, account: &str) -> Result<Supernode, ChainError> {
        Ok(supernode(account))
    }
    async fn supernodes(&self, _: PageRequest) -> Result<Page<Supernode>, ChainError> {
        let items = vec![supernode(OWN.account()), supernode(CALLER.account())];
        Ok(Page { items, next_key: None })
    }
    async fn top_supernodes(&self, _: i64, _: u32) -> Result<Vec<Supernode>, ChainError> {
        not_found()
    }
    async fn account(&self, _: &str) -> Result<AccountInfo, ChainError> {
        not_found()
    }
}

#[async_trait]
impl ChainClient for Chain {
    fn account_address(&self) -> &str {
        OWN.account()
    }
    async fn submit(&self, _: ChainMessage) -> Result<TxReceipt, ChainError> {
        not_found()
    }
}
