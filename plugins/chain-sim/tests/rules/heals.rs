//! Heal operations (chain 7; scenarios S51 to S59) and retention (S70, S71).

use crate::support::*;
use lampkeeper_chain_sim::queries::QueryCode;
use lampkeeper_chain_sim::state::tickets::ArtifactCounts;
use lampkeeper_chain_sim::{Message, State};
use lampkeeper_plugin_sdk::api::chain::{
    EnforcementMode, HealClaimMessage, HealOp, HealOpStatus, HealVerificationMessage, SupernodeState,
    TicketDeterioration,
};

fn plant_op(state: &mut State, id: u64, verifiers: &[&str], status: HealOpStatus) {
    state.audit.heal_ops.insert(HealOp {
        heal_op_id: id,
        ticket_id: format!("ticket-{id}"),
        healer_supernode_account: "healer".to_owned(),
        verifier_supernode_accounts: verifiers.iter().map(|&verifier| verifier.to_owned()).collect(),
        status,
        deadline_epoch_id: 1,
        ..HealOp::default()
    });
}

fn plant_ticket(
    state: &mut State,
    ticket_id: &str,
    score: i64,
    change: impl FnOnce(&mut TicketDeterioration),
) {
    let mut ticket = TicketDeterioration {
        ticket_id: ticket_id.to_owned(),
        deterioration_score: score,
        ..TicketDeterioration::default()
    };
    change(&mut ticket);
    state.audit.tickets.insert(ticket);
}

fn claim(id: u64, hash: &str) -> Message {
    Message::HealClaim(HealClaimMessage {
        heal_op_id: id,
        ticket_id: format!("ticket-{id}"),
        heal_manifest_hash: hash.to_owned(),
        details: "healer completed".to_owned(),
    })
}

fn vote(id: u64, verified: bool, hash: &str) -> Message {
    Message::HealVerification(HealVerificationMessage {
        heal_op_id: id,
        verified,
        verification_hash: hash.to_owned(),
        details: String::new(),
    })
}

#[test]
fn an_operation_is_claimed_and_verified() {
    let mut state = chain(|_| {});
    plant_op(&mut state, 11, &["a", "b"], HealOpStatus::Scheduled);
    plant_ticket(&mut state, "ticket-11", 110, |ticket| ticket.active_heal_op_id = 11);
    refuse(&mut state, "stranger", claim(11, "manifest-1"), "audit/12", "creator is not assigned healer");
    accept(&mut state, "healer", claim(11, "manifest-1"));
    let claimed = state.query_heal_op(11).unwrap();
    assert_eq!((claimed.status, claimed.result_hash.as_str()), (HealOpStatus::HealerReported, "manifest-1"));
    assert_eq!(claimed.notes, "healer completed");
    refuse(&mut state, "a", vote(11, true, "other"), "audit/17", "positive attestation hash");
    accept(&mut state, "a", vote(11, true, "manifest-1"));
    assert_eq!(state.query_heal_op(11).unwrap().status, HealOpStatus::HealerReported);
    refuse(&mut state, "a", vote(11, true, "other"), "audit/15", "verification already submitted by creator");
    refuse(&mut state, "c", vote(11, true, "manifest-1"), "audit/12", "creator is not assigned verifier");
    accept(&mut state, "b", vote(11, true, "manifest-1"));
    assert_eq!(state.query_heal_op(11).unwrap().status, HealOpStatus::Verified);
    let ticket = state.query_ticket_deterioration("ticket-11").unwrap();
    assert_eq!((ticket.active_heal_op_id, ticket.last_heal_epoch, ticket.probation_until_epoch), (0, 0, 3));
    assert_eq!(ticket.deterioration_score, 27);
}

#[test]
fn a_majority_decides() {
    let verifiers = ["a", "b", "c", "d"];
    let mut state = chain(|_| {});
    plant_op(&mut state, 1, &verifiers, HealOpStatus::HealerReported);
    for (verifier, expected) in verifiers.iter().zip([
        HealOpStatus::HealerReported,
        HealOpStatus::HealerReported,
        HealOpStatus::Verified,
    ]) {
        accept(&mut state, verifier, vote(1, true, &format!("hash of {verifier}")));
        assert_eq!(state.query_heal_op(1).unwrap().status, expected, "{verifier}");
    }
}

