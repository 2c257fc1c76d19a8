//! Starting a node, step by step, and undoing what was done when a step fails.

use super::seams::{self, Available, granted};
use super::{CORE, Closing, Node, NodeHost, NodePhase, PluginState, StartError, StartedPlugin, close_all};
use crate::account::{AccountGate, EnterRuntime, Panics};
use crate::inject::Injections;
use crate::manifest::Manifest;
use crate::registry::{HOST_PROVIDER, RegisteredPlugin, Registry};
use crate::resolve::PlannedPlugin;
use crate::supervise::Supervised;
use crate::telemetry::NodeTelemetry;
use lampkeeper_api::guard::{Border, Codec, Cross as _, Gate, Method};
use lampkeeper_api::plugin::{NodeInfo, PluginContext, Provided, Seam};
use lampkeeper_api::scheduler::{Scheduler, within};
use lampkeeper_api::service::Service;
use lampkeeper_api::telemetry::{Event, Level, Telemetry};
use lampkeeper_api::transport::{CallerMint, Route, Router, ServerHandle};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tracing::Instrument as _;

/// The making of a plugin, as its account has it.
static CONSTRUCT: Method = Method::new("plugin", "construct");

pub(super) async fn start(
    manifest: &Manifest,
    registry: &Registry,
    host: NodeHost,
) -> Result<Node, StartError> {
    let mut starting = Starting::new(manifest, registry, &host)?;
    match starting.make_all().await {
        Ok((server, scheduler)) => Ok(starting.into_node(server, scheduler, &host)),
        Err(error) => {
            starting.undo().await;
            Err(error)
        }
    }
}

/// A node that is being started.
struct Starting<'a> {
    manifest: &'a Manifest,
    registry: &'a Registry,
    info: NodeInfo,
    telemetry: NodeTelemetry,
    available: Available,
    plugins: Vec<StartedPlugin>,
    /// The node's scheduler, as soon as its provider was made.
    scheduler: Option<Arc<dyn Scheduler>>,
    runtime: Option<Arc<dyn EnterRuntime>>,
    injections: Injections,
}

impl<'a> Starting<'a> {
    fn new(manifest: &'a Manifest, registry: &'a Registry, host: &NodeHost) -> Result<Self, StartError> {
        let mut provided = host.seams.clone();
        provided.signer = Some(Arc::clone(&host.signer));
        let seams = provided.seams();
        if let Some(seam) = registry.host_seams().find(|seam| !seams.contains(seam)) {
            return Err(StartError::NotProvided { plugin_id: HOST_PROVIDER.to_owned(), seam });
        }
        let info = NodeInfo {
            name: manifest.node.name.clone(),
            account: host.signer.account().to_owned(),
            chain_id: manifest.node.network.clone(),
            data_dir: manifest.node.data_dir.clone(),
        };
        let telemetry = NodeTelemetry::new(Arc::clone(&host.telemetry), &info.name)
            .with_limits(manifest.supervision.into());
        if let (true, Some(scheduler)) = (measures_by_the_host(manifest, registry), &provided.scheduler) {
            telemetry.set_step_clock(Arc::clone(scheduler));
        }
        let injections = Injections::prepare(&manifest.inject, &telemetry)
            .map_err(|reason| StartError::Injection { reason })?;
        let available = BTreeMap::from([(HOST_PROVIDER.to_owned(), provided)]);
        let mut starting = Self {
            manifest,
            registry,
            info,
            telemetry,
            available,
            plugins: Vec::new(),
            scheduler: None,
            runtime: host.runtime.clone(),
            injections,
        };
        starting.look_for_scheduler();
        Ok(starting)
    }

    async fn make_all(&mut self) -> Result<(Option<Box<dyn ServerHandle>>, Arc<dyn Scheduler>), StartError> {
        for planned in &self.manifest.plan.steps {
            self.make(planned).await?;
            self.look_for_scheduler();
        }
        let no_scheduler =
            || StartError::NotProvided { plugin_id: HOST_PROVIDER.to_owned(), seam: Seam::Scheduler };
        let scheduler = self.scheduler.clone().ok_or_else(no_scheduler)?;
        let server = self.serve().await?;
        Ok((server, scheduler))
    }

    /// Takes the node's scheduler into use once it is there.
    fn look_for_scheduler(&mut self) {
        if self.scheduler.is_some() {
            return;
        }
        let provider = self.manifest.plan.node_grants.get(&Seam::Scheduler);
        let provided = provider.and_then(|provider| self.available.get(provider));
        if let Some(scheduler) = provided.and_then(|provided| provided.scheduler.clone()) {
            self.telemetry.set_clock(Arc::clone(&scheduler));
            self.scheduler = Some(scheduler);
        }
    }

