//! From a question to a row, or to none: what a target, the chain and this node itself may do meanwhile.

use super::support::{
    BrokenStore, CHALLENGER, EPOCH, NODES, Reply, World, account, handler, run, serving_chain, supernodes,
    ticket, unavailable, view,
};
use crate::ask::{Asker, Finding, Outcome, Question};
use crate::config::ProbeShape;
use lampkeeper_plugin_sdk::api::chain::{
    HealOp, HealOpStatus, Page, PageRequest, SupernodeState, TicketState,
};
use lampkeeper_plugin_sdk::api::challenge::{ChallengeError, Observation};
use lampkeeper_plugin_sdk::api::store::StoreError;
use lampkeeper_plugin_sdk::api::transport::{CallError, Status, StatusCode};
use lampkeeper_plugin_sdk::protocol::words::ResultClass;
use lampkeeper_plugin_sdk::testkit::{MockChain, VirtualScheduler};
use lampkeeper_proto::supernode::{CompoundProofFailure, GetCompoundProofResponse};
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A heal operation of the ticket that ended some blocks after the epoch was looked at, or before.
fn healed(blocks_after: i64) -> Page<HealOp> {
    let op = HealOp {
        heal_op_id: 1,
        ticket_id: "17".into(),
        status: HealOpStatus::Verified,
        updated_height: u64::try_from(view().height + blocks_after).unwrap(),
        ..HealOp::default()
    };
    Page { items: vec![op], next_key: None }
}

fn chain(world: &World) -> Arc<MockChain> {
    world.know(MockChain::builder(CHALLENGER), &["alpha"]).build()
}

fn ask_with(world: &World, asker: &Asker) -> Result<Outcome, ChallengeError> {
    let target = World::target("alpha");
    let question = world.question(&target, world.draw());
    run(world, Box::pin(asker.ask(&view(), question)))
}

fn ask(world: &World) -> Result<Outcome, ChallengeError> {
    ask_with(world, &world.asker(chain(world)))
}

fn finding(outcome: Result<Outcome, ChallengeError>) -> Finding {
    match outcome {
        Ok(Outcome::Row(finding)) => *finding,
        other => panic!("no row: {other:?}"),
    }
}

fn status(code: StatusCode) -> Result<Vec<u8>, CallError> {
    Err(CallError::Refused { peer: account("alpha"), status: Status::new(code, "no") })
}

/// The honest answer, changed.
fn changed(
    answer: Vec<u8>,
    change: impl FnOnce(&mut GetCompoundProofResponse),
) -> Result<Vec<u8>, CallError> {
    let mut response = GetCompoundProofResponse::decode(answer.as_slice()).unwrap();
    change(&mut response);
    Ok(response.encode_to_vec())
}

fn without_slices(_: &[u8], answer: Vec<u8>) -> Result<Vec<u8>, CallError> {
    changed(answer, |response| response.verified_slices.clear())
}

fn wrong_slices(_: &[u8], answer: Vec<u8>) -> Result<Vec<u8>, CallError> {
    changed(answer, |response| response.verified_slices.truncate(100))
}

fn false_length(_: &[u8], answer: Vec<u8>) -> Result<Vec<u8>, CallError> {
    changed(answer, |response| response.verified_slices = 10_u64.to_le_bytes().to_vec())
}

fn failing(failure: CompoundProofFailure) -> Vec<u8> {
    GetCompoundProofResponse { failure: failure.into(), ..GetCompoundProofResponse::default() }
        .encode_to_vec()
}

#[test]
fn a_target_that_holds_the_bytes_passes_at_once() {
    let world = World::new();
    let found = finding(ask(&world));
    assert_eq!((found.observation, found.attempts, found.proof), (Observation::Pass, 1, "verified_slice"));
    let row = &found.row;
    assert_eq!(row.result_class, ResultClass::Pass);
    assert_eq!((row.artifact_ordinal, row.artifact_count, row.details.as_str()), (1, 5, ""));
    assert_eq!(row.target_supernode_account, account("alpha"));
    assert!(!row.transcript_hash.is_empty() && !row.challenger_signature.is_empty());
}

