//! Recheck evidence (chain 8; scenarios S27 to S31).

use crate::support::*;
use lampkeeper_chain_sim::state::transcripts::Transcript;
use lampkeeper_chain_sim::{Message, State};
use lampkeeper_plugin_sdk::api::chain::{RecheckEvidenceMessage, SupernodeState, TicketDeterioration};
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};

fn seeded() -> State {
    let mut state = chain(|_| {});
    plant_nodes(&mut state, &["original", "target", "first", "second"], SupernodeState::Active);
    plant_anchor(&mut state, 0, &[], &[]);
    plant_challenge(&mut state, "old-hash", "ticket-1");
    state
}

fn plant_challenge(state: &mut State, hash: &str, ticket_id: &str) {
    state.audit.transcripts.insert(Transcript {
        transcript_hash: hash.to_owned(),
        reporter: "original".to_owned(),
        target: "target".to_owned(),
        ticket_id: ticket_id.to_owned(),
        result_class: ResultClass::HashMismatch,
        bucket: Bucket::Recent,
        artifact_class: ArtifactClass::Index,
        artifact_count: 8,
        artifact_ordinal: 1,
        recheck_eligible: true,
        ..Transcript::default()
    });
    state.audit.tickets.insert(TicketDeterioration {
        ticket_id: ticket_id.to_owned(),
        deterioration_score: 20,
        last_target_supernode_account: "target".to_owned(),
        last_reporter_supernode_account: "original".to_owned(),
        last_result_class: ResultClass::HashMismatch,
        ..TicketDeterioration::default()
    });
}

fn evidence(change: impl FnOnce(&mut RecheckEvidenceMessage)) -> Message {
    let mut message = RecheckEvidenceMessage {
        epoch_id: 0,
        challenged_supernode_account: "target".to_owned(),
        ticket_id: "ticket-1".to_owned(),
        challenged_result_transcript_hash: "old-hash".to_owned(),
        recheck_transcript_hash: "new-hash".to_owned(),
        recheck_result_class: ResultClass::RecheckConfirmedFail,
        details: String::new(),
    };
    change(&mut message);
    Message::RecheckEvidence(message)
}

#[test]
fn one_challenge_is_rechecked_once() {
    let mut state = seeded();
    accept(&mut state, "first", evidence(|_| {}));
    assert_eq!(suspicion(&state, "target"), Some(15));
    assert_eq!(reliability(&state, "first"), Some(3));
    assert!(state.audit.transcripts.get("old-hash").unwrap().confirmed_by_recheck);
    let again = evidence(|m| m.recheck_transcript_hash = "new-hash-2".into());
    refuse(&mut state, "second", again, "audit/10", "already linked");
    refuse(&mut state, "first", evidence(|_| {}), "audit/10", "recheck evidence already submitted");
}

#[test]
fn wrong_evidence_is_refused_in_the_chains_order() {
    type Change = fn(&mut RecheckEvidenceMessage);
    let table: &[(Change, &str, &str, &str)] = &[
        (
            |m| m.challenged_supernode_account.clear(),
            "first",
            "audit/10",
            "challenged_supernode_account is required",
        ),
        (|m| m.challenged_supernode_account = "first".into(), "first", "audit/10", "must not equal creator"),
        (|m| m.ticket_id.clear(), "first", "audit/10", "ticket_id is required"),
        (
            |m| m.challenged_result_transcript_hash.clear(),
            "stranger",
            "audit/10",
            "challenged_result_transcript_hash is required",
        ),
        (
            |m| m.recheck_transcript_hash.clear(),
            "stranger",
            "audit/10",
            "recheck_transcript_hash is required",
        ),
        (|m| m.epoch_id = 999, "stranger", "audit/2", "epoch anchor not found for epoch_id 999"),
        (|_| {}, "stranger", "audit/7", "creator is not a registered supernode"),
        (
            |m| m.challenged_supernode_account = "x".into(),
            "first",
            "audit/10",
            "is not a registered supernode",
        ),
        (
            |m| m.recheck_result_class = ResultClass::NoEligibleTicket,
            "first",
            "audit/10",
            "recheck_result_class is invalid",
        ),
        (
            |m| m.challenged_result_transcript_hash = "x".into(),
            "first",
            "audit/10",
            "does not reference a submitted storage proof result",
        ),
        (|m| m.ticket_id = "x".into(), "first", "audit/10", "ticket_id does not match request ticket_id"),
        (
            |m| m.challenged_supernode_account = "second".into(),
            "first",
            "audit/10",
            "target does not match challenged_supernode_account",
        ),
        (|_| {}, "original", "audit/10", "creator must be independent"),
    ];
    let mut state = seeded();
    for (change, creator, code, phrase) in table {
        refuse(&mut state, creator, evidence(change), code, phrase);
    }
    state.audit.transcripts.update("old-hash", |record| record.recheck_eligible = false);
    refuse(&mut state, "first", evidence(|_| {}), "audit/10", "class is not recheck-eligible");
}

#[test]
fn the_original_reporter_is_credited_or_charged() {
    for (class, expected) in [
        (ResultClass::RecheckConfirmedFail, 7),
        (ResultClass::Pass, 35),
        (ResultClass::TimeoutOrNoResponse, 10),
    ] {
        let mut state = seeded();
        plant_reliability(&mut state, "original", 10, 0);
        accept(&mut state, "first", evidence(|m| m.recheck_result_class = class));
        assert_eq!(reliability(&state, "original"), Some(expected), "{class}");
    }
}

#[test]
fn rechecks_do_not_escalate() {
    let mut state = seeded();
    state.height = 500;
    for number in 1..4 {
        let ticket_id = format!("ticket-{number}");
        plant_challenge(&mut state, &format!("old-{number}"), &ticket_id);
        let message = evidence(|m| {
            m.ticket_id = ticket_id;
            m.challenged_result_transcript_hash = format!("old-{number}");
            m.recheck_transcript_hash = format!("new-{number}");
        });
        accept(&mut state, "first", message);
    }
    assert_eq!(suspicion(&state, "target"), Some(45));
}
