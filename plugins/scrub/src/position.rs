//! How far the walk has come, in a form that the journal keeps.
//!
//! Owns the encoding: the journal remembers numbers that only rise, so a position is the cycle and the first four bytes of
//! a key. Keys are hashes: those bytes are also the share of the cycle that is done.

use lampkeeper_plugin_sdk::protocol::artifact_key::{ARTIFACT_KEY_LEN_BYTES, ArtifactKey};

/// The name under which the journal has it.
pub(crate) const MARKER: &str = "scrub.position";
/// The number of a cycle has this many bits left in what the journal takes.
const CYCLE_MAX: u64 = (1 << 31) - 1;

/// A place in the store, in a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    /// Cycles that were completed.
    pub(crate) cycle: u64,
    /// The first bytes of the keys that come next.
    pub(crate) prefix: u32,
}

impl Position {
    pub(crate) const fn from_number(number: u64) -> Self {
        Self { cycle: number >> 32, prefix: number as u32 }
    }

    pub(crate) const fn number(self) -> u64 {
        (self.cycle << 32) | self.prefix as u64
    }

    /// The place of a key in this cycle.
    pub(crate) fn at(self, key: &ArtifactKey) -> Self {
        let [a, b, c, d, ..] = *key.as_bytes();
        Self { prefix: u32::from_be_bytes([a, b, c, d]), ..self }
    }

    /// The beginning of the next cycle.
    pub(crate) fn next_cycle(self) -> Self {
        Self { cycle: (self.cycle + 1).min(CYCLE_MAX), prefix: 0 }
    }

    /// The greatest key before this place; `None` at the beginning. After a restart a few artifacts are read again.
    pub(crate) fn key_before(self) -> Option<ArtifactKey> {
        let before = self.prefix.checked_sub(1)?;
        let mut key = [0xff; ARTIFACT_KEY_LEN_BYTES];
        key[..4].copy_from_slice(&before.to_be_bytes());
        Some(ArtifactKey::from_bytes(key))
    }

    /// The share of the cycle that is done.
    pub(crate) fn share(self) -> f64 {
        f64::from(self.prefix) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_the_journal_and_only_rises() {
        let mut last = Position::default();
        for cycle in 0..3 {
            for byte in [0_u8, 1, 127, 255] {
                let position = Position { cycle, prefix: 0 }.at(&ArtifactKey::from_bytes([byte; 32]));
                assert_eq!(Position::from_number(position.number()), position);
                assert!(position >= last && position.number() >= last.number());
                assert!(position.next_cycle().number() > position.number());
                last = position;
            }
        }
        let end = Position { cycle: CYCLE_MAX, prefix: u32::MAX };
        assert!(i64::try_from(end.next_cycle().number()).is_ok(), "a journal takes it");
    }

    #[test]
    fn no_key_is_passed_over_after_a_restart() {
        for byte in [0_u8, 1, 200, 255] {
            let key = ArtifactKey::from_bytes([byte; 32]);
            let before = Position::default().at(&key).key_before();
            assert!(before.is_none_or(|before| before < key), "{key}");
        }
        assert_eq!(Position::default().key_before(), None);
    }
}
