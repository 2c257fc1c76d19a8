//! How a devnet begins: keys, the chain's first state, and a manifest for each node.
//!
//! Owns the parameters of a devnet and the text of its manifests. Starting things is the cluster's part.

use super::options::Plan;
use lampkeeper_api::chain::{EnforcementMode, Params, SupernodeState};
use lampkeeper_chain_sim::address::operator_of_account;
use lampkeeper_chain_sim::state::SupernodeParams;
use lampkeeper_chain_sim::state::supernodes::{AddressRecord, SupernodeRecord};
use lampkeeper_chain_sim::{ChainConfig, State};
use lampkeeper_devchain::{Genesis, GenesisSupernode};
use lampkeeper_protocol::account::{KeyType, SecretKey};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

/// Blocks in an epoch of a devnet, as in the reference's own (chain 2).
pub const EPOCH_LENGTH_BLOCKS: u64 = 20;
/// Coins that each node begins with, in ulume.
const BALANCE_ULUME: u64 = 1_000_000_000_000;
/// Age up to which a ticket counts as recent, in epochs; long, so that a devnet that is kept running stays interesting.
const RECENT_EPOCHS: u64 = 50;
/// Deterioration from which a ticket is healed, as in the reference's own devnet (chain 2).
const HEAL_THRESHOLD: i64 = 8;
/// Probes of each target in an epoch: all that a node holds of a 10 MB file.
const PROBES_PER_TARGET: u32 = 1000;

/// The name of whoever only reads the chain.
pub const OBSERVER: &str = "observer";

/// A node before it runs.
pub struct NodeSeed {
    /// Its name, `n1` onwards.
    pub name: String,
    /// Its key.
    pub secret: [u8; 32],
    /// Its account.
    pub account: String,
    /// Its public key in hex.
    pub public_key: String,
}

/// The nodes of a devnet; the same seed gives the same keys.
#[must_use]
pub fn node_seeds(count: u16, seed: u64) -> Vec<NodeSeed> {
    (1..=count)
        .map(|number| {
            let name = format!("n{number}");
            let secret = draw_secret(seed, &name);
            let key = SecretKey::from_bytes(KeyType::Secp256k1, &secret).map(|secret| secret.public_key());
            let (account, public_key) =
                key.map(|key| (key.account(), hex::encode(key.to_bytes()))).unwrap_or_default();
            NodeSeed { name, secret, account, public_key }
        })
        .collect()
}

/// The key of this name. Nearly every 32 bytes are a key; the next draw is taken otherwise.
#[must_use]
pub fn draw_secret(seed: u64, name: &str) -> [u8; 32] {
    let mut draw = 0_u32;
    loop {
        let text = format!("lampkeeper devnet key:{seed}:{name}:{draw}");
        let secret = *blake3_of(text.as_bytes()).as_bytes();
        if SecretKey::from_bytes(KeyType::Secp256k1, &secret).is_ok() {
            return secret;
        }
        draw += 1;
    }
}

fn blake3_of(bytes: &[u8]) -> lampkeeper_protocol::artifact_key::ArtifactKey {
    lampkeeper_protocol::artifact_key::ArtifactKey::of(bytes)
}

/// The address under which the chain and the other nodes know a node.
#[must_use]
pub fn address_of(name: &str) -> String {
    format!("{name}.devnet:4444")
}

/// The audit module's parameters in a devnet.
fn params() -> Params {
    Params {
        epoch_length_blocks: EPOCH_LENGTH_BLOCKS,
        storage_truth_recent_bucket_max_blocks: EPOCH_LENGTH_BLOCKS * RECENT_EPOCHS,
        storage_truth_old_bucket_min_blocks: EPOCH_LENGTH_BLOCKS * RECENT_EPOCHS * 10,
        storage_truth_challenge_target_divisor: 1,
        storage_truth_ticket_deterioration_heal_threshold: HEAL_THRESHOLD,
        storage_truth_enforcement_mode: EnforcementMode::Full,
        ..Params::default()
    }
}

/// The nodes share a disk that is not theirs: how full it is must not take them out of the story.
fn supernode_params() -> SupernodeParams {
    SupernodeParams { max_storage_usage_percent: 100, ..SupernodeParams::default() }
}

/// The chain at the end of epoch 0, so that the nodes are in the anchor of epoch 1.
///
/// # Errors
/// If the parameters do not fit together; a defect.
pub fn chain_state(plan: &Plan, nodes: &[NodeSeed], now_ms: i64) -> Result<State, String> {
    let params = params();
    lampkeeper_chain_sim::params::validate(&params)?;
    let mut state = State::new(ChainConfig {
        chain_id: plan.chain_id.clone(),
        seed: plan.seed,
        genesis_time_ms: now_ms,
        params,
        supernode_params: supernode_params(),
        ..ChainConfig::default()
    });
    let height = i64::try_from(EPOCH_LENGTH_BLOCKS).unwrap_or_default();
    state.advance_to(height).map_err(|error| error.to_string())?;
    for node in nodes {
        register(&mut state, node, height)?;
    }
    Ok(state)
}

