//! What follows from an account: warnings, quarantine, what a drain says of tasks; and that measuring changes nothing.

use super::*;
use crate::account::PluginUsage;
use crate::manifest::LogFormat;
use crate::supervise::HealthStatus;
use lampkeeper_api::chain::{HealOp, Ticket};
use lampkeeper_api::heal::{HealCost, HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_api::plugin::{PluginContext, PluginError};
use lampkeeper_api::scheduler::{Moment, Permits, TaskFailure, TaskHandle};
use lampkeeper_api::{BoxFuture, cancel::Cancel};
use lampkeeper_plugin_sdk::async_trait;
use std::cell::Cell;

thread_local! {
    /// How far [`Clock`] is ahead: what a slow step takes.
    static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// Whether [`Clock`] panics when it is asked.
    static IS_BROKEN: Cell<bool> = const { Cell::new(false) };
    /// How much the strategy really computes in each step.
    static BURNED_BLOCKS: Cell<u32> = const { Cell::new(0) };
}

/// The scheduler in virtual time, with a clock that a step can move and break.
struct Clock(Arc<dyn Scheduler>);

impl Scheduler for Clock {
    fn now(&self) -> Moment {
        assert!(!IS_BROKEN.get(), "no hands");
        self.0.now().plus(AHEAD.get())
    }
    fn wall_clock_ms(&self) -> i64 {
        self.0.wall_clock_ms()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Arc<dyn TaskHandle> {
        self.0.spawn(name, task)
    }
    fn run_blocking(
        &self,
        name: &str,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, Result<(), TaskFailure>> {
        self.0.run_blocking(name, work)
    }
    fn fill_random(&self, bytes: &mut [u8]) {
        self.0.fill_random(bytes);
    }
    fn permits(&self, count: usize) -> Arc<dyn Permits> {
        self.0.permits(count)
    }
    fn parallelism(&self) -> usize {
        self.0.parallelism()
    }
}

/// A strategy that does what the ticket's id says.
struct Strategy(Arc<dyn Scheduler>);

#[async_trait]
impl HealStrategy for Strategy {
    fn name(&self) -> &str {
        "strategy"
    }

    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError> {
        let hashed = (0..BURNED_BLOCKS.get()).fold(blake3::Hasher::new(), |mut hasher, _| {
            hasher.update(&[7; 4096]);
            hasher
        });
        assert_ne!(hashed.finalize().as_bytes()[0..8], [0; 8], "so that it is really computed");
        match job.ticket.ticket_id.as_str() {
            "slow" => AHEAD.set(AHEAD.get() + Duration::from_millis(1500)),
            "panic" => panic!("out of luck"),
            "leak" => drop(self.0.spawn("sweep", Box::pin(std::future::pending()))),
            _ => self.0.sleep(Duration::from_millis(7)).await,
        }
        Ok(Reconstruction { manifest_hash: String::new(), cost: HealCost::default() })
    }
}

fn make_strategy(context: PluginContext) -> BoxFuture<'static, Result<Provided, PluginError>> {
    Box::pin(async move {
        let strategy = Strategy(context.scheduler()?);
        Ok(Provided { heal_strategy: Some(Arc::new(strategy)), ..Provided::default() })
    })
}

fn make_clock(context: PluginContext) -> BoxFuture<'static, Result<Provided, PluginError>> {
    Box::pin(async move {
        let _ = context;
        let inner = VirtualScheduler::new(1).handle();
        Ok(Provided { scheduler: Some(Arc::new(Clock(inner))), ..Provided::default() })
    })
}

/// A scheduler in front of another one.
fn make_front(context: PluginContext) -> BoxFuture<'static, Result<Provided, PluginError>> {
    Box::pin(async move {
        let inner = context.scheduler()?;
        Ok(Provided { scheduler: Some(Arc::new(Clock(inner))), ..Provided::default() })
    })
}

/// A node of the strategy, on a clock that can be moved.
struct Running {
    node: Node,
    scheduler: VirtualScheduler,
    hub: Arc<TelemetryHub>,
}

