//! Transactions as they arrive: bytes that have to be read, and checked before a block takes them (wire 10.6).
//!
//! Owns the reading and the checks that every transaction passes before its messages: account, key, sequence, signature,
//! gas and fee. What messages do is the state machine's business.

use crate::codes;
use crate::messages;
use lampkeeper_chain_sim::refusal::Refusal;
use lampkeeper_chain_sim::state::bank::{BankAccount, DENOM};
use lampkeeper_chain_sim::transaction::{TRANSACTION_MESSAGES_MAX, Transaction};
use lampkeeper_plugin_sdk::protocol::account::{KeyType, PublicKey};
use lampkeeper_proto::cosmos::crypto::secp256k1::PubKey;
use lampkeeper_proto::cosmos::tx::signing::v1beta1::SignMode;
use lampkeeper_proto::cosmos::tx::v1beta1::{AuthInfo, SignDoc, TxBody, TxRaw, mode_info};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

/// The longest transaction, in bytes.
pub(crate) const TX_LEN_BYTES_MAX: usize = 1 << 20;
/// The longest memo, in bytes.
const MEMO_LEN_BYTES_MAX: usize = 256;
/// Gas of any transaction.
const GAS_OF_TRANSACTION: u64 = 40_000;
/// Gas of each byte of a transaction.
const GAS_OF_BYTE: u64 = 10;
/// Gas of each message.
const GAS_OF_MESSAGE: u64 = 20_000;

/// What a transaction says, before it is known whether it may.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) bytes: Vec<u8>,
    /// Uppercase hex of the SHA-256 of the bytes.
    pub(crate) hash: String,
    pub(crate) transaction: Transaction,
    /// The type URL of each message, for the answers.
    pub(crate) type_urls: Vec<String>,
    pub(crate) sequence: u64,
    pub(crate) timeout_height: u64,
    pub(crate) gas_limit: u64,
    pub(crate) fee_ulume: u64,
    key_type_url: String,
    key_bytes: Vec<u8>,
    body_bytes: Vec<u8>,
    auth_info_bytes: Vec<u8>,
    signature: Vec<u8>,
}

/// How much of a transaction is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing is signed and gas is not limited.
    Simulation,
    /// The node decides whether it takes it.
    Arrival,
    /// A block executes it.
    Execution,
}

/// What a transaction is checked against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) chain_id: &'a str,
    /// The block that executes it, or the last one before that.
    pub(crate) height: i64,
    /// The least price of a unit of gas, in thousandths of an ulume.
    pub(crate) gas_price_min_milli: u64,
    pub(crate) stage: Stage,
}

/// The hash under which the chain knows a transaction.
pub(crate) fn hash_of(bytes: &[u8]) -> String {
    hex::encode_upper(Sha256::digest(bytes))
}

