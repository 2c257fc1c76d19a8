//! What plugins tell their host, and where it goes: log records, events, metrics.
//!
//! Owns the implementation of the [`Telemetry`] seam, the event bus, the metrics and the log format. Everything
//! carries the node and the plugin. Who listens, and how metrics leave the process, is the embedding program's
//! business.

pub mod events;
pub mod flood;
pub mod logging;
pub mod metrics;
mod scheduler;
mod usage;

#[cfg(test)]
mod tests;

pub use events::{Delivery, EventBus, EventListener, EventRecord};
use flood::{Admission, LOG_RECORDS_PER_WINDOW_MAX, LOG_WINDOW, LogLimits};
pub use metrics::Metrics;
pub(crate) use scheduler::PluginScheduler;

use crate::account::{AccountLimits, PluginAccount};
use lampkeeper_api::guard::{Method, contained};
use lampkeeper_api::scheduler::{Moment, Scheduler};
use lampkeeper_api::telemetry::{Event, Labels, Level, Telemetry, Value};
use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tracing::Span;
use usage::{Accounts, AllAccounts};

/// The target of the records that events leave in the log.
pub const EVENT_TARGET: &str = "lampkeeper::event";
/// The target of the records that plugins write through their host.
pub const PLUGIN_TARGET: &str = "lampkeeper::plugin";
/// The target of the spans that carry node and plugin; no filter turns it off.
pub(crate) const ORIGIN_TARGET: &str = "lampkeeper_origin";

/// Events and metrics of a process: one for all of its nodes, which stay apart by name.
#[derive(Debug, Default)]
pub struct TelemetryHub {
    /// Where events are delivered.
    pub events: EventBus,
    /// Where metrics are added up.
    pub metrics: Metrics,
    log_limits: LogLimits,
    accounts: AllAccounts,
}

impl TelemetryHub {
    /// A hub that nobody listens to yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }
}

/// The telemetry of one node; makes that of its plugins.
#[derive(Clone)]
pub(crate) struct NodeTelemetry {
    hub: Arc<TelemetryHub>,
    node: Arc<str>,
    /// Set once the scheduler runs. What its own plugin says before has no time.
    clock: Arc<OnceLock<Arc<dyn Scheduler>>>,
    /// The same scheduler without a gate: the gates themselves read it.
    step_clock: Arc<OnceLock<Arc<dyn Scheduler>>>,
    limits: Option<AccountLimits>,
    accounts: Arc<Accounts>,
}

impl NodeTelemetry {
    pub(crate) fn new(hub: Arc<TelemetryHub>, node: &str) -> Self {
        let node: Arc<str> = Arc::from(node);
        let accounts = hub.accounts.of_node(&node);
        Self { hub, node, clock: Arc::default(), step_clock: Arc::default(), limits: None, accounts }
    }

    /// The same, with limits for plugins.
    pub(crate) fn with_limits(self, limits: AccountLimits) -> Self {
        Self { limits: Some(limits), ..self }
    }

    /// The node's scheduler, once it runs.
    pub(crate) fn scheduler(&self) -> Option<Arc<dyn Scheduler>> {
        self.clock.get().cloned()
    }

    /// Steps are measured from now on. Not through a gate, which would measure itself.
    pub(crate) fn set_step_clock(&self, scheduler: Arc<dyn Scheduler>) {
        let _ = self.step_clock.set(scheduler);
    }

    /// Events have a time from now on.
    pub(crate) fn set_clock(&self, scheduler: Arc<dyn Scheduler>) {
        // A second scheduler would be a second node: the first stays.
        let _ = self.clock.set(scheduler);
    }

    /// A gauge of this node, as [`Metrics::gauges`].
    pub(crate) fn gauges(&self, name: &str) -> Vec<(Vec<(String, String)>, f64)> {
        self.hub.metrics.gauges(&self.node, name)
    }

    /// The metrics of all nodes of the hub.
    pub(crate) fn render_metrics(&self) -> String {
        self.hub.render_prometheus()
    }

    pub(crate) fn of_plugin(&self, plugin_id: &str) -> PluginTelemetry {
        // The level of an error: the span has to be there whatever the filter says, or records would lose their origin.
        let span =
            tracing::error_span!(target: ORIGIN_TARGET, "plugin", node = &*self.node, plugin = plugin_id);
        let is_plugin = plugin_id != crate::node::CORE && plugin_id != crate::registry::HOST_PROVIDER;
        let account = self.accounts.of(plugin_id, self.limits.filter(|_| is_plugin));
        PluginTelemetry { node: self.clone(), plugin: Arc::from(plugin_id), span, account }
    }

    /// The account of a plugin, or of core or the host; `None` if it has no telemetry either.
    pub(crate) fn account(&self, plugin_id: &str) -> Option<Arc<PluginAccount>> {
        self.accounts.find(plugin_id)
    }
}

/// The telemetry that one plugin is given.
#[derive(Clone)]
pub(crate) struct PluginTelemetry {
    node: NodeTelemetry,
    plugin: Arc<str>,
    span: Span,
    account: Arc<PluginAccount>,
}

impl PluginTelemetry {
    /// What the plugin's calls cost.
    pub(crate) const fn account(&self) -> &Arc<PluginAccount> {
        &self.account
    }

    /// The span in which the plugin's code runs, so that its own log records carry node and plugin too.
    pub(crate) const fn span(&self) -> &Span {
        &self.span
    }
}

