//! What an operator may set.

use lampkeeper_plugin_sdk::prelude::*;
use std::time::Duration;

/// Configuration of the reporter.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// How often it is looked whether a report is due, in milliseconds.
    #[schemars(range(min = 10, max = 600_000))]
    pub poll_interval_ms: u64,
    /// How long one look may take, the submission included, in milliseconds.
    #[schemars(range(min = 10, max = 600_000))]
    pub tick_timeout_ms: u64,
    /// How long a port has to accept a connection, in milliseconds.
    #[schemars(range(min = 10, max = 60_000))]
    pub probe_timeout_ms: u64,
    /// Targets whose ports are probed at once.
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrent_probes: u32,
    /// How much of an epoch may pass, in percent, while the report waits for rows that the chain does not insist on.
    /// In mode FULL it insists, and the report waits as long as it has to.
    #[schemars(range(min = 0, max = 95))]
    pub wait_for_rows_percent: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll_interval_ms: 5_000,
            tick_timeout_ms: 30_000,
            probe_timeout_ms: 2_000,
            max_concurrent_probes: 8,
            wait_for_rows_percent: 50,
        }
    }
}

impl Config {
    pub(crate) const fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms)
    }

    pub(crate) const fn tick_timeout(&self) -> Duration {
        Duration::from_millis(self.tick_timeout_ms)
    }

    pub(crate) const fn probe_timeout(&self) -> Duration {
        Duration::from_millis(self.probe_timeout_ms)
    }
}
