//! What an operator may set (wire 9.3).

use lampkeeper_plugin_sdk::prelude::*;
use std::time::Duration;

/// The shortest poll interval: a development network has short epochs.
const POLL_INTERVAL_MS_MIN: u64 = 50;
/// The most operations of one kind at once.
const CONCURRENCY_MAX: usize = 64;
/// The most attempts at fetching a file.
const FETCH_ATTEMPTS_MAX: u32 = 16;

/// What an operator may set. A zero stands for the default (wire 9.3).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// How long to wait between two looks at the chain, in milliseconds; at least 50.
    pub poll_interval_ms: u64,
    /// Reconstructions that run at once.
    pub max_concurrent_reconstructs: usize,
    /// Verifications that run at once.
    pub max_concurrent_verifications: usize,
    /// Operations whose artifacts are published at once.
    pub max_concurrent_publishes: usize,
    /// Verifiers that are served a reconstructed file at once.
    pub max_concurrent_serves: usize,
    /// Operations that a second strategy repeats at once, where the manifest chooses one as `heal-shadow`; while as many
    /// are under way, others are passed over.
    pub max_concurrent_shadows: usize,
    /// How long the second strategy may take for one operation, in milliseconds.
    pub shadow_time_limit_ms: u64,
    /// How long to wait between asking about one of this node's tickets how far it is from being lost and asking about the
    /// next, in milliseconds.
    pub margin_interval_ms: u64,
    /// How long a healer may stay silent while a verifier fetches its file, in milliseconds.
    pub verifier_fetch_timeout_ms: u64,
    /// How often a verifier tries to fetch a file before it votes no.
    pub verifier_fetch_attempts: u32,
    /// How long a verifier waits after the first failed attempt, in milliseconds; twice as long after each further one.
    pub verifier_backoff_base_ms: u64,
    /// How long a question to the chain may take, in milliseconds.
    pub audit_query_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll_interval_ms: 30_000,
            max_concurrent_reconstructs: 2,
            max_concurrent_verifications: 4,
            max_concurrent_publishes: 2,
            max_concurrent_serves: 8,
            max_concurrent_shadows: 1,
            shadow_time_limit_ms: 900_000,
            margin_interval_ms: 600_000,
            verifier_fetch_timeout_ms: 60_000,
            verifier_fetch_attempts: 3,
            verifier_backoff_base_ms: 2_000,
            audit_query_timeout_ms: 10_000,
        }
    }
}

impl Config {
    /// Zeros replaced by the defaults, and the limits checked.
    pub(crate) fn checked(mut self, plugin_id: &str) -> Result<Self, PluginError> {
        let defaults = Self::default();
        for (value, default) in [
            (&mut self.poll_interval_ms, defaults.poll_interval_ms),
            (&mut self.verifier_fetch_timeout_ms, defaults.verifier_fetch_timeout_ms),
            (&mut self.verifier_backoff_base_ms, defaults.verifier_backoff_base_ms),
            (&mut self.audit_query_timeout_ms, defaults.audit_query_timeout_ms),
            (&mut self.shadow_time_limit_ms, defaults.shadow_time_limit_ms),
            (&mut self.margin_interval_ms, defaults.margin_interval_ms),
        ] {
            *value = if *value == 0 { default } else { *value };
        }
        for (value, default) in [
            (&mut self.max_concurrent_reconstructs, defaults.max_concurrent_reconstructs),
            (&mut self.max_concurrent_verifications, defaults.max_concurrent_verifications),
            (&mut self.max_concurrent_publishes, defaults.max_concurrent_publishes),
            (&mut self.max_concurrent_serves, defaults.max_concurrent_serves),
            (&mut self.max_concurrent_shadows, defaults.max_concurrent_shadows),
        ] {
            *value = if *value == 0 { default } else { *value };
        }
        if self.verifier_fetch_attempts == 0 {
            self.verifier_fetch_attempts = defaults.verifier_fetch_attempts;
        }
        self.check_limits(plugin_id)?;
        Ok(self)
    }