#[test]
fn a_single_verifier_settles_the_ticket() {
    for (score, verified, hash, status, expected) in
        [(80, true, "abc123", HealOpStatus::Verified, 20), (40, false, "rejected", HealOpStatus::Failed, 55)]
    {
        let mut state = chain(|_| {});
        plant_op(&mut state, 5, &["a"], HealOpStatus::Scheduled);
        plant_ticket(&mut state, "ticket-5", score, |_| {});
        accept(&mut state, "healer", claim(5, "abc123"));
        accept(&mut state, "a", vote(5, verified, hash));
        assert_eq!(state.query_heal_op(5).unwrap().status, status);
        let ticket = state.query_ticket_deterioration("ticket-5").unwrap();
        assert_eq!((ticket.deterioration_score, ticket.probation_until_epoch), (expected, 3));
        let markers: usize = state.audit.failed_heals.values().map(std::collections::BTreeSet::len).sum();
        assert_eq!(markers, usize::from(!verified));
    }
}

#[test]
fn the_most_urgent_tickets_are_scheduled() {
    let mut state = chain(|params| {
        params.storage_truth_ticket_deterioration_heal_threshold = 40;
        params.storage_truth_max_self_heal_ops_per_epoch = 2;
    });
    state.height = 400;
    let nodes = ["sn-aaa", "sn-bbb", "sn-ccc"];
    plant_anchor(&mut state, 0, &nodes, &nodes);
    state.audit.next_heal_op_id = 100;
    for (name, score) in [("high", 90), ("mid", 50), ("low", 10), ("probation", 100), ("open", 200)] {
        plant_ticket(&mut state, &format!("ticket-{name}"), score, |ticket| {
            ticket.distinct_holder_failure_count = 2;
            ticket.probation_until_epoch = if name == "probation" { 2 } else { 0 };
            ticket.active_heal_op_id = if name == "open" { 500 } else { 0 };
        });
    }
    plant_op(&mut state, 500, &["x"], HealOpStatus::Scheduled);
    state.close_epoch(0).unwrap();
    for (id, ticket_id) in [(100, "ticket-high"), (101, "ticket-mid")] {
        let operation = state.query_heal_op(id).unwrap();
        assert_eq!(operation.ticket_id, ticket_id);
        assert_eq!(operation.healer_supernode_account, "sn-aaa");
        assert_eq!(operation.verifier_supernode_accounts, ["sn-bbb", "sn-ccc"]);
        assert_eq!((operation.deadline_epoch_id, operation.status), (3, HealOpStatus::Scheduled));
        assert_eq!(state.query_ticket_deterioration(ticket_id).unwrap().active_heal_op_id, id);
    }
    assert_eq!(state.audit.next_heal_op_id, 102);
    assert_eq!(state.query_ticket_deterioration("ticket-open").unwrap().active_heal_op_id, 500);
}

#[test]
fn shadow_schedules_and_unspecified_does_not() {
    for (mode, expected) in [(EnforcementMode::Shadow, 1), (EnforcementMode::Unspecified, 0)] {
        let mut state = chain(|params| {
            params.storage_truth_enforcement_mode = mode;
            params.storage_truth_ticket_deterioration_heal_threshold = 10;
            params.consecutive_epochs_to_postpone = 99;
        });
        plant_nodes(&mut state, &["n1", "n2"], SupernodeState::Active);
        plant_ticket(&mut state, "ticket-1", 50, |ticket| ticket.recent_failure_epoch_count = 2);
        state.close_epoch(0).unwrap();
        let page = state.query_heal_ops_by_ticket("ticket-1", None).unwrap();
        assert_eq!(page.items.len(), expected, "{mode:?}");
    }
}

#[test]
fn an_operation_expires_and_cools_its_ticket_down() {
    let mut state = chain(|params| params.storage_truth_probation_epochs = 4);
    state.height = 1600;
    plant_op(&mut state, 800, &["a"], HealOpStatus::HealerReported);
    state.audit.heal_ops.update(800, |operation| operation.deadline_epoch_id = 3);
    plant_ticket(&mut state, "ticket-800", 50, |ticket| {
        ticket.active_heal_op_id = 800;
        ticket.last_index_failure_epoch = 1;
    });
    state.end_block().unwrap();
    assert_eq!(state.query_heal_op(800).unwrap().status, HealOpStatus::Expired);
    let ticket = state.query_ticket_deterioration("ticket-800").unwrap();
    assert_eq!(
        (ticket.deterioration_score, ticket.probation_until_epoch, ticket.active_heal_op_id),
        (65, 7, 0)
    );
    assert!(state.audit.failed_heals[&3].contains(&("healer".to_owned(), "ticket-800".to_owned())));
}

