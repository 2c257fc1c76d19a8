//! How long the chain takes to close epochs, and whether its state stays bounded.
#![expect(clippy::expect_used, reason = "a benchmark that can't go on has nothing to measure")]
#![expect(clippy::print_stdout, reason = "the size of the state belongs to the result")]

use lampkeeper_chain_sim::message::EpochReport;
use lampkeeper_chain_sim::state::supernodes::SupernodeRecord;
use lampkeeper_chain_sim::state::tickets::ArtifactCounts;
use lampkeeper_chain_sim::{ChainConfig, Message, State, address};
use lampkeeper_plugin_sdk::api::chain::{
    Params, StorageChallengeObservation, StorageProofResult, SupernodeState, TicketDeterioration,
};
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};

const EPOCH_LENGTH_BLOCKS: u64 = 4;
const EPOCHS: u64 = 1000;
/// One result in this many is a failure.
const FAILURE_EVERY: u64 = 97;

fn main() {
    divan::main();
}

/// A network with every node ACTIVE and every ticket anchored; `scored` tickets have a deterioration state.
fn network(nodes: usize, tickets: u64, scored: u64) -> (State, Vec<String>) {
    let params = Params { epoch_length_blocks: EPOCH_LENGTH_BLOCKS, ..Params::default() };
    let mut state = State::new(ChainConfig { params, ..ChainConfig::default() });
    let accounts: Vec<String> =
        (0..nodes).map(|node| address::labelled_account(&format!("node {node}"))).collect();
    for account in &accounts {
        let operator = address::operator_of_account(account).expect("an account");
        state.supernode.supernodes.insert(SupernodeRecord::planted(
            &operator,
            account,
            SupernodeState::Active,
            0,
        ));
    }
    for ticket in 0..tickets {
        state.audit.artifact_counts.insert(ticket.to_string(), ArtifactCounts { index: 50, symbol: 500 });
    }
    for ticket in 0..scored {
        state.audit.tickets.insert(TicketDeterioration {
            ticket_id: ticket.to_string(),
            deterioration_score: (ticket % 60) as i64,
            last_index_failure_epoch: 1,
            ..TicketDeterioration::default()
        });
    }
    (state, accounts)
}

fn row(target: &str, reporter: &str, ticket: u64, bucket: Bucket, number: u64) -> StorageProofResult {
    let failed = number.is_multiple_of(FAILURE_EVERY);
    StorageProofResult {
        target_supernode_account: target.to_owned(),
        challenger_supernode_account: reporter.to_owned(),
        ticket_id: ticket.to_string(),
        bucket_type: bucket,
        artifact_class: ArtifactClass::Symbol,
        artifact_ordinal: (number % 500) as u32,
        artifact_key: "key".to_owned(),
        result_class: if failed { ResultClass::TimeoutOrNoResponse } else { ResultClass::Pass },
        transcript_hash: format!("transcript {number}"),
        artifact_count: 500,
        derivation_input_hash: "derivation".to_owned(),
        challenger_signature: "signature".to_owned(),
        ..StorageProofResult::default()
    }
}

/// Runs one epoch in which everybody reports and every prober proves two tickets of its target.
fn run_epoch(state: &mut State, accounts: &[String], tickets: u64, number: &mut u64) {
    state.next_block(&[]).expect("a block");
    let epoch_id = state.current_epoch();
    let reports: Vec<(String, Message)> = accounts
        .iter()
        .map(|reporter| {
            let targets = state
                .query_assigned_targets(reporter, None)
                .map(|assigned| assigned.target_supernode_accounts)
                .unwrap_or_default();
            let mut report = EpochReport { epoch_id, ..EpochReport::default() };
            for target in targets {
                report.storage_challenge_observations.push(Some(StorageChallengeObservation {
                    target_supernode_account: target.clone(),
                    port_states: vec![Default::default(); 3],
                }));
                for bucket in [Bucket::Recent, Bucket::Old] {
                    *number += 1;
                    let result = row(&target, reporter, *number % tickets, bucket, *number);
                    report.storage_proof_results.push(Some(result));
                }
            }
            (reporter.clone(), Message::EpochReport(report))
        })
        .collect();
    let block = state.next_block(&reports).expect("a block");
    assert!(
        block.results.iter().all(Result::is_ok),
        "{:?}",
        block.results.iter().find(|result| result.is_err())
    );
    let end = state.query_current_epoch().epoch_end_height;
    state.advance_to(end).expect("blocks");
}

/// The records of everything that retention bounds.
fn retained(state: &State) -> usize {
    let audit = &state.audit;
    audit.anchors.len()
        + audit.params_snapshots.len()
        + audit.reports.by_epoch.values().map(|reports| reports.len()).sum::<usize>()
        + audit.reports.observers.values().map(|targets| targets.len()).sum::<usize>()
        + audit.transcripts.iter().count()
        + audit.node_failures.iter().count()
        + audit.reporter_results.iter().count()
        + audit.tickets.len()
        + audit.heal_ops.iter().count()
        + audit.heal_votes.len()
        + audit.failed_heals.values().map(|markers| markers.len()).sum::<usize>()
}

#[divan::bench(sample_count = 1, sample_size = 1)]
fn closes_1000_epochs_of_100_nodes_and_10000_tickets() {
    let (mut state, accounts) = network(100, 10_000, 0);
    let (mut number, mut half_way) = (0, 0);
    for epoch in 0..EPOCHS {
        if epoch == EPOCHS / 2 {
            half_way = retained(&state);
        }
        run_epoch(&mut state, &accounts, 10_000, &mut number);
    }
    let at_end = retained(&state);
    println!(
        "records that retention bounds: {half_way} after {} epochs, {at_end} after {EPOCHS}",
        EPOCHS / 2
    );
    assert!(at_end <= half_way + half_way / 10, "the state grew from {half_way} to {at_end} records");
    let keep = state.params().keep_last_epoch_entries as usize;
    assert!(state.audit.anchors.len() <= keep);
    assert!(state.audit.transcripts.iter().count() <= keep * accounts.len() * 2);
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn loads_10000_nodes_and_1000000_tickets(bencher: divan::Bencher<'_, '_>) {
    let (state, _) = network(10_000, 1_000_000, 1_000_000);
    let text = state.to_json().expect("a state");
    drop(state);
    bencher.bench_local(|| State::from_json(divan::black_box(&text)).expect("a state"));
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn closes_an_epoch_of_10000_nodes_and_1000000_tickets(bencher: divan::Bencher<'_, '_>) {
    let (mut state, _) = network(10_000, 1_000_000, 1_000_000);
    bencher.bench_local(|| {
        let end = state.schedule().end_height(state.current_epoch() + 1);
        state.advance_to(end).expect("blocks");
    });
}
