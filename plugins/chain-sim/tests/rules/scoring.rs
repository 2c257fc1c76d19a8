//! Scores (chain 5; scenarios S14 to S26).

use crate::support::*;
use lampkeeper_chain_sim::Message;
use lampkeeper_chain_sim::State;
use lampkeeper_chain_sim::state::facts::ReporterResult;
use lampkeeper_plugin_sdk::api::chain::{
    EnforcementMode, ReporterTrustBand, StorageProofResult, SupernodeState, TicketDeterioration,
};
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};

fn submit(state: &mut State, rows: Vec<StorageProofResult>) {
    let message = report(state, rows);
    accept(state, REPORTER, Message::EpochReport(message));
}

fn scores(state: &State, ticket: &str) -> (Option<i64>, Option<i64>, Option<i64>) {
    (suspicion(state, TARGET), reliability(state, REPORTER), deterioration(state, ticket))
}

#[test]
fn single_results() {
    for (class, expected) in [
        (ResultClass::Pass, (Some(0), None, Some(0))),
        (ResultClass::HashMismatch, (Some(26), Some(1), Some(12))),
        (ResultClass::TimeoutOrNoResponse, (Some(7), None, Some(3))),
    ] {
        let mut state = two_nodes(|_| {});
        submit(&mut state, vec![row(|r| r.result_class = class)]);
        assert_eq!(scores(&state, "ticket-1"), expected, "{class}");
        let ticket = state.audit.tickets.get("ticket-1").unwrap();
        assert_eq!(ticket.last_target_supernode_account, TARGET);
        assert_eq!(ticket.last_reporter_supernode_account, REPORTER);
        assert_eq!((ticket.last_result_class, ticket.last_result_epoch), (class, 0));
    }
}

#[test]
fn scores_decay_before_anything_is_added() {
    let mut state = two_nodes(|_| {});
    state.height = 1201;
    plant_suspicion(&mut state, TARGET, |node| node.suspicion_score = 50);
    plant_reliability(&mut state, REPORTER, 10, 0);
    state.audit.tickets.insert(TicketDeterioration {
        ticket_id: "ticket-1".to_owned(),
        deterioration_score: 20,
        active_heal_op_id: 9,
        probation_until_epoch: 11,
        last_heal_epoch: 1,
        ..TicketDeterioration::default()
    });
    submit(&mut state, vec![row(|r| r.result_class = ResultClass::HashMismatch)]);
    assert_eq!(scores(&state, "ticket-1"), (Some(62), Some(8), Some(25)));
    let ticket = state.audit.tickets.get("ticket-1").unwrap();
    assert_eq!((ticket.active_heal_op_id, ticket.probation_until_epoch, ticket.last_heal_epoch), (9, 11, 1));
    assert_eq!(ticket.last_updated_epoch, 3);
}

#[test]
fn a_doubtful_reporter_counts_for_less() {
    let mut state = two_nodes(|params| {
        params.storage_truth_reporter_reliability_low_trust_threshold = 10;
        params.storage_truth_reporter_reliability_degraded_threshold = 30;
        params.storage_truth_reporter_reliability_ineligible_threshold = 50;
    });
    plant_reliability(&mut state, REPORTER, 20, 0);
    submit(&mut state, vec![row(|r| r.result_class = ResultClass::HashMismatch)]);
    assert_eq!(scores(&state, "ticket-1"), (Some(20), Some(21), Some(9)));
    assert_eq!(state.audit.reliability[REPORTER].trust_band, ReporterTrustBand::LowTrust);
}

#[test]
fn two_tickets_in_two_epochs_escalate() {
    let mut state = two_nodes(|_| {});
    for (height, ticket) in [(401, "ticket-distinct-1"), (801, "ticket-distinct-2")] {
        state.height = height;
        submit(
            &mut state,
            vec![row(|r| {
                r.ticket_id = ticket.into();
                r.result_class = ResultClass::HashMismatch;
                r.transcript_hash = ticket.into();
            })],
        );
    }
    assert_eq!(suspicion(&state, TARGET), Some(59));
    assert_eq!(state.audit.suspicion[TARGET].distinct_ticket_fail_window, 2);
}

#[test]
fn two_buckets_of_one_ticket_in_one_report() {
    let mut state = two_nodes(|params| params.storage_truth_node_suspicion_decay_per_epoch = 1000);
    let failed = |bucket| {
        row(|r| {
            r.bucket_type = bucket;
            r.result_class = ResultClass::HashMismatch;
            r.transcript_hash = bucket.name().into();
        })
    };
    submit(&mut state, vec![failed(Bucket::Recent), failed(Bucket::Old)]);
    assert_eq!(scores(&state, "ticket-1"), (Some(63), Some(2), Some(23)));
    let node = &state.audit.suspicion[TARGET];
    assert_eq!((node.class_a_count_window, node.distinct_ticket_fail_window), (2, 2));
    let facts: Vec<_> = state.audit.node_failures.iter().collect();
    assert_eq!(facts.len(), 1, "the second failure replaces the first");
    assert_eq!(facts[0].bucket, Bucket::Old);
    assert_eq!(state.audit.tickets.get("ticket-1").unwrap().recent_failure_epoch_count, 1);
}

#[test]
fn invalid_transcripts_escalate_without_base_deltas() {
    let mut state = two_nodes(|_| {});
    let rows = (1..5)
        .map(|number| {
            row(|r| {
                r.ticket_id = format!("ticket-{number}");
                r.result_class = ResultClass::InvalidTranscript;
                r.transcript_hash = format!("hash-{number}");
            })
        })
        .collect();
    submit(&mut state, rows);
    assert_eq!(suspicion(&state, TARGET), Some(40));
    assert!(state.audit.tickets.is_empty() && state.audit.reliability.is_empty());
}

