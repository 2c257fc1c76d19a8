//! The side that answers: every row of wire 3.2's table, in order.

use super::support::{
    BrokenStore, CHALLENGER, EPOCH, SEED, World, account, handler, params, public_key, serving_chain,
    supernodes, unavailable,
};
use crate::serve::CompoundProofHandler;
use lampkeeper_plugin_sdk::api::chain::{ChainError, Params};
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::store::{ArtifactStore, StoreError};
use lampkeeper_plugin_sdk::api::transport::{CallerMint, Status, StatusCode, UnaryHandler};
use lampkeeper_plugin_sdk::protocol::transcript::{ChallengedArtifact, Transcript};
use lampkeeper_plugin_sdk::protocol::verified_slice;
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket};
use lampkeeper_plugin_sdk::testkit::MockChain;
use lampkeeper_proto::supernode::{
    ByteRange, CompoundProofFailure, GetCompoundProofRequest, GetCompoundProofResponse,
};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

const LEN_BYTES: u64 = 256;

fn request(world: &World) -> GetCompoundProofRequest {
    let symbol = &world.fixture.symbols[0];
    GetCompoundProofRequest {
        challenge_id: "challenge".into(),
        epoch_id: EPOCH,
        seed: SEED.to_vec(),
        ticket_id: "17".into(),
        target_supernode_account: account("alpha"),
        challenger_account: account(CHALLENGER),
        artifact_class: 2,
        artifact_ordinal: 1,
        artifact_count: 5,
        bucket_type: 1,
        artifact_key: symbol.key.to_string(),
        artifact_size: symbol.bytes.len() as u64,
        ranges: (0..4_u64).map(|n| ByteRange { start: n * 9000, end: n * 9000 + LEN_BYTES }).collect(),
        want_verified_slices: true,
        ..GetCompoundProofRequest::default()
    }
}

fn alpha(world: &World) -> CompoundProofHandler {
    alpha_with(world, serving_chain("alpha").build())
}

fn alpha_with(world: &World, chain: Arc<MockChain>) -> CompoundProofHandler {
    handler(&world.scheduler, "alpha", Arc::new(world.stores["alpha"].clone()), chain)
}

fn call_as(
    world: &World,
    handler: &CompoundProofHandler,
    caller: &str,
    request: &GetCompoundProofRequest,
) -> Result<GetCompoundProofResponse, Status> {
    let caller = CallerMint::for_host().proved(account(caller));
    let answer = world.scheduler.block_on(handler.call(caller, request.encode_to_vec()));
    answer.map(|bytes| GetCompoundProofResponse::decode(bytes.as_slice()).unwrap())
}

fn call(
    world: &World,
    handler: &CompoundProofHandler,
    request: &GetCompoundProofRequest,
) -> Result<GetCompoundProofResponse, Status> {
    call_as(world, handler, CHALLENGER, request)
}

#[test]
fn a_right_request_is_answered_with_a_proof_and_a_signature() {
    let world = World::new();
    let request = request(&world);
    let response = call(&world, &alpha(&world), &request).unwrap();
    assert!(response.ok && response.error.is_empty(), "{}", response.error);
    assert_eq!(response.challenge_id, "challenge");
    let ranges: Vec<_> = request.ranges.iter().map(|range| range.start..range.end).collect();
    let symbol = &world.fixture.symbols[0];
    let proven = verified_slice::verify(&symbol.key, &response.verified_slices, &ranges).unwrap();
    assert_eq!(proven.ranges, response.range_bytes);
    assert_eq!(proven.len_bytes, symbol.bytes.len() as u64);

    let target = account("alpha");
    let challenged =
        ChallengedArtifact { target: &target, ticket_id: "17", class: ArtifactClass::Symbol, ordinal: 1 };
    let offsets: Vec<_> = request.ranges.iter().map(|range| range.start).collect();
    let derivation = challenged.derivation_input_hash(&SEED, &offsets, LEN_BYTES).unwrap();
    let transcript = Transcript {
        epoch_id: EPOCH,
        challenger: &account(CHALLENGER),
        target: &target,
        ticket_id: "17",
        bucket: Bucket::Recent,
        class: ArtifactClass::Symbol,
        ordinal: 1,
        artifact_key: &request.artifact_key,
        derivation_input_hash: &derivation,
        compound_proof_hash: &response.proof_hash_hex,
        observers: &[],
    };
    let signature = hex::decode(&response.recipient_signature).unwrap();
    public_key("alpha").verify(transcript.hash().unwrap().as_bytes(), &signature).unwrap();
}

