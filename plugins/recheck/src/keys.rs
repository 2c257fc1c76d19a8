//! Whether a reporter signed its row.
//!
//! Owns a bounded cache of account keys. An account's key does not change once the chain has it.

use crate::candidate::Candidate;
use lampkeeper_plugin_sdk::api::chain::{ChainError, ChainReader};
use lampkeeper_plugin_sdk::protocol::account::{KeyType, PublicKey};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Keys that are remembered; beyond them the cache starts anew.
const KEYS_MAX: usize = 4096;

/// What became of the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The row is its reporter's.
    Verified,
    /// It is not, or can't be shown to be; with a name for metrics.
    Unverified(&'static str),
}

/// The keys of reporters.
#[derive(Debug, Default)]
pub(crate) struct ReporterKeys {
    known: Mutex<BTreeMap<String, PublicKey>>,
}

impl ReporterKeys {
    /// Checks the transcript and the signature of a candidate (wire 3.6).
    pub(crate) async fn check(
        &self,
        chain: &dyn ChainReader,
        candidate: &Candidate,
    ) -> Result<Verdict, ChainError> {
        if !candidate.transcript_matches {
            return Ok(Verdict::Unverified("transcript"));
        }
        let Some(key) = self.key_of(chain, &candidate.reporter).await? else {
            return Ok(Verdict::Unverified("key"));
        };
        let signature = hex::decode(&candidate.signature).unwrap_or_default();
        Ok(match key.verify(candidate.transcript_hash.as_bytes(), &signature) {
            Ok(()) => Verdict::Verified,
            Err(_) => Verdict::Unverified("signature"),
        })
    }

    async fn key_of(&self, chain: &dyn ChainReader, account: &str) -> Result<Option<PublicKey>, ChainError> {
        if let Some(key) = self.lock().get(account) {
            return Ok(Some(key.clone()));
        }
        let info = match chain.account(account).await {
            Ok(info) => info,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let key_type = KeyType::from_type_url(&info.public_key_type_url);
        let key = key_type.and_then(|key_type| PublicKey::from_bytes(key_type, &info.public_key).ok());
        if let Some(key) = &key {
            let mut known = self.lock();
            if known.len() >= KEYS_MAX {
                known.clear();
            }
            known.insert(account.to_owned(), key.clone());
        }
        Ok(key)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, PublicKey>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
