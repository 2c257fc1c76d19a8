//! The record: its fields, its text, its digest and its signature.

use crate::api::history::EVIDENCE_RECORD_LEN_BYTES_MAX;
use crate::api::signer::Signer;
use crate::protocol::account::{KeyType, PublicKey};
use crate::protocol::verified_slice::PROOF_LEN_BYTES_MAX;
use crate::protocol::words::{ArtifactClass, Bucket};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Name and version of the format; the first field of every record.
pub const EVIDENCE_FORMAT: &str = "lampkeeper-evidence/1";
/// The longest answer that a record holds; a longer one is left out.
pub const RESPONSE_LEN_BYTES_MAX: usize = 384 * 1024;
/// The longest request that a record holds.
const REQUEST_LEN_BYTES_MAX: usize = 16 * 1024;
/// Room for everything but request, answer and slice.
const OTHER_FIELDS_LEN_BYTES: usize = 32 * 1024;

const _: () = assert!(
    (REQUEST_LEN_BYTES_MAX + RESPONSE_LEN_BYTES_MAX + PROOF_LEN_BYTES_MAX) / 3 * 4 + OTHER_FIELDS_LEN_BYTES
        <= EVIDENCE_RECORD_LEN_BYTES_MAX,
    "a record with the longest answer and the longest slice would not be kept"
);

/// Bytes that are written in base64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// An account and the key that it is the address of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// The account.
    pub account: String,
    /// The key's protobuf type URL (wire 11.3).
    pub public_key_type: String,
    /// The compressed key, hex.
    pub public_key: String,
}

impl Party {
    /// The party of a key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        Self {
            account: key.account(),
            public_key_type: key.key_type().type_url().to_owned(),
            public_key: hex::encode(key.to_bytes()),
        }
    }

    /// The key, if it is one and the account is its address.
    ///
    /// # Errors
    /// Which of both it is not.
    pub fn key(&self) -> Result<PublicKey, String> {
        let key_type = KeyType::from_type_url(&self.public_key_type)
            .ok_or_else(|| format!("`{}` is not a type of key", self.public_key_type))?;
        let bytes = hex::decode(&self.public_key).map_err(|_| "the key is not hex".to_owned())?;
        let key = PublicKey::from_bytes(key_type, &bytes).map_err(|error| error.to_string())?;
        match key.account() == self.account {
            true => Ok(key),
            false => Err(format!("the key's address is {}, not {}", key.account(), self.account)),
        }
    }
}

/// What a record rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The target's own signature.
    TargetSignature,
    /// The word of the challenger.
    ChallengerWord,
}

impl Basis {
    /// The word in the record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TargetSignature => "target_signature",
            Self::ChallengerWord => "challenger_word",
        }
    }
}

/// Evidence of one failed challenge, as it is handed to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRecord {
    /// [`EVIDENCE_FORMAT`].
    pub format: String,
    /// The network.
    pub chain_id: String,
    /// The epoch of the challenge.
    pub epoch_id: u64,
    /// When the record was made, in milliseconds since 1970, by the challenger's clock.
    pub recorded_at_ms: i64,
    /// Who asked, and vouches for the record.
    pub challenger: Party,
    /// Who was asked.
    pub target: Party,
    /// The ticket.
    pub ticket_id: String,
    /// The ticket's data hash on the chain, which names its signed documents; empty if the chain could not be asked.
    pub ticket_data_hash: String,
    /// Why the challenge was made.
    pub bucket: Bucket,
    /// The class of the artifact.
    pub artifact_class: ArtifactClass,
    /// The ordinal in the row.
    pub artifact_ordinal: u32,
    /// The artifact's key, base58.
    pub artifact_key: String,
    /// Its length as the ticket's signed documents have it; never the target's claim.
    pub artifact_len_bytes: u64,
    /// What was observed: the name of an [`Observation`](crate::api::challenge::Observation).
    pub observation: String,
    /// More about it, for people.
    pub details: String,
    /// How often the target was asked before.
    pub attempts: u32,
    /// What the record rests on.
    pub basis: Basis,
    /// The transcript hash of the row that the challenger made of it (wire 1.15); it connects the record with the chain.
    pub row_transcript_hash: String,
    /// The request of the last attempt: a `supernode.GetCompoundProofRequest`.
    pub request: Base64,
    /// Its answer as received, a `supernode.GetCompoundProofResponse` if it is well formed; absent if there was none, or if
    /// it was longer than [`RESPONSE_LEN_BYTES_MAX`].
    pub response: Option<Base64>,
    /// A verified slice of the true artifact for the request's ranges, made by the challenger of a copy from elsewhere.
    pub authentic_slice: Option<Base64>,
    /// The challenger's signature over the hex digits of the digest of all fields above, hex.
    pub challenger_signature: String,
}

