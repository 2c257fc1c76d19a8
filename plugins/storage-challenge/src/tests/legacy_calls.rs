//! The older single-range calls (wire 3.8).

use super::support::{CHALLENGER, World, account, serving_chain};
use crate::legacy::{SliceProofHandler, VerifySliceHandler};
use crate::registered::RegisteredCallers;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::transport::{CallerMint, Status, StatusCode, UnaryHandler};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::transcript::hash_ranges;
use lampkeeper_proto::supernode::{
    GetSliceProofRequest, GetSliceProofResponse, VerifySliceProofRequest, VerifySliceProofResponse,
};
use prost::Message;
use std::sync::Arc;

fn callers(world: &World) -> Arc<RegisteredCallers> {
    Arc::new(RegisteredCallers::new(serving_chain("alpha").build(), world.scheduler.handle()))
}

fn call<Q: Message, A: Message + Default>(
    world: &World,
    handler: &dyn UnaryHandler,
    request: &Q,
) -> Result<A, Status> {
    let caller = CallerMint::for_host().proved(account(CHALLENGER));
    let answer = world.scheduler.block_on(handler.call(caller, request.encode_to_vec()));
    answer.map(|bytes| A::decode(bytes.as_slice()).unwrap())
}

#[test]
fn a_slice_is_cut_to_the_artifact_and_to_the_cap() {
    let world = World::new();
    let handler = SliceProofHandler {
        account: account("alpha"),
        store: Arc::new(world.stores["alpha"].clone()),
        callers: callers(&world),
        reads: world.scheduler.permits(1),
        telemetry: Arc::new(world.telemetry.clone()),
    };
    let symbol = &world.fixture.symbols[0];
    let key = symbol.key.to_string();
    let absent = ArtifactKey::of(b"absent").to_string();
    // (key, asked, what is returned; nothing is an in-band error)
    let cases = [
        (key.as_str(), 0..1024, Some(0..1024)),
        (&key, 65_000..70_000, Some(65_000..65_532)),
        (&key, 0..70_000, Some(0..16_384)),
        (&key, 65_531..u64::MAX, Some(65_531..65_532)),
        (&key, 65_532..65_600, None),
        (&key, 10..10, None),
        (&key, std::ops::Range { start: 20, end: 10 }, None),
        ("", 0..10, None),
        ("not base58 0OIl", 0..10, None),
        (&absent, 0..10, None),
    ];
    for (file_key, asked, expected) in cases {
        let request = GetSliceProofRequest {
            challenge_id: "c".into(),
            file_key: file_key.into(),
            requested_start: asked.start,
            requested_end: asked.end,
            ..GetSliceProofRequest::default()
        };
        let response: GetSliceProofResponse = call(&world, &handler, &request).unwrap();
        assert_eq!(response.ok, expected.is_some(), "{asked:?}: {}", response.error);
        assert_eq!((response.challenge_id.as_str(), response.recipient_id), ("c", account("alpha")));
        let Some(expected) = expected else { continue };
        assert_eq!(response.start..response.end, expected, "{asked:?}");
        assert_eq!(response.slice, symbol.bytes[expected.start as usize..expected.end as usize]);
        assert_eq!(response.proof_hash_hex, hash_ranges([response.slice.as_slice()]));
    }
    for (challenger_id, recipient_id) in [(account("beta"), String::new()), (String::new(), account("beta"))]
    {
        let request = GetSliceProofRequest { challenger_id, recipient_id, ..GetSliceProofRequest::default() };
        let refused = call::<_, GetSliceProofResponse>(&world, &handler, &request).unwrap_err();
        assert_eq!(refused.code, StatusCode::PermissionDenied);
    }
}

#[test]
fn an_observer_says_whether_a_slice_hashes_to_its_proof() {
    let world = World::new();
    let handler = VerifySliceHandler { account: account("alpha"), callers: callers(&world) };
    let proof = hash_ranges([b"slice".as_slice()]);
    for (slice, proof_hash_hex, ok) in [
        (b"slice".to_vec(), proof.clone(), true),
        (b"slice".to_vec(), proof.to_uppercase(), true),
        (b"other".to_vec(), proof.clone(), false),
        (b"slice".to_vec(), String::new(), false),
        (vec![0; 65_537], hash_ranges([[0; 65_537].as_slice()]), false),
    ] {
        let request = VerifySliceProofRequest { slice, proof_hash_hex, ..VerifySliceProofRequest::default() };
        let response: VerifySliceProofResponse = call(&world, &handler, &request).unwrap();
        assert_eq!((response.ok, response.error.is_empty()), (ok, ok), "{}", response.error);
        assert_eq!(response.observer_id, account("alpha"));
    }
}