#[test]
fn corrupt_operations_abort_the_block() {
    let mut state = chain(|_| {});
    plant_op(&mut state, 1, &["a"], HealOpStatus::Scheduled);
    state.audit.heal_ops.update(1, |operation| operation.healer_supernode_account.clear());
    plant_ticket(&mut state, "ticket-1", 1, |_| {});
    let error = state.close_epoch(1).unwrap_err();
    assert!(error.reason.contains("missing healer account"), "{error}");
}

#[test]
fn wrong_claims_and_votes_are_refused() {
    let mut state = chain(|_| {});
    plant_op(&mut state, 77, &["a"], HealOpStatus::Scheduled);
    plant_op(&mut state, 78, &[], HealOpStatus::Scheduled);
    refuse(&mut state, "healer", claim(9999, "h"), "audit/11", "heal op 9999 not found");
    refuse(&mut state, "healer", claim(0, "h"), "audit/11", "heal_op_id is required");
    refuse(&mut state, "healer", claim(77, ""), "audit/13", "heal_manifest_hash is required");
    refuse(&mut state, "healer", claim(78, "h"), "audit/13", "no independent verifier assignments");
    refuse(&mut state, "a", vote(77, true, "h"), "audit/13", "does not accept verification");
    refuse(&mut state, "a", vote(77, false, ""), "audit/13", "verification_hash is required");
    let other_ticket = Message::HealClaim(HealClaimMessage {
        heal_op_id: 77,
        ticket_id: "x".to_owned(),
        heal_manifest_hash: "h".to_owned(),
        details: String::new(),
    });
    refuse(
        &mut state,
        "healer",
        other_ticket,
        "audit/14",
        "ticket_id \"x\" does not match heal op ticket_id",
    );
    accept(&mut state, "healer", claim(77, "h"));
    refuse(&mut state, "healer", claim(77, "h"), "audit/13", "does not accept healer completion claim");
}

#[test]
fn operations_are_found_by_id_ticket_and_status() {
    let mut state = chain(|_| {});
    for (id, ticket, status) in [
        (1, "ticket-abc", HealOpStatus::Scheduled),
        (2, "ticket-abc", HealOpStatus::InProgress),
        (3, "ticket-def", HealOpStatus::InProgress),
    ] {
        plant_op(&mut state, id, &[], status);
        state.audit.heal_ops.update(id, |operation| operation.ticket_id = ticket.to_owned());
    }
    assert_eq!(state.query_heal_op(2).unwrap().heal_op_id, 2);
    assert_eq!(state.query_heal_ops_by_ticket("ticket-abc", None).unwrap().items.len(), 2);
    assert_eq!(state.query_heal_ops_by_status(HealOpStatus::InProgress, None).unwrap().items.len(), 2);
    let error = state.query_heal_ops_by_status(HealOpStatus::Unspecified, None).unwrap_err();
    assert_eq!(error.code, QueryCode::InvalidArgument);
}

#[test]
fn idle_tickets_are_forgotten() {
    let mut state = chain(|params| params.keep_last_epoch_entries = 10);
    for (name, score, updated, op) in [
        ("gone", 0, 89, 0),
        ("edge", 0, 90, 0),
        ("new", 0, 95, 0),
        ("scored", 1, 80, 0),
        ("healing", 0, 80, 7),
    ] {
        plant_ticket(&mut state, name, score, |ticket| {
            ticket.last_updated_epoch = updated;
            ticket.active_heal_op_id = op;
        });
    }
    state.audit.artifact_counts.insert("gone".to_owned(), ArtifactCounts { index: 3, symbol: 5 });
    state.close_epoch(100).unwrap();
    let kept: Vec<_> = state.audit.tickets.iter().map(|ticket| ticket.ticket_id.as_str()).collect();
    assert_eq!(kept, ["edge", "healing", "new", "scored"]);
    assert!(state.audit.artifact_counts.contains_key("gone"));
}
