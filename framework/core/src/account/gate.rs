//! The gate in front of a plugin: counts, measures, contains panics, and refuses what is quarantined.

use super::PluginAccount;
use crate::telemetry::PluginTelemetry;
use lampkeeper_api::guard::{
    Call, Decision, Finish, Gate, Method, Unavailable, UnavailableReason, contained_drop, panic_words,
};
use lampkeeper_api::scheduler::Moment;
use lampkeeper_api::telemetry::Telemetry as _;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

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

    fn note_time(&self, method: &'static Method, began: Option<Moment>) {
        let ended = self.telemetry.step_clock_now();
        let (Some(began), Some(ended)) = (began, ended) else { return };
        let took = ended.since(began);
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(counters) = self.account.of(method) {
            counters.step_ns_total.fetch_add(took_ns, Ordering::Relaxed);
            if took_ns > counters.step_ns_longest.load(Ordering::Relaxed) {
                counters.step_ns_longest.fetch_max(took_ns, Ordering::Relaxed);
            }
        }
        if let Some(count) = self.account.note_step(method, took, ended) {
            self.telemetry.held_thread(method, took, count);
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

/// Whether a call only ends what was begun: a quarantined plugin may still do that.
fn is_an_end(method: &Method) -> bool {
    matches!((method.seam, method.name), ("close", "close") | ("permit", "release"))
}

impl Gate for AccountGate {
    fn plugin_id(&self) -> &str {
        self.account.plugin_id()
    }

    fn before(&self, call: &Call<'_>) -> Decision {
        if let Some(counters) = self.account.of(call.method) {
            counters.calls.fetch_add(1, Ordering::Relaxed);
            counters.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        match self.account.quarantined() {
            Some(why) if !is_an_end(call.method) => Decision::Refuse(Unavailable {
                plugin_id: self.account.plugin_id().to_owned(),
                reason: UnavailableReason::Quarantined(why.to_owned()),
            }),
            Some(_) | None => Decision::Pass,
        }
    }

    fn step(&self, method: &'static Method, work: &mut dyn FnMut()) -> Result<(), String> {
        let began = self.telemetry.step_clock_now();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run(work)));
        if let Some(counters) = self.account.of(method) {
            counters.steps.fetch_add(1, Ordering::Relaxed);
        }
        self.note_time(method, began);
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