/// Why a text is no record, or a record can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// It is longer than any record.
    #[error(
        "{len_bytes} bytes are more than a record of evidence may have ({EVIDENCE_RECORD_LEN_BYTES_MAX})"
    )]
    TooLong {
        /// Its length.
        len_bytes: usize,
    },
    /// It is no JSON, or lacks fields, or has others.
    #[error("this is not a record of evidence: {reason}")]
    NotARecord {
        /// What is wrong.
        reason: String,
    },
    /// Another version made it.
    #[error("the record has the format `{format}`; this version reads `{EVIDENCE_FORMAT}`")]
    OtherFormat {
        /// Its format.
        format: String,
    },
    /// The challenger's key could not be used.
    #[error("signing the record: {reason}")]
    NotSigned {
        /// Why not.
        reason: String,
    },
}

/// The field that tells a record of another version from a text that is none.
#[derive(Deserialize)]
struct FormatOnly {
    format: String,
}

impl EvidenceRecord {
    /// Reads a record. Its statements are not checked: that is [`verify`](super::verify)'s part.
    ///
    /// # Errors
    /// The text is too long, no record, or of another version.
    pub fn from_json(text: &str) -> Result<Self, EvidenceError> {
        if text.len() > EVIDENCE_RECORD_LEN_BYTES_MAX {
            return Err(EvidenceError::TooLong { len_bytes: text.len() });
        }
        let no_record = |error: serde_json::Error| EvidenceError::NotARecord { reason: error.to_string() };
        let FormatOnly { format } = serde_json::from_str(text).map_err(no_record)?;
        if format != EVIDENCE_FORMAT {
            return Err(EvidenceError::OtherFormat { format });
        }
        serde_json::from_str(text).map_err(no_record)
    }

    /// The record's text.
    ///
    /// # Errors
    /// The text would be too long to be read again.
    pub fn to_json(&self) -> Result<String, EvidenceError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| EvidenceError::NotARecord { reason: error.to_string() })?;
        match text.len() > EVIDENCE_RECORD_LEN_BYTES_MAX {
            true => Err(EvidenceError::TooLong { len_bytes: text.len() }),
            false => Ok(text),
        }
    }

    /// The digest of all fields but the signature, 64 hex digits: BLAKE3 over the fields in the order of the format, each
    /// preceded by its length (8 bytes, big-endian). It names the record.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes()).update(bytes);
        };
        part(self.format.as_bytes());
        part(self.chain_id.as_bytes());
        part(self.epoch_id.to_string().as_bytes());
        part(self.recorded_at_ms.to_string().as_bytes());
        for Party { account, public_key_type, public_key } in [&self.challenger, &self.target] {
            part(account.as_bytes());
            part(public_key_type.as_bytes());
            part(public_key.as_bytes());
        }
        part(self.ticket_id.as_bytes());
        part(self.ticket_data_hash.as_bytes());
        part(self.bucket.name().as_bytes());
        part(self.artifact_class.name().as_bytes());
        part(self.artifact_ordinal.to_string().as_bytes());
        part(self.artifact_key.as_bytes());
        part(self.artifact_len_bytes.to_string().as_bytes());
        part(self.observation.as_bytes());
        part(self.details.as_bytes());
        part(self.attempts.to_string().as_bytes());
        part(self.basis.name().as_bytes());
        part(self.row_transcript_hash.as_bytes());
        part(&self.request.0);
        for optional in [&self.response, &self.authentic_slice] {
            match optional {
                None => part(b"absent"),
                Some(bytes) => {
                    part(b"present");
                    part(&bytes.0);
                }
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The record with the challenger's signature.
    ///
    /// # Errors
    /// The key could not be used.
    pub fn signed(mut self, signer: &dyn Signer) -> Result<Self, EvidenceError> {
        let signature = signer.sign(self.digest().as_bytes());
        let signature = signature.map_err(|error| EvidenceError::NotSigned { reason: error.to_string() })?;
        self.challenger_signature = hex::encode(signature);
        Ok(self)
    }
}
