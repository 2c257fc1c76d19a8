//! The reporter against a scripted chain: what it submits, what it keeps, what it says.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails as loudly as the test"
)]

mod common;

use common::*;
use lampkeeper_plugin_sdk::api::chain::*;
use lampkeeper_plugin_sdk::api::history::{
    ChallengeEnd, ChallengeEntry, HistoryFilter, HistoryJournal, RowState,
};
use lampkeeper_plugin_sdk::api::journal::ProofJournal;
use lampkeeper_plugin_sdk::api::telemetry::Value;
use lampkeeper_plugin_sdk::protocol::words::Bucket;
use lampkeeper_plugin_sdk::testkit::MockChainBuilder;
use lampkeeper_plugin_sdk::testkit::conformance::sample_challenge;
use std::time::Duration;

use EnforcementMode::{Full, Shadow, Soft, Unspecified};

type Outcome = Result<TxReceipt, ChainError>;

fn executed() -> Outcome {
    Ok(TxReceipt { height: 1042, ..TxReceipt::default() })
}

/// A chain that is in the tests' epoch throughout, and has no report yet.
fn open_epoch(mode: EnforcementMode) -> MockChainBuilder {
    let chain = chain(mode).current_epoch(Ok(epoch(EPOCH))).always();
    chain.epoch_report(&own_account(), EPOCH, not_found()).always()
}

/// What submissions come to, one after the other.
fn submissions(chain: MockChainBuilder, outcomes: Vec<Outcome>) -> MockChainBuilder {
    outcomes.into_iter().fold(chain, |chain, outcome| chain.submit_where("anything", |_| true, outcome))
}

fn on_chain() -> EpochReport {
    EpochReport {
        supernode_account: own_account(),
        epoch_id: EPOCH,
        report_height: 1030,
        storage_proof_results: covering_rows(),
        ..EpochReport::default()
    }
}

#[test]
fn one_report_carries_rows_ports_and_the_true_usage() {
    let world = World::start(submissions(open_epoch(Full), vec![executed()]), &covering_rows());
    world.looks(3);
    let reports = world.reports();
    assert_eq!(reports.len(), 1, "one report an epoch");
    assert_eq!(reports[0].epoch_id, EPOCH);
    assert_eq!(reports[0].storage_proof_results, covering_rows());
    let port_states = vec![PortState::Open, PortState::Closed];
    let observation = StorageChallengeObservation { target_supernode_account: "a".to_owned(), port_states };
    assert_eq!(reports[0].storage_challenge_observations, [observation]);
    let host_report =
        HostReport { disk_usage_percent: 75.0, cascade_kademlia_db_bytes: 500.0, ..HostReport::default() };
    assert_eq!(reports[0].host_report, host_report);
    assert_eq!(world.waiting(EPOCH), [""; 0], "the rows have served");
    let event = &world.telemetry.events_named("report.submitted")[0];
    let expected = [("epoch_id", 10), ("height", 1042), ("observations", 1), ("rows", 2)];
    let expected = expected.map(|(name, value)| (name.to_owned(), Value::Integer(value)));
    assert_eq!(event.fields, expected.into_iter().collect());
    world.chain.assert_done();
}

/// What an operator sees of rows that a report has no room for, and of a report that the chain had already.
#[test]
fn throttled_rows_and_duplicates_are_counted() {
    let probes = (1..=20).map(|number| row(Bucket::Probation, &number.to_string()));
    let rows: Vec<_> = covering_rows().into_iter().chain(probes).collect();
    let world = World::start(submissions(open_epoch(Full), vec![executed()]), &rows);
    world.looks(1);
    assert_eq!(world.reports()[0].storage_proof_results.len(), 16);
    let throttled = [("reason", "throttled")];
    assert_eq!(world.telemetry.counter("report_rows_left_out_total", &throttled), 6);
    assert_eq!(world.telemetry.counter("reports_submitted_total", &[]), 1);
    assert_eq!(world.telemetry.gauge_value("report_rows_waiting", &[]), Some(0.0));

    let duplicate = vec![Err(rejected(RejectionReason::DuplicateReport))];
    let world = World::start(submissions(open_epoch(Full), duplicate), &covering_rows());
    world.looks(2);
    assert_eq!(world.telemetry.counter("reports_duplicate_total", &[]), 1);
    assert_eq!(world.telemetry.counter("reports_submitted_total", &[]), 0);
    assert_eq!(world.waiting(EPOCH), [""; 0], "the rows have served");
}

