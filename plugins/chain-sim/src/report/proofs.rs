//! What the rows of proof in a report must satisfy (chain 4.3, chain 4.4).

use crate::api::TicketId;
use crate::api::chain::{EnforcementMode, Params, StorageProofResult};
use crate::message::{EpochReport, ProofEnum, UnnamedEnum};
use crate::names;
use crate::protocol::assignment::ReporterDuty;
use crate::protocol::words::{ArtifactClass, Bucket, ResultClass};
use crate::refusal::{Refusal, audit};
use crate::state::State;
use crate::state::facts::window;
use std::collections::BTreeSet;

/// The most rows of proof in a report (chain 4.2, step 10).
pub(crate) const PROOF_RESULTS_MAX: usize = 16;
/// The epochs of the RECENT bucket where the parameters don't say (chain 4.4).
const DEFAULT_RECENT_WINDOW_EPOCHS: u64 = 3;

/// Steps 10 and 11: number, form and coverage of the rows.
pub(super) fn well_formed(
    message: &EpochReport,
    creator: &str,
    duty: &ReporterDuty,
    params: &Params,
) -> Result<Vec<StorageProofResult>, Refusal> {
    let (results, invalid) = (&message.storage_proof_results, audit::INVALID_STORAGE_PROOFS);
    if results.len() > PROOF_RESULTS_MAX {
        let words = format!("too many storage proof results: got {}, max {PROOF_RESULTS_MAX}", results.len());
        return Err(invalid.because(words));
    }
    let is_full = params.storage_truth_enforcement_mode == EnforcementMode::Full;
    if results.is_empty() {
        return if is_full && duty.is_prober && !duty.targets.is_empty() {
            Err(invalid.because(
                "storage_proof_results must include RECENT and OLD entries for every assigned target",
            ))
        } else {
            Ok(Vec::new())
        };
    }
    if !duty.is_prober {
        let words = "reporter not eligible for storage proof results in this epoch";
        return Err(audit::INVALID_REPORTER_STATE.because(words));
    }
    let mut accepted: Vec<StorageProofResult> = Vec::with_capacity(results.len());
    for (index, result) in results.iter().enumerate() {
        let is_unnamed = |field| message.unnamed_enums.contains(&UnnamedEnum { row: index, field });
        let row = row(result.as_ref(), &is_unnamed, creator, duty, &accepted)
            .map_err(|words| invalid.because(format!("storage_proof_results[{index}]{words}")))?;
        accepted.push(row.clone());
    }
    if is_full {
        two_buckets(&accepted, duty).map_err(|words| invalid.because(words))?;
    }
    Ok(accepted)
}

/// The checks of one row, in order; the words follow the row's prefix.
fn row<'a>(
    result: Option<&'a StorageProofResult>,
    is_unnamed: &dyn Fn(ProofEnum) -> bool,
    creator: &str,
    duty: &ReporterDuty,
    earlier: &[StorageProofResult],
) -> Result<&'a StorageProofResult, String> {
    let result = result.ok_or(" must not be nil")?;
    accounts(result, creator, duty)?;
    let checks = [
        (result.transcript_hash.is_empty(), ".transcript_hash is required"),
        (
            result.bucket_type == Bucket::Unspecified || is_unnamed(ProofEnum::BucketType),
            ".bucket_type is invalid",
        ),
        (
            result.result_class == ResultClass::Unspecified || is_unnamed(ProofEnum::ResultClass),
            ".result_class is invalid",
        ),
    ];
    first_failure(&checks)?;
    if result.result_class == ResultClass::NoEligibleTicket {
        no_eligible_ticket(result, is_unnamed(ProofEnum::ArtifactClass))?;
    } else {
        with_ticket(result, is_unnamed(ProofEnum::ArtifactClass))?;
    }
    let is_confirmed = result.result_class == ResultClass::RecheckConfirmedFail;
    if is_confirmed && result.bucket_type != Bucket::Recheck {
        return Err(".result_class RECHECK_CONFIRMED_FAIL requires RECHECK bucket".to_owned());
    }
    if earlier.iter().any(|other| descriptor(other) == descriptor(result)) {
        return Err(" duplicates another storage proof result descriptor".to_owned());
    }
    Ok(result)
}

