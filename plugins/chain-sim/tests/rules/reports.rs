//! Epoch reports (chain 4; scenarios S03 to S13).

use crate::support::*;
use lampkeeper_chain_sim::Message;
use lampkeeper_chain_sim::message::EpochReport;
use lampkeeper_chain_sim::state::transcripts::Transcript;
use lampkeeper_plugin_sdk::api::chain::{
    EnforcementMode, HostReport, Params, PortState, ReporterTrustBand, StorageProofResult, SupernodeState,
};
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};

#[test]
fn two_nodes_fall_back_to_each_other() {
    let state = two_nodes(|_| {});
    let targets = |account| state.query_assigned_targets(account, Some(0)).unwrap().target_supernode_accounts;
    assert_eq!(targets(REPORTER), [TARGET]);
    assert!(targets(TARGET).is_empty());
}

#[test]
fn inbound_ports_are_none_or_all() {
    let mut state = chain(|_| {});
    plant_nodes(&mut state, &[REPORTER], SupernodeState::Active);
    plant_anchor(&mut state, 0, &[], &[]);
    let with_ports = |count| {
        let host_report =
            HostReport { inbound_port_states: vec![PortState::Open; count], ..HostReport::default() };
        Message::EpochReport(EpochReport { host_report, ..EpochReport::default() })
    };
    accept(&mut state, REPORTER, with_ports(0));
    refuse(&mut state, REPORTER, with_ports(1), "audit/6", "must be 0 or 3");
    refuse(&mut state, REPORTER, with_ports(4), "audit/6", "exceeds required_open_ports length 3");
    refuse(&mut state, REPORTER, with_ports(3), "audit/4", "report already submitted for this epoch");
}

#[test]
fn an_incomplete_report_costs_its_reporter() {
    let mut state = chain(|params| params.storage_truth_enforcement_mode = EnforcementMode::Unspecified);
    let nodes = ["sn-aaa-reporter", "sn-bbb-target", "sn-ccc-target", "sn-ddd-target"];
    plant_nodes(&mut state, &nodes, SupernodeState::Active);
    plant_anchor(&mut state, 0, &nodes, &nodes);
    let observations =
        nodes[1..3].iter().map(|target| Some(observation(target, PortState::Open, 3))).collect();
    let message = EpochReport { storage_challenge_observations: observations, ..EpochReport::default() };
    let events = accept(&mut state, REPORTER, Message::EpochReport(message));
    let stored = state.query_epoch_report(0, REPORTER).unwrap();
    assert_eq!(stored.storage_challenge_observations.len(), 2);
    let reporter = &state.audit.reliability[REPORTER];
    assert_eq!((reporter.reliability_score, reporter.trust_band), (8, ReporterTrustBand::Normal));
    let scored: Vec<_> = events.iter().filter(|event| event.kind == "storage_truth_score_updated").collect();
    assert_eq!(scored.len(), 1);
    assert_eq!(scored[0].attribute("reason"), Some("INCOMPLETE_REPORT"));
    assert_eq!(scored[0].attribute("reporter_reliability_score"), Some("8"));
}

#[test]
fn rows_are_stored_as_they_were_submitted() {
    let mut state = two_nodes(|_| {});
    let submitted = row(|result| result.artifact_ordinal = 0);
    let message = report(&state, vec![submitted.clone()]);
    accept(&mut state, REPORTER, Message::EpochReport(message));
    assert_eq!(state.query_epoch_report(0, REPORTER).unwrap().storage_proof_results, [submitted]);
}

type Change = fn(&mut StorageProofResult);

#[test]
fn malformed_rows_are_refused_in_the_chains_order() {
    let table: &[(Change, &str)] = &[
        (|r| r.target_supernode_account.clear(), "[0].target_supernode_account is required"),
        (|r| r.challenger_supernode_account.clear(), ".challenger_supernode_account is required"),
        (
            |r| r.challenger_supernode_account = TARGET.into(),
            "challenger_supernode_account must match report creator",
        ),
        (|r| r.target_supernode_account = REPORTER.into(), " must not target the reporter"),
        (|r| r.target_supernode_account = "x".into(), ".target_supernode_account \"x\" is not assigned"),
        (|r| r.transcript_hash.clear(), ".transcript_hash is required"),
        (|r| r.bucket_type = Bucket::Unspecified, ".bucket_type is invalid"),
        (|r| r.result_class = ResultClass::Unspecified, ".result_class is invalid"),
        (|r| r.ticket_id.clear(), ".ticket_id is required"),
        (|r| r.artifact_count = 0, ".artifact_count must be > 0"),
        (|r| r.artifact_ordinal = 8, ".artifact_ordinal must be < artifact_count"),
        (|r| r.derivation_input_hash.clear(), "derivation_input_hash is required"),
        (|r| r.challenger_signature.clear(), ".challenger_signature is required"),
        (|r| r.artifact_class = ArtifactClass::Unspecified, ".artifact_class is invalid"),
        (|r| r.artifact_key.clear(), ".artifact_key is required"),
        (|r| r.result_class = ResultClass::RecheckConfirmedFail, "requires RECHECK bucket"),
        (
            |r| r.result_class = ResultClass::NoEligibleTicket,
            ".ticket_id must be empty for NO_ELIGIBLE_TICKET",
        ),
        (
            |r| {
                r.result_class = ResultClass::NoEligibleTicket;
                r.bucket_type = Bucket::Probation;
            },
            "only valid for RECENT or OLD buckets",
        ),
    ];
    for (change, phrase) in table {
        let mut state = two_nodes(|_| {});
        let message = Message::EpochReport(report(&state, vec![row(change)]));
        refuse(&mut state, REPORTER, message, "audit/9", phrase);
    }
}