#[test]
fn a_confirmed_contradiction_costs_the_earlier_reporter() {
    let mut state = two_nodes(|_| {});
    plant_reliability(&mut state, "earlier", 10, 0);
    state.audit.reporter_results.insert(ReporterResult {
        reporter: "independent".to_owned(),
        ticket_id: "ticket-1".to_owned(),
        target: TARGET.to_owned(),
        result_class: ResultClass::Pass,
        ..ReporterResult::default()
    });
    state.audit.tickets.insert(TicketDeterioration {
        ticket_id: "ticket-1".to_owned(),
        deterioration_score: 12,
        last_target_supernode_account: TARGET.to_owned(),
        last_reporter_supernode_account: "earlier".to_owned(),
        last_result_class: ResultClass::HashMismatch,
        ..TicketDeterioration::default()
    });
    state.height = 401;
    submit(&mut state, vec![row(|_| {})]);
    let reporter = &state.audit.reliability[REPORTER];
    assert_eq!((reporter.reliability_score, reporter.contradiction_count), (0, 1));
    assert_eq!(reporter.trust_band, ReporterTrustBand::Normal);
    let earlier = &state.audit.reliability["earlier"];
    assert_eq!((earlier.reliability_score, earlier.contradiction_count), (21, 1));
    let ticket = state.audit.tickets.get("ticket-1").unwrap();
    assert_eq!((ticket.contradiction_count, ticket.last_result_epoch), (1, 1));
    assert_eq!(ticket.last_result_class, ResultClass::Pass);
}

#[test]
fn a_pass_by_another_holder_heals_more() {
    for (last_target, expected) in [("another holder", 45), (TARGET, 48)] {
        let mut state = two_nodes(|_| {});
        plant_anchor(&mut state, 10, &[REPORTER, TARGET], &[REPORTER, TARGET]);
        state.height = 4001;
        state.audit.tickets.insert(TicketDeterioration {
            ticket_id: "ticket-1".to_owned(),
            deterioration_score: 50,
            last_updated_epoch: 10,
            last_target_supernode_account: last_target.to_owned(),
            last_result_class: ResultClass::HashMismatch,
            ..TicketDeterioration::default()
        });
        submit(&mut state, vec![row(|_| {})]);
        assert_eq!(deterioration(&state, "ticket-1"), Some(expected), "{last_target}");
    }
}

fn plant_results(state: &mut State, reporter: &str, epoch_id: u64, passes: u64, failures: u64) {
    for number in 0..passes + failures {
        let result_class = if number < passes { ResultClass::Pass } else { ResultClass::HashMismatch };
        state.audit.reporter_results.insert(ReporterResult {
            reporter: reporter.to_owned(),
            epoch_id,
            ticket_id: format!("ticket {number}"),
            target: "target".to_owned(),
            result_class,
            ..ReporterResult::default()
        });
    }
}

#[test]
fn clean_epochs_are_rewarded() {
    for (passes, failures, expected) in [(5, 0, 6), (4, 0, 10), (5, 1, 6)] {
        let mut state = chain(|_| {});
        plant_reliability(&mut state, "reporter", 10, 7);
        plant_results(&mut state, "reporter", 7, passes, failures);
        state.close_epoch(7).unwrap();
        assert_eq!(reliability(&state, "reporter"), Some(expected), "{passes} passes, {failures} failures");
    }
}

#[test]
fn outliers_are_penalised() {
    let mut state = chain(|_| {});
    for (reporter, negative) in [("a", 2), ("b", 2), ("c", 9)] {
        plant_reliability(&mut state, reporter, 0, 0);
        plant_results(&mut state, reporter, 1, 0, negative);
        for number in 0..10 - negative {
            // NO_ELIGIBLE_TICKET counts in the total only, and makes no epoch clean.
            state.audit.reporter_results.insert(ReporterResult {
                reporter: reporter.to_owned(),
                epoch_id: 1,
                ticket_id: format!("other {number}"),
                target: "target".to_owned(),
                result_class: ResultClass::NoEligibleTicket,
                ..ReporterResult::default()
            });
        }
    }
    state.close_epoch(1).unwrap();
    assert_eq!(["a", "b", "c"].map(|reporter| reliability(&state, reporter)), [Some(0), Some(0), Some(8)]);
}

#[test]
fn without_a_mode_nothing_is_scored_but_transcripts_are_kept() {
    let mut state = two_nodes(|params| {
        params.storage_truth_enforcement_mode = EnforcementMode::Unspecified;
        params.min_probe_targets_per_epoch = 1;
    });
    submit(&mut state, vec![row(|r| r.result_class = ResultClass::HashMismatch)]);
    assert_eq!(scores(&state, "ticket-1"), (None, None, None));
    assert!(state.audit.transcripts.get("hash-1").unwrap().recheck_eligible);
}

#[test]
fn reporters_are_excluded_while_they_are_ineligible() {
    let mut state = two_nodes(|_| {});
    plant_nodes(&mut state, &["third"], SupernodeState::Active);
    let accounts = [REPORTER, TARGET, "third"];
    plant_anchor(&mut state, 0, &accounts, &accounts);
    plant_reliability(&mut state, REPORTER, 90, 0);
    let message =
        Message::EpochReport(report(&state, vec![row(|r| r.artifact_class = ArtifactClass::Index)]));
    refuse(
        &mut state,
        REPORTER,
        message,
        "audit/8",
        "reporter not eligible for storage challenge observations",
    );
}