/// (what the target does twice, the observation, the class in the row)
#[test]
fn a_target_is_asked_twice_before_anything_is_said_against_it() {
    let cases: [(&str, Reply, Observation, ResultClass); 10] = [
        ("hangs", Reply::Hang, Observation::TimedOut, ResultClass::TimeoutOrNoResponse),
        ("is down", Reply::Down, Observation::Unreachable, ResultClass::TimeoutOrNoResponse),
        ("lies", Reply::With(wrong_slices), Observation::WrongBytes, ResultClass::HashMismatch),
        (
            "states a false length",
            Reply::With(false_length),
            Observation::WrongBytes,
            ResultClass::HashMismatch,
        ),
        (
            "has nothing",
            Reply::With(|_, _| Ok(failing(CompoundProofFailure::Missing))),
            Observation::Missing,
            ResultClass::HashMismatch,
        ),
        (
            "has a broken disk",
            Reply::With(|_, _| Ok(failing(CompoundProofFailure::Unavailable))),
            Observation::TimedOut,
            ResultClass::TimeoutOrNoResponse,
        ),
        (
            "says the request is wrong",
            Reply::With(|_, _| Ok(failing(CompoundProofFailure::InvalidRequest))),
            Observation::Refused,
            ResultClass::InvalidTranscript,
        ),
        (
            "denies",
            Reply::With(|_, _| status(StatusCode::PermissionDenied)),
            Observation::Refused,
            ResultClass::InvalidTranscript,
        ),
        (
            "is overloaded",
            Reply::With(|_, _| status(StatusCode::ResourceExhausted)),
            Observation::Unreachable,
            ResultClass::TimeoutOrNoResponse,
        ),
        (
            "sends no message",
            Reply::With(|_, _| Ok(vec![0xff; 50])),
            Observation::Malformed,
            ResultClass::InvalidTranscript,
        ),
    ];
    for (what, reply, observation, class) in cases {
        let world = World::new();
        world.next_replies("alpha", [reply.clone(), reply.clone()]);
        let found = finding(ask(&world));
        assert_eq!((found.observation, found.row.result_class), (observation, class), "{what}");
        assert_eq!((found.attempts, world.calls_to("alpha")), (2, 2), "{what}");
        assert!(!found.row.details.is_empty(), "{what}: a row says what was observed");

        let world = World::new();
        world.next_replies("alpha", [reply]);
        let found = finding(ask(&world));
        assert_eq!((found.observation, found.attempts), (Observation::Pass, 2), "{what}, once");
    }
}

#[test]
fn an_older_peer_is_compared_with_an_authenticated_copy() {
    let world = World::new();
    world.habit("alpha", Reply::With(without_slices));
    let found = finding(ask(&world));
    assert_eq!((found.observation, found.proof), (Observation::Pass, "compared"));

    // Without a copy anywhere nothing can be said, either way.
    let world = World::new();
    world.habit("alpha", Reply::With(without_slices));
    world.network.remove(&world.draw().artifact.key);
    let outcome = ask(&world);
    assert!(matches!(outcome, Ok(Outcome::Undecided(ref error)) if error.is_transient()), "{outcome:?}");
    assert_eq!(world.calls_to("alpha"), 1);
}

