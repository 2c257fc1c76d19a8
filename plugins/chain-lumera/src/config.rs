//! What an operator may set, and the check of it.
//!
//! Owns the keys, their defaults and their limits. A configuration that passed becomes `Settings`, which no other part
//! of the plugin has to doubt.

use crate::endpoint::Target;
use crate::fee::{GasPrice, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most endpoints.
pub const ENDPOINTS_MAX: usize = 16;
/// The most attempts at anything (wire 10.6, "hard cap").
pub const ATTEMPTS_MAX: u32 = 10;
/// The longest any wait may be set to, in milliseconds: one hour.
const WAIT_MS_MAX: u64 = 3_600_000;
/// The longest answer that may be allowed, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// What an operator may set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChainLumeraConfig {
    /// Where the chain's gRPC service is, best first: `https://host:port` is TLS, `http://host:port` is plaintext. An
    /// endpoint without a scheme is refused: which of the two is used is never found out by trying.
    pub endpoints: Vec<String>,
    /// A root certificate in PEM that `https` endpoints are checked against, besides the public ones; empty for none.
    pub root_certificate_pem: String,
    /// How long an attempt to connect may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a call may take, in milliseconds.
    pub call_timeout_ms: u64,
    /// How often a connection is tested while nothing else is sent, in milliseconds.
    pub keepalive_interval_ms: u64,
    /// How long such a test may take, in milliseconds.
    pub keepalive_timeout_ms: u64,
    /// The longest answer that is read, in bytes.
    pub answer_bytes_max: u64,
    /// How often the endpoints are compared with each other, in milliseconds.
    pub check_interval_ms: u64,
    /// How many blocks an endpoint may be behind the best one before it is not asked any more.
    pub lag_blocks_max: u64,
    /// What gas costs, such as `0.025ulume`.
    pub gas_price: String,
    /// The coin that fees are paid in.
    pub fee_denom: String,
    /// How much more gas than simulated is asked for, as a percentage of it: 130 is 30 % more.
    pub gas_adjustment_percent: u32,
    /// Gas that is added after that.
    pub gas_padding: u64,
    /// The most gas that a transaction may ask for.
    pub gas_max: u64,
    /// Gas that is asked for if the chain's node does not simulate.
    pub gas_without_simulation: u64,
    /// The most that a transaction may cost, in the fee's coin.
    pub fee_max: u64,
    /// The most that all transactions of `fee_budget_window_s` may cost together, in the fee's coin. Whoever submits more
    /// is refused until enough of them are older than that.
    pub fee_budget: u64,
    /// The span of time of the budget, in seconds.
    pub fee_budget_window_s: u64,
    /// How often a transaction is made anew after a wrong sequence, or after gas that did not suffice.
    pub attempts: u32,
    /// For how many blocks a transaction may be executed. One that is not in a block by then never will be.
    pub transaction_lifetime_blocks: u64,
    /// How often it is looked whether a transaction was executed, in milliseconds.
    pub inclusion_poll_interval_ms: u64,
    /// How long a submission waits for its execution, in milliseconds. After that its outcome is not known, and is looked
    /// up by its hash before the same message is sent again.
    pub inclusion_timeout_ms: u64,
}

impl Default for ChainLumeraConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            root_certificate_pem: String::new(),
            connect_timeout_ms: 10_000,
            call_timeout_ms: 10_000,
            keepalive_interval_ms: 60_000,
            keepalive_timeout_ms: 20_000,
            answer_bytes_max: 32 << 20,
            check_interval_ms: 10_000,
            lag_blocks_max: 3,
            gas_price: "0.025ulume".to_owned(),
            fee_denom: "ulume".to_owned(),
            gas_adjustment_percent: 130,
            gas_padding: 10_000,
            gas_max: 10_000_000,
            gas_without_simulation: 500_000,
            fee_max: 1_000_000,
            fee_budget: 20_000_000,
            fee_budget_window_s: 86_400,
            attempts: 3,
            transaction_lifetime_blocks: 30,
            inclusion_poll_interval_ms: 1000,
            inclusion_timeout_ms: 120_000,
        }
    }
}

/// Limits and deadlines of calls.
#[derive(Debug, Clone)]
pub(crate) struct CallSettings {
    pub(crate) timeout: Duration,
    pub(crate) answer_len_bytes_max: usize,
    pub(crate) check_interval: Duration,
    pub(crate) lag_blocks_max: i64,
}

/// Rules of transactions.
#[derive(Debug, Clone)]
pub(crate) struct TxSettings {
    pub(crate) gas_price: GasPrice,
    pub(crate) fee_denom: String,
    pub(crate) gas_adjustment: Percent,
    pub(crate) gas_padding: u64,
    pub(crate) gas_max: u64,
    pub(crate) gas_without_simulation: u64,
    pub(crate) fee_max: u64,
    pub(crate) fee_budget: u64,
    pub(crate) fee_budget_window: Duration,
    pub(crate) attempts: u32,
    pub(crate) lifetime_blocks: i64,
    pub(crate) poll_interval: Duration,
    pub(crate) inclusion_timeout: Duration,
}

/// A configuration that passed its check.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) targets: Vec<Target>,
    pub(crate) call: CallSettings,
    pub(crate) tx: TxSettings,
}

