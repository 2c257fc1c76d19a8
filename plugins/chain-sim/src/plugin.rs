//! The simulated chain as a plugin: a client of the network that the configuration names.
//!
//! Owns the configuration. A network that the embedding program registered
//! ([`register_network`]) is joined; otherwise the plugin may make one of its own.

use crate::address;
use crate::api::BoxFuture;
use crate::api::chain::{Params, SupernodeState};
use crate::api::plugin::{Close, PluginContext, PluginError, Provided};
use crate::chain::{NetworkGuard, SimChain, SimChainOptions, find_network, params_with, register_network};
use crate::injection::InjectionPlan;
use crate::state::supernodes::{AddressRecord, SupernodeRecord};
use crate::state::{ChainConfig, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The least time between two blocks, in milliseconds.
const BLOCK_INTERVAL_MS_MIN: u64 = 1;

/// What an operator or tester may set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChainSimConfig {
    /// The network to join: the name under which the embedding program registered its chain.
    pub network: String,
    /// Whether to make a network of this name if the process has none.
    pub create: bool,
    /// Of a network that is made: what its block hashes are drawn from.
    pub seed: u64,
    /// Of a network that is made: time between two blocks, in milliseconds.
    pub block_interval_ms: u64,
    /// Of a network that is made: values of the audit module's parameters by name; the others keep their defaults.
    pub params: BTreeMap<String, serde_json::Value>,
    /// Of a network that is made: its supernodes, registered from the start.
    pub supernodes: Vec<SupernodeEntry>,
    /// What is to go wrong; added to what the network has.
    pub injections: InjectionPlan,
}

impl Default for ChainSimConfig {
    fn default() -> Self {
        Self {
            network: "devnet".to_owned(),
            create: true,
            seed: 0,
            block_interval_ms: 1000,
            params: BTreeMap::new(),
            supernodes: Vec::new(),
            injections: InjectionPlan::default(),
        }
    }
}

/// A supernode of a network that is made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SupernodeEntry {
    /// Its account.
    pub account: String,
    /// Where it listens, `host` or `host:port`.
    pub address: String,
}

impl ChainSimConfig {
    /// The state of the network that the configuration describes.
    ///
    /// # Errors
    /// The key that does not fit, and why.
    pub fn genesis(&self, chain_id: &str, genesis_time_ms: i64) -> Result<State, (String, String)> {
        let params = params_with(&Params::default(), self.params.clone())
            .map_err(|reason| ("params".to_owned(), reason))?
            .with_defaults();
        crate::params::validate(&params).map_err(|reason| ("params".to_owned(), reason))?;
        let mut state = State::new(ChainConfig {
            chain_id: chain_id.to_owned(),
            seed: self.seed,
            genesis_time_ms,
            params,
            ..ChainConfig::default()
        });
        for (index, entry) in self.supernodes.iter().enumerate() {
            let Some(operator) = address::operator_of_account(&entry.account) else {
                let reason =
                    format!("{:?} is not a bech32 account of {}", entry.account, address::ACCOUNT_PREFIX);
                return Err((format!("supernodes[{index}].account"), reason));
            };
            state.bank.account_mut(&entry.account);
            let mut record = SupernodeRecord::planted(&operator, &entry.account, SupernodeState::Active, 0);
            record.prev_ip_addresses.push(AddressRecord { address: entry.address.clone(), height: 0 });
            state.supernode.supernodes.insert(record);
        }
        Ok(state)
    }
}

/// Stops the network that the plugin made, and gives its name back.
struct OwnNetwork(NetworkGuard);

impl Close for OwnNetwork {
    fn close(&self) -> BoxFuture<'_, Result<(), String>> {
        self.0.chain().stop();
        Box::pin(std::future::ready(Ok(())))
    }
}

async fn construct(context: PluginContext, config: ChainSimConfig) -> Result<Provided, PluginError> {
    let mut provided = Provided::default();
    let chain = match find_network(&config.network) {
        Some(chain) => chain,
        None if config.create => {
            let guard = create(&context, &config)?;
            let chain = Arc::clone(guard.chain());
            provided.close = Some(Arc::new(OwnNetwork(guard)));
            chain
        }
        None => {
            let reason = format!(
                "no simulated network named {:?} exists in this process; register one or set `create = true`",
                config.network
            );
            return Err(PluginError::CannotStart { plugin_id: context.plugin_id, reason });
        }
    };
    chain.inject(config.injections);
    provided.chain = Some(Arc::new(chain.client(&context.node.account)));
    Ok(provided)
}

fn create(context: &PluginContext, config: &ChainSimConfig) -> Result<NetworkGuard, PluginError> {
    let invalid = |(key, reason): (String, String)| PluginError::InvalidConfig {
        plugin_id: context.plugin_id.clone(),
        key,
        reason,
    };
    if config.block_interval_ms < BLOCK_INTERVAL_MS_MIN {
        let reason = format!("must be at least {BLOCK_INTERVAL_MS_MIN}");
        return Err(invalid(("block_interval_ms".to_owned(), reason)));
    }
    let scheduler = context.scheduler()?;
    let state = config.genesis(&context.node.chain_id, scheduler.wall_clock_ms()).map_err(invalid)?;
    let options =
        SimChainOptions { block_interval_ms: config.block_interval_ms, ..SimChainOptions::default() };
    let chain = SimChain::new(state, options, scheduler);
    // Another plugin may have made the network since it was looked for.
    let guard = register_network(&config.network, &chain).map_err(|error| PluginError::CannotStart {
        plugin_id: context.plugin_id.clone(),
        reason: error.to_string(),
    })?;
    chain.start();
    Ok(guard)
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "chain-sim",
    summary: "A simulated chain that many nodes of one process share.",
    provides: [ChainSubmit],
    needs: [required Scheduler],
    config: ChainSimConfig,
    construct: construct,
}