#[test]
fn the_chain_is_read_again_before_blame() {
    let stopped = |state| {
        let mut node = supernodes().remove(1);
        node.state = state;
        node
    };
    let world = World::new();
    let healing = ticket(&world, |ticket| ticket.state = TicketState::Expired);
    let moved = {
        let mut node = supernodes().remove(1);
        node.latest_address = "elsewhere:4444".into();
        node
    };
    let alpha = account("alpha");
    let gone = || lampkeeper_plugin_sdk::api::chain::ChainError::NotFound { what: "it".into() };
    let script = || MockChain::builder(CHALLENGER);
    // What the chain says by now.
    let cases = [
        ("stopped", script().supernode(&alpha, Ok(stopped(SupernodeState::Stopped)))),
        ("penalised", script().supernode(&alpha, Ok(stopped(SupernodeState::Penalized)))),
        ("moved", script().supernode(&alpha, Ok(moved))),
        ("deregistered", script().supernode(&alpha, Err(gone()))),
        ("the ticket is no longer stored", script().ticket("17", Ok(healing))),
        ("the ticket is gone", script().ticket("17", Err(gone()))),
    ];
    for (what, script) in cases {
        let world = World::new();
        world.habit("alpha", Reply::Hang);
        let chain = world.know(script, &["alpha"]).build();
        let outcome = ask_with(&world, &world.asker(chain));
        assert!(matches!(outcome, Ok(Outcome::NotEligible(_))), "{what}: {outcome:?}");
    }
    let world = World::new();
    world.habit("alpha", Reply::Hang);
    let chain = world.know(script().supernode(&alpha, Err(unavailable())), &["alpha"]).build();
    let outcome = ask_with(&world, &world.asker(chain));
    assert!(outcome.is_err(), "a chain that can't be read is ours: {outcome:?}");
}

/// A row that says "no eligible ticket" would be refused with the whole report, if the target had this one lately.
#[test]
fn a_ticket_that_was_just_healed_is_asked_for_again() {
    for (what, blocks_after) in [("meanwhile", 2), ("just before", -29)] {
        let world = World::new();
        world.habit("alpha", Reply::Hang);
        let heals = healed(blocks_after);
        let script =
            MockChain::builder(CHALLENGER).heal_ops_by_ticket("17", PageRequest::default(), Ok(heals));
        let chain = world.know(script, &["alpha"]).build();
        let outcome = ask_with(&world, &world.asker(chain));
        let is_open = matches!(outcome, Ok(Outcome::Undecided(ref error)) if error.is_transient());
        assert!(is_open, "{what}: {outcome:?}");
    }
}

#[test]
fn an_earlier_heal_and_one_that_failed_excuse_nobody() {
    let mut failed = healed(5);
    failed.items[0].status = HealOpStatus::Failed;
    for (what, heals) in [("ended before the grace", healed(-30)), ("failed", failed)] {
        let world = World::new();
        world.habit("alpha", Reply::Hang);
        let script =
            MockChain::builder(CHALLENGER).heal_ops_by_ticket("17", PageRequest::default(), Ok(heals));
        let outcome = ask_with(&world, &world.asker(world.know(script, &["alpha"]).build()));
        assert_eq!(finding(outcome).observation, Observation::TimedOut, "{what}");
    }
}

/// Each shape asks for what it says, a loss is found whatever the shape, and the whole artifact finds one lost byte.
#[test]
fn a_probe_asks_for_one_range_or_for_the_whole_artifact() {
    // Shape, requests of a probe that passes, ranges in each.
    for (shape, requests, ranges) in
        [(ProbeShape::Ranges, 1, 4), (ProbeShape::OneRange, 1, 1), (ProbeShape::WholeArtifact, 64, 4)]
    {
        let world = World::new();
        let target = World::target("alpha");
        let question = Question { shape, ..world.question(&target, world.draw()) };
        let found = finding(run(&world, Box::pin(world.asker(chain(&world)).ask(&view(), question))));
        assert_eq!((found.observation, found.attempts), (Observation::Pass, requests), "{shape:?}");
        assert_eq!(world.calls_to("alpha"), requests as usize);
        let asked = world.transport.requests.lock().unwrap().clone();
        assert!(asked.iter().all(|request| request.ranges.len() == ranges), "{shape:?}");
        let bytes: u64 = asked.iter().flat_map(|request| &request.ranges).map(|r| r.end - r.start).sum();
        assert_eq!(bytes, u64::from(requests) * ranges as u64 * 256, "{shape:?}");
    }
    let world = World::new();
    world.next_replies(
        "alpha",
        (0..63).map(|_| Reply::Serve).chain([Reply::With(wrong_slices), Reply::With(wrong_slices)]),
    );
    let target = World::target("alpha");
    let question = Question { shape: ProbeShape::WholeArtifact, ..world.question(&target, world.draw()) };
    let found = finding(run(&world, Box::pin(world.asker(chain(&world)).ask(&view(), question))));
    assert_eq!(
        (found.observation, found.attempts),
        (Observation::WrongBytes, 65),
        "the last bytes are asked for"
    );
    assert!(found.proof_bytes > 0, "what was proven before has cost something");
}

