//! Evidence of a failed challenge that a third party can check without trusting whoever kept it.
//!
//! Owns the record's format, what it proves, and the checks on an answer that the challenger and `lampkeeper evidence
//! verify` share. Everything here is pure: no clock, no file, no network. When to keep evidence is the challenger's part,
//! keeping it the journal's. `docs/evidence.md` describes the format for those who check by hand.
//!
//! A target signs the hash of the bytes that it claims to hold at certain places of an artifact (wire 3.6). The artifact's
//! key authenticates the true bytes. So a record proves wrong bytes when it has both: the signed hash, and a verified slice
//! that leads to the key and hashes to something else. Neither depends on who made the record. Nothing else that a target
//! may do wrong is signed by it, and a record of it says that it is the challenger's word.

mod exchange;
mod record;
#[cfg(test)]
mod tests;
mod verify;

pub use exchange::{check_signature, shape_problem, transcript_hash};
pub use record::{
    Base64, Basis, EVIDENCE_FORMAT, EvidenceError, EvidenceRecord, Party, RESPONSE_LEN_BYTES_MAX,
};
pub use verify::{Finding, Statement, Verdict, Verification, verify};
