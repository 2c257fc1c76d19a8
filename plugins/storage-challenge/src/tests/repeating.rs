//! Repeating a challenge of an earlier epoch, as a recheck does (wire 6.3).

use super::support::{CHALLENGER, EPOCH, Reply, SEED, World, account, anchor, run};
use lampkeeper_plugin_sdk::api::challenge::{
    ChallengeError, ChallengeOutcome, ChallengeRequest, Challenger, Observation, RepeatedArtifact,
};
use lampkeeper_plugin_sdk::api::transport::CallError;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::transcript::ChallengedArtifact;
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};
use lampkeeper_plugin_sdk::testkit::MockChain;
use lampkeeper_proto::supernode::GetCompoundProofResponse;
use prost::Message;

/// The epoch of the challenge that is repeated.
const EARLIER: u64 = EPOCH - 1;

fn repeat(world: &World, artifact_key: String) -> Result<ChallengeOutcome, ChallengeError> {
    let chain = world.know(MockChain::builder(CHALLENGER), &[]).build();
    let challenger = world.challenger(chain, World::config());
    let draw = world.draw();
    let repeated = RepeatedArtifact { class: draw.artifact.class, ordinal: draw.ordinal, artifact_key };
    let request = ChallengeRequest {
        epoch_id: EARLIER,
        target_account: account("alpha"),
        ticket_id: "17".into(),
        bucket: Bucket::Recheck,
        repeated: Some(repeated),
    };
    run(world, challenger.challenge(request))
}

/// Bytes that hash to what the target says, and are not the artifact's: what passes with older challengers.
fn invented(_: &[u8], answer: Vec<u8>) -> Result<Vec<u8>, CallError> {
    let mut response = GetCompoundProofResponse::decode(answer.as_slice()).unwrap();
    response.range_bytes.iter_mut().for_each(|range| range.fill(1));
    response.verified_slices.clear();
    Ok(response.encode_to_vec())
}

#[test]
fn the_artifact_is_the_same_and_the_ranges_are_not_those_that_the_target_could_prepare() {
    let world = World::new();
    let draw = world.draw();
    let key = draw.artifact.key.to_string();
    let outcome = repeat(&world, key.clone()).unwrap();
    let ChallengeOutcome::Row { observation, row } = outcome else { panic!("no row: {outcome:?}") };
    assert_eq!((observation, row.result_class), (Observation::Pass, ResultClass::Pass));
    assert_eq!((row.bucket_type, row.artifact_key.as_str()), (Bucket::Recheck, key.as_str()));
    let asked = world.transport.requests.lock().unwrap()[0].clone();
    assert_eq!((asked.epoch_id, asked.artifact_key.as_str()), (EARLIER, key.as_str()));
    assert_eq!(asked.seed, SEED, "of the present epoch");
    let target = account("alpha");
    let artifact = ChallengedArtifact {
        target: &target,
        ticket_id: "17",
        class: draw.artifact.class,
        ordinal: draw.ordinal,
    };
    let then = artifact.range_offsets(&anchor(EARLIER).seed, draw.artifact.len_bytes, 256, 4).unwrap();
    let starts: Vec<_> = asked.ranges.iter().map(|range| range.start).collect();
    assert_eq!(starts.len(), then.len());
    assert!(starts.iter().all(|start| !then.contains(start)), "{starts:?} are not {then:?}");
}

#[test]
fn a_target_that_invents_bytes_does_not_pass_so_that_the_reporter_is_not_blamed() {
    let world = World::new();
    world.habit("alpha", Reply::With(invented));
    let outcome = repeat(&world, world.draw().artifact.key.to_string()).unwrap();
    let ChallengeOutcome::Row { observation, row } = outcome else { panic!("no row: {outcome:?}") };
    assert_ne!(observation, Observation::Pass);
    assert_ne!(row.result_class, ResultClass::Pass);
}

#[test]
fn an_artifact_that_the_target_need_not_hold_is_not_asked_for() {
    let world = World::new();
    for key in [ArtifactKey::of(b"another").to_string(), "no key".to_owned()] {
        let outcome = repeat(&world, key.clone()).unwrap();
        assert!(matches!(outcome, ChallengeOutcome::NotEligible { .. }), "{key}: {outcome:?}");
    }
    assert_eq!(world.calls_to("alpha"), 0);
}
