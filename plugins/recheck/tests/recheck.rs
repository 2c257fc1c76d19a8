//! Rechecks against a chain in memory: what is found, what is asked of whom, what reaches the chain, what is kept.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails as loudly as the test"
)]

mod common;

use common::*;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::*;
use lampkeeper_plugin_sdk::api::challenge::{
    ChallengeError, ChallengeOutcome, ChallengeRequest, Observation, RepeatedArtifact,
};
use lampkeeper_plugin_sdk::api::journal::{RecheckJournal, SubmissionStatus};
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::service::Health;
use lampkeeper_plugin_sdk::futures::future::join;
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};
use std::time::Duration;

impl World {
    /// Starts the plugin and lets it look once.
    fn look_once(&self, config: &str) {
        let service = self.service(config);
        self.start(&service);
        self.first_look();
        assert_eq!(self.scheduler.panics(), [], "a task panicked");
    }

    /// Epochs and tickets that were challenged, in order.
    fn challenged(&self) -> Vec<(u64, String)> {
        let asked = self.challenger.asked.lock().unwrap();
        asked.iter().map(|request| (request.epoch_id, request.ticket_id.clone())).collect()
    }

    /// The status of the journal's evidence, if there is any.
    fn status(&self, epoch_id: u64, ticket_id: &str) -> Option<SubmissionStatus> {
        let recheck = self.scheduler.block_on(self.journal.recheck(epoch_id, ticket_id)).unwrap();
        recheck.map(|submission| submission.status)
    }

    fn attempts(&self, epoch_id: u64, ticket_id: &str) -> u32 {
        let now_s = self.scheduler.wall_clock_ms() / 1000;
        let failures =
            self.scheduler.block_on(self.journal.recheck_failures(epoch_id, ticket_id, now_s)).unwrap();
        failures.map_or(0, |failures| failures.attempts)
    }
}

fn epochs(list: &[(u64, &str)]) -> Vec<(u64, String)> {
    list.iter().map(|(epoch_id, ticket_id)| (*epoch_id, (*ticket_id).to_owned())).collect()
}

#[test]
fn a_failure_is_challenged_again_and_the_outcome_submitted() {
    let world = World::new();
    world.accuse("reporter", 8, "target", "7");
    world.look_once("{}");
    let asked = world.challenger.asked.lock().unwrap().clone();
    let repeated =
        RepeatedArtifact { class: ArtifactClass::Symbol, ordinal: 3, artifact_key: "artifact".to_owned() };
    let expected = ChallengeRequest {
        epoch_id: 8,
        target_account: "target".to_owned(),
        ticket_id: "7".to_owned(),
        bucket: Bucket::Recheck,
        repeated: Some(repeated),
    };
    assert_eq!(asked, [expected]);
    let submitted = world.chain.state().submitted.clone();
    let expected = RecheckEvidenceMessage {
        epoch_id: 8,
        challenged_supernode_account: "target".to_owned(),
        ticket_id: "7".to_owned(),
        challenged_result_transcript_hash: failure("reporter", 8, "target", "7").transcript_hash,
        recheck_transcript_hash: "recheck of 7 in 8".to_owned(),
        recheck_result_class: ResultClass::Pass,
        details: "recheck: PASS".to_owned(),
    };
    assert_eq!(submitted, [expected]);
    assert_eq!(world.status(8, "7"), Some(SubmissionStatus::Submitted));
    let event = &world.telemetry.events_named("recheck.submitted")[0];
    let fields: Vec<_> = event.fields.keys().map(String::as_str).collect();
    assert_eq!(fields, ["class", "epoch_id", "height", "target", "ticket_id"]);
    world.next_look();
    assert_eq!(world.challenged().len(), 1, "once for each epoch and ticket");
}