impl PluginTelemetry {
    /// Now, for the gates; `None` until there is a scheduler.
    pub(crate) fn step_clock_now(&self) -> Option<Moment> {
        let scheduler = self.node.step_clock.get()?;
        contained(|| scheduler.now()).ok()
    }

    /// Warns of a plugin that held a thread, and says how often it has since the last warning.
    pub(crate) fn held_thread(&self, method: &Method, took: Duration, count: u64) {
        let message = format!(
            "plugin {} held a worker thread for {} ms in {}.{}: others had to wait",
            self.plugin,
            took.as_millis(),
            method.seam,
            method.name
        );
        self.log(Level::Warn, &message, &[("count_since_last_warning", count.into())]);
    }

    /// Whether a record may be written; those that no filter lets through don't count. Says what is left out.
    fn may_write(&self, level: Level) -> bool {
        let wanted = self.span.in_scope(|| match level {
            Level::Error => tracing::enabled!(target: PLUGIN_TARGET, tracing::Level::ERROR),
            Level::Warn => tracing::enabled!(target: PLUGIN_TARGET, tracing::Level::WARN),
            Level::Info => tracing::enabled!(target: PLUGIN_TARGET, tracing::Level::INFO),
            Level::Debug => tracing::enabled!(target: PLUGIN_TARGET, tracing::Level::DEBUG),
        });
        if !wanted {
            return true;
        }
        let now = self.node.clock.get().map(|scheduler| scheduler.now()).unwrap_or_default();
        let seconds = LOG_WINDOW.as_secs();
        let admission = self.node.hub.log_limits.admit(&self.node.node, &self.plugin, level, now);
        let said = match admission {
            Admission::Written { left_out_before: 0 } | Admission::LeftOut => None,
            Admission::Written { left_out_before } => {
                Some(format!("plugin {} had {left_out_before} log records left out", self.plugin))
            }
            Admission::FirstLeftOut => Some(format!(
                "plugin {} floods the log: more than {LOG_RECORDS_PER_WINDOW_MAX} records of one level in {seconds} s; \
                 the rest is left out and counted",
                self.plugin
            )),
        };
        if let Some(said) = said {
            self.span.in_scope(|| tracing::warn!(target: PLUGIN_TARGET, "{said}"));
        }
        let is_written = matches!(admission, Admission::Written { .. });
        if !is_written {
            self.count("log_records_left_out_total", &[], 1);
        }
        is_written
    }
}

impl Telemetry for PluginTelemetry {
    fn event(&self, event: Event) {
        if self.may_write(Level::Info) {
            let fields =
                logging::fields_text(event.fields.iter().map(|(name, value)| (name.as_str(), value)));
            self.span.in_scope(|| tracing::info!(target: EVENT_TARGET, event = event.name, fields));
        }
        let wall_clock_ms = self.node.clock.get().map(|scheduler| scheduler.wall_clock_ms());
        self.node.hub.events.publish(&self.node.node, &self.plugin, wall_clock_ms, event);
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, Value)]) {
        if !self.may_write(level) {
            return;
        }
        let fields = logging::fields_text(fields.iter().map(|(name, value)| (*name, value)));
        self.span.in_scope(|| match level {
            Level::Error => tracing::error!(target: PLUGIN_TARGET, fields, "{message}"),
            Level::Warn => tracing::warn!(target: PLUGIN_TARGET, fields, "{message}"),
            Level::Info => tracing::info!(target: PLUGIN_TARGET, fields, "{message}"),
            Level::Debug => tracing::debug!(target: PLUGIN_TARGET, fields, "{message}"),
        });
    }

    fn count(&self, name: &str, labels: Labels<'_>, amount: u64) {
        self.node.hub.metrics.count(&self.node.node, &self.plugin, name, labels, amount);
    }

    fn gauge(&self, name: &str, labels: Labels<'_>, value: f64) {
        self.node.hub.metrics.gauge(&self.node.node, &self.plugin, name, labels, value);
    }

    fn observe(&self, name: &str, labels: Labels<'_>, value: f64) {
        self.node.hub.metrics.observe(&self.node.node, &self.plugin, name, labels, value);
    }

    fn panicked(&self, seam: &str, method: &str, words: &str) {
        // A panic that comes of noting one, such as in the scheduler's clock, is only counted: the rest would not end.
        let noting = Noting::begin();
        let now = noting.as_ref().and_then(|_| self.step_clock_now()).unwrap_or_default();
        let quarantined = self.account.note_panic(now, seam, method, words);
        if noting.is_none() {
            return;
        }
        self.count("plugin_panics_total", &[("seam", seam), ("method", method)], 1);
        let message = format!("plugin {} panicked in {seam}.{method}: {words}", self.plugin);
        self.log(Level::Error, &message, &[]);
        if let Some(why) = quarantined {
            let message = format!("plugin {} is quarantined until the node restarts: {why}", self.plugin);
            self.log(Level::Error, &message, &[]);
            self.event(Event::new("plugin.quarantined").with("reason", why));
        }
    }
}

thread_local! {
    static IS_NOTING: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, this thread is noting a panic.
struct Noting(());

impl Noting {
    /// `None` if the thread is noting one already, or is ending.
    fn begin() -> Option<Self> {
        let was_noting = IS_NOTING.try_with(|noting| noting.replace(true)).ok()?;
        (!was_noting).then_some(Self(()))
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        let _ = IS_NOTING.try_with(|noting| noting.set(false));
    }
}
