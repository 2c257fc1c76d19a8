//! The healer's answers to verifiers: every status code of wire 5.9, and the file.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use lampkeeper_plugin_sdk::api::chain::{ChainError, HealOpStatus, PortState};
use lampkeeper_plugin_sdk::api::staging::Staging;
use lampkeeper_plugin_sdk::api::transport::{Caller, CallerMint, MessageStream, Status, StatusCode};
use lampkeeper_proto::supernode::{ServeReconstructedArtefactsRequest, ServeReconstructedArtefactsResponse};
use prost::Message as _;
use support::{Bench, HEAL_OP_ID, ME, chain, fixture, heal_op, stage};

fn caller(account: &str) -> Caller {
    CallerMint::for_host().proved(account)
}

fn request(heal_op_id: u64) -> Vec<u8> {
    // The account in the request is ignored, whatever it says.
    ServeReconstructedArtefactsRequest { heal_op_id, verifier_account: "mallory".into() }.encode_to_vec()
}

fn call(bench: &Bench, account: &str, request: Vec<u8>) -> Result<Box<dyn MessageStream>, Status> {
    bench.scheduler.block_on(bench.handler().call(caller(account), request))
}

#[test]
fn the_checks_answer_with_their_codes() {
    use HealOpStatus as S;
    let fixture = fixture();
    let gone = || Err(ChainError::NotFound { what: "op".into() });
    let transient = || {
        Err(ChainError::Transient { attempted: "ask".into(), source: "reset".into(), outcome_unknown: false })
    };
    let op = |status, healer| Ok(heal_op(status, healer, &["bob", "cat"], "hash"));
    // What; the caller; the request; the chain's answer; whether something is staged; the code.
    let table = [
        ("no operation", "bob", request(0), None, true, StatusCode::InvalidArgument),
        ("no request", "bob", vec![255; 9], None, true, StatusCode::InvalidArgument),
        ("too long", "bob", vec![0; 5000], None, true, StatusCode::InvalidArgument),
        ("nobody", "", request(HEAL_OP_ID), None, true, StatusCode::Unauthenticated),
        ("unknown", "bob", request(HEAL_OP_ID), Some(gone()), true, StatusCode::NotFound),
        ("chain away", "bob", request(HEAL_OP_ID), Some(transient()), true, StatusCode::NotFound),
        (
            "not mine",
            "bob",
            request(HEAL_OP_ID),
            Some(op(S::HealerReported, "dan")),
            true,
            StatusCode::FailedPrecondition,
        ),
        (
            "too early",
            "bob",
            request(HEAL_OP_ID),
            Some(op(S::Scheduled, ME)),
            true,
            StatusCode::FailedPrecondition,
        ),
        (
            "too late",
            "bob",
            request(HEAL_OP_ID),
            Some(op(S::Verified, ME)),
            true,
            StatusCode::FailedPrecondition,
        ),
        (
            "a stranger",
            "mallory",
            request(HEAL_OP_ID),
            Some(op(S::HealerReported, ME)),
            true,
            StatusCode::PermissionDenied,
        ),
        (
            "nothing staged",
            "bob",
            request(HEAL_OP_ID),
            Some(op(S::HealerReported, ME)),
            false,
            StatusCode::NotFound,
        ),
    ];
    for (name, account, request, answer, staged, code) in table {
        let chain = chain(&fixture, Vec::new(), Vec::new());
        let chain = match answer {
            Some(answer) => chain.heal_op(HEAL_OP_ID, answer),
            None => chain,
        };
        let bench = Bench::new(chain, &fixture, Vec::new(), PortState::Open);
        if staged {
            bench.scheduler.block_on(stage(&bench.staging, &fixture, HEAL_OP_ID));
        }
        let status = call(&bench, account, request).err().unwrap_or_else(|| panic!("{name}: it was served"));
        assert_eq!(status.code, code, "{name}: {status}");
    }
}

#[test]
fn the_file_comes_in_chunks_of_a_mebibyte() {
    let fixture = fixture();
    let op = heal_op(HealOpStatus::HealerReported, ME, &["bob", "cat"], &fixture.ticket.data_hash);
    let chain = chain(&fixture, Vec::new(), Vec::new()).heal_op(HEAL_OP_ID, Ok(op)).always();
    let bench = Bench::new(chain, &fixture, Vec::new(), PortState::Open);
    bench.scheduler.block_on(stage(&bench.staging, &fixture, HEAL_OP_ID));
    let mut stream = call(&bench, "cat", request(HEAL_OP_ID)).ok().unwrap();
    let mut messages = Vec::new();
    while let Some(message) = bench.scheduler.block_on(stream.next()) {
        messages.push(ServeReconstructedArtefactsResponse::decode(&message.unwrap()[..]).unwrap());
    }
    let file: Vec<u8> = messages.iter().flat_map(|message| message.chunk.clone()).collect();
    assert!(file == fixture.file);
    let shape: Vec<(usize, u64, bool)> =
        messages.iter().map(|message| (message.chunk.len(), message.total_size, message.is_last)).collect();
    assert_eq!(shape, [(1 << 20, 3_000_000, false), (1 << 20, 0, false), (3_000_000 - (2 << 20), 0, true)]);
}

#[test]
fn no_more_than_the_limit_are_served_at_once_and_a_lost_file_ends_the_stream() {
    let fixture = fixture();
    let op = heal_op(HealOpStatus::HealerReported, ME, &["bob"], &fixture.ticket.data_hash);
    let chain = chain(&fixture, Vec::new(), Vec::new()).heal_op(HEAL_OP_ID, Ok(op)).always();
    let bench = Bench::new(chain, &fixture, Vec::new(), PortState::Open);
    bench.scheduler.block_on(stage(&bench.staging, &fixture, HEAL_OP_ID));
    let mut streams: Vec<_> =
        (0..8).map(|_| call(&bench, "bob", request(HEAL_OP_ID)).ok().unwrap()).collect();
    let status = call(&bench, "bob", request(HEAL_OP_ID)).err().unwrap();
    assert_eq!(status.code, StatusCode::ResourceExhausted);
    streams.pop();
    let mut stream = call(&bench, "bob", request(HEAL_OP_ID)).ok().unwrap();

    bench.scheduler.block_on(bench.staging.remove(HEAL_OP_ID)).unwrap();
    let broken = bench.scheduler.block_on(stream.next()).unwrap();
    assert_eq!(broken.unwrap_err().code, StatusCode::Internal);
    assert!(bench.scheduler.block_on(stream.next()).is_none());
}

#[test]
fn what_can_t_be_read_is_an_internal_error() {
    let fixture = fixture();
    let op = heal_op(HealOpStatus::HealerReported, ME, &["bob"], &fixture.ticket.data_hash);
    let chain = chain(&fixture, Vec::new(), Vec::new()).heal_op(HEAL_OP_ID, Ok(op)).always();
    let bench = Bench::new(chain, &fixture, Vec::new(), PortState::Open);
    bench.scheduler.block_on(stage(&bench.staging, &fixture, HEAL_OP_ID));
    assert!(bench.staging.damage_manifest(HEAL_OP_ID));
    let status = call(&bench, "bob", request(HEAL_OP_ID)).err().unwrap();
    assert_eq!(status.code, StatusCode::Internal);
    let counted = |result| bench.telemetry.counter("self_healing_serves_total", &[("result", result)]);
    assert_eq!((counted("internal"), counted("ok")), (1, 0));
}