#[test]
fn candidates_are_taken_in_order_one_for_each_epoch_and_ticket() {
    let world = World::new();
    let own = account_of("own");
    let rows = |reporter: &str, epoch_id: u64, about: &[(&str, &str)]| {
        let rows = about.iter().map(|(target, ticket)| failure(reporter, epoch_id, target, ticket)).collect();
        world.report(reporter, epoch_id, rows);
    };
    rows("a", 9, &[("t2", "5"), ("t1", "5"), ("t1", "4")]); // ticket 5 twice: the smaller target counts
    rows("b", 9, &[("t0", "6"), (&own, "1")]); // this node does not judge itself
    rows("a", 2, &[("t1", "5")]); // the same ticket in another epoch
    rows("a", 1, &[("t1", "9")]); // before the window
    rows("own", 8, &[("t1", "8")]); // this node's own report
    world.look_once(r#"{"max_per_tick": 100}"#);
    assert_eq!(world.challenged(), epochs(&[(9, "4"), (9, "5"), (9, "6"), (2, "5")]));
    let targets: Vec<_> =
        world.challenger.asked.lock().unwrap().iter().map(|request| request.target_account.clone()).collect();
    assert_eq!(targets, ["t1", "t1", "t0", "t1"]);
    assert!(world.chain.state().report_queries.iter().all(|(_, reporter)| *reporter != own));
}

#[test]
fn a_look_stops_when_it_has_enough_and_goes_on_at_the_next() {
    let world = World::new();
    let tickets: Vec<String> = (0..12).map(|i| format!("{i:02}")).collect();
    world.report("a", 9, tickets.iter().map(|ticket| failure("a", 9, "t", ticket)).collect());
    world.accuse("b", 8, "t", "older");
    world.look_once("{}");
    assert_eq!(world.challenged().len(), 5);
    assert!(
        world.chain.state().report_queries.iter().all(|(epoch_id, _)| *epoch_id == 9),
        "no need to read further"
    );
    world.next_look();
    world.next_look();
    assert_eq!(world.challenged().len(), 13);
    assert_eq!(world.challenged()[12], (8, "older".to_owned()));
}

#[test]
fn closed_reports_are_asked_for_once_and_open_ones_until_they_are_there() {
    let world = World::new();
    world.report("early", 9, Vec::new());
    let late = world.register("late"); // has reported in no epoch
    let asked = || std::mem::take(&mut world.chain.state().report_queries).len();
    world.look_once(r#"{"lookback_epochs": 3}"#);
    assert_eq!(asked(), 2 * 4, "two reporters, three closed epochs and the open one");
    world.next_look();
    assert_eq!(asked(), 1, "only who has not reported in the open epoch");
    world.report("late", 9, vec![failure("late", 9, "t", "7")]);
    world.next_look();
    assert_eq!((asked(), world.challenged()), (1, epochs(&[(9, "7")])));
    world.next_look();
    assert_eq!(asked(), 0);
    world.chain.state().epoch_id = 10;
    world.next_look();
    assert_eq!(asked(), 2, "the new epoch; the one before needs nothing");
    world.chain.state().reports.retain(|(epoch_id, _), _| *epoch_id != 10);
    world.chain.state().epoch_id = 11;
    world.next_look();
    let mut last = std::mem::take(&mut world.chain.state().report_queries);
    last.sort();
    let mut expected = vec![];
    for epoch_id in [10, 11] {
        expected.extend([late.clone(), account_of("early")].map(|account| (epoch_id, account)));
    }
    expected.sort();
    assert_eq!(last, expected, "an open epoch's silence is asked about once more after its close");
}

#[test]
fn every_page_of_supernodes_is_read() {
    let world = World::new();
    for i in 0..1_100 {
        world.chain.state().supernodes.push(format!("filler {i:04}"));
    }
    let last = world.register("the last one");
    world.accuse("the last one", 9, "t", "7");
    world.chain.state().supernodes.retain(|account| *account != last);
    world.chain.state().supernodes.push(last);
    world.look_once("{}");
    assert_eq!(world.chain.state().page_queries, 3);
    assert_eq!(world.challenged(), epochs(&[(9, "7")]));
}

#[test]
fn rows_that_do_not_verify_are_counted_once_and_come_last_or_not_at_all() {
    type Change = fn(&mut StorageProofResult);
    let table: [(&str, Change); 5] = [
        ("malformed", |row| row.artifact_key.clear()),
        ("transcript", |row| row.artifact_ordinal += 1),
        ("transcript", |row| row.derivation_input_hash.clear()),
        ("signature", |row| row.challenger_signature = "00".repeat(64)),
        ("signature", |row| row.challenger_signature = "no hex".to_owned()),
    ];
    for (reason, change) in table {
        for wanted in [false, true] {
            let world = World::new();
            let mut row = failure("liar", 9, "t", "7");
            change(&mut row);
            let mut alone = failure("liar", 9, "t", "8");
            change(&mut alone);
            world.report("liar", 9, vec![row, alone]);
            world.accuse("honest", 9, "t", "7");
            world.look_once(&format!(r#"{{"recheck_unverified_rows": {wanted}, "max_per_tick": 1}}"#));
            world.next_look();
            world.next_look();
            let is_rechecked = wanted && reason != "malformed";
            let expected: &[_] = if is_rechecked { &[(9, "7"), (9, "8")] } else { &[(9, "7")] };
            assert_eq!(world.challenged(), epochs(expected), "{reason}, wanted: {wanted}");
            let counted = world.telemetry.counter("recheck_rows_unverified_total", &[("reason", reason)]);
            assert!((1..=2).contains(&counted), "{reason}: each counted once, {counted}");
            let challenged = &world.chain.state().submitted[0].challenged_result_transcript_hash;
            let honest = failure("honest", 9, "t", "7").transcript_hash;
            assert_eq!(*challenged, honest, "{reason}, wanted: {wanted}: a claim that verifies comes first");
        }
    }
    let world = World::new();
    world.accuse("keyless", 9, "t", "7");
    world.chain.state().accounts.clear();
    world.look_once(r#"{"recheck_unverified_rows": false}"#);
    assert!(world.challenged().is_empty());
    assert_eq!(world.telemetry.counter("recheck_rows_unverified_total", &[("reason", "key")]), 1);
}

#[test]
fn a_reporter_that_cannot_be_read_harms_nobody_else() {
    let world = World::new();
    world.accuse("a", 9, "t", "7");
    world.accuse("b", 8, "t", "6");
    let broken = world.register("broken");
    world.chain.state().unreadable.push(broken);
    world.look_once("{}");
    assert_eq!(world.challenged(), epochs(&[(9, "7"), (8, "6")]));
    assert_eq!(world.telemetry.counter("recheck_reporter_failures_total", &[]), 8, "in each epoch");
    world.accuse("broken", 8, "t", "5");
    world.chain.state().unreadable.clear();
    world.next_look();
    assert_eq!(world.challenged().last(), Some(&(8, "5".to_owned())), "it is asked again");
}

#[test]
fn a_chain_that_answers_nothing_is_not_asked_by_the_thousand() {
    let world = World::new();
    for i in 0..200 {
        let account = world.register(&format!("node {i}"));
        world.chain.state().unreadable.push(account);
    }
    world.look_once("{}");
    let asked = world.chain.state().report_queries.len();
    assert!(asked < 100, "{asked} queries");
}

#[test]
fn outcomes_become_evidence_failures_or_nothing() {
    let ours = |_: &ChallengeRequest| -> Result<ChallengeOutcome, ChallengeError> {
        Err(ChallengeError::Ours { stage: "reading".to_owned(), reason: "disk".to_owned(), transient: true })
    };
    let table: [(&str, Answer, Option<ResultClass>, &str); 8] = [
        (
            "pass",
            |request| Ok(row(request, Observation::Pass, ResultClass::Pass)),
            Some(ResultClass::Pass),
            "",
        ),
        (
            "wrong bytes",
            |request| Ok(row(request, Observation::WrongBytes, ResultClass::HashMismatch)),
            Some(ResultClass::RecheckConfirmedFail),
            "",
        ),
        (
            "silence",
            |request| Ok(row(request, Observation::TimedOut, ResultClass::TimeoutOrNoResponse)),
            Some(ResultClass::TimeoutOrNoResponse),
            "",
        ),
        (
            "nonsense",
            |request| Ok(row(request, Observation::Malformed, ResultClass::InvalidTranscript)),
            Some(ResultClass::InvalidTranscript),
            "",
        ),
        (
            "healed",
            |_| Ok(ChallengeOutcome::NotEligible { reason: "healed".to_owned() }),
            None,
            "not_eligible",
        ),
        ("ours", ours, None, "challenge"),
        (
            "no ticket",
            |request| Ok(row(request, Observation::Malformed, ResultClass::NoEligibleTicket)),
            None,
            "outcome",
        ),
        (
            "another ticket",
            |request| {
                let other = ChallengeRequest { ticket_id: "other".to_owned(), ..request.clone() };
                Ok(row(&other, Observation::Pass, ResultClass::Pass))
            },
            None,
            "outcome",
        ),
    ];
    for (about, answer, class, stage) in table {
        let world = World::new();
        world.accuse("a", 9, "t", "7");
        *world.challenger.answer.lock().unwrap() = answer;
        world.look_once("{}");
        let submitted: Vec<_> =
            world.chain.state().submitted.iter().map(|sent| sent.recheck_result_class).collect();
        assert_eq!(submitted, class.into_iter().collect::<Vec<_>>(), "{about}");
        let failed = u32::from(class.is_none());
        assert_eq!(world.attempts(9, "7"), failed, "{about}");
        assert_eq!(
            world.telemetry.counter("recheck_failures_total", &[("stage", stage)]),
            u64::from(failed),
            "{about}"
        );
        assert_eq!(world.telemetry.events_named("recheck.failed").len() as u32, failed, "{about}");
    }
}

#[test]
fn a_ticket_that_keeps_failing_is_left_alone_for_a_while() {
    let world = World::new();
    world.accuse("a", 9, "t", "7");
    *world.challenger.answer.lock().unwrap() = |_| {
        Err(ChallengeError::Ours { stage: "disk".to_owned(), reason: "full".to_owned(), transient: true })
    };
    world.look_once("{}");
    (0..10).for_each(|_| world.next_look());
    assert_eq!(world.challenged().len(), 3, "the budget");
    world.scheduler.run_for(Duration::from_secs(15 * 60));
    assert_eq!(world.challenged().len(), 6, "and another one when the memory has lapsed");
}

#[test]
fn every_outcome_of_a_submission_is_dealt_with() {
    let refused = |reason| Err(rejected(reason));
    let unavailable = || Err(ChainError::Unavailable { reason: "no key".to_owned() });
    let submitted = Some(SubmissionStatus::Submitted);
    let pending = Some(SubmissionStatus::Pending);
    // What the first submission comes to; the journal's row after the first look and after the second, for which the
    // chain is well again; submissions; challenges; attempts counted after the first look.
    let table = [
        (Ok(TxReceipt::default()), submitted, submitted, 1, 1, 0),
        (refused(RejectionReason::RecheckAlreadySubmitted), submitted, submitted, 1, 1, 0),
        (Err(transient(true)), pending, submitted, 2, 1, 1),
        (Err(transient(false)), pending, submitted, 2, 1, 1),
        (unavailable(), pending, submitted, 2, 1, 1),
        // Somebody else was first: never again.
        (refused(RejectionReason::InvalidRecheckEvidence), None, None, 1, 1, 3),
        (refused(RejectionReason::InvalidEpochId), None, None, 1, 1, 3),
        // Anything else is tried again from the start, within the budget.
        (refused(RejectionReason::InsufficientFunds), None, submitted, 2, 2, 1),
        (refused(RejectionReason::ReporterNotFound), None, submitted, 2, 2, 1),
    ];
    for (outcome, first, second, submissions, challenges, attempts) in table {
        let about = format!("{outcome:?}");
        let world = World::new();
        world.accuse("a", 9, "t", "7");
        world.chain.state().outcomes.push_back(outcome);
        world.look_once("{}");
        assert_eq!(world.status(9, "7"), first, "{about}");
        assert_eq!(world.attempts(9, "7"), attempts, "{about}");
        world.next_look();
        assert_eq!(world.status(9, "7"), second, "{about}");
        let sent = world.chain.state().submitted.clone();
        assert_eq!((sent.len(), world.challenged().len()), (submissions, challenges), "{about}");
        assert!(sent.iter().all(|message| *message == sent[0]), "{about}: the same message each time");
        // A refusal is remembered for longer than a failure.
        world.scheduler.run_for(Duration::from_secs(3600));
        assert_eq!(world.challenged().len(), challenges, "{about}");
    }
}

#[test]
fn a_crash_between_submission_and_mark_is_made_good() {
    let world = World::new();
    world.accuse("a", 9, "t", "7");
    world.chain.state().hangs = true; // executed, but the answer never comes
    world.look_once("{}");
    assert_eq!(world.scheduler.kill_group("node"), 1);
    assert_eq!(world.status(9, "7"), Some(SubmissionStatus::Pending));
    {
        let mut state = world.chain.state();
        state.hangs = false;
        state.outcomes.push_back(Err(rejected(RejectionReason::RecheckAlreadySubmitted)));
    }
    world.look_once("{}");
    assert_eq!(world.status(9, "7"), Some(SubmissionStatus::Submitted));
    assert_eq!(world.challenged().len(), 1, "nothing is challenged twice");
    assert_eq!(world.telemetry.counter("recheck_already_submitted_total", &[]), 1);
}

#[test]
fn a_shutdown_does_not_wait_for_an_answer() {
    let world = World::new();
    world.accuse("a", 9, "t", "7");
    world.chain.state().hangs = true;
    let (service, shutdown) = (world.service("{}"), Cancel::new());
    let stop = async {
        let nap = world.scheduler.sleep(Duration::from_secs(1));
        nap.await;
        shutdown.cancel();
    };
    let (ended, ()) = world.scheduler.block_on(join(service.run(shutdown.clone()), stop));
    assert_eq!(ended, Ok(()));
    assert_eq!(world.status(9, "7"), Some(SubmissionStatus::Pending), "the next start submits it again");
}

#[test]
fn a_crash_at_any_point_loses_nothing_and_repeats_no_evidence() {
    for polls in 1..=40 {
        let world = World::new();
        world.accuse("a", 9, "t", "7");
        let service = world.service("{}");
        world.start(&service);
        world.scheduler.kill_group_after_polls("node", polls);
        world.first_look();
        world.scheduler.kill_group("node");
        world.look_once("{}");
        assert_eq!(world.status(9, "7"), Some(SubmissionStatus::Submitted), "after {polls} polls");
        let sent = world.chain.state().submitted.clone();
        assert!((1..=2).contains(&sent.len()) && sent.iter().all(|message| *message == sent[0]), "{sent:?}");
    }
}

#[test]
fn what_the_chain_does_not_take_does_not_pile_up() {
    let world = World::new();
    let tickets: Vec<String> = (0..12).map(|i| format!("{i:02}")).collect();
    world.report("a", 9, tickets.iter().map(|ticket| failure("a", 9, "t", ticket)).collect());
    world.chain.state().outcomes.extend(vec![Err(transient(false)); 15]);
    world.look_once("{}");
    world.next_look();
    world.next_look();
    assert_eq!(world.challenged().len(), 5, "no new challenge while five are pending");
    world.next_look();
    assert_eq!(world.challenged().len(), 10);
}

#[test]
fn evidence_about_forgotten_epochs_goes() {
    let world = World::new();
    world.accuse("a", 9, "t", "7");
    world.chain.state().outcomes.push_back(Err(transient(true)));
    world.look_once("{}");
    world.chain.state().epoch_id = 9 + Params::default().keep_last_epoch_entries + 1;
    world.next_look();
    assert_eq!(world.status(9, "7"), None);
    assert_eq!(world.telemetry.counter("recheck_expired_total", &[]), 1);
    assert_eq!(world.chain.state().submitted.len(), 1);
}

#[test]
fn nothing_is_looked_at_when_storage_truth_is_off() {
    let world = World::new();
    world.accuse("a", 9, "t", "7");
    world.chain.state().params.storage_truth_enforcement_mode = EnforcementMode::Unspecified;
    world.look_once("{}");
    assert_eq!((world.challenged().len(), world.chain.state().report_queries.len()), (0, 0));
}

#[test]
fn rechecks_are_spread_over_the_rest_of_the_epoch() {
    let world = World::new();
    let tickets: Vec<String> = (1..=40).map(|number| number.to_string()).collect();
    for (number, ticket) in tickets.iter().enumerate() {
        world.accuse(&format!("reporter {number}"), 9, "t", ticket);
    }
    world.chain.state().height = 200;
    let service = world.service(r#"{"max_per_tick": 100, "spread_percent": 50}"#);
    world.start(&service);
    world.first_look();
    let mut rechecked = vec![world.challenged().len()];
    for height in [250, 299, 300] {
        world.chain.state().height = height;
        world.next_look();
        rechecked.push(world.challenged().len());
    }
    assert!(rechecked[0] <= 3, "hardly any at once: {rechecked:?}");
    assert!((10..=30).contains(&rechecked[1]), "about half after half of the window: {rechecked:?}");
    assert_eq!(rechecked[3], tickets.len(), "all by its end: {rechecked:?}");
    assert_eq!(service.health(), Health::Ok);
}

#[test]
fn closed_epochs_only_leaves_the_open_one_alone() {
    let world = World::new();
    world.accuse("a", 9, "t", "7");
    let service = world.service(r#"{"closed_epochs_only": true}"#);
    world.start(&service);
    world.first_look();
    assert!(world.challenged().is_empty());
    assert!(world.chain.state().report_queries.iter().all(|(epoch_id, _)| *epoch_id < 9));
    world.chain.state().epoch_id = 10;
    world.next_look();
    assert_eq!(world.challenged(), epochs(&[(9, "7")]));
    assert_eq!(service.health(), Health::Ok);
}

#[test]
fn a_target_that_passes_contradicts_nobody_when_it_may_have_been_mended_since() {
    let healed = |status, deadline_epoch_id| HealOp {
        heal_op_id: 1,
        ticket_id: "7".to_owned(),
        status,
        deadline_epoch_id,
        ..HealOp::default()
    };
    for (case, op, class, submitted) in [
        ("no heal", None, ResultClass::HashMismatch, 1),
        ("healed long before", Some(healed(HealOpStatus::Verified, 5)), ResultClass::HashMismatch, 1),
        ("healed since", Some(healed(HealOpStatus::Verified, 9)), ResultClass::HashMismatch, 0),
        ("being healed", Some(healed(HealOpStatus::Scheduled, 0)), ResultClass::HashMismatch, 0),
        ("was away and is back", None, ResultClass::TimeoutOrNoResponse, 0),
    ] {
        let world = World::new();
        world.chain.state().heal_ops.extend(op);
        let accusation = StorageProofResult { result_class: class, ..failure("reporter", 8, "target", "7") };
        world.report("reporter", 8, vec![accusation]);
        world.look_once("{}");
        assert_eq!(world.chain.state().submitted.len(), submitted, "{case}");
    }
}
