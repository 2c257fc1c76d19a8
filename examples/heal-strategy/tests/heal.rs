//! The strategy keeps the contract of heal strategies, has its own idea, and runs in a node that links it.

use example_heal_strategy::descriptor;
use lampkeeper_core::{Manifest, Node, NodeHost, Registry, TelemetryHub};
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::HealOp;
use lampkeeper_plugin_sdk::api::heal::HealJob;
use lampkeeper_plugin_sdk::api::plugin::Seam;
use lampkeeper_plugin_sdk::api::staging::{Staging, StagingState};
use lampkeeper_plugin_sdk::cascade::fixture::{MemoryNetwork, TicketFixture};
use lampkeeper_plugin_sdk::testkit::{
    MemoryStaging, MockChain, TestSigner, VirtualScheduler, conformance, context,
};
use std::path::Path;
use std::sync::Arc;

const ACCOUNTS: [&str; 8] = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"];

#[test]
fn it_keeps_the_contract_of_heal_strategies() {
    let (scheduler, descriptor) = (VirtualScheduler::new(11), descriptor());
    let suite = conformance::heal_strategy_plugin(scheduler.handle(), &descriptor);
    scheduler.block_on(suite).assert_passed();
}

/// Two symbols lose copies: one keeps five of six, one keeps two.
#[test]
fn what_is_rare_goes_to_everybody_and_the_rest_to_those_who_lack_it() {
    let fixture = TicketFixture::new("1", 440_000, 3);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    let (common, rare) = (fixture.symbols[1].key, fixture.symbols[2].key);
    let common_lost = network.replicas(&common)[0].clone();
    network.remove_from(&common_lost, &common);
    network.replicas(&rare).iter().take(4).for_each(|account| network.remove_from(account, &rare));
    let (scheduler, staging) = (VirtualScheduler::new(1), MemoryStaging::new());
    let seams = (
        fixture.known_to(MockChain::builder("ann")).build(),
        Arc::new(network.clone()),
        Arc::new(staging.clone()),
        scheduler.handle(),
    );
    let context = context("heal-rare-first").seams(|granted| {
        granted.chain_reader = Some(seams.0);
        granted.network = Some(seams.1);
        granted.staging = Some(seams.2);
        granted.scheduler = Some(seams.3);
    });
    let made = scheduler.block_on((descriptor().construct)(context.build())).unwrap();
    let job = HealJob {
        heal_op: HealOp { heal_op_id: 4, ticket_id: fixture.ticket.ticket_id.clone(), ..HealOp::default() },
        ticket: fixture.ticket.clone(),
        cancel: Cancel::new(),
    };
    scheduler.block_on(made.heal_strategy.unwrap().reconstruct(job)).unwrap();
    let Ok(StagingState::Sealed(manifest)) = scheduler.block_on(staging.state(4)) else {
        panic!("not sealed")
    };
    let missing_on =
        |key| &manifest.artifacts.iter().find(|artifact| artifact.key == key).unwrap().missing_on;
    assert_eq!(manifest.artifacts.len(), 2);
    assert_eq!(*missing_on(common), [common_lost]);
    assert!(missing_on(rare).is_empty(), "nobody in particular: everybody");
}

#[test]
fn a_node_that_links_it_starts_with_it() {
    let host_seams = [Seam::Scheduler, Seam::ChainRead, Seam::Network, Seam::Staging];
    let registry = Registry::from_static().unwrap().with_host_seams(host_seams);
    let text = "[node]\nname = 'n1'\nnetwork = 'devnet-1'\ndata_dir = 'data'\n\
                [plugins.heal-rare-first.config]\nrare_below_copies = 2\n";
    let manifest = Manifest::parse(Path::new("node.toml"), text, &registry).unwrap();
    let scheduler = VirtualScheduler::new(1);
    let mut host = NodeHost::new(Arc::new(TestSigner::new("n1")), TelemetryHub::new());
    host.seams.scheduler = Some(scheduler.handle());
    host.seams.chain_reader = Some(MockChain::builder("ann").build());
    host.seams.network = Some(Arc::new(MemoryNetwork::new(&ACCOUNTS)));
    host.seams.staging = Some(Arc::new(MemoryStaging::new()));
    let node = scheduler.block_on(Node::start(&manifest, &registry, host)).unwrap();
    assert!(scheduler.block_on(node.drain()).is_clean());
}
