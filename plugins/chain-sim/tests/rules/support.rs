//! Planted situations. Every option has a default, so that what a test sets is what it is about.

use lampkeeper_chain_sim::message::EpochReport;
use lampkeeper_chain_sim::state::supernodes::SupernodeRecord;
use lampkeeper_chain_sim::state::tickets::ArtifactCounts;
use lampkeeper_chain_sim::{ChainConfig, Event, Message, Refusal, State, address};
use lampkeeper_plugin_sdk::api::chain::{
    EpochAnchor, NodeSuspicion, Params, PortState, ReporterReliability, StorageChallengeObservation,
    StorageProofResult, SupernodeState,
};
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};

/// The reporter of the two-node scenarios: a prober of the other node under a zero seed.
pub(crate) const REPORTER: &str = "sn-aaa-reporter";
/// Its target.
pub(crate) const TARGET: &str = "sn-bbb-target";

/// A chain at height 1 without nodes.
pub(crate) fn chain(change: impl FnOnce(&mut Params)) -> State {
    let mut params = Params::default();
    change(&mut params);
    let mut state = State::new(ChainConfig { params, ..ChainConfig::default() });
    state.height = 1;
    state
}

/// Registers nodes in a state; their operators are drawn from their names.
pub(crate) fn plant_nodes(state: &mut State, accounts: &[&str], node_state: SupernodeState) {
    for account in accounts {
        let bytes = blake3_of(account);
        let record = SupernodeRecord::planted(&address::operator(&bytes), account, node_state, 0);
        state.supernode.supernodes.insert(record);
    }
}

fn blake3_of(text: &str) -> Vec<u8> {
    address::decode(address::ACCOUNT_PREFIX, &address::labelled_account(text)).unwrap()
}

/// Plants an anchor with a zero seed.
pub(crate) fn plant_anchor(state: &mut State, epoch_id: u64, active: &[&str], targets: &[&str]) {
    let schedule = state.schedule();
    let names = |accounts: &[&str]| accounts.iter().map(|&account| account.to_owned()).collect();
    let anchor = EpochAnchor {
        epoch_id,
        epoch_start_height: schedule.start_height(epoch_id),
        epoch_end_height: schedule.end_height(epoch_id),
        active_supernode_accounts: names(active),
        target_supernode_accounts: names(targets),
        ..EpochAnchor::default()
    };
    state.audit.anchors.insert(epoch_id, anchor);
}

/// Two ACTIVE nodes with anchors of the first epochs and counts for `ticket-1` and more.
pub(crate) fn two_nodes(change: impl FnOnce(&mut Params)) -> State {
    let mut state = chain(change);
    let nodes = [REPORTER, TARGET];
    plant_nodes(&mut state, &nodes, SupernodeState::Active);
    for epoch_id in 0..5 {
        plant_anchor(&mut state, epoch_id, &nodes, &nodes);
    }
    for number in 1..5 {
        let counts = ArtifactCounts { index: 8, symbol: 16 };
        state.audit.artifact_counts.insert(format!("ticket-{number}"), counts);
    }
    state
}

/// A row about [`TARGET`]: PASS, RECENT, INDEX 1 of 8, `ticket-1`.
pub(crate) fn row(change: impl FnOnce(&mut StorageProofResult)) -> StorageProofResult {
    let mut result = StorageProofResult {
        target_supernode_account: TARGET.to_owned(),
        challenger_supernode_account: REPORTER.to_owned(),
        ticket_id: "ticket-1".to_owned(),
        bucket_type: Bucket::Recent,
        artifact_class: ArtifactClass::Index,
        artifact_ordinal: 1,
        artifact_key: "key".to_owned(),
        result_class: ResultClass::Pass,
        transcript_hash: "hash-1".to_owned(),
        artifact_count: 8,
        derivation_input_hash: "derivation".to_owned(),
        challenger_signature: "signature".to_owned(),
        ..StorageProofResult::default()
    };
    change(&mut result);
    result
}

/// A report of the current epoch with one observation of [`TARGET`] and these rows.
pub(crate) fn report(state: &State, rows: Vec<StorageProofResult>) -> EpochReport {
    EpochReport {
        epoch_id: state.current_epoch(),
        storage_challenge_observations: vec![Some(observation(TARGET, PortState::Open, 3))],
        storage_proof_results: rows.into_iter().map(Some).collect(),
        ..EpochReport::default()
    }
}

pub(crate) fn observation(target: &str, port: PortState, ports: usize) -> StorageChallengeObservation {
    StorageChallengeObservation {
        target_supernode_account: target.to_owned(),
        port_states: vec![port; ports],
    }
}

/// Executes a message that must be accepted.
pub(crate) fn accept(state: &mut State, creator: &str, message: Message) -> Vec<Event> {
    match state.deliver(&message, creator) {
        Ok(delivered) => delivered.events,
        Err(refusal) => panic!("{} by {creator} was refused: {refusal}", message.kind()),
    }
}

/// Executes a message that must be refused with this code and phrase, without a trace in the state.
pub(crate) fn refuse(
    state: &mut State,
    creator: &str,
    message: Message,
    code: &str,
    phrase: &str,
) -> Refusal {
    let before = state.clone();
    let refusal = match state.deliver(&message, creator) {
        Ok(_) => panic!("{} by {creator} was accepted; expected {code} {phrase:?}", message.kind()),
        Err(refusal) => refusal,
    };
    let found = format!("{}/{}", refusal.codespace, refusal.code);
    assert_eq!(found, code, "{refusal}");
    assert!(refusal.to_string().contains(phrase), "{:?} does not contain {phrase:?}", refusal.to_string());
    assert!(*state == before, "a refused message left something behind");
    refusal
}

pub(crate) fn suspicion(state: &State, account: &str) -> Option<i64> {
    state.audit.suspicion.get(account).map(|stored| stored.suspicion_score)
}

pub(crate) fn reliability(state: &State, account: &str) -> Option<i64> {
    state.audit.reliability.get(account).map(|stored| stored.reliability_score)
}

pub(crate) fn deterioration(state: &State, ticket_id: &str) -> Option<i64> {
    state.audit.tickets.get(ticket_id).map(|stored| stored.deterioration_score)
}

pub(crate) fn plant_suspicion(state: &mut State, account: &str, change: impl FnOnce(&mut NodeSuspicion)) {
    let mut suspicion = NodeSuspicion { supernode_account: account.to_owned(), ..NodeSuspicion::default() };
    change(&mut suspicion);
    state.audit.suspicion.insert(account.to_owned(), suspicion);
}

pub(crate) fn plant_reliability(state: &mut State, account: &str, score: i64, epoch_id: u64) {
    let reliability = ReporterReliability {
        reporter_supernode_account: account.to_owned(),
        reliability_score: score,
        last_updated_epoch: epoch_id,
        ..ReporterReliability::default()
    };
    state.audit.reliability.insert(account.to_owned(), reliability);
}

/// The latest state of a node and why it is in it.
pub(crate) fn node_state(state: &State, account: &str) -> (SupernodeState, String) {
    let node = state.supernode.supernodes.by_account(account).unwrap();
    (node.state(), node.states.last().unwrap().reason.clone())
}
