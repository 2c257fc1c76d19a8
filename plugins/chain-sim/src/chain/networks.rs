//! The shared chains of this process, by the name of their network.
//!
//! Owns how a plugin finds the chain that the embedding program made: a devnet registers one chain and starts many nodes
//! whose configuration names it. In a plugin that was loaded from a library the list is the library's own.

use super::SimChain;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

static NETWORKS: Mutex<BTreeMap<String, Weak<SimChain>>> = Mutex::new(BTreeMap::new());

/// A name that is taken already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a simulated network named {network:?} exists in this process already: choose another name")]
pub struct NetworkTaken {
    /// The name.
    pub network: String,
}

/// Keeps a name registered; dropping it gives the name back.
#[derive(Debug)]
pub struct NetworkGuard {
    network: String,
    chain: Arc<SimChain>,
}

impl NetworkGuard {
    /// The chain behind the name.
    #[must_use]
    pub const fn chain(&self) -> &Arc<SimChain> {
        &self.chain
    }
}

impl Drop for NetworkGuard {
    fn drop(&mut self) {
        NETWORKS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.network);
    }
}

/// Makes a chain known under a name, for as long as the guard lives.
///
/// # Errors
/// The name is taken.
pub fn register_network(network: &str, chain: &Arc<SimChain>) -> Result<NetworkGuard, NetworkTaken> {
    let mut networks = NETWORKS.lock().unwrap_or_else(PoisonError::into_inner);
    if networks.get(network).is_some_and(|taken| taken.strong_count() > 0) {
        return Err(NetworkTaken { network: network.to_owned() });
    }
    networks.insert(network.to_owned(), Arc::downgrade(chain));
    Ok(NetworkGuard { network: network.to_owned(), chain: Arc::clone(chain) })
}

/// The chain under a name.
#[must_use]
pub fn find_network(network: &str) -> Option<Arc<SimChain>> {
    NETWORKS.lock().unwrap_or_else(PoisonError::into_inner).get(network)?.upgrade()
}