#[test]
fn rows_of_one_report_must_differ_in_more_than_their_result() {
    let mut state = two_nodes(|_| {});
    let rows = vec![row(|_| {}), row(|r| r.result_class = ResultClass::HashMismatch)];
    let message = Message::EpochReport(report(&state, rows));
    refuse(
        &mut state,
        REPORTER,
        message,
        "audit/9",
        "[1] duplicates another storage proof result descriptor",
    );
    let rows =
        (0..17).map(|ordinal| row(|r| (r.artifact_ordinal, r.artifact_count) = (ordinal, 20))).collect();
    let message = Message::EpochReport(report(&state, rows));
    refuse(&mut state, REPORTER, message, "audit/9", "too many storage proof results: got 17, max 16");
}

#[test]
fn no_eligible_ticket_must_fit_what_others_saw() {
    let mut state = two_nodes(|_| {});
    state.audit.transcripts.insert(Transcript {
        transcript_hash: "seen".to_owned(),
        reporter: "another".to_owned(),
        target: TARGET.to_owned(),
        ticket_id: "ticket-seen-1".to_owned(),
        result_class: ResultClass::Pass,
        bucket: Bucket::Recent,
        ..Transcript::default()
    });
    let none_in = |bucket| {
        row(|r| {
            *r = StorageProofResult {
                target_supernode_account: TARGET.to_owned(),
                challenger_supernode_account: REPORTER.to_owned(),
                bucket_type: bucket,
                result_class: ResultClass::NoEligibleTicket,
                transcript_hash: "none".to_owned(),
                ..StorageProofResult::default()
            };
        })
    };
    let message = Message::EpochReport(report(&state, vec![none_in(Bucket::Recent)]));
    let phrase = "conflicts with recently observed eligible ticket history";
    refuse(&mut state, REPORTER, message, "audit/9", phrase);
    let message = Message::EpochReport(report(&state, vec![none_in(Bucket::Old)]));
    accept(&mut state, REPORTER, message);
}

#[test]
fn counts_are_compared_where_they_are_anchored() {
    let mut state = two_nodes(|_| {});
    let message = Message::EpochReport(report(&state, vec![row(|r| r.artifact_count = 9)]));
    refuse(
        &mut state,
        REPORTER,
        message,
        "audit/16",
        "index artifact_count 9 does not match canonical count 8",
    );
    let message = Message::EpochReport(report(&state, vec![row(|r| r.ticket_id = "unknown".into())]));
    let events = accept(&mut state, REPORTER, message);
    let unanchored =
        events.iter().find(|event| event.kind == "storage_truth_artifact_count_unanchored").unwrap();
    assert_eq!(unanchored.attribute("ticket_id"), Some("unknown"));
}

#[test]
fn full_mode_wants_both_buckets() {
    let mut state = two_nodes(|params| params.storage_truth_enforcement_mode = EnforcementMode::Full);
    let old = || {
        row(|r| {
            r.ticket_id = "ticket-old".into();
            r.bucket_type = Bucket::Old;
            r.artifact_class = ArtifactClass::Symbol;
            (r.artifact_ordinal, r.artifact_count) = (2, 16);
        })
    };
    for (rows, phrase) in [
        (vec![], "must include RECENT and OLD entries for every assigned target"),
        (vec![row(|_| {})], "must have exactly one RECENT and one OLD"),
        (vec![row(|_| {}), row(|r| r.artifact_ordinal = 2), old()], "[1] duplicates RECENT storage proof"),
    ] {
        let message = Message::EpochReport(report(&state, rows));
        refuse(&mut state, REPORTER, message, "audit/9", phrase);
    }
    let message = Message::EpochReport(report(&state, vec![row(|_| {}), old()]));
    accept(&mut state, REPORTER, message);
}

