//! The tables of a manifest that are not a plugin's own.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The node itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeSection {
    /// The node's name in logs, metrics and `status`.
    #[schemars(length(min = 1, max = 64), extend("examples" = ["n1"]))]
    pub name: String,
    /// The chain id of the network that the node belongs to.
    #[schemars(length(min = 1, max = 64), extend("examples" = ["devnet-1"]))]
    pub network: String,
    /// Where the node keeps its data; a relative path starts at the manifest's folder.
    #[schemars(length(min = 1), extend("examples" = ["./data"]))]
    pub data_dir: PathBuf,
}

/// The node's key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdentitySection {
    /// The file with the node's secret key; a relative path starts at the manifest's folder.
    #[schemars(length(min = 1))]
    pub key_file: PathBuf,
    /// The file with the passphrase of an encrypted key; a relative path starts at the manifest's folder. Without it the
    /// environment variable `LAMPKEEPER_PASSPHRASE` is read, and then whoever sits at the terminal is asked.
    #[schemars(extend("examples" = ["passphrase"]))]
    pub passphrase_file: Option<PathBuf>,
}

impl Default for IdentitySection {
    fn default() -> Self {
        Self { key_file: PathBuf::from("key.json"), passphrase_file: None }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// Which records: a level, or levels for parts, such as `info,lampkeeper_core=debug`.
    pub filter: String,
    /// How records look.
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How log records look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Who can read the node's metrics besides its owner.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// The address at which `GET /metrics` answers in the text format of Prometheus, to everybody who reaches it. Without
    /// it nobody is answered there, and `lampkeeper metrics` prints the same.
    #[schemars(with = "Option<String>", extend("examples" = ["127.0.0.1:9464"]))]
    pub listen: Option<SocketAddr>,
}

/// Where a plugin's code comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Linked into the node.
    #[default]
    Static,
    /// A shared library.
    Native,
    /// A process of its own.
    Process,
}

impl Tier {
    /// The word in manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Native => "native",
            Self::Process => "process",
        }
    }
}

/// How failing services are restarted and how long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SupervisionSection {
    /// The pause before the first restart of a service, in milliseconds; it doubles with every failure in a row.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub restart_backoff_min_ms: u64,
    /// The longest pause before a restart, in milliseconds.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub restart_backoff_max_ms: u64,
    /// After how many failures in a row a service is left stopped, until the node restarts.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub quarantine_after_failures: u32,
    /// How long a service has to work for its earlier failures to be forgotten, in milliseconds.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub healthy_after_ms: u64,
    /// How long the making of one plugin may take, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub start_timeout_ms: u64,
    /// How long running calls, and then services, may take to end when the node stops, in milliseconds.
    #[schemars(range(min = 0, max = 3_600_000))]
    pub drain_timeout_ms: u64,
    /// How long one plugin may take to close, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub close_timeout_ms: u64,
    /// How long a plugin may hold a worker thread in one go before a warning names it, in milliseconds; 0 for no warning.
    #[schemars(range(min = 0, max = 3_600_000))]
    pub thread_hold_max_ms: u64,
    /// After how many panics within `panic_window_ms` a plugin is no longer called, until the node restarts.
    #[schemars(range(min = 1, max = 10_000))]
    pub quarantine_after_panics: u32,
    /// The time within which panics of a plugin are counted, in milliseconds.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub panic_window_ms: u64,
}

impl Default for SupervisionSection {
    fn default() -> Self {
        Self {
            restart_backoff_min_ms: 500,
            restart_backoff_max_ms: 60_000,
            quarantine_after_failures: 10,
            healthy_after_ms: 300_000,
            start_timeout_ms: 60_000,
            drain_timeout_ms: 30_000,
            close_timeout_ms: 10_000,
            thread_hold_max_ms: 1_000,
            quarantine_after_panics: 5,
            panic_window_ms: 600_000,
        }
    }
}

impl SupervisionSection {
    pub(crate) const fn start_timeout(self) -> Duration {
        Duration::from_millis(self.start_timeout_ms)
    }

    pub(crate) const fn drain_timeout(self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }

    pub(crate) const fn close_timeout(self) -> Duration {
        Duration::from_millis(self.close_timeout_ms)
    }
}

/// Everything but the plugins and the choices, as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sections {
    /// The node itself.
    pub(super) node: NodeSection,
    /// The node's key.
    #[serde(default)]
    pub(super) identity: IdentitySection,
    /// What is logged, and how.
    #[serde(default)]
    pub(super) log: LogSection,
    /// Who can read the node's metrics besides its owner.
    #[serde(default)]
    pub(super) metrics: MetricsSection,
    /// How failing services are restarted and how long things may take.
    #[serde(default)]
    pub(super) supervision: SupervisionSection,
    /// The plugins that the node runs, each a table under its id.
    #[serde(default)]
    pub(super) plugins: BTreeMap<String, PluginTable>,
    /// Which plugin provides a seam, where several could.
    #[serde(default)]
    pub(super) provide: BTreeMap<String, String>,
    /// What is put in front of seams, for tests.
    #[serde(default)]
    pub(super) inject: Vec<super::inject::InjectTable>,
}

/// One plugin, as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginTable {
    /// Whether the plugin runs.
    #[serde(default = "enabled")]
    pub(super) enabled: bool,
    /// Where its code comes from.
    #[serde(default)]
    pub(super) tier: Tier,
    /// The library of a native plugin; a relative path starts at the manifest's folder.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(super) path: Option<PathBuf>,
    /// The BLAKE3 of the library of a native plugin, in hex: other bytes are not loaded.
    #[serde(default)]
    #[schemars(length(min = 64, max = 64))]
    pub(super) blake3: Option<String>,
    /// Its own configuration.
    #[serde(default)]
    pub(super) config: serde_json::Map<String, serde_json::Value>,
    /// The seams that it may be given at most; without this key a static plugin is given all that it declares.
    #[serde(default)]
    #[schemars(schema_with = "super::grants::schema", extend("examples" = [["chain:read", "store"]]))]
    #[expect(dead_code, reason = "only its shape is checked here; the plan has what follows from it")]
    pub(super) grants: Option<Vec<String>>,
}

const fn enabled() -> bool {
    true
}
