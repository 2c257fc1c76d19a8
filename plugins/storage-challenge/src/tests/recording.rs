//! What the challenger remembers: each challenge with its end, and evidence that holds for those that failed.

use super::support::{CHALLENGER, EPOCH, Reply, World, account, run, unavailable, view};
use crate::ask::Asker;
use lampkeeper_plugin_sdk::api::challenge::{ChallengeRequest, Challenger, Observation};
use lampkeeper_plugin_sdk::api::history::{
    ChallengeEnd, HistoryFilter, HistoryJournal, KeptEvidence, RecordedChallenge, RowState,
};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::transport::CallError;
use lampkeeper_plugin_sdk::evidence::{EvidenceRecord, Verdict, transcript_hash, verify};
use lampkeeper_plugin_sdk::protocol::transcript::hash_ranges;
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};
use lampkeeper_plugin_sdk::testkit::{MockChain, TestSigner};
use lampkeeper_proto::supernode::{CompoundProofFailure, GetCompoundProofRequest, GetCompoundProofResponse};
use prost::Message;

/// An answer with zeroes that alpha has signed.
fn signed_zeroes(request: &[u8], answer: Vec<u8>) -> Result<Vec<u8>, CallError> {
    let request = GetCompoundProofRequest::decode(request).unwrap();
    let mut response = GetCompoundProofResponse::decode(answer.as_slice()).unwrap();
    response.range_bytes.iter_mut().for_each(|bytes| bytes.fill(0));
    response.proof_hash_hex = hash_ranges(response.range_bytes.iter().map(Vec::as_slice));
    let hash = transcript_hash(&request, &response.proof_hash_hex).unwrap();
    response.recipient_signature = hex::encode(TestSigner::new("alpha").sign(hash.as_bytes()).unwrap());
    response.verified_slices.clear();
    Ok(response.encode_to_vec())
}

fn missing(_: &[u8], _: Vec<u8>) -> Result<Vec<u8>, CallError> {
    let failure = CompoundProofFailure::Missing.into();
    Ok(GetCompoundProofResponse { failure, ..GetCompoundProofResponse::default() }.encode_to_vec())
}

fn garbage(_: &[u8], _: Vec<u8>) -> Result<Vec<u8>, CallError> {
    Ok(vec![0xff; 9])
}

fn asked(world: &World) -> Asker {
    let chain = world.know(MockChain::builder(CHALLENGER), &["alpha"]).build();
    let asker = world.asker(chain);
    let target = World::target("alpha");
    run(world, Box::pin(asker.ask(&view(), world.question(&target, world.draw())))).unwrap();
    run(world, Box::pin(asker.write_history(&account("alpha"), EPOCH)));
    asker
}

fn remembered(world: &World) -> Vec<RecordedChallenge> {
    world.scheduler.block_on(world.memory.challenges(&HistoryFilter::default())).unwrap()
}

fn kept(world: &World, id: &str) -> KeptEvidence {
    world.scheduler.block_on(world.memory.evidence(id)).unwrap().unwrap()
}

#[test]
fn a_pass_is_remembered_without_evidence() {
    let world = World::new();
    asked(&world);
    let all = remembered(&world);
    let [RecordedChallenge { entry, row, .. }] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(
        (entry.end, entry.result_class),
        (ChallengeEnd::Observed(Observation::Pass), ResultClass::Pass)
    );
    assert_eq!((entry.epoch_id, entry.bucket, entry.attempts), (EPOCH, Bucket::Recent, 1));
    assert_eq!((entry.proof.as_str(), &entry.evidence_id), ("verified_slice", &None));
    assert!(entry.proof_bytes > 0 && !entry.transcript_hash.is_empty());
    assert_eq!(*row, RowState::NotReported, "nobody has kept the row here");
}

