//! Enforcement at the epoch close (chain 6; scenarios S34 to S48).

use crate::support::*;
use lampkeeper_chain_sim::State;
use lampkeeper_chain_sim::state::facts::NodeFailure;
use lampkeeper_plugin_sdk::api::chain::{
    EnforcementMode, EpochReport, HostReport, NodeSuspicion, Params, PortState, SupernodeState,
};
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};

const NODE: &str = "node";

fn report_of(account: &str, epoch_id: u64) -> EpochReport {
    EpochReport { supernode_account: account.to_owned(), epoch_id, ..EpochReport::default() }
}

/// One ACTIVE node with ordinary rules out of the way, a report, and suspicion.
fn suspect(
    mode: EnforcementMode,
    thresholds: (i64, i64),
    epoch_id: u64,
    change: impl FnOnce(&mut NodeSuspicion),
) -> State {
    let mut state = chain(|params| {
        params.consecutive_epochs_to_postpone = 99;
        params.storage_truth_enforcement_mode = mode;
        params.storage_truth_node_suspicion_threshold_probation = 35;
        params.storage_truth_node_suspicion_threshold_postpone = thresholds.0;
        params.storage_truth_node_suspicion_threshold_strong_postpone = thresholds.1;
    });
    plant_nodes(&mut state, &[NODE], SupernodeState::Active);
    state.audit.reports.insert(report_of(NODE, epoch_id));
    plant_suspicion(&mut state, NODE, change);
    state
}

#[test]
fn suspicion_postpones_where_mode_and_history_agree() {
    let counters = |score, class_a, class_b| {
        move |node: &mut NodeSuspicion| {
            node.suspicion_score = score;
            (node.class_a_count_window, node.class_b_count_window) = (class_a, class_b);
        }
    };
    let postponed = Some("audit_storage_truth_suspicion");
    // Mode, thresholds, suspicion, reason of the postponement.
    for (mode, thresholds, plant, reason) in [
        (EnforcementMode::Shadow, (50, 140), counters(200, 1, 1), None),
        (EnforcementMode::Soft, (50, 140), counters(100, 1, 1), postponed),
        (EnforcementMode::Unspecified, (50, 140), counters(999, 1, 1), None),
        (EnforcementMode::Full, (50, 200), counters(100, 0, 0), None),
    ] {
        let mut state = suspect(mode, thresholds, 0, plant);
        state.close_epoch(0).unwrap();
        let expected = match reason {
            Some(reason) => (SupernodeState::Postponed, reason.to_owned()),
            None => (SupernodeState::Active, String::new()),
        };
        assert_eq!(node_state(&state, NODE), expected, "{mode:?} {thresholds:?}");
    }
}

#[test]
fn a_recent_index_failure_is_enough_for_the_strong_band() {
    let mut state = suspect(EnforcementMode::Full, (50, 100), 0, |node| {
        node.suspicion_score = 150;
        node.class_a_count_window = 1;
        node.last_index_fail_epoch = 1;
    });
    state.close_epoch(0).unwrap();
    let reason = "audit_storage_truth_strong_suspicion".to_owned();
    assert_eq!(node_state(&state, NODE), (SupernodeState::Postponed, reason));
    assert!(state.audit.storage_truth_postponements[NODE].strong);
}

#[test]
fn counters_decide_without_facts() {
    let mut state = suspect(EnforcementMode::Full, (50, 500), 10, |node| {
        node.suspicion_score = 100;
        node.last_updated_epoch = 10;
        node.class_a_count_window = 2;
        node.last_old_fail_epoch = 5;
    });
    state.close_epoch(10).unwrap();
    assert_eq!(node_state(&state, NODE).1, "audit_storage_truth_suspicion");
}

#[test]
fn facts_decide_where_there_are_any() {
    let fact = |ticket: &str, class, bucket, epoch_id| NodeFailure {
        target: NODE.to_owned(),
        epoch_id,
        ticket_id: ticket.to_owned(),
        reporter: "r".to_owned(),
        result_class: class,
        bucket,
        artifact_class: ArtifactClass::Index,
    };
    use Bucket::{Old, Recent};
    use ResultClass::{HashMismatch, TimeoutOrNoResponse};
    let timeouts =
        |epoch| ["1", "2", "3", "4"].map(|ticket| fact(ticket, TimeoutOrNoResponse, Recent, epoch)).to_vec();
    // What the facts are, the facts, whether they postpone at the close of epoch 30.
    for (what, facts, expected) in [
        (
            "A: one class A and another failure",
            vec![fact("1", HashMismatch, Recent, 17), fact("2", TimeoutOrNoResponse, Old, 30)],
            true,
        ),
        (
            "A: out of the window",
            vec![fact("1", HashMismatch, Recent, 16), fact("2", TimeoutOrNoResponse, Old, 30)],
            false,
        ),
        ("A: an OLD fact alone", vec![fact("1", HashMismatch, Old, 30)], false),
        ("B: four timeouts", timeouts(24), true),
        ("B: out of the window", timeouts(23), false),
        (
            "C: two OLD tickets",
            vec![fact("1", HashMismatch, Old, 10), fact("2", HashMismatch, Old, 30)],
            true,
        ),
        (
            "C: out of the window",
            vec![fact("1", HashMismatch, Old, 9), fact("2", HashMismatch, Old, 30)],
            false,
        ),
    ] {
        let mut state = suspect(EnforcementMode::Soft, (50, 1000), 30, |node| {
            node.suspicion_score = 100;
            node.last_updated_epoch = 30;
            // Counters that would postpone if they were asked.
            node.class_a_count_window = if what.starts_with('A') { 5 } else { 0 };
        });
        for fact in facts {
            state.audit.node_failures.insert(fact);
        }
        state.close_epoch(30).unwrap();
        assert_eq!(node_state(&state, NODE).0 == SupernodeState::Postponed, expected, "{what}");
    }
}

