//! Walks through stores in virtual time.

use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::network::Artifact;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::service::{Health, Service};
use lampkeeper_plugin_sdk::api::store::{ArtifactStore, ByteRange};
use lampkeeper_plugin_sdk::cascade::fixture::MemoryNetwork;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::scrub::{self, Position};
use lampkeeper_plugin_sdk::testkit::{
    MemoryJournal, MemoryStore, RecordingTelemetry, VirtualScheduler, context,
};
use std::sync::Arc;
use std::time::Duration;

const ARTIFACTS: u64 = 100;
const DAY: Duration = Duration::from_secs(86_400);

struct World {
    scheduler: VirtualScheduler,
    store: MemoryStore,
    network: MemoryNetwork,
    journal: MemoryJournal,
    telemetry: RecordingTelemetry,
}

impl World {
    /// A store with artifacts, all of which another node holds too.
    fn new() -> Self {
        let world = Self {
            scheduler: VirtualScheduler::new(5),
            store: MemoryStore::new(),
            network: MemoryNetwork::new(&["other"]),
            journal: MemoryJournal::new(),
            telemetry: RecordingTelemetry::new(),
        };
        for number in 0..ARTIFACTS {
            let bytes = number.to_be_bytes().repeat(20);
            let key = ArtifactKey::of(&bytes);
            world.scheduler.block_on(world.store.put(&key, bytes.clone())).unwrap();
            world.network.put("other", Artifact { key, bytes });
        }
        world
    }

    fn start(&self, config: &str) -> (Arc<dyn Service>, Cancel) {
        let context = context("scrub").config(config).telemetry(&self.telemetry).seams(|seams| {
            seams.store = Some(Arc::new(self.store.clone()));
            seams.network = Some(Arc::new(self.network.clone()));
            seams.journal = Some(Arc::new(self.journal.clone()));
            seams.scheduler = Some(self.scheduler.for_node("node", 0).handle());
        });
        let provided = self.scheduler.block_on((crate::descriptor().construct)(context.build())).unwrap();
        let service = Arc::clone(&provided.services[0]);
        let cancel = Cancel::new();
        let (running, shutdown) = (Arc::clone(&service), cancel.clone());
        self.scheduler.for_node("node", 0).spawn(
            "scrub",
            Box::pin(async move {
                running.run(shutdown).await.unwrap();
            }),
        );
        (service, cancel)
    }

    fn read(&self, result: &str) -> u64 {
        self.telemetry.counter("scrub_artifacts_total", &[("result", result)])
    }

    fn position(&self) -> Position {
        self.scheduler.block_on(scrub::position(&self.journal)).unwrap()
    }

    fn set_paused(&self, paused: bool) -> bool {
        self.scheduler.block_on(scrub::set_paused(&self.journal, paused, 1)).unwrap()
    }

    fn prove(&self, key: &ArtifactKey) -> bool {
        let proof = self.store.prove_ranges(key, &[ByteRange { start: 0, end: 4 }]);
        self.scheduler.block_on(proof).is_ok()
    }
}

