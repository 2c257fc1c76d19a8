//! The verifier's side: what it votes on what it is given, and what is no vote at all.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use lampkeeper_plugin_sdk::api::chain::{
    ChainError, ChainMessage, HealOpStatus, HealVerificationMessage, PortState, Rejection, RejectionReason,
    TxReceipt,
};
use lampkeeper_plugin_sdk::api::journal::{HealJournal, HealVerification, SubmissionStatus};
use lampkeeper_plugin_sdk::api::transport::{CallError, Status, StatusCode};
use lampkeeper_plugin_sdk::cascade::fixture::TicketFixture;
use lampkeeper_plugin_sdk::protocol::cascade::metadata::data_hash;
use lampkeeper_plugin_sdk::testkit::{MemoryJournal, MemoryStaging, VirtualScheduler};
use lampkeeper_proto::supernode::ServeReconstructedArtefactsResponse;
use prost::Message as _;
use support::{Answer, Bench, HEAL_OP_ID, HEALER, ME, chain, fixture, heal_op};

/// A file as an honest healer streams it.
fn stream(file: &[u8]) -> Answer {
    let chunks = file.chunks(1 << 20);
    let count = chunks.len();
    let message = |(position, chunk): (usize, &[u8])| {
        let total_size = if position == 0 { file.len() as u64 } else { 0 };
        let is_last = position + 1 == count;
        Ok(ServeReconstructedArtefactsResponse { chunk: chunk.to_vec(), total_size, is_last }.encode_to_vec())
    };
    Ok(chunks.enumerate().map(message).collect())
}

fn hash_of(file: &[u8]) -> String {
    data_hash(blake3_of(file).as_bytes())
}

fn blake3_of(file: &[u8]) -> lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey {
    lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey::of(file)
}

/// Lets a verifier look once at an operation with this claim; the votes that it submits.
fn votes(
    fixture: &TicketFixture,
    result_hash: &str,
    answers: Vec<Answer>,
    others: PortState,
) -> Vec<HealVerificationMessage> {
    let op = heal_op(HealOpStatus::HealerReported, HEALER, &["cat", ME], result_hash);
    let chain = chain(fixture, Vec::new(), vec![op.clone()])
        .heal_op(HEAL_OP_ID, Ok(op))
        .always()
        .submit_where(
            "a vote",
            |message| matches!(message, ChainMessage::HealVerification(_)),
            Ok(TxReceipt::default()),
        )
        .always();
    let bench = Bench::new(chain, fixture, answers, others);
    // A refusal becomes a no when it is met the third time: at the first, third and sixth look.
    bench.look(7);
    let is_vote = |message| match message {
        ChainMessage::HealVerification(vote) => Some(vote),
        _ => None,
    };
    bench.chain.submitted().into_iter().filter_map(is_vote).collect()
}

#[test]
fn a_vote_is_what_was_observed() {
    let fixture = fixture();
    let (right, claimed) = (fixture.file.clone(), fixture.ticket.data_hash.clone());
    let mut wrong = right.clone();
    wrong[77] ^= 1;
    let truncated: Answer = stream(&right).map(|mut messages| {
        messages.pop();
        messages
    });
    let refused = |code| Err(CallError::Refused { peer: HEALER.into(), status: Status::new(code, "no") });
    let unreachable = || Err(CallError::Unreachable { peer: HEALER.into(), reason: "refused".into() });
    let ours = || Err(CallError::Local { reason: "no sockets".into() });
    let fetch_failed = "ILlCdzdnx9TgulG604gtzFvX8wK+jQxPZtpym6ZhmI8=".to_owned();
    let lie = hash_of(&wrong);
    let (yes, no) = (Some((true, claimed.clone())), Some((false, fetch_failed)));
    // What; the claim; the healer's answers; whether others are reachable; the vote.
    type Row<'a> = (&'a str, &'a str, Vec<Answer>, PortState, Option<(bool, String)>);
    let table: Vec<Row<'_>> = vec![
        ("the file", &claimed, vec![stream(&right)], PortState::Open, yes.clone()),
        (
            "the file, at the second attempt",
            &claimed,
            vec![truncated.clone(), stream(&right)],
            PortState::Open,
            yes,
        ),
        ("another file", &claimed, vec![stream(&wrong)], PortState::Open, Some((false, lie.clone()))),
        // The healer claims what it serves, which is not the ticket's file.
        ("a consistent lie", &lie, vec![stream(&wrong)], PortState::Open, Some((false, lie.clone()))),
        (
            "a claim that it does not serve",
            &lie,
            vec![stream(&right)],
            PortState::Open,
            Some((false, claimed.clone())),
        ),
        ("a truncated stream", &claimed, vec![truncated], PortState::Open, no.clone()),
        ("another length", &claimed, vec![stream(b"short")], PortState::Open, no.clone()),
        ("a refusal that lasts", &claimed, vec![refused(StatusCode::NotFound)], PortState::Open, no.clone()),
        (
            "a refusal that does not last",
            &claimed,
            // All three attempts of the first look.
            vec![refused(StatusCode::FailedPrecondition); 3].into_iter().chain([stream(&right)]).collect(),
            PortState::Open,
            Some((true, claimed.clone())),
        ),
        (
            "a disk that fails for good",
            &claimed,
            vec![refused(StatusCode::Internal)],
            PortState::Open,
            no.clone(),
        ),
        (
            "a disk that fails for a while",
            &claimed,
            // Before the file, and in the midst of it.
            [refused(StatusCode::Internal), Ok(vec![Err(Status::new(StatusCode::Internal, "disk"))])]
                .into_iter()
                .cycle()
                .take(6)
                .chain([stream(&right)])
                .collect(),
            PortState::Open,
            Some((true, claimed.clone())),
        ),
        ("a denial", &claimed, vec![refused(StatusCode::PermissionDenied)], PortState::Open, no.clone()),
        ("a busy healer", &claimed, vec![refused(StatusCode::ResourceExhausted)], PortState::Open, None),
        ("silence", &claimed, vec![unreachable()], PortState::Open, no),
        // Ours: no vote.
        ("silence, and nobody else answers", &claimed, vec![unreachable()], PortState::Unknown, None),
        ("no sockets", &claimed, vec![ours()], PortState::Open, None),
        ("no claim", "", vec![stream(&right)], PortState::Open, None),
    ];
    for (name, result_hash, answers, others, expected) in table {
        let votes = votes(&fixture, result_hash, answers, others);
        let got: Vec<(bool, String)> =
            votes.iter().map(|vote| (vote.verified, vote.verification_hash.clone())).collect();
        assert_eq!(got, expected.into_iter().collect::<Vec<_>>(), "{name}: {votes:?}");
    }
}

