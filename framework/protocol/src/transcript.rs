//! What a challenge asks for and what both sides sign (wire 1.12 to 1.15, wire 3.5).
//!
//! Owns the byte ranges of a challenge and every hash over them. Leaves signing to [`crate::account`], and judging the
//! bytes to [`crate::verified_slice`].

use crate::hash::{KeyedHash, first_eight_bytes, label};
use crate::words::{ArtifactClass, Bucket};

/// Ranges of a challenge where the chain parameter is 0 (wire 1.2).
pub const DEFAULT_RANGE_COUNT: u32 = 4;
/// Length of a range where the chain parameter is 0 (wire 1.2).
pub const DEFAULT_RANGE_LEN_BYTES: u32 = 256;
/// The most bytes that one challenge may ask for (wire 1.2, enforced by recipients, wire 3.3).
pub const CHALLENGE_LEN_BYTES_MAX: u64 = 16_384;

/// The word that stands for the class of a row without a ticket (wire 1.15).
const NO_TICKET_CLASS_WORD: &str = "UNSPECIFIED";

/// Why the parts of a challenge can't be derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranscriptError {
    /// No range was asked for.
    #[error("can't derive a challenge without ranges")]
    NoRanges,
    /// The artifact is empty.
    #[error("can't challenge an empty artifact")]
    EmptyArtifact,
    /// A range has no byte.
    #[error("can't challenge ranges without a byte")]
    EmptyRange,
    /// A range is longer than what is addressable.
    #[error("can't hash ranges of {len_bytes} bytes: they exceed every artifact")]
    RangeTooLong {
        /// The length that was asked for.
        len_bytes: u64,
    },
    /// A range is longer than the artifact, or lies outside it.
    #[error("can't take {len_bytes} bytes at {offset} from an artifact of {artifact_len_bytes} bytes")]
    RangeOutsideArtifact {
        /// Where the range starts.
        offset: u64,
        /// Length of the range.
        len_bytes: u64,
        /// Length of the artifact.
        artifact_len_bytes: u64,
    },
    /// The class has no word where one is needed.
    #[error("can't hash artifact class {0}: expected INDEX or SYMBOL")]
    UnsupportedClass(ArtifactClass),
    /// The bucket has no word.
    #[error("can't hash bucket {0}: expected RECENT, OLD, PROBATION or RECHECK")]
    UnsupportedBucket(Bucket),
}

/// The artifact that a challenge names. Its ordinal counts within its class, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChallengedArtifact<'a> {
    /// Account of the challenged node.
    pub target: &'a str,
    /// The ticket.
    pub ticket_id: &'a str,
    /// The class; hashes need one with a word.
    pub class: ArtifactClass,
    /// The artifact's place within the class.
    pub ordinal: u32,
}

impl ChallengedArtifact<'_> {
    /// The prefix that offsets and derivation share: target, ticket, class and ordinal.
    fn hash_prefix(&self, seed: &[u8]) -> Result<KeyedHash, TranscriptError> {
        let class_word = self.class.domain_word().ok_or(TranscriptError::UnsupportedClass(self.class))?;
        Ok(KeyedHash::new(seed)
            .part(self.target.as_bytes())
            .part(self.ticket_id.as_bytes())
            .part(class_word.as_bytes())
            .part(&self.ordinal.to_be_bytes()))
    }

    /// The offsets of a challenge's ranges, in bytes: unsorted, possibly repeated or overlapping (wire 1.12).
    ///
    /// The protocol draws below `artifact_len − range_len`, so the last byte of an artifact longer than a range is
    /// never asked for.
    ///
    /// # Errors
    /// In this order: no ranges, an empty artifact, an empty range, a range longer than the artifact, a class
    /// without a word.
    pub fn range_offsets(
        &self,
        seed: &[u8],
        artifact_len_bytes: u64,
        range_len_bytes: u64,
        range_count: u32,
    ) -> Result<Vec<u64>, TranscriptError> {
        if range_count == 0 {
            return Err(TranscriptError::NoRanges);
        }
        if artifact_len_bytes == 0 {
            return Err(TranscriptError::EmptyArtifact);
        }
        if range_len_bytes == 0 {
            return Err(TranscriptError::EmptyRange);
        }
        let span =
            artifact_len_bytes.checked_sub(range_len_bytes).ok_or(TranscriptError::RangeOutsideArtifact {
                offset: 0,
                len_bytes: range_len_bytes,
                artifact_len_bytes,
            })?;
        let prefix = self.hash_prefix(seed)?;
        let offset = |index: u32| match span {
            0 => 0,
            _ => {
                let hash = prefix.clone().part(&index.to_be_bytes()).part(label::RANGE_OFFSET);
                first_eight_bytes(&hash.finish()) % span
            }
        };
        Ok((0..range_count).map(offset).collect())
    }

    /// What the challenge was derived from, as 64 hex digits (wire 1.14).
    ///
    /// # Errors
    /// The class has no word.
    pub fn derivation_input_hash(
        &self,
        seed: &[u8],
        offsets: &[u64],
        range_len_bytes: u64,
    ) -> Result<String, TranscriptError> {
        let prefix = self.hash_prefix(seed)?.part(&range_len_bytes.to_be_bytes());
        let ranges = offsets.iter().fold(prefix, |hash, offset| hash.part(&offset.to_be_bytes()));
        Ok(hex::encode(ranges.part(label::DERIVATION_INPUT).finish()))
    }

    /// The id of a compound challenge, as 64 hex digits (wire 3.5).
    ///
    /// Any class is accepted: the id holds its number, not its word.
    #[must_use]
    pub fn challenge_id(&self, seed: &[u8], epoch_id: u64) -> String {
        let Self { target, ticket_id, class, ordinal } = self;
        let text = format!("lep6:{epoch_id}:{target}:{ticket_id}:{}:{ordinal}", class.number());
        blake3::Hasher::new().update(seed).update(text.as_bytes()).finalize().to_hex().to_string()
    }
}

