//! Weighs a target's answer: does it prove what was asked?
//!
//! Owns the verdict about one answer, as a pure function of the request, the answer, the target's key and, for a peer
//! that sends no verified slices, an authenticated copy of the artifact. Asking again, and blaming, is `ask`'s part.

use lampkeeper_plugin_sdk::api::challenge::Observation;
use lampkeeper_plugin_sdk::evidence::{check_signature, shape_problem};
use lampkeeper_plugin_sdk::protocol::account::PublicKey;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::transcript::hash_ranges;
use lampkeeper_plugin_sdk::protocol::verified_slice::{self, SliceError};
use lampkeeper_proto::supernode::{CompoundProofFailure, GetCompoundProofRequest, GetCompoundProofResponse};
use std::ops::Range;

/// What an answer amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Weighed {
    /// Proven; the hash of the ranges goes into the transcript.
    Proven {
        /// Hex of BLAKE3 over the ranges.
        proof_hash: String,
        /// How it was proven, for events.
        proof: &'static str,
        /// Bytes of the proof.
        proof_bytes: u64,
    },
    /// An authenticated copy of the artifact has to decide: the answer has ranges but no slices, as older peers send it;
    /// or the target disputes a length that only the ticket's documents state.
    NeedsCopy,
    /// The answer counts against the target.
    Against(Observation, String),
    /// The target is busy or can't read its disk now: as good as no answer.
    NoAnswer(String),
    /// The ticket's documents are wrong about the artifact, and that is proven: nobody can be challenged for it.
    Unfit(String),
}

/// What was asked, and of whom.
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a GetCompoundProofRequest,
    pub(crate) key: ArtifactKey,
    pub(crate) len_bytes: u64,
    pub(crate) target_key: &'a PublicKey,
}

/// Weighs an answer. `copy` is the artifact itself, already checked against its key.
pub(crate) fn weigh(asked: &Asked<'_>, response: &GetCompoundProofResponse, copy: Option<&[u8]>) -> Weighed {
    if !response.ok {
        return refusal(asked, response, copy);
    }
    if let Some(problem) = shape_problem(asked.request, response) {
        return Weighed::Against(Observation::Malformed, problem);
    }
    let proof_hash = hash_ranges(response.range_bytes.iter().map(Vec::as_slice));
    if !proof_hash.eq_ignore_ascii_case(&response.proof_hash_hex) {
        return Weighed::Against(
            Observation::WrongBytes,
            "the bytes do not hash to the answer's own hash".to_owned(),
        );
    }
    // The target signs what it claims (wire 3.6); older challengers never look.
    if let Err(problem) = check_signature(asked.request, response, &proof_hash, asked.target_key) {
        return Weighed::Against(Observation::Malformed, problem);
    }
    if response.verified_slices.is_empty() {
        return by_copy(asked, copy, |copy| compare(asked, response, copy, proof_hash));
    }
    check_slices(asked, response, copy, proof_hash)
}

/// The longest text of a peer that is passed on.
const TEXT_LEN_CHARS_MAX: usize = 200;

fn refusal(asked: &Asked<'_>, response: &GetCompoundProofResponse, copy: Option<&[u8]>) -> Weighed {
    let mut text: String = response.error.chars().take(TEXT_LEN_CHARS_MAX).collect();
    let failure = response.failure();
    // An older peer gives no reason that a program may read: no text is no answer, any text an invalid one (wire 3.7,
    // without its reading of the text).
    if failure == CompoundProofFailure::Unspecified && text.is_empty() {
        return Weighed::NoAnswer("no response".to_owned());
    }
    if text.is_empty() {
        text = format!("the target answers {}", failure.as_str_name());
    }
    match failure {
        CompoundProofFailure::Missing => Weighed::Against(Observation::Missing, text),
        CompoundProofFailure::Damaged => Weighed::Against(Observation::WrongBytes, text),
        CompoundProofFailure::Unavailable => Weighed::NoAnswer(text),
        // Our requests are valid by construction, unless the length in the ticket's documents is wrong. A target that
        // merely says so has refused; otherwise these words would excuse everybody.
        CompoundProofFailure::InvalidRequest => {
            by_copy(asked, copy, |_| Weighed::Against(Observation::Refused, text))
        }
        CompoundProofFailure::Unspecified => Weighed::Against(Observation::Refused, text),
    }
}

fn check_slices(
    asked: &Asked<'_>,
    response: &GetCompoundProofResponse,
    copy: Option<&[u8]>,
    proof_hash: String,
) -> Weighed {
    let ranges: Vec<Range<u64>> = asked.request.ranges.iter().map(|range| range.start..range.end).collect();
    let proof_bytes = response.verified_slices.len() as u64;
    match verified_slice::verify(&asked.key, &response.verified_slices, &ranges) {
        // The length that the target states leaves no room for the ranges. It is not proven, so a copy has to tell
        // whether the target lies or the ticket's documents do.
        Err(error @ SliceError::RangeOutsideArtifact { .. }) => by_copy(asked, copy, |_| {
            Weighed::Against(Observation::WrongBytes, format!("the target states a false length: {error}"))
        }),
        Err(error) if error.blames_peer() => Weighed::Against(Observation::WrongBytes, error.to_string()),
        Err(error) => Weighed::Unfit(error.to_string()),
        Ok(proven) if proven.len_bytes != asked.len_bytes => Weighed::Unfit(wrong_documents(asked)),
        Ok(proven) if proven.ranges != response.range_bytes => {
            Weighed::Against(Observation::WrongBytes, "the ranges are not those of the proof".to_owned())
        }
        Ok(_) => Weighed::Proven { proof_hash, proof: "verified_slice", proof_bytes },
    }
}

/// Lets an authenticated copy decide, once it is there. If even its length is not what the ticket's documents say, no
/// target can answer as asked.
fn by_copy(asked: &Asked<'_>, copy: Option<&[u8]>, decide: impl FnOnce(&[u8]) -> Weighed) -> Weighed {
    match copy {
        None => Weighed::NeedsCopy,
        Some(copy) if copy.len() as u64 != asked.len_bytes => Weighed::Unfit(wrong_documents(asked)),
        Some(copy) => decide(copy),
    }
}

fn wrong_documents(asked: &Asked<'_>) -> String {
    format!(
        "artifact {} does not have the {} bytes that the ticket's documents say",
        asked.key, asked.len_bytes
    )
}

fn compare(
    asked: &Asked<'_>,
    response: &GetCompoundProofResponse,
    copy: &[u8],
    proof_hash: String,
) -> Weighed {
    let same = asked.request.ranges.iter().zip(&response.range_bytes).all(|(range, bytes)| {
        let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
        matches!((start, end), (Ok(start), Ok(end)) if copy.get(start..end) == Some(bytes.as_slice()))
    });
    if same {
        let proof_bytes = response.range_bytes.iter().map(|range| range.len() as u64).sum();
        Weighed::Proven { proof_hash, proof: "compared", proof_bytes }
    } else {
        Weighed::Against(
            Observation::WrongBytes,
            "the bytes differ from those of another holder's copy".to_owned(),
        )
    }
}
