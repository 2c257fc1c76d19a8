//! What an operator may set.

use lampkeeper_plugin_sdk::prelude::*;
use std::time::Duration;

/// The most replicas of an artifact.
const REPLICA_COUNT_MAX: u32 = 64;
/// The most calls or requests at once; each may hold a message of the maximum length.
const AT_ONCE_MAX: u32 = 256;

/// What an operator may set.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// How many nodes hold an artifact (wire 12.5). All nodes of a network need the same number.
    pub replica_count: u32,
    /// How many nodes beyond those may be asked to keep it all the same, since nodes see the membership change at
    /// different times.
    pub replica_slack: u32,
    /// How often the membership is read from the chain, in milliseconds (wire 12.9).
    pub refresh_interval_ms: u64,
    /// How old the membership may be when artifacts are published, in milliseconds (wire 12.7).
    pub publish_refresh_ms: u64,
    /// How old the membership may be when a stranger is turned away, in milliseconds.
    pub stranger_refresh_ms: u64,
    /// How long a peer may take to answer, in milliseconds.
    pub call_timeout_ms: u64,
    /// How long a fetch waits for a holder before it asks the next one too, in milliseconds.
    pub hedge_delay_ms: u64,
    /// How many calls this node makes at once.
    pub calls_at_once: u32,
    /// How many requests of peers this node works on at once.
    pub requests_at_once: u32,
    /// Whether a fetch that finds nothing in the replica set asks other nodes, since the membership may have moved.
    pub fetch_beyond_replica_set: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            replica_count: 6,
            replica_slack: 2,
            refresh_interval_ms: 30_000,
            publish_refresh_ms: 10_000,
            stranger_refresh_ms: 5_000,
            call_timeout_ms: 20_000,
            hedge_delay_ms: 1_500,
            calls_at_once: 16,
            requests_at_once: 8,
            fetch_beyond_replica_set: true,
        }
    }
}

impl Config {
    /// The configuration, if it can be worked with.
    pub(crate) fn checked(self, plugin_id: &str) -> Result<Self, PluginError> {
        let ranges = [
            ("replica_count", self.replica_count, REPLICA_COUNT_MAX),
            ("calls_at_once", self.calls_at_once, AT_ONCE_MAX),
            ("requests_at_once", self.requests_at_once, AT_ONCE_MAX),
        ];
        for (key, value, max) in ranges {
            if value == 0 || value > max {
                return Err(PluginError::InvalidConfig {
                    plugin_id: plugin_id.to_owned(),
                    key: key.to_owned(),
                    reason: format!("{value} is out of range; write a number from 1 to {max}"),
                });
            }
        }
        if self.call_timeout_ms == 0 || self.refresh_interval_ms == 0 {
            let key = if self.call_timeout_ms == 0 { "call_timeout_ms" } else { "refresh_interval_ms" };
            return Err(PluginError::InvalidConfig {
                plugin_id: plugin_id.to_owned(),
                key: key.to_owned(),
                reason: "0 leaves no time; write at least 1".to_owned(),
            });
        }
        Ok(self)
    }

    pub(crate) const fn refresh_interval(&self) -> Duration {
        Duration::from_millis(self.refresh_interval_ms)
    }

    pub(crate) const fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.call_timeout_ms)
    }

    pub(crate) const fn hedge_delay(&self) -> Duration {
        Duration::from_millis(self.hedge_delay_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_can_t_work_are_refused_with_their_key() {
        assert!(Config::default().checked("x").is_ok());
        for (config, key) in [
            (Config { replica_count: 0, ..Config::default() }, "replica_count"),
            (Config { replica_count: 65, ..Config::default() }, "replica_count"),
            (Config { calls_at_once: 0, ..Config::default() }, "calls_at_once"),
            (Config { requests_at_once: 1000, ..Config::default() }, "requests_at_once"),
            (Config { call_timeout_ms: 0, ..Config::default() }, "call_timeout_ms"),
            (Config { refresh_interval_ms: 0, ..Config::default() }, "refresh_interval_ms"),
        ] {
            let error = config.checked("x").unwrap_err();
            assert!(
                matches!(&error, PluginError::InvalidConfig { key: found, .. } if found == key),
                "{error}"
            );
        }
    }
}
