//! An account in a few numbers, for `status` and for metrics.

use super::{MethodAccount, PluginAccount};
use serde::Serialize;

/// What a plugin has used, over all of its methods.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PluginUsage {
    /// Calls that were begun.
    pub calls: u64,
    /// Calls that have not ended; tasks are apart.
    pub calls_in_flight: u64,
    /// Calls that ended with an error of the plugin's own.
    pub calls_failed: u64,
    /// Calls that were not let through: quarantine, or what the manifest injects.
    pub calls_refused: u64,
    /// Time that the plugin's code held threads, in microseconds: calls, polls and drops, of its tasks too. Blocking
    /// work is apart.
    pub poll_time_us: u64,
    /// The longest time without giving the thread back, in microseconds.
    pub poll_longest_us: u64,
    /// Where that was, such as `store.put`.
    pub poll_longest_in: Option<String>,
    /// How often a thread was held for longer than the manifest allows.
    pub thread_holds: u64,
    /// Panics, in whichever image.
    pub panics: u64,
    /// What the latest one said, and where.
    pub last_panic: Option<String>,
    /// Tasks that have not ended.
    pub tasks: u64,
    /// Why the plugin is no longer called.
    pub quarantined: Option<String>,
}

impl PluginAccount {
    /// The account in a few numbers.
    #[must_use]
    pub fn usage(&self) -> PluginUsage {
        let methods = self.methods();
        let is_call = |method: &&MethodAccount| !matches!(method.method, "task" | "work");
        let sum = |of: fn(&MethodAccount) -> u64| methods.iter().filter(is_call).map(of).sum::<u64>();
        // Blocking work is meant to hold its thread.
        let polled = || methods.iter().filter(|method| method.method != "work");
        let longest = polled().max_by_key(|method| method.step_ns_longest);
        let longest = longest.filter(|method| method.step_ns_longest > 0);
        PluginUsage {
            calls: sum(|method| method.calls),
            calls_in_flight: sum(|method| method.in_flight),
            calls_failed: sum(|method| method.failed),
            calls_refused: sum(|method| method.refused),
            poll_time_us: polled().map(|method| method.step_ns_total).sum::<u64>() / 1000,
            poll_longest_us: longest.map_or(0, |method| method.step_ns_longest / 1000),
            poll_longest_in: longest.map(|method| format!("{}.{}", method.seam, method.method)),
            thread_holds: self.thread_holds(),
            panics: self.panics(),
            last_panic: self.last_panic(),
            tasks: u64::try_from(self.tasks().len()).unwrap_or(u64::MAX),
            quarantined: self.quarantined().map(str::to_owned),
        }
    }
}