#[test]
fn recovery_takes_decay_and_passes() {
    let mut state = suspect(EnforcementMode::Soft, (50, 140), 0, |node| {
        node.suspicion_score = 200;
        (node.class_a_count_window, node.class_b_count_window) = (2, 1);
        node.clean_pass_count = 5;
    });
    state.audit.params.storage_truth_strong_recovery_clean_pass_count = 3;
    state.close_epoch(0).unwrap();
    assert!(state.audit.storage_truth_postponements[NODE].strong);
    assert_eq!(state.audit.suspicion[NODE].clean_pass_count_at_postpone, 5);
    state.audit.suspicion.get_mut(NODE).unwrap().clean_pass_count = 8;
    // 200 decays to 21 in 25 epochs and below 20 in 26.
    for (epoch_id, expected) in [(2, SupernodeState::Postponed), (30, SupernodeState::Active)] {
        state.close_epoch(epoch_id).unwrap();
        assert_eq!(node_state(&state, NODE).0, expected, "epoch {epoch_id}");
    }
    assert!(state.audit.storage_truth_postponements.is_empty());
}

#[test]
fn a_band_is_told_before_it_is_enforced() {
    let mut state = suspect(EnforcementMode::Shadow, (60, 140), 0, |node| node.suspicion_score = 25);
    state.height = 400;
    let events = state.end_block().unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["storage_truth_band_watch"]);
    assert_eq!(events[0].attribute("enforcement_mode"), Some("STORAGE_TRUTH_ENFORCEMENT_MODE_SHADOW"));
}

#[test]
fn closed_ports_postpone_from_a_threshold_on() {
    for (threshold, expected) in [(100, SupernodeState::Active), (66, SupernodeState::Postponed)] {
        let mut state = chain(|params| {
            params.required_open_ports = vec![4444];
            params.peer_port_postpone_threshold_percent = threshold;
        });
        plant_nodes(&mut state, &[NODE], SupernodeState::Active);
        state.audit.reports.insert(report_of(NODE, 0));
        for (peer, port) in [("p1", PortState::Closed), ("p2", PortState::Closed), ("p3", PortState::Open)] {
            let mut seen = report_of(peer, 0);
            seen.storage_challenge_observations.push(observation(NODE, port, 1));
            state.audit.reports.insert(seen);
        }
        state.close_epoch(0).unwrap();
        assert_eq!(node_state(&state, NODE).0, expected, "threshold {threshold}");
    }
}

#[test]
fn a_missing_report_postpones_and_a_seen_node_recovers() {
    let mut state = chain(|params| *params = Params { required_open_ports: vec![1], ..params.clone() });
    plant_nodes(&mut state, &[NODE], SupernodeState::Active);
    state.close_epoch(0).unwrap();
    assert_eq!(node_state(&state, NODE), (SupernodeState::Postponed, "audit_missing_reports".to_owned()));
    let mut own = report_of(NODE, 1);
    own.host_report.disk_usage_percent = 95.0;
    state.audit.reports.insert(own);
    let mut seen = report_of("peer", 1);
    seen.storage_challenge_observations.push(observation(NODE, PortState::Open, 1));
    state.audit.reports.insert(seen);
    state.close_epoch(1).unwrap();
    assert_eq!(node_state(&state, NODE).0, SupernodeState::StorageFull, "the disk is full");
}

#[test]
fn nobody_to_observe_is_no_obstacle() {
    for (anchored, expected) in [(true, SupernodeState::Active), (false, SupernodeState::Postponed)] {
        let mut state = chain(|_| {});
        plant_nodes(&mut state, &[NODE], SupernodeState::Postponed);
        state.audit.reports.insert(report_of(NODE, 1));
        if anchored {
            plant_anchor(&mut state, 1, &[], &[NODE]);
        }
        state.close_epoch(1).unwrap();
        assert_eq!(node_state(&state, NODE).0, expected);
    }
}

#[test]
fn minimums_are_off_by_default() {
    for (minimum, expected) in [(0, SupernodeState::Active), (2, SupernodeState::Postponed)] {
        let mut state = chain(|params| params.min_cpu_free_percent = minimum);
        plant_nodes(&mut state, &[NODE], SupernodeState::Active);
        let host_report = HostReport { cpu_usage_percent: 99.0, ..HostReport::default() };
        state.audit.reports.insert(EpochReport { host_report, ..report_of(NODE, 0) });
        state.close_epoch(0).unwrap();
        assert_eq!(node_state(&state, NODE).0, expected, "minimum {minimum}");
    }
}
