//! The same seed and messages make the same chain; saved and loaded it goes on the same.

use crate::support::*;
use lampkeeper_chain_sim::message::EpochReport;
use lampkeeper_chain_sim::{ChainConfig, Message, State};
use lampkeeper_plugin_sdk::api::chain::{Params, SupernodeState};
use lampkeeper_plugin_sdk::protocol::words::ResultClass;

const NODES: [&str; 5] = ["sn-a", "sn-b", "sn-c", "sn-d", "sn-e"];

fn genesis(seed: u64) -> State {
    let params =
        Params { epoch_length_blocks: 3, storage_truth_challenge_target_divisor: 1, ..Params::default() };
    let mut state = State::new(ChainConfig { seed, params, ..ChainConfig::default() });
    plant_nodes(&mut state, &NODES, SupernodeState::Active);
    state
}

/// Everybody reports what the seed's hash says about the assigned target.
fn run(state: &mut State, epochs: u64) {
    for _ in 0..epochs {
        state.next_block(&[]).unwrap();
        let messages: Vec<(String, Message)> =
            NODES.map(|node| (node.to_owned(), report_of(state, node))).into();
        let block = state.next_block(&messages).unwrap();
        for result in &block.results {
            assert!(result.is_ok(), "{result:?}");
        }
        state.next_block(&[]).unwrap();
    }
}

fn report_of(state: &State, node: &str) -> Message {
    let targets = state.query_assigned_targets(node, None).unwrap().target_supernode_accounts;
    let hash = state.header_hash(state.height);
    let rows = targets.into_iter().map(|target| {
        let failed = hash[0].is_multiple_of(3);
        row(|r| {
            r.transcript_hash = format!("{node} {target} {}", state.height);
            r.target_supernode_account = target;
            r.challenger_supernode_account = node.to_owned();
            r.ticket_id = format!("ticket-{}", hash[1] % 4);
            r.result_class = if failed { ResultClass::HashMismatch } else { ResultClass::Pass };
        })
    });
    let storage_proof_results = rows.map(Some).collect();
    Message::EpochReport(EpochReport {
        epoch_id: state.current_epoch(),
        storage_proof_results,
        ..EpochReport::default()
    })
}

#[test]
fn the_same_seed_makes_the_same_chain() {
    let export = |seed| {
        let mut state = genesis(seed);
        run(&mut state, 12);
        state.to_json().unwrap()
    };
    assert_eq!(export(7), export(7));
    assert_ne!(export(7), export(8));
}

#[test]
fn a_saved_chain_goes_on_where_it_was() {
    let mut state = genesis(3);
    run(&mut state, 6);
    let mut loaded = State::from_json(&state.to_json().unwrap()).unwrap();
    assert!(loaded == state, "loading changes nothing");
    run(&mut state, 6);
    run(&mut loaded, 6);
    assert_eq!(loaded.to_json().unwrap(), state.to_json().unwrap());
    assert!(State::from_json("{}").is_err());
}

#[test]
fn anchors_freeze_the_states_of_nodes() {
    let mut state = chain(|_| {});
    plant_nodes(&mut state, &["active"], SupernodeState::Active);
    plant_nodes(&mut state, &["full"], SupernodeState::StorageFull);
    plant_nodes(&mut state, &["postponed"], SupernodeState::Postponed);
    plant_nodes(&mut state, &["stopped"], SupernodeState::Stopped);
    let anchor = state.build_anchor(3, 100, 199, &[0xab; 32]).unwrap();
    assert_eq!(anchor.active_supernode_accounts, ["active", "full"]);
    assert_eq!(anchor.target_supernode_accounts, ["active", "full", "postponed"]);
    assert_eq!(anchor.epoch_length_blocks, 100);
    let seed: String = anchor.seed.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(seed, "d38e261076a02e0e952f3c99641bdcd2f02cd030db8a1d6ef07a86512361008e");
    plant_nodes(&mut state, &[""], SupernodeState::Active);
    assert!(state.begin_block(1, &[], 0).is_err(), "a node without an account halts the chain");
}

#[test]
fn retention_bounds_the_state() {
    let mut state = genesis(1);
    state.audit.params.keep_last_epoch_entries = 22;
    run(&mut state, 40);
    assert_eq!(state.audit.anchors.len(), 22);
    assert_eq!(state.audit.reports.by_epoch.len(), 22);
    assert!(state.audit.transcripts.iter().all(|record| record.epoch_id >= 18));
    assert!(state.audit.node_failures.iter().all(|fact| fact.epoch_id >= 18));
}
