//! A [`Scheduler`] in virtual time: one thread, one seed, the same run every time.
//!
//! Owns the clock, the timers, the run queue and the groups of tasks that crash together. What is run, and which
//! faults are injected, is the caller's decision.

mod executor;
mod permits;
mod tasks;
mod timer;

use executor::{Core, Node, Step};
use lampkeeper_api::BoxFuture;
use lampkeeper_api::scheduler::{Moment, Permits, Scheduler, TaskFailure, TaskHandle};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

/// How a [`VirtualScheduler`] starts. Every option has a default.
#[derive(Debug, Clone)]
pub struct VirtualOptions {
    /// What all randomness starts from.
    pub seed: u64,
    /// Whether ready tasks are polled in an order drawn from the seed rather than in the order in which they became
    /// ready. Either order is the same in every run.
    pub shuffle: bool,
    /// What the wall clock shows at the start, in milliseconds since 1970.
    pub wall_clock_start_ms: i64,
    /// The most polls at one moment, so that tasks that only wake each other end in a panic with their names.
    pub polls_per_moment_max: u64,
    /// The most jumps of the clock in one [`VirtualScheduler::run_until_idle`], so that a task that ticks forever ends
    /// in a panic with its name.
    pub idle_jumps_max: u64,
}

impl Default for VirtualOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            shuffle: false,
            wall_clock_start_ms: 1_750_000_000_000,
            polls_per_moment_max: 10_000_000,
            idle_jumps_max: 1_000_000,
        }
    }
}

/// A scheduler whose time stands still while anything can run, and jumps to the next timer when nothing can.
///
/// Clones share everything. [`Self::for_node`] makes a view with the same clock, a wall clock and randomness of its own,
/// and a group for its tasks that [`Self::kill_group`] drops at whichever await points they are.
///
/// `run_blocking` work runs in place, when its future is polled for the second time: there is an await point before and
/// one after it, where other tasks run and a crash may happen.
///
/// ```
/// use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
/// use lampkeeper_plugin_sdk::testkit::VirtualScheduler;
/// use std::time::Duration;
///
/// let scheduler = VirtualScheduler::new(7);
/// let node = scheduler.for_node("alice", 0);
/// let nap = node.sleep(Duration::from_secs(3600));
/// let task = node.spawn("nap", Box::pin(nap));
/// scheduler.block_on(task.join())?; // at once: the clock jumps
/// assert_eq!(scheduler.now().since_start(), Duration::from_secs(3600));
/// # Ok::<(), lampkeeper_plugin_sdk::api::scheduler::TaskFailure>(())
/// ```
#[derive(Clone)]
pub struct VirtualScheduler {
    core: Arc<Core>,
    node: Arc<Node>,
    /// Held by the scheduler that was made by `new` and its clones, not by views: tasks hold views, and would
    /// otherwise keep themselves alive.
    _owner: Option<Arc<Owner>>,
}

/// Drops all tasks when the last owner goes.
struct Owner {
    core: Arc<Core>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.kill_all();
    }
}

