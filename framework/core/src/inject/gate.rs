//! The gate of one injection: which calls are its own, and what becomes of them.

use super::record::Recorder;
use super::replay::read_recording;
use super::{Injection, InjectionKind, When, belongs_to, delay, fault};
use crate::telemetry::NodeTelemetry;
use lampkeeper_api::guard::{Call, Decision, Gate, Method, ReplayGate, contained, is_identity};
use lampkeeper_api::plugin::Seam;
use lampkeeper_api::scheduler::random_u64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What all gates of one injection share.
pub(super) struct Shared {
    seam: Seam,
    method: Option<String>,
    when: When,
    calls: AtomicU64,
    deed: Deed,
    telemetry: NodeTelemetry,
}

enum Deed {
    Record(Recorder),
    Replay(ReplayGate),
    Fault(String),
    Delay(delay::Delay),
}

impl Shared {
    pub(super) fn prepare(injection: &Injection, telemetry: &NodeTelemetry) -> Result<Self, String> {
        let deed = match &injection.kind {
            InjectionKind::Record { file } => {
                Deed::Record(Recorder::open(file, injection, telemetry.clone())?)
            }
            InjectionKind::Replay { file } => {
                Deed::Replay(ReplayGate::new("replay", read_recording(file, injection.seam)?))
            }
            InjectionKind::Fault { error } => Deed::Fault(error.clone()),
            InjectionKind::Delay { delay, jitter } => {
                Deed::Delay(delay::Delay { delay: *delay, jitter: *jitter })
            }
        };
        Ok(Self {
            seam: injection.seam,
            method: injection.method.clone(),
            when: injection.when,
            calls: AtomicU64::new(0),
            deed,
            telemetry: telemetry.clone(),
        })
    }

    /// Whether a call is one of those that the injection is about. Counts it, if it is in front of it.
    fn is_mine(&self, method: &Method) -> bool {
        let named = match &self.method {
            Some(only) => only == method.name,
            None => !is_identity(method),
        };
        if !named || !belongs_to(method.seam, self.seam) {
            return false;
        }
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match self.when {
            When::Always => true,
            When::Nth(nth) => number == nth,
            When::OneIn(count) => {
                let chance = self.telemetry.scheduler().map(|scheduler| random_u64(scheduler.as_ref()));
                chance.is_some_and(|chance| chance % count.max(1) == 0)
            }
        }
    }
}

/// The gate in front of one plugin's use of a seam.
pub(super) struct InjectionGate {
    provider_id: String,
    shared: Arc<Shared>,
}

impl InjectionGate {
    pub(super) fn new(provider_id: &str, shared: Arc<Shared>) -> Self {
        Self { provider_id: provider_id.to_owned(), shared }
    }
}

impl Gate for InjectionGate {
    fn plugin_id(&self) -> &str {
        &self.provider_id
    }

    fn step(&self, _: &'static Method, work: &mut dyn FnMut()) -> Result<(), String> {
        contained(work)
    }

    fn before(&self, call: &Call<'_>) -> Decision {
        if !self.shared.is_mine(call.method) {
            return Decision::Pass;
        }
        match &self.shared.deed {
            Deed::Record(recorder) => Decision::Watch(recorder.begin(call)),
            Deed::Replay(replay) => replay.decide(call),
            Deed::Fault(word) => fault::decide(self.shared.seam, word, &self.provider_id, call.method),
            Deed::Delay(delay) => delay.decide(self.shared.telemetry.scheduler()),
        }
    }

    fn outcome(&self, token: u64, method: &'static Method, answer: Option<String>) {
        if let Deed::Record(recorder) = &self.shared.deed {
            recorder.end(token, method, answer.as_deref());
        }
    }
}