#[test]
fn a_cycle_reads_every_artifact_once_spread_over_its_time() {
    let world = World::new();
    world.start(r#"{"cycle_days": 30.0}"#);
    for days in [3_u32, 15, 29] {
        world.scheduler.run_for(DAY * days - world.scheduler.now().since_start());
        let expected = ARTIFACTS * u64::from(days) / 30;
        assert!(world.read("intact").abs_diff(expected) <= 2, "{} after {days} days", world.read("intact"));
    }
    assert_eq!(world.position().cycle, 0);
    world.scheduler.run_for(DAY + DAY / 10);
    assert_eq!(world.telemetry.events_named("scrub.cycle_done").len(), 1);
    assert_eq!(world.position().cycle, 1);
    world.scheduler.run_for(DAY * 30);
    assert_eq!(world.telemetry.events_named("scrub.cycle_done").len(), 2);
    assert!(world.read("intact") >= 2 * ARTIFACTS && world.read("intact") <= 2 * ARTIFACTS + 3);
    assert_eq!(world.scheduler.panics(), []);
}

#[test]
fn damage_is_found_and_repaired_from_another_holder() {
    let world = World::new();
    let damaged = [world.store.keys()[3], world.store.keys()[70]];
    damaged.iter().for_each(|key| assert!(world.store.damage(key)));
    let (service, _) = world.start(r#"{"cycle_days": 1.0}"#);
    world.scheduler.run_for(DAY);
    for key in &damaged {
        assert!(world.scheduler.block_on(world.store.get(key)).unwrap().is_some());
    }
    assert_eq!((world.read("repaired"), world.read("lost")), (2, 0));
    assert_eq!(world.telemetry.events_named("scrub.repaired").len(), 2);
    assert_eq!(world.network.fetched_keys(), damaged, "nothing else was fetched");
    assert_eq!(service.health(), Health::Ok);
}

#[test]
fn what_nobody_has_is_kept_told_and_looked_for_again() {
    let world = World::new();
    let key = world.store.keys()[0];
    world.store.damage(&key);
    world.network.set_down("other", true);
    let (service, _) = world.start(r#"{"cycle_days": 30.0, "retry_lost_ms": 3600000}"#);
    world.scheduler.run_for(DAY / 4);
    assert!(matches!(service.health(), Health::Degraded { .. }));
    assert!(world.store.keys().contains(&key), "nothing is destroyed");
    assert_eq!(world.telemetry.gauge_value("scrub_quarantined", &[]), Some(1.0));
    world.network.set_down("other", false);
    world.scheduler.run_for(Duration::from_secs(3700));
    assert_eq!(service.health(), Health::Ok);
    assert!(world.scheduler.block_on(world.store.get(&key)).unwrap().is_some());
}

#[test]
fn a_restart_goes_on_where_it_was() {
    for polls in [50, 120, 333] {
        let world = World::new();
        world.start(r#"{"cycle_days": 1.0}"#);
        world.scheduler.run_for(DAY / 2);
        let before = world.read("intact");
        world.scheduler.kill_group_after_polls("node", polls);
        world.scheduler.run_for(DAY / 100);
        world.scheduler.kill_group("node");
        world.start(r#"{"cycle_days": 1.0}"#);
        world.scheduler.run_for(DAY * 55 / 100);
        let read = world.read("intact");
        assert!(before >= 45, "{before}");
        // What was read since the position was last written down is read again.
        assert!((ARTIFACTS..=ARTIFACTS + 45).contains(&read), "{read}");
        assert!(world.position().cycle <= 1);
    }
}

#[test]
fn a_shutdown_is_quick_and_writes_the_position_down() {
    let world = World::new();
    let (_, cancel) = world.start(r#"{"cycle_days": 30.0}"#);
    world.scheduler.run_for(DAY * 10);
    cancel.cancel();
    world.scheduler.run_for(Duration::from_millis(1));
    assert_eq!(world.scheduler.task_names(), Vec::<String>::new());
    let share = world.position().share();
    assert!((0.2..0.45).contains(&share), "{share}");
}

#[test]
fn a_paused_scrub_and_an_empty_store_do_nothing() {
    let world = World::new();
    let (_, cancel) = world.start(r#"{"paused": true, "cycle_days": 1.0}"#);
    world.scheduler.run_for(DAY * 3);
    assert_eq!(world.read("intact"), 0);
    cancel.cancel();
    world.scheduler.run_until_stalled();
    assert_eq!(world.scheduler.task_names(), Vec::<String>::new());

    let empty = World { store: MemoryStore::new(), ..World::new() };
    let (service, _) = empty.start(r#"{"cycle_days": 1.0}"#);
    empty.scheduler.run_for(DAY * 3);
    assert_eq!((service.health(), empty.position()), (Health::Ok, Position::default()));
}

#[test]
fn the_switch_is_obeyed_and_outlives_a_restart() {
    let world = World::new();
    world.start(r#"{"cycle_days": 1.0}"#);
    world.scheduler.run_for(DAY / 4);
    assert!(world.set_paused(true));
    world.scheduler.run_for(DAY / 50);
    let (read, position) = (world.read("intact"), world.position());
    assert!(read >= 20 && position.share() > 0.15, "{read}, {position:?}");
    world.scheduler.run_for(DAY * 2);
    assert_eq!((world.read("intact"), world.position()), (read, position), "it stands still");
    assert_eq!(world.telemetry.gauge_value("scrub_paused", &[]), Some(1.0));

    world.scheduler.kill_group("node");
    // What the manifest says no longer counts.
    world.start(r#"{"cycle_days": 1.0, "paused": false}"#);
    world.scheduler.run_for(DAY);
    assert_eq!(world.read("intact"), read, "a restart does not end the pause");
    assert!(world.set_paused(false));
    world.scheduler.run_for(DAY);
    assert!(world.read("intact") >= ARTIFACTS, "{}", world.read("intact"));
    assert_eq!(world.telemetry.gauge_value("scrub_paused", &[]), Some(0.0));
    assert_eq!(world.telemetry.events_named("scrub.resumed").len(), 1);
    assert_eq!(world.scheduler.panics(), []);
}

#[test]
fn what_was_proven_to_others_is_not_read_again_in_the_same_cycle() {
    let world = World::new();
    world.start(r#"{"cycle_days": 1.0}"#);
    world.scheduler.run_for(DAY / 2);
    // All of them: half lie ahead, half were read before.
    for key in world.store.keys() {
        assert!(world.prove(&key));
    }
    let before = world.read("intact");
    world.scheduler.run_for(DAY * 52 / 100);
    let (own, others) = (world.read("intact"), world.read("read_for_others"));
    assert!(own <= before + 3 && others >= ARTIFACTS - before - 3, "{before}, {own}, {others}");
    assert_eq!(world.position().cycle, 1);
    world.scheduler.run_for(DAY);
    assert!(world.read("intact") >= before + ARTIFACTS - 3, "in the next cycle each is read again");
}

#[test]
fn damage_that_a_challenge_meets_is_repaired_at_once() {
    let world = World::new();
    world.start(r#"{"cycle_days": 30.0}"#);
    world.scheduler.run_for(DAY);
    let last = *world.store.keys().last().unwrap();
    assert!(world.store.damage(&last));
    assert!(!world.prove(&last));
    world.scheduler.run_for(Duration::from_secs(10));
    assert!(world.prove(&last), "weeks before the walk comes there");
    assert_eq!((world.read("repaired"), world.telemetry.counter_sum("scrub_damaged_total")), (1, 1));
    assert_eq!(world.network.fetched_keys(), [last]);
    world.scheduler.run_for(Duration::from_secs(60));
    assert_eq!(world.telemetry.counter_sum("scrub_damaged_total"), 1, "our own reads are not told twice");
}
