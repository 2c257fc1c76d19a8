//! A second strategy beside the first: compared, never claimed or published, always removed.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::{ChainMessage, HealOpStatus, TxReceipt};
use lampkeeper_plugin_sdk::api::heal::{
    HealCost, HealError, HealJob, HealStrategy, Reconstruction, is_shadow, shadow_of,
};
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::staging::{Staging, StagingManifest, StagingState};
use lampkeeper_plugin_sdk::api::telemetry::Value;
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::fixture::TicketFixture;
use lampkeeper_plugin_sdk::testkit::{MemoryJournal, MemoryStaging, VirtualScheduler};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Bench, HEAL_OP_ID, ME, POLL, Setup, chain, heal_op};

fn fixture() -> TicketFixture {
    TicketFixture::new("7", 100_000, 5)
}

/// How a second strategy turns out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It seals the ticket's file.
    Right,
    /// It seals another file and says that it is the ticket's.
    Wrong,
    /// It stages something and fails.
    Fails,
    /// It stages something and never ends.
    Hangs,
}

struct Second {
    scheduler: VirtualScheduler,
    staging: MemoryStaging,
    fixture: TicketFixture,
    turn: Turn,
    jobs: Mutex<Vec<u64>>,
}

#[async_trait]
impl HealStrategy for Second {
    fn name(&self) -> &str {
        "second"
    }

    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError> {
        let heal_op_id = job.heal_op.heal_op_id;
        self.jobs.lock().unwrap().push(heal_op_id);
        self.staging.begin(heal_op_id).await.unwrap();
        let mut file = self.fixture.file.clone();
        if self.turn == Turn::Wrong {
            file[5] ^= 1;
        }
        self.staging.write_file_at(heal_op_id, 0, file).await.unwrap();
        self.scheduler.sleep(Duration::from_secs(5)).await;
        match self.turn {
            Turn::Right | Turn::Wrong => {}
            Turn::Fails => return Err(HealError::Lost { ticket_id: "7".into(), have: 1, need: 2 }),
            Turn::Hangs => std::future::pending().await,
        }
        let manifest_hash = self.fixture.ticket.data_hash.clone();
        let manifest = StagingManifest {
            heal_op_id,
            ticket_id: "7".into(),
            manifest_hash: manifest_hash.clone(),
            file_len_bytes: self.fixture.file.len() as u64,
            artifacts: Vec::new(),
            strategy: "second".into(),
        };
        self.staging.seal(&manifest).await.unwrap();
        self.scheduler.sleep(Duration::from_secs(5)).await;
        let cost = HealCost { fetched_bytes: 77, compute_ms: 3, ..HealCost::default() };
        Ok(Reconstruction { manifest_hash, cost })
    }
}

/// A node that is to heal one operation and has a second strategy.
fn bench(turn: Turn, staging: &MemoryStaging) -> (Bench, Arc<Second>) {
    let fixture = fixture();
    let scheduler = VirtualScheduler::new(3);
    let jobs = Mutex::default();
    let second = Arc::new(Second {
        scheduler: scheduler.for_node("second", 0),
        staging: staging.clone(),
        fixture: fixture.clone(),
        turn,
        jobs,
    });
    let reported = heal_op(HealOpStatus::HealerReported, ME, &["bob"], &fixture.ticket.data_hash);
    let scheduled = heal_op(HealOpStatus::Scheduled, ME, &["bob"], "");
    let chain = chain(&fixture, vec![scheduled], Vec::new())
        .submit_where(
            "the operation itself is claimed, once",
            |message| matches!(message, ChainMessage::HealClaim(claim) if claim.heal_op_id == HEAL_OP_ID),
            Ok(TxReceipt::default()),
        )
        .heal_op(HEAL_OP_ID, Ok(reported))
        .always();
    let setup = Setup {
        scheduler,
        shadow: Some(second.clone()),
        config: r#"{"shadow_time_limit_ms": 60000}"#,
        ..Setup::default()
    };
    (Bench::with(setup, MemoryJournal::new(), staging.clone(), chain, &fixture), second)
}

