//! Where plugins under test are made, again and again, each with a folder and seams of its own.

use super::found_chain::FoundChain;
use super::host;
use super::wires::{NoNetwork, Wires};
use super::{PluginReport, PluginUnderTest, Time};
use crate::testkit::conformance::{self, CheckResult, Failure, Report, TransportPair, equal};
use crate::testkit::{
    ContextBuilder, MemoryJournal, MemoryStaging, MemoryStore, MockChain, Recording, TestSigner, context,
};
use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::chain::{ChainReader, Supernode, SupernodeState};
use lampkeeper_api::network::ArtifactNetwork;
use lampkeeper_api::plugin::{Close, PluginContext, Provided, Seam};
use lampkeeper_api::scheduler::{Scheduler, TaskHandle};
use lampkeeper_api::service::Service;
use lampkeeper_api::signer::Signer as _;
use lampkeeper_api::transport::{Router, ServerHandle, Transport};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// The key of every plugin that is made alone.
pub(super) const SIGNER_SEED: &str = "conformance";
/// How many nodes the networks have that are made of a plugin.
const NETWORK_NODE_COUNT: usize = 3;

const DECLARED: &str = "the plugin provides what it declares";

/// See the module.
pub(super) struct Bench<'a> {
    time: Time,
    under_test: &'a PluginUnderTest<'a>,
    made: Cell<u32>,
    left: RefCell<Left>,
}

/// What has to be ended when a suite is through with what was made.
#[derive(Default)]
struct Left {
    closers: Vec<Arc<dyn Close>>,
    served: Vec<Box<dyn ServerHandle>>,
    running: Vec<(Cancel, Arc<dyn TaskHandle>)>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(time: Time, under_test: &'a PluginUnderTest<'a>) -> Self {
        Self { time, under_test, made: Cell::new(0), left: RefCell::default() }
    }

    /// The number of a new instance.
    fn next(&self) -> u32 {
        self.made.set(self.made.get() + 1);
        self.made.get()
    }

    /// A context with a scheduler, a key and what is kept in memory.
    fn context(&self, instance: u32, signer: &TestSigner) -> Result<ContextBuilder, Failure> {
        let data_dir = self.under_test.folder.join(instance.to_string());
        std::fs::create_dir_all(&data_dir)?;
        let config = self.under_test.config_json.replace("{instance}", &instance.to_string());
        let config = config.replace("{account}", signer.account());
        let mut node = context("").build().node;
        (node.name, node.data_dir) = (format!("node-{instance}"), data_dir);
        let scheduler = self.time.scheduler();
        let context = context(&self.under_test.descriptor.id).config(&config).node(node);
        Ok(context.signer(signer.clone()).caller_mint().seams(|seams| {
            seams.scheduler = Some(scheduler);
            seams.store = Some(Arc::new(MemoryStore::new()));
            seams.staging = Some(Arc::new(MemoryStaging::new()));
            seams.journal = Some(Arc::new(MemoryJournal::new()));
        }))
    }

    /// The context of a plugin that is made alone: a chain that does not answer, and nobody around.
    fn context_alone(&self, instance: u32) -> Result<PluginContext, Failure> {
        let silent = silence()?;
        let scheduler = self.time.scheduler();
        let alone = Arc::new(Wires::default()).end("alone", &scheduler);
        let context = self.context(instance, &TestSigner::new(SIGNER_SEED))?.seams(|seams| {
            seams.chain = self.needs(Seam::ChainSubmit).then(|| silent.chain());
            seams.chain_reader = self.needs(Seam::ChainRead).then(|| silent.chain() as Arc<_>);
            seams.network = Some(Arc::new(NoNetwork));
            seams.transport = Some(alone);
            seams.heal_strategy = Some(silent.heal_strategy());
            seams.challenger = Some(silent.challenger());
        });
        Ok(context.build())
    }

    fn needs(&self, seam: Seam) -> bool {
        self.under_test.descriptor.needs.iter().any(|need| need.seam == seam)
    }

    async fn construct(&self, context: PluginContext) -> Result<Provided, Failure> {
        let descriptor = self.under_test.descriptor;
        let provided = match self.under_test.is_loaded {
            true => host::construct_loaded(descriptor, context).await?,
            false => (descriptor.construct)(context).await?,
        };
        self.left.borrow_mut().closers.extend(provided.close.clone());
        Ok(provided)
    }

