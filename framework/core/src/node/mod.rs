//! A running node: plugins that were made in order, routes that are served, services under supervision.
//!
//! Owns the life of a node from [`Node::start`] to [`Node::drain`]. Which plugins there are, who is given what and in
//! which order was decided by [`crate::resolve`]; one service's life is [`crate::supervise`]'s.

mod error;
mod seams;
mod start;
mod status;

#[cfg(test)]
mod tests;

pub use error::{StartError, StartErrorKind};
pub use status::{NodePhase, NodeStatus, PluginState, PluginStatus};

use crate::account::{EnterRuntime, PluginAccount};
use crate::manifest::{Manifest, SupervisionSection};
use crate::registry::Registry;
use crate::resolve::PlannedPlugin;
use crate::supervise::{ServiceState, Supervised};
use crate::telemetry::{NodeTelemetry, TelemetryHub};
use lampkeeper_api::plugin::{NodeInfo, PluginDescriptor, Provided};
use lampkeeper_api::scheduler::{Scheduler, within};
use lampkeeper_api::signer::Signer;
use lampkeeper_api::telemetry::{Event, Level, Telemetry as _, Value};
use lampkeeper_api::transport::ServerHandle;
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::Instrument as _;

/// The name under which core's own records and events appear, where a plugin's id would stand.
pub const CORE: &str = "core";

/// How often, and how far apart, a node that was closed looks whether tasks of its plugins are left.
const LEAK_LOOKS: u32 = 20;
const LEAK_LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What the embedding program gives a node.
#[derive(Clone)]
pub struct NodeHost {
    /// The node's identity.
    pub signer: Arc<dyn Signer>,
    /// Events and metrics; may be shared by several nodes.
    pub telemetry: Arc<TelemetryHub>,
    /// Seams that the program provides itself, such as a simulated chain that several nodes share. They have to be
    /// those that the registry was told of. Closing them is the program's business.
    pub seams: Provided,
    /// What to say of services that the manifest leaves off.
    pub advisory: Option<Advisory>,
    /// The runtime that the program's own code and its static plugins expect around them. Without one nothing is
    /// entered, which is right as long as everything runs on that runtime's threads.
    pub runtime: Option<Arc<dyn EnterRuntime>>,
}

impl NodeHost {
    /// A host that provides an identity and nothing else.
    #[must_use]
    pub fn new(signer: Arc<dyn Signer>, telemetry: Arc<TelemetryHub>) -> Self {
        Self { signer, telemetry, seams: Provided::default(), advisory: None, runtime: None }
    }
}

/// Services that a node of a network is expected to run, and what it means if it does not (wire 9.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advisory {
    /// What the services belong to, such as `LEP-6`.
    pub subject: String,
    /// The plugins, in the order in which they are named.
    pub plugin_ids: Vec<String>,
    /// What happens without them, for people.
    pub consequence: String,
}

impl Advisory {
    /// The services that the manifest leaves off, in the advisory's order.
    #[must_use]
    pub fn services_off(&self, manifest: &Manifest) -> Vec<String> {
        self.plugin_ids.iter().filter(|id| !manifest.is_enabled(id)).cloned().collect()
    }

    /// The one line to log at start; `None` if all services are on.
    #[must_use]
    pub fn line(&self, manifest: &Manifest) -> Option<String> {
        let off = self.services_off(manifest);
        (!off.is_empty()).then(|| {
            format!("{} services that are off: {}; {}", self.subject, off.join(", "), self.consequence)
        })
    }
}

/// A node that runs. Dropping it asks its services to stop and closes nothing: call [`Node::drain`].
pub struct Node {
    info: NodeInfo,
    telemetry: NodeTelemetry,
    supervision: SupervisionSection,
    scheduler: Arc<dyn Scheduler>,
    seams: Provided,
    plugins: Vec<StartedPlugin>,
    server: Option<Box<dyn ServerHandle>>,
    services_off: Vec<String>,
    started_ms: i64,
    phase: Mutex<NodePhase>,
    /// Held while draining, so that a second call waits for the first.
    drained: tokio::sync::Mutex<Option<DrainReport>>,
}

