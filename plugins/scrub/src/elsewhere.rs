//! What reads for others have found: artifacts that were served, proven or handed on are hashed as a whole each time.
//!
//! Owns what counts for the cycle that is under way, and what has to be looked at. A proof that this node served is as good
//! as our own read, because the store makes it from the whole artifact and refuses if that does not hash to its key.

use lampkeeper_plugin_sdk::api::store::CheckedArtifact;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::collections::BTreeSet;

/// Artifacts that are remembered as read; the rest are read once more.
const INTACT_REMEMBERED_MAX: usize = 65_536;

/// Artifacts that were found intact and lie ahead in the present cycle.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    intact: BTreeSet<ArtifactKey>,
}

impl Elsewhere {
    /// Takes in what was found. Returns the artifacts that may be damaged, each once.
    ///
    /// What lies behind the walk (up to `after`, the last artifact that was visited) was read in this cycle already, and
    /// does not count for the next one: in every cycle each artifact is read at least once.
    pub(crate) fn hear(
        &mut self,
        after: Option<ArtifactKey>,
        checked: Vec<CheckedArtifact>,
    ) -> BTreeSet<ArtifactKey> {
        let mut damaged = BTreeSet::new();
        for CheckedArtifact { key, is_intact } in checked {
            if !is_intact {
                self.intact.remove(&key);
                damaged.insert(key);
                continue;
            }
            // It was replaced since.
            damaged.remove(&key);
            if after.is_none_or(|after| key > after) && self.intact.len() < INTACT_REMEMBERED_MAX {
                self.intact.insert(key);
            }
        }
        damaged
    }

    /// Whether an artifact was found intact in this cycle; it is asked once, when the walk comes to it.
    pub(crate) fn take_intact(&mut self, key: &ArtifactKey) -> bool {
        self.intact.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> ArtifactKey {
        ArtifactKey::from_bytes([byte; 32])
    }

    fn found(list: &[(u8, bool)]) -> Vec<CheckedArtifact> {
        list.iter().map(|&(byte, is_intact)| CheckedArtifact { key: key(byte), is_intact }).collect()
    }

    #[test]
    fn only_what_lies_ahead_counts_and_damage_is_told_once() {
        type Row<'a> = (Option<u8>, &'a [(u8, bool)], &'a [u8], &'a [u8]);
        // (what was visited last, what was found, what is damaged, what is taken as read)
        let table: [Row<'_>; 6] = [
            (None, &[(1, true), (2, true)], &[], &[1, 2]),
            (Some(5), &[(4, true), (5, true), (6, true)], &[], &[6]),
            (Some(5), &[(4, false), (6, false), (6, false)], &[4, 6], &[]),
            (None, &[(7, true), (7, false)], &[7], &[]),
            (None, &[(7, false), (7, true)], &[], &[7]), // replaced, and read again
            (None, &[], &[], &[]),
        ];
        for (after, list, damaged, taken) in table {
            let mut elsewhere = Elsewhere::default();
            let told = elsewhere.hear(after.map(key), found(list));
            assert_eq!(told, damaged.iter().map(|&byte| key(byte)).collect(), "{list:?}");
            let asked: Vec<_> = (0..10).filter(|&byte| elsewhere.take_intact(&key(byte))).collect();
            assert_eq!(asked, taken, "{list:?}");
            assert!((0..10).all(|byte| !elsewhere.take_intact(&key(byte))), "each counts once");
        }
    }
}