impl Arrived {
    /// Reads a transaction.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > TX_LEN_BYTES_MAX {
            return Err(codes::TX_TOO_LARGE.because(format!("{} bytes", bytes.len())));
        }
        let unreadable = |error: prost::DecodeError| codes::TX_DECODE.because(error.to_string());
        let raw = TxRaw::decode(bytes).map_err(unreadable)?;
        let body = TxBody::decode(raw.body_bytes.as_slice()).map_err(unreadable)?;
        let auth = AuthInfo::decode(raw.auth_info_bytes.as_slice()).map_err(unreadable)?;
        if body.memo.len() > MEMO_LEN_BYTES_MAX {
            return Err(codes::INVALID_REQUEST.because("the memo is too long"));
        }
        if body.messages.is_empty() || body.messages.len() > TRANSACTION_MESSAGES_MAX {
            let count = body.messages.len();
            return Err(codes::INVALID_REQUEST.because(format!("a transaction of {count} messages")));
        }
        let [signature] = &raw.signatures[..] else {
            return Err(codes::NO_SIGNATURES.because("one signature is needed"));
        };
        let [signer_info] = &auth.signer_infos[..] else {
            return Err(codes::UNAUTHORIZED.because("one signer is needed"));
        };
        check_mode(signer_info.mode_info.as_ref())?;
        let fee = auth.fee.clone().unwrap_or_default();
        let key = signer_info.public_key.clone().unwrap_or_default();
        let key_bytes = PubKey::decode(key.value.as_slice()).map_err(unreadable)?.key;
        let mut transaction = Transaction { signer: String::new(), messages: Vec::new() };
        for any in &body.messages {
            transaction.messages.push(messages::read(any)?);
        }
        // The first message's signer is the transaction's; the others have to be the same.
        transaction.signer = transaction.messages[0].0.clone();
        if transaction.messages.iter().any(|(creator, _)| *creator != transaction.signer) {
            return Err(codes::UNAUTHORIZED.because("the messages have several signers, and one signed"));
        }
        Ok(Self {
            hash: hash_of(bytes),
            type_urls: body.messages.iter().map(|any| any.type_url.clone()).collect(),
            sequence: signer_info.sequence,
            timeout_height: body.timeout_height,
            gas_limit: fee.gas_limit,
            fee_ulume: fee_ulume(&fee.amount)?,
            key_type_url: key.type_url,
            key_bytes,
            signature: signature.clone(),
            body_bytes: raw.body_bytes,
            auth_info_bytes: raw.auth_info_bytes,
            bytes: bytes.to_vec(),
            transaction,
        })
    }

    /// The gas that it uses. The same transaction always uses the same.
    pub(crate) fn gas_used(&self) -> u64 {
        let bytes = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        let messages = u64::try_from(self.transaction.messages.len()).unwrap_or(u64::MAX);
        GAS_OF_TRANSACTION
            .saturating_add(bytes.saturating_mul(GAS_OF_BYTE))
            .saturating_add(messages.saturating_mul(GAS_OF_MESSAGE))
    }

    /// Everything that is checked before the messages, in the order of the SDK. The account as it will be afterwards, but
    /// for its sequence.
    pub(crate) fn check(
        &self,
        account: Option<&BankAccount>,
        rules: Rules<'_>,
    ) -> Result<BankAccount, Refusal> {
        let height = u64::try_from(rules.height).unwrap_or(0);
        if self.timeout_height != 0 && height > self.timeout_height {
            let words = format!("block height: {height}, timeout height: {}", self.timeout_height);
            return Err(codes::TIMEOUT_HEIGHT.because(words));
        }
        if rules.stage == Stage::Arrival {
            self.check_gas_price(rules.gas_price_min_milli)?;
        }
        let signer = &self.transaction.signer;
        let Some(account) = account else {
            let words = format!("fee payer address: {signer} does not exist");
            return Err(codes::UNKNOWN_ADDRESS.because(words));
        };
        let key = self.key_of(account)?;
        let mut account = account.clone();
        let Some(balance) = account.balance_ulume.checked_sub(self.fee_ulume) else {
            let (has, fee) = (account.balance_ulume, self.fee_ulume);
            let words = format!("spendable balance {has}{DENOM} is smaller than {fee}{DENOM}");
            return Err(codes::INSUFFICIENT_FUNDS.because(words));
        };
        account.balance_ulume = balance;
        if self.sequence != account.sequence {
            let (expected, got) = (account.sequence, self.sequence);
            let words = format!("account sequence mismatch, expected {expected}, got {got}");
            return Err(codes::WRONG_SEQUENCE.because(words));
        }
        if rules.stage != Stage::Simulation {
            self.check_signature(&key, &account, rules.chain_id)?;
        }
        account.public_key = key.to_bytes();
        account.public_key_type_url = key.key_type().type_url().to_owned();
        Ok(account)
    }

    fn check_gas_price(&self, gas_price_min_milli: u64) -> Result<(), Refusal> {
        let least = (u128::from(self.gas_limit) * u128::from(gas_price_min_milli)).div_ceil(1000);
        if u128::from(self.fee_ulume) >= least {
            return Ok(());
        }
        let fee = self.fee_ulume;
        Err(codes::INSUFFICIENT_FEE.because(format!("got: {fee}{DENOM} required: {least}{DENOM}")))
    }

    /// The key has to be the account's: the one that the chain knows, or one that makes its address.
    fn key_of(&self, account: &BankAccount) -> Result<PublicKey, Refusal> {
        let refused = |words: &str| codes::INVALID_PUBLIC_KEY.because(words);
        let key_type = KeyType::from_type_url(&self.key_type_url)
            .ok_or_else(|| refused("the type of the key is not known"))?;
        let key =
            PublicKey::from_bytes(key_type, &self.key_bytes).map_err(|error| refused(&error.to_string()))?;
        if key.account() != self.transaction.signer {
            let words = format!("pubKey does not match signer address {}", self.transaction.signer);
            return Err(refused(&words));
        }
        let is_known = !account.public_key.is_empty();
        if is_known && account.public_key != key.to_bytes() {
            return Err(refused("the account has another key"));
        }
        Ok(key)
    }

    fn check_signature(&self, key: &PublicKey, account: &BankAccount, chain_id: &str) -> Result<(), Refusal> {
        let document = SignDoc {
            body_bytes: self.body_bytes.clone(),
            auth_info_bytes: self.auth_info_bytes.clone(),
            chain_id: chain_id.to_owned(),
            account_number: account.account_number,
        };
        key.verify(&document.encode_to_vec(), &self.signature).map_err(|_| {
            let (number, sequence) = (account.account_number, account.sequence);
            codes::UNAUTHORIZED.because(format!(
                "signature verification failed; please verify account number ({number}), sequence ({sequence}) \
                 and chain-id ({chain_id})"
            ))
        })
    }
}

fn check_mode(mode: Option<&lampkeeper_proto::cosmos::tx::v1beta1::ModeInfo>) -> Result<(), Refusal> {
    match mode.and_then(|mode| mode.sum.as_ref()) {
        Some(mode_info::Sum::Single(single)) if single.mode == SignMode::Direct as i32 => Ok(()),
        _ => Err(codes::UNAUTHORIZED.because("only SIGN_MODE_DIRECT by one signer is understood")),
    }
}

/// The fee in the chain's only coin.
fn fee_ulume(coins: &[lampkeeper_proto::cosmos::base::v1beta1::Coin]) -> Result<u64, Refusal> {
    match coins {
        [] => Ok(0),
        [coin] if coin.denom == DENOM => coin
            .amount
            .parse()
            .map_err(|_| codes::INVALID_REQUEST.because(format!("{:?} is not an amount", coin.amount))),
        _ => Err(codes::INSUFFICIENT_FEE.because(format!("fees are paid in {DENOM}"))),
    }
}