fn first_failure(checks: &[(bool, &str)]) -> Result<(), String> {
    match checks.iter().find(|(failed, _)| *failed) {
        Some((_, words)) => Err((*words).to_owned()),
        None => Ok(()),
    }
}

fn accounts(result: &StorageProofResult, creator: &str, duty: &ReporterDuty) -> Result<(), String> {
    let target = &result.target_supernode_account;
    let challenger = &result.challenger_supernode_account;
    let checks = [
        (target.is_empty(), ".target_supernode_account is required"),
        (challenger.is_empty(), ".challenger_supernode_account is required"),
        (challenger != creator, ".challenger_supernode_account must match report creator"),
        (target == creator, " must not target the reporter"),
    ];
    first_failure(&checks)?;
    if duty.targets.contains(target) {
        Ok(())
    } else {
        Err(format!(".target_supernode_account {target:?} is not assigned to reporter in this epoch"))
    }
}

fn no_eligible_ticket(result: &StorageProofResult, has_unnamed_class: bool) -> Result<(), String> {
    let is_canonical_bucket = matches!(result.bucket_type, Bucket::Recent | Bucket::Old);
    first_failure(&[
        (!is_canonical_bucket, ".result_class NO_ELIGIBLE_TICKET is only valid for RECENT or OLD buckets"),
        (!result.ticket_id.is_empty(), ".ticket_id must be empty for NO_ELIGIBLE_TICKET"),
        (
            result.artifact_class != ArtifactClass::Unspecified || has_unnamed_class,
            ".artifact_class must be UNSPECIFIED for NO_ELIGIBLE_TICKET",
        ),
        (result.artifact_ordinal != 0, ".artifact_ordinal must be 0 for NO_ELIGIBLE_TICKET"),
        (!result.artifact_key.is_empty(), ".artifact_key must be empty for NO_ELIGIBLE_TICKET"),
    ])
}

fn with_ticket(result: &StorageProofResult, has_unnamed_class: bool) -> Result<(), String> {
    first_failure(&[
        (result.ticket_id.is_empty(), ".ticket_id is required"),
        (result.artifact_count == 0, ".artifact_count must be > 0"),
        (result.artifact_ordinal >= result.artifact_count, ".artifact_ordinal must be < artifact_count"),
        (result.derivation_input_hash.is_empty(), ".derivation_input_hash is required"),
        (result.challenger_signature.is_empty(), ".challenger_signature is required"),
        (
            result.artifact_class == ArtifactClass::Unspecified || has_unnamed_class,
            ".artifact_class is invalid",
        ),
        (result.artifact_key.is_empty(), ".artifact_key is required"),
    ])
}

/// What must be unique in a report; neither the key nor the class of the result takes part.
fn descriptor(result: &StorageProofResult) -> (&str, Bucket, &str, ArtifactClass, u32) {
    (
        &result.target_supernode_account,
        result.bucket_type,
        &result.ticket_id,
        result.artifact_class,
        result.artifact_ordinal,
    )
}

/// Mode FULL: exactly one RECENT and one OLD row for each target.
fn two_buckets(results: &[StorageProofResult], duty: &ReporterDuty) -> Result<(), String> {
    let mut covered: BTreeSet<(&str, Bucket)> = BTreeSet::new();
    for (index, result) in results.iter().enumerate() {
        let target = result.target_supernode_account.as_str();
        let is_counted = matches!(result.bucket_type, Bucket::Recent | Bucket::Old)
            && duty.targets.iter().any(|assigned| assigned == target);
        if is_counted && !covered.insert((target, result.bucket_type)) {
            let bucket = result.bucket_type.name();
            return Err(format!(
                "storage_proof_results[{index}] duplicates {bucket} storage proof for assigned target {target:?}"
            ));
        }
    }
    for target in &duty.targets {
        if ![Bucket::Recent, Bucket::Old]
            .into_iter()
            .all(|bucket| covered.contains(&(target.as_str(), bucket)))
        {
            return Err(format!(
                "assigned target {target:?} must have exactly one RECENT and one OLD storage proof result"
            ));
        }
    }
    Ok(())
}

