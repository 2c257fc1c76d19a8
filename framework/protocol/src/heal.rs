//! Who heals a ticket and who verifies it, and the hash of a vote without a file (chain 7.3, wire 5.8).
//!
//! Owns these two rules. Which tickets are healed is the chain's decision; how is a heal strategy's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Verifiers of a heal operation where the count is 0.
pub const DEFAULT_VERIFIER_COUNT: u32 = 2;

const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Those who take part in a heal operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealParticipants<'a> {
    /// The healer; `None` if there is no account at all.
    pub healer: Option<&'a str>,
    /// The verifiers, in their order; none if there is only one account, and the chain then schedules nothing.
    pub verifiers: Vec<&'a str>,
}

/// Draws the participants from the eligible accounts, whose order counts (chain 7.3).
///
/// The healer's place comes from FNV-1a over the ticket, a zero byte and the decimal epoch; the next accounts, around
/// the end, verify.
#[must_use]
pub fn heal_participants<'a>(
    accounts: &[&'a str],
    ticket_id: &str,
    epoch_id: u64,
    verifier_count: u32,
) -> HealParticipants<'a> {
    if accounts.is_empty() {
        return HealParticipants::default();
    }
    let wanted = if verifier_count == 0 { DEFAULT_VERIFIER_COUNT } else { verifier_count };
    let verifier_count = (wanted as usize).min(accounts.len() - 1);
    // The remainder is below the number of accounts, so it fits.
    let healer_index = (heal_hash(ticket_id, epoch_id) % accounts.len() as u64) as usize;
    let mut from_healer = accounts.iter().copied().cycle().skip(healer_index);
    HealParticipants { healer: from_healer.next(), verifiers: from_healer.take(verifier_count).collect() }
}

/// FNV-1a over `ticket ‖ 00 ‖ decimal epoch`, 64 bits (chain 7.3).
#[must_use]
pub fn heal_hash(ticket_id: &str, epoch_id: u64) -> u64 {
    let epoch = epoch_id.to_string();
    let input = ticket_id.bytes().chain([0]).chain(epoch.bytes());
    input.fold(FNV_OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
}

/// Why a verifier votes no without the hash of a file (wire 5.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NegativeReason {
    /// The healer's file could not be fetched.
    FetchFailed,
    /// Its hash could not be computed.
    HashComputeFailed,
    /// Its hash is another one. The vote then carries the computed hash; the reason is only told.
    HashMismatch,
    /// Any other reason.
    Other,
}

impl NegativeReason {
    /// The word that is hashed and told.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::FetchFailed => "reason_fetch_failed",
            Self::HashComputeFailed => "reason_hash_compute_failed",
            Self::HashMismatch => "reason_hash_mismatch",
            Self::Other => "reason_other",
        }
    }

    /// The verification hash of a vote for this reason, in base64.
    #[must_use]
    pub fn attestation_hash(self) -> String {
        negative_attestation_hash(self.word())
    }
}

/// The base64 hash that stands where no file could be hashed, for any reason's text (wire 5.8).
#[must_use]
pub fn negative_attestation_hash(reason: &str) -> String {
    let digest =
        blake3::Hasher::new().update(b"lep6:negative-attestation:").update(reason.as_bytes()).finalize();
    STANDARD.encode(digest.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_agree_with_the_published_table() {
        let table = [
            (NegativeReason::FetchFailed, "ILlCdzdnx9TgulG604gtzFvX8wK+jQxPZtpym6ZhmI8="),
            (NegativeReason::HashComputeFailed, "tlQrUjlaYGI0ni9AH6WEtgHp+dA8wijjsvpgs3fvLUM="),
            (NegativeReason::HashMismatch, "jZpTqqC3PvKzLANbBm4mz/IzIlyAc24zeXmPfJwJI90="),
            (NegativeReason::Other, "Vkc3OJnM9QW56b0S3SzjRuI12HeAC4+bqZFmBEo3LYA="),
        ];
        for (reason, expected) in table {
            assert_eq!(reason.attestation_hash(), expected, "{reason:?}");
        }
    }

    #[test]
    fn draws_agree_with_the_published_tables() {
        // Chain 7.3: ticket, epoch, FNV-1a, then pairs of account count and healer index.
        let table: [(&str, u64, u64, &[[usize; 2]]); 6] = [
            ("ticket-1", 0, 0xf20b_a8a8_bbd3_e9f3, &[[2, 1], [3, 2]]),
            ("ticket-high", 0, 0xf13f_a91b_3164_2384, &[[3, 0]]),
            ("ticket-mid", 0, 0x9684_586e_44f2_1082, &[[3, 0]]),
            ("1", 5, 0x460b_b418_18a6_efb3, &[[3, 2]]),
            ("42", 7, 0x31a5_34d8_894b_278a, &[[4, 2]]),
            ("ticket-x", 3, 0xce75_78a9_c9ac_48e9, &[[5, 0]]),
        ];
        for (ticket_id, epoch_id, hash, draws) in table {
            assert_eq!(heal_hash(ticket_id, epoch_id), hash, "{ticket_id}");
            for [count, index] in draws {
                assert_healer(ticket_id, epoch_id, *count, *index);
            }
        }
        // Wire 5.12.
        assert_healer("ticket-1", 42, 5, 0);
        assert_healer("1", 7, 3, 1);
    }

    fn assert_healer(ticket_id: &str, epoch_id: u64, count: usize, index: usize) {
        let accounts = &["a", "b", "c", "d", "e"][..count];
        let participants = heal_participants(accounts, ticket_id, epoch_id, 2);
        assert_eq!(participants.healer, Some(accounts[index]), "{ticket_id} of {count}");
        assert_eq!(participants.verifiers[0], accounts[(index + 1) % count], "{ticket_id} of {count}");
    }

    #[test]
    fn few_accounts_leave_roles_empty() {
        assert_eq!(heal_participants(&[], "1", 1, 2), HealParticipants::default());
        let alone = heal_participants(&["a"], "1", 1, 2);
        assert_eq!((alone.healer, alone.verifiers.len()), (Some("a"), 0));
    }
}