#[test]
fn every_outcome_of_a_submission_is_dealt_with() {
    let refused = |reason| Err(rejected(reason));
    let unavailable = Err(ChainError::Unavailable { reason: "no key".to_owned() });
    let bad_rows = || refused(RejectionReason::InvalidStorageProofs);
    let bad_count = || refused(RejectionReason::ArtifactCountMismatch);
    // The outcomes in turn; the tickets sent each time; whether the rows are gone afterwards; events.
    // The rows wait as RECENT "1", OLD "" (none eligible) and PROBATION "3"; they are sent in this order.
    let (all, canonical, proofs, none): (&[&str], &[&str], &[&str], &[&str]) =
        (&["1", "", "3"], &["1", ""], &["1"], &[]);
    let (submitted, rejected) = ("report.submitted", "report.skipped rejected");
    type Row<'a> = (EnforcementMode, Vec<Outcome>, Vec<&'a [&'a str]>, bool, Vec<&'a str>);
    let table: Vec<Row<'_>> = vec![
        (Shadow, vec![executed()], vec![all], true, vec![submitted]),
        (Shadow, vec![refused(RejectionReason::DuplicateReport)], vec![all], true, vec!["report.duplicate"]),
        (
            Shadow,
            vec![Err(transient(false)), executed()],
            vec![all, all],
            true,
            vec!["report.skipped not_submitted", submitted],
        ),
        (
            Shadow,
            vec![Err(transient(true)), executed()],
            vec![all, all],
            true,
            vec!["report.skipped outcome_unknown", submitted],
        ),
        (
            Shadow,
            vec![unavailable, executed()],
            vec![all, all],
            true,
            vec!["report.skipped not_submitted", submitted],
        ),
        // Refusals that do not name the rows change nothing.
        (
            Shadow,
            vec![refused(RejectionReason::InvalidPeerObservations), refused(RejectionReason::InvalidEpochId)],
            vec![all, all],
            false,
            vec![rejected],
        ),
        // Probes go first, and at once.
        (Shadow, vec![bad_rows(), executed()], vec![all, canonical], true, vec![rejected, submitted]),
        (Full, vec![bad_count(), executed()], vec![all, canonical], true, vec![rejected, submitted]),
        // Canonical rows go after three refusals more each, and never in FULL.
        (
            Soft,
            vec![bad_rows(), bad_rows(), bad_count(), bad_rows(), executed()],
            vec![all, canonical, canonical, canonical, proofs],
            true,
            vec![rejected, submitted],
        ),
        (
            Shadow,
            [vec![bad_rows(); 7], vec![executed()]].concat(),
            vec![all, canonical, canonical, canonical, proofs, proofs, proofs, none],
            true,
            vec![rejected, submitted],
        ),
        (Full, vec![bad_rows(); 9], [vec![all], vec![canonical; 8]].concat(), false, vec![rejected]),
    ];
    for (mode, outcomes, sent, gone, told) in table {
        let about = format!("{mode:?} {outcomes:?}");
        let looks = u32::try_from(outcomes.len()).unwrap();
        let rows = [row(Bucket::Recent, "1"), row(Bucket::Old, ""), row(Bucket::Probation, "3")];
        let world = World::start(submissions(open_epoch(mode), outcomes), &rows);
        world.looks(looks);
        let tickets = |report: EpochReportMessage| {
            report.storage_proof_results.into_iter().map(|row| row.ticket_id).collect::<Vec<_>>()
        };
        assert_eq!(world.reports().into_iter().map(tickets).collect::<Vec<_>>(), sent, "{about}");
        assert_eq!(world.waiting(EPOCH).is_empty(), gone, "{about}");
        assert_eq!(world.told(), told, "{about}");
        assert_eq!(world.is_healthy(), gone, "{about}");
        world.chain.assert_done();
    }
}

#[test]
fn after_new_rows_arrive_all_are_tried_again() {
    let outcomes = vec![Err(rejected(RejectionReason::InvalidStorageProofs)), executed()];
    let rows = [covering_rows(), vec![row(Bucket::Probation, "3")]].concat();
    let world = World::start(submissions(open_epoch(Shadow), outcomes), &rows);
    world.looks(1);
    world.scheduler.block_on(world.journal.append_proof_rows(EPOCH, &[row(Bucket::Probation, "4")])).unwrap();
    world.looks(1);
    assert_eq!(world.reports()[1].storage_proof_results.len(), 4);
}