    fn check_limits(&self, plugin_id: &str) -> Result<(), PluginError> {
        let concurrency_key = [
            ("max_concurrent_reconstructs", self.max_concurrent_reconstructs),
            ("max_concurrent_verifications", self.max_concurrent_verifications),
            ("max_concurrent_publishes", self.max_concurrent_publishes),
            ("max_concurrent_serves", self.max_concurrent_serves),
            ("max_concurrent_shadows", self.max_concurrent_shadows),
        ]
        .into_iter()
        .find(|(_, value)| *value > CONCURRENCY_MAX);
        let problem = if self.poll_interval_ms < POLL_INTERVAL_MS_MIN {
            Some(("poll_interval_ms", format!("write at least {POLL_INTERVAL_MS_MIN}")))
        } else if self.verifier_fetch_attempts > FETCH_ATTEMPTS_MAX {
            Some(("verifier_fetch_attempts", format!("write at most {FETCH_ATTEMPTS_MAX}")))
        } else {
            concurrency_key.map(|(key, _)| (key, format!("write at most {CONCURRENCY_MAX}")))
        };
        match problem {
            None => Ok(()),
            Some((key, reason)) => Err(PluginError::InvalidConfig {
                plugin_id: plugin_id.to_owned(),
                key: key.to_owned(),
                reason,
            }),
        }
    }

    pub(crate) const fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms)
    }

    pub(crate) const fn fetch_timeout(&self) -> Duration {
        Duration::from_millis(self.verifier_fetch_timeout_ms)
    }

    pub(crate) const fn query_timeout(&self) -> Duration {
        Duration::from_millis(self.audit_query_timeout_ms)
    }

    pub(crate) const fn shadow_time_limit(&self) -> Duration {
        Duration::from_millis(self.shadow_time_limit_ms)
    }

    pub(crate) const fn margin_interval(&self) -> Duration {
        Duration::from_millis(self.margin_interval_ms)
    }

    /// The wait after a failed attempt, counted from 0 (wire 5.1).
    pub(crate) fn backoff_after(&self, attempt: u32) -> Duration {
        Duration::from_millis(
            self.verifier_backoff_base_ms.saturating_mul(1 << attempt.min(FETCH_ATTEMPTS_MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_stand_for_the_defaults_and_limits_are_kept() {
        let zeros = Config {
            poll_interval_ms: 0,
            max_concurrent_reconstructs: 0,
            max_concurrent_verifications: 0,
            max_concurrent_publishes: 0,
            max_concurrent_serves: 0,
            max_concurrent_shadows: 0,
            shadow_time_limit_ms: 0,
            margin_interval_ms: 0,
            verifier_fetch_timeout_ms: 0,
            verifier_fetch_attempts: 0,
            verifier_backoff_base_ms: 0,
            audit_query_timeout_ms: 0,
        };
        assert_eq!(zeros.checked("self-healing"), Ok(Config::default()));
        let refused = [
            ("poll_interval_ms", Config { poll_interval_ms: 49, ..Config::default() }),
            ("verifier_fetch_attempts", Config { verifier_fetch_attempts: 17, ..Config::default() }),
            ("max_concurrent_serves", Config { max_concurrent_serves: 65, ..Config::default() }),
        ];
        for (key, config) in refused {
            let error = config.checked("self-healing");
            assert!(
                matches!(&error, Err(PluginError::InvalidConfig { key: named, .. }) if named == key),
                "{key}: {error:?}"
            );
        }
        assert!(Config { poll_interval_ms: 50, ..Config::default() }.checked("self-healing").is_ok());
    }

    #[test]
    fn waits_double() {
        let config = Config::default();
        let seconds: Vec<u64> = (0..3).map(|attempt| config.backoff_after(attempt).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8]);
    }

    #[test]
    fn the_defaults_are_those_of_the_protocol() {
        // Wire 5.1.
        let defaults = Config::default();
        assert_eq!(defaults.poll_interval(), Duration::from_secs(30));
        assert_eq!(
            (
                defaults.max_concurrent_reconstructs,
                defaults.max_concurrent_verifications,
                defaults.max_concurrent_publishes,
            ),
            (2, 4, 2)
        );
        assert_eq!(
            (defaults.fetch_timeout(), defaults.verifier_fetch_attempts),
            (Duration::from_secs(60), 3)
        );
        assert_eq!(defaults.query_timeout(), Duration::from_secs(10));
    }
}
