//! What each set of known answers asks for, apart from layouts.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{outcome, parse};
use crate::hash::keyed_hash;
use crate::transcript::{self, ChallengedArtifact, Transcript};
use crate::words::{ArtifactClass, Bucket};
use crate::{assignment, heal, score, selection};

/// The longest artifact that a case may have made for it.
const MADE_ARTIFACT_LEN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most ranges that a case may ask for.
const RANGE_COUNT_MAX: i64 = 65_536;

fn bytes(hex: &str) -> Result<Vec<u8>, String> {
    hex::decode(hex).map_err(|error| error.to_string())
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

pub(super) fn assignment_hash(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        seed: String,
        parts: Vec<String>,
    }
    let Input { seed, parts } = parse(input)?;
    let parts = parts.iter().map(|part| bytes(part)).collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(json!(hex::encode(keyed_hash(&bytes(&seed)?, &parts))))
}

pub(super) fn select_targets(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        active: Vec<String>,
        seed: String,
        divisor: u32,
    }
    let Input { active, seed, divisor } = parse(input)?;
    Ok(json!(assignment::select_targets(&borrowed(&active), &bytes(&seed)?, divisor)))
}

pub(super) fn pair_challenger(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        challenger: String,
        targets: Vec<String>,
        seed: String,
        assigned: Vec<String>,
    }
    let Input { challenger, targets, seed, assigned } = parse(input)?;
    let (targets, assigned) = (borrowed(&targets), borrowed(&assigned));
    let target = assignment::pair_challenger(&challenger, &targets, &bytes(&seed)?, &assigned);
    Ok(json!(target.unwrap_or_default()))
}

pub(super) fn assign_challenger_targets(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        active: Vec<String>,
        selected_targets: Vec<String>,
        target_candidates: Vec<String>,
        seed: String,
    }
    let Input { active, selected_targets, target_candidates, seed } = parse(input)?;
    let (active, selected) = (borrowed(&active), borrowed(&selected_targets));
    let candidates = borrowed(&target_candidates);
    let assignment: BTreeMap<&str, &str> =
        assignment::assign(&active, &selected, &candidates, &bytes(&seed)?);
    Ok(json!(assignment))
}

pub(super) fn classify_bucket(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        current_height: i64,
        anchor_height: i64,
        recent_max: u64,
        old_min: u64,
    }
    let Input { current_height, anchor_height, recent_max, old_min } = parse(input)?;
    Ok(json!(selection::classify_bucket(current_height, anchor_height, recent_max, old_min)))
}

pub(super) fn select_ticket(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        tickets: Vec<String>,
        excluded: Vec<String>,
        seed: String,
        target: String,
        bucket: Bucket,
    }
    let Input { tickets, excluded, seed, target, bucket } = parse(input)?;
    let (tickets, excluded) = (borrowed(&tickets), borrowed(&excluded));
    let ticket = selection::select_ticket(tickets, &excluded, &bytes(&seed)?, &target, bucket);
    Ok(json!(ticket.unwrap_or_default()))
}

pub(super) fn select_artifact_class(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        seed: String,
        target: String,
        ticket_id: String,
        index_count: u32,
        symbol_count: u32,
    }
    let Input { seed, target, ticket_id, index_count, symbol_count } = parse(input)?;
    let seed = bytes(&seed)?;
    Ok(json!(selection::select_artifact_class(&seed, &target, &ticket_id, index_count, symbol_count)))
}

pub(super) fn select_artifact_ordinal(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        seed: String,
        target: String,
        ticket_id: String,
        class: ArtifactClass,
        count: u32,
    }
    let Input { seed, target, ticket_id, class, count } = parse(input)?;
    let ordinal = selection::select_artifact_ordinal(&bytes(&seed)?, &target, &ticket_id, class, count);
    Ok(outcome(ordinal))
}

/// The artifact that several sets name in the same way.
#[derive(Deserialize)]
struct ArtifactInput {
    seed: String,
    target: String,
    ticket_id: String,
    class: ArtifactClass,
    ordinal: u32,
}

impl ArtifactInput {
    fn artifact(&self) -> ChallengedArtifact<'_> {
        let Self { target, ticket_id, class, ordinal, .. } = self;
        ChallengedArtifact { target, ticket_id, class: *class, ordinal: *ordinal }
    }
}