#[test]
fn an_unknown_outcome_is_looked_up_before_anything_is_sent_again() {
    let chain = chain(Shadow).current_epoch(Ok(epoch(EPOCH))).always();
    let chain = chain.epoch_report(&own_account(), EPOCH, not_found());
    let chain = chain.submit_where("anything", |_| true, Err(transient(true)));
    let chain = chain.epoch_report(&own_account(), EPOCH, Ok(on_chain()));
    let world = World::start(chain, &covering_rows());
    world.looks(3);
    assert_eq!(world.reports().len(), 1);
    assert_eq!(world.waiting(EPOCH), [""; 0]);
    assert_eq!(world.told(), ["report.skipped outcome_unknown", "report.submitted"]);
    assert_eq!(world.telemetry.events_named("report.submitted")[0].fields["height"], Value::Integer(1030));
    world.chain.assert_done();
}

#[test]
fn a_crash_between_execution_and_removal_of_the_rows_is_made_good() {
    // The chain has the report; the rows are still there. Nothing is submitted, and the rows go.
    let chain = chain(Shadow).current_epoch(Ok(epoch(EPOCH))).always();
    let chain = chain.epoch_report(&own_account(), EPOCH, Ok(on_chain()));
    let world = World::start(chain, &covering_rows());
    world.looks(3);
    assert_eq!(world.waiting(EPOCH), [""; 0]);
    assert_eq!(world.told(), ["report.submitted"], "it is told, since nobody else did");
    world.chain.assert_done();
}

#[test]
fn a_report_waits_for_rows_as_long_as_it_may() {
    // Mode, whether challenges are on, share of the epoch that has passed, rows, whether it reports, events.
    let half = || vec![row(Bucket::Recent, "1")];
    let (waits, late) = ("report.skipped coverage_incomplete", "report.skipped coverage_incomplete_late");
    let submitted = "report.submitted";
    let table = [
        (Full, true, 1, vec![], false, waits),
        (Full, true, 1, half(), false, waits),
        (Full, true, 80, half(), false, waits),
        (Full, true, 81, half(), false, late), // and the chain would refuse it without them
        (Full, true, 100, half(), false, late),
        (Full, false, 100, vec![], false, late),
        (Full, true, 1, covering_rows(), true, submitted),
        (Shadow, true, 49, half(), false, waits),
        (Shadow, true, 50, half(), true, submitted),
        (Soft, true, 1, vec![], false, waits),
        (Soft, true, 1, covering_rows(), true, submitted),
        (Soft, false, 1, vec![], true, submitted), // nobody challenges
        (Unspecified, true, 1, vec![], true, submitted),
    ];
    for (mode, sc_enabled, percent, rows, reports, told) in table {
        let about = format!("{mode:?}, {percent} %, {} rows", rows.len());
        let chain = MockChainBuilder::status(
            open_epoch_with(Params { sc_enabled, ..params(mode) }),
            Ok(status_at(percent)),
        );
        let chain = chain.always().submit_where("anything", |_| true, executed()).always();
        let world = World::start(chain, &rows);
        world.looks(4);
        assert_eq!(world.reports().len(), usize::from(reports), "{about}");
        assert_eq!(world.told(), [told], "{about}: once, not at every look");
        assert_eq!(world.waiting(EPOCH).len(), if reports { 0 } else { rows.len() }, "{about}");
        assert_eq!(world.is_healthy(), told != late, "{about}: waiting is no trouble until it is late");
    }
}

/// As [`open_epoch`], with these parameters.
fn open_epoch_with(params: Params) -> MockChainBuilder {
    let chain = lampkeeper_plugin_sdk::testkit::MockChain::builder(&own_account());
    let chain = chain.params(Ok(params)).always().current_epoch(Ok(epoch(EPOCH))).always();
    let anchor = EpochAnchor { epoch_id: EPOCH, ..EpochAnchor::default() };
    let chain = chain.epoch_anchor(EPOCH, Ok(anchor)).always();
    let chain = chain.assigned_targets(&own_account(), EPOCH, Ok(assigned(&["a"]))).always();
    let chain = chain.supernode("a", Ok(Supernode::default())).always();
    chain.epoch_report(&own_account(), EPOCH, not_found()).always()
}

#[test]
fn without_knowing_the_mode_nothing_is_reported() {
    let own = own_account();
    let anchor = EpochAnchor { epoch_id: EPOCH, ..EpochAnchor::default() };
    let chain = lampkeeper_plugin_sdk::testkit::MockChain::builder(&own);
    let chain = chain.current_epoch(Ok(epoch(EPOCH))).always().epoch_anchor(EPOCH, Ok(anchor)).always();
    let chain = chain.assigned_targets(&own, EPOCH, Ok(assigned(&["a"]))).always();
    let chain = chain.epoch_report(&own, EPOCH, not_found()).always();
    let chain = chain.params(Err(transient(false))).times(2).params(Ok(params(Full)));
    let chain = chain.supernode("a", not_found()).submit_where("anything", |_| true, executed());
    let world = World::start(chain, &covering_rows());
    world.looks(2);
    assert_eq!((world.reports().len(), world.waiting(EPOCH).len()), (0, 2));
    assert!(!world.is_healthy());
    world.looks(1);
    assert_eq!(world.told(), ["report.skipped mode_unknown", "report.submitted"]);
    let states = &world.reports()[0].storage_challenge_observations[0].port_states;
    assert_eq!(
        *states,
        [PortState::Unknown; 2],
        "an address that can't be read says nothing about the target"
    );
    world.chain.assert_done();
}