#[test]
fn an_artifact_is_read_once_whatever_the_number_of_ranges() {
    let world = World::new();
    let store = &world.stores["alpha"];
    world.scheduler.block_on(store.take_checked()).unwrap();
    let request = request(&world);
    assert!(request.ranges.len() > 1 && call(&world, &alpha(&world), &request).unwrap().ok);
    let read = world.scheduler.block_on(store.take_checked()).unwrap();
    assert_eq!(read.len(), 1, "{read:?}");
    assert!(read[0].is_intact && read[0].key == world.fixture.symbols[0].key);
}

#[test]
fn what_an_older_challenger_does_not_ask_for_is_not_sent_and_epoch_0_is_an_epoch() {
    let world = World::new();
    let older = GetCompoundProofRequest { want_verified_slices: false, ..request(&world) };
    let response = call(&world, &alpha(&world), &older).unwrap();
    assert!(response.ok && response.verified_slices.is_empty());
    let first = GetCompoundProofRequest { epoch_id: 0, ..request(&world) };
    assert!(call(&world, &alpha(&world), &first).unwrap().ok);
}

/// Each case breaks one rule, and all rules that come later in wire 3.2's table; the first one decides.
#[test]
fn the_checks_come_in_the_order_of_the_table() {
    type Change = fn(&mut GetCompoundProofRequest);
    const IN_BAND: Option<StatusCode> = None;
    let too_many: Change = |request| request.ranges = vec![ByteRange { start: 9, end: 9 }; 5];
    let backwards: Change = |request| request.ranges[0] = ByteRange { start: 300, end: 300 };
    let uneven: Change = |request| request.ranges[2].end += 1;
    let outside: Change = |request| request.artifact_size = 1000;
    let too_long: Change = |request| {
        request.ranges.iter_mut().for_each(|range| range.end = range.start + 257);
    };
    let elsewhere: Change = |request| request.target_supernode_account = account("beta");
    let impostor: Change = |request| request.challenger_account = account("beta");
    let no_class: Change = |request| request.artifact_class = 7;
    let no_bucket: Change = |request| request.bucket_type = 0;
    let no_key: Change = |request| request.artifact_key = "0OIl".into();
    let not_here: Change = |request| {
        request.artifact_key =
            lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey::of(b"x").to_string()
    };
    // (what, the rule that is broken, what also is, the status or in-band, a part of the message)
    let cases: [(&str, Change, Change, Option<StatusCode>, &str); 16] = [
        (
            "1",
            |request| request.challenge_id.clear(),
            |request| request.ticket_id.clear(),
            IN_BAND,
            "challenge_id",
        ),
        ("3", |request| request.ticket_id.clear(), |request| request.ranges.clear(), IN_BAND, "ticket_id"),
        ("account", |request| request.challenger_account.clear(), too_many, IN_BAND, "challenger_account"),
        ("4", |request| request.ranges.clear(), no_class, IN_BAND, "no ranges"),
        ("5", too_many, elsewhere, Some(StatusCode::InvalidArgument), "5 ranges"),
        ("6 empty", backwards, too_long_but_first, IN_BAND, "range 0"),
        ("6 uneven", uneven, impostor, IN_BAND, "range 2"),
        ("6 outside", outside, impostor, IN_BAND, "range 1"),
        ("7", too_long, impostor, Some(StatusCode::InvalidArgument), "257 bytes"),
        ("caller", impostor, no_class, Some(StatusCode::PermissionDenied), "name of another"),
        ("target", elsewhere, no_class, Some(StatusCode::PermissionDenied), "this is not"),
        ("class", no_class, no_bucket, IN_BAND, "artifact_class"),
        ("bucket", no_bucket, no_key, IN_BAND, "bucket_type"),
        ("key", no_key, |_| (), IN_BAND, "artifact_key"),
        ("10", not_here, |_| (), IN_BAND, "not here"),
        ("long text", |request| request.ticket_id = "9".repeat(257), too_many, IN_BAND, "longer than 256"),
    ];
    fn too_long_but_first(request: &mut GetCompoundProofRequest) {
        request.ranges[1].end += 1000;
    }
    let world = World::new();
    let handler = alpha(&world);
    for (what, broken, also, status, message) in cases {
        for both in [false, true] {
            let mut request = request(&world);
            broken(&mut request);
            if both {
                also(&mut request);
            }
            let what = format!("{what}, both {both}");
            match call(&world, &handler, &request) {
                Ok(response) => {
                    assert_eq!(status, IN_BAND, "{what}: {}", response.error);
                    assert!(!response.ok && response.range_bytes.is_empty(), "{what}");
                    assert!(response.error.contains(message), "{what}: {}", response.error);
                    assert_eq!(response.challenge_id, request.challenge_id, "{what}: it echoes");
                }
                Err(refused) => {
                    assert_eq!(Some(refused.code), status, "{what}: {refused}");
                    assert!(refused.message.contains(message), "{what}: {refused}");
                }
            }
        }
    }
}