pub(super) fn range_offsets(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        #[serde(flatten)]
        artifact: ArtifactInput,
        artifact_size: u64,
        range_len: u64,
        k: i64,
    }
    let Input { artifact, artifact_size, range_len, k } = parse(input)?;
    if k > RANGE_COUNT_MAX {
        return Err(format!("k is {k}, which is more than {RANGE_COUNT_MAX}"));
    }
    // A negative number of ranges is refused like none.
    let count = u32::try_from(k).unwrap_or(0);
    let seed = bytes(&artifact.seed)?;
    Ok(outcome(artifact.artifact().range_offsets(&seed, artifact_size, range_len, count)))
}

pub(super) fn derivation_input_hash(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        #[serde(flatten)]
        artifact: ArtifactInput,
        offsets: Vec<u64>,
        range_len: u64,
    }
    let Input { artifact, offsets, range_len } = parse(input)?;
    Ok(outcome(artifact.artifact().derivation_input_hash(&bytes(&artifact.seed)?, &offsets, range_len)))
}

pub(super) fn challenge_id(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        #[serde(flatten)]
        artifact: ArtifactInput,
        epoch_id: u64,
    }
    let Input { artifact, epoch_id } = parse(input)?;
    Ok(json!(artifact.artifact().challenge_id(&bytes(&artifact.seed)?, epoch_id)))
}

pub(super) fn compound_hash(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Data {
        Told { hex: String },
        Made { xof_seed: String, len: usize },
    }
    #[derive(Deserialize)]
    struct Input {
        data: Data,
        offsets: Vec<u64>,
        range_len: u64,
    }
    let Input { data, offsets, range_len } = parse(input)?;
    let data = match data {
        Data::Told { hex } => bytes(&hex)?,
        Data::Made { xof_seed, len } => made_bytes(&xof_seed, len)?,
    };
    Ok(outcome(transcript::compound_hash(&data, &offsets, range_len)))
}

/// The first bytes of BLAKE3's extendable output over a text.
pub(super) fn made_bytes(xof_seed: &str, len: usize) -> Result<Vec<u8>, String> {
    if len > MADE_ARTIFACT_LEN_BYTES_MAX {
        return Err(format!("{len} bytes are more than {MADE_ARTIFACT_LEN_BYTES_MAX}"));
    }
    let mut made = vec![0; len];
    blake3::Hasher::new().update(xof_seed.as_bytes()).finalize_xof().fill(&mut made);
    Ok(made)
}

pub(super) fn transcript_hash(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        epoch_id: u64,
        challenger: String,
        target: String,
        ticket_id: String,
        bucket: Bucket,
        class: ArtifactClass,
        ordinal: u32,
        artifact_key: String,
        derivation_input_hash: String,
        compound_proof_hash: String,
        observers: Vec<String>,
    }
    let input: Input = parse(input)?;
    let transcript = Transcript {
        epoch_id: input.epoch_id,
        challenger: &input.challenger,
        target: &input.target,
        ticket_id: &input.ticket_id,
        bucket: input.bucket,
        class: input.class,
        ordinal: input.ordinal,
        artifact_key: &input.artifact_key,
        derivation_input_hash: &input.derivation_input_hash,
        compound_proof_hash: &input.compound_proof_hash,
        observers: &borrowed(&input.observers),
    };
    Ok(outcome(transcript.hash()))
}

pub(super) fn negative_attestation_hash(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        reason: String,
    }
    let Input { reason } = parse(input)?;
    Ok(json!(heal::negative_attestation_hash(&reason)))
}

pub(super) fn heal_participants(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        accounts: Vec<String>,
        ticket_id: String,
        epoch_id: u64,
        verifier_count: u32,
    }
    let Input { accounts, ticket_id, epoch_id, verifier_count } = parse(input)?;
    let accounts = borrowed(&accounts);
    let drawn = heal::heal_participants(&accounts, &ticket_id, epoch_id, verifier_count);
    Ok(json!({"healer": drawn.healer.unwrap_or_default(), "verifiers": drawn.verifiers}))
}

pub(super) fn decay(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        score: i64,
        factor: i64,
        elapsed: u64,
    }
    let Input { score, factor, elapsed } = parse(input)?;
    Ok(json!(score::decay(score, factor, elapsed)))
}
