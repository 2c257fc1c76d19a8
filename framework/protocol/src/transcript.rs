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

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"01234567890123456789012345678901";

    fn artifact(class: ArtifactClass, ordinal: u32, ticket_id: &str) -> ChallengedArtifact<'_> {
        ChallengedArtifact { target: "sn-target", ticket_id, class, ordinal }
    }

    #[test]
    fn offsets_agree_with_the_published_values() {
        // Wire 1.17, for an artifact of 10000 bytes and four ranges of 256.
        let table = [
            (artifact(ArtifactClass::Symbol, 0, "ticket-1"), [6684, 1519, 1771, 2516]),
            (artifact(ArtifactClass::Symbol, 0, "ticket-2"), [2396, 2425, 756, 2624]),
            (artifact(ArtifactClass::Index, 0, "ticket-1"), [5586, 1044, 5731, 5648]),
            (artifact(ArtifactClass::Symbol, 1, "ticket-1"), [1778, 9292, 5329, 4497]),
        ];
        for (artifact, expected) in table {
            assert_eq!(artifact.range_offsets(SEED, 10_000, 256, 4).unwrap(), expected, "{artifact:?}");
        }
    }

    #[test]
    fn offsets_have_their_edges() {
        let symbol = artifact(ArtifactClass::Symbol, 0, "t");
        let unspecified = artifact(ArtifactClass::Unspecified, 0, "t");
        let outside = |len_bytes, artifact_len_bytes| TranscriptError::RangeOutsideArtifact {
            offset: 0,
            len_bytes,
            artifact_len_bytes,
        };
        // Artifact, its length, length and number of ranges, offsets. Errors are tested in this order.
        let table = [
            (symbol, 103, 103, 4, Ok(vec![0; 4])),
            (symbol, 104, 103, 4, Ok(vec![0; 4])), // the span is 1, so the last byte is never reached
            (unspecified, 0, 0, 0, Err(TranscriptError::NoRanges)),
            (unspecified, 0, 0, 1, Err(TranscriptError::EmptyArtifact)),
            (unspecified, 1000, 0, 1, Err(TranscriptError::EmptyRange)),
            (unspecified, 100, 256, 4, Err(outside(256, 100))),
            (unspecified, 100, 100, 4, Err(TranscriptError::UnsupportedClass(ArtifactClass::Unspecified))),
        ];
        for (artifact, artifact_len, range_len, count, expected) in table {
            let offsets = artifact.range_offsets(SEED, artifact_len, range_len, count);
            assert_eq!(offsets, expected, "{count} of {range_len} in {artifact_len}");
        }
    }

    #[test]
    fn compound_hashes_agree_with_the_published_values() {
        let counting: Vec<u8> = (0..1024).map(|i| i as u8).collect();
        let stepped: Vec<u8> = (0..1024).map(|i| (i >> 8) as u8).collect();
        let table: [(&[u8], &[u64], &str); 4] = [
            (
                &counting,
                &[0, 256, 512, 768],
                "882179b8dbccd285cda241d968cfcccb3156c5edac2fa3761bb6eda7ff8cb172",
            ),
            (
                &stepped,
                &[0, 256, 512, 768],
                "295c0dbe221382294ac114215b6dac1dc2bf668be241e0d7892002e9d5e48f29",
            ),
            (
                &stepped,
                &[768, 512, 256, 0],
                "fa2f2a10d7cc2aca0aa9244edb08c6202c7ec2fe4f2d4c3993f445ccd9bac95d",
            ),
            (&stepped, &[], "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        ];
        for (bytes, offsets, expected) in table {
            assert_eq!(compound_hash(bytes, offsets, 256).unwrap(), expected, "{offsets:?}");
            let ranges = offsets.iter().map(|offset| &bytes[*offset as usize..][..256]);
            assert_eq!(hash_ranges(ranges), expected, "{offsets:?}");
        }
        // Offset and length of a range outside 100 bytes.
        for (offset, len_bytes) in [(50, 60), (100, 1), (u64::MAX, 1), (0, u64::MAX), (0, 0)] {
            assert!(
                compound_hash(&counting[..100], &[offset], len_bytes).is_err(),
                "{len_bytes} at {offset}"
            );
        }
    }

    #[test]
    fn derivations_agree_with_the_published_values() {
        let offsets: &[u64] = &[1, 2, 3, 4];
        // Wire 1.17: ticket, ordinal, offsets, length, hash.
        let table: [(&str, u32, &[u64], u64, &str); 5] = [
            ("ticket-1", 7, offsets, 256, "d9277f45a5b2b20264c0568ed90c6a4ff8b5aca1dfff5ff64fc5a58654664612"),
            ("ticket-2", 7, offsets, 256, "e32520a83eded47ba079e28182097a7eb77dfb2deb31b78ab5a36c6939a02485"),
            ("ticket-1", 8, offsets, 256, "2a426e3e1f9617c7edbc164d826b94edec42ddc6cdd0f2590c378c4a42ee27b8"),
            ("ticket-1", 7, offsets, 257, "ba680c8edfa4de7acf0a63010bd1733a190943b26fd13cc85564c786e992b2fc"),
            ("ticket-1", 7, &[], 256, "cbb8f062acfff23ab3a2e6dba4c4c998c1f6accfdde76a0ffe94587e57185577"),
        ];
        for (ticket_id, ordinal, offsets, range_len, expected) in table {
            let artifact = artifact(ArtifactClass::Symbol, ordinal, ticket_id);
            assert_eq!(artifact.derivation_input_hash(SEED, offsets, range_len).unwrap(), expected);
        }
    }

    #[test]
    fn challenge_ids_agree_with_the_published_values() {
        let table = [
            (
                42,
                ArtifactClass::Symbol,
                3,
                "3cb2fa870b0bd4509f992cceaba083a63b5ad657963c009921ea9711e01da2bd",
            ),
            (1, ArtifactClass::Index, 0, "d6f2fc8894e0c052c94e522d68a244528623bb954f19793e2a5bd90adc25011f"),
        ];
        for (epoch_id, class, ordinal, expected) in table {
            assert_eq!(artifact(class, ordinal, "ticket-1").challenge_id(SEED, epoch_id), expected);
        }
    }

    #[test]
    fn transcripts_agree_with_the_published_values() {
        let answered = Transcript {
            epoch_id: 42,
            challenger: "sn-prober",
            target: "sn-target",
            ticket_id: "ticket-1",
            bucket: Bucket::Recent,
            class: ArtifactClass::Symbol,
            ordinal: 3,
            artifact_key: "p2p-key-abc",
            derivation_input_hash: "deadbeef",
            compound_proof_hash: "feedface",
            observers: &["sn-obs-2", "sn-obs-1"],
        };
        let unobserved = Transcript { observers: &[], ..answered };
        let none = Transcript {
            epoch_id: 42,
            challenger: "sn-prober",
            target: "sn-target",
            bucket: Bucket::Recent,
            ..Transcript::default()
        };
        let none_old = Transcript { bucket: Bucket::Old, ..none };
        let none_observed = Transcript { observers: &["sn-obs-1"], ..none };
        let table = [
            (answered, "046f307f8cf9daba07aa44eb8320a46a09373bd3170ab4145b17646faf1e55e3"),
            (unobserved, "b90270d8b5ed12758c37402f13c2b2bb3f3d1ae22c092b44e768ddb18f310fef"),
            (none, "adb41ed348e04870be67c97c62ade866e6414be00c8cd77e35402411bf9457f7"),
            (none_old, "ad0409aa76c507990f9f47c40ef68eb3c01154f2db799c5ad50c8a7cc70e5e1c"),
            (none_observed, "22240ba1deb100f381449c07dd6cac8854ee985298e54ef1e0cc15953261e2ac"),
        ];
        for (transcript, expected) in table {
            assert_eq!(transcript.hash().as_deref(), Ok(expected), "{transcript:?}");
        }
        let classless = Transcript { class: ArtifactClass::Unspecified, ..answered };
        let refused = TranscriptError::UnsupportedClass(ArtifactClass::Unspecified);
        assert_eq!(classless.hash(), Err(refused));
        let bucketless = Transcript { bucket: Bucket::Unspecified, ..answered };
        assert_eq!(bucketless.hash(), Err(TranscriptError::UnsupportedBucket(Bucket::Unspecified)));
    }
}
