//! Supervised background work.
//!
//! Owns the [`Service`] seam. When a service starts, how it is restarted and how long it may take to drain is the
//! supervisor's business (core).

use crate::cancel::Cancel;
use crate::transport::Route;
use lampkeeper_api_macros::seam;
use serde::{Deserialize, Serialize};

/// How a service is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// Working.
    Ok,
    /// Working, but something needs attention.
    Degraded {
        /// What, for people.
        reason: String,
    },
    /// Not working.
    Failed {
        /// Why, for people.
        reason: String,
    },
}

/// Why a service stopped by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Starting again may help; the supervisor waits longer each time.
    #[error("{0}")]
    Retry(String),
    /// Starting again will not help until an operator changes something.
    #[error("{0}")]
    Fatal(String),
}

impl ServiceError {
    /// Whether the supervisor should start the service again.
    #[must_use]
    pub const fn is_worth_a_restart(&self) -> bool {
        match self {
            Self::Retry(_) => true,
            Self::Fatal(_) => false,
        }
    }
}

/// A background task of a node.
///
/// `run` is called on a task of its own after everything that the plugin needs has started. It returns `Ok` soon after
/// `shutdown` is given: it takes no new work, finishes or safely abandons what it has begun, and leaves in the journal
/// what a restart needs. An `Err` or a panic leads to a restart with growing pauses, unless it is fatal; `run` may thus
/// be called again on the same object, never twice at once.
#[seam("service")]
pub trait Service: Send + Sync {
    /// The name in logs, metrics and `status`: that of the plugin, unless it has several services.
    #[seam(live)]
    fn name(&self) -> &str;
    /// The calls that this service answers. Read once, before anything runs; they are answered until the node stops.
    #[seam(live)]
    fn routes(&self) -> Vec<Route> {
        Vec::new()
    }
    /// Works until `shutdown` is given.
    async fn run(&self, shutdown: Cancel) -> Result<(), ServiceError>;
    /// How it is doing; cheap.
    fn health(&self) -> Health {
        Health::Ok
    }
}
