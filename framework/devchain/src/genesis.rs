//! What a new chain begins with, as an operator or tester writes it.
//!
//! Owns the genesis file: TOML with the chain's name, parameters, accounts and supernodes. The state that it becomes is the
//! state machine's.

use lampkeeper_chain_sim::state::supernodes::{AddressRecord, SupernodeRecord};
use lampkeeper_chain_sim::state::{ActionParams, SupernodeParams};
use lampkeeper_chain_sim::{ChainConfig, State, address, params};
use lampkeeper_plugin_sdk::api::chain::{Params, SupernodeState};
use lampkeeper_plugin_sdk::protocol::account::{KeyType, PublicKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest genesis file, in bytes.
pub const GENESIS_LEN_BYTES_MAX: u64 = 64 << 20;
/// The most blocks that may be made before the first one that anybody sees.
pub const START_HEIGHT_MAX: i64 = 100_000;

/// What a new chain begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Genesis {
    /// The chain's name.
    pub chain_id: String,
    /// What its block hashes are drawn from: the same seed and transactions make the same chain.
    pub seed: u64,
    /// Empty blocks are made up to this height before it begins, so that supernodes are in the anchor of the next epoch.
    pub start_height: i64,
    /// Values of the audit module's parameters by name; the others keep their defaults.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The action module's parameters.
    pub action_params: ActionParams,
    /// The supernode module's parameters.
    pub supernode_params: SupernodeParams,
    /// Accounts and their coins.
    pub accounts: Vec<GenesisAccount>,
    /// Supernodes that are registered from the start, at `start_height`.
    pub supernodes: Vec<GenesisSupernode>,
}

/// An account and its coins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// The account.
    pub account: String,
    /// Its coins, in ulume.
    pub balance_ulume: u64,
}

/// A registered supernode.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisSupernode {
    /// Its account.
    pub account: String,
    /// Where it listens, `host` or `host:port`.
    pub address: String,
    /// Its coins, in ulume.
    #[serde(default)]
    pub balance_ulume: u64,
    /// Port of its peer-to-peer store; 4445 if absent.
    #[serde(default)]
    pub p2p_port: Option<u16>,
    /// Its public key, 33 bytes in hex; without it the chain knows the key from its first transaction on.
    #[serde(default)]
    pub public_key: Option<String>,
}

impl Default for Genesis {
    fn default() -> Self {
        Self {
            chain_id: "lampkeeper-devchain-1".to_owned(),
            seed: 0,
            start_height: 0,
            params: BTreeMap::new(),
            action_params: ActionParams::default(),
            supernode_params: SupernodeParams::default(),
            accounts: Vec::new(),
            supernodes: Vec::new(),
        }
    }
}

impl Genesis {
    /// Reads a genesis file.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        toml_edit::de::from_str(text).map_err(|error| error.to_string())
    }

    /// The file that [`Self::from_toml`] reads.
    ///
    /// # Errors
    /// A parameter has no TOML form.
    pub fn to_toml(&self) -> Result<String, String> {
        toml_edit::ser::to_string_pretty(self).map_err(|error| error.to_string())
    }

    /// The chain's first state.
    ///
    /// # Errors
    /// The key that does not fit, and why.
    pub fn state(&self, genesis_time_ms: i64) -> Result<State, String> {
        if !(0..=START_HEIGHT_MAX).contains(&self.start_height) {
            return Err(format!("start_height: {} is not within 0 to {START_HEIGHT_MAX}", self.start_height));
        }
        let mut state = State::new(ChainConfig {
            chain_id: self.chain_id.clone(),
            seed: self.seed,
            genesis_time_ms,
            params: self.audit_params()?,
            action_params: self.action_params.clone(),
            supernode_params: self.supernode_params.clone(),
        });
        for (index, entry) in self.accounts.iter().enumerate() {
            check_account(&entry.account, &format!("accounts[{index}]"))?;
            state.bank.mint(&entry.account, entry.balance_ulume);
        }
        state.advance_to(self.start_height).map_err(|error| error.to_string())?;
        for (index, entry) in self.supernodes.iter().enumerate() {
            let operator = check_account(&entry.account, &format!("supernodes[{index}]"))?;
            state.bank.mint(&entry.account, entry.balance_ulume);
            if let Some(key) = &entry.public_key {
                let key = public_key_of(&entry.account, key)
                    .map_err(|reason| format!("supernodes[{index}].public_key: {reason}"))?;
                let account = state.bank.account_mut(&entry.account);
                account.public_key = key.to_bytes();
                account.public_key_type_url = key.key_type().type_url().to_owned();
            }
            let height = self.start_height;
            let mut record =
                SupernodeRecord::planted(&operator, &entry.account, SupernodeState::Active, height);
            record.prev_ip_addresses.push(AddressRecord { address: entry.address.clone(), height });
            if let Some(port) = entry.p2p_port {
                record.p2p_port = port.to_string();
            }
            state.supernode.supernodes.insert(record);
        }
        Ok(state)
    }

    fn audit_params(&self) -> Result<Params, String> {
        let mut table = serde_json::to_value(Params::default()).map_err(|error| error.to_string())?;
        if let serde_json::Value::Object(table) = &mut table {
            table.extend(self.params.clone());
        }
        let merged: Params = serde_json::from_value(table).map_err(|error| format!("params: {error}"))?;
        let merged = merged.with_defaults();
        params::validate(&merged).map_err(|reason| format!("params: {reason}"))?;
        Ok(merged)
    }
}

