//! When a plugin has panicked too often to be called again.

use lampkeeper_api::scheduler::Moment;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How many panics within how long lead to quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PanicLimit {
    /// The panic that is one too many, from 1. At most what the manifest's schema allows.
    pub(crate) count: u32,
    /// The time in which they have to happen.
    pub(crate) window: Duration,
}

/// Whether one plugin is quarantined. It ends with the node: what a panic left half-changed does not mend itself.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    recent: Mutex<VecDeque<Moment>>,
    why: OnceLock<String>,
    is_ruled_out: AtomicBool,
}

impl Quarantine {
    pub(super) fn why(&self) -> Option<&str> {
        self.why.get().map(String::as_str)
    }

    /// There will be no quarantine.
    pub(super) fn rule_out(&self) {
        self.is_ruled_out.store(true, Ordering::Relaxed);
    }

    /// Notes a panic; the reason for the quarantine, if it begins with this one.
    pub(super) fn note_panic(&self, now: Moment, limit: PanicLimit, last: &str) -> Option<String> {
        if self.why.get().is_some() || self.is_ruled_out.load(Ordering::Relaxed) {
            return None;
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back(now);
        while recent.front().is_some_and(|first| now.since(*first) > limit.window) {
            recent.pop_front();
        }
        if recent.len() < usize::try_from(limit.count).unwrap_or(usize::MAX) {
            return None;
        }
        let window_s = limit.window.as_secs();
        let why = format!("it panicked {} times within {window_s} s, last in {last}", recent.len());
        recent.clear();
        self.why.set(why.clone()).is_ok().then_some(why)
    }
}
