//! What the border of a native plugin costs: the same plugin linked and loaded, called by a node, and a plain object beside
//! it.
//!
//! Each call passes the host's gate, which keeps the plugin's account; a loaded plugin's own gate comes second, with
//! its runtime and its log records. The streams are 64 messages of 1 MiB, as a heal is streamed.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a benchmark that builds a library"
)]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::chain::{HealOp, Ticket};
use lampkeeper_api::heal::{HealCost, HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_api::plugin::Seam;
use lampkeeper_api::transport::{CallerMint, Handler};
use lampkeeper_core::{Manifest, Registry};
use lampkeeper_plugin_sdk::async_trait;
use std::path::Path;
use std::sync::Arc;
use support::{Running, wait_for};

#[path = "../tests/guest/src/lib.rs"]
mod linked;
#[path = "../tests/native/support.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod support;

/// A call is too short to be timed alone.
const CALLS_PER_SAMPLE: u32 = 1000;

fn main() {
    divan::main();
}

/// Where the code that is called comes from.
#[derive(Debug, Clone, Copy)]
enum From {
    /// An object of this program, without a node around it.
    Plain,
    /// The guest, linked into this program.
    Linked,
    /// The guest, loaded from its library.
    Loaded,
}

/// A node of the guest alone.
fn start(from: From) -> Running {
    match from {
        From::Plain | From::Linked => {
            let text =
                "[node]\nname = 'n1'\nnetwork = 'devnet-1'\ndata_dir = 'data'\n[plugins.native-guest]\n";
            let registry = Registry::from_static().unwrap();
            let registry = registry.with_host_seams([Seam::Scheduler, Seam::Transport]);
            let parsed = Manifest::parse(Path::new("node.toml"), text, &registry);
            Running::start_with(&registry, parsed).unwrap()
        }
        From::Loaded => Running::start("").unwrap(),
    }
}

struct Plain;

#[async_trait]
impl HealStrategy for Plain {
    fn name(&self) -> &str {
        "plain"
    }

    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError> {
        Ok(Reconstruction { manifest_hash: job.ticket.ticket_id, cost: HealCost::default() })
    }
}

fn strategy(from: From) -> Arc<dyn HealStrategy> {
    match from {
        From::Plain => Arc::new(Plain),
        From::Linked | From::Loaded => start(from).node.seams().heal_strategy.clone().unwrap(),
    }
}

#[divan::bench(args = [From::Plain, From::Linked, From::Loaded], sample_size = CALLS_PER_SAMPLE)]
fn call(bencher: Bencher<'_, '_>, from: From) {
    let strategy = strategy(from);
    bencher.bench_local(|| black_box(strategy.name()).len());
}

#[divan::bench(args = [From::Plain, From::Linked, From::Loaded], sample_size = CALLS_PER_SAMPLE)]
fn call_with_a_future(bencher: Bencher<'_, '_>, from: From) {
    let strategy = strategy(from);
    bencher.bench_local(|| {
        let job = HealJob { heal_op: HealOp::default(), ticket: Ticket::default(), cancel: Cancel::new() };
        wait_for(strategy.reconstruct(job)).unwrap()
    });
}

#[divan::bench(args = [From::Linked, From::Loaded])]
fn stream_of_64_mib(bencher: Bencher<'_, '_>, from: From) {
    let running = start(from);
    let Some(Handler::ServerStream(handler)) = running.router.find("/guest/letters") else {
        panic!("no handler")
    };
    let caller = CallerMint::for_host().proved("a1");
    bencher.counter(BytesCount::new(64_u64 << 20)).bench_local(|| {
        let mut stream = wait_for(handler.call(caller.clone(), Vec::new())).unwrap();
        let mut len_bytes = 0;
        while let Some(message) = wait_for(stream.next()) {
            len_bytes += black_box(message).unwrap().len();
        }
        assert_eq!(len_bytes, 64 << 20);
    });
}
