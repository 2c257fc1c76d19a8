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
