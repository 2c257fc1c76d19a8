//! What a node says of itself.

use super::{Node, StartedPlugin};
use crate::account::PluginUsage;
use crate::supervise::{HealthStatus, ServiceStatus, Supervised};
use lampkeeper_api::plugin::Seam;
use serde::Serialize;
use std::sync::PoisonError;

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NodePhase {
    /// At work.
    Running,
    /// Asked to stop.
    Draining,
    /// Stopped.
    Stopped,
}

/// Where a plugin is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PluginState {
    /// Made, and in use.
    Running,
    /// Closed because the node stopped.
    Closed,
}

/// A node and its plugins at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// The node's name.
    pub name: String,
    /// Its account.
    pub account: String,
    /// Its network's chain id.
    pub network: String,
    /// Where it is in its life.
    pub phase: NodePhase,
    /// The worst health of its services.
    pub health: HealthStatus,
    /// When it had started, in milliseconds since 1970.
    pub started_ms: i64,
    /// Where peers reach it.
    pub local_address: Option<String>,
    /// Its plugins, in the order of their start.
    pub plugins: Vec<PluginStatus>,
    /// Expected services that the manifest leaves off.
    pub services_off: Vec<String>,
}

/// A plugin at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginStatus {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The seams that it provides, by name.
    pub provides: Vec<String>,
    /// The seams that it was given, by name.
    pub granted: Vec<String>,
    /// Seams that it declared as optional and that the manifest does not grant, by name.
    pub refused: Vec<String>,
    /// Seams that the manifest grants and that it did not declare, by name.
    pub unused_grants: Vec<String>,
    /// Where it is in its life.
    pub state: PluginState,
    /// The worst health of its services; fine if it has none. A plugin that is quarantined does not work.
    pub health: HealthStatus,
    /// What it has used.
    pub usage: PluginUsage,
    /// When it was made, in milliseconds since 1970.
    pub since_ms: i64,
    /// Its services.
    pub services: Vec<ServiceStatus>,
}

pub(super) fn of(node: &Node) -> NodeStatus {
    let plugins: Vec<PluginStatus> = node.plugins.iter().map(|plugin| of_plugin(node, plugin)).collect();
    NodeStatus {
        name: node.info.name.clone(),
        account: node.info.account.clone(),
        network: node.info.chain_id.clone(),
        phase: node.phase(),
        health: HealthStatus::worst(plugins.iter().map(|plugin| &plugin.health)),
        started_ms: node.started_ms,
        local_address: node.local_address(),
        plugins,
        services_off: node.services_off.clone(),
    }
}

fn of_plugin(node: &Node, plugin: &StartedPlugin) -> PluginStatus {
    let planned = &plugin.planned;
    let services: Vec<ServiceStatus> = plugin.services.iter().map(Supervised::status).collect();
    let usage = node.account(&plugin.descriptor.id).map(|account| account.usage()).unwrap_or_default();
    let quarantine = usage.quarantined.as_ref();
    let own_health = quarantine
        .map_or(HealthStatus::Ok, |why| HealthStatus::Failed { reason: format!("it is quarantined: {why}") });
    let healths = std::iter::once(&own_health).chain(services.iter().map(|service| &service.health));
    PluginStatus {
        id: plugin.descriptor.id.clone(),
        version: plugin.descriptor.version.clone(),
        provides: names(&plugin.descriptor.provides),
        granted: names(planned.grants.keys()),
        refused: names(&planned.refused),
        unused_grants: names(&planned.unused),
        state: *plugin.state.lock().unwrap_or_else(PoisonError::into_inner),
        health: HealthStatus::worst(healths),
        usage,
        since_ms: plugin.started_ms,
        services,
    }
}

fn names<'a>(seams: impl IntoIterator<Item = &'a Seam>) -> Vec<String> {
    seams.into_iter().map(|seam| seam.name().to_owned()).collect()
}