    /// Makes one plugin and takes it into use.
    async fn make(&mut self, planned: &PlannedPlugin) -> Result<(), StartError> {
        let plugin_id = &planned.plugin_id;
        let registered = self.registry.find(plugin_id);
        let not_registered = || StartError::NotRegistered { plugin_id: plugin_id.clone() };
        let registered = registered.ok_or_else(not_registered)?;
        let descriptor = registered.descriptor().clone();
        let provided = self.construct(planned, registered).await?;
        self.available.insert(plugin_id.clone(), provided.clone());
        let plugin = StartedPlugin {
            descriptor,
            planned: planned.clone(),
            provided,
            services: Vec::new(),
            started_ms: self.scheduler.as_ref().map_or(0, |scheduler| scheduler.wall_clock_ms()),
            state: Mutex::new(PluginState::Running),
        };
        self.plugins.push(plugin);
        // Checked once it is listed, so that it is closed again if it is refused.
        self.plugins.last().map_or(Ok(()), check_declared)
    }

    async fn construct(
        &self,
        planned: &PlannedPlugin,
        registered: &RegisteredPlugin,
    ) -> Result<Provided, StartError> {
        let descriptor = registered.descriptor();
        let telemetry = self.telemetry.of_plugin(&planned.plugin_id);
        let span = telemetry.span().clone();
        let config = self.manifest.plugins.get(&planned.plugin_id).map(|section| section.config.to_string());
        let abroad = registered.is_native().then(|| Border::giving(self.host_gate()));
        let mut seams = granted(&planned.grants, &self.available, &telemetry, abroad.as_ref());
        self.injections.put_before(&planned.plugin_id, &planned.grants, &mut seams);
        let provides_transport = descriptor.provides.contains(&Seam::Transport);
        let context = PluginContext {
            plugin_id: planned.plugin_id.clone(),
            node: self.info.clone(),
            config_json: config.unwrap_or_else(|| "{}".to_owned()),
            seams,
            telemetry: match &abroad {
                Some(border) => (Arc::new(telemetry) as Arc<dyn Telemetry>).cross(border),
                None => Arc::new(telemetry),
            },
            caller_mint: provides_transport.then(CallerMint::for_host),
        };
        let border = self.border(registered);
        let passage = border.begin(&CONSTRUCT, format_args!(""));
        let making = passage.future(|| (descriptor.construct)(context), Codec::none()).instrument(span);
        let timeout = self.manifest.supervision.start_timeout();
        let made = match &self.scheduler {
            Some(scheduler) => within(scheduler.as_ref(), timeout, making).await,
            None => Some(making.await),
        };
        let timed_out = || StartError::TimedOut {
            plugin_id: planned.plugin_id.clone(),
            timeout_ms: self.manifest.supervision.start_timeout_ms,
        };
        let provided = made.ok_or_else(timed_out)??;
        if let Some(scheduler) = &provided.scheduler {
            self.telemetry.of_plugin(&planned.plugin_id).account().never_quarantine();
            // Steps are measured by a scheduler that stands in front of no other: asking one that does would pass gates,
            // which measure steps.
            if descriptor.needs.iter().all(|need| need.seam != Seam::Scheduler) {
                self.telemetry.set_step_clock(Arc::clone(scheduler));
            }
        }
        Ok(provided.cross(&border))
    }

    /// The border that everything that a plugin provides crosses: calls are accounted for, panics contained. A native
    /// plugin enters its own runtime itself; what callers pass into it was made in this image, and is guarded here.
    fn border(&self, plugin: &RegisteredPlugin) -> Border {
        let telemetry = self.telemetry.of_plugin(&plugin.descriptor().id);
        let gate = |runtime| Arc::new(AccountGate::new(telemetry.clone(), runtime, Panics::Contained));
        if plugin.is_native() {
            Border::giving(gate(None)).with_arguments(self.host_gate())
        } else {
            Border::giving(gate(self.runtime.clone()))
        }
    }

    /// The gate of what this program made and gives to native plugins.
    fn host_gate(&self) -> Arc<dyn Gate> {
        let telemetry = self.telemetry.of_plugin(HOST_PROVIDER);
        Arc::new(AccountGate::new(telemetry, self.runtime.clone(), Panics::Contained))
    }

    /// Serves the routes of all services; nothing if there are none.
    async fn serve(&self) -> Result<Option<Box<dyn ServerHandle>>, StartError> {
        let (router, owners) = self.routes()?;
        let Some((path, plugin_id)) = owners.into_iter().next() else { return Ok(None) };
        let provider = self.manifest.plan.node_grants.get(&Seam::Transport);
        let transport = provider
            .and_then(|provider| self.available.get(provider))
            .and_then(|provided| provided.transport.clone())
            .ok_or(StartError::NoTransport { plugin_id, path })?;
        transport.serve(router).await.map(Some).map_err(StartError::Serve)
    }

