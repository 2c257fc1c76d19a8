//! That cost follows the damage, seen from the calls: who is asked what in which portions, and what is computed how often.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::HealOp;
use lampkeeper_plugin_sdk::api::heal::{HealJob, Reconstruction};
use lampkeeper_plugin_sdk::api::network::{Artifact, ArtifactNetwork, NetworkError, Published, Survey};
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Permits, Scheduler, TaskFailure, TaskHandle};
use lampkeeper_plugin_sdk::api::{Account, BoxFuture};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::collect::{FETCHES_IN_FLIGHT_MAX, HEDGE_AFTER, SYMBOLS_PER_FETCH};
use lampkeeper_plugin_sdk::cascade::fixture::{MemoryNetwork, TicketFixture};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::testkit::{MemoryStaging, MockChain, VirtualScheduler, context};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ACCOUNTS: [&str; 8] = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"];

#[derive(Default)]
struct Calls {
    /// Keys of each survey, and whether holders had to hash.
    surveys: Vec<(usize, bool)>,
    /// Symbols of each fetch.
    fetches: Vec<usize>,
    under_way: usize,
    under_way_max: usize,
    /// Fetches that ask for one of these never end.
    hanging: BTreeSet<ArtifactKey>,
    blocking: Vec<String>,
}

/// A network that remembers what it was asked, and takes a second for each fetch.
#[derive(Clone)]
struct Network {
    holders: MemoryNetwork,
    scheduler: VirtualScheduler,
    calls: Arc<Mutex<Calls>>,
}

