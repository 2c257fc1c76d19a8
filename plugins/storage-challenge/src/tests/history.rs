//! When "no eligible ticket" may be said (chain 4.4).

use super::support::{CHALLENGER, EPOCH, NODES, World, account, anchor, params, run, unavailable, view};
use crate::history::SeenTickets;
use lampkeeper_plugin_sdk::api::chain::{ChainError, EpochReport, StorageProofResult};
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};
use lampkeeper_plugin_sdk::testkit::{MockChain, MockChainBuilder};

fn row(class: ResultClass, bucket: Bucket) -> StorageProofResult {
    StorageProofResult {
        target_supernode_account: account("alpha"),
        ticket_id: if class == ResultClass::NoEligibleTicket { String::new() } else { "17".into() },
        bucket_type: bucket,
        result_class: class,
        ..StorageProofResult::default()
    }
}

/// A chain with one report of an earlier epoch; nobody else has reported.
fn chain_with(reporter: &str, epoch_id: u64, row: StorageProofResult) -> MockChainBuilder {
    let report = EpochReport { storage_proof_results: vec![row], ..EpochReport::default() };
    let mut chain = MockChain::builder(CHALLENGER);
    for epoch in 0..EPOCH {
        chain = chain.epoch_anchor(epoch, Ok(anchor(epoch))).always();
        for name in NODES {
            let answer = if name == reporter && epoch == epoch_id {
                Ok(report.clone())
            } else {
                Err(ChainError::NotFound { what: "the report".into() })
            };
            chain = chain.epoch_report(&account(name), epoch, answer).always();
        }
    }
    chain
}

#[test]
fn a_ticket_that_anybody_saw_within_the_window_forbids_it() {
    let world = World::new();
    // Whoever reported, the assigned challenger or one that the reliability rules let in; whatever came out.
    for reporter in NODES {
        for (class, bucket, epoch, seen) in [
            (ResultClass::Pass, Bucket::Recent, EPOCH - 1, true),
            (ResultClass::HashMismatch, Bucket::Recent, EPOCH - 2, true),
            (ResultClass::Pass, Bucket::Recent, EPOCH - 3, false), // the window is three epochs with this one
            (ResultClass::Pass, Bucket::Old, EPOCH - 1, false),
            (ResultClass::NoEligibleTicket, Bucket::Recent, EPOCH - 1, false),
        ] {
            let chain = chain_with(reporter, epoch, row(class, bucket)).build();
            let seen_tickets = SeenTickets::default();
            let view = view();
            for _ in 0..2 {
                let found = run(
                    &world,
                    Box::pin(seen_tickets.recently(&*chain, &view, &account("alpha"), Bucket::Recent)),
                );
                let expected = seen.then(|| "17".to_owned());
                assert_eq!(found.unwrap(), expected, "{reporter} {class:?} {bucket:?} in {epoch}");
            }
            let calls = chain.calls().len();
            assert!(calls <= 3 * (NODES.len() + 1), "closed epochs are read once, not {calls} times");
        }
    }
    assert_eq!(params().storage_truth_recent_bucket_max_blocks, 1200);
}

#[test]
fn not_knowing_is_an_error() {
    let world = World::new();
    let mut chain = MockChain::builder(CHALLENGER).epoch_anchor(EPOCH - 1, Ok(anchor(EPOCH - 1))).always();
    for name in NODES {
        chain = chain.epoch_report(&account(name), EPOCH - 1, Err(unavailable())).always();
    }
    let chain = chain.build();
    let seen = SeenTickets::default();
    let view = view();
    let found = run(&world, Box::pin(seen.recently(&*chain, &view, &account("alpha"), Bucket::Recent)));
    assert!(found.is_err());
}