#[test]
fn nothing_is_read_for_a_request_that_is_refused() {
    let world = World::new();
    let error = StoreError::Io { attempted: "read".into(), reason: "must not be read".into() };
    let handler =
        handler(&world.scheduler, "alpha", Arc::new(BrokenStore(error)), serving_chain("alpha").build());
    let bad = GetCompoundProofRequest { bucket_type: 9, ..request(&world) };
    let response = call(&world, &handler, &bad).unwrap();
    assert_eq!(response.failure(), CompoundProofFailure::InvalidRequest);
    let response = call(&world, &handler, &request(&world)).unwrap();
    assert_eq!(response.failure(), CompoundProofFailure::Unavailable);
    assert!(!response.error.contains("must not"), "what the disk says is no peer's business");
}

#[test]
fn each_state_of_an_artifact_has_its_failure() {
    let world = World::new();
    let handler = alpha(&world);
    let asked = request(&world);
    let key = world.fixture.symbols[0].key;
    world.stores["alpha"].damage(&key);
    assert_eq!(call(&world, &handler, &asked).unwrap().failure(), CompoundProofFailure::Damaged);
    assert!(world.scheduler.block_on(world.stores["alpha"].delete(&key)).unwrap());
    assert_eq!(call(&world, &handler, &asked).unwrap().failure(), CompoundProofFailure::Missing);
    let index = &world.fixture.id_files[0];
    let far = GetCompoundProofRequest {
        artifact_key: index.key.to_string(),
        artifact_size: 1 << 30,
        ranges: vec![ByteRange { start: 1 << 29, end: (1 << 29) + LEN_BYTES }],
        ..request(&world)
    };
    let response = call(&world, &handler, &far).unwrap();
    assert_eq!(response.failure(), CompoundProofFailure::InvalidRequest, "{}", response.error);
}

