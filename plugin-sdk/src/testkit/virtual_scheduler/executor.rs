//! The run queue, the clock and the groups.
//!
//! Owns all shared state behind one lock. The lock is never held while foreign code runs: neither while a future is
//! polled or dropped, nor while a waker is woken.

use super::VirtualOptions;
use super::tasks::{self, Task};
use lampkeeper_api::scheduler::{Moment, TaskFailure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

/// A number that no other task of this scheduler has; ascends.
pub(super) type TaskId = u64;

/// Stands in the queue for the future that the scheduler is run for.
const ROOT: TaskId = 0;

/// What one step of a run did.
pub(super) enum Step {
    /// Nothing was ready.
    Nothing,
    /// It polled or dropped a task.
    Task,
    /// It is the turn of the future that the scheduler is run for; the caller polls it.
    Root,
}

/// A node's life: from `for_node` to `kill_group`.
pub(super) struct Node {
    /// Empty for tasks that belong to no node.
    pub(super) name: String,
    /// How far its wall clock is ahead.
    pub(super) wall_skew_ms: AtomicI64,
    /// Polls until it crashes; 0 for never.
    pub(super) kill_after_polls: AtomicU64,
    alive: AtomicBool,
    randomness: Mutex<ChaCha8Rng>,
}

/// What all views share.
pub(super) struct Core {
    pub(super) options: VirtualOptions,
    state: Mutex<State>,
}

struct State {
    now: Moment,
    running: bool,
    polls_at_this_moment: u64,
    tasks: BTreeMap<TaskId, Task>,
    tasks_started: u64,
    ready: VecDeque<TaskId>,
    root_queued: bool,
    order: ChaCha8Rng,
    timers: BTreeMap<(Moment, u64), Waker>,
    timers_started: u64,
    nodes: BTreeMap<String, Arc<Node>>,
    /// How many lives each name has begun.
    lives: BTreeMap<String, u64>,
    panics: Vec<(String, String)>,
    trace: blake3::Hasher,
}

impl State {
    /// Adds a decision to the trace.
    fn note(&mut self, what: &str, number: u64) {
        self.trace.update(what.as_bytes());
        self.trace.update(&number.to_le_bytes());
        self.trace.update(&self.now.since_start().as_nanos().to_le_bytes());
    }
}

impl Core {
    pub(super) fn new(options: VirtualOptions) -> Self {
        let state = State {
            now: Moment::default(),
            running: false,
            polls_at_this_moment: 0,
            tasks: BTreeMap::new(),
            tasks_started: 0,
            ready: VecDeque::new(),
            root_queued: false,
            order: random_stream(options.seed, "order of polls", 0),
            timers: BTreeMap::new(),
            timers_started: 0,
            nodes: BTreeMap::new(),
            lives: BTreeMap::new(),
            panics: Vec::new(),
            trace: blake3::Hasher::new(),
        };
        Self { options, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Moment {
        self.lock().now
    }

    pub(super) fn set_now(&self, now: Moment) {
        let mut state = self.lock();
        state.now = state.now.max(now);
        state.polls_at_this_moment = 0;
    }

    /// The living node of this name, made if there is none.
    pub(super) fn node(&self, name: &str, wall_skew_ms: i64) -> Arc<Node> {
        let node = self.node_of(name);
        node.wall_skew_ms.store(wall_skew_ms, Ordering::Relaxed);
        node
    }

    pub(super) fn node_of(&self, name: &str) -> Arc<Node> {
        let mut state = self.lock();
        if let Some(node) = state.nodes.get(name) {
            return Arc::clone(node);
        }
        let life = state.lives.entry(name.to_owned()).or_default();
        *life += 1;
        let randomness = random_stream(self.options.seed, name, *life);
        let node = Arc::new(Node {
            name: name.to_owned(),
            wall_skew_ms: AtomicI64::new(0),
            kill_after_polls: AtomicU64::new(0),
            alive: AtomicBool::new(true),
            randomness: Mutex::new(randomness),
        });
        state.nodes.insert(name.to_owned(), Arc::clone(&node));
        node
    }

    pub(super) fn fill_random(&self, node: &Node, bytes: &mut [u8]) {
        self.lock().note("random", bytes.len() as u64);
        node.randomness.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }

    /// Takes a task in; gives it back if its node is dead.
    pub(super) fn add_task(self: &Arc<Self>, mut task: Task) -> Result<TaskId, Task> {
        let mut state = self.lock();
        if !task.node.alive.load(Ordering::Relaxed) {
            return Err(task);
        }
        state.tasks_started += 1;
        let id = state.tasks_started;
        state.note("spawn", id);
        state.trace.update(task.name.as_bytes());
        task.waker = Waker::from(Arc::new(TaskWaker { id, core: Arc::downgrade(self) }));
        task.queued = true;
        state.tasks.insert(id, task);
        state.ready.push_back(id);
        Ok(id)
    }

    fn wake_task(&self, id: TaskId) {
        let mut state = self.lock();
        if id == ROOT && !std::mem::replace(&mut state.root_queued, true) {
            state.ready.push_back(ROOT);
        } else if let Some(task) = state.tasks.get_mut(&id)
            && !task.queued
        {
            task.queued = true;
            state.ready.push_back(id);
        }
    }

    /// Marks a task for being dropped when its turn comes.
    pub(super) fn abort_task(&self, id: TaskId) {
        if let Some(task) = self.lock().tasks.get_mut(&id) {
            task.doomed = true;
        }
        self.wake_task(id);
    }

    fn take_ready(&self) -> Option<TaskId> {
        let mut state = self.lock();
        let last = state.ready.len().checked_sub(1)?;
        let id = if self.options.shuffle && last > 0 {
            let index = (state.order.next_u64() % state.ready.len() as u64) as usize;
            state.ready.swap_remove_back(index)?
        } else {
            state.ready.pop_front()?
        };
        match state.tasks.get_mut(&id) {
            Some(task) => task.queued = false,
            None if id == ROOT => state.root_queued = false,
            None => {}
        }
        Some(id)
    }

    /// Polls everything that is ready, and what becomes ready by it.
    pub(super) fn run_ready(&self) {
        while !matches!(self.run_one(), Step::Nothing) {}
    }

    /// Polls one task, if any is ready.
    pub(super) fn run_one(&self) -> Step {
        let Some(id) = self.take_ready() else { return Step::Nothing };
        self.count_poll(id);
        if id == ROOT {
            return Step::Root;
        }
        let begun = self.lock().tasks.get_mut(&id).and_then(|task| {
            let future = task.future.take()?;
            Some((future, task.waker.clone(), Arc::clone(&task.node), task.doomed))
        });
        // A task that was killed while it was in the queue is not there any more.
        let Some((mut future, waker, node, doomed)) = begun else { return Step::Task };
        if doomed {
            self.end_task(id, future, Err(TaskFailure::Aborted));
            return Step::Task;
        }
        match tasks::caught(|| future.as_mut().poll(&mut Context::from_waker(&waker))) {
            Ok(Poll::Ready(())) => self.end_task(id, future, Ok(())),
            Ok(Poll::Pending) => self.put_back(id, future),
            Err(panicked) => self.end_task(id, future, Err(panicked)),
        }
        self.crash_if_due(&node);
        Step::Task
    }

    fn put_back(&self, id: TaskId, future: tasks::TaskFuture) {
        let mut state = self.lock();
        match state.tasks.get_mut(&id) {
            Some(task) if !task.doomed => task.future = Some(future),
            _ => {
                drop(state);
                self.end_task(id, future, Err(TaskFailure::Aborted));
            }
        }
    }

    /// Drops a task's future, then tells those who wait for its end.
    fn end_task(&self, id: TaskId, future: tasks::TaskFuture, outcome: Result<(), TaskFailure>) {
        let outcome = match tasks::caught(move || drop(future)) {
            Err(panicked) if outcome.is_ok() => Err(panicked),
            _ => outcome,
        };
        let mut state = self.lock();
        let task = state.tasks.remove(&id);
        if let (Some(task), Err(TaskFailure::Panicked(message))) = (&task, &outcome) {
            let panicked = (task.full_name(), message.clone());
            state.panics.push(panicked);
        }
        drop(state);
        if let Some(task) = task {
            task.outcome.send(outcome).ok(); // nobody has to wait for it
        }
    }

    fn crash_if_due(&self, node: &Arc<Node>) {
        let left = node.kill_after_polls.load(Ordering::Relaxed);
        if left == 0 || !node.alive.load(Ordering::Relaxed) {
            return; // a dead node's count says nothing about its next life
        }
        node.kill_after_polls.store(left - 1, Ordering::Relaxed);
        if left == 1 {
            self.kill_group(&node.name);
        }
    }

    pub(super) fn kill_group(&self, name: &str) -> usize {
        let mut state = self.lock();
        let Some(node) = (!name.is_empty()).then(|| state.nodes.remove(name)).flatten() else { return 0 };
        node.alive.store(false, Ordering::Relaxed);
        state.note("kill", 0);
        state.trace.update(name.as_bytes());
        let members: Vec<TaskId> = state
            .tasks
            .iter()
            .filter(|(_, task)| Arc::ptr_eq(&task.node, &node))
            .map(|(id, _)| *id)
            .collect();
        drop(state);
        self.kill(&members);
        members.len()
    }

    pub(super) fn kill_all(&self) {
        let all: Vec<TaskId> = self.lock().tasks.keys().copied().collect();
        self.kill(&all);
    }

    fn kill(&self, ids: &[TaskId]) {
        for id in ids {
            let future = self.lock().tasks.get_mut(id).and_then(|task| {
                task.doomed = true; // what is being polled now goes when that poll returns
                task.future.take()
            });
            if let Some(future) = future {
                self.end_task(*id, future, Err(TaskFailure::Aborted));
            }
        }
    }

    /// Lets time jump to the next timer that is due by `limit`, and wakes all that are due then.
    pub(super) fn jump(&self, limit: Option<Moment>) -> bool {
        let mut state = self.lock();
        let Some((deadline, _)) = state.timers.first_key_value().map(|(key, _)| *key) else { return false };
        if limit.is_some_and(|limit| deadline > limit) {
            return false;
        }
        state.now = state.now.max(deadline);
        state.polls_at_this_moment = 0;
        state.note("jump", 0);
        let first_later = (state.now, u64::MAX);
        let later = state.timers.split_off(&first_later);
        let due = std::mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
        true
    }

    /// Registers a timer under `id`, or refreshes its waker; the id of a new one. `None` if it is due.
    pub(super) fn set_timer(&self, deadline: Moment, id: Option<u64>, waker: &Waker) -> Option<u64> {
        let mut state = self.lock();
        if state.now >= deadline {
            return None;
        }
        let id = id.unwrap_or_else(|| {
            state.timers_started += 1;
            state.timers_started
        });
        let replaced = state.timers.insert((deadline, id), waker.clone());
        drop(state);
        drop(replaced);
        Some(id)
    }

    pub(super) fn remove_timer(&self, deadline: Moment, id: u64) {
        let removed = self.lock().timers.remove(&(deadline, id));
        drop(removed);
    }

    fn count_poll(&self, id: TaskId) {
        let mut state = self.lock();
        state.polls_at_this_moment += 1;
        state.note("poll", id);
        if state.polls_at_this_moment > self.options.polls_per_moment_max {
            let name = state.tasks.get(&id).map_or_else(|| "block_on".to_owned(), Task::full_name);
            let polls = state.polls_at_this_moment;
            drop(state);
            panic!("{polls} polls without time passing; the last one was of {name}");
        }
    }

    pub(super) fn task_names(&self) -> Vec<String> {
        self.lock().tasks.values().map(Task::full_name).collect()
    }

    pub(super) fn panics(&self) -> Vec<(String, String)> {
        self.lock().panics.clone()
    }

    pub(super) fn trace_hash(&self) -> u64 {
        let hash = self.lock().trace.finalize();
        hash.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Reports a deadlock.
    pub(super) fn panic_stuck(&self) -> ! {
        let names = self.task_names();
        panic!(
            "block_on waits for something that can't happen any more: nothing is ready and no timer is left; \
             stuck tasks besides it: {}",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        );
    }

    /// Claims the scheduler for one run.
    pub(super) fn start_running(self: &Arc<Self>) -> Running {
        let was_running = std::mem::replace(&mut self.lock().running, true);
        assert!(!was_running, "this scheduler is running already; tasks await instead of calling it");
        Running { core: Arc::clone(self) }
    }

    /// Puts the future that the scheduler is run for into the queue, and makes its waker.
    pub(super) fn queue_root(self: &Arc<Self>) -> Waker {
        self.wake_task(ROOT);
        Waker::from(Arc::new(TaskWaker { id: ROOT, core: Arc::downgrade(self) }))
    }
}

/// One run of the scheduler.
pub(super) struct Running {
    core: Arc<Core>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.core.lock().running = false;
    }
}

struct TaskWaker {
    id: TaskId,
    core: Weak<Core>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if let Some(core) = self.core.upgrade() {
            core.wake_task(self.id);
        }
    }
}

/// Randomness that depends on nothing but these three.
fn random_stream(seed: u64, name: &str, life: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&life.to_le_bytes()).update(name.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}
