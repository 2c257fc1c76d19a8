//! What reads of whole artifacts have found, kept for the scrub.
//!
//! Owns a bounded log that a store fills and [`ArtifactStore::take_checked`] empties. What follows from an entry is the
//! scrub's part.
//!
//! [`ArtifactStore::take_checked`]: crate::api::store::ArtifactStore::take_checked

use crate::api::store::{CheckedArtifact, StoreError};
use crate::protocol::artifact_key::ArtifactKey;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Entries that are kept; the oldest is forgotten first. Whoever is forgotten is read once more by the scrub.
const ENTRIES_MAX: usize = 4096;

/// The log. For a store to hold.
///
/// ```
/// use lampkeeper_plugin_sdk::checked_log::CheckedLog;
/// use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
///
/// let log = CheckedLog::default();
/// log.note(&ArtifactKey::of(b"light"), &Ok(Some(())));
/// assert!(log.take()[0].is_intact);
/// assert!(log.take().is_empty());
/// ```
#[derive(Debug, Default)]
pub struct CheckedLog {
    entries: Mutex<VecDeque<CheckedArtifact>>,
}

impl CheckedLog {
    /// Notes the outcome of a read that hashed the whole artifact: `Some` is intact bytes, an error of damage is damage.
    /// Everything else says nothing about the artifact.
    pub fn note<T>(&self, key: &ArtifactKey, outcome: &Result<Option<T>, StoreError>) {
        let is_intact = match outcome {
            Ok(Some(_)) => true,
            Err(error) if error.is_damage() => false,
            Ok(None) | Err(_) => return,
        };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.pop_front();
        }
        entries.push_back(CheckedArtifact { key: *key, is_intact });
    }

    /// The entries since the last call, oldest first.
    pub fn take(&self) -> Vec<CheckedArtifact> {
        std::mem::take(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_hashed_counts_and_the_log_has_a_bound() {
        let log = CheckedLog::default();
        let key = ArtifactKey::of(b"key");
        let io = StoreError::Io { attempted: "read".to_owned(), reason: "EIO".to_owned() };
        for (outcome, expected) in [
            (Ok(Some(())), Some(true)),
            (Ok(None), None),
            (Err(StoreError::Corrupt { key }), Some(false)),
            (Err(io), None),
        ] {
            log.note(&key, &outcome);
            let noted: Vec<_> = log.take().into_iter().map(|checked| checked.is_intact).collect();
            assert_eq!(noted, expected.into_iter().collect::<Vec<_>>(), "{outcome:?}");
        }
        for number in 0..ENTRIES_MAX + 10 {
            log.note(&ArtifactKey::of(&number.to_be_bytes()), &Ok(Some(())));
        }
        let kept = log.take();
        assert_eq!(kept.len(), ENTRIES_MAX);
        assert_eq!(kept[0].key, ArtifactKey::of(&10_usize.to_be_bytes()), "the oldest are forgotten");
    }
}