/// A plugin that was made.
struct StartedPlugin {
    descriptor: PluginDescriptor,
    /// What it was given, and what not.
    planned: PlannedPlugin,
    provided: Provided,
    services: Vec<Supervised>,
    started_ms: i64,
    state: Mutex<PluginState>,
}

/// What did not go well while a node stopped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DrainReport {
    /// Services that did not end in time and were cut off.
    pub aborted_services: Vec<String>,
    /// Plugins that did not close properly, and why.
    pub close_failures: Vec<(String, String)>,
    /// Plugins that were closed and whose tasks go on, and the tasks' names.
    pub leaked_tasks: Vec<(String, Vec<String>)>,
}

impl DrainReport {
    /// Whether everything ended by itself and in time.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.aborted_services.is_empty() && self.close_failures.is_empty() && self.leaked_tasks.is_empty()
    }
}

impl Node {
    /// Starts a node: makes its plugins in the order of the manifest's plan, serves their routes, then starts their
    /// services.
    ///
    /// `registry` has to be the one that the manifest was parsed with. The future is to be awaited to its end: when it
    /// is dropped, what was started until then is dropped without being closed.
    ///
    /// # Errors
    /// The first thing that fails; everything that was started before is closed again.
    pub async fn start(manifest: &Manifest, registry: &Registry, host: NodeHost) -> Result<Self, StartError> {
        start::start(manifest, registry, host).await
    }

    /// The node, as its plugins know it.
    #[must_use]
    pub const fn info(&self) -> &NodeInfo {
        &self.info
    }

    /// The seams that the manifest's choices lead to, for the embedding program's own use.
    #[must_use]
    pub const fn seams(&self) -> &Provided {
        &self.seams
    }

    /// The scheduler that the node runs on.
    #[must_use]
    pub fn scheduler(&self) -> Arc<dyn Scheduler> {
        Arc::clone(&self.scheduler)
    }

    /// Where peers reach the node; `None` without routes.
    #[must_use]
    pub fn local_address(&self) -> Option<String> {
        self.server.as_ref().map(|server| server.local_address())
    }

