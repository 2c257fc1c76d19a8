//! What each plugin's calls cost: how many, how long, how they ended.
//!
//! Owns the counters of a plugin and the gate that adds to them at every call that crosses into it. Showing them, and
//! deciding what follows from them, is the node's and the embedding program's business.
//!
//! The clock read here is the real one, also where a node runs in virtual time: what is measured is this process, and
//! nothing that a node does depends on it.
#![expect(
    clippy::disallowed_methods,
    reason = "measures how long plugins hold a thread, which has no virtual time"
)]

use crate::telemetry::PluginTelemetry;
use lampkeeper_api::guard::{
    Call, Decision, Finish, Gate, METHOD_SLOTS_MAX, Method, contained_drop, panic_words,
};
use lampkeeper_api::telemetry::Telemetry as _;
use serde::Serialize;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// The account of one plugin of one node.
pub struct PluginAccount {
    plugin_id: String,
    /// By [`Method::slot`]; made when a method is first called.
    methods: Box<[OnceLock<Box<MethodCounters>>]>,
    panics: AtomicU64,
    last_panic: Mutex<Option<String>>,
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
    /// Time spent in steps, in nanoseconds.
    pub step_ns_total: u64,
    /// The longest step, in nanoseconds. A long one held a worker thread of the node for as long.
    pub step_ns_longest: u64,
}

impl PluginAccount {
    /// An account without entries.
    #[must_use]
    pub fn new(plugin_id: impl Into<String>) -> Arc<Self> {
        let methods = (0..METHOD_SLOTS_MAX).map(|_| OnceLock::new()).collect();
        let (panics, last_panic) = (AtomicU64::new(0), Mutex::new(None));
        Arc::new(Self { plugin_id: plugin_id.into(), methods, panics, last_panic })
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

    pub(crate) fn note_panic(&self, seam: &str, method: &str, words: &str) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let text = format!("{seam}.{method}: {words}");
        *self.last_panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
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

/// Makes a thread able to run one image's futures, for as long as a step takes: enters the runtime that the image's code
/// expects around it.
pub trait EnterRuntime: Send + Sync {
    /// Runs `work` with the runtime entered. Called for each step; has to be quick where it already is.
    fn enter(&self, work: &mut dyn FnMut());
}

/// Where panics of a plugin's code end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Panics {
    /// In the gate: the caller is told that the plugin is not available.
    Contained,
    /// In whoever runs the code, which knows what to do about them. Only within one image.
    LeftToTheRunner,
}

/// The gate that keeps a plugin's account.
pub(crate) struct AccountGate {
    account: Arc<PluginAccount>,
    telemetry: PluginTelemetry,
    runtime: Option<Arc<dyn EnterRuntime>>,
    panics: Panics,
}

impl AccountGate {
    pub(crate) fn new(
        telemetry: PluginTelemetry,
        runtime: Option<Arc<dyn EnterRuntime>>,
        panics: Panics,
    ) -> Self {
        Self { account: Arc::clone(telemetry.account()), telemetry, runtime, panics }
    }

    fn run(&self, work: &mut dyn FnMut()) {
        match &self.runtime {
            Some(runtime) => runtime.enter(work),
            None => work(),
        }
    }

    fn note_panic(&self, method: &Method, panic: Box<dyn Any + Send>) -> Result<(), String> {
        let words = panic_words(panic.as_ref());
        self.telemetry.panicked(method.seam, method.name, &words);
        match self.panics {
            Panics::Contained => {
                contained_drop(panic);
                Err(words)
            }
            Panics::LeftToTheRunner => resume_unwind(panic),
        }
    }
}

impl Gate for AccountGate {
    fn plugin_id(&self) -> &str {
        &self.account.plugin_id
    }

    fn before(&self, call: &Call<'_>) -> Decision {
        if let Some(counters) = self.account.of(call.method) {
            counters.calls.fetch_add(1, Ordering::Relaxed);
            counters.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        Decision::Pass
    }

    fn step(&self, method: &'static Method, work: &mut dyn FnMut()) -> Result<(), String> {
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run(work)));
        let took_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(counters) = self.account.of(method) {
            counters.steps.fetch_add(1, Ordering::Relaxed);
            counters.step_ns_total.fetch_add(took_ns, Ordering::Relaxed);
            if took_ns > counters.step_ns_longest.load(Ordering::Relaxed) {
                counters.step_ns_longest.fetch_max(took_ns, Ordering::Relaxed);
            }
        }
        outcome.or_else(|panic| self.note_panic(method, panic))
    }

    fn finished(&self, method: &'static Method, finish: Finish) {
        let Some(counters) = self.account.of(method) else { return };
        counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        let ended = match finish {
            Finish::Answered => return,
            Finish::Failed => &counters.failed,
            Finish::Refused => &counters.refused,
            // Counted when the telemetry heard of it.
            Finish::Panicked => return,
            Finish::Dropped => &counters.dropped,
        };
        ended.fetch_add(1, Ordering::Relaxed);
    }
}
