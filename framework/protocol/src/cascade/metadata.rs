//! A ticket's metadata, and the artifacts that follow from it (wire 2.7, wire 4.2 to 4.4, chain appendix C).
//!
//! Owns the chain's JSON form, the artifact counts, and the key and length of each artifact that can be challenged.
//! Leaves the documents behind them to the other modules of [`crate::cascade`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::commitment::{AvailabilityCommitment, ChunkProof};
use super::id_files::{IdFileError, IdFileSeries};
use crate::artifact_key::{ArtifactKey, InvalidArtifactKey};
use crate::hash::Digest;
use crate::words::ArtifactClass;

/// The longest metadata document that is read.
pub const METADATA_JSON_LEN_BYTES_MAX: usize = 1024 * 1024;

/// The metadata of a CASCADE action. The order of the fields is that of the protobuf message.
///
/// In JSON, fields that hold nothing are left out, numbers stay numbers, and bytes are base64; the chain refuses
/// anything else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CascadeMetadata {
    /// Base64 of the BLAKE3 of the file; see [`data_hash`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data_hash: String,
    /// Name of the file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file_name: String,
    /// The counter of the first id file.
    #[serde(skip_serializing_if = "is_default")]
    pub rq_ids_ic: u64,
    /// Number of id files of each kind; set by the chain.
    #[serde(skip_serializing_if = "is_default")]
    pub rq_ids_max: u64,
    /// Content keys of the index id files; set by the finalizer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rq_ids_ids: Vec<String>,
    /// The signed index; see [`super::index::Signatures`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub signatures: String,
    /// Whether everybody may download the file.
    #[serde(skip_serializing_if = "is_default")]
    pub public: bool,
    /// The availability commitment, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_commitment: Option<AvailabilityCommitment>,
    /// The finalizer's proofs of the challenged chunks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chunk_proofs: Vec<ChunkProof>,
    /// Number of INDEX artifacts; 0 stands for the number of `rq_ids_ids`.
    #[serde(skip_serializing_if = "is_default")]
    pub index_artifact_count: u32,
    /// Number of SYMBOL artifacts; 0 stands for the number of `rq_ids_ids`.
    #[serde(skip_serializing_if = "is_default")]
    pub symbol_artifact_count: u32,
}

/// How many artifacts of each class a ticket has, neither being 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArtifactCounts {
    /// INDEX artifacts.
    pub index: u32,
    /// SYMBOL artifacts.
    pub symbol: u32,
}