    /// The plugin in a new folder.
    async fn make(&self) -> Provided {
        self.make_in(self.next()).await
    }

    /// The plugin in this folder.
    async fn make_in(&self, instance: u32) -> Provided {
        let made = async { self.construct(self.context_alone(instance)?).await };
        made_again(made.await)
    }

    /// Ends what was made.
    async fn close(&self) -> CheckResult {
        let left = std::mem::take(&mut *self.left.borrow_mut());
        for (shutdown, _) in &left.running {
            shutdown.cancel();
        }
        for (_, task) in left.running {
            drop(task.join().await);
        }
        drop(left.served);
        for closer in left.closers {
            equal("closing", closer.close().await, Ok(()))?;
        }
        Ok(())
    }

    pub(super) async fn making(&self) -> Report {
        let mut report = Report::new(&format!("plugin {}", self.under_test.descriptor.id));
        let declared = &self.under_test.descriptor.provides;
        let make = async || self.construct(self.context_alone(0)?).await;
        let made = async {
            let provided = make().await?.seams();
            let unkept = declared.iter().find(|seam| **seam != Seam::Service && !provided.contains(seam));
            equal("declared and not provided", unkept, None)?;
            equal("provided and not declared", provided.iter().find(|seam| !declared.contains(seam)), None)
        };
        report.check("it is made, and provides what it declares", made).await;
        report.check("it closes", self.close()).await;
        let again = async {
            drop(make().await?);
            self.close().await
        };
        report.check("it is made again from what it left, and closes again", again).await;
        report
    }

    /// Runs the suites of a seam.
    #[expect(clippy::expect_used, reason = "a plugin that breaks its word fails the suite that asked")]
    pub(super) async fn suites(&self, seam: Seam, report: &mut PluginReport) {
        let scheduler = self.time.scheduler();
        let found = match seam {
            Seam::Store => conformance::store(async || self.make().await.store.expect(DECLARED)).await,
            Seam::Staging => conformance::staging(async || self.make().await.staging.expect(DECLARED)).await,
            Seam::Journal => conformance::journal(async || self.make().await.journal.expect(DECLARED)).await,
            Seam::Signer => {
                let instance = self.next();
                conformance::signer(async || self.make_in(instance).await.signer.expect(DECLARED)).await
            }
            Seam::Scheduler => {
                conformance::scheduler(async || self.make().await.scheduler.expect(DECLARED)).await
            }
            Seam::HealStrategy => {
                let make = async |context| {
                    let made = async { self.construct(context).await }.await;
                    made_again(made).heal_strategy.expect(DECLARED)
                };
                conformance::heal_strategy(scheduler, make).await
            }
            Seam::Challenger => {
                let make = async || self.make().await.challenger.expect(DECLARED);
                conformance::challenger(scheduler, make).await
            }
            Seam::Network => conformance::network(async || self.network().await).await,
            Seam::Transport => conformance::transport(async || self.transports().await).await,
            Seam::ChainSubmit => self.chain(&mut report.left_out).await,
            Seam::Service => return self.services(report).await,
            // With the strategy's, and with the chain's other half.
            Seam::HealShadow | Seam::ChainRead => return,
            _ => {
                let why = "this version of the SDK has no suite for it";
                return report.left_out.push((seam, why.to_owned()));
            }
        };
        report.reports.push(found);
        // A failure to close was reported by the first suite, on a plugin that nobody had used.
        drop(self.close().await);
    }

    async fn services(&self, report: &mut PluginReport) {
        let count = self.make().await.services.len();
        drop(self.close().await);
        for index in 0..count {
            let make = async || -> Arc<dyn Service> {
                let mut services = self.make().await.services;
                services.swap_remove(index)
            };
            let tasks_left = async || {
                drop(self.close().await);
                self.time.task_names()
            };
            let found = conformance::service(self.time.scheduler(), tasks_left, make).await;
            report.reports.push(found);
        }
    }

