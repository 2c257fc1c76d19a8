//! What a record proves, statement by statement.
//!
//! Owns the verdict. It depends on the record alone, so that everyone who asks gets the same one.

use super::exchange::{challenged, check_signature, class_of, len_of, shape_problem};
use super::record::{Basis, EvidenceRecord};
use crate::api::challenge::Observation;
use crate::protocol::account::PublicKey;
use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::transcript::hash_ranges;
use crate::protocol::verified_slice::{self, SLICE_RANGE_COUNT_MAX, SliceError, VerifiedRanges};
use lampkeeper_proto::supernode::{CompoundProofFailure, GetCompoundProofRequest, GetCompoundProofResponse};
use prost::Message;
use serde::Serialize;
use std::ops::Range;

/// What a record is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The target's own signature proves what the record says.
    Proven,
    /// The record is whole and consistent; what it says is the challenger's word.
    WordOnly,
    /// The record does not hold: it was changed, contradicts itself, or accuses wrongly.
    Broken,
}

/// What became of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It is true.
    Holds,
    /// It is not.
    Fails,
    /// The record has nothing to check it with.
    Absent,
}

/// Something that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// What it is about.
    pub subject: &'static str,
    /// What became of it.
    pub finding: Finding,
    /// Whether the record can't stand without it. The others are about the target's answer, and may well fail.
    pub is_required: bool,
    /// More, for people.
    pub text: String,
}

/// The outcome of checking a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// What was checked, in order.
    pub statements: Vec<Statement>,
    /// What the record is worth.
    pub verdict: Verdict,
    /// Why, for people.
    pub conclusion: String,
}

/// Checks everything in a record that can be checked without asking anybody.
///
/// What remains for whoever wants to be sure: that the two accounts are supernodes, that the ticket's documents list the
/// artifact, and that the epoch has this seed; the chain knows all three.
#[must_use]
pub fn verify(record: &EvidenceRecord) -> Verification {
    let mut list = Checklist::default();
    let challenger = record.challenger.key();
    list.require("challenger's key", challenger.as_ref().map(|_| record.challenger.account.clone()));
    let signature = challenger.and_then(|key| check_record_signature(record, &key));
    list.require("record", signature.map(|()| format!("unchanged since it was signed; {}", record.digest())));
    let target = record.target.key();
    list.require("target's key", target.as_ref().map(|_| record.target.account.clone()));
    let request = read_request(record);
    let said = |request: &GetCompoundProofRequest| {
        format!("{} ranges of artifact {}", request.ranges.len(), record.artifact_key)
    };
    list.require("request", request.as_ref().map(said));
    let (Ok(target), Ok(request)) = (target, request) else { return list.broken() };
    let facts = Facts::of(record, &request, &target);
    facts.tell(&mut list);
    list.require("observation", facts.agree_with(record).map(|()| observation_text(record)));
    let basis = facts.basis(record);
    let agrees = match basis == record.basis {
        true => Ok(basis.name().to_owned()),
        false => Err(format!("the record says {}, but it is {}", record.basis.name(), basis.name())),
    };
    list.require("basis", agrees);
    list.conclude(record, basis)
}

/// What a record rests on, whatever it says itself.
pub(super) fn basis_of(record: &EvidenceRecord) -> Basis {
    match (record.target.key(), read_request(record)) {
        (Ok(target), Ok(request)) => Facts::of(record, &request, &target).basis(record),
        _ => Basis::ChallengerWord,
    }
}

impl EvidenceRecord {
    /// The record with the basis that its parts amount to.
    #[must_use]
    pub fn with_basis(mut self) -> Self {
        self.basis = basis_of(&self);
        self
    }
}

fn observation_text(record: &EvidenceRecord) -> String {
    match record.details.is_empty() {
        true => record.observation.clone(),
        false => format!("{}: {}", record.observation, record.details),
    }
}

#[derive(Default)]
struct Checklist {
    statements: Vec<Statement>,
}

