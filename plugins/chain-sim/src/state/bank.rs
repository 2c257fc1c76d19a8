//! Accounts, their keys and their coins. There is one coin, `ulume`.

use crate::address;
use crate::api::Account;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The chain's coin.
pub const DENOM: &str = "ulume";
/// The module that holds the prices of waiting actions.
pub const ACTION_MODULE: &str = "action";
/// The module that collects the reward share.
pub const SUPERNODE_MODULE: &str = "supernode";
/// The module that collects the foundation's share.
pub const COMMUNITY_POOL: &str = "distribution";
/// The module that may change parameters.
pub const GOVERNANCE_MODULE: &str = "gov";

/// What auth and bank know of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BankAccount {
    /// Counts from 0.
    pub account_number: u64,
    /// Sequence of the next transaction.
    pub sequence: u64,
    /// Compressed public key in hex; empty until it is known.
    #[serde(with = "hex_bytes", skip_serializing_if = "Vec::is_empty")]
    pub public_key: Vec<u8>,
    /// The key's type URL.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub public_key_type_url: String,
    /// Coins, in ulume.
    pub balance_ulume: u64,
}

/// All accounts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bank {
    /// Accounts by address.
    pub accounts: BTreeMap<Account, BankAccount>,
    /// Number of the next account.
    pub next_account_number: u64,
}

impl Bank {
    /// The account, created if it is new.
    pub fn account_mut(&mut self, address: &str) -> &mut BankAccount {
        let next = &mut self.next_account_number;
        self.accounts.entry(address.to_owned()).or_insert_with(|| {
            let account_number = *next;
            *next += 1;
            BankAccount { account_number, ..BankAccount::default() }
        })
    }

    /// The coins of an account, in ulume.
    #[must_use]
    pub fn balance_ulume(&self, address: &str) -> u64 {
        self.accounts.get(address).map_or(0, |account| account.balance_ulume)
    }

    /// The coins of a module, in ulume.
    #[must_use]
    pub fn module_balance_ulume(&self, module: &str) -> u64 {
        self.balance_ulume(&address::module_account(module))
    }

    /// Adds coins to an account.
    pub fn mint(&mut self, address: &str, amount_ulume: u64) {
        let account = self.account_mut(address);
        account.balance_ulume = account.balance_ulume.saturating_add(amount_ulume);
    }

    /// Moves coins; `false`, and nothing moved, if the sender has too few.
    #[must_use]
    pub fn transfer(&mut self, from: &str, to: &str, amount_ulume: u64) -> bool {
        if self.balance_ulume(from) < amount_ulume {
            return false;
        }
        if amount_ulume > 0 {
            self.account_mut(from).balance_ulume -= amount_ulume;
            self.mint(to, amount_ulume);
        }
        true
    }
}

mod hex_bytes {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
