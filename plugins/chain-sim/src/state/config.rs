//! What a chain starts from, and the parameters of the two modules around the audit module.

use crate::api::chain::Params;
use serde::{Deserialize, Serialize};

/// What a new chain is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChainConfig {
    /// The network.
    pub chain_id: String,
    /// What block hashes are drawn from: the same seed and messages make the same chain.
    pub seed: u64,
    /// Time before the first block, in milliseconds since 1970.
    pub genesis_time_ms: i64,
    /// The audit module's parameters; zeros take their defaults.
    pub params: Params,
    /// The supernode module's parameters.
    pub supernode_params: SupernodeParams,
    /// The action module's parameters.
    pub action_params: ActionParams,
}

impl Default for ChainConfig {
    fn default() -> Self {
        Self {
            chain_id: "lampkeeper-sim".to_owned(),
            seed: 0,
            genesis_time_ms: 1_700_000_000_000,
            params: Params::default(),
            supernode_params: SupernodeParams::default(),
            action_params: ActionParams::default(),
        }
    }
}

/// The supernode module's parameters that any rule here reads (chain Appendix B).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupernodeParams {
    /// Least delegation of a supernode, in ulume.
    pub minimum_stake_for_sn_ulume: u64,
    /// Disk usage above which a node is STORAGE_FULL, in percent.
    pub max_storage_usage_percent: u64,
    /// Ports that a supernode must have open.
    pub required_open_ports: Vec<u32>,
    /// Oldest version of a supernode.
    pub min_supernode_version: String,
    /// Blocks for which metrics are fresh.
    pub metrics_freshness_max_blocks: u64,
    /// Blocks between two payouts.
    pub payment_period_blocks: u64,
    /// Share of each action's price for the reward pool, in ten-thousandths.
    pub registration_fee_share_bps: u64,
    /// Least bytes that a paid node holds.
    pub min_cascade_bytes_for_payment: u64,
}

impl Default for SupernodeParams {
    fn default() -> Self {
        Self {
            minimum_stake_for_sn_ulume: 0,
            max_storage_usage_percent: 90,
            required_open_ports: vec![4444, 4445, 8002],
            min_supernode_version: "2.0.0".to_owned(),
            metrics_freshness_max_blocks: 5000,
            payment_period_blocks: 100_800,
            registration_fee_share_bps: 200,
            min_cascade_bytes_for_payment: 1 << 30,
        }
    }
}

/// The action module's parameters (chain Appendix C).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActionParams {
    /// Price of any action, in ulume.
    pub base_action_fee_ulume: u64,
    /// Price of each KiB, in ulume.
    pub fee_per_kbyte_ulume: u64,
    /// Index id files of a cascade action.
    pub max_raptor_q_symbols: u64,
    /// Least time between the block and an action's expiration, in seconds.
    pub expiration_duration_s: i64,
    /// Share of an action's price for the community pool, in ten-thousandths.
    pub foundation_fee_share_bps: u64,
    /// Chunks that a commitment challenges at most.
    pub svc_challenge_count: u32,
    /// Least chunks of a commitment.
    pub svc_min_chunks_for_challenge: u32,
    /// Actions that a block may register; no rule here reads it.
    pub max_actions_per_block: u64,
    /// Supernodes that an action needs; no rule here reads it.
    pub min_super_nodes: u64,
    /// Fingerprints of a SENSE action; no rule here reads it.
    pub max_dd_and_fingerprints: u64,
    /// Least time of processing, in seconds; no rule here reads it.
    pub min_processing_time_s: i64,
    /// Most time of processing, in seconds; no rule here reads it.
    pub max_processing_time_s: i64,
    /// Share of an action's price for the supernodes, in ten-thousandths; no rule here reads it.
    pub super_node_fee_share_bps: u64,
}

impl Default for ActionParams {
    fn default() -> Self {
        Self {
            base_action_fee_ulume: 10_000,
            fee_per_kbyte_ulume: 10,
            max_raptor_q_symbols: 50,
            expiration_duration_s: 24 * 60 * 60,
            foundation_fee_share_bps: 0,
            svc_challenge_count: 8,
            svc_min_chunks_for_challenge: 4,
            max_actions_per_block: 10,
            min_super_nodes: 3,
            max_dd_and_fingerprints: 50,
            min_processing_time_s: 60,
            max_processing_time_s: 60 * 60,
            super_node_fee_share_bps: 10_000,
        }
    }
}