#[test]
fn host_percentages_must_be_finite_and_in_range() {
    let mut state = chain(|_| {});
    plant_nodes(&mut state, &[REPORTER], SupernodeState::Active);
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 100.1] {
        for field in 0..3 {
            let mut host_report = HostReport::default();
            *[
                &mut host_report.cpu_usage_percent,
                &mut host_report.mem_usage_percent,
                &mut host_report.disk_usage_percent,
            ][field] = wrong;
            let message = Message::EpochReport(EpochReport { host_report, ..EpochReport::default() });
            refuse(&mut state, REPORTER, message, "audit/18", "must be a finite percentage in [0,100]");
        }
    }
    for (bytes, phrase) in [(f64::NAN, "must be a finite number"), (-1.0, "must be >= 0, got -1")] {
        let host_report = HostReport { cascade_kademlia_db_bytes: bytes, ..HostReport::default() };
        let message = Message::EpochReport(EpochReport { host_report, ..EpochReport::default() });
        refuse(&mut state, REPORTER, message, "audit/18", phrase);
    }
    assert!(state.supernode.metrics.is_empty());
}

#[test]
fn cascade_bytes_reach_the_supernode_metrics() {
    let mut state = two_nodes(|_| {});
    state.height = 123;
    let host_report = HostReport { cascade_kademlia_db_bytes: 2_147_483_648.0, ..HostReport::default() };
    accept(&mut state, TARGET, Message::EpochReport(EpochReport { host_report, ..EpochReport::default() }));
    let operator = state.supernode.supernodes.by_account(TARGET).unwrap().validator_address.clone();
    let metrics = state.query_metrics(&operator).unwrap();
    assert_eq!(metrics.metrics.cascade_kademlia_db_bytes, 2_147_483_648.0);
    assert_eq!((metrics.height, metrics.report_count, &metrics.validator_address), (123, 1, &operator));
}

#[test]
fn a_full_disk_makes_a_node_storage_full_and_back() {
    let mut state = two_nodes(|params| *params = Params { epoch_length_blocks: 1, ..Params::default() });
    for (height, disk, expected) in [
        (1, 95.0, SupernodeState::StorageFull),
        (2, 0.0, SupernodeState::StorageFull),
        (3, 90.0, SupernodeState::Active),
    ] {
        state.height = height;
        let host_report = HostReport { disk_usage_percent: disk, ..HostReport::default() };
        let epoch_id = state.current_epoch();
        let message = EpochReport { epoch_id, host_report, ..EpochReport::default() };
        accept(&mut state, TARGET, Message::EpochReport(message));
        assert_eq!(node_state(&state, TARGET).0, expected, "height {height}");
    }
}

#[test]
fn reports_are_refused_outside_their_epoch_and_without_a_registration() {
    let mut state = two_nodes(|_| {});
    let message = |epoch_id| Message::EpochReport(EpochReport { epoch_id, ..EpochReport::default() });
    refuse(&mut state, "", message(0), "audit/1", "creator is required");
    refuse(&mut state, REPORTER, message(1), "audit/2", "epoch_id 1 not accepted at height 1");
    refuse(&mut state, "stranger", message(0), "audit/7", "creator is not a registered supernode");
    state.audit.anchors.clear();
    refuse(&mut state, REPORTER, message(0), "audit/2", "epoch anchor not found for epoch_id 0");
    refuse(&mut state, REPORTER, Message::Nil, "audit/1", "empty request");
}

#[test]
fn observations_are_for_assigned_targets_only() {
    let mut state = two_nodes(|_| {});
    let with = |observations| {
        Message::EpochReport(EpochReport {
            storage_challenge_observations: observations,
            ..EpochReport::default()
        })
    };
    let about = |target: &str, ports| Some(observation(target, PortState::Open, ports));
    let phrase = "reporter not eligible for storage challenge observations";
    plant_nodes(&mut state, &["outsider"], SupernodeState::Postponed);
    refuse(&mut state, "outsider", with(vec![about(TARGET, 3)]), "audit/8", phrase);
    for (observations, code, phrase) in [
        (vec![None], "audit/5", "nil storage challenge observation"),
        (vec![about("", 3)], "audit/5", "empty target_supernode_account"),
        (vec![about(REPORTER, 3)], "audit/5", "self-targeting is not allowed"),
        (vec![about("x", 3)], "audit/5", "target \"x\" is not assigned to reporter in this epoch"),
        (vec![about(TARGET, 3), about(TARGET, 3)], "audit/5", "duplicate storage challenge observation"),
        (
            vec![about(TARGET, 2)],
            "audit/6",
            "port_states length 2 does not match required_open_ports length 3",
        ),
    ] {
        refuse(&mut state, REPORTER, with(observations), code, phrase);
    }
}