/// The same for a devchain: nodes listen at these addresses, all on one port, which the chain requires to be open.
///
/// # Errors
/// If a parameter has no JSON form; a defect.
pub fn genesis(plan: &Plan, nodes: &[NodeSeed], addresses: &[SocketAddr]) -> Result<Genesis, String> {
    let ports: BTreeSet<u32> = addresses.iter().map(|address| u32::from(address.port())).collect();
    let ports: Vec<u32> = ports.into_iter().collect();
    let params = Params {
        required_open_ports: ports.clone(),
        // A process that is killed and started again may miss the report of one epoch.
        consecutive_epochs_to_postpone: 2,
        ..params()
    };
    let in_json = |params: &Params| match serde_json::to_value(params) {
        Ok(serde_json::Value::Object(table)) => Ok(table),
        Ok(_) => Err("the parameters are no table".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let usual = in_json(&Params::default())?;
    let params = in_json(&params)?.into_iter().filter(|(name, value)| usual.get(name) != Some(value));
    let supernodes = nodes.iter().zip(addresses).map(|(node, address)| GenesisSupernode {
        account: node.account.clone(),
        address: address.to_string(),
        balance_ulume: BALANCE_ULUME,
        p2p_port: None,
        public_key: Some(node.public_key.clone()),
    });
    Ok(Genesis {
        chain_id: plan.chain_id.clone(),
        seed: plan.seed,
        start_height: i64::try_from(EPOCH_LENGTH_BLOCKS).unwrap_or_default(),
        params: params.collect(),
        supernode_params: SupernodeParams { required_open_ports: ports, ..supernode_params() },
        supernodes: supernodes.collect(),
        ..Genesis::default()
    })
}

fn register(state: &mut State, node: &NodeSeed, height: i64) -> Result<(), String> {
    let operator = operator_of_account(&node.account).ok_or("a devnet key has no address")?;
    let secret =
        SecretKey::from_bytes(KeyType::Secp256k1, &node.secret).map_err(|error| error.to_string())?;
    let account = state.bank.account_mut(&node.account);
    account.public_key = secret.public_key().to_bytes();
    account.public_key_type_url = KeyType::Secp256k1.type_url().to_owned();
    account.balance_ulume = BALANCE_ULUME;
    let mut record = SupernodeRecord::planted(&operator, &node.account, SupernodeState::Active, height);
    record.prev_ip_addresses.push(AddressRecord { address: address_of(&node.name), height });
    state.supernode.supernodes.insert(record);
    Ok(())
}

/// The manifest of a node in this process.
#[must_use]
pub fn manifest(plan: &Plan, name: &str) -> String {
    let Plan { chain_id, .. } = plan;
    let wires = format!(
        r#"[plugins.chain-sim.config]
network = "{chain_id}"
create = false

[plugins.transport-memory.config]
network = "{chain_id}"
address = "{address}"
"#,
        address = address_of(name),
    );
    manifest_with(plan, name, &wires)
}

/// The manifest of a node that is a process, complete in itself: `lampkeeper run` takes it.
#[must_use]
pub fn process_manifest(plan: &Plan, name: &str, chain: SocketAddr, listen: SocketAddr) -> String {
    let wires = format!(
        r#"[plugins.chain-lumera.config]
endpoints = ["http://{chain}"]
connect_timeout_ms = 2000
call_timeout_ms = 5000
check_interval_ms = 1000
inclusion_poll_interval_ms = {poll_ms}
inclusion_timeout_ms = 30000
fee_budget = {BALANCE_ULUME}

[plugins.transport-grpc.config]
listen = "{listen}"
dial_private_addresses = true
"#,
        poll_ms = poll_ms(plan),
    );
    manifest_with(plan, name, &wires)
}

/// The manifest of whoever only reads the chain.
#[must_use]
pub fn observer_manifest(plan: &Plan, chain: SocketAddr) -> String {
    format!(
        r#"[node]
name = "{OBSERVER}"
network = "{chain_id}"
data_dir = "."

[plugins.scheduler-tokio]

[plugins.chain-lumera.config]
endpoints = ["http://{chain}"]
connect_timeout_ms = 2000
call_timeout_ms = 5000
check_interval_ms = 1000
"#,
        chain_id = plan.chain_id,
    )
}

fn poll_ms(plan: &Plan) -> u64 {
    (plan.epoch_ms / 40).clamp(20, 1000)
}

/// The table of a linked plugin without a configuration; nothing if a library takes its place with a table of its own.
fn linked_table(plugin_id: &str, libraries: &str) -> String {
    let header = format!("[plugins.{plugin_id}]\n");
    if libraries.contains(&header) { String::new() } else { header }
}

/// How a node keeps, challenges and heals is the same, whatever its wires.
fn manifest_with(plan: &Plan, name: &str, wires: &str) -> String {
    let Plan { chain_id, strategy, epoch_ms, libraries, .. } = plan;
    let poll_ms = poll_ms(plan);
    let retry_ms = (epoch_ms / 12).clamp(50, 2000);
    let budget_ms = epoch_ms / 2;
    format!(
        r#"# A node of a devnet.
[node]
name = "{name}"
network = "{chain_id}"
data_dir = "."

[identity]
key_file = "key.json"

{scheduler}
{wires}
{storage}
{journal}
[plugins.network-replicas.config]
refresh_interval_ms = {poll_ms}

[plugins.storage-challenge.config]
poll_interval_ms = {poll_ms}
retry_delay_ms = {retry_ms}
answer_timeout_ms = {answer_ms}
probes_per_target = {PROBES_PER_TARGET}
probe_time_budget_ms = {budget_ms}
grace_blocks = 5

[plugins.epoch-reporter.config]
poll_interval_ms = {poll_ms}

[plugins.recheck.config]
tick_interval_ms = {recheck_ms}

[plugins.self-healing.config]
poll_interval_ms = {poll_ms}

{healing}
{libraries}"#,
        scheduler = linked_table("scheduler-tokio", libraries),
        storage = linked_table("storage-fs", libraries),
        journal = linked_table("journal-sqlite", libraries),
        healing = linked_table(strategy.plugin_id(), libraries),
        answer_ms = (epoch_ms / 4).clamp(500, 10_000),
        recheck_ms = epoch_ms / 4,
    )
}

/// The file of a manifest in a node's directory.
#[must_use]
pub fn manifest_path(node_dir: &Path) -> std::path::PathBuf {
    node_dir.join("node.toml")
}
