//! What an operator is told: every metric and event of the healing service, from runs that have to produce it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use lampkeeper_plugin_sdk::api::chain::{ChainError, ChainMessage, HealOpStatus, PortState, TxReceipt};
use lampkeeper_plugin_sdk::api::journal::{HealClaim, HealJournal, HealVerification, SubmissionStatus};
use lampkeeper_plugin_sdk::api::staging::Staging;
use lampkeeper_plugin_sdk::testkit::{
    MemoryJournal, MemoryStaging, MockChain, RecordingTelemetry, VirtualScheduler,
};
use lampkeeper_proto::supernode::ServeReconstructedArtefactsResponse;
use prost::Message as _;
use support::{
    Answer, Bench, HEAL_OP_ID, HEALER, ME, Setup, chain, chain_after, fixture, heal_op, in_epoch, stage,
};

/// A healer's run: an orphan is removed, an operation healed, claimed and published, another's claim given up.
fn healer() -> RecordingTelemetry {
    let fixture = fixture();
    let hash = &fixture.ticket.data_hash;
    let (journal, staging) = (MemoryJournal::new(), MemoryStaging::new());
    VirtualScheduler::new(0).block_on(async {
        staging.begin(99).await.unwrap();
        let claim = HealClaim {
            heal_op_id: 5,
            ticket_id: "7".into(),
            manifest_hash: hash.clone(),
            status: SubmissionStatus::Submitted,
            recorded_at_s: 1,
        };
        journal.insert_claim(&claim).await.unwrap();
    });
    let expired = heal_op(HealOpStatus::Expired, ME, &["bob"], "");
    let chain = chain(&fixture, vec![heal_op(HealOpStatus::Scheduled, ME, &["bob"], "")], Vec::new())
        .heal_op(5, Ok(expired))
        .submit_where("a claim", |message| matches!(message, ChainMessage::HealClaim(_)), {
            let (attempted, source) = ("submit".into(), "reset".into());
            Err(ChainError::Transient { attempted, source, outcome_unknown: true })
        })
        .heal_op(HEAL_OP_ID, Ok(heal_op(HealOpStatus::HealerReported, ME, &["bob"], hash)))
        .times(2)
        .heal_op(HEAL_OP_ID, Ok(heal_op(HealOpStatus::Verified, ME, &["bob"], hash)));
    let bench = Bench::on(journal, staging, chain, &fixture, Vec::new(), PortState::Open);
    // Claimed with an unknown outcome, looked up, published.
    bench.look(3);
    bench.telemetry
}

/// A verifier's run: one vote is cast, and then not again.
fn verifier(deadline_passed: bool) -> RecordingTelemetry {
    let fixture = fixture();
    let file = |chunk: &[u8], position, is_last| {
        let total_size = if position == 0 { fixture.file.len() as u64 } else { 0 };
        Ok(ServeReconstructedArtefactsResponse { chunk: chunk.to_vec(), total_size, is_last }.encode_to_vec())
    };
    let chunks: Vec<&[u8]> = fixture.file.chunks(1 << 20).collect();
    let messages =
        chunks.iter().enumerate().map(|(at, chunk)| file(chunk, at, at + 1 == chunks.len())).collect();
    let answers: Vec<Answer> = vec![Ok(messages)];
    let op = heal_op(HealOpStatus::HealerReported, HEALER, &[ME], &fixture.ticket.data_hash);
    let chain = if deadline_passed {
        let first = MockChain::builder(ME).current_epoch(Ok(in_epoch(9))).always();
        chain_after(first, &fixture, Vec::new(), vec![op])
    } else {
        chain(&fixture, Vec::new(), vec![op.clone()]).heal_op(HEAL_OP_ID, Ok(op)).always().submit_where(
            "a vote",
            |_| true,
            Ok(TxReceipt::default()),
        )
    };
    let setup = Setup { answers, ..Setup::default() };
    let bench = Bench::with(setup, MemoryJournal::new(), MemoryStaging::new(), chain, &fixture);
    bench.look(2);
    assert_eq!(
        *bench.transport.calls.lock().unwrap(),
        u32::from(!deadline_passed),
        "no fetch when it is too late"
    );
    let row: Option<HealVerification> =
        bench.scheduler.block_on(bench.journal.verification(HEAL_OP_ID, ME)).unwrap();
    assert_eq!(row.is_some(), !deadline_passed);
    bench.telemetry
}

