//! How far tickets are from being lost: told, and used to order this node's work. And the limits of that work.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use lampkeeper_plugin_sdk::api::chain::{HealOp, HealOpStatus, Page, PageRequest};
use lampkeeper_plugin_sdk::api::heal::{HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::staging::{Staging, StagingState};
use lampkeeper_plugin_sdk::api::telemetry::Value;
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::fixture::TicketFixture;
use lampkeeper_plugin_sdk::testkit::{MemoryJournal, MemoryStaging, MockChain, VirtualScheduler};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{ACCOUNTS, Bench, HEAL_OP_ID, ME, Setup, chain, chain_after, fixture, heal_op, in_epoch};

/// Takes its time, fails in the end, and remembers what it was asked and how often at once.
struct Slow {
    scheduler: VirtualScheduler,
    takes: Duration,
    seen: Mutex<(Vec<String>, usize, usize)>,
}

impl Slow {
    fn new(scheduler: &VirtualScheduler, takes: Duration) -> Arc<Self> {
        Arc::new(Self { scheduler: scheduler.for_node("slow", 0), takes, seen: Mutex::default() })
    }
}

#[async_trait]
impl HealStrategy for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError> {
        {
            let mut seen = self.seen.lock().unwrap();
            seen.0.push(job.ticket.ticket_id.clone());
            seen.1 += 1;
            seen.2 = seen.2.max(seen.1);
        }
        self.scheduler.sleep(self.takes).await;
        self.seen.lock().unwrap().1 -= 1;
        Err(HealError::Retry { attempted: "taking time".into(), reason: "that was it".into() })
    }
}

fn op(heal_op_id: u64, ticket_id: &str, deadline_epoch_id: u64) -> HealOp {
    HealOp {
        heal_op_id,
        ticket_id: ticket_id.to_owned(),
        deadline_epoch_id,
        ..heal_op(HealOpStatus::Scheduled, ME, &["bob"], "")
    }
}

#[test]
fn the_ticket_that_is_closest_to_being_lost_is_healed_first() {
    // Two source symbols of each are needed; the deadlines alone would say 7, 8, 9.
    let tickets =
        ["7", "8", "9"].map(|ticket_id| TicketFixture::new(ticket_id, 100_000, ticket_id.as_bytes()[0]));
    let scheduled = vec![op(4, "7", 8), op(5, "8", 9), op(6, "9", 10)];
    let mut chain = chain(&tickets[0], scheduled, Vec::new());
    for ticket in &tickets[1..] {
        chain = ticket.known_to(chain);
    }
    let scheduler = VirtualScheduler::new(3);
    let slow = Slow::new(&scheduler, Duration::from_secs(5));
    let config = r#"{"max_concurrent_reconstructs": 1}"#;
    let setup = Setup { scheduler, chosen: Some(slow.clone()), config, ..Setup::default() };
    let bench = Bench::with(setup, MemoryJournal::new(), MemoryStaging::new(), chain, &tickets[0]);
    for (ticket, lost) in tickets.iter().zip([1, 7, 4]) {
        for artifact in ticket.artifacts() {
            let replicas = bench.network.replicas(&artifact.key);
            replicas.iter().for_each(|account| bench.network.put(account, artifact.clone()));
        }
        ticket.symbols[..lost].iter().for_each(|symbol| bench.network.remove(&symbol.key));
    }
    bench.look(1);
    let (order, _, at_once) = slow.seen.lock().unwrap().clone();
    assert_eq!((order.as_slice(), at_once), (["8".to_owned(), "9".to_owned(), "7".to_owned()].as_slice(), 1));
    let symbols = tickets[0].symbols.len() as f64;
    for (ticket_id, lost) in [("7", 1.0), ("8", 7.0), ("9", 4.0)] {
        let margin = bench.telemetry.gauge_value("ticket_margin_symbols", &[("ticket_id", ticket_id)]);
        assert_eq!(margin, Some(symbols - lost - 2.0), "ticket {ticket_id}");
    }
    assert_eq!(bench.telemetry.gauge_value("ticket_margin_symbols_min", &[]), Some(symbols - 9.0));
}

#[test]
fn this_nodes_tickets_are_looked_at_one_after_the_other() {
    let fixture = fixture();
    let mine = Page { items: vec![fixture.ticket.clone()], next_key: None };
    let page = PageRequest { key: None, limit: 100 };
    let chain = chain(&fixture, Vec::new(), Vec::new()).tickets_of_supernode(ME, page, Ok(mine)).times(2);
    let setup = Setup { config: r#"{"margin_interval_ms": 60000}"#, ..Setup::default() };
    let bench = Bench::with(setup, MemoryJournal::new(), MemoryStaging::new(), chain, &fixture);
    let margin = || bench.telemetry.gauge_value("ticket_margin_symbols", &[("ticket_id", "7")]);
    let whole = fixture.symbols.len() as f64 - (fixture.file.len().div_ceil(65_528)) as f64;
    bench.look(1);
    assert_eq!(margin(), None, "the first look comes an interval after the start");
    bench.look(2);
    assert_eq!(margin(), Some(whole));
    // Copies on some nodes don't matter, as long as one is left.
    for account in ACCOUNTS.iter().filter(|account| **account != ME) {
        bench.network.remove_from(account, &fixture.symbols[3].key);
    }
    fixture.symbols[..3].iter().for_each(|symbol| bench.network.remove(&symbol.key));
    let spared = bench.network.bytes_on(ME, &fixture.symbols[3].key).is_some();
    bench.look(3);
    assert_eq!(margin(), Some(whole - if spared { 3.0 } else { 4.0 }));
    assert_eq!(bench.telemetry.counter("self_healing_margin_looks_total", &[("result", "ok")]), 2);
}

#[test]
fn an_operation_is_worked_on_once_at_a_time_and_not_beyond_its_deadline() {
    let fixture = fixture();
    let scheduler = VirtualScheduler::new(3);
    let slow = Slow::new(&scheduler, Duration::from_secs(1_000_000));
    // Margins are looked at later than this takes.
    let config = r#"{"margin_interval_ms": 10000000}"#;
    let setup = Setup { scheduler, chosen: Some(slow.clone()), config, ..Setup::default() };
    // Asked when the operation begins, and 60 times while it goes on: half an hour in which no epoch ends.
    let epochs = MockChain::builder(ME).current_epoch(Ok(in_epoch(7))).times(61);
    let epochs = epochs.current_epoch(Ok(in_epoch(8))).always();
    let chain = chain_after(epochs, &fixture, vec![op(HEAL_OP_ID, "7", 8)], Vec::new());
    let bench = Bench::with(setup, MemoryJournal::new(), MemoryStaging::new(), chain, &fixture);
    bench.scheduler.block_on(bench.staging.begin(HEAL_OP_ID)).unwrap();
    bench.look(61);
    assert_eq!(slow.seen.lock().unwrap().0.len(), 1, "61 looks, one job: nobody guesses when the epoch ends");
    let failed = bench.telemetry.events_named("heal.failed");
    assert_eq!(failed[0].fields["reason"], Value::from("the operation's deadline came first"));
    assert_eq!((failed.len(), bench.staging_state()), (1, StagingState::Absent));
}
