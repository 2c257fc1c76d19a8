//! Tests of the scheduler in virtual time: order, time, crashes, what it reports.

use super::*;
use lampkeeper_api::scheduler::{random_u64, within};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

type Log = Arc<Mutex<Vec<String>>>;

fn log(log: &Log, what: impl Into<String>) {
    log.lock().unwrap().push(what.into());
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Counts how often it is dropped.
struct DropCounter(Arc<AtomicUsize>);

impl Drop for DropCounter {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn timers_fire_in_the_order_of_their_deadlines_and_take_no_real_time() {
    let scheduler = VirtualScheduler::new(0);
    let seen = Log::default();
    for hours in [3, 1, 2] {
        let (sleep, seen) = (scheduler.sleep(seconds(hours * 3600)), Arc::clone(&seen));
        scheduler.spawn(
            "sleeper",
            Box::pin(async move {
                sleep.await;
                log(&seen, hours.to_string());
            }),
        );
    }
    scheduler.run_until_idle();
    assert_eq!(*seen.lock().unwrap(), ["1", "2", "3"]);
    assert_eq!(scheduler.now().since_start(), seconds(3 * 3600));
}

#[test]
fn run_for_stops_exactly_at_its_end() {
    let scheduler = VirtualScheduler::new(0);
    let (early, late) = (scheduler.sleep(seconds(10)), scheduler.sleep(seconds(11)));
    let early = scheduler.spawn("early", early);
    let _late = scheduler.spawn("late", late);
    scheduler.run_for(seconds(10));
    assert_eq!(scheduler.task_names(), ["late"]);
    assert_eq!(scheduler.now().since_start(), seconds(10));
    assert_eq!(scheduler.block_on(early.join()), Ok(()));
}

#[test]
#[should_panic(expected = "stuck tasks besides it: alice/listener, bob/reader")]
fn a_deadlock_names_the_stuck_tasks() {
    let scheduler = VirtualScheduler::new(0);
    scheduler.for_node("alice", 0).spawn("listener", Box::pin(std::future::pending()));
    scheduler.for_node("bob", 0).spawn("reader", Box::pin(std::future::pending()));
    scheduler.block_on(std::future::pending::<()>());
}

#[test]
#[should_panic(expected = "the last one was of alice/spinner")]
fn a_livelock_names_a_task() {
    let options = VirtualOptions { polls_per_moment_max: 100, ..VirtualOptions::default() };
    let scheduler = VirtualScheduler::with_options(options);
    let spin = async {
        loop {
            tasks::yield_once().await;
        }
    };
    scheduler.for_node("alice", 0).spawn("spinner", Box::pin(spin));
    scheduler.run_for(seconds(1));
}

#[test]
fn tasks_get_their_turn_while_the_awaited_future_only_yields() {
    let scheduler = VirtualScheduler::new(0);
    let done = Arc::new(AtomicUsize::new(0));
    let counter = DropCounter(Arc::clone(&done));
    scheduler.spawn("other", Box::pin(async move { drop(counter) }));
    scheduler.block_on(async {
        while done.load(Ordering::Relaxed) == 0 {
            tasks::yield_once().await;
        }
    });
}

#[test]
fn a_panic_is_reported_to_whoever_joins_and_remembered() {
    let scheduler = VirtualScheduler::new(0);
    let task = scheduler.for_node("alice", 0).spawn("fragile", Box::pin(async { panic!("glass {}", 7) }));
    let expected = Err(TaskFailure::Panicked("glass 7".to_owned()));
    assert_eq!(scheduler.block_on(task.join()), expected);
    assert_eq!(scheduler.block_on(task.join()), expected, "a second join gets the same");
    assert_eq!(scheduler.panics(), [("alice/fragile".to_owned(), "glass 7".to_owned())]);
    let outcome = scheduler.block_on(scheduler.run_blocking("hash", Box::new(|| panic!("disk"))));
    assert_eq!(outcome, Err(TaskFailure::Panicked("disk".to_owned())));
}

#[test]
fn a_crash_drops_the_tasks_of_its_node_only_and_ends_its_life() {
    let scheduler = VirtualScheduler::new(0);
    let dropped = Arc::new(AtomicUsize::new(0));
    let (alice, bob) = (scheduler.for_node("alice", 0), scheduler.for_node("bob", 0));
    let mut joins = Vec::new();
    for node in [&alice, &alice, &bob] {
        let (guard, sleep) = (DropCounter(Arc::clone(&dropped)), node.sleep(seconds(5)));
        joins.push(node.spawn(
            "worker",
            Box::pin(async move {
                sleep.await;
                drop(guard);
            }),
        ));
    }
    scheduler.run_until_stalled();
    assert_eq!(scheduler.kill_group("alice"), 2);
    assert_eq!(dropped.load(Ordering::Relaxed), 2, "dropped before kill_group returns");
    assert_eq!(scheduler.block_on(joins[0].join()), Err(TaskFailure::Aborted));
    assert_eq!(scheduler.block_on(joins[2].join()), Ok(()));

    let after_death = alice.spawn("ghost", Box::pin(async {}));
    assert_eq!(scheduler.block_on(after_death.join()), Err(TaskFailure::Aborted));
    let next_life = scheduler.for_node("alice", 0).spawn("worker", Box::pin(async {}));
    assert_eq!(scheduler.block_on(next_life.join()), Ok(()));
}

/// A task that logs each step, with an await point between two.
fn steps(node: &VirtualScheduler, seen: &Log) -> Arc<dyn TaskHandle> {
    let (view, seen) = (node.clone(), Arc::clone(seen));
    node.spawn(
        "steps",
        Box::pin(async move {
            for step in 0..3 {
                log(&seen, format!("step {step}"));
                view.sleep(seconds(1)).await;
            }
        }),
    )
}

#[test]
fn a_node_can_be_crashed_at_each_of_its_await_points() {
    for polls in 1..=3 {
        let (scheduler, seen) = (VirtualScheduler::new(0), Log::default());
        let task = steps(&scheduler.for_node("alice", 0), &seen);
        scheduler.kill_group_after_polls("alice", polls);
        assert_eq!(scheduler.block_on(task.join()), Err(TaskFailure::Aborted));
        assert_eq!(seen.lock().unwrap().len() as u64, polls);
    }
}

#[test]
fn a_task_may_kill_its_own_group() {
    let scheduler = VirtualScheduler::new(0);
    let alice = scheduler.for_node("alice", 0);
    let view = alice.clone();
    let task = alice.spawn(
        "suicidal",
        Box::pin(async move {
            view.kill_group("alice");
            view.sleep(seconds(1)).await;
            unreachable!("it was to be dropped at its await point");
        }),
    );
    assert_eq!(scheduler.block_on(task.join()), Err(TaskFailure::Aborted));
    assert!(scheduler.task_names().is_empty());
}

#[test]
fn an_aborted_task_is_dropped_and_its_joiner_told() {
    let scheduler = VirtualScheduler::new(0);
    let dropped = Arc::new(AtomicUsize::new(0));
    let guard = DropCounter(Arc::clone(&dropped));
    let task = scheduler.spawn(
        "endless",
        Box::pin(async move {
            let _guard = guard;
            std::future::pending().await
        }),
    );
    scheduler.run_until_stalled();
    task.abort();
    assert_eq!(scheduler.block_on(task.join()), Err(TaskFailure::Aborted));
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    task.abort(); // of what has ended: nothing
}

#[test]
fn dropping_the_scheduler_drops_tasks_that_hold_views_of_it() {
    let scheduler = VirtualScheduler::new(0);
    let dropped = Arc::new(AtomicUsize::new(0));
    let (guard, view) = (DropCounter(Arc::clone(&dropped)), scheduler.handle());
    scheduler.spawn(
        "self-referential",
        Box::pin(async move {
            let _guard = guard;
            view.sleep(seconds(1)).await;
        }),
    );
    scheduler.run_until_stalled();
    drop(scheduler);
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_timeout_leaves_no_timer_behind() {
    let scheduler = VirtualScheduler::new(0);
    let outcome = scheduler.block_on(within(&scheduler, seconds(60), async { 7 }));
    assert_eq!(outcome, Some(7));
    scheduler.run_until_idle();
    assert_eq!(scheduler.now(), Moment::default(), "the abandoned timer would have moved the clock");
    assert_eq!(scheduler.block_on(within(&scheduler, seconds(60), std::future::pending::<()>())), None);
}

#[test]
fn nodes_have_wall_clocks_of_their_own() {
    let options = VirtualOptions { wall_clock_start_ms: 1_000_000, ..VirtualOptions::default() };
    let scheduler = VirtualScheduler::with_options(options);
    let late = scheduler.for_node("late", -2500);
    scheduler.run_for(seconds(1));
    assert_eq!((scheduler.wall_clock_ms(), late.wall_clock_ms()), (1_001_000, 998_500));
    late.set_wall_skew_ms(10);
    assert_eq!(late.wall_clock_ms(), 1_001_010);
    assert_eq!(late.now(), scheduler.now(), "the monotonic clock is shared");
}

/// Ten tasks on two nodes that draw, sleep and log; the log and the trace.
fn scramble(seed: u64, shuffle: bool) -> (Vec<String>, u64) {
    let scheduler = VirtualScheduler::with_options(VirtualOptions { seed, shuffle, ..Default::default() });
    let seen = Log::default();
    for number in 0..10 {
        let node = scheduler.for_node(if number % 2 == 0 { "even" } else { "odd" }, 0);
        let (view, seen) = (node.clone(), Arc::clone(&seen));
        node.spawn(
            "worker",
            Box::pin(async move {
                for _ in 0..3 {
                    let pause_ms = random_u64(&view) % 20;
                    view.sleep(Duration::from_millis(pause_ms)).await;
                    log(&seen, format!("{number} at {:?}", view.now().since_start()));
                }
            }),
        );
    }
    scheduler.run_until_idle();
    let seen = seen.lock().unwrap().clone();
    (seen, scheduler.trace_hash())
}

#[test]
fn a_seed_gives_the_same_run_and_another_seed_another_one() {
    for shuffle in [false, true] {
        assert_eq!(scramble(1, shuffle), scramble(1, shuffle));
        assert_ne!(scramble(1, shuffle), scramble(2, shuffle));
    }
    assert_ne!(scramble(1, false).1, scramble(1, true).1);
}

#[test]
fn randomness_is_the_same_on_every_platform_and_each_node_has_its_own() {
    let draw = |seed, node: &str| random_u64(&VirtualScheduler::new(seed).for_node(node, 0));
    assert_eq!(draw(1, "a"), 4_399_190_504_192_460_496, "drawn once and written down");
    let scheduler = VirtualScheduler::new(1);
    let (a, b) = (scheduler.for_node("a", 0), scheduler.for_node("b", 0));
    assert_ne!(random_u64(&a), random_u64(&b));
}

#[test]
fn the_scheduler_conforms_in_either_order() {
    for shuffle in [false, true] {
        let options = VirtualOptions { shuffle, ..VirtualOptions::default() };
        let scheduler = VirtualScheduler::with_options(options);
        let suite = crate::testkit::conformance::scheduler(async || scheduler.handle());
        scheduler.block_on(suite).assert_passed();
    }
}