#[async_trait]
impl ArtifactNetwork for Network {
    async fn replica_set(&self, key: &ArtifactKey) -> Result<Vec<Account>, NetworkError> {
        self.holders.replica_set(key).await
    }
    async fn publish(&self, _: Vec<Artifact>) -> Result<Vec<Published>, NetworkError> {
        panic!("a strategy publishes nothing")
    }
    async fn publish_to(&self, _: Vec<Artifact>, _: &[Account]) -> Result<Vec<Published>, NetworkError> {
        panic!("a strategy publishes nothing")
    }
    async fn fetch(&self, keys: &[ArtifactKey]) -> Result<Vec<Option<Artifact>>, NetworkError> {
        let hangs = {
            let mut calls = self.calls.lock().unwrap();
            calls.fetches.push(keys.len());
            calls.under_way += 1;
            calls.under_way_max = calls.under_way_max.max(calls.under_way);
            keys.iter().any(|key| calls.hanging.contains(key))
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        self.scheduler.sleep(Duration::from_secs(1)).await;
        self.calls.lock().unwrap().under_way -= 1;
        self.holders.fetch(keys).await
    }
    async fn survey(&self, keys: &[ArtifactKey], verify: bool) -> Result<Vec<Survey>, NetworkError> {
        self.calls.lock().unwrap().surveys.push((keys.len(), verify));
        self.holders.survey(keys, verify).await
    }
}

/// A scheduler that remembers which work held a thread.
struct Threads {
    scheduler: VirtualScheduler,
    calls: Arc<Mutex<Calls>>,
}

impl Scheduler for Threads {
    fn now(&self) -> Moment {
        self.scheduler.now()
    }
    fn wall_clock_ms(&self) -> i64 {
        self.scheduler.wall_clock_ms()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.scheduler.sleep(duration)
    }
    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Arc<dyn TaskHandle> {
        self.scheduler.spawn(name, task)
    }
    fn run_blocking(
        &self,
        name: &str,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, Result<(), TaskFailure>> {
        self.calls.lock().unwrap().blocking.push(name.to_owned());
        self.scheduler.run_blocking(name, work)
    }
    fn fill_random(&self, bytes: &mut [u8]) {
        self.scheduler.fill_random(bytes);
    }
    fn permits(&self, count: usize) -> Arc<dyn Permits> {
        self.scheduler.permits(count)
    }
    fn parallelism(&self) -> usize {
        1
    }
}

struct Healed {
    made: Reconstruction,
    calls: Calls,
    took: Duration,
}

/// Heals a ticket of which symbols are lost everywhere, while fetches that ask for some symbols hang.
fn heal(fixture: &TicketFixture, lost: &[usize], hanging: &[usize]) -> Healed {
    let scheduler = VirtualScheduler::new(1);
    let holders = MemoryNetwork::holding(&ACCOUNTS, fixture);
    lost.iter().for_each(|esi| holders.remove(&fixture.symbols[*esi].key));
    let calls = Arc::new(Mutex::new(Calls {
        hanging: hanging.iter().map(|esi| fixture.symbols[*esi].key).collect(),
        ..Calls::default()
    }));
    let network = Network { holders, scheduler: scheduler.for_node("network", 0), calls: Arc::clone(&calls) };
    let threads = Threads { scheduler: scheduler.for_node("healer", 0), calls: Arc::clone(&calls) };
    let chain = fixture.known_to(MockChain::builder("ann")).build();
    let context = context("heal-minimal").seams(|granted| {
        granted.chain_reader = Some(chain);
        granted.network = Some(Arc::new(network));
        granted.staging = Some(Arc::new(MemoryStaging::new()));
        granted.scheduler = Some(Arc::new(threads));
    });
    let construct = lampkeeper_heal_minimal::descriptor().construct;
    let strategy = scheduler.block_on(construct(context.build())).unwrap().heal_strategy.unwrap();
    let heal_op = HealOp { heal_op_id: 4, ticket_id: "1".to_owned(), ..HealOp::default() };
    let job = HealJob { heal_op, ticket: fixture.ticket.clone(), cancel: Cancel::new() };
    let made = scheduler.block_on(strategy.reconstruct(job)).unwrap();
    let took = scheduler.now().since_start();
    let calls = std::mem::take(&mut *calls.lock().unwrap());
    Healed { made, calls, took }
}

fn count(calls: &Calls, work: &str) -> usize {
    calls.blocking.iter().filter(|name| *name == work).count()
}

#[test]
fn holders_are_asked_in_batches_and_only_what_is_needed_is_fetched() {
    // 92 source and 458 repair symbols.
    let fixture = TicketFixture::new("1", 6_000_000, 3);
    let symbols = fixture.symbols.len();
    assert_eq!(symbols, 550);
    let Healed { made, calls, .. } = heal(&fixture, &[300], &[]);
    let asked: usize = calls.surveys.iter().map(|(keys, _)| keys).sum();
    assert_eq!(asked, symbols + fixture.id_files.len(), "every artifact is asked about once");
    assert!(calls.surveys.iter().all(|(keys, verify)| *keys <= 512 && *verify), "{:?}", calls.surveys);
    assert_eq!(calls.surveys.len(), 2);
    // The file's symbols and no others; what is lost is a repair symbol, so nothing is solved.
    assert_eq!((made.cost.fetched_count, made.cost.decoded), (92, false));
    assert_eq!((count(&calls, "decode"), count(&calls, "regenerate")), (0, 1));
    assert!(calls.fetches.iter().all(|keys| *keys <= SYMBOLS_PER_FETCH), "{:?}", calls.fetches);
    assert!(calls.under_way_max <= FETCHES_IN_FLIGHT_MAX);
}

#[test]
fn a_lost_source_symbol_is_solved_for_once_and_then_only_cut_out() {
    let fixture = TicketFixture::new("1", 6_000_000, 3);
    let Healed { made, calls, .. } = heal(&fixture, &[3, 40, 41], &[]);
    assert_eq!((made.cost.regenerated_count, made.cost.fetched_count), (3, 92));
    assert_eq!((count(&calls, "decode"), count(&calls, "regenerate")), (1, 0));
}

#[test]
fn batches_are_fetched_side_by_side_and_one_that_hangs_gets_company() {
    let fixture = TicketFixture::new("1", 6_000_000, 3);
    let lost: Vec<usize> = (0..80).collect();
    // Two batches of repair symbols are needed; the first hangs.
    let Healed { made, calls, took } = heal(&fixture, &lost, &[92]);
    assert_eq!(made.cost.fetched_count, 92);
    assert!(calls.under_way_max > 1, "one after the other");
    // Layout, source symbols, the silence, another batch.
    assert_eq!(took, Duration::from_secs(1 + 1 + 1) + HEDGE_AFTER + Duration::from_secs(1));
}