impl Running {
    fn new(seed: u64) -> Self {
        let strategy = plugin("strategy", &[Seam::HealStrategy], &[(Seam::Scheduler, REQUIRED)]);
        let registry = registry([made_by(make_strategy, strategy)]);
        Self::of(&registry, seed, "[plugins.strategy]\n")
    }

    fn of(registry: &Registry, seed: u64, tables: &str) -> Self {
        let text = format!("[node]\nname = 'n1'\nnetwork = 'devnet-1'\ndata_dir = 'data'\n{tables}");
        let manifest = Manifest::parse(Path::new("node.toml"), &text, registry).unwrap();
        let (scheduler, hub) = (VirtualScheduler::new(seed), TelemetryHub::new());
        let mut host = NodeHost::new(Arc::new(TestSigner::new("n1")), Arc::clone(&hub));
        host.seams.scheduler = Some(Arc::new(Clock(scheduler.handle())));
        let node = scheduler.block_on(Node::start(&manifest, registry, host)).unwrap();
        Self { node, scheduler, hub }
    }

    fn ask(&self, what: &str) -> Result<Reconstruction, HealError> {
        let strategy = self.node.seams().heal_strategy.clone().unwrap();
        let ticket = Ticket { ticket_id: what.to_owned(), ..Ticket::default() };
        let job = HealJob { heal_op: HealOp::default(), ticket, cancel: Cancel::new() };
        self.scheduler.block_on(strategy.reconstruct(job))
    }

    fn usage(&self) -> PluginUsage {
        self.node.status().plugins[0].usage.clone()
    }
}

fn logged(work: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    lines.collect(&LogSection { filter: "warn".to_owned(), format: LogFormat::Text }, work);
    lines.after_time()
}

#[test]
fn a_plugin_that_holds_a_thread_is_named_once_a_minute() {
    let running = Running::new(1);
    let warned = logged(|| (0..3).for_each(|_| assert!(running.ask("slow").is_ok())));
    let [warning] = &warned[..] else { panic!("{warned:?}") };
    let words = "plugin strategy held a worker thread for 1500 ms in heal-strategy.reconstruct: others had to wait \
                 count_since_last_warning=1";
    assert!(warning.starts_with("WARN") && warning.ends_with(words), "{warning}");
    let usage = running.usage();
    assert_eq!((usage.thread_holds, usage.poll_longest_us, usage.poll_time_us), (3, 1_500_000, 4_500_000));
    assert_eq!(usage.poll_longest_in.as_deref(), Some("heal-strategy.reconstruct"));
    running.scheduler.run_for(Duration::from_secs(60));
    let warned = logged(|| assert!(running.ask("slow").is_ok()));
    assert!(warned[0].ends_with("count_since_last_warning=3"), "{warned:?}");
}

#[test]
fn a_scheduler_in_front_of_another_is_measured_by_the_one_behind_it() {
    let front = plugin("front", &[Seam::Scheduler], &[(Seam::Scheduler, REQUIRED)]);
    let strategy = plugin("strategy", &[Seam::HealStrategy], &[(Seam::Scheduler, REQUIRED)]);
    let registry = registry([made_by(make_front, front), made_by(make_strategy, strategy)]);
    let tables = "[plugins.front]\n[plugins.strategy]\n[provide]\nscheduler = 'front'\n";
    let running = Running::of(&registry, 1, tables);
    let usage = |id: &str| running.node.account(id).unwrap().usage();
    let calls_before = usage("front").calls;
    // If a step of the front's were measured by the front itself, this would never end.
    assert!(running.ask("slow").is_ok() && running.ask("answer").is_ok());
    assert!(usage("front").calls > calls_before, "the strategy sleeps through it");
    assert_eq!(usage("strategy").poll_longest_us, 1_500_000, "by the host's clock");
}

#[test]
fn what_steps_really_take_changes_nothing_in_virtual_time() {
    let run = |burned_blocks: u32| {
        BURNED_BLOCKS.set(burned_blocks);
        let running = Running::new(42);
        (0..10).for_each(|_| assert!(running.ask("answer").is_ok()));
        let text = running.hub.render_prometheus();
        let usage = running.usage();
        running.scheduler.block_on(running.node.drain());
        (running.scheduler.trace_hash(), running.scheduler.now(), usage, text)
    };
    let (quick, slow) = (run(0), run(2000));
    assert_eq!(quick, slow);
    assert_eq!((quick.2.poll_time_us, quick.2.poll_longest_us), (0, 0));
    assert!(quick.2.calls >= 10, "{:?}", quick.2);
}

