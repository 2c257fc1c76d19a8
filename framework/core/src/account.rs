//! What each plugin's calls cost: how many, how long, how they ended; and what follows when a plugin misbehaves.
//!
//! Owns the counters of a plugin, the gate that adds to them at every call that crosses into it, and the two judgements
//! that are made from them: a step that held a thread for too long, and too many panics. Showing them is the node's and
//! the embedding program's business.
//!
//! Time is the node's scheduler's. In virtual time a step takes none, so that an account is the same in every run of a
//! seed.

mod gate;
mod holds;
mod quarantine;
mod usage;

pub use gate::EnterRuntime;
pub(crate) use gate::{AccountGate, Panics};
pub(crate) use quarantine::PanicLimit;
pub use usage::PluginUsage;

use crate::manifest::SupervisionSection;
use holds::Holds;
use lampkeeper_api::guard::{METHOD_SLOTS_MAX, Method};
use lampkeeper_api::scheduler::Moment;
use quarantine::Quarantine;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// What a plugin may do before something follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccountLimits {
    /// The longest step that is passed over in silence.
    pub(crate) thread_hold_max: Duration,
    /// How many panics lead to quarantine.
    pub(crate) panics: PanicLimit,
}

impl From<SupervisionSection> for AccountLimits {
    fn from(section: SupervisionSection) -> Self {
        Self {
            thread_hold_max: Duration::from_millis(section.thread_hold_max_ms),
            panics: PanicLimit {
                count: section.quarantine_after_panics,
                window: Duration::from_millis(section.panic_window_ms),
            },
        }
    }
}

/// The account of one plugin of one node.
pub struct PluginAccount {
    plugin_id: String,
    /// By [`Method::slot`]; made when a method is first called.
    methods: Box<[OnceLock<Box<MethodCounters>>]>,
    panics: AtomicU64,
    last_panic: Mutex<Option<String>>,
    /// `None` for what is no plugin: core and the host.
    limits: Option<AccountLimits>,
    holds: Holds,
    quarantine: Quarantine,
    tasks: Mutex<Tasks>,
}

/// Spawned work that has not ended, by a number of its own.
#[derive(Default)]
struct Tasks {
    spawned: u64,
    names: BTreeMap<u64, String>,
}

struct MethodCounters {
    method: &'static Method,
    calls: AtomicU64,
    in_flight: AtomicI64,
    failed: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    steps: AtomicU64,
    step_ns_total: AtomicU64,
    step_ns_longest: AtomicU64,
}

/// One method's part of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MethodAccount {
    /// The seam, such as `store`. Work that the plugin had a scheduler do is under `scheduler.task` and
    /// `scheduler.work`, the drop of what it gave away under `object.drop`.
    pub seam: &'static str,
    /// The method, such as `put`.
    pub method: &'static str,
    /// Calls that were begun.
    pub calls: u64,
    /// Calls that have not ended.
    pub in_flight: u64,
    /// Calls that ended with an error of the plugin's own.
    pub failed: u64,
    /// Calls that were not let through.
    pub refused: u64,
    /// Calls whose caller stopped waiting.
    pub dropped: u64,
    /// Steps: calls, polls and drops.
    pub steps: u64,
    /// Time spent in steps, in nanoseconds; none in virtual time.
    pub step_ns_total: u64,
    /// The longest step, in nanoseconds. A long one held a worker thread of the node for as long.
    pub step_ns_longest: u64,
}

impl PluginAccount {
    /// An account without entries, from which nothing follows.
    #[must_use]
    pub fn new(plugin_id: impl Into<String>) -> Arc<Self> {
        Self::with_limits(plugin_id, None)
    }

    pub(crate) fn with_limits(plugin_id: impl Into<String>, limits: Option<AccountLimits>) -> Arc<Self> {
        Arc::new(Self {
            plugin_id: plugin_id.into(),
            methods: (0..METHOD_SLOTS_MAX).map(|_| OnceLock::new()).collect(),
            panics: AtomicU64::new(0),
            last_panic: Mutex::new(None),
            limits,
            holds: Holds::default(),
            quarantine: Quarantine::default(),
            tasks: Mutex::default(),
        })
    }

