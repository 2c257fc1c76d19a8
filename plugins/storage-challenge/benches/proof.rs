//! What a proof of four ranges of a 64 KiB artifact costs the node that serves it and the node that verifies it.
//!
//! The store is in memory and the chain is scripted, so this is hashing, signing and encoding, without disk and network.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use lampkeeper_plugin_sdk::api::chain::{Params, Supernode};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::store::ArtifactStore;
use lampkeeper_plugin_sdk::api::transport::{Caller, CallerMint, Handler, Transport, UnaryHandler};
use lampkeeper_plugin_sdk::cascade::fixture::MemoryNetwork;
use lampkeeper_plugin_sdk::protocol::account::{KeyType, PublicKey};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::transcript::{ChallengedArtifact, Transcript, hash_ranges};
use lampkeeper_plugin_sdk::protocol::verified_slice;
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket};
use lampkeeper_plugin_sdk::testkit::{MemoryStore, MockChain, TestSigner, VirtualScheduler, context};
use lampkeeper_proto::methods::GET_COMPOUND_PROOF;
use lampkeeper_proto::supernode::{ByteRange, GetCompoundProofRequest, GetCompoundProofResponse};
use prost::Message;
use std::sync::Arc;

const ARTIFACT_LEN_BYTES: usize = 64 * 1024;
const RANGE_LEN_BYTES: u64 = 256;

fn main() {
    divan::main();
}

/// A node that serves, and a challenge for it.
struct Target {
    scheduler: VirtualScheduler,
    handler: Arc<dyn UnaryHandler>,
    caller: Caller,
    request: GetCompoundProofRequest,
}

fn challenged<'a>(target: &'a str) -> ChallengedArtifact<'a> {
    ChallengedArtifact { target, ticket_id: "1", class: ArtifactClass::Symbol, ordinal: 0 }
}

impl Target {
    fn new() -> Self {
        let scheduler = VirtualScheduler::new(0);
        let (target, challenger) = (TestSigner::new("target"), TestSigner::new("challenger"));
        let artifact = vec![7; ARTIFACT_LEN_BYTES];
        let key = ArtifactKey::of(&artifact);
        let store = MemoryStore::new();
        scheduler.block_on(store.put(&key, artifact)).unwrap();
        let chain = MockChain::builder("target").params(Ok(Params::default())).always();
        let chain = chain.supernode(challenger.account(), Ok(Supernode::default())).always().build();
        let transport: Arc<dyn Transport> = Arc::new(NoTransport);
        let context = context("storage-challenge").memory_seams(&scheduler).seams(|seams| {
            seams.chain_reader = Some(chain);
            seams.store = Some(Arc::new(store));
            seams.network = Some(Arc::new(MemoryNetwork::new(&[])));
            seams.transport = Some(transport);
        });
        let context = context.signer(target.clone()).build();
        let construct = lampkeeper_storage_challenge::descriptor().construct;
        let provided = scheduler.block_on(construct(context)).unwrap();
        let route = provided.services[0].routes().into_iter().find(|route| route.path == GET_COMPOUND_PROOF);
        let Some(Handler::Unary(handler)) = route.map(|route| route.handler) else { panic!("no handler") };
        let seed = vec![3; 32];
        let offsets = challenged(target.account())
            .range_offsets(&seed, ARTIFACT_LEN_BYTES as u64, RANGE_LEN_BYTES, 4)
            .unwrap();
        let request = GetCompoundProofRequest {
            challenge_id: "challenge".into(),
            epoch_id: 1,
            seed,
            ticket_id: "1".into(),
            target_supernode_account: target.account().into(),
            challenger_account: challenger.account().into(),
            artifact_class: 2,
            artifact_count: 1,
            bucket_type: 1,
            artifact_key: key.to_string(),
            artifact_size: ARTIFACT_LEN_BYTES as u64,
            ranges: offsets
                .into_iter()
                .map(|start| ByteRange { start, end: start + RANGE_LEN_BYTES })
                .collect(),
            want_verified_slices: true,
            ..GetCompoundProofRequest::default()
        };
        let caller = CallerMint::for_host().proved(challenger.account());
        Self { scheduler, handler, caller, request }
    }

