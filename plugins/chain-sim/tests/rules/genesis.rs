//! The audit module's genesis (chain A.3; scenario S67).

use crate::support::*;
use lampkeeper_chain_sim::genesis::{ArtifactCountRow, AuditGenesis, PostponementRow};
use lampkeeper_chain_sim::state::evidence::Evidence;
use lampkeeper_plugin_sdk::api::chain::{HealOp, NodeSuspicion, SupernodeState};

#[test]
fn a_default_genesis_comes_back_as_it_was() {
    let mut state = chain(|_| {});
    let genesis = AuditGenesis::default();
    state.import_audit_genesis(&genesis).unwrap();
    assert_eq!(state.export_audit_genesis(), genesis);
    assert_eq!((genesis.next_evidence_id, genesis.next_heal_op_id), (1, 1));
}

#[test]
fn transcripts_are_kept_to_the_byte_until_they_change() {
    let mut state = chain(|_| {});
    let row = r#"{"transcript_hash":  "h", "epoch_id":0}"#.to_owned();
    let mut genesis = AuditGenesis { transcripts: vec![row.clone()], ..AuditGenesis::default() };
    state.import_audit_genesis(&genesis).unwrap();
    assert_eq!(state.export_audit_genesis().transcripts, [row]);
    state.audit.transcripts.update("h", |record| record.confirmed_by_recheck = true);
    assert!(state.export_audit_genesis().transcripts[0].contains("\"confirmed_by_recheck\":true"));
    genesis.transcripts[0].push_str("{}");
    let error = state.import_audit_genesis(&genesis).unwrap_err();
    assert!(error.reason.contains("trailing JSON data"), "{error}");
}

#[test]
fn ids_continue_after_the_largest() {
    let mut state = chain(|_| {});
    let evidence = vec![Evidence { evidence_id: 7, ..Evidence::default() }];
    let heal_ops = vec![HealOp { heal_op_id: 9, ..HealOp::default() }];
    state.import_audit_genesis(&AuditGenesis { evidence, heal_ops, ..AuditGenesis::default() }).unwrap();
    assert_eq!((state.audit.evidence.next_evidence_id, state.audit.next_heal_op_id), (8, 10));
}

#[test]
fn unsound_rows_are_refused() {
    let mut state = chain(|_| {});
    plant_nodes(&mut state, &["active"], SupernodeState::Active);
    let evidence = Evidence { evidence_id: 7, ..Evidence::default() };
    let operation = HealOp { heal_op_id: 9, ..HealOp::default() };
    let counts = |ticket: &str| ArtifactCountRow {
        ticket_id: ticket.to_owned(),
        index_artifact_count: 0,
        symbol_artifact_count: 0,
    };
    let postponed =
        |account: &str| PostponementRow { supernode_account: account.to_owned(), epoch_id: 0, strong: false };
    let suspicion = |score, epoch| NodeSuspicion {
        suspicion_score: score,
        last_updated_epoch: epoch,
        ..NodeSuspicion::default()
    };
    let base = AuditGenesis::default;
    for (genesis, phrase) in [
        (AuditGenesis { evidence: vec![evidence.clone(), evidence], ..base() }, "duplicate evidence_id 7"),
        (AuditGenesis { heal_ops: vec![operation.clone(), operation], ..base() }, "duplicate heal_op_id 9"),
        (AuditGenesis { artifact_counts: vec![counts("")], ..base() }, "empty ticket id"),
        (AuditGenesis { artifact_counts: vec![counts("t")], ..base() }, "zero index and symbol counts"),
        (AuditGenesis { node_suspicion: vec![suspicion(-1, 0)], ..base() }, "negative suspicion"),
        (AuditGenesis { node_suspicion: vec![suspicion(1, 1)], ..base() }, "beyond the current epoch"),
        (
            AuditGenesis { storage_truth_postponements: vec![postponed("x")], ..base() },
            "references unknown supernode",
        ),
        (
            AuditGenesis { storage_truth_postponements: vec![postponed("active")], ..base() },
            "lacks corresponding supernode-postponed state",
        ),
    ] {
        let before = state.clone();
        let error = state.import_audit_genesis(&genesis).unwrap_err();
        assert!(error.reason.contains(phrase), "{error}");
        assert!(state == before, "a refused genesis changed something");
    }
}