impl Checklist {
    fn require<E: ToString>(&mut self, subject: &'static str, outcome: Result<String, E>) {
        let (finding, text) = match outcome {
            Ok(text) => (Finding::Holds, text),
            Err(error) => (Finding::Fails, error.to_string()),
        };
        self.statements.push(Statement { subject, finding, is_required: true, text });
    }

    fn note(&mut self, subject: &'static str, finding: Finding, text: impl Into<String>) {
        self.statements.push(Statement { subject, finding, is_required: false, text: text.into() });
    }

    fn broken(self) -> Verification {
        let failed = self.statements.iter().find(|s| s.is_required && s.finding == Finding::Fails);
        let conclusion = match failed {
            Some(failed) => format!("does not hold: {}: {}", failed.subject, failed.text),
            None => "does not hold".to_owned(),
        };
        Verification { statements: self.statements, verdict: Verdict::Broken, conclusion }
    }

    fn conclude(self, record: &EvidenceRecord, basis: Basis) -> Verification {
        if self.statements.iter().any(|s| s.is_required && s.finding == Finding::Fails) {
            return self.broken();
        }
        let (verdict, conclusion) = match basis {
            Basis::TargetSignature => (
                Verdict::Proven,
                format!(
                    "proven by the target's signature: {} vouched for bytes of artifact {} that are not its bytes",
                    record.target.account, record.artifact_key
                ),
            ),
            Basis::ChallengerWord => (
                Verdict::WordOnly,
                format!(
                    "the word of {}: nothing that the target signed shows that it was {}",
                    record.challenger.account, record.observation
                ),
            ),
        };
        Verification { statements: self.statements, verdict, conclusion }
    }
}

fn check_record_signature(record: &EvidenceRecord, key: &PublicKey) -> Result<(), String> {
    let signature = hex::decode(&record.challenger_signature)
        .map_err(|_| "the challenger's signature is not hex".to_owned())?;
    key.verify(record.digest().as_bytes(), &signature)
        .map_err(|_| "it is not what the challenger signed: it was changed".to_owned())
}

/// The request, if it is the one that the record is about.
fn read_request(record: &EvidenceRecord) -> Result<GetCompoundProofRequest, String> {
    let request = GetCompoundProofRequest::decode(record.request.0.as_slice())
        .map_err(|_| "it is not a message of the protocol".to_owned())?;
    let class = class_of(&request).unwrap_or_default();
    let agrees = [
        ("epoch", request.epoch_id == record.epoch_id),
        ("challenger", request.challenger_account == record.challenger.account),
        ("target", request.target_supernode_account == record.target.account),
        ("ticket", request.ticket_id == record.ticket_id),
        ("bucket", i32::try_from(request.bucket_type) == Ok(record.bucket.number())),
        ("class", class == record.artifact_class && class.domain_word().is_some()),
        ("ordinal", request.artifact_ordinal == record.artifact_ordinal),
        ("key", request.artifact_key == record.artifact_key),
        ("length", request.artifact_size == record.artifact_len_bytes),
    ];
    if let Some((what, _)) = agrees.iter().find(|(_, agrees)| !agrees) {
        return Err(format!("its {what} is not the record's"));
    }
    if request.challenge_id != challenged(&request, class).challenge_id(&request.seed, request.epoch_id) {
        return Err("its id does not follow from its parts".to_owned());
    }
    let len_bytes = request.ranges.first().map_or(0, len_of);
    let fits = |range: &lampkeeper_proto::supernode::ByteRange| {
        range.start < range.end && len_of(range) == len_bytes && range.end <= request.artifact_size
    };
    if request.ranges.is_empty() || request.ranges.len() > SLICE_RANGE_COUNT_MAX {
        return Err(format!("it has {} ranges: expected 1 to {SLICE_RANGE_COUNT_MAX}", request.ranges.len()));
    }
    if !request.ranges.iter().all(fits) {
        return Err("a range is empty, of another length than the others, or outside the artifact".to_owned());
    }
    record.artifact_key.parse::<ArtifactKey>().map_err(|error| error.to_string())?;
    Ok(request)
}

/// What the target's answer is.
enum Answer {
    None,
    Unreadable,
    Read(Box<Read>),
}

