//! What an operator may set.

use lampkeeper_plugin_sdk::prelude::*;
use std::time::Duration;

/// The longest cycle, in days.
const CYCLE_DAYS_MAX: f64 = 3650.0;

/// What an operator may set.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// In how many days every artifact is read once. Reading is spread evenly; it takes longer if the limits below do
    /// not leave time enough.
    pub cycle_days: f64,
    /// How much is read, at most, in bytes a second.
    #[schemars(range(min = 1))]
    pub max_bytes_per_s: u64,
    /// The pause after each artifact, as a multiple of the time that reading it took: a busy disk is left alone longer.
    pub pause_per_read_time: f64,
    /// How long to wait before a damaged artifact of which no copy was found is looked for again, in milliseconds.
    #[schemars(range(min = 1))]
    pub retry_lost_ms: u64,
    /// Whether to stand still at first. Counts until the switch is turned for the first time (`lampkeeper scrub pause`,
    /// `lampkeeper scrub resume`), which outlives restarts.
    pub paused: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cycle_days: 30.0,
            max_bytes_per_s: 8 * 1024 * 1024,
            pause_per_read_time: 4.0,
            retry_lost_ms: 3_600_000,
            paused: false,
        }
    }
}

impl Config {
    /// The configuration, if it can be worked with.
    pub(crate) fn checked(self, plugin_id: &str) -> Result<Self, PluginError> {
        let invalid = |key: &str, reason: String| PluginError::InvalidConfig {
            plugin_id: plugin_id.to_owned(),
            key: key.to_owned(),
            reason,
        };
        if !(self.cycle_days > 0.0 && self.cycle_days <= CYCLE_DAYS_MAX) {
            let reason = format!(
                "{} is out of range; write a number above 0, at most {CYCLE_DAYS_MAX}",
                self.cycle_days
            );
            return Err(invalid("cycle_days", reason));
        }
        if !(0.0..=1000.0).contains(&self.pause_per_read_time) {
            let reason =
                format!("{} is out of range; write a number from 0 to 1000", self.pause_per_read_time);
            return Err(invalid("pause_per_read_time", reason));
        }
        if self.max_bytes_per_s == 0 || self.retry_lost_ms == 0 {
            let key = if self.max_bytes_per_s == 0 { "max_bytes_per_s" } else { "retry_lost_ms" };
            return Err(invalid(key, "0 never comes to anything; write at least 1".to_owned()));
        }
        Ok(self)
    }

    pub(crate) fn cycle(&self) -> Duration {
        Duration::from_secs_f64(self.cycle_days * 86_400.0)
    }

    pub(crate) const fn retry_lost(&self) -> Duration {
        Duration::from_millis(self.retry_lost_ms)
    }

    /// How long to wait after an artifact, so that a cycle of `artifact_count` of them takes its time and the disk is
    /// left to others.
    pub(crate) fn pause_after(&self, len_bytes: u64, took: Duration, artifact_count: u64) -> Duration {
        let even = self.cycle().div_f64(artifact_count.max(1) as f64).saturating_sub(took);
        let by_rate =
            Duration::from_secs_f64(len_bytes as f64 / self.max_bytes_per_s as f64).saturating_sub(took);
        let by_load = took.mul_f64(self.pause_per_read_time);
        even.max(by_rate).max(by_load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_reason_to_wait_decides() {
        let config = Config { cycle_days: 1.0, max_bytes_per_s: 1000, ..Config::default() };
        let seconds = Duration::from_secs;
        for (len_bytes, took_s, count, expected_s, what) in [
            (10, 1, 864, 99, "evenly over the day"),
            (500_000, 1, 864, 499, "the rate"),
            (10, 50, 864, 200, "a busy disk"),
            (10, 1, 0, 86_399, "one artifact that is new"),
        ] {
            assert_eq!(config.pause_after(len_bytes, seconds(took_s), count), seconds(expected_s), "{what}");
        }
    }

    #[test]
    fn numbers_that_can_t_work_are_refused_with_their_key() {
        assert!(Config::default().checked("scrub").is_ok());
        for (config, key) in [
            (Config { cycle_days: 0.0, ..Config::default() }, "cycle_days"),
            (Config { cycle_days: f64::NAN, ..Config::default() }, "cycle_days"),
            (Config { pause_per_read_time: -1.0, ..Config::default() }, "pause_per_read_time"),
            (Config { max_bytes_per_s: 0, ..Config::default() }, "max_bytes_per_s"),
            (Config { retry_lost_ms: 0, ..Config::default() }, "retry_lost_ms"),
        ] {
            let error = config.checked("scrub").unwrap_err();
            assert!(
                matches!(&error, PluginError::InvalidConfig { key: found, .. } if found == key),
                "{error}"
            );
        }
    }
}
