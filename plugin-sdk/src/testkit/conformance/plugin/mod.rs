//! The suites that fit a plugin, whichever way its descriptor was come by: linked, loaded, wrapped.
//!
//! Owns the choice of suites, and the world that the plugin is made in: seams in memory, a chain that does not answer,
//! peers that can't be reached. What needs more (a chain with a history, a network with members) is left out and said.

use super::{CheckResult, Failure, Report, equal};
use crate::testkit::{Recording, TestSigner, VirtualScheduler, context};
use async_trait::async_trait;
use lampkeeper_api::Account;
use lampkeeper_api::chain::PortState;
use lampkeeper_api::network::{Artifact, ArtifactNetwork, NetworkError, Published, Survey};
use lampkeeper_api::plugin::{Close, PluginContext, PluginDescriptor, Provided, Seam};
use lampkeeper_api::service::Service;
use lampkeeper_api::transport::{CallError, MessageStream, Peer, Router, ServerHandle, Transport};
use lampkeeper_protocol::artifact_key::ArtifactKey;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A plugin, and what it is made with.
pub struct PluginUnderTest<'a> {
    /// The plugin.
    pub descriptor: &'a PluginDescriptor,
    /// Its configuration, as JSON.
    pub config_json: &'a str,
    /// A folder that exists, in which every plugin that is made gets an empty folder of its own.
    pub folder: PathBuf,
}

/// What all suites found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginReport {
    /// The plugin.
    pub plugin_id: String,
    /// What each suite found.
    pub reports: Vec<Report>,
    /// Seams that no suite was run for, and why.
    pub left_out: Vec<(Seam, &'static str)>,
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

/// Why there is no suite that fits any plugin with this seam; `None` if there is one.
const fn left_out(seam: Seam) -> Option<&'static str> {
    match seam {
        Seam::ChainRead | Seam::ChainSubmit => {
            Some("its suite needs a chain with a history: `conformance::chain` with a fixture")
        }
        Seam::Transport => Some("its suite needs two nodes that know each other: `conformance::transport`"),
        Seam::Network => Some("its suite needs a network with members: `conformance::network`"),
        _ => None,
    }
}

/// Runs the suites that fit a plugin.
///
/// To be awaited on `scheduler`; one that provides a scheduler itself, on the runtime that it expects.
pub async fn plugin(scheduler: &VirtualScheduler, under_test: &PluginUnderTest<'_>) -> PluginReport {
    let bench = Bench { scheduler, under_test, made: Cell::new(0), closers: RefCell::default() };
    let descriptor = under_test.descriptor;
    let mut reports = vec![bench.making().await];
    let mut omitted = Vec::new();
    // What can't be made has nothing to be tested.
    let seams = if reports.iter().all(Report::passed) { descriptor.provides.as_slice() } else { &[] };
    for seam in seams {
        match left_out(*seam) {
            Some(why) => omitted.push((*seam, why)),
            None => reports.extend(bench.suites(*seam).await),
        }
    }
    PluginReport { plugin_id: descriptor.id.clone(), reports, left_out: omitted }
}

/// Where the plugin is made, again and again.
struct Bench<'a> {
    scheduler: &'a VirtualScheduler,
    under_test: &'a PluginUnderTest<'a>,
    made: Cell<u32>,
    closers: RefCell<Vec<Arc<dyn Close>>>,
}

