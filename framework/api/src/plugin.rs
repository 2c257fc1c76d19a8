//! What a plugin is: a descriptor, and a constructor that turns a context into provided seams.
//!
//! Owns the types that the registry, the resolver and the loader work with. Reading the manifest, resolving needs and
//! starting things is core's business.

use crate::chain::{ChainClient, ChainReader};
use crate::challenge::Challenger;
use crate::heal::HealStrategy;
use crate::journal::Journal;
use crate::network::ArtifactNetwork;
use crate::scheduler::Scheduler;
use crate::service::Service;
use crate::signer::Signer;
use crate::staging::Staging;
use crate::store::ArtifactStore;
use crate::telemetry::Telemetry;
use crate::transport::{CallerMint, Transport};
use crate::{Account, BoxFuture};
use lampkeeper_api_macros::seam;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Something that one plugin provides and another may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Seam {
    /// Reading the chain.
    ChainRead,
    /// Reading the chain and submitting to it.
    ChainSubmit,
    /// The artifact store.
    Store,
    /// The staging area of heal operations.
    Staging,
    /// The journal.
    Journal,
    /// Calls between nodes.
    Transport,
    /// The replica network.
    Network,
    /// Time and spawned work.
    Scheduler,
    /// The node's key.
    Signer,
    /// A heal strategy.
    HealStrategy,
    /// A second heal strategy that is only compared with the first; provided by any heal strategy that the manifest
    /// chooses for it.
    HealShadow,
    /// Making a single challenge.
    Challenger,
    /// A background service. Never needed, only provided.
    Service,
}

impl Seam {
    /// Every seam.
    pub const ALL: [Self; 13] = [
        Self::ChainRead,
        Self::ChainSubmit,
        Self::Store,
        Self::Staging,
        Self::Journal,
        Self::Transport,
        Self::Network,
        Self::Scheduler,
        Self::Signer,
        Self::HealStrategy,
        Self::HealShadow,
        Self::Challenger,
        Self::Service,
    ];

    /// The name in manifests and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChainRead => "chain:read",
            Self::ChainSubmit => "chain:submit",
            Self::Store => "store",
            Self::Staging => "staging",
            Self::Journal => "journal",
            Self::Transport => "transport",
            Self::Network => "network",
            Self::Scheduler => "scheduler",
            Self::Signer => "signer",
            Self::HealStrategy => "heal-strategy",
            Self::HealShadow => "heal-shadow",
            Self::Challenger => "challenger",
            Self::Service => "service",
        }
    }

    /// Whether the seam is there only if the manifest chooses a provider for it, however many could be one.
    #[must_use]
    pub const fn is_there_by_choice_only(self) -> bool {
        matches!(self, Self::HealShadow)
    }

    /// Whether a provider of `provided` satisfies a need of `self`: whoever submits can also read, and every heal
    /// strategy can be a shadow.
    #[must_use]
    pub const fn is_satisfied_by(self, provided: Self) -> bool {
        match (self, provided) {
            (Self::ChainRead, Self::ChainSubmit) | (Self::HealShadow, Self::HealStrategy) => true,
            _ => self as u8 == provided as u8,
        }
    }
}

impl fmt::Display for Seam {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A seam that a plugin can't work without, or can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The seam.
    pub seam: Seam,
    /// Whether the plugin works without it.
    pub optional: bool,
}

impl Need {
    /// A seam that must be there.
    #[must_use]
    pub const fn required(seam: Seam) -> Self {
        Self { seam, optional: false }
    }

    /// A seam that is used if it is there.
    #[must_use]
    pub const fn optional(seam: Seam) -> Self {
        Self { seam, optional: true }
    }
}

/// Builds a plugin's seams from its context.
pub type Constructor = fn(PluginContext) -> BoxFuture<'static, Result<Provided, PluginError>>;

/// Everything the host has to know of a plugin before it runs any of it.
#[derive(Clone)]
pub struct PluginDescriptor {
    /// Unique among the plugins of a node: lower-case words with hyphens, such as `storage-fs`.
    pub id: String,
    /// The plugin's version.
    pub version: String,
    /// One line for `plugins list`.
    pub summary: String,
    /// What it provides.
    pub provides: Vec<Seam>,
    /// What it needs.
    pub needs: Vec<Need>,
    /// JSON Schema of its configuration table, as text.
    pub config_schema: String,
    /// Makes it.
    pub construct: Constructor,
}

impl fmt::Debug for PluginDescriptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PluginDescriptor")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("provides", &self.provides)
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}

/// A plugin that was linked into this image; submitted by the SDK's `register_plugin!`.
pub struct StaticPlugin {
    /// Makes the descriptor.
    pub describe: fn() -> PluginDescriptor,
}

inventory::collect!(StaticPlugin);

impl StaticPlugin {
    /// The plugins of this image, in no particular order.
    pub fn all() -> impl Iterator<Item = PluginDescriptor> {
        inventory::iter::<Self>.into_iter().map(|plugin| (plugin.describe)())
    }
}

#[doc(hidden)]
pub use inventory;

/// What a plugin may know of the node it runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node's name in logs.
    pub name: String,
    /// Its account.
    pub account: Account,
    /// The network it belongs to.
    pub chain_id: String,
    /// Where it keeps its data; relative paths of a configuration start here.
    pub data_dir: PathBuf,
}

