//! Whatever is missing, everything is staged, byte for byte.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::HealOp;
use lampkeeper_plugin_sdk::api::heal::{HealError, HealJob, HealStrategy};
use lampkeeper_plugin_sdk::api::staging::{Staging, StagingState};
use lampkeeper_plugin_sdk::cascade::fixture::{MemoryNetwork, TicketFixture};
use lampkeeper_plugin_sdk::testkit::{MemoryStaging, MockChain, VirtualScheduler, context};
use std::sync::Arc;

const ACCOUNTS: [&str; 8] = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"];

fn strategy(
    scheduler: &VirtualScheduler,
    fixture: &TicketFixture,
    network: &MemoryNetwork,
    staging: &MemoryStaging,
) -> Arc<dyn HealStrategy> {
    let chain = fixture.known_to(MockChain::builder("ann")).build();
    let seams = (chain, Arc::new(network.clone()), Arc::new(staging.clone()), scheduler.handle());
    let context = context("heal-full").seams(|granted| {
        granted.chain_reader = Some(seams.0);
        granted.network = Some(seams.1);
        granted.staging = Some(seams.2);
        granted.scheduler = Some(seams.3);
    });
    let construct = lampkeeper_heal_full::descriptor().construct;
    scheduler.block_on(construct(context.build())).unwrap().heal_strategy.unwrap()
}

fn job(fixture: &TicketFixture) -> HealJob {
    HealJob {
        heal_op: HealOp { heal_op_id: 4, ticket_id: fixture.ticket.ticket_id.clone(), ..HealOp::default() },
        ticket: fixture.ticket.clone(),
        cancel: Cancel::new(),
    }
}

#[test]
fn everything_is_staged_for_its_whole_replica_set() {
    for lost in [0..0, 0..1, 0..7, 3..30] {
        let fixture = TicketFixture::new("1", 440_000, 3);
        let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
        fixture.symbols[lost.clone()].iter().for_each(|symbol| network.remove(&symbol.key));
        let (scheduler, staging) = (VirtualScheduler::new(1), MemoryStaging::new());
        let strategy = strategy(&scheduler, &fixture, &network, &staging);
        let made = scheduler.block_on(strategy.reconstruct(job(&fixture))).unwrap();
        assert_eq!(made.manifest_hash, fixture.ticket.data_hash);
        assert_eq!(made.cost.decoded, !lost.is_empty());
        let Ok(StagingState::Sealed(manifest)) = scheduler.block_on(staging.state(4)) else {
            panic!("not sealed: {lost:?}")
        };
        assert!(manifest.artifacts.iter().all(|artifact| artifact.missing_on.is_empty()));
        assert_eq!(manifest.artifacts.len(), fixture.artifacts().count());
        for artifact in fixture.artifacts() {
            let bytes = scheduler.block_on(staging.get_artifact(4, &artifact.key));
            assert_eq!(bytes.as_ref(), Ok(&artifact.bytes), "{lost:?}");
        }
    }
}

#[test]
fn too_few_symbols_are_a_loss() {
    let fixture = TicketFixture::new("1", 440_000, 3);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    fixture.symbols[6..].iter().for_each(|symbol| network.remove(&symbol.key));
    let (scheduler, staging) = (VirtualScheduler::new(1), MemoryStaging::new());
    let strategy = strategy(&scheduler, &fixture, &network, &staging);
    let outcome = scheduler.block_on(strategy.reconstruct(job(&fixture)));
    assert!(matches!(outcome, Err(HealError::Lost { have: 6, need: 7, .. })), "{outcome:?}");
}