/// Why metadata can't be read, or names no such artifact.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The document is too long.
    #[error("can't read metadata of {len_bytes} bytes: at most {METADATA_JSON_LEN_BYTES_MAX} are permitted")]
    TooLong {
        /// Length of the document.
        len_bytes: usize,
    },
    /// The document is not metadata.
    #[error("can't read the metadata document")]
    Malformed(#[source] serde_json::Error),
    /// The ticket has no artifacts, as long as it is not finalized.
    #[error("the ticket has no artifacts: it holds neither counts nor ids")]
    NoArtifacts,
    /// The class has no artifacts of its own.
    #[error("can't name an artifact of class {0}: expected INDEX or SYMBOL")]
    UnsupportedClass(ArtifactClass),
    /// There is no artifact with this ordinal.
    #[error("the ticket has no {class} artifact {ordinal}")]
    NoSuchArtifact {
        /// The class.
        class: ArtifactClass,
        /// The ordinal, from 0.
        ordinal: u32,
    },
    /// The metadata holds no signed index.
    #[error("the ticket's metadata holds no signatures")]
    NoSignatures,
    /// The metadata tells no number of id files.
    #[error("the ticket's metadata tells no rq_ids_max")]
    NoIdCount,
    /// The file's length is not positive, or too large to count with.
    #[error("can't tell an artifact's length from a file of {file_size_kib} KiB")]
    InvalidFileSize {
        /// Length of the file in KiB, as the action tells it.
        file_size_kib: i64,
    },
    /// One of the ids is no content key.
    #[error("one of the ticket's ids can't be used")]
    InvalidId(#[source] InvalidArtifactKey),
    /// An id file can't be made.
    #[error("can't derive an index file of the ticket")]
    IdFile(#[source] IdFileError),
}

impl CascadeMetadata {
    /// Reads the chain's JSON form.
    ///
    /// # Errors
    /// The document is too long, has unknown fields, or values of other types.
    pub fn from_json(json: &[u8]) -> Result<Self, MetadataError> {
        if json.len() > METADATA_JSON_LEN_BYTES_MAX {
            return Err(MetadataError::TooLong { len_bytes: json.len() });
        }
        serde_json::from_slice(json).map_err(MetadataError::Malformed)
    }

    /// The chain's JSON form.
    #[must_use]
    #[expect(clippy::expect_used, reason = "numbers, texts and arrays always have a JSON form")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("metadata has a JSON form")
    }

    /// The resolved artifact counts (wire 4.2).
    ///
    /// # Errors
    /// A count is 0, and there are no ids that could stand in.
    pub fn artifact_counts(&self) -> Result<ArtifactCounts, MetadataError> {
        let ids = u32::try_from(self.rq_ids_ids.len()).unwrap_or(u32::MAX);
        let resolve = |count: u32| if count == 0 { ids } else { count };
        let counts = ArtifactCounts {
            index: resolve(self.index_artifact_count),
            symbol: resolve(self.symbol_artifact_count),
        };
        if counts.index == 0 || counts.symbol == 0 { Err(MetadataError::NoArtifacts) } else { Ok(counts) }
    }

    /// The index id files that the metadata implies.
    ///
    /// # Errors
    /// The signatures or the count are missing, or beyond what id files permit.
    pub fn index_files(&self) -> Result<IdFileSeries<'_>, MetadataError> {
        if self.signatures.is_empty() {
            return Err(MetadataError::NoSignatures);
        }
        if self.rq_ids_max == 0 {
            return Err(MetadataError::NoIdCount);
        }
        let too_many = |_| MetadataError::IdFile(IdFileError::TooMany { count: self.rq_ids_max });
        let count = u32::try_from(self.rq_ids_max).map_err(too_many)?;
        IdFileSeries::new(&self.signatures, self.rq_ids_ic, count).map_err(MetadataError::IdFile)
    }

    /// The content key that a challenge names for an artifact (wire 4.3).
    ///
    /// # Errors
    /// There is no such artifact, or the metadata does not lead to it.
    pub fn artifact_key(&self, class: ArtifactClass, ordinal: u32) -> Result<ArtifactKey, MetadataError> {
        match class {
            ArtifactClass::Unspecified => Err(MetadataError::UnsupportedClass(class)),
            ArtifactClass::Index => Ok(ArtifactKey::of(&self.index_file(ordinal)?)),
            ArtifactClass::Symbol => match self.rq_ids_ids.get(ordinal as usize) {
                Some(id) => id.parse().map_err(MetadataError::InvalidId),
                None => Err(MetadataError::NoSuchArtifact { class, ordinal }),
            },
        }
    }

    /// The length of an artifact in bytes as the metadata tells it (wire 4.4).
    ///
    /// For SYMBOL this is an estimate from the file's length, unrelated to the artifact behind the key.
    ///
    /// # Errors
    /// There is no such artifact, or the metadata does not lead to it.
    pub fn artifact_len_bytes(
        &self,
        class: ArtifactClass,
        ordinal: u32,
        file_size_kib: i64,
    ) -> Result<u64, MetadataError> {
        match class {
            ArtifactClass::Unspecified => Err(MetadataError::UnsupportedClass(class)),
            ArtifactClass::Index => Ok(self.index_file(ordinal)?.len() as u64),
            ArtifactClass::Symbol => self.symbol_len_bytes(ordinal, file_size_kib),
        }
    }

    fn symbol_len_bytes(&self, ordinal: u32, file_size_kib: i64) -> Result<u64, MetadataError> {
        let invalid_size = || MetadataError::InvalidFileSize { file_size_kib };
        let file_len_bytes = u64::try_from(file_size_kib)
            .ok()
            .filter(|size| *size > 0)
            .and_then(|size| size.checked_mul(1024))
            .ok_or_else(invalid_size)?;
        if self.rq_ids_max == 0 {
            return Err(MetadataError::NoIdCount);
        }
        if ordinal as usize >= self.rq_ids_ids.len() {
            return Err(MetadataError::NoSuchArtifact { class: ArtifactClass::Symbol, ordinal });
        }
        Ok(file_len_bytes.div_ceil(self.rq_ids_max))
    }

    fn index_file(&self, ordinal: u32) -> Result<Vec<u8>, MetadataError> {
        match self.index_files()?.file(ordinal) {
            Err(IdFileError::NoSuchFile { ordinal, .. }) => {
                Err(MetadataError::NoSuchArtifact { class: ArtifactClass::Index, ordinal })
            }
            file => file.map_err(MetadataError::IdFile),
        }
    }
}