    /// Whose account it is.
    #[must_use]
    pub fn plugin_id(&self) -> &str {
        &self.plugin_id
    }

    /// How often the plugin's code panicked, in whichever image.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// What its latest panic said, and where it was: `store.put: out of luck`.
    #[must_use]
    pub fn last_panic(&self) -> Option<String> {
        self.last_panic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the plugin is no longer called; `None` while it is.
    #[must_use]
    pub fn quarantined(&self) -> Option<&str> {
        self.quarantine.why()
    }

    /// The plugin is called whatever it does: nothing works without it, not even the drain.
    pub(crate) fn never_quarantine(&self) {
        self.quarantine.rule_out();
    }

    /// How often a step held a thread for longer than the manifest allows.
    #[must_use]
    pub fn thread_holds(&self) -> u64 {
        self.holds.count()
    }

    /// The names of the tasks that the plugin spawned and that have not ended, oldest first.
    #[must_use]
    pub fn tasks(&self) -> Vec<String> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).names.values().cloned().collect()
    }

    /// Notes a task until the token is dropped.
    pub(crate) fn begin_task(self: &Arc<Self>, name: &str) -> RunningTask {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawned += 1;
        let number = tasks.spawned;
        tasks.names.insert(number, name.to_owned());
        RunningTask { account: Arc::clone(self), number }
    }

    /// Notes a panic. If it was one too many, the plugin is quarantined from now on, and the reason is returned, once.
    pub(crate) fn note_panic(&self, now: Moment, seam: &str, method: &str, words: &str) -> Option<String> {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let text = format!("{seam}.{method}: {words}");
        *self.last_panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.clone());
        self.quarantine.note_panic(now, self.limits?.panics, &text)
    }

    /// Notes how long a step took, at its end. If it is time to warn, the number of long steps since the last warning.
    pub(crate) fn note_step(&self, method: &Method, took: Duration, now: Moment) -> Option<u64> {
        let limits = self.limits.filter(|limits| took > limits.thread_hold_max)?;
        // Blocking work has a thread of its own, that is what it is for.
        if limits.thread_hold_max.is_zero() || (method.seam, method.name) == ("scheduler", "work") {
            return None;
        }
        self.holds.note(now)
    }

    /// Every method that was called, by seam and name.
    #[must_use]
    pub fn methods(&self) -> Vec<MethodAccount> {
        let counters = self.methods.iter().filter_map(OnceLock::get);
        let mut methods: Vec<MethodAccount> = counters.map(|counters| counters.read()).collect();
        methods.sort_by_key(|account| (account.seam, account.method));
        methods
    }

    fn of(&self, method: &'static Method) -> Option<&MethodCounters> {
        let slot = self.methods.get(method.slot())?;
        Some(slot.get_or_init(|| Box::new(MethodCounters::new(method))))
    }
}

impl MethodCounters {
    const fn new(method: &'static Method) -> Self {
        Self {
            method,
            calls: AtomicU64::new(0),
            in_flight: AtomicI64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            step_ns_total: AtomicU64::new(0),
            step_ns_longest: AtomicU64::new(0),
        }
    }

    fn read(&self) -> MethodAccount {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MethodAccount {
            seam: self.method.seam,
            method: self.method.name,
            calls: read(&self.calls),
            in_flight: u64::try_from(self.in_flight.load(Ordering::Relaxed)).unwrap_or(0),
            failed: read(&self.failed),
            refused: read(&self.refused),
            dropped: read(&self.dropped),
            steps: read(&self.steps),
            step_ns_total: read(&self.step_ns_total),
            step_ns_longest: read(&self.step_ns_longest),
        }
    }
}

/// A task that has not ended.
pub(crate) struct RunningTask {
    account: Arc<PluginAccount>,
    number: u64,
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        let mut tasks = self.account.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.names.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
