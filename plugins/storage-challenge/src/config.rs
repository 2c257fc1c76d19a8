//! What an operator may set.

use lampkeeper_plugin_sdk::prelude::*;
use std::time::Duration;

/// What a probe asks of an artifact. Every request stays within the chain's caps and this node's own (wire 3.3): at most 16
/// ranges and 16,384 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", rename_all = "kebab-case")]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub enum ProbeShape {
    /// As many ranges as a canonical challenge has, drawn anew for each artifact.
    #[default]
    Ranges,
    /// One range: the cheapest proof that an artifact is there, for many artifacts.
    OneRange,
    /// Every byte of artifacts of up to 65,536 bytes, in as many requests as the caps make it (64 with the chain's
    /// defaults, 4 at most permissive); of longer ones the ranges of a canonical challenge.
    WholeArtifact,
}

/// Configuration of the challenger and of the side that answers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// How often the chain is looked at for a new epoch, in milliseconds.
    #[schemars(range(min = 10, max = 600_000))]
    pub poll_interval_ms: u64,
    /// How long a target has for one answer, in milliseconds.
    #[schemars(range(min = 10, max = 600_000))]
    pub answer_timeout_ms: u64,
    /// How long to wait before a target that failed is asked again, in milliseconds.
    #[schemars(range(min = 1, max = 600_000))]
    pub retry_delay_ms: u64,
    /// Targets that are challenged at once.
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrent_targets: u32,
    /// How long everything about one target may take in an epoch, in milliseconds. What is not done by then is begun anew.
    #[schemars(range(min = 10, max = 86_400_000))]
    pub target_deadline_ms: u64,
    /// Artifacts of each target that are probed in an epoch beyond the two canonical challenges.
    #[schemars(range(min = 0, max = 100_000))]
    pub probes_per_target: u32,
    /// What each probe asks for: `ranges`, `one-range` or `whole-artifact`.
    pub probe_shape: ProbeShape,
    /// Probes of one target that are under way at once.
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrent_probes: u32,
    /// Time after which no further probe of an epoch is begun, in milliseconds.
    #[schemars(range(min = 10, max = 86_400_000))]
    pub probe_time_budget_ms: u64,
    /// Rows about failed probes in one report.
    #[schemars(range(min = 0, max = 14))]
    pub max_probe_rows: u32,
    /// Blocks that a target has to receive what was registered, or fell to it, before it is asked for it.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub grace_blocks: u64,
    /// Copies that the network keeps of each artifact; must be what the network plugin uses.
    #[schemars(range(min = 1, max = 64))]
    pub replica_count: u32,
    /// Epochs for which challenges and evidence are remembered, before the present one.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub history_epochs: u64,
    /// Challenges that are remembered; the oldest are forgotten first.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub history_challenges_max: u64,
    /// Pieces of evidence that are kept, of up to 1 MiB and usually 30 KiB each; the oldest are removed first.
    #[schemars(range(min = 0, max = 10_000))]
    pub evidence_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll_interval_ms: 5_000,
            answer_timeout_ms: 10_000,
            retry_delay_ms: 2_000,
            max_concurrent_targets: 4,
            target_deadline_ms: 600_000,
            probes_per_target: 16,
            probe_shape: ProbeShape::default(),
            max_concurrent_probes: 4,
            probe_time_budget_ms: 60_000,
            max_probe_rows: 4,
            grace_blocks: 30,
            replica_count: 6,
            history_epochs: 90,
            history_challenges_max: 20_000,
            evidence_max: 500,
        }
    }
}

impl Config {
    pub(crate) const fn answer_timeout(&self) -> Duration {
        Duration::from_millis(self.answer_timeout_ms)
    }

    pub(crate) const fn retry_delay(&self) -> Duration {
        Duration::from_millis(self.retry_delay_ms)
    }

    pub(crate) const fn target_deadline(&self) -> Duration {
        Duration::from_millis(self.target_deadline_ms)
    }

    pub(crate) const fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms)
    }

    pub(crate) const fn probe_time_budget(&self) -> Duration {
        Duration::from_millis(self.probe_time_budget_ms)
    }
}