/// A key and what is wrong with its value.
pub(crate) type ConfigError = (&'static str, String);

fn within(key: &'static str, value: u64, range: std::ops::RangeInclusive<u64>) -> Result<u64, ConfigError> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err((key, format!("{value} is not within {} to {}", range.start(), range.end())))
}

fn wait(key: &'static str, value_ms: u64) -> Result<Duration, ConfigError> {
    within(key, value_ms, 1..=WAIT_MS_MAX).map(Duration::from_millis)
}

impl ChainLumeraConfig {
    /// Checks everything.
    pub(crate) fn check(&self) -> Result<Settings, ConfigError> {
        if self.endpoints.is_empty() || self.endpoints.len() > ENDPOINTS_MAX {
            let count = self.endpoints.len();
            return Err(("endpoints", format!("{count} endpoints: name 1 to {ENDPOINTS_MAX}")));
        }
        let mut targets = Vec::with_capacity(self.endpoints.len());
        for endpoint in &self.endpoints {
            targets.push(self.target(endpoint)?);
        }
        Ok(Settings { targets, call: self.check_calls()?, tx: self.check_transactions()? })
    }

    fn target(&self, endpoint: &str) -> Result<Target, ConfigError> {
        let target = Target::parse(endpoint).map_err(|reason| ("endpoints", reason))?;
        Ok(Target {
            root_certificate_pem: self.root_certificate_pem.clone(),
            connect_timeout: wait("connect_timeout_ms", self.connect_timeout_ms)?,
            keepalive_interval: wait("keepalive_interval_ms", self.keepalive_interval_ms)?,
            keepalive_timeout: wait("keepalive_timeout_ms", self.keepalive_timeout_ms)?,
            ..target
        })
    }

    fn check_calls(&self) -> Result<CallSettings, ConfigError> {
        let answer = within("answer_bytes_max", self.answer_bytes_max, 1024..=ANSWER_BYTES_MAX)?;
        let lag = within("lag_blocks_max", self.lag_blocks_max, 0..=1_000_000)?;
        Ok(CallSettings {
            timeout: wait("call_timeout_ms", self.call_timeout_ms)?,
            answer_len_bytes_max: usize::try_from(answer).unwrap_or(usize::MAX),
            check_interval: wait("check_interval_ms", self.check_interval_ms)?,
            lag_blocks_max: i64::try_from(lag).unwrap_or(i64::MAX),
        })
    }

    fn check_transactions(&self) -> Result<TxSettings, ConfigError> {
        let gas_price =
            GasPrice::parse(&self.gas_price, &self.fee_denom).map_err(|reason| ("gas_price", reason))?;
        let adjustment = u64::from(self.gas_adjustment_percent);
        let adjustment = within("gas_adjustment_percent", adjustment, 100..=1000)?;
        let attempts = within("attempts", u64::from(self.attempts), 1..=u64::from(ATTEMPTS_MAX))?;
        let lifetime = self.transaction_lifetime_blocks;
        let lifetime = within("transaction_lifetime_blocks", lifetime, 2..=100_000)?;
        let gas_max = within("gas_max", self.gas_max, 1..=1 << 40)?;
        let gas_without_simulation = self.gas_without_simulation;
        let window_s = within("fee_budget_window_s", self.fee_budget_window_s, 1..=365 * 86_400)?;
        Ok(TxSettings {
            gas_price,
            fee_denom: self.fee_denom.clone(),
            gas_adjustment: Percent(adjustment),
            gas_padding: within("gas_padding", self.gas_padding, 0..=gas_max)?,
            gas_max,
            gas_without_simulation: within("gas_without_simulation", gas_without_simulation, 1..=gas_max)?,
            fee_max: self.fee_max,
            fee_budget: self.fee_budget,
            fee_budget_window: Duration::from_secs(window_s),
            attempts: u32::try_from(attempts).unwrap_or(ATTEMPTS_MAX),
            lifetime_blocks: i64::try_from(lifetime).unwrap_or(i64::MAX),
            poll_interval: wait("inclusion_poll_interval_ms", self.inclusion_poll_interval_ms)?,
            inclusion_timeout: wait("inclusion_timeout_ms", self.inclusion_timeout_ms)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_names_its_key() {
        let good = || ChainLumeraConfig {
            endpoints: vec!["http://127.0.0.1:9090".to_owned()],
            ..ChainLumeraConfig::default()
        };
        good().check().unwrap();
        type Change = fn(&mut ChainLumeraConfig);
        let table: [(&str, Change); 12] = [
            ("endpoints", |config| config.endpoints.clear()),
            ("endpoints", |config| config.endpoints = vec!["http://h".to_owned(); ENDPOINTS_MAX + 1]),
            ("endpoints", |config| config.endpoints = vec!["host:9090".to_owned()]),
            ("connect_timeout_ms", |config| config.connect_timeout_ms = 0),
            ("call_timeout_ms", |config| config.call_timeout_ms = WAIT_MS_MAX + 1),
            ("answer_bytes_max", |config| config.answer_bytes_max = u64::MAX),
            ("gas_price", |config| config.gas_price = "cheap".to_owned()),
            ("gas_price", |config| config.gas_price = "1uother".to_owned()),
            ("gas_adjustment_percent", |config| config.gas_adjustment_percent = 99),
            ("attempts", |config| config.attempts = ATTEMPTS_MAX + 1),
            ("transaction_lifetime_blocks", |config| config.transaction_lifetime_blocks = 1),
            ("gas_padding", |config| config.gas_padding = u64::MAX),
        ];
        for (key, change) in table {
            let mut config = good();
            change(&mut config);
            assert_eq!(config.check().unwrap_err().0, key);
        }
    }
}
