//! The suites themselves: what is as it should be passes, and each broken implementation fails the rule that it breaks.

use super::*;
use crate::cascade::fixture::MemoryNetwork;
use crate::testkit::{TestSigner, VirtualScheduler};
use async_trait::async_trait;
use lampkeeper_api::BoxFuture;
use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::chain::StorageProofResult;
use lampkeeper_api::challenge::{
    ChallengeError, ChallengeOutcome, ChallengeRequest, Challenger, Observation,
};
use lampkeeper_api::network::ArtifactNetwork;
use lampkeeper_api::plugin::{Need, PluginContext, PluginDescriptor, PluginError, Provided, Seam};
use lampkeeper_api::scheduler::Scheduler;
use lampkeeper_api::service::{Service, ServiceError};
use lampkeeper_api::signer::{SignError, Signer};
use std::sync::Arc;

/// The rules that a report says are broken.
fn broken(report: &Report) -> Vec<&str> {
    report.failures().map(|check| check.name.as_str()).collect()
}

/// Signs a digest of the message.
struct DigestSigner(TestSigner);

impl Signer for DigestSigner {
    fn account(&self) -> &str {
        self.0.account()
    }
    fn public_key(&self) -> Vec<u8> {
        self.0.public_key()
    }
    fn public_key_type_url(&self) -> &str {
        self.0.public_key_type_url()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.0.sign(::blake3::hash(message).as_bytes())
    }
}

#[test]
fn signers() {
    let run = |make: fn() -> Arc<dyn Signer>| VirtualScheduler::new(0).block_on(signer(async || make()));
    run(|| Arc::new(TestSigner::new("alice"))).assert_passed();
    let report = run(|| Arc::new(DigestSigner(TestSigner::new("alice"))));
    assert_eq!(
        broken(&report),
        ["signatures verify, at every length of message", "a signature is good for its message only"]
    );
}

#[test]
fn networks() {
    let make = async || Arc::new(MemoryNetwork::new(&["ann", "bob", "cat"])) as Arc<dyn ArtifactNetwork>;
    VirtualScheduler::new(0).block_on(network(make)).assert_passed();
}

/// Says that it is our own fault, or accuses.
struct Judge {
    accuses: bool,
}

#[async_trait]
impl Challenger for Judge {
    async fn challenge(&self, _: ChallengeRequest) -> Result<ChallengeOutcome, ChallengeError> {
        if self.accuses {
            let row = Box::new(StorageProofResult::default());
            return Ok(ChallengeOutcome::Row { observation: Observation::TimedOut, row });
        }
        Err(ChallengeError::Ours {
            stage: "asking".to_owned(),
            reason: "silence".to_owned(),
            transient: true,
        })
    }
}

#[test]
fn challengers() {
    let run = |accuses: bool| {
        let scheduler = VirtualScheduler::new(0);
        let make = async || Arc::new(Judge { accuses }) as Arc<dyn Challenger>;
        scheduler.block_on(challenger(scheduler.handle(), make))
    };
    run(false).assert_passed();
    assert_eq!(broken(&run(true)).len(), 3);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Good,
    EndsByItself,
    Deaf,
    LeavesTasks,
    OnlyOnce,
}

struct Worker {
    manner: Manner,
    scheduler: Arc<dyn Scheduler>,
    has_run: std::sync::atomic::AtomicBool,
}

impl Worker {
    fn service(manner: Manner, scheduler: Arc<dyn Scheduler>) -> Arc<dyn Service> {
        Arc::new(Self { manner, scheduler, has_run: std::sync::atomic::AtomicBool::new(false) })
    }
}

#[async_trait]
impl Service for Worker {
    fn name(&self) -> &str {
        "worker"
    }

    async fn run(&self, shutdown: Cancel) -> Result<(), ServiceError> {
        match self.manner {
            Manner::Good => {}
            Manner::EndsByItself => return Ok(()),
            Manner::Deaf => std::future::pending().await,
            Manner::LeavesTasks => drop(self.scheduler.spawn("left", Box::pin(std::future::pending()))),
            Manner::OnlyOnce if self.has_run.swap(true, std::sync::atomic::Ordering::Relaxed) => {
                panic!("once is enough");
            }
            Manner::OnlyOnce => {}
        }
        shutdown.cancelled().await;
        Ok(())
    }
}

#[test]
fn services() {
    const WORKS: &str = "it works until it is asked to stop, and then stops soon";
    const AGAIN: &str = "it runs again after it was stopped";
    const ASKED_BEFORE: &str = "it ends at once if it was asked to stop before it began";
    const CUT_OFF: &str = "a run that was cut off can be repeated";
    let table: [(Manner, &[&str]); 5] = [
        (Manner::Good, &[]),
        (Manner::EndsByItself, &[WORKS, AGAIN, CUT_OFF]),
        (Manner::Deaf, &[WORKS, AGAIN, ASKED_BEFORE, CUT_OFF, "no task outlives it"]),
        (Manner::LeavesTasks, &["no task outlives it"]),
        (Manner::OnlyOnce, &[AGAIN, ASKED_BEFORE, CUT_OFF]),
    ];
    for (manner, expected) in table {
        let scheduler = VirtualScheduler::new(0);
        let handle = scheduler.handle();
        let make = async || Worker::service(manner, Arc::clone(&handle));
        let report = scheduler.block_on(service(scheduler.handle(), async || scheduler.task_names(), make));
        assert_eq!(broken(&report), expected, "{report}");
    }
}

fn make_plugin(context: PluginContext) -> BoxFuture<'static, Result<Provided, PluginError>> {
    Box::pin(async move {
        let manner = if context.config_json.contains("deaf") { Manner::Deaf } else { Manner::Good };
        let worker = Worker::service(manner, context.scheduler()?);
        Ok(Provided {
            services: vec![worker],
            signer: Some(Arc::new(TestSigner::new("a"))),
            ..Provided::default()
        })
    })
}

fn run_plugin(provides: &[Seam], config_json: &str) -> PluginReport {
    let descriptor = PluginDescriptor {
        id: "worker".to_owned(),
        version: "1.0.0".to_owned(),
        summary: "Works.".to_owned(),
        provides: provides.to_vec(),
        needs: vec![Need::required(Seam::Scheduler)],
        config_schema: "{}".to_owned(),
        construct: make_plugin,
    };
    let folder = std::env::temp_dir().join(format!("lampkeeper-conformance-{}", std::process::id()));
    let scheduler = VirtualScheduler::new(0);
    let under_test = PluginUnderTest { descriptor: &descriptor, is_loaded: false, config_json, folder };
    scheduler.block_on(plugin(Time::Virtual(scheduler.clone()), &under_test))
}

#[test]
fn plugins() {
    let good = run_plugin(&[Seam::Signer, Seam::Service], "{}");
    good.assert_passed();
    let suites: Vec<&str> = good.reports.iter().map(|report| report.suite.as_str()).collect();
    assert_eq!(suites, ["plugin worker", "signer", "service worker"]);
    assert!(!run_plugin(&[Seam::Signer, Seam::Service], "\"deaf\"").passed());
    let liar = run_plugin(&[Seam::Service], "{}");
    assert_eq!(liar.reports.len(), 1, "what is not as declared is not tested further");
    assert!(liar.to_string().contains("plugin worker: FAILED"), "{liar}");
}