/// The seams that a plugin provides. Absent ones are `None`.
#[derive(Clone, Default)]
pub struct Provided {
    /// Reading the chain, for a client that can't submit.
    pub chain_reader: Option<Arc<dyn ChainReader>>,
    /// Reading the chain and submitting to it.
    pub chain: Option<Arc<dyn ChainClient>>,
    /// The artifact store.
    pub store: Option<Arc<dyn ArtifactStore>>,
    /// The staging area.
    pub staging: Option<Arc<dyn Staging>>,
    /// The journal.
    pub journal: Option<Arc<dyn Journal>>,
    /// Calls between nodes.
    pub transport: Option<Arc<dyn Transport>>,
    /// The replica network.
    pub network: Option<Arc<dyn ArtifactNetwork>>,
    /// Time and spawned work.
    pub scheduler: Option<Arc<dyn Scheduler>>,
    /// The node's key.
    pub signer: Option<Arc<dyn Signer>>,
    /// A heal strategy.
    pub heal_strategy: Option<Arc<dyn HealStrategy>>,
    /// A second heal strategy; granted where the manifest chose one, never provided under this name.
    pub heal_shadow: Option<Arc<dyn HealStrategy>>,
    /// Making a single challenge.
    pub challenger: Option<Arc<dyn Challenger>>,
    /// Background services.
    pub services: Vec<Arc<dyn Service>>,
    /// Called once when the node stops, after every plugin that needs this one has stopped.
    pub close: Option<Arc<dyn Close>>,
}

impl Provided {
    /// The seams that are there.
    #[must_use]
    pub fn seams(&self) -> Vec<Seam> {
        [
            (Seam::ChainRead, self.chain_reader.is_some()),
            (Seam::ChainSubmit, self.chain.is_some()),
            (Seam::Store, self.store.is_some()),
            (Seam::Staging, self.staging.is_some()),
            (Seam::Journal, self.journal.is_some()),
            (Seam::Transport, self.transport.is_some()),
            (Seam::Network, self.network.is_some()),
            (Seam::Scheduler, self.scheduler.is_some()),
            (Seam::Signer, self.signer.is_some()),
            (Seam::HealStrategy, self.heal_strategy.is_some()),
            (Seam::Challenger, self.challenger.is_some()),
            (Seam::Service, !self.services.is_empty()),
        ]
        .into_iter()
        .filter_map(|(seam, there)| there.then_some(seam))
        .collect()
    }
}

/// Gives back what a provider holds: files, connections, locks.
#[seam("close")]
pub trait Close: Send + Sync {
    /// Flushes and closes. Called once; errors are for the log.
    fn close(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// What a plugin is given: its configuration and the seams that it declared as needed, and no others.
///
/// In the static and native tiers that is discipline, not a sandbox: code in the same process can reach further if it
/// wants to.
#[derive(Clone)]
pub struct PluginContext {
    /// The plugin's id.
    pub plugin_id: String,
    /// The node.
    pub node: NodeInfo,
    /// The plugin's configuration as JSON text; it has been checked against the schema.
    pub config_json: String,
    /// The seams that were granted.
    pub seams: Provided,
    /// Where to tell what happens.
    pub telemetry: Arc<dyn Telemetry>,
    /// The right to name callers; only for a plugin that provides a transport.
    pub caller_mint: Option<CallerMint>,
}

macro_rules! granted {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $seam:expr;)+) => {
        impl PluginContext {
            $($(#[$doc])*
            ///
            /// # Errors
            /// If the plugin did not declare the seam as needed, or declared it optional and it is not there.
            pub fn $name(&self) -> Result<Arc<$type>, PluginError> {
                self.seams.$name.clone().ok_or_else(|| self.missing($seam))
            })+
        }
    };
}

granted! {
    /// Reading the chain and submitting to it.
    chain: dyn ChainClient, Seam::ChainSubmit;
    /// The artifact store.
    store: dyn ArtifactStore, Seam::Store;
    /// The staging area.
    staging: dyn Staging, Seam::Staging;
    /// The journal.
    journal: dyn Journal, Seam::Journal;
    /// Calls between nodes.
    transport: dyn Transport, Seam::Transport;
    /// The replica network.
    network: dyn ArtifactNetwork, Seam::Network;
    /// Time and spawned work.
    scheduler: dyn Scheduler, Seam::Scheduler;
    /// The node's key.
    signer: dyn Signer, Seam::Signer;
    /// The heal strategy that the manifest chose.
    heal_strategy: dyn HealStrategy, Seam::HealStrategy;
    /// Making a single challenge.
    challenger: dyn Challenger, Seam::Challenger;
}

impl PluginContext {
    /// Reading the chain.
    ///
    /// # Errors
    /// If the plugin declared neither `chain:read` nor `chain:submit`.
    pub fn chain_reader(&self) -> Result<Arc<dyn ChainReader>, PluginError> {
        let reader = self.seams.chain_reader.clone();
        reader
            .or_else(|| self.seams.chain.clone().map(|chain| chain as Arc<dyn ChainReader>))
            .ok_or_else(|| self.missing(Seam::ChainRead))
    }

    fn missing(&self, seam: Seam) -> PluginError {
        PluginError::MissingSeam { plugin_id: self.plugin_id.clone(), seam }
    }
}

/// Why a plugin could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// A seam is used that was not declared, or is not there.
    #[error(
        "plugin {plugin_id} uses the seam `{seam}` without having been given it: declare it in its needs"
    )]
    MissingSeam {
        /// The plugin.
        plugin_id: String,
        /// The seam.
        seam: Seam,
    },
    /// The configuration is not acceptable.
    #[error("plugin {plugin_id}: {key}: {reason}")]
    InvalidConfig {
        /// The plugin.
        plugin_id: String,
        /// The key in its table.
        key: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// It could not open what it needs.
    #[error("plugin {plugin_id} can't start: {reason}")]
    CannotStart {
        /// The plugin.
        plugin_id: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Its constructor panicked.
    #[error("plugin {plugin_id} panicked while starting: {message}")]
    Panicked {
        /// The plugin.
        plugin_id: String,
        /// What it said.
        message: String,
    },
}
