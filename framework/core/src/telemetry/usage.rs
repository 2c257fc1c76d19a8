//! The accounts of all plugins of a process, and their way into the metrics.
//!
//! A call changes its plugin's counters only. What they come to is put into the metrics when those are rendered, so
//! that a call costs no look-up of a metric.

use super::{Metrics, TelemetryHub};
use crate::account::{AccountLimits, PluginAccount, PluginUsage};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The accounts of one node.
#[derive(Default)]
pub(super) struct Accounts {
    by_plugin: Mutex<BTreeMap<String, Arc<PluginAccount>>>,
    /// What the metrics have been told, by plugin.
    told: Mutex<BTreeMap<String, PluginUsage>>,
}

impl Accounts {
    /// The account of a plugin, made when it is first asked for.
    pub(super) fn of(&self, plugin_id: &str, limits: Option<AccountLimits>) -> Arc<PluginAccount> {
        let mut accounts = self.by_plugin.lock().unwrap_or_else(PoisonError::into_inner);
        let account = accounts
            .entry(plugin_id.to_owned())
            .or_insert_with(|| PluginAccount::with_limits(plugin_id, limits));
        Arc::clone(account)
    }

    pub(super) fn find(&self, plugin_id: &str) -> Option<Arc<PluginAccount>> {
        self.by_plugin.lock().unwrap_or_else(PoisonError::into_inner).get(plugin_id).cloned()
    }

    fn publish(&self, metrics: &Metrics, node: &str) {
        let accounts = self.by_plugin.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (plugin_id, account) in accounts {
            let usage = account.usage();
            let of_plugin = OfPlugin { metrics, node, plugin: &plugin_id };
            of_plugin.publish(&usage, told.get(&plugin_id).unwrap_or(&PluginUsage::default()));
            told.insert(plugin_id, usage);
        }
    }
}

/// The accounts of all nodes of a process; those of a node that is gone go with it.
#[derive(Default)]
pub(super) struct AllAccounts {
    nodes: Mutex<Vec<(Arc<str>, Weak<Accounts>)>>,
}

impl std::fmt::Debug for AllAccounts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("AllAccounts")
    }
}

impl AllAccounts {
    pub(super) fn of_node(&self, node: &Arc<str>) -> Arc<Accounts> {
        let accounts = Arc::new(Accounts::default());
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|(_, known)| known.strong_count() > 0);
        nodes.push((Arc::clone(node), Arc::downgrade(&accounts)));
        accounts
    }
}

/// The metrics of one plugin.
struct OfPlugin<'a> {
    metrics: &'a Metrics,
    node: &'a str,
    plugin: &'a str,
}

impl OfPlugin<'_> {
    fn publish(&self, now: &PluginUsage, told: &PluginUsage) {
        self.count("plugin_calls_total", now.calls, told.calls);
        self.count("plugin_calls_failed_total", now.calls_failed, told.calls_failed);
        self.count("plugin_calls_refused_total", now.calls_refused, told.calls_refused);
        self.count("plugin_poll_us_total", now.poll_time_us, told.poll_time_us);
        self.count("plugin_thread_holds_total", now.thread_holds, told.thread_holds);
        self.gauge("plugin_calls_in_flight", now.calls_in_flight);
        self.gauge("plugin_poll_longest_us", now.poll_longest_us);
        self.gauge("plugin_tasks", now.tasks);
        self.gauge("plugin_quarantined", u64::from(now.quarantined.is_some()));
    }

    fn count(&self, name: &str, now: u64, told: u64) {
        self.metrics.count(self.node, self.plugin, name, &[], now.saturating_sub(told));
    }

    #[expect(clippy::cast_precision_loss, reason = "a display; what is lost is far below what anybody reads")]
    fn gauge(&self, name: &str, value: u64) {
        self.metrics.gauge(self.node, self.plugin, name, &[], value as f64);
    }
}

impl TelemetryHub {
    /// All metrics in the text exposition format of Prometheus, what plugins have used included.
    #[must_use]
    pub fn render_prometheus(&self) -> String {
        let nodes = self.accounts.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (node, accounts) in nodes {
            if let Some(accounts) = accounts.upgrade() {
                accounts.publish(&self.metrics, &node);
            }
        }
        self.metrics.render_prometheus()
    }
}