    /// All routes, and which plugin each path belongs to.
    fn routes(&self) -> Result<(Router, BTreeMap<String, String>), StartError> {
        let mut router = Router::default();
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        for plugin in &self.plugins {
            let plugin_id = &plugin.descriptor.id;
            for service in &plugin.provided.services {
                for route in self.routes_of(plugin_id, service.as_ref())? {
                    let path = route.path.clone();
                    router.add(route).map_err(|path| StartError::DuplicateRoute {
                        first_id: owners.get(&path).cloned().unwrap_or_default(),
                        second_id: plugin_id.clone(),
                        path,
                    })?;
                    owners.insert(path, plugin_id.clone());
                }
            }
        }
        Ok((router, owners))
    }

    /// The routes of one service. A panic leaves it without any, which would go unnoticed: so it is looked for.
    fn routes_of(&self, plugin_id: &str, service: &dyn Service) -> Result<Vec<Route>, StartError> {
        let account = self.telemetry.of_plugin(plugin_id).account().clone();
        let panics_before = account.panics();
        let routes = service.routes();
        if account.panics() == panics_before {
            return Ok(routes);
        }
        Err(StartError::Panicked {
            plugin_id: plugin_id.to_owned(),
            what: "the calls it answers",
            message: account.last_panic().unwrap_or_default(),
        })
    }

    /// Starts the services; nothing can fail any more.
    fn into_node(
        mut self,
        server: Option<Box<dyn ServerHandle>>,
        scheduler: Arc<dyn Scheduler>,
        host: &NodeHost,
    ) -> Node {
        let core = self.telemetry.of_plugin(CORE);
        if let Some(line) = host.advisory.as_ref().and_then(|advisory| advisory.line(self.manifest)) {
            core.log(Level::Warn, &line, &[]);
        }
        for remark in self.manifest.plan.steps.iter().flat_map(PlannedPlugin::remarks) {
            core.log(Level::Warn, &remark, &[]);
        }
        for injection in &self.manifest.inject {
            let message = format!("this node is under test: {}", injection.describe());
            core.log(Level::Warn, &message, &[]);
        }
        let policy = self.manifest.supervision.into();
        for plugin in &mut self.plugins {
            let telemetry = self.telemetry.of_plugin(&plugin.descriptor.id);
            let own_scheduler = seams::own_scheduler(&scheduler, &telemetry, None);
            for service in &plugin.provided.services {
                let (service, scheduler) = (Arc::clone(service), Arc::clone(&own_scheduler));
                let telemetry = Arc::new(telemetry.clone());
                plugin.services.push(Supervised::start(service, scheduler, telemetry, policy));
            }
        }
        let plugin_ids: Vec<String> =
            self.plugins.iter().map(|plugin| plugin.descriptor.id.clone()).collect();
        core.event(
            Event::new("node.started").with("account", &self.info.account).with("plugins", plugin_ids),
        );
        let seams = granted(&self.manifest.plan.node_grants, &self.available, &core, None);
        Node {
            seams,
            started_ms: scheduler.wall_clock_ms(),
            scheduler,
            server,
            services_off: host.advisory.as_ref().map(|a| a.services_off(self.manifest)).unwrap_or_default(),
            supervision: self.manifest.supervision,
            info: self.info,
            telemetry: self.telemetry,
            plugins: self.plugins,
            phase: Mutex::new(NodePhase::Running),
            drained: tokio::sync::Mutex::new(None),
        }
    }

    /// Closes what was made. Failures are in the log: the error that led here is the one to return.
    async fn undo(self) {
        let closing = Closing {
            telemetry: &self.telemetry,
            scheduler: self.scheduler.as_deref(),
            timeout: self.manifest.supervision.close_timeout(),
        };
        close_all(&self.plugins, closing).await;
    }
}

/// A plugin has to provide what it declared, no less and no more. A service may be missing: a plugin's configuration
/// may leave it without one.
fn check_declared(plugin: &StartedPlugin) -> Result<(), StartError> {
    let (declared, provided) = (&plugin.descriptor.provides, plugin.provided.seams());
    let plugin_id = || plugin.descriptor.id.clone();
    let lacking = declared.iter().find(|seam| **seam != Seam::Service && !provided.contains(seam));
    if let Some(seam) = lacking {
        return Err(StartError::NotProvided { plugin_id: plugin_id(), seam: *seam });
    }
    match provided.iter().find(|seam| !declared.contains(seam)) {
        Some(seam) => Err(StartError::NotDeclared { plugin_id: plugin_id(), seam: *seam }),
        None => Ok(()),
    }
}

/// Whether the node's scheduler is the host's, or a plugin's that stands in front of another one.
fn measures_by_the_host(manifest: &Manifest, registry: &Registry) -> bool {
    let Some(chosen) = manifest.plan.node_grants.get(&Seam::Scheduler) else { return false };
    let plugin = registry.find(chosen);
    plugin.is_none_or(|plugin| plugin.descriptor().needs.iter().any(|need| need.seam == Seam::Scheduler))
}