    /// Two nodes that the chain knows, each with the plugin as its transport.
    #[expect(clippy::expect_used, reason = "as above")]
    async fn transports(&self) -> TransportPair {
        drop(self.close().await);
        let instances = [self.next(), self.next()];
        let signers = instances.map(|instance| TestSigner::new(&format!("conformance {instance}")));
        let chain = members(&signers);
        let mut transports = Vec::new();
        for (instance, signer) in instances.into_iter().zip(&signers) {
            let context = self.context(instance, signer).map(|context| {
                context.seams(|seams| seams.chain_reader = Some(Arc::clone(&chain) as Arc<_>)).build()
            });
            let provided = async { self.construct(context?).await };
            transports.push(made_again(provided.await).transport.expect(DECLARED));
        }
        let [server_account, client_account] = signers.map(|signer| signer.account().to_owned());
        let client = transports.pop().expect("the second of two");
        let server = transports.pop().expect("the first of two");
        TransportPair { server, server_account, client, client_account, scheduler: self.time.scheduler() }
    }

    /// A network of a few nodes that serve what the plugin's services answer, as its first node sees it.
    #[expect(clippy::expect_used, reason = "as above")]
    async fn network(&self) -> Arc<dyn ArtifactNetwork> {
        drop(self.close().await);
        let (wires, scheduler) = (Arc::new(Wires::default()), self.time.scheduler());
        let signers: [TestSigner; NETWORK_NODE_COUNT] =
            std::array::from_fn(|index| TestSigner::new(&format!("conformance member {index}")));
        let chain = members(&signers);
        let mut first = None;
        for signer in &signers {
            let wire = wires.end(signer.account(), &scheduler);
            let context = self.context(self.next(), signer).map(|context| {
                let seams = |seams: &mut Provided| {
                    seams.chain_reader = Some(Arc::clone(&chain) as Arc<_>);
                    seams.transport = Some(Arc::clone(&wire));
                };
                context.seams(seams).build()
            });
            let provided = made_again(async { self.construct(context?).await }.await);
            self.run(&*wire, &scheduler, provided.services).await;
            first = first.or(provided.network);
        }
        first.expect(DECLARED)
    }

    /// What a node does with services: serves what they answer, and runs them.
    async fn run(
        &self,
        wire: &dyn Transport,
        scheduler: &Arc<dyn Scheduler>,
        services: Vec<Arc<dyn Service>>,
    ) {
        let mut router = Router::default();
        for route in services.iter().flat_map(|service| service.routes()) {
            drop(router.add(route)); // paths that are there twice are found by the suite of services
        }
        let served = wire.serve(router).await;
        self.left.borrow_mut().served.extend(served.ok());
        for service in services {
            let shutdown = Cancel::new();
            let until = shutdown.clone();
            let task = scheduler.spawn("service", Box::pin(async move { drop(service.run(until).await) }));
            self.left.borrow_mut().running.push((shutdown, task));
        }
    }

    /// The chain that the configuration leads to.
    async fn chain(&self, left_out: &mut Vec<(Seam, String)>) -> Report {
        let explored = match self.make().await.chain {
            Some(chain) => FoundChain::explore(chain, &*self.time.scheduler()).await,
            None => Err(Failure { expected: DECLARED.to_owned(), found: "no chain client".to_owned() }),
        };
        let fixture = match explored {
            Ok(fixture) => fixture,
            Err(failure) => {
                let mut report = Report::new("chain");
                let rule = "the chain can be asked, and knows the node under test";
                report.check(rule, async { Err(failure) }).await;
                return report;
            }
        };
        let found = conformance::chain(&fixture).await;
        let reason =
            |name: &String| format!("{name} (the chain holds nothing for it, or can't be made to fail)");
        left_out.extend(found.skipped.iter().map(|name| (Seam::ChainSubmit, reason(name))));
        found.report
    }
}

fn made_again(made: Result<Provided, Failure>) -> Provided {
    match made {
        Ok(provided) => provided,
        Err(failure) => panic!("the plugin is not made again: {}", failure.found),
    }
}

/// A chain that knows these nodes as active supernodes, and nothing else.
fn members(signers: &[TestSigner]) -> Arc<dyn ChainReader> {
    let supernodes = signers.iter().map(|signer| Supernode {
        supernode_account: signer.account().to_owned(),
        latest_address: format!("{}:4444", signer.account()),
        state: SupernodeState::Active,
        ..Supernode::default()
    });
    let supernodes: Vec<Supernode> = supernodes.collect();
    MockChain::builder("conformance").members(&supernodes).otherwise_unavailable().build()
}

/// A recording without calls: everything is refused.
fn silence() -> Result<Recording, Failure> {
    Ok(Recording::parse("{\"lampkeeper_recording\":1,\"seam\":\"any\",\"plugin\":null}\n")?)
}
