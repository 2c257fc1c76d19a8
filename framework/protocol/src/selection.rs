//! Which ticket of a target is challenged, and which of its artifacts (wire 1.8 to 1.11).
//!
//! Owns the draws. Leaves finding the eligible tickets to the chain client (wire 4.1), and the byte ranges inside an
//! artifact to [`crate::transcript`].

use std::collections::HashSet;

use crate::hash::{KeyedHash, first_eight_bytes, keyed_hash, label, lowest_ranked};
use crate::words::{ArtifactClass, Bucket};

/// A class is drawn out of this many equally likely rolls (wire 1.2).
const CLASS_ROLL_MODULUS: u64 = 10;
/// Rolls below this mean INDEX, all others SYMBOL (wire 1.2).
const INDEX_ROLL_CUTOFF: u64 = 2;

/// The bucket of a ticket by its age in blocks (wire 1.8).
///
/// RECENT is tested first, so it wins where the windows overlap. A ticket from the future, or between the windows, is
/// in no bucket: [`Bucket::Unspecified`].
///
/// ```
/// use lampkeeper_protocol::{selection::classify_bucket, words::Bucket};
/// assert_eq!(classify_bucket(2200, 1000, 1200, 12000), Bucket::Recent);
/// assert_eq!(classify_bucket(2201, 1000, 1200, 12000), Bucket::Unspecified);
/// ```
#[must_use]
pub fn classify_bucket(
    current_height: i64,
    anchor_height: i64,
    recent_max_blocks: u64,
    old_min_blocks: u64,
) -> Bucket {
    if current_height < anchor_height {
        return Bucket::Unspecified;
    }
    let age_blocks = current_height.abs_diff(anchor_height);
    if age_blocks <= recent_max_blocks {
        Bucket::Recent
    } else if age_blocks >= old_min_blocks {
        Bucket::Old
    } else {
        Bucket::Unspecified
    }
}

/// The ticket that is challenged in a bucket: the lowest `H(seed, target, bucket, ticket, "ticket_rank")`, ties by id
/// (wire 1.9).
///
/// Empty ids and those in `excluded` take no part. `None` where the protocol says the empty string: nothing is left, or
/// the bucket has no word.
#[must_use]
pub fn select_ticket<'a>(
    tickets: impl IntoIterator<Item = &'a str>,
    excluded: &[&str],
    seed: &[u8],
    target: &str,
    bucket: Bucket,
) -> Option<&'a str> {
    let prefix = KeyedHash::new(seed).part(target.as_bytes()).part(bucket.domain_word()?.as_bytes());
    let excluded: HashSet<&str> = excluded.iter().copied().collect();
    let open = tickets.into_iter().filter(|ticket| !ticket.is_empty() && !excluded.contains(ticket));
    lowest_ranked(open, |ticket| prefix.clone().part(ticket.as_bytes()).part(label::TICKET_RANK).finish())
}

/// The class roll of a ticket, 0 to 9 (wire 1.10).
#[must_use]
pub fn class_roll(seed: &[u8], target: &str, ticket_id: &str) -> u64 {
    let digest = keyed_hash(seed, &[target.as_bytes(), ticket_id.as_bytes(), label::ARTIFACT_CLASS]);
    first_eight_bytes(&digest) % CLASS_ROLL_MODULUS
}

/// Which class of artifact is challenged (wire 1.10).
///
/// [`ArtifactClass::Unspecified`] if the rolled class is empty: the other class never stands in for it.
#[must_use]
pub fn select_artifact_class(
    seed: &[u8],
    target: &str,
    ticket_id: &str,
    index_count: u32,
    symbol_count: u32,
) -> ArtifactClass {
    let (class, count) = match class_roll(seed, target, ticket_id) {
        roll if roll < INDEX_ROLL_CUTOFF => (ArtifactClass::Index, index_count),
        _ => (ArtifactClass::Symbol, symbol_count),
    };
    if count > 0 { class } else { ArtifactClass::Unspecified }
}

/// Why no artifact can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrdinalError {
    /// The class holds no artifact.
    #[error("can't draw an artifact of a class that holds none")]
    NoArtifacts,
    /// The class has no word.
    #[error("can't draw an artifact of class {0}: expected INDEX or SYMBOL")]
    UnsupportedClass(ArtifactClass),
}

