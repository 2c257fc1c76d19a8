//! The suites that fit a plugin, whichever way its descriptor was come by: linked, loaded, wrapped.
//!
//! Owns the choice of suites and their report. The world that a plugin is made in is the bench's: seams in memory, a chain
//! that knows who the nodes are and answers nothing else, peers that are other instances of the plugin. What can't be
//! tested in it is left out and said.

mod bench;
mod found_chain;
mod host;
mod wires;

use super::Report;
use crate::testkit::{TestSigner, VirtualScheduler};
use bench::Bench;
use lampkeeper_api::Account;
use lampkeeper_api::plugin::{PluginDescriptor, Seam};
use lampkeeper_api::scheduler::Scheduler;
use lampkeeper_api::signer::Signer as _;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A plugin, and what it is made with.
pub struct PluginUnderTest<'a> {
    /// The plugin.
    pub descriptor: &'a PluginDescriptor,
    /// Whether it comes from a library that was loaded, and is in another image than the suites.
    pub is_loaded: bool,
    /// Its configuration, as JSON. `{instance}` in a text stands for the number of the instance that is made, so that each
    /// can be given a place of its own; `{account}` for the account that it signs as.
    pub config_json: &'a str,
    /// A folder that exists, in which every plugin that is made gets an empty folder of its own.
    pub folder: PathBuf,
}

/// The time in which the suites run.
#[derive(Clone)]
pub enum Time {
    /// Seeded, and as fast as the plugin; for plugins that wait for nothing but seams.
    Virtual(VirtualScheduler),
    /// The production scheduler's, for plugins that wait for sockets or for a runtime of their own. The suite of
    /// services, which takes minutes, is left out.
    Real(Arc<dyn Scheduler>),
}

impl Time {
    fn scheduler(&self) -> Arc<dyn Scheduler> {
        match self {
            Self::Virtual(scheduler) => scheduler.handle(),
            Self::Real(scheduler) => Arc::clone(scheduler),
        }
    }

    /// The tasks that have not ended, where that is known.
    fn task_names(&self) -> Vec<String> {
        match self {
            Self::Virtual(scheduler) => scheduler.task_names(),
            Self::Real(_) => Vec::new(),
        }
    }
}

/// Whether a provider of the seam usually waits for something that virtual time knows nothing of.
#[must_use]
pub const fn needs_real_time(seam: Seam) -> bool {
    matches!(seam, Seam::Scheduler | Seam::Transport | Seam::ChainRead | Seam::ChainSubmit)
}

/// The account that plugins under test sign as, for chains that have to know it.
#[must_use]
pub fn account_under_test() -> Account {
    TestSigner::new(bench::SIGNER_SEED).account().to_owned()
}

/// What all suites found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginReport {
    /// The plugin.
    pub plugin_id: String,
    /// What each suite found.
    pub reports: Vec<Report>,
    /// What was not tested, and why: the suite of a seam, or a part of one.
    pub left_out: Vec<(Seam, String)>,
}

impl PluginReport {
    /// Whether every rule of every suite holds.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.reports.iter().all(Report::passed)
    }

    /// For tests.
    ///
    /// # Panics
    /// If a rule does not hold, with the whole report.
    pub fn assert_passed(&self) {
        assert!(self.passed(), "{self}");
    }
}

impl fmt::Display for PluginReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for report in &self.reports {
            write!(formatter, "{report}")?;
        }
        for (seam, why) in &self.left_out {
            writeln!(formatter, "{seam}: not tested: {why}")?;
        }
        let verdict = if self.passed() { "passed" } else { "FAILED" };
        writeln!(formatter, "plugin {}: {verdict}", self.plugin_id)
    }
}

/// Why the suite of a seam does not run for this plugin; `None` if it does.
fn left_out(seam: Seam, descriptor: &PluginDescriptor, time: &Time) -> Option<&'static str> {
    let is_in_front = descriptor.needs.iter().any(|need| need.seam == seam && !need.optional);
    match (seam, time) {
        (Seam::ChainRead, _) if !descriptor.provides.contains(&Seam::ChainSubmit) => {
            Some("its suite submits, which a plugin that only reads can't")
        }
        (Seam::Transport | Seam::ChainSubmit | Seam::Network, _) if is_in_front => Some(
            "it stands in front of another plugin, which is not there: run the suite in the crate's tests, with that \
             plugin behind it",
        ),
        (Seam::Service, Time::Real(_)) => Some("its suite takes minutes of virtual time"),
        _ => None,
    }
}

/// Runs the suites that fit a plugin.
///
/// To be awaited on the scheduler of `time`, and in real time on the runtime that the plugin expects.
pub async fn plugin(time: Time, under_test: &PluginUnderTest<'_>) -> PluginReport {
    let descriptor = under_test.descriptor;
    let bench = Bench::new(time.clone(), under_test);
    let mut report = PluginReport {
        plugin_id: descriptor.id.clone(),
        reports: vec![bench.making().await],
        left_out: Vec::new(),
    };
    // What can't be made has nothing to be tested.
    let seams = if report.passed() { descriptor.provides.as_slice() } else { &[] };
    for seam in seams {
        match left_out(*seam, descriptor, &time) {
            Some(why) => report.left_out.push((*seam, why.to_owned())),
            None => bench.suites(*seam, &mut report).await,
        }
    }
    report
}