    fn serve(&self, request: Vec<u8>) -> Vec<u8> {
        self.scheduler.block_on(self.handler.call(self.caller.clone(), request)).unwrap()
    }
}

#[divan::bench]
fn serve_four_ranges_of_64_kib(bencher: divan::Bencher<'_, '_>) {
    let target = Target::new();
    let request = target.request.encode_to_vec();
    bencher
        .counter(divan::counter::BytesCount::new(ARTIFACT_LEN_BYTES))
        .bench_local(|| target.serve(request.clone()));
}

/// Decoding, the slices, the hash of the ranges, the transcript and the signature: what a challenger does with an answer.
#[divan::bench]
fn verify_four_ranges_of_64_kib(bencher: divan::Bencher<'_, '_>) {
    let target = Target::new();
    let answer = target.serve(target.request.encode_to_vec());
    let signer = TestSigner::new("target");
    let public_key = PublicKey::from_bytes(KeyType::Secp256k1, &signer.public_key()).unwrap();
    bencher.bench_local(|| verify(&target.request, &answer, &public_key));
}

fn verify(request: &GetCompoundProofRequest, answer: &[u8], public_key: &PublicKey) {
    let response = GetCompoundProofResponse::decode(answer).unwrap();
    let key: ArtifactKey = request.artifact_key.parse().unwrap();
    let ranges: Vec<_> = request.ranges.iter().map(|range| range.start..range.end).collect();
    let proven = verified_slice::verify(&key, &response.verified_slices, &ranges).unwrap();
    assert_eq!(proven.ranges, response.range_bytes);
    let proof_hash = hash_ranges(response.range_bytes.iter().map(Vec::as_slice));
    let offsets: Vec<_> = request.ranges.iter().map(|range| range.start).collect();
    let derivation = challenged(&request.target_supernode_account)
        .derivation_input_hash(&request.seed, &offsets, RANGE_LEN_BYTES)
        .unwrap();
    let transcript = Transcript {
        epoch_id: request.epoch_id,
        challenger: &request.challenger_account,
        target: &request.target_supernode_account,
        ticket_id: &request.ticket_id,
        bucket: Bucket::Recent,
        class: ArtifactClass::Symbol,
        ordinal: 0,
        artifact_key: &request.artifact_key,
        derivation_input_hash: &derivation,
        compound_proof_hash: &proof_hash,
        observers: &[],
    };
    let signature = hex::decode(&response.recipient_signature).unwrap();
    public_key.verify(transcript.hash().unwrap().as_bytes(), &signature).unwrap();
}

/// Serving calls nobody.
struct NoTransport;

mod no_transport {
    use super::NoTransport;
    use lampkeeper_plugin_sdk::api::chain::PortState;
    use lampkeeper_plugin_sdk::api::transport::{
        CallError, MessageStream, Peer, Router, ServerHandle, Transport,
    };
    use lampkeeper_plugin_sdk::async_trait;
    use std::time::Duration;

    fn none() -> CallError {
        CallError::Local { reason: "a benchmark has no network".to_owned() }
    }

    #[async_trait]
    impl Transport for NoTransport {
        async fn call(&self, _: &Peer, _: &str, _: Vec<u8>, _: Duration) -> Result<Vec<u8>, CallError> {
            Err(none())
        }
        async fn call_stream(
            &self,
            _: &Peer,
            _: &str,
            _: Vec<u8>,
            _: Duration,
        ) -> Result<Box<dyn MessageStream>, CallError> {
            Err(none())
        }
        async fn serve(&self, _: Router) -> Result<Box<dyn ServerHandle>, CallError> {
            Err(none())
        }
        async fn probe_port(&self, _: &str, _: u16, _: Duration) -> PortState {
            PortState::Unknown
        }
    }
}