#[test]
fn a_healer_tells_what_it_does() {
    let told = healer();
    let strategy = [("strategy", "one-symbol")];
    type Labels<'a> = &'a [(&'a str, &'a str)];
    // Counter, labels, value.
    let counters: [(&str, Labels<'_>, u64); 9] = [
        ("self_healing_orphans_removed_total", &[], 1),
        ("self_healing_reconstructions_total", &[("result", "ok")], 1),
        ("self_healing_claims_total", &[("result", "transient")], 1),
        ("self_healing_claims_total", &[("result", "executed")], 1),
        ("self_healing_reconciled_total", &[("role", "healer"), ("decision", "promote")], 1),
        ("self_healing_deduplicated_total", &[("role", "healer")], 2),
        ("self_healing_publishes_total", &[("result", "done")], 1),
        ("self_healing_cleanups_total", &[("status", "VERIFIED")], 1),
        ("self_healing_cleanups_total", &[("status", "EXPIRED")], 1),
    ];
    for (name, labels, value) in counters {
        assert_eq!(told.counter(name, labels), value, "{name} {labels:?}");
    }
    let healed = told.counter_sum("self_healing_published_bytes_total");
    assert!(healed > 0);
    assert_eq!(told.counter("self_healing_staged_bytes_total", &strategy), healed, "one holder lacked it");
    assert_eq!(told.counter("self_healing_fetched_bytes_total", &strategy), 2 * healed);
    assert_eq!(told.observations("self_healing_reconstruction_seconds", &strategy).len(), 1);
    assert_eq!(told.observations("self_healing_published_bytes_per_healed_byte", &[]), [1.0]);
    assert_eq!(told.observations("self_healing_staged_bytes_per_file_byte", &strategy).len(), 1);
    assert_eq!(told.observations("self_healing_fetched_bytes_per_file_byte", &strategy).len(), 1);
    assert_eq!(told.observations("self_healing_fetched_bytes_per_healed_byte", &strategy), [2.0]);
    for event in ["heal.started", "heal.claimed", "heal.published", "heal.dropped", "heal.failed"] {
        assert_eq!(told.events_named(event).len(), 1, "{event}");
    }
}

#[test]
fn a_verifier_tells_what_it_does() {
    let told = verifier(false);
    assert_eq!(told.counter("self_healing_votes_total", &[("result", "yes")]), 1);
    assert_eq!(told.counter("self_healing_deduplicated_total", &[("role", "verifier")]), 1);
    assert_eq!(told.observations("self_healing_fetch_seconds", &[]).len(), 1);
    assert_eq!(told.events_named("heal.voted").len(), 1);
}

#[test]
fn what_is_staged_and_claimed_at_present_is_a_gauge() {
    let fixture = fixture();
    let hash = &fixture.ticket.data_hash;
    let (journal, staging) = (MemoryJournal::new(), MemoryStaging::new());
    VirtualScheduler::new(0).block_on(async {
        let claim = HealClaim {
            heal_op_id: HEAL_OP_ID,
            ticket_id: "7".into(),
            manifest_hash: hash.clone(),
            status: SubmissionStatus::Pending,
            recorded_at_s: 1,
        };
        journal.insert_claim(&claim).await.unwrap();
        stage(&staging, &fixture, HEAL_OP_ID).await;
    });
    // The chain has taken the claim and then verifies it.
    let op = |status| Ok(heal_op(status, ME, &["bob"], hash));
    let chain = chain(&fixture, Vec::new(), Vec::new())
        .heal_op(HEAL_OP_ID, op(HealOpStatus::HealerReported))
        .times(2)
        .heal_op(HEAL_OP_ID, op(HealOpStatus::Verified));
    let bench = Bench::on(journal, staging, chain, &fixture, Vec::new(), PortState::Open);
    let gauges = || {
        let gauge = |name| bench.telemetry.gauge_value(name, &[]).unwrap();
        (
            gauge("self_healing_pending_claims"),
            gauge("self_healing_staging_bytes") > fixture.file.len() as f64,
        )
    };
    // Each look tells what it finds, and acts on it afterwards.
    bench.look(1);
    assert_eq!(gauges(), (1.0, true), "pending, and the file and a symbol are staged");
    bench.look(1);
    assert_eq!(gauges(), (0.0, true), "submitted");
    bench.look(1);
    assert_eq!(bench.telemetry.gauge_value("self_healing_staging_bytes", &[]), Some(0.0), "published");
}

#[test]
fn a_vote_of_unknown_outcome_is_counted_by_what_is_decided() {
    let fixture = fixture();
    let hash = &fixture.ticket.data_hash;
    // The vote on disk, what is decided, the vote that is cast then.
    for (verified, decision, votes) in [(true, "resubmit", "yes"), (false, "restart", "no")] {
        let journal = MemoryJournal::new();
        let row = HealVerification {
            heal_op_id: HEAL_OP_ID,
            verifier_account: ME.into(),
            verified,
            verification_hash: hash.clone(),
            status: SubmissionStatus::Pending,
            recorded_at_s: 1,
        };
        VirtualScheduler::new(0).block_on(journal.insert_verification(&row)).unwrap();
        let op = heal_op(HealOpStatus::HealerReported, HEALER, &[ME], hash);
        let chain = chain(&fixture, Vec::new(), vec![op.clone()])
            .heal_op(HEAL_OP_ID, Ok(op))
            .always()
            .submit_where("a vote", |_| true, Ok(TxReceipt::default()));
        // A healer that serves nothing.
        let setup = Setup { answers: vec![Ok(Vec::new())], ..Setup::default() };
        let bench = Bench::with(setup, journal, MemoryStaging::new(), chain, &fixture);
        bench.look(1);
        let labels = [("role", "verifier"), ("decision", decision)];
        assert_eq!(bench.telemetry.counter("self_healing_reconciled_total", &labels), 1, "{decision}");
        assert_eq!(bench.telemetry.counter("self_healing_votes_total", &[("result", votes)]), 1);
    }
}

#[test]
fn a_healer_that_is_too_late_says_so() {
    let fixture = fixture();
    let op = heal_op(HealOpStatus::Scheduled, ME, &["bob"], "");
    let first = MockChain::builder(ME).current_epoch(Ok(in_epoch(9))).always();
    let bench =
        Bench::new(chain_after(first, &fixture, vec![op], Vec::new()), &fixture, Vec::new(), PortState::Open);
    bench.look(1);
    assert_eq!(bench.telemetry.counter("self_healing_past_deadline_total", &[("role", "healer")]), 1);
    assert_eq!(*bench.strategy.calls.lock().unwrap(), 0);
}

#[test]
fn nothing_is_fetched_or_voted_after_the_deadline() {
    let told = verifier(true);
    assert_eq!(told.counter("self_healing_past_deadline_total", &[("role", "verifier")]), 2);
    assert_eq!(told.counter_sum("self_healing_votes_total"), 0);
}