/// An answer that could be decoded, and what holds of it.
struct Read {
    response: GetCompoundProofResponse,
    shape_problem: Option<String>,
    hash_agrees: bool,
    /// Whether the target signed the answer's proof hash for this request.
    signature: Result<(), String>,
    /// What the answer's own slice proves; `None` if it has none.
    slice: Option<Result<VerifiedRanges, SliceError>>,
}

struct Facts {
    answer: Answer,
    /// What the challenger's slice proves.
    authentic: Option<Result<VerifiedRanges, SliceError>>,
}

impl Facts {
    fn of(record: &EvidenceRecord, request: &GetCompoundProofRequest, target: &PublicKey) -> Self {
        let ranges: Vec<Range<u64>> = request.ranges.iter().map(|range| range.start..range.end).collect();
        // Both were checked with the request; a key that is none leads nowhere.
        let key = record.artifact_key.parse().unwrap_or_else(|_| ArtifactKey::from_bytes([0; 32]));
        let lead = |proof: &[u8]| verified_slice::verify(&key, proof, &ranges);
        let answer = match &record.response {
            None => Answer::None,
            Some(bytes) => match GetCompoundProofResponse::decode(bytes.0.as_slice()) {
                Err(_) => Answer::Unreadable,
                Ok(response) => {
                    let proof_hash = response.proof_hash_hex.to_ascii_lowercase();
                    let own = hash_ranges(response.range_bytes.iter().map(Vec::as_slice));
                    let slices = response.verified_slices.as_slice();
                    Answer::Read(Box::new(Read {
                        shape_problem: shape_problem(request, &response),
                        hash_agrees: own == proof_hash,
                        signature: check_signature(request, &response, &proof_hash, target),
                        slice: (!slices.is_empty()).then(|| lead(slices)),
                        response,
                    }))
                }
            },
        };
        Self { answer, authentic: record.authentic_slice.as_ref().map(|slice| lead(&slice.0)) }
    }

    /// The true bytes of the ranges, as far as something leads from them to the key.
    fn true_ranges(&self) -> Option<&VerifiedRanges> {
        let of_answer = match &self.answer {
            Answer::Read(read) => read.slice.as_ref(),
            _ => None,
        };
        [self.authentic.as_ref(), of_answer].into_iter().flatten().find_map(|slice| slice.as_ref().ok())
    }

    /// Only a signed hash that is not the hash of the true bytes proves anything to others.
    fn basis(&self, record: &EvidenceRecord) -> Basis {
        let Answer::Read(read) = &self.answer else { return Basis::ChallengerWord };
        let Some(proven) = self.true_ranges() else { return Basis::ChallengerWord };
        let true_hash = hash_ranges(proven.ranges.iter().map(Vec::as_slice));
        let is_contradicted = !read.response.proof_hash_hex.eq_ignore_ascii_case(&true_hash);
        let is_wrong_bytes = record.observation == Observation::WrongBytes.name();
        match is_wrong_bytes && read.response.ok && read.signature.is_ok() && is_contradicted {
            true => Basis::TargetSignature,
            false => Basis::ChallengerWord,
        }
    }

    fn tell(&self, list: &mut Checklist) {
        match &self.answer {
            Answer::None => list.note("answer", Finding::Absent, "none was kept"),
            Answer::Unreadable => list.note("answer", Finding::Fails, "it is not a message of the protocol"),
            Answer::Read(read) => read.tell(list),
        }
        match &self.authentic {
            None => list.note("true bytes", Finding::Absent, "the record has no slice of another copy"),
            Some(Ok(proven)) => {
                let text = format!("a slice of {} bytes leads to the artifact's key", proven.len_bytes);
                list.note("true bytes", Finding::Holds, text);
            }
            Some(Err(error)) => list.note("true bytes", Finding::Fails, error.to_string()),
        }
    }

