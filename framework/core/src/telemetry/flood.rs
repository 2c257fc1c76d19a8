//! Keeps a plugin that floods the log from filling the disk and from hiding what others say.
//!
//! Owns how many records are written. Whatever is left out is counted: in a line of the log, and in a metric.

use lampkeeper_api::scheduler::Moment;
use lampkeeper_api::telemetry::Level;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many records of one level a plugin may have written in a [`LOG_WINDOW`]. Levels are apart, so that chatter does
/// not keep errors out.
pub const LOG_RECORDS_PER_WINDOW_MAX: u64 = 2_000;
/// The time after which a plugin may write again.
pub const LOG_WINDOW: Duration = Duration::from_secs(10);

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is written. So many were left out in the window before.
    Written { left_out_before: u64 },
    /// It is the first that is left out.
    FirstLeftOut,
    /// It is another that is left out.
    LeftOut,
}

/// A node and a plugin.
type Origin = (Arc<str>, Arc<str>);

/// The windows of all plugins; as many as there are plugins, times levels.
#[derive(Debug, Default)]
pub(super) struct LogLimits {
    windows: Mutex<BTreeMap<(Origin, Level), Window>>,
}

#[derive(Debug, Default)]
struct Window {
    began: Moment,
    written: u64,
    left_out: u64,
}

impl LogLimits {
    pub(super) fn admit(&self, node: &Arc<str>, plugin: &Arc<str>, level: Level, now: Moment) -> Admission {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(((Arc::clone(node), Arc::clone(plugin)), level)).or_default();
        let mut left_out_before = 0;
        if now.since(window.began) >= LOG_WINDOW {
            left_out_before = window.left_out;
            *window = Window { began: now, ..Window::default() };
        }
        if window.written < LOG_RECORDS_PER_WINDOW_MAX {
            window.written += 1;
            return Admission::Written { left_out_before };
        }
        window.left_out += 1;
        if window.left_out == 1 { Admission::FirstLeftOut } else { Admission::LeftOut }
    }
}
