//! Why a node did not start.

use lampkeeper_api::plugin::{PluginError, Seam};
use lampkeeper_api::transport::CallError;

/// What kind of trouble it is; programs choose their exit code by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartErrorKind {
    /// The manifest has to be changed.
    Configuration,
    /// Something around the node is not as it should be: a disk, a port, a lock, a peer.
    Environment,
    /// A plugin, or the program around it, has a defect.
    Defect,
}

/// Why a node did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A plugin could not be made.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// Making a plugin took too long.
    #[error("plugin {plugin_id} did not start within {timeout_ms} ms")]
    TimedOut {
        /// The plugin.
        plugin_id: String,
        /// The time it had.
        timeout_ms: u64,
    },
    /// A plugin does not provide what it says it does.
    #[error(
        "plugin {plugin_id} declares that it provides `{seam}` and did not: this is a defect of the plugin"
    )]
    NotProvided {
        /// The plugin, or `host`.
        plugin_id: String,
        /// The seam.
        seam: Seam,
    },
    /// A plugin provides what it did not declare.
    #[error(
        "plugin {plugin_id} provides `{seam}` without having declared it: this is a defect of the plugin"
    )]
    NotDeclared {
        /// The plugin.
        plugin_id: String,
        /// The seam.
        seam: Seam,
    },
    /// The manifest was parsed with another registry.
    #[error("the plan names plugin {plugin_id}, which the registry does not have")]
    NotRegistered {
        /// The plugin.
        plugin_id: String,
    },
    /// Two plugins answer the same call.
    #[error("plugins {first_id} and {second_id} both answer {path}; turn one of them off")]
    DuplicateRoute {
        /// The path.
        path: String,
        /// Who has it.
        first_id: String,
        /// Who wants it too; may be the same.
        second_id: String,
    },
    /// There are calls to answer, and nobody to receive them.
    #[error("plugin {plugin_id} answers {path}, but no enabled plugin provides `transport`; enable one")]
    NoTransport {
        /// The plugin.
        plugin_id: String,
        /// One of its paths.
        path: String,
    },
    /// The transport could not start to answer calls.
    #[error("serving calls failed: {0}")]
    Serve(CallError),
    /// What the manifest injects can't be: a file that can't be written, or is no recording.
    #[error("{reason}")]
    Injection {
        /// Which injection, and why not.
        reason: String,
    },
    /// A plugin panicked when it was asked for something.
    #[error("plugin {plugin_id} panicked when asked for {what}: {message}")]
    Panicked {
        /// The plugin.
        plugin_id: String,
        /// What it was asked for.
        what: &'static str,
        /// What it said.
        message: String,
    },
}

impl StartError {
    /// What kind of trouble it is.
    #[must_use]
    pub const fn kind(&self) -> StartErrorKind {
        match self {
            Self::Plugin(PluginError::InvalidConfig { .. })
            | Self::DuplicateRoute { .. }
            | Self::NoTransport { .. } => StartErrorKind::Configuration,
            Self::Serve(CallError::Unavailable { .. }) => StartErrorKind::Defect,
            Self::TimedOut { .. } | Self::Serve(_) | Self::Injection { .. } => StartErrorKind::Environment,
            Self::Plugin(PluginError::MissingSeam { .. } | PluginError::Panicked { .. })
            | Self::NotProvided { .. }
            | Self::NotDeclared { .. }
            | Self::NotRegistered { .. }
            | Self::Panicked { .. } => StartErrorKind::Defect,
            // `CannotStart`, and what later versions of the seams may add.
            Self::Plugin(_) => StartErrorKind::Environment,
        }
    }
}