impl VirtualScheduler {
    /// A scheduler with this seed; ready tasks run in the order in which they became ready.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_options(VirtualOptions { seed, ..VirtualOptions::default() })
    }

    /// A scheduler with these options.
    #[must_use]
    pub fn with_options(options: VirtualOptions) -> Self {
        let core = Arc::new(Core::new(options));
        let node = core.node("", 0);
        let _owner = Some(Arc::new(Owner { core: Arc::clone(&core) }));
        Self { core, node, _owner }
    }

    /// The scheduler of one node. Asking again for the same name gives the same group, until it is killed; then it gives
    /// the group of the node's next life.
    ///
    /// The node's wall clock is `wall_skew_ms` ahead of the scheduler's; its randomness is its own, so that what one
    /// node draws does not change what another one does.
    #[must_use]
    pub fn for_node(&self, name: &str, wall_skew_ms: i64) -> Self {
        Self { core: Arc::clone(&self.core), node: self.core.node(name, wall_skew_ms), _owner: None }
    }

    /// This view as a seam. It does not keep the tasks alive when the scheduler goes.
    #[must_use]
    pub fn handle(&self) -> Arc<dyn Scheduler> {
        Arc::new(Self { _owner: None, ..self.clone() })
    }

    /// Lets this view's wall clock jump: from now on it is this far ahead of the scheduler's.
    pub fn set_wall_skew_ms(&self, wall_skew_ms: i64) {
        self.node.wall_skew_ms.store(wall_skew_ms, Ordering::Relaxed);
    }

    /// Runs until `future` completes. Other tasks run meanwhile, and stay when it has.
    ///
    /// # Panics
    /// If nothing can run any more and no timer is left, naming the tasks that are stuck; if the scheduler is running
    /// already; if tasks only wake each other.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let _running = self.core.start_running();
        let waker = self.core.queue_root();
        let mut future = pin!(future);
        loop {
            match self.core.run_one() {
                Step::Task => {}
                Step::Root => {
                    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                        return output;
                    }
                }
                Step::Nothing if self.core.jump(None) => {}
                Step::Nothing => self.core.panic_stuck(),
            }
        }
    }

    /// Runs for this long and leaves the clock exactly that much later.
    ///
    /// # Panics
    /// If the scheduler is running already, or tasks only wake each other.
    pub fn run_for(&self, duration: Duration) {
        let _running = self.core.start_running();
        let end = self.now().plus(duration);
        loop {
            self.core.run_ready();
            if !self.core.jump(Some(end)) {
                break;
            }
        }
        self.core.set_now(end);
    }

    /// Runs what can run without letting time pass.
    ///
    /// # Panics
    /// If the scheduler is running already, or tasks only wake each other.
    pub fn run_until_stalled(&self) {
        let _running = self.core.start_running();
        self.core.run_ready();
    }

    /// Runs until nothing can run and no timer is left. Tasks that wait for something else stay.
    ///
    /// # Panics
    /// If the scheduler is running already, tasks only wake each other, or some task ticks forever.
    pub fn run_until_idle(&self) {
        let _running = self.core.start_running();
        for _ in 0..=self.core.options.idle_jumps_max {
            self.core.run_ready();
            if !self.core.jump(None) {
                return;
            }
        }
        panic!("the scheduler does not become idle; tasks left: {}", self.core.task_names().join(", "));
    }

    /// Crashes a node: drops the futures of all its tasks, oldest first, and ends its life. Whoever holds the node's
    /// scheduler can't spawn any more: what it spawns is dropped unpolled. Returns how many tasks were dropped.
    ///
    /// The futures are dropped before this returns, so the caller holds no lock that they take on drop. A task that kills
    /// its own group is dropped at its next await point.
    pub fn kill_group(&self, name: &str) -> usize {
        self.core.kill_group(name)
    }

    /// Crashes a node after its tasks have been polled `polls` times more, at least once; with a different number in each
    /// run, a test crashes the node at each of its await points.
    pub fn kill_group_after_polls(&self, name: &str, polls: u64) {
        self.core.node_of(name).kill_after_polls.store(polls.max(1), Ordering::Relaxed);
    }

    /// Names of the tasks that have not ended, as `node/task`, oldest first.
    #[must_use]
    pub fn task_names(&self) -> Vec<String> {
        self.core.task_names()
    }

    /// The tasks that panicked so far and what they said; a test that joins nothing asserts that there are none.
    #[must_use]
    pub fn panics(&self) -> Vec<(String, String)> {
        self.core.panics()
    }

    /// A hash of all decisions so far: what was spawned, polled, killed and drawn, and when. Two runs of one seed that
    /// differ here are not deterministic.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.core.trace_hash()
    }
}

impl std::fmt::Debug for VirtualScheduler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("VirtualScheduler")
            .field("seed", &self.core.options.seed)
            .field("node", &self.node.name)
            .field("now", &self.now().since_start())
            .field("tasks", &self.task_names())
            .finish_non_exhaustive()
    }
}

impl Scheduler for VirtualScheduler {
    fn now(&self) -> Moment {
        self.core.now()
    }

    fn wall_clock_ms(&self) -> i64 {
        let elapsed_ms = i64::try_from(self.now().since_start().as_millis()).unwrap_or(i64::MAX);
        self.core
            .options
            .wall_clock_start_ms
            .saturating_add(elapsed_ms)
            .saturating_add(self.node.wall_skew_ms.load(Ordering::Relaxed))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(timer::Sleep::new(Arc::clone(&self.core), duration))
    }

    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Arc<dyn TaskHandle> {
        tasks::spawn(&self.core, &self.node, name, task)
    }

    fn run_blocking(
        &self,
        _name: &str,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, Result<(), TaskFailure>> {
        Box::pin(async move {
            tasks::yield_once().await;
            let outcome = tasks::caught(work);
            tasks::yield_once().await;
            outcome
        })
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.core.fill_random(&self.node, bytes);
    }

    fn permits(&self, count: usize) -> Arc<dyn Permits> {
        Arc::new(permits::FifoPermits::new(count))
    }

    fn parallelism(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests;