#[test]
fn a_plugin_that_panics_again_and_again_is_quarantined_and_everybody_is_told() {
    let running = Running::new(1);
    let strategy = running.node.seams().heal_strategy.clone().unwrap();
    let mut listener = running.hub.events.listen();
    let lines = logged(|| {
        for _ in 0..5 {
            assert!(running.ask("panic").unwrap_err().to_string().contains("panicked: out of luck"));
        }
        for _ in 0..3 {
            let refused = running.ask("answer").unwrap_err();
            assert!(matches!(refused, HealError::Unavailable { .. }), "{refused:?}");
            assert!(refused.to_string().contains("plugin strategy is quarantined: it panicked 5 times"));
        }
    });
    let told = lines.iter().filter(|line| line.contains("is quarantined until the node restarts")).count();
    assert_eq!((told, lines.len()), (1, 6), "{lines:?}");
    let events = std::iter::from_fn(|| listener.try_next()).filter(
        |delivery| matches!(delivery, Delivery::Event(record) if record.event.name == "plugin.quarantined"),
    );
    assert_eq!(events.count(), 1);
    let status = running.node.status();
    let why = "it panicked 5 times within 600 s, last in heal-strategy.reconstruct: out of luck";
    assert_eq!(status.plugins[0].usage.quarantined.as_deref(), Some(why));
    assert_eq!(status.health, HealthStatus::Failed { reason: format!("it is quarantined: {why}") });
    assert_eq!((status.plugins[0].usage.panics, status.plugins[0].usage.calls_refused), (5, 3));
    let metrics = running.hub.render_prometheus();
    for line in [
        "lampkeeper_plugin_quarantined{node=\"n1\",plugin=\"strategy\"} 1",
        "lampkeeper_plugin_calls_refused_total{node=\"n1\",plugin=\"strategy\"} 3",
        "lampkeeper_plugin_calls_in_flight{node=\"n1\",plugin=\"strategy\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in {metrics}");
    }
    assert_eq!(metrics, running.hub.render_prometheus(), "counters are told once");
    drop(strategy);
    assert!(running.scheduler.block_on(running.node.drain()).is_clean(), "it is drained like any other");
}

#[test]
fn a_drain_says_who_still_has_tasks() {
    let running = Running::new(1);
    running.ask("leak").unwrap();
    assert_eq!(running.usage().tasks, 1);
    let warned = logged(|| {
        let report = running.scheduler.block_on(running.node.drain());
        assert_eq!(report.leaked_tasks, [("strategy".to_owned(), vec!["sweep".to_owned()])]);
        assert!(!report.is_clean());
    });
    assert!(
        warned.iter().any(|line| line.ends_with("plugin strategy was closed and still has tasks: sweep")),
        "{warned:?}"
    );
}

#[test]
fn a_clock_that_panics_neither_ends_the_node_nor_is_quarantined() {
    let strategy = plugin("strategy", &[Seam::HealStrategy], &[(Seam::Scheduler, REQUIRED)]);
    let clock = plugin("clock", &[Seam::Scheduler], &[]);
    let registry = registry([made_by(make_strategy, strategy), made_by(make_clock, clock)]);
    let tables = "[plugins.strategy]\n[plugins.clock]\n[provide]\nscheduler = 'clock'\n";
    let running = Running::of(&registry, 1, tables);
    IS_BROKEN.set(true);
    (0..20).for_each(|_| assert_eq!(running.node.scheduler().now(), Moment::default()));
    assert!(running.ask("panic").is_err());
    IS_BROKEN.set(false);
    let account = running.node.account("clock").unwrap();
    assert!(account.panics() >= 20 && account.quarantined().is_none(), "{}", account.panics());
    assert_eq!(running.node.account("strategy").unwrap().panics(), 1);
}