#[test]
fn it_is_compared_and_thrown_away() {
    let table =
        [(Turn::Right, "agrees"), (Turn::Wrong, "differs"), (Turn::Fails, "failed"), (Turn::Hangs, "failed")];
    for (turn, result) in table {
        let staging = MemoryStaging::new();
        let (bench, second) = bench(turn, &staging);
        bench.look(4);
        assert_eq!(*second.jobs.lock().unwrap(), [shadow_of(HEAL_OP_ID)], "{turn:?}");
        let events = bench.telemetry.events_named("heal.shadowed");
        assert_eq!(events.len(), 1, "{turn:?}");
        assert_eq!(events[0].fields["result"], Value::from(result), "{turn:?}");
        assert_eq!(events[0].fields["shadow_strategy"], Value::from("second"));
        if turn == Turn::Right {
            assert_eq!(events[0].fields["shadow_fetched_bytes"], Value::from(77_u64));
            assert_eq!(events[0].fields["fetched_bytes"], Value::from(2 * 65_532_u64));
        }
        let fetched = [("strategy", "second"), ("quantity", "fetched_bytes")];
        let cost = bench.telemetry.counter("self_healing_shadow_cost_total", &fetched);
        assert_eq!(events[0].fields["shadow_fetched_bytes"], Value::from(cost), "{turn:?}");
        let labels = [("strategy", "second"), ("result", result)];
        assert_eq!(bench.telemetry.counter("self_healing_shadows_total", &labels), 1, "{turn:?}");
        // What the first one made is as it was, and nothing of the second one's is left.
        assert_eq!(bench.scheduler.block_on(staging.list()), Ok(vec![HEAL_OP_ID]), "{turn:?}");
        assert!(matches!(bench.staging_state(), StagingState::Sealed(_)), "{turn:?}");
        assert_eq!((bench.chain.submitted().len(), bench.network.published_bytes()), (1, 0), "{turn:?}");
    }
}

#[test]
fn the_claim_does_not_wait_for_it() {
    let staging = MemoryStaging::new();
    let (bench, second) = bench(Turn::Hangs, &staging);
    bench.look(1);
    // The claim is executed while the second strategy hangs; a node that stops does not wait for it either.
    assert_eq!(bench.chain.submitted().len(), 1);
    assert_eq!(second.jobs.lock().unwrap().len(), 1);
    assert_eq!(bench.telemetry.events_named("heal.claimed").len(), 1);
}

#[test]
fn what_a_crash_leaves_of_it_is_removed_at_the_next_start() {
    let mut found_sealed = 0;
    for seconds in 0..13 {
        let staging = MemoryStaging::new();
        let (first, _) = bench(Turn::Right, &staging);
        let (service, scheduler) = (first.service.clone(), first.scheduler.clone());
        // From the end of this run on nothing of it is polled any more, which is what a crash is.
        scheduler.spawn("service", Box::pin(async move { service.run(Cancel::new()).await.unwrap() }));
        scheduler.run_for(POLL + Duration::from_secs(1 + seconds));
        let left = scheduler.block_on(staging.list()).unwrap();
        let shadows: Vec<u64> = left.iter().copied().filter(|heal_op_id| is_shadow(*heal_op_id)).collect();
        for heal_op_id in &shadows {
            let state = scheduler.block_on(staging.state(*heal_op_id)).unwrap();
            found_sealed += u32::from(matches!(state, StagingState::Sealed(_)));
        }
        let journal = first.journal.clone();
        drop(first);

        let fixture = fixture();
        let reported = heal_op(HealOpStatus::HealerReported, ME, &["bob"], &fixture.ticket.data_hash);
        let chain = chain(&fixture, Vec::new(), Vec::new()).heal_op(HEAL_OP_ID, Ok(reported)).always();
        let again = Bench::with(Setup::default(), journal, staging.clone(), chain, &fixture);
        again.look(1);
        assert_eq!(again.scheduler.block_on(staging.list()), Ok(vec![HEAL_OP_ID]), "after {seconds} s");
        let removed = again.telemetry.counter("self_healing_orphans_removed_total", &[]);
        assert_eq!(removed, shadows.len() as u64, "after {seconds} s");
    }
    assert!(found_sealed > 0, "no crash came between sealing and comparing");
}
