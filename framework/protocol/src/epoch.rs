//! Epochs, and the facts that the chain freezes at the start of each (wire 1.7, chain 1).
//!
//! Owns the arithmetic between heights and epochs, the anchor's seed and the commitments to its account sets. Leaves
//! the commitment to the parameters to whoever encodes them.

use crate::hash::Digest;

/// What the anchor's seed is hashed under (wire 1.7).
const EPOCH_SEED_DOMAIN: &[u8] = b"lumera:epoch-seed";

/// The genesis parameters that map heights to epochs; they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochSchedule {
    zero_height: i64,
    length_blocks: u64,
}

/// Parameters that map no height to an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "can't count epochs of {length_blocks} blocks from height {zero_height}: both must be positive heights"
)]
pub struct InvalidSchedule {
    /// The refused first height.
    pub zero_height: u64,
    /// The refused length.
    pub length_blocks: u64,
}

impl EpochSchedule {
    /// The schedule whose epoch 0 starts at `zero_height`, each epoch being `length_blocks` long.
    ///
    /// # Errors
    /// The length is 0, or the first height is no 63-bit height.
    pub fn new(zero_height: u64, length_blocks: u64) -> Result<Self, InvalidSchedule> {
        let invalid = InvalidSchedule { zero_height, length_blocks };
        let zero_height = i64::try_from(zero_height).map_err(|_| invalid)?;
        if length_blocks == 0 { Err(invalid) } else { Ok(Self { zero_height, length_blocks }) }
    }

    /// The epoch of a height; `None` before epoch 0 has started (what a node asks, wire 1.7).
    #[must_use]
    pub fn started_epoch_at(&self, height: i64) -> Option<u64> {
        (height >= self.zero_height).then(|| height.abs_diff(self.zero_height) / self.length_blocks)
    }

    /// The epoch of a height; heights before epoch 0 belong to it (what the chain computes, chain 1.1).
    #[must_use]
    pub fn epoch_at(&self, height: i64) -> u64 {
        self.started_epoch_at(height).unwrap_or(0)
    }

    /// The first height of an epoch, at which its anchor is written. Saturates at the largest height.
    #[must_use]
    pub fn start_height(&self, epoch: u64) -> i64 {
        let blocks = epoch.saturating_mul(self.length_blocks);
        self.zero_height.saturating_add_unsigned(blocks)
    }

    /// The last height of an epoch, at which it closes. Saturates at the largest height.
    #[must_use]
    pub fn end_height(&self, epoch: u64) -> i64 {
        self.start_height(epoch).saturating_add_unsigned(self.length_blocks - 1)
    }
}

/// The seed of an epoch's anchor (chain 1.2).
///
/// `header_hash` is the hash of the block executed at `start_height`; if it is empty, the height stands in.
#[must_use]
pub fn anchor_seed(header_hash: &[u8], start_height: i64, epoch: u64) -> Digest {
    let height = start_height.to_be_bytes();
    let raw = if header_hash.is_empty() { height.as_slice() } else { header_hash };
    let mut hasher = blake3::Hasher::new();
    hasher.update(EPOCH_SEED_DOMAIN).update(raw).update(&epoch.to_be_bytes());
    hasher.finalize().into()
}

/// The commitment to one of the anchor's account sets, which is given sorted (chain 1.2).
#[must_use]
pub fn set_commitment(accounts: &[&str]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for account in accounts {
        hasher.update(account.as_bytes()).update(&[0]);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_and_epochs_agree_with_the_published_table() {
        // Chain 1.1: first height, length, height, epoch, its first and last height.
        let table = [
            (1, 400, 1, 0, 1, 400),
            (1, 400, 400, 0, 1, 400),
            (1, 400, 401, 1, 401, 800),
            (1, 20, 45, 2, 41, 60),
            (50, 10, 7, 0, 50, 59), // before the first epoch: clamped
        ];
        for (zero_height, length_blocks, height, epoch, start, end) in table {
            let schedule = EpochSchedule::new(zero_height, length_blocks).unwrap();
            assert_eq!(schedule.epoch_at(height), epoch, "height {height}");
            assert_eq!((schedule.start_height(epoch), schedule.end_height(epoch)), (start, end));
        }
    }

    #[test]
    fn a_node_sees_no_epoch_before_the_first() {
        let schedule = EpochSchedule::new(50, 10).unwrap();
        assert_eq!(schedule.started_epoch_at(49), None);
        assert_eq!(schedule.started_epoch_at(50), Some(0));
        assert_eq!(schedule.started_epoch_at(i64::MIN), None);
    }

    #[test]
    fn extreme_values_saturate_or_are_refused() {
        assert!(EpochSchedule::new(1, 0).is_err());
        assert!(EpochSchedule::new(u64::MAX, 1).is_err());
        let schedule = EpochSchedule::new(1, u64::MAX).unwrap();
        assert_eq!(schedule.epoch_at(i64::MAX), 0);
        assert_eq!(schedule.start_height(u64::MAX), i64::MAX);
        assert_eq!(schedule.end_height(u64::MAX), i64::MAX);
    }

    #[test]
    fn seeds_agree_with_the_published_values() {
        let counting: Vec<u8> = (0..32).collect();
        // Chain 1.2 and wire 1.17: block hash, first height, epoch, seed.
        let table: [(&[u8], i64, u64, &str); 4] = [
            (&[], 401, 1, "c24a692623154d7ea0ef2b9e8cb9536dbc5fda5f0dc2943022e3f783382981e1"),
            (&[0; 32], 1, 0, "ce4cc9e286229704693680017a419098b34360c0cbb80449c333b0de5cbbbb6e"),
            (&[0xab; 32], 1, 3, "d38e261076a02e0e952f3c99641bdcd2f02cd030db8a1d6ef07a86512361008e"),
            (&counting, 1, 5, "1852bdb62a50d776cd73b9f44c2c46f6a695cf10fff400bf37c0989d8a05988b"),
        ];
        for (header_hash, start_height, epoch, expected) in table {
            assert_eq!(hex::encode(anchor_seed(header_hash, start_height, epoch)), expected, "epoch {epoch}");
        }
    }

    #[test]
    fn set_commitments_agree_with_the_published_values() {
        let table: [(&[&str], &str); 2] = [
            (&[], "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
            (&["sn-a", "sn-b"], "2dff1366addf23818e5e9725eb8a3a5f6ab6c3d140572661180b33f2fa0b65e9"),
        ];
        for (accounts, expected) in table {
            assert_eq!(hex::encode(set_commitment(accounts)), expected, "{accounts:?}");
        }
    }
}