/// The data hash of a file with this BLAKE3: its base64 (wire 4.6).
///
/// ```
/// use lampkeeper_protocol::cascade::metadata::data_hash;
/// let digest = *lampkeeper_protocol::artifact_key::ArtifactKey::of(b"hello").as_bytes();
/// assert_eq!(data_hash(&digest), "6o8WPbOGgpJeRJHF5Y1Ls1Bu+MFOt4qG6QjFYkpnIA8=");
/// ```
#[must_use]
pub fn data_hash(digest: &Digest) -> String {
    STANDARD.encode(digest)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The metadata of wire 4.6's first example, finalized.
    fn metadata() -> CascadeMetadata {
        let signatures = "aW5kZXg=.c2ln".to_owned();
        let ids = IdFileSeries::new(&signatures, 1, 3).unwrap().keys().unwrap();
        CascadeMetadata {
            rq_ids_ic: 1,
            rq_ids_max: 3,
            rq_ids_ids: ids.iter().map(ToString::to_string).collect(),
            signatures,
            ..CascadeMetadata::default()
        }
    }

    #[test]
    fn the_json_form_is_what_the_chain_accepts() {
        let request = CascadeMetadata {
            data_hash: "aGFzaA==".to_owned(),
            file_name: "f".to_owned(),
            rq_ids_ic: 7,
            signatures: "a.b".to_owned(),
            public: true,
            ..CascadeMetadata::default()
        };
        let json =
            r#"{"data_hash":"aGFzaA==","file_name":"f","rq_ids_ic":7,"signatures":"a.b","public":true}"#;
        assert_eq!(request.to_json(), json);
        assert_eq!(CascadeMetadata::from_json(json.as_bytes()).unwrap(), request);
        let finalize = CascadeMetadata { rq_ids_ids: vec!["x".to_owned()], ..CascadeMetadata::default() };
        assert_eq!(finalize.to_json(), r#"{"rq_ids_ids":["x"]}"#);
        assert_eq!(CascadeMetadata::default().to_json(), "{}");
    }

    #[test]
    fn other_documents_are_refused() {
        let long = format!("{{}}{}", " ".repeat(METADATA_JSON_LEN_BYTES_MAX));
        for json in ["", "[1]", r#"{"unknown":1}"#, r#"{"rq_ids_ic":"7"}"#, r#"{"rq_ids_ic":-1}"#, &long] {
            assert!(CascadeMetadata::from_json(json.as_bytes()).is_err(), "{}", &json[..json.len().min(50)]);
        }
    }

    #[test]
    fn missing_counts_are_taken_from_the_ids() {
        // Told INDEX and SYMBOL counts, number of ids, resolved counts.
        let table = [
            (0, 0, 3, Some((3, 3))),
            (5, 0, 3, Some((5, 3))),
            (5, 7, 0, Some((5, 7))),
            (5, 0, 0, None),
            (0, 0, 0, None),
        ];
        for (index, symbol, ids, expected) in table {
            let metadata = CascadeMetadata {
                index_artifact_count: index,
                symbol_artifact_count: symbol,
                rq_ids_ids: vec!["x".to_owned(); ids],
                ..CascadeMetadata::default()
            };
            let counts = metadata.artifact_counts().ok().map(|counts| (counts.index, counts.symbol));
            assert_eq!(counts, expected, "{index}, {symbol} and {ids} ids");
        }
    }

    #[test]
    fn both_classes_name_the_same_files() {
        let metadata = metadata();
        for ordinal in 0..3 {
            let index = metadata.artifact_key(ArtifactClass::Index, ordinal).unwrap();
            assert_eq!(metadata.artifact_key(ArtifactClass::Symbol, ordinal).unwrap(), index);
            assert_eq!(metadata.artifact_len_bytes(ArtifactClass::Index, ordinal, 0).unwrap(), 24);
            // ceil(1000 * 1024 / 3)
            let symbol_len_bytes = metadata.artifact_len_bytes(ArtifactClass::Symbol, ordinal, 1000).unwrap();
            assert_eq!(symbol_len_bytes, 341_334);
        }
    }

    #[test]
    fn artifacts_that_do_not_exist_are_refused() {
        let good = metadata();
        for class in [ArtifactClass::Index, ArtifactClass::Symbol] {
            assert!(matches!(good.artifact_key(class, 3), Err(MetadataError::NoSuchArtifact { .. })));
            assert!(matches!(
                good.artifact_len_bytes(class, 3, 1),
                Err(MetadataError::NoSuchArtifact { .. })
            ));
        }
        let none = good.artifact_key(ArtifactClass::Unspecified, 0);
        assert!(matches!(none, Err(MetadataError::UnsupportedClass(_))));
        for size in [0, -1, i64::MAX] {
            let verdict = good.artifact_len_bytes(ArtifactClass::Symbol, 0, size);
            assert!(matches!(verdict, Err(MetadataError::InvalidFileSize { .. })), "{size}");
        }
        let unsigned = CascadeMetadata { signatures: String::new(), ..good.clone() };
        assert!(matches!(unsigned.artifact_key(ArtifactClass::Index, 0), Err(MetadataError::NoSignatures)));
        let uncounted = CascadeMetadata { rq_ids_max: 0, ..good.clone() };
        assert!(matches!(uncounted.artifact_key(ArtifactClass::Index, 0), Err(MetadataError::NoIdCount)));
        let hostile = CascadeMetadata { rq_ids_max: u64::MAX, ..good.clone() };
        assert!(matches!(hostile.artifact_key(ArtifactClass::Index, 0), Err(MetadataError::IdFile(_))));
        let garbled = CascadeMetadata { rq_ids_ids: vec!["0OIl".to_owned()], ..good };
        assert!(matches!(garbled.artifact_key(ArtifactClass::Symbol, 0), Err(MetadataError::InvalidId(_))));
    }

    proptest! {
        #[test]
        fn reading_arbitrary_text_never_panics(text in any::<String>()) {
            let _ = CascadeMetadata::from_json(text.as_bytes());
        }
    }
}