impl Bench<'_> {
    fn context(&self, folder: u32) -> Result<PluginContext, Failure> {
        let data_dir = self.under_test.folder.join(folder.to_string());
        std::fs::create_dir_all(&data_dir)?;
        let silent = silence()?;
        let context = context(&self.under_test.descriptor.id)
            .config(self.under_test.config_json)
            .data_dir(data_dir)
            .memory_seams(self.scheduler)
            .signer(TestSigner::new("conformance"))
            .caller_mint();
        let declared = |seam: Seam| self.under_test.descriptor.needs.iter().any(|need| need.seam == seam);
        let context = context.seams(|seams| {
            seams.chain = declared(Seam::ChainSubmit).then(|| silent.chain());
            seams.chain_reader = declared(Seam::ChainRead).then(|| silent.chain() as Arc<_>);
            seams.network = Some(Arc::new(Alone));
            seams.transport = Some(Arc::new(Alone));
            seams.heal_strategy = Some(silent.heal_strategy());
            seams.challenger = Some(silent.challenger());
        });
        Ok(context.build())
    }

    async fn try_make(&self, folder: u32) -> Result<Provided, Failure> {
        let provided = (self.under_test.descriptor.construct)(self.context(folder)?).await?;
        self.closers.borrow_mut().extend(provided.close.clone());
        Ok(provided)
    }

    /// The plugin in a new folder.
    async fn make(&self) -> Provided {
        self.made.set(self.made.get() + 1);
        self.make_in(self.made.get()).await
    }

    /// The plugin in this folder.
    async fn make_in(&self, folder: u32) -> Provided {
        match self.try_make(folder).await {
            Ok(provided) => provided,
            Err(failure) => panic!("the plugin is not made again: {}", failure.found),
        }
    }

    async fn close(&self) -> CheckResult {
        let closers = std::mem::take(&mut *self.closers.borrow_mut());
        for closer in closers {
            let closed = closer.close().await;
            equal("closing", closed, Ok(()))?;
        }
        Ok(())
    }

    async fn making(&self) -> Report {
        let mut report = Report::new(&format!("plugin {}", self.under_test.descriptor.id));
        let declared = &self.under_test.descriptor.provides;
        let made = async {
            let provided = self.try_make(0).await?.seams();
            let unkept = declared.iter().find(|seam| **seam != Seam::Service && !provided.contains(seam));
            equal("declared and not provided", unkept, None)?;
            equal("provided and not declared", provided.iter().find(|seam| !declared.contains(seam)), None)
        };
        report.check("it is made, and provides what it declares", made).await;
        report.check("it closes", self.close()).await;
        let again = async {
            drop(self.try_make(0).await?);
            self.close().await
        };
        report.check("it is made again from what it left, and closes again", again).await;
        report
    }

    #[expect(clippy::expect_used, reason = "a plugin that breaks its word fails the suite that asked")]
    async fn suites(&self, seam: Seam) -> Vec<Report> {
        const DECLARED: &str = "the plugin provides what it declares";
        let reports = match seam {
            Seam::Store => {
                vec![super::store(async || self.make().await.store.expect(DECLARED)).await]
            }
            Seam::Staging => {
                vec![super::staging(async || self.make().await.staging.expect(DECLARED)).await]
            }
            Seam::Journal => {
                vec![super::journal(async || self.make().await.journal.expect(DECLARED)).await]
            }
            Seam::Signer => {
                let folder = self.made.get() + 1;
                self.made.set(folder);
                vec![super::signer(async || self.make_in(folder).await.signer.expect(DECLARED)).await]
            }
            Seam::Scheduler => {
                vec![super::scheduler(async || self.make().await.scheduler.expect(DECLARED)).await]
            }
            Seam::HealStrategy => {
                vec![super::heal_strategy_plugin(self.scheduler.handle(), self.under_test.descriptor).await]
            }
            Seam::Challenger => {
                let make = async || self.make().await.challenger.expect(DECLARED);
                vec![super::challenger(self.scheduler.handle(), make).await]
            }
            Seam::Service => self.services().await,
            _ => Vec::new(),
        };
        // A failure to close was reported by the first suite, on a plugin that nobody had used.
        drop(self.close().await);
        reports
    }

    async fn services(&self) -> Vec<Report> {
        let count = self.make().await.services.len();
        drop(self.close().await);
        let mut reports = Vec::new();
        for index in 0..count {
            let make = async || -> Arc<dyn Service> {
                let mut services = self.make().await.services;
                services.swap_remove(index)
            };
            let tasks_left = async || {
                drop(self.close().await);
                self.scheduler.task_names()
            };
            reports.push(super::service(self.scheduler.handle(), tasks_left, make).await);
        }
        reports
    }
}

/// A recording without calls: everything is refused.
fn silence() -> Result<Recording, Failure> {
    Ok(Recording::parse("{\"lampkeeper_recording\":1,\"seam\":\"any\",\"plugin\":null}\n")?)
}

/// A node that nobody answers, and that has no network around it.
struct Alone;

#[async_trait]
impl Transport for Alone {
    async fn call(&self, peer: &Peer, _: &str, _: Vec<u8>, _: Duration) -> Result<Vec<u8>, CallError> {
        Err(CallError::Unreachable { peer: peer.account.clone(), reason: "there is nobody".to_owned() })
    }

    async fn call_stream(
        &self,
        peer: &Peer,
        _: &str,
        _: Vec<u8>,
        _: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        Err(CallError::Unreachable { peer: peer.account.clone(), reason: "there is nobody".to_owned() })
    }

    async fn serve(&self, _: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        Err(CallError::Local { reason: "there is nobody to serve".to_owned() })
    }

    async fn probe_port(&self, _: &str, _: u16, _: Duration) -> PortState {
        PortState::Unknown
    }
}

#[async_trait]
impl ArtifactNetwork for Alone {
    async fn replica_set(&self, _: &ArtifactKey) -> Result<Vec<Account>, NetworkError> {
        Err(NetworkError::NoMembers)
    }

    async fn publish(&self, _: Vec<Artifact>) -> Result<Vec<Published>, NetworkError> {
        Err(NetworkError::NoMembers)
    }

    async fn publish_to(&self, _: Vec<Artifact>, _: &[Account]) -> Result<Vec<Published>, NetworkError> {
        Err(NetworkError::NoMembers)
    }

    async fn fetch(&self, _: &[ArtifactKey]) -> Result<Vec<Option<Artifact>>, NetworkError> {
        Err(NetworkError::NoMembers)
    }

    async fn survey(&self, _: &[ArtifactKey], _: bool) -> Result<Vec<Survey>, NetworkError> {
        Err(NetworkError::NoMembers)
    }
}