#[test]
fn what_the_chain_does_not_say_is_waited_for() {
    let own = own_account();
    let builder = || lampkeeper_plugin_sdk::testkit::MockChain::builder(&own);
    let at = |chain: MockChainBuilder| chain.current_epoch(Ok(epoch(EPOCH))).always();
    let anchor = |epoch_id| Ok(EpochAnchor { epoch_id, ..EpochAnchor::default() });
    let anchored = || at(builder()).epoch_anchor(EPOCH, anchor(EPOCH)).always();
    let unreported = || anchored().epoch_report(&own, EPOCH, not_found()).always();
    let unreadable = "report.skipped chain_unreadable";
    let table = [
        ("the epoch", builder().current_epoch(Err(transient(false))).always(), vec![]),
        ("the anchor", at(builder()).epoch_anchor(EPOCH, not_found()).always(), vec![unreadable]),
        ("the right anchor", at(builder()).epoch_anchor(EPOCH, anchor(9)).always(), vec![unreadable]),
        (
            "the report",
            anchored().epoch_report(&own, EPOCH, Err(transient(false))).always(),
            vec![unreadable],
        ),
        (
            "the targets",
            unreported().assigned_targets(&own, EPOCH, Err(transient(false))).always(),
            vec![unreadable],
        ),
        (
            "this node",
            unreported().assigned_targets(&own, EPOCH, not_found()).always(),
            vec!["report.skipped not_registered"],
        ),
    ];
    for (about, chain, told) in table {
        let world = World::start(chain, &covering_rows());
        world.looks(3);
        assert_eq!(world.told(), told, "{about}");
        assert_eq!(world.waiting(EPOCH).len(), 2, "{about}: rows stay");
        assert!(!world.is_healthy(), "{about}");
    }
}

#[test]
fn rows_and_reports_of_past_epochs_are_accounted_for() {
    let own = own_account();
    let chain = chain(Full).status(Ok(status_at(10))).always();
    let chain = chain.current_epoch(Ok(epoch(EPOCH))).times(2).current_epoch(Ok(epoch(EPOCH + 1))).always();
    let chain = chain.epoch_report(&own, EPOCH, not_found()).always();
    let chain = chain.epoch_anchor(EPOCH + 1, not_found()).always();
    let world = World::start(chain, &[row(Bucket::Recent, "1")]);
    world.scheduler.block_on(world.journal.append_proof_rows(EPOCH - 1, &covering_rows())).unwrap();
    world.scheduler.block_on(world.journal.append_proof_rows(EPOCH + 1, &covering_rows())).unwrap();
    world.looks(2);
    assert_eq!((world.waiting(EPOCH - 1).len(), world.waiting(EPOCH).len()), (0, 1));
    assert_eq!(world.telemetry.counter("report_rows_expired_total", &[]), 2);
    world.looks(2);
    assert_eq!((world.waiting(EPOCH).len(), world.waiting(EPOCH + 1).len()), (0, 2));
    assert_eq!(world.telemetry.counter("report_rows_expired_total", &[]), 3);
    let told = [
        "report.skipped coverage_incomplete",
        "report.skipped epoch_ended",
        "report.skipped chain_unreadable",
    ];
    assert_eq!(world.told(), told);
}

