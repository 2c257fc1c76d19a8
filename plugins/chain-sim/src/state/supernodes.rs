//! Supernode records with their whole state history, their metrics, and what staking knows of their operators.

use super::rows::Rows;
use crate::address;
use crate::api::Account;
use crate::api::chain::{PortState, SupernodeState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One entry of a supernode's state history (wire 2.8).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateRecord {
    /// The state.
    pub state: SupernodeState,
    /// Since when.
    pub height: i64,
    /// Why; often empty.
    pub reason: String,
}

/// An address that a supernode was registered with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddressRecord {
    /// `host` or `host:port`.
    pub address: String,
    /// Since when.
    pub height: i64,
}

/// An account that a supernode had before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountRecord {
    /// The account.
    pub account: Account,
    /// Since when.
    pub height: i64,
}

/// A registered supernode as the chain keeps it (chain Appendix B).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupernodeRecord {
    /// The operator; orders the store by its bytes.
    pub validator_address: String,
    /// The account that signs; all audit state is keyed by it.
    pub supernode_account: Account,
    /// Every state it was ever in, oldest first.
    pub states: Vec<StateRecord>,
    /// Every address it was ever registered with, oldest first.
    pub prev_ip_addresses: Vec<AddressRecord>,
    /// Every account it ever had, oldest first.
    pub prev_supernode_accounts: Vec<AccountRecord>,
    /// For people.
    pub note: String,
    /// Port of the peer-to-peer store.
    pub p2p_port: String,
}

impl SupernodeRecord {
    /// A node in one state since a height; for planted state and genesis.
    #[must_use]
    pub fn planted(
        validator_address: &str,
        supernode_account: &str,
        state: SupernodeState,
        height: i64,
    ) -> Self {
        Self {
            validator_address: validator_address.to_owned(),
            supernode_account: supernode_account.to_owned(),
            states: vec![StateRecord { state, height, reason: String::new() }],
            note: "1.0.0".to_owned(),
            p2p_port: "4445".to_owned(),
            ..Self::default()
        }
    }

    /// The latest state; unspecified without a history.
    #[must_use]
    pub fn state(&self) -> SupernodeState {
        self.states.last().map_or(SupernodeState::Unspecified, |record| record.state)
    }

    /// The state at a height: that of the last entry not after it (chain 9.2).
    #[must_use]
    pub fn state_at(&self, height: i64) -> Option<SupernodeState> {
        self.states.iter().rev().find(|record| record.height <= height).map(|record| record.state)
    }

    /// The address with the greatest height, the first of equals (wire 2.8).
    #[must_use]
    pub fn latest_address(&self) -> Option<&str> {
        let latest = self.prev_ip_addresses.iter().rev().max_by_key(|record| record.height)?;
        Some(&latest.address)
    }
}

/// All supernodes, ordered by the bytes of their operator address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Supernodes {
    records: BTreeMap<Vec<u8>, SupernodeRecord>,
    by_account: BTreeMap<Account, Vec<u8>>,
}

impl Supernodes {
    /// The supernode of an operator.
    #[must_use]
    pub fn get(&self, validator_address: &str) -> Option<&SupernodeRecord> {
        self.records.get(&address::operator_key(validator_address))
    }

    /// The supernode with an account.
    #[must_use]
    pub fn by_account(&self, account: &str) -> Option<&SupernodeRecord> {
        self.records.get(self.by_account.get(account)?)
    }

    /// Writes a record, replacing the operator's earlier one.
    pub fn insert(&mut self, record: SupernodeRecord) {
        let key = address::operator_key(&record.validator_address);
        if let Some(earlier) = self.records.remove(&key) {
            self.by_account.remove(&earlier.supernode_account);
        }
        if !record.supernode_account.is_empty() {
            self.by_account.insert(record.supernode_account.clone(), key.clone());
        }
        self.records.insert(key, record);
    }

    /// Appends a state to the history of the node with this account; nothing for an unknown account.
    pub fn append_state(&mut self, account: &str, state: SupernodeState, height: i64, reason: &str) {
        let record = self.by_account.get(account).and_then(|key| self.records.get_mut(key));
        if let Some(record) = record {
            record.states.push(StateRecord { state, height, reason: reason.to_owned() });
        }
    }

    /// All records with their store keys, from a key on.
    pub fn range_from<'a>(
        &'a self,
        key: &[u8],
    ) -> impl DoubleEndedIterator<Item = (&'a Vec<u8>, &'a SupernodeRecord)> + use<'a> {
        self.records.range(key.to_vec()..)
    }

    /// All records, in store order.
    pub fn iter(&self) -> impl Iterator<Item = &SupernodeRecord> {
        self.records.values()
    }

    /// The accounts of the nodes whose latest state is `state`, in store order. Nodes without an account are left out.
    #[must_use]
    pub fn accounts_in(&self, state: SupernodeState) -> Vec<Account> {
        let nodes =
            self.iter().filter(|record| record.state() == state && !record.supernode_account.is_empty());
        nodes.map(|record| record.supernode_account.clone()).collect()
    }
}

impl Rows for Supernodes {
    type Row = SupernodeRecord;

    fn rows(&self) -> impl Iterator<Item = &SupernodeRecord> {
        self.iter()
    }

    fn insert_row(&mut self, row: SupernodeRecord) {
        self.insert(row);
    }
}

/// A port and what it was seen as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortStatus {
    /// The port.
    pub port: u32,
    /// Its state.
    pub state: PortState,
}

/// `SupernodeMetrics` (wire 2.8).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the fields are the protobuf message's; only the cascade bytes are read by a rule"
)]
pub struct SupernodeMetrics {
    pub version_major: u32,
    pub version_minor: u32,
    pub version_patch: u32,
    pub cpu_cores_total: f64,
    pub cpu_usage_percent: f64,
    pub mem_total_gb: f64,
    pub mem_usage_percent: f64,
    pub mem_free_gb: f64,
    pub disk_total_gb: f64,
    pub disk_usage_percent: f64,
    pub disk_free_gb: f64,
    pub uptime_seconds: f64,
    pub peers_count: u32,
    pub open_ports: Vec<PortStatus>,
    pub cascade_kademlia_db_bytes: f64,
}

/// `SupernodeMetricsState` (wire 2.8).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupernodeMetricsState {
    /// The operator.
    pub validator_address: String,
    /// The latest metrics.
    pub metrics: SupernodeMetrics,
    /// How many reports there were.
    pub report_count: u64,
    /// Height of the latest.
    pub height: i64,
}

/// What staking knows of a validator operator: enough for the registration checks (chain Appendix B).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Validator {
    /// Whether it is jailed.
    pub jailed: bool,
    /// The operator's own delegation, in ulume; registration needs one.
    pub self_delegation_ulume: u64,
    /// Delegations of other accounts, in ulume.
    pub delegations_ulume: BTreeMap<Account, u64>,
}
