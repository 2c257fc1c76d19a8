//! What an operator may set (wire 9.2).

use lampkeeper_plugin_sdk::prelude::*;
use std::time::Duration;

/// Configuration of the rechecks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// Epochs before the present one whose reports are looked through.
    #[schemars(range(min = 1, max = 64))]
    pub lookback_epochs: u64,
    /// Rechecks that are made after one look.
    #[schemars(range(min = 1, max = 100))]
    pub max_per_tick: u32,
    /// How often reports are looked through, in milliseconds.
    #[schemars(range(min = 10, max = 86_400_000))]
    pub tick_interval_ms: u64,
    /// Failed attempts after which an epoch's ticket is left alone for a while.
    #[schemars(range(min = 1, max = 100))]
    pub max_failure_attempts_per_ticket: u32,
    /// How long a failed attempt is remembered, in milliseconds from the latest one.
    #[schemars(range(min = 1, max = 2_592_000_000_u64))]
    pub failure_backoff_ttl_ms: u64,
    /// Reports that are asked for at once.
    #[schemars(range(min = 1, max = 256))]
    pub max_concurrent_queries: u32,
    /// Over how much of the rest of the epoch the nodes spread a recheck, in percent: each waits a share of it that follows
    /// from its own account and the row, so that not all of them ask one target, and pay for evidence of which the chain
    /// takes one, at the same moment. 0 rechecks at once.
    #[schemars(range(min = 0, max = 90))]
    pub spread_percent: u32,
    /// Whether a row is rechecked only when its epoch is over.
    pub closed_epochs_only: bool,
    /// Whether rows whose transcript or signature does not verify are rechecked as well. The chain counts them all the
    /// same, and their report is signed by its transaction: if they were left alone, a reporter could keep its accusations
    /// from being contradicted by signing them wrongly.
    pub recheck_unverified_rows: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lookback_epochs: 7,
            max_per_tick: 5,
            tick_interval_ms: 60_000,
            max_failure_attempts_per_ticket: 3,
            failure_backoff_ttl_ms: 900_000,
            max_concurrent_queries: 16,
            spread_percent: 50,
            closed_epochs_only: false,
            recheck_unverified_rows: true,
        }
    }
}

impl Config {
    pub(crate) const fn tick_interval(&self) -> Duration {
        Duration::from_millis(self.tick_interval_ms)
    }

    /// Rounded up, so that a failure is remembered at all.
    pub(crate) fn failure_memory_s(&self) -> i64 {
        i64::try_from(self.failure_backoff_ttl_ms.div_ceil(1000)).unwrap_or(i64::MAX)
    }
}