/// (what the target does, what is seen, what the evidence of it is worth)
#[test]
fn every_failure_leaves_evidence_that_says_what_it_is_worth() {
    let cases: [(&str, Reply, Observation, Verdict); 5] = [
        ("signs zeroes", Reply::With(signed_zeroes), Observation::WrongBytes, Verdict::Proven),
        ("hangs", Reply::Hang, Observation::TimedOut, Verdict::WordOnly),
        ("is down", Reply::Down, Observation::Unreachable, Verdict::WordOnly),
        ("denies it", Reply::With(missing), Observation::Missing, Verdict::WordOnly),
        ("answers nonsense", Reply::With(garbage), Observation::Malformed, Verdict::WordOnly),
    ];
    for (what, reply, observation, verdict) in cases {
        let world = World::new();
        world.habit("alpha", reply);
        asked(&world);
        let all = remembered(&world);
        let [RecordedChallenge { entry, .. }] = all.as_slice() else { panic!("{what}: {all:?}") };
        assert_eq!((entry.end, entry.attempts), (ChallengeEnd::Observed(observation), 2), "{what}");
        let evidence = kept(&world, entry.evidence_id.as_deref().unwrap());
        assert_eq!((evidence.observation, evidence.is_proven), (observation, verdict == Verdict::Proven));
        let record = EvidenceRecord::from_json(&evidence.record).unwrap();
        let verification = verify(&record);
        assert_eq!(verification.verdict, verdict, "{what}: {verification:#?}");
        assert_eq!(evidence.evidence_id, record.digest(), "{what}");
        assert_eq!(record.row_transcript_hash, entry.transcript_hash, "{what}");
        assert_eq!(record.ticket_data_hash, world.fixture.ticket.data_hash, "{what}");
        assert_eq!(
            (record.target.account, record.challenger.account),
            (account("alpha"), account(CHALLENGER))
        );
    }
}

/// Nothing is held against a target because of what could not be written down, or of this node.
#[test]
fn our_own_faults_are_remembered_without_evidence() {
    let world = World::new();
    let chain = world.know(
        MockChain::builder(CHALLENGER).supernode(&account("alpha"), Err(unavailable())).always(),
        &["alpha"],
    );
    let asker = world.asker(chain.build());
    world.habit("alpha", Reply::With(missing));
    let target = World::target("alpha");
    let outcome = run(&world, Box::pin(asker.ask(&view(), world.question(&target, world.draw()))));
    assert!(outcome.is_err(), "{outcome:?}");
    run(&world, Box::pin(asker.write_history(&account("alpha"), EPOCH)));
    let all = remembered(&world);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].entry.end, &all[0].entry.evidence_id), (ChallengeEnd::Undecided, &None));
    assert!(all[0].entry.details.contains("looking at the chain again"), "{}", all[0].entry.details);
}

#[test]
fn a_repeated_challenge_is_remembered_and_old_ones_are_forgotten() {
    let world = World::new();
    world.habit("alpha", Reply::With(signed_zeroes));
    let mut config = World::config();
    (config.history_challenges_max, config.evidence_max) = (2, 1);
    let chain = world.know(MockChain::builder(CHALLENGER), &["alpha"]).build();
    let challenger = world.challenger(chain, config);
    for _ in 0..3 {
        let request = ChallengeRequest {
            epoch_id: EPOCH,
            target_account: account("alpha"),
            ticket_id: world.fixture.ticket.ticket_id.clone(),
            bucket: Bucket::Recheck,
            repeated: None,
        };
        run(&world, Box::pin(challenger.challenge(request))).unwrap();
    }
    let all = remembered(&world);
    let numbers: Vec<_> = all.iter().map(|challenge| challenge.challenge_number).collect();
    assert_eq!(numbers, [3, 2]);
    assert!(all.iter().all(|challenge| challenge.entry.bucket == Bucket::Recheck));
    let evidence = world.scheduler.block_on(world.memory.evidence_list(&HistoryFilter::default())).unwrap();
    assert_eq!(evidence.len(), 1);
    assert_eq!(all[0].entry.evidence_id.as_ref(), Some(&evidence[0].evidence_id));
}