/// Step 12 (chain 4.4). Answers the tickets whose counts are not anchored.
pub(super) fn history_and_counts(
    state: &State,
    results: &[StorageProofResult],
    epoch_id: u64,
    params: &Params,
) -> Result<Vec<TicketId>, Refusal> {
    let mut unanchored = Vec::new();
    for (index, result) in results.iter().enumerate() {
        if result.result_class == ResultClass::NoEligibleTicket {
            no_eligible_ticket_is_credible(state, result, index, epoch_id, params)?;
        } else if !count_is_canonical(state, result, index)? {
            unanchored.push(result.ticket_id.clone());
        }
    }
    Ok(unanchored)
}

fn no_eligible_ticket_is_credible(
    state: &State,
    result: &StorageProofResult,
    index: usize,
    epoch_id: u64,
    params: &Params,
) -> Result<(), Refusal> {
    let length = match result.bucket_type {
        Bucket::Old => params.storage_truth_old_class_a_fault_window,
        _ => recent_window_epochs(params),
    };
    let target = &result.target_supernode_account;
    let bucket = result.bucket_type;
    let has_history =
        state.audit.transcripts.of_target(target, bucket, window(epoch_id, length)).any(|record| {
            record.result_class != ResultClass::NoEligibleTicket && !record.ticket_id.is_empty()
        });
    if has_history {
        return Err(audit::INVALID_STORAGE_PROOFS.because(format!(
            "storage_proof_results[{index}] NO_ELIGIBLE_TICKET conflicts with recently observed eligible ticket \
             history for target {target:?} bucket {}",
            names::bucket(bucket)
        )));
    }
    Ok(())
}

fn recent_window_epochs(params: &Params) -> u32 {
    let (blocks, length) = (params.storage_truth_recent_bucket_max_blocks, params.epoch_length_blocks);
    let epochs = if blocks == 0 || length == 0 {
        DEFAULT_RECENT_WINDOW_EPOCHS
    } else {
        blocks.div_ceil(length).max(1)
    };
    u32::try_from(epochs).unwrap_or(u32::MAX)
}

/// Whether the row's count is anchored; an error if it contradicts the anchored one.
fn count_is_canonical(state: &State, result: &StorageProofResult, index: usize) -> Result<bool, Refusal> {
    let counts = state.audit.artifact_counts.get(&result.ticket_id);
    let canonical = counts.map_or(0, |counts| counts.of(result.artifact_class));
    if canonical == 0 {
        return Ok(false);
    }
    let (count, ordinal, ticket_id) = (result.artifact_count, result.artifact_ordinal, &result.ticket_id);
    let class = match result.artifact_class {
        ArtifactClass::Index => "index",
        ArtifactClass::Symbol | ArtifactClass::Unspecified => "symbol",
    };
    if count != canonical {
        return Err(audit::ARTIFACT_COUNT_MISMATCH.because(format!(
            "storage_proof_results[{index}] {class} artifact_count {count} does not match canonical count \
             {canonical} for ticket {ticket_id:?}"
        )));
    }
    if ordinal >= canonical {
        return Err(audit::INVALID_STORAGE_PROOFS.because(format!(
            "storage_proof_results[{index}] artifact_ordinal {ordinal} out of range for canonical {class} count \
             {canonical} of ticket {ticket_id:?}"
        )));
    }
    Ok(true)
}