#[test]
fn ports_are_probed_side_by_side_with_a_limit() {
    let targets: Vec<String> = (0..20).map(|i| format!("t{i:02}")).collect();
    let names: Vec<&str> = targets.iter().map(String::as_str).collect();
    let assigned = AssignedTargets {
        required_open_ports: vec![4444, 0, 70_000],
        ..assigned(&[&names[..], &["", " t00 ", &own_account()]].concat())
    };
    let own = own_account();
    let anchor = EpochAnchor { epoch_id: EPOCH, ..EpochAnchor::default() };
    let chain = lampkeeper_plugin_sdk::testkit::MockChain::builder(&own);
    let chain = chain.current_epoch(Ok(epoch(EPOCH))).always().epoch_anchor(EPOCH, Ok(anchor)).always();
    let chain = chain.assigned_targets(&own, EPOCH, Ok(assigned)).epoch_report(&own, EPOCH, not_found());
    let chain = chain.params(Ok(params(Unspecified))).submit_where("anything", |_| true, executed());
    let chain = targets.iter().fold(chain, |chain, target| {
        let latest_address = format!("{target}.example:4444");
        chain.supernode(target, Ok(Supernode { latest_address, ..Supernode::default() }))
    });
    let world = World::prepare(chain, &[]);
    for (target, port) in
        [("t00", Port::Is(PortState::Open)), ("t01", Port::Is(PortState::Unknown)), ("t02", Port::Hangs)]
    {
        world.transport.ports.lock().unwrap().insert((format!("{target}.example"), 4444), port);
    }
    world.run();
    world.scheduler.run_for(Duration::from_millis(2_500));
    let observations = &world.reports()[0].storage_challenge_observations;
    let observed: Vec<_> = observations.iter().map(|seen| seen.target_supernode_account.as_str()).collect();
    assert_eq!(observed, names, "each target once, in the chain's order");
    let unknown = PortState::Unknown;
    // Open; not to be told; no answer within two seconds; refused. The other two ports are none.
    let expected =
        [PortState::Open, unknown, unknown, PortState::Closed].map(|state| vec![state, unknown, unknown]);
    let states: Vec<_> = observations.iter().take(4).map(|seen| seen.port_states.clone()).collect();
    assert_eq!(states, expected);
    assert_eq!(world.transport.most_at_once(), 8);
    assert_eq!(world.transport.probed.lock().unwrap().len(), 20);
}

#[test]
fn an_unknown_usage_holds_the_report_until_late_and_a_known_one_is_remembered() {
    let chain = |percent| {
        let chain = open_epoch(Shadow).status(Ok(status_at(percent))).always();
        chain.submit_where("anything", |_| true, executed()).always()
    };
    for (percent, told) in [(80, "report.skipped usage_unknown"), (81, "report.submitted")] {
        let world = World::prepare(chain(percent), &covering_rows());
        *world.store.usage.lock().unwrap() = None;
        world.run();
        world.looks(2);
        assert_eq!(world.told(), [told], "{percent} %");
        let host_reports: Vec<_> = world.reports().into_iter().map(|report| report.host_report).collect();
        assert!(host_reports.iter().all(|host_report| *host_report == HostReport::default()));
    }
    let outcomes = vec![Err(transient(false)), executed()];
    let world = World::start(submissions(open_epoch(Shadow), outcomes), &covering_rows());
    world.looks(1);
    *world.store.usage.lock().unwrap() = None;
    world.looks(1);
    assert_eq!(world.reports()[1].host_report, world.reports()[0].host_report);
}

/// The memory of challenges learns which rows the chain has: from its answer, or from the report that is there.
#[test]
fn reported_rows_are_remembered_as_such() {
    let hashed = |hash: &str, row| StorageProofResult { transcript_hash: hash.to_owned(), ..row };
    let rows = vec![hashed("aa", row(Bucket::Recent, "1")), hashed("bb", row(Bucket::Old, "2"))];
    let there = EpochReport { storage_proof_results: rows[..1].to_vec(), ..on_chain() };
    let present = chain(Full).current_epoch(Ok(epoch(EPOCH))).always();
    let table = [
        (
            submissions(open_epoch(Full), vec![executed()]),
            [RowState::NotReported, RowState::Reported, RowState::Reported],
        ),
        (
            present.epoch_report(&own_account(), EPOCH, Ok(there)),
            [RowState::NotReported, RowState::NotReported, RowState::Reported],
        ),
    ];
    for (chain, expected) in table {
        let world = World::prepare(chain, &rows);
        let entries = ["aa", "bb", "of a probe that passed"].map(|hash| ChallengeEntry {
            transcript_hash: hash.to_owned(),
            ..sample_challenge(EPOCH, "a", ChallengeEnd::NotEligible)
        });
        world.scheduler.block_on(world.journal.record_challenges(&entries, &[])).unwrap();
        world.run();
        world.looks(2);
        let challenges = world.scheduler.block_on(world.journal.challenges(&HistoryFilter::default()));
        let states: Vec<_> = challenges.unwrap().into_iter().map(|challenge| challenge.row).collect();
        assert_eq!(states, expected, "the latest first");
    }
}

#[test]
fn the_descriptor_says_what_the_plugin_needs() {
    let descriptor = lampkeeper_epoch_reporter::descriptor();
    assert_eq!(descriptor.id, "epoch-reporter");
    assert!(descriptor.config_schema.contains("wait_for_rows_percent"));
}