#[test]
fn other_nodes_are_tried_at_whatever_addresses_they_have() {
    let fixture = fixture();
    let op = heal_op(HealOpStatus::HealerReported, HEALER, &["cat", ME], &fixture.ticket.data_hash);
    let unreachable = Err(CallError::Unreachable { peer: HEALER.into(), reason: "refused".into() });
    let bench =
        Bench::new(chain(&fixture, Vec::new(), vec![op]), &fixture, vec![unreachable], PortState::Closed);
    bench.look(1);
    // An IPv6 literal without its brackets, a port of its own or the usual one; no address at all is passed over.
    let probed = bench.transport.probed.lock().unwrap();
    let expected = [("2001:db8::7", 7000), ("2001:db8::8", 4444), ("fay", 4444)];
    assert_eq!(*probed, expected.map(|(host, port)| (host.to_owned(), port)));
}

#[test]
fn an_operation_of_others_is_left_alone() {
    let fixture = fixture();
    let op = heal_op(HealOpStatus::HealerReported, HEALER, &["cat", "dan"], &fixture.ticket.data_hash);
    let bench = Bench::new(
        chain(&fixture, Vec::new(), vec![op]),
        &fixture,
        vec![stream(&fixture.file)],
        PortState::Open,
    );
    bench.look(2);
    assert_eq!((bench.chain.submitted().len(), *bench.transport.calls.lock().unwrap()), (0, 0));
}

#[test]
fn a_restarted_verifier_does_not_vote_twice() {
    let fixture = fixture();
    let claimed = fixture.ticket.data_hash.clone();
    let already = ChainError::Rejected(Rejection {
        reason: RejectionReason::VerificationAlreadySubmitted,
        codespace: "audit".into(),
        code: 15,
        message: String::new(),
    });
    // The vote on disk; whether the file is fetched again.
    for (verified, hash, fetches) in [(true, claimed.clone(), 0), (false, "placeholder".to_owned(), 1)] {
        let journal = MemoryJournal::new();
        let row = HealVerification {
            heal_op_id: HEAL_OP_ID,
            verifier_account: ME.into(),
            verified,
            verification_hash: hash,
            status: SubmissionStatus::Pending,
            recorded_at_s: 1,
        };
        VirtualScheduler::new(0).block_on(journal.insert_verification(&row)).unwrap();
        let op = heal_op(HealOpStatus::HealerReported, HEALER, &[ME], &claimed);
        let chain = chain(&fixture, Vec::new(), vec![op.clone()])
            .heal_op(HEAL_OP_ID, Ok(op))
            .always()
            .submit_where("a vote", |_| true, Err(already.clone()));
        let answers = vec![stream(&fixture.file)];
        let bench = Bench::on(journal, MemoryStaging::new(), chain, &fixture, answers, PortState::Open);
        bench.look(3);
        let row = bench.scheduler.block_on(bench.journal.verification(HEAL_OP_ID, ME)).unwrap().unwrap();
        assert_eq!(row.status, SubmissionStatus::Submitted, "verified {verified}");
        assert_eq!(*bench.transport.calls.lock().unwrap(), fetches, "verified {verified}");
    }
}