/// Which artifact of the class is challenged, below `count` (wire 1.11).
///
/// # Errors
/// The class is empty or has no word, tested in this order.
pub fn select_artifact_ordinal(
    seed: &[u8],
    target: &str,
    ticket_id: &str,
    class: ArtifactClass,
    count: u32,
) -> Result<u32, OrdinalError> {
    if count == 0 {
        return Err(OrdinalError::NoArtifacts);
    }
    let word = class.domain_word().ok_or(OrdinalError::UnsupportedClass(class))?;
    let parts = [target.as_bytes(), ticket_id.as_bytes(), word.as_bytes(), label::ARTIFACT_ORDINAL];
    // The remainder is below `count`, so it fits.
    Ok((first_eight_bytes(&keyed_hash(seed, &parts)) % u64::from(count)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"01234567890123456789012345678901";
    const TARGET: &str = "sn-target";

    #[test]
    fn buckets_agree_with_the_published_values() {
        // Wire 1.17: heights now and of the anchor, for windows of 1200 and 12000 blocks.
        let table = [
            (1000, 1000, Bucket::Recent),
            (2199, 1000, Bucket::Recent),
            (2200, 1000, Bucket::Recent),
            (2201, 1000, Bucket::Unspecified),
            (12_999, 1000, Bucket::Unspecified),
            (13_000, 1000, Bucket::Old),
            (18_000, 1000, Bucket::Old),
            (1000, 2000, Bucket::Unspecified),
            (i64::MAX, i64::MIN, Bucket::Old),
        ];
        for (now, anchor, expected) in table {
            assert_eq!(classify_bucket(now, anchor, 1200, 12_000), expected, "{now} from {anchor}");
        }
    }

    #[test]
    fn tickets_agree_with_the_published_values() {
        let ranks = [
            ("t1", "720d4dcedec2d10114edb863b3c924c376965852a7dc8af118772d794a8a5622"),
            ("t2", "1c37be9bf8ea6449ab21123f74b4b32f75799e1ccbf3fe861ddc143c7e61b816"),
            ("t5", "0fc1192d90d20c7deeb99a846e7abd5d95b381bc2b668a9a21233635c9705cdc"),
        ];
        for (ticket, expected) in ranks {
            let parts = [TARGET.as_bytes(), b"RECENT", ticket.as_bytes(), b"ticket_rank"];
            assert_eq!(hex::encode(keyed_hash(SEED, &parts)), expected, "{ticket}");
        }
        let tickets = ["t1", "t2", "t3", "t4", "t5", ""];
        // Number of tickets, those left out, bucket, choice.
        let table: [(usize, &[&str], Bucket, Option<&str>); 6] = [
            (2, &[], Bucket::Recent, Some("t2")),
            (6, &[], Bucket::Recent, Some("t5")),
            (6, &[], Bucket::Old, Some("t1")),
            (2, &["t2"], Bucket::Recent, Some("t1")),
            (2, &["t1", "t2"], Bucket::Recent, None),
            (6, &[], Bucket::Unspecified, None),
        ];
        for (count, excluded, bucket, expected) in table {
            let open = tickets[..count].iter().copied();
            assert_eq!(select_ticket(open, excluded, SEED, TARGET, bucket), expected, "{count} {bucket}");
        }
    }

    #[test]
    fn classes_agree_with_the_published_values() {
        let rolls: Vec<u64> = (0..12).map(|i| class_roll(SEED, TARGET, &format!("t-{i}"))).collect();
        assert_eq!(rolls, [1, 3, 9, 9, 2, 0, 2, 2, 6, 6, 2, 3]);
        assert_eq!(class_roll(SEED, TARGET, "ticket-1"), 6);
        assert_eq!(class_roll(SEED, TARGET, "ticket-2"), 1);
        let count = |class, indexes, symbols| {
            (0..5000)
                .filter(|i| select_artifact_class(SEED, TARGET, &format!("t-{i}"), indexes, symbols) == class)
                .count()
        };
        // Class, INDEX and SYMBOL artifacts, draws out of 5000. An empty class is never replaced by the other.
        let table = [
            (ArtifactClass::Index, 100, 100, 975),
            (ArtifactClass::Symbol, 100, 100, 4025),
            (ArtifactClass::Unspecified, 0, 50, 975),
            (ArtifactClass::Symbol, 0, 50, 4025),
            (ArtifactClass::Index, 50, 0, 975),
            (ArtifactClass::Unspecified, 50, 0, 4025),
            (ArtifactClass::Unspecified, 0, 0, 5000),
        ];
        for (class, indexes, symbols, expected) in table {
            assert_eq!(count(class, indexes, symbols), expected, "{class} of {indexes} and {symbols}");
        }
    }

    #[test]
    fn ordinals_agree_with_the_published_values() {
        let ordinal = |class, count| select_artifact_ordinal(SEED, TARGET, "ticket-1", class, count);
        let table = [
            (ArtifactClass::Index, 64, Ok(43)),
            (ArtifactClass::Index, 50, Ok(27)),
            (ArtifactClass::Symbol, 64, Ok(21)),
            (ArtifactClass::Symbol, 50, Ok(5)),
            (ArtifactClass::Symbol, 0, Err(OrdinalError::NoArtifacts)),
            (ArtifactClass::Unspecified, 0, Err(OrdinalError::NoArtifacts)),
            (ArtifactClass::Unspecified, 1, Err(OrdinalError::UnsupportedClass(ArtifactClass::Unspecified))),
        ];
        for (class, count, expected) in table {
            assert_eq!(ordinal(class, count), expected, "{class} of {count}");
        }
    }
}