#[test]
fn only_registered_supernodes_are_answered() {
    let world = World::new();
    let gone = || ChainError::NotFound { what: "the caller".into() };
    let stranger = account("stranger");
    let chain = serving_chain("alpha").supernode(&stranger, Err(gone())).times(2).build();
    let handler = alpha_with(&world, chain);
    let asked = GetCompoundProofRequest { challenger_account: stranger.clone(), ..request(&world) };
    for _ in 0..2 {
        let refused = call_as(&world, &handler, "stranger", &asked).unwrap_err();
        assert_eq!(refused.code, StatusCode::PermissionDenied);
    }
    world.scheduler.block_on(world.scheduler.sleep(Duration::from_secs(2)));
    assert!(call_as(&world, &handler, "stranger", &asked).is_err(), "it is asked about again soon");

    // One that registers a moment later is answered.
    let chain = serving_chain("alpha")
        .supernode(&stranger, Err(gone()))
        .supernode(&stranger, Ok(supernodes().remove(0)))
        .build();
    let handler = alpha_with(&world, chain);
    assert!(call_as(&world, &handler, "stranger", &asked).is_err());
    world.scheduler.block_on(world.scheduler.sleep(Duration::from_secs(2)));
    assert!(call_as(&world, &handler, "stranger", &asked).unwrap().ok);

    let chain = serving_chain_without_registry();
    let response = call(&world, &alpha_with(&world, chain), &request(&world)).unwrap();
    assert!(response.ok, "a chain that can't be asked is no reason to refuse");
}

fn serving_chain_without_registry() -> Arc<MockChain> {
    let chain = MockChain::builder("alpha").params(Ok(params())).always();
    chain.supernode(&account(CHALLENGER), Err(unavailable())).build()
}

#[test]
fn caps_follow_the_chain_and_a_target_that_can_t_ask_it_refuses_nobody_for_good() {
    let world = World::new();
    let registered = supernodes().remove(0);
    let base =
        || MockChain::builder("alpha").supernode(&account(CHALLENGER), Ok(registered.clone())).always();
    let raised = Params { storage_truth_compound_ranges_per_artifact: 6, ..params() };
    let mut six = request(&world);
    six.ranges = (0..6_u64).map(|n| ByteRange { start: n * 999, end: n * 999 + LEN_BYTES }).collect();

    // The parameter is raised while the old value is remembered.
    let chain = base().params(Ok(params())).params(Ok(raised)).build();
    let handler = alpha_with(&world, chain);
    assert!(call(&world, &handler, &request(&world)).unwrap().ok);
    world.scheduler.block_on(world.scheduler.sleep(Duration::from_secs(2)));
    assert!(call(&world, &handler, &six).unwrap().ok, "it asks again before it refuses");

    // The chain can't be asked: what fits the defaults is answered, the rest may come again.
    let handler = alpha_with(&world, base().params(Err(unavailable())).always().build());
    assert!(call(&world, &handler, &request(&world)).unwrap().ok);
    let refused = call(&world, &handler, &six).unwrap_err();
    assert_eq!(refused.code, StatusCode::Unavailable);

    // The hard cap holds whatever the chain says.
    let absurd = Params {
        storage_truth_compound_ranges_per_artifact: 60,
        storage_truth_compound_range_len_bytes: 4096,
        ..params()
    };
    let handler = alpha_with(&world, base().params(Ok(absurd)).always().build());
    let mut much = request(&world);
    much.ranges = (0..5_u64).map(|n| ByteRange { start: n * 5000, end: n * 5000 + 4096 }).collect();
    let refused = call(&world, &handler, &much).unwrap_err();
    assert_eq!(refused.code, StatusCode::InvalidArgument);
    much.ranges.pop();
    assert!(call(&world, &handler, &much).unwrap().ok, "16,384 bytes are served");
}

#[test]
fn what_is_no_request_is_refused() {
    let world = World::new();
    let caller = CallerMint::for_host().proved(account(CHALLENGER));
    let refused = world.scheduler.block_on(alpha(&world).call(caller, vec![0xff; 40])).unwrap_err();
    assert_eq!(refused.code, StatusCode::InvalidArgument);
}