    /// What is known of the node and its plugins now.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        status::of(self)
    }

    /// The values of a gauge that this node's plugins have set, with the labels of each.
    #[must_use]
    pub fn gauges(&self, name: &str) -> Vec<(Vec<(String, String)>, f64)> {
        self.telemetry.gauges(name)
    }

    /// The metrics of all nodes that share this node's telemetry, in the text format of Prometheus.
    #[must_use]
    pub fn render_metrics(&self) -> String {
        self.telemetry.render_metrics()
    }

    /// What the calls of a plugin have cost until now; `None` for one that the node does not run.
    #[must_use]
    pub fn account(&self, plugin_id: &str) -> Option<Arc<PluginAccount>> {
        self.telemetry.account(plugin_id)
    }

    /// Stops the node: no new calls, then the services, then the plugins in the reverse order of their start, so that
    /// stores, journal and scheduler close last. Takes as long as the manifest allows at most.
    ///
    /// A second call waits for the first and returns the same.
    pub async fn drain(&self) -> DrainReport {
        let mut drained = self.drained.lock().await;
        if let Some(report) = drained.as_ref() {
            return report.clone();
        }
        let core = self.telemetry.of_plugin(CORE);
        self.enter(NodePhase::Draining);
        core.event(Event::new("node.draining"));
        self.stop_serving().await;
        let report = DrainReport {
            aborted_services: self.stop_services().await,
            close_failures: close_all(&self.plugins, self.closing()).await,
            leaked_tasks: self.leaked_tasks().await,
        };
        self.enter(NodePhase::Stopped);
        core.event(Event::new("node.stopped").with("clean", report.is_clean()));
        *drained = Some(report.clone());
        report
    }

    /// The tasks that are left when everything is closed, once they had a moment to notice.
    async fn leaked_tasks(&self) -> Vec<(String, Vec<String>)> {
        let mut leaked = self.tasks();
        for _ in 0..LEAK_LOOKS {
            if leaked.is_empty() {
                return leaked;
            }
            // A scheduler that was closed may have no timers any more: then they are what they are.
            if within(self.scheduler.as_ref(), LEAK_LOOK_INTERVAL, std::future::pending::<()>())
                .await
                .is_some()
            {
                break;
            }
            leaked = self.tasks();
        }
        for (plugin_id, names) in &leaked {
            let message = format!("plugin {plugin_id} was closed and still has tasks: {}", names.join(", "));
            self.telemetry.of_plugin(CORE).log(Level::Warn, &message, &[]);
        }
        leaked
    }

    /// The tasks of each plugin that has some.
    fn tasks(&self) -> Vec<(String, Vec<String>)> {
        let of = |plugin: &StartedPlugin| {
            let plugin_id = &plugin.descriptor.id;
            let tasks = self.account(plugin_id).map(|account| account.tasks()).unwrap_or_default();
            (!tasks.is_empty()).then(|| (plugin_id.clone(), tasks))
        };
        self.plugins.iter().filter_map(of).collect()
    }

    fn enter(&self, phase: NodePhase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn phase(&self) -> NodePhase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closing(&self) -> Closing<'_> {
        Closing {
            telemetry: &self.telemetry,
            scheduler: Some(self.scheduler.as_ref()),
            timeout: self.supervision.close_timeout(),
        }
    }

    async fn stop_serving(&self) {
        let Some(server) = &self.server else { return };
        let grace = self.supervision.drain_timeout();
        // The transport keeps to the grace; the second limit is for one that does not.
        let limit = grace + self.supervision.close_timeout();
        if within(self.scheduler.as_ref(), limit, server.drain(grace)).await.is_some() {
            return;
        }
        let trouble = format!("it took longer than {} ms", limit.as_millis());
        let fields = [("reason", Value::from(trouble))];
        self.telemetry.of_plugin(CORE).log(
            Level::Error,
            "the transport did not stop serving properly",
            &fields,
        );
    }

    /// Stops all services; the names of those that were cut off.
    ///
    /// They are asked in reverse order and awaited together: what they call stays open until the last has ended.
    async fn stop_services(&self) -> Vec<String> {
        let services: Vec<&Supervised> =
            self.plugins.iter().rev().flat_map(|plugin| &plugin.services).collect();
        services.iter().for_each(|service| service.ask_to_stop());
        let timeout = self.supervision.drain_timeout();
        futures::future::join_all(services.iter().map(|service| service.stop(timeout))).await;
        let ended = services.iter().map(|service| service.status());
        ended.filter(|status| status.state == ServiceState::Aborted).map(|status| status.name).collect()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Node")
            .field("info", &self.info)
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

/// What closing plugins takes.
struct Closing<'a> {
    telemetry: &'a NodeTelemetry,
    /// `None` if the start failed before there was one; closing is then not limited in time.
    scheduler: Option<&'a dyn Scheduler>,
    timeout: Duration,
}

/// Closes plugins in reverse order; those that failed to, and why.
async fn close_all(plugins: &[StartedPlugin], closing: Closing<'_>) -> Vec<(String, String)> {
    let mut failures = Vec::new();
    for plugin in plugins.iter().rev() {
        let plugin_id = &plugin.descriptor.id;
        if let Err(reason) = close(plugin, &closing).await {
            let fields = [("closing", Value::from(plugin_id)), ("reason", Value::from(reason.as_str()))];
            closing.telemetry.of_plugin(CORE).log(Level::Error, "a plugin did not close properly", &fields);
            failures.push((plugin_id.clone(), reason));
        }
        *plugin.state.lock().unwrap_or_else(PoisonError::into_inner) = PluginState::Closed;
    }
    failures
}

async fn close(plugin: &StartedPlugin, closing: &Closing<'_>) -> Result<(), String> {
    let Some(closer) = plugin.provided.close.as_ref() else { return Ok(()) };
    let span = closing.telemetry.of_plugin(&plugin.descriptor.id).span().clone();
    let closed = closer.close().instrument(span);
    let outcome = match closing.scheduler {
        Some(scheduler) => within(scheduler, closing.timeout, closed).await,
        None => Some(closed.await),
    };
    match outcome {
        Some(closed) => closed,
        None => Err(format!("it took longer than {} ms", closing.timeout.as_millis())),
    }
}