/// The key in hex, as one of the type whose address is the account.
fn public_key_of(account: &str, hex_key: &str) -> Result<PublicKey, String> {
    let bytes = hex::decode(hex_key).map_err(|error| error.to_string())?;
    let keys = [KeyType::Secp256k1, KeyType::EthSecp256k1].map(|of| PublicKey::from_bytes(of, &bytes));
    let mut keys = keys.into_iter().flatten();
    keys.find(|key| key.account() == account).ok_or_else(|| format!("it is no key of {account}"))
}

/// The operator with the same bytes as an account.
fn check_account(account: &str, key: &str) -> Result<String, String> {
    address::operator_of_account(account).ok_or_else(|| {
        format!("{key}.account: {account:?} is not a bech32 account of {}", address::ACCOUNT_PREFIX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::protocol::account::SecretKey;

    const EXAMPLE: &str = r#"
        chain_id = "test-1"
        seed = 7
        start_height = 20

        [params]
        epoch_length_blocks = 20
        storage_truth_enforcement_mode = "FULL"

        [[accounts]]
        account = "ACCOUNT"
        balance_ulume = 5

        [[supernodes]]
        account = "ACCOUNT"
        address = "127.0.0.1:4444"
        balance_ulume = 10
    "#;

    fn example() -> String {
        EXAMPLE.replace("ACCOUNT", &address::labelled_account("a"))
    }

    #[test]
    fn a_file_becomes_a_chain_and_comes_back() {
        let genesis = Genesis::from_toml(&example()).unwrap();
        let state = genesis.state(1000).unwrap();
        assert_eq!((state.chain_id.as_str(), state.height, state.seed), ("test-1", 20, 7));
        assert_eq!(state.params().epoch_length_blocks, 20);
        let account = address::labelled_account("a");
        assert_eq!(state.bank.balance_ulume(&account), 15);
        let node = state.query_supernode_by_account(&account).unwrap();
        assert_eq!((node.latest_address(), node.p2p_port.as_str()), (Some("127.0.0.1:4444"), "4445"));
        assert_eq!(Genesis::from_toml(&genesis.to_toml().unwrap()).unwrap(), genesis);
    }

    #[test]
    fn a_public_key_has_to_be_that_of_its_account() {
        for key_type in [KeyType::Secp256k1, KeyType::EthSecp256k1] {
            let key = SecretKey::from_bytes(key_type, &[7; 32]).unwrap().public_key();
            let supernode = |public_key: String| GenesisSupernode {
                account: key.account(),
                public_key: Some(public_key),
                ..GenesisSupernode::default()
            };
            let genesis =
                |public_key| Genesis { supernodes: vec![supernode(public_key)], ..Genesis::default() };
            let mut state = genesis(hex::encode(key.to_bytes())).state(0).unwrap();
            let account = state.bank.account_mut(&key.account());
            assert_eq!(account.public_key_type_url, key_type.type_url());
            let other = SecretKey::from_bytes(key_type, &[8; 32]).unwrap().public_key();
            for wrong in [hex::encode(other.to_bytes()), "00".to_owned(), "no hex".to_owned()] {
                let error = genesis(wrong).state(0).unwrap_err();
                assert!(error.starts_with("supernodes[0].public_key: "), "{error}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (from, to, named) in [
            ("epoch_length_blocks", "epoch_length", "params"),
            ("= \"FULL\"", "= 3", "params"),
            ("start_height = 20", "start_height = -1", "start_height"),
            (&*address::labelled_account("a"), "nobody", "accounts[0].account"),
        ] {
            let text = example().replace(from, to);
            let error = Genesis::from_toml(&text).unwrap().state(0).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        assert!(Genesis::from_toml("unknown = 1").is_err());
    }
}
