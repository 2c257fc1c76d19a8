//! The scrub as seen from outside: its switch and its progress.
//!
//! Owns the names and the encoding of both in the journal, so that whoever pauses the scrub, or asks how far it is, needs
//! nothing but the journal, and a restart changes neither. The walk itself is the scrub plugin's.

use crate::api::journal::{JournalError, ProofJournal};
use crate::protocol::artifact_key::{ARTIFACT_KEY_LEN_BYTES, ArtifactKey};

/// The name under which the journal has the position.
pub const POSITION_MARKER: &str = "scrub.position";
/// The name under which the journal counts how often the switch was turned: an odd number is "paused".
pub const SWITCH_MARKER: &str = "scrub.switch";
/// The number of a cycle has this many bits left in what the journal takes.
const CYCLE_MAX: u64 = (1 << 31) - 1;

/// A place in the store, in a cycle. The journal remembers numbers that only rise, so it is the cycle and the first four
/// bytes of a key; keys are hashes, so those bytes are also the share of the cycle that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Cycles that were completed.
    pub cycle: u64,
    /// The first bytes of the keys that come next.
    pub prefix: u32,
}

impl Position {
    /// The position in a number of the journal.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self { cycle: number >> 32, prefix: number as u32 }
    }

    /// The number for the journal.
    #[must_use]
    pub const fn number(self) -> u64 {
        (self.cycle << 32) | self.prefix as u64
    }

    /// The place of a key in this cycle.
    #[must_use]
    pub fn at(self, key: &ArtifactKey) -> Self {
        let [a, b, c, d, ..] = *key.as_bytes();
        Self { prefix: u32::from_be_bytes([a, b, c, d]), ..self }
    }

    /// The beginning of the next cycle.
    #[must_use]
    pub fn next_cycle(self) -> Self {
        Self { cycle: (self.cycle + 1).min(CYCLE_MAX), prefix: 0 }
    }

    /// The greatest key before this place; `None` at the beginning. After a restart a few artifacts are read again.
    #[must_use]
    pub fn key_before(self) -> Option<ArtifactKey> {
        let before = self.prefix.checked_sub(1)?;
        let mut key = [0xff; ARTIFACT_KEY_LEN_BYTES];
        key[..4].copy_from_slice(&before.to_be_bytes());
        Some(ArtifactKey::from_bytes(key))
    }

    /// The share of the cycle that is done, 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.prefix) / (f64::from(u32::MAX) + 1.0)
    }
}

/// How far the scrub had come when it last wrote it down; at the beginning if it never did.
///
/// # Errors
/// If the journal can't be read.
pub async fn position<J: ProofJournal + ?Sized>(journal: &J) -> Result<Position, JournalError> {
    let number = journal.epoch_marker(POSITION_MARKER).await?;
    Ok(Position::from_number(number.unwrap_or(0)))
}

/// Whether the scrub is to pause; `None` if the switch was never turned.
///
/// # Errors
/// If the journal can't be read.
pub async fn is_paused<J: ProofJournal + ?Sized>(journal: &J) -> Result<Option<bool>, JournalError> {
    Ok(journal.epoch_marker(SWITCH_MARKER).await?.map(|turns| turns % 2 == 1))
}

/// Turns the switch, unless it is where it should be; whether it was turned. The scrub obeys before the next artifact.
///
/// # Errors
/// If the journal can't be read or written.
pub async fn set_paused<J: ProofJournal + ?Sized>(
    journal: &J,
    paused: bool,
    now_s: i64,
) -> Result<bool, JournalError> {
    let turns = journal.epoch_marker(SWITCH_MARKER).await?;
    if turns.is_some_and(|turns| (turns % 2 == 1) == paused) {
        return Ok(false);
    }
    let next = turns.map_or(u64::from(paused), |turns| turns + 1);
    journal.raise_epoch_marker(SWITCH_MARKER, next, now_s).await?;
    Ok(turns.is_some() || paused)
}

#[cfg(all(test, feature = "testkit"))]
mod tests {
    use super::*;
    use crate::testkit::{MemoryJournal, VirtualScheduler};

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

    #[test]
    fn the_switch_goes_to_and_fro() {
        let journal = MemoryJournal::new();
        VirtualScheduler::new(0).block_on(async {
            assert_eq!(is_paused(&journal).await, Ok(None));
            // (to, whether that turns it)
            for (paused, turned) in
                [(false, false), (true, true), (true, false), (false, true), (false, false), (true, true)]
            {
                assert_eq!(set_paused(&journal, paused, 1).await, Ok(turned), "to {paused}");
                assert_eq!(is_paused(&journal).await, Ok(Some(paused)));
            }
        });
    }
}