    /// Whether the record observes what its parts show.
    fn agree_with(&self, record: &EvidenceRecord) -> Result<(), String> {
        let observation = Observation::from_name(&record.observation)
            .ok_or_else(|| format!("`{}` is not an observation", record.observation))?;
        if let Some(slice) = &self.authentic {
            let proven = slice.as_ref().map_err(|error| format!("its own slice is wrong: {error}"))?;
            if proven.len_bytes != record.artifact_len_bytes {
                return Err(format!(
                    "the artifact has {} bytes, so that the question was wrong",
                    proven.len_bytes
                ));
            }
        }
        if self.exonerates(record) {
            return Err(
                "the answer proves the bytes that were asked for: the record accuses wrongly".to_owned()
            );
        }
        match self.shows(observation) {
            true => Ok(()),
            false => Err(format!("the answer does not show {}", record.observation)),
        }
    }

    /// Whether the answer is one of a target that has the bytes.
    fn exonerates(&self, record: &EvidenceRecord) -> bool {
        let Answer::Read(read) = &self.answer else { return false };
        let is_sound = read.response.ok
            && read.shape_problem.is_none()
            && read.hash_agrees
            && read.signature.is_ok()
            && !matches!(read.slice, Some(Err(_)));
        is_sound
            && self.true_ranges().is_some_and(|proven| {
                proven.len_bytes == record.artifact_len_bytes && proven.ranges == read.response.range_bytes
            })
    }

    fn shows(&self, observation: Observation) -> bool {
        let read = match &self.answer {
            Answer::None => {
                return matches!(
                    observation,
                    Observation::TimedOut
                        | Observation::Unreachable
                        | Observation::Refused
                        | Observation::Malformed
                );
            }
            Answer::Unreadable => return observation == Observation::Malformed,
            Answer::Read(read) => read,
        };
        let response = &read.response;
        let failure = response.failure();
        let is_silent = failure == CompoundProofFailure::Unspecified && response.error.is_empty();
        match observation {
            Observation::TimedOut => {
                !response.ok && (is_silent || failure == CompoundProofFailure::Unavailable)
            }
            Observation::Refused => !response.ok,
            Observation::Missing => !response.ok && failure == CompoundProofFailure::Missing,
            Observation::Malformed => {
                response.ok && (read.shape_problem.is_some() || read.signature.is_err())
            }
            Observation::WrongBytes if response.ok => {
                let differs = |slice: &Result<VerifiedRanges, SliceError>| {
                    slice.as_ref().map_or(true, |proven| proven.ranges != response.range_bytes)
                };
                read.shape_problem.is_none()
                    && (!read.hash_agrees
                        || read.slice.as_ref().is_some_and(differs)
                        || self.authentic.as_ref().is_some_and(differs)
                        || (read.slice.is_none() && self.authentic.is_none()))
            }
            Observation::WrongBytes => failure == CompoundProofFailure::Damaged,
            _ => false,
        }
    }
}

impl Read {
    fn tell(&self, list: &mut Checklist) {
        if !self.response.ok {
            let text = format!("the target answers that it can't: {}", self.response.failure().as_str_name());
            list.note("answer", Finding::Holds, format!("{text}; such answers are not signed"));
            return;
        }
        match &self.shape_problem {
            None => list.note("answer", Finding::Holds, "it is to this request"),
            Some(problem) => list.note("answer", Finding::Fails, problem),
        }
        match &self.signature {
            Ok(()) => list.note("target's signature", Finding::Holds, "over the transcript with its hash"),
            Err(problem) => list.note("target's signature", Finding::Fails, problem),
        }
        match self.hash_agrees {
            true => list.note("answer's hash", Finding::Holds, "it is that of the answer's bytes"),
            false => list.note("answer's hash", Finding::Fails, "the answer's bytes have another"),
        }
        match &self.slice {
            None => list.note("answer's slice", Finding::Absent, "the answer has none, as older peers' have"),
            Some(Err(error)) => list.note("answer's slice", Finding::Fails, error.to_string()),
            Some(Ok(proven)) if proven.ranges == self.response.range_bytes => {
                list.note("answer's slice", Finding::Holds, "it leads from the answer's bytes to the key");
            }
            Some(Ok(_)) => {
                let text = "it leads to the key, but from other bytes than the answer's";
                list.note("answer's slice", Finding::Fails, text);
            }
        }
    }
}
