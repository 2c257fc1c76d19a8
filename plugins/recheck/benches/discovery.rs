//! What looking through the reports of a whole network costs: in queries to the chain, and in time of this node.
//!
//! 1,000 reporters, 7 epochs. The queries of the first and of the following looks are counted and printed; the chain is in
//! memory, so the times are the plugin's own. Nobody accuses anybody, so no challenge is part of it.

#![expect(clippy::print_stdout, reason = "the number of queries is what is measured")]

#[path = "../tests/common/mod.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "made for tests; nobody accuses anybody here"
)]
mod common;

use common::World;
use lampkeeper_plugin_sdk::api::service::Service;
use std::sync::Arc;

const REPORTERS: usize = 1_000;
/// Six closed epochs and the open one.
const CONFIG: &str = r#"{"lookback_epochs": 6}"#;
const EPOCH: u64 = 9;

fn main() {
    for reported in [0, REPORTERS / 2, REPORTERS] {
        let (world, service) = network(reported);
        world.start(&service);
        println!("1,000 reporters x 7 epochs, {reported} of them have reported in the open epoch:");
        world.first_look();
        print_queries(&world, "first look");
        world.next_look();
        print_queries(&world, "second look");
        world.chain.state().epoch_id += 1;
        world.next_look();
        print_queries(&world, "first look of the next epoch");
    }
    divan::main();
}

/// A chain on which everybody has reported in closed epochs, and `reported` of them in the open one.
fn network(reported: usize) -> (World, Arc<dyn Service>) {
    let world = World::new();
    for reporter in 0..REPORTERS {
        let last = if reporter < reported { EPOCH } else { EPOCH - 1 };
        for epoch_id in EPOCH - 6..=last {
            world.report(&format!("reporter {reporter}"), epoch_id, Vec::new());
        }
    }
    let service = world.service(CONFIG);
    (world, service)
}

fn print_queries(world: &World, look: &str) {
    let mut state = world.chain.state();
    let reports = std::mem::take(&mut state.report_queries).len();
    let pages = std::mem::take(&mut state.page_queries);
    // Parameters, the current epoch and the height are one query each.
    println!(
        "  {look}: {} queries ({reports} reports, {pages} pages of supernodes, 3 others)",
        reports + pages + 3
    );
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn first_look(bencher: divan::Bencher<'_, '_>) {
    let (world, _) = network(REPORTERS / 2);
    bencher
        .with_inputs(|| {
            let service = world.service(CONFIG);
            world.start(&service);
        })
        .bench_local_values(|()| {
            world.first_look();
            world.scheduler.kill_group("node");
        });
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn following_look(bencher: divan::Bencher<'_, '_>) {
    let (world, service) = network(REPORTERS / 2);
    world.start(&service);
    world.first_look();
    bencher.bench_local(|| world.next_look());
}