/// BLAKE3 over the ranges of `artifact` in the given order, as 64 hex digits (wire 1.13).
///
/// # Errors
/// The length is 0 or not addressable, or a range lies outside the artifact.
pub fn compound_hash(
    artifact: &[u8],
    offsets: &[u64],
    range_len_bytes: u64,
) -> Result<String, TranscriptError> {
    if range_len_bytes == 0 {
        return Err(TranscriptError::EmptyRange);
    }
    if i64::try_from(range_len_bytes).is_err() {
        return Err(TranscriptError::RangeTooLong { len_bytes: range_len_bytes });
    }
    let mut hasher = blake3::Hasher::new();
    for &offset in offsets {
        let range = artifact_range(artifact, offset, range_len_bytes).ok_or(
            TranscriptError::RangeOutsideArtifact {
                offset,
                len_bytes: range_len_bytes,
                artifact_len_bytes: artifact.len() as u64,
            },
        )?;
        hasher.update(range);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// BLAKE3 over ranges that were already cut out, in the given order, as 64 hex digits (wire 1.13, wire 3.7).
#[must_use]
pub fn hash_ranges<'a>(ranges: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = blake3::Hasher::new();
    for range in ranges {
        hasher.update(range);
    }
    hasher.finalize().to_hex().to_string()
}

fn artifact_range(artifact: &[u8], offset: u64, len_bytes: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = usize::try_from(offset.checked_add(len_bytes)?).ok()?;
    artifact.get(start..end)
}

/// Everything that the signed transcript of a challenge commits to (wire 1.15).
///
/// A row that says "no eligible ticket" has an empty ticket, class UNSPECIFIED, and everything after it empty or 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transcript<'a> {
    /// The epoch; it stands in the seed's place.
    pub epoch_id: u64,
    /// Account of the challenger.
    pub challenger: &'a str,
    /// Account of the challenged node.
    pub target: &'a str,
    /// The ticket, or empty.
    pub ticket_id: &'a str,
    /// The bucket for which the ticket was drawn.
    pub bucket: Bucket,
    /// Class of the artifact.
    pub class: ArtifactClass,
    /// The artifact's place within the class.
    pub ordinal: u32,
    /// Content key of the artifact, as text.
    pub artifact_key: &'a str,
    /// [`ChallengedArtifact::derivation_input_hash`], or empty.
    pub derivation_input_hash: &'a str,
    /// [`compound_hash`], or empty in a failure row (wire 3.6).
    pub compound_proof_hash: &'a str,
    /// Accounts of the observers, in any order; repetitions count.
    pub observers: &'a [&'a str],
}

impl Transcript<'_> {
    /// The transcript hash, as 64 hex digits. These digits, not the bytes, are what is signed (wire 3.6).
    ///
    /// # Errors
    /// The bucket has no word, or the class has none although there is a ticket.
    pub fn hash(&self) -> Result<String, TranscriptError> {
        let bucket_word = self.bucket.domain_word().ok_or(TranscriptError::UnsupportedBucket(self.bucket))?;
        let class_word = match self.class.domain_word() {
            Some(word) => word,
            None if self.ticket_id.is_empty() => NO_TICKET_CLASS_WORD,
            None => return Err(TranscriptError::UnsupportedClass(self.class)),
        };
        let mut observers = self.observers.to_vec();
        observers.sort_unstable();
        let hash = KeyedHash::new(&self.epoch_id.to_be_bytes())
            .part(self.challenger.as_bytes())
            .part(self.target.as_bytes())
            .part(self.ticket_id.as_bytes())
            .part(bucket_word.as_bytes())
            .part(class_word.as_bytes())
            .part(&self.ordinal.to_be_bytes())
            .part(self.artifact_key.as_bytes())
            .part(self.derivation_input_hash.as_bytes())
            .part(self.compound_proof_hash.as_bytes())
            .part(&(observers.len() as u32).to_be_bytes());
        let hash = observers.iter().fold(hash, |hash, observer| hash.part(observer.as_bytes()));
        Ok(hex::encode(hash.part(label::TRANSCRIPT).finish()))
    }
}