#[test]
fn what_is_ours_is_no_row() {
    // Most of the others can't be reached either.
    let world = World::new();
    world.habit("alpha", Reply::Hang);
    world.transport.closed.lock().unwrap().extend(["beta".to_owned(), "gamma".into()]);
    let outcome = ask(&world);
    assert!(outcome.is_err(), "two of four: {outcome:?}");
    world.transport.closed.lock().unwrap().pop();
    assert_eq!(finding(ask(&world)).observation, Observation::TimedOut, "one of four");

    // Our process stood still during the call.
    let world = World::new();
    world.habit("alpha", Reply::StandStill(Duration::from_secs(60)));
    let outcome = ask(&world);
    assert!(outcome.is_err(), "{outcome:?}");

    // The call was not made.
    let world = World::new();
    world.habit("alpha", Reply::With(|_, _| Err(CallError::Local { reason: "no sockets".into() })));
    assert!(ask(&world).is_err());
    assert_eq!(world.calls_to("alpha"), 1);

    // Our key does not sign: neither a pass nor a failure becomes a row.
    for reply in [Reply::Serve, Reply::Hang] {
        let world = World::new();
        world.habit("alpha", reply);
        world.signer.works.store(false, Ordering::Relaxed);
        let outcome = ask(&world);
        assert!(outcome.is_err(), "{outcome:?}");
    }
}

#[test]
fn a_refusal_of_a_challenger_that_nobody_knows_yet_is_ours() {
    let denies = Reply::With(|_, _| status(StatusCode::PermissionDenied));
    let world = World::new();
    world.habit("alpha", denies.clone());
    let gone = lampkeeper_plugin_sdk::api::chain::ChainError::NotFound { what: "it".into() };
    let script = MockChain::builder(CHALLENGER).supernode(&account(CHALLENGER), Err(gone));
    assert!(ask_with(&world, &world.asker(world.know(script, &[]).build())).is_err());

    let world = World::new();
    world.habit("alpha", denies);
    let mut view = view();
    let mut nodes = supernodes();
    nodes[0].state_height = view.bucket_height();
    view.membership = crate::placement::Membership::new(&nodes, view.bucket_height());
    let target = World::target("alpha");
    let asker = world.asker(chain(&world));
    let outcome = run(&world, Box::pin(asker.ask(&view, world.question(&target, world.draw()))));
    assert!(outcome.is_err(), "it registered within the grace: {outcome:?}");
}

/// What an honest node with this disk earns from a challenger of the same kind.
#[test]
fn an_honest_node_with_a_broken_disk_is_not_accused_of_lying() {
    let key = World::new().draw().artifact.key;
    for (error, expected) in [
        (StoreError::Io { attempted: "read".into(), reason: "EIO".into() }, Observation::TimedOut),
        (StoreError::Unavailable { reason: "not mounted".into() }, Observation::TimedOut),
        (StoreError::Corrupt { key }, Observation::WrongBytes),
    ] {
        let mut world = World::new();
        let scheduler: &VirtualScheduler = &world.scheduler;
        let broken =
            handler(scheduler, "alpha", Arc::new(BrokenStore(error.clone())), serving_chain("alpha").build());
        let transport = Arc::get_mut(&mut world.transport).unwrap();
        transport.handlers.insert(account("alpha"), Arc::new(broken));
        let found = finding(ask(&world));
        assert_eq!(found.observation, expected, "{error}");
    }
}

#[test]
fn the_view_is_of_the_epoch_that_the_tests_speak_of() {
    assert_eq!(view().anchor.epoch_id, EPOCH);
    assert_eq!(view().supernodes.len(), NODES.len());
}
