//! What a report must satisfy, in the chain's order (chain 4.2).

use super::proofs;
use crate::api::chain::{self, HostReport, Params, StorageChallengeObservation};
use crate::api::{Account, TicketId};
use crate::message::EpochReport;
use crate::protocol::assignment::ReporterDuty;
use crate::refusal::{ErrorCode, Refusal, audit};
use crate::state::State;
use std::collections::BTreeSet;

/// A report that passed every check.
pub(super) struct Accepted {
    pub(super) report: chain::EpochReport,
    /// The parameters of the epoch.
    pub(super) params: Params,
    /// Whether a prober left out a target (chain 4.2, step 9c).
    pub(super) incomplete: bool,
    /// Tickets of rows whose count is not anchored, in order.
    pub(super) unanchored: Vec<TicketId>,
}

pub(super) fn validate(state: &State, message: &EpochReport, creator: &str) -> Result<Accepted, Refusal> {
    if creator.is_empty() {
        return Err(audit::INVALID_SIGNER.because("creator is required"));
    }
    epoch_is_current(state, message.epoch_id)?;
    if state.supernode.supernodes.by_account(creator).is_none() {
        return Err(audit::REPORTER_NOT_FOUND.because("creator is not a registered supernode"));
    }
    host_metrics(&message.host_report)?;
    let Some(anchor) = state.audit.anchors.get(&message.epoch_id) else {
        let words = format!("epoch anchor not found for epoch_id {}", message.epoch_id);
        return Err(audit::INVALID_EPOCH_ID.because(words));
    };
    let params = state.params_of_epoch(message.epoch_id);
    let duty = state
        .duty_of(creator, anchor, &params)
        .map_err(|error| audit::INVALID_REPORTER_STATE.because(error.to_string()))?;
    inbound_ports(&message.host_report, params.required_open_ports.len())?;
    let observations = observations(message, creator, &duty, params.required_open_ports.len())?;
    let observed: BTreeSet<&str> =
        observations.iter().map(|observation| observation.target_supernode_account.as_str()).collect();
    let assigned: BTreeSet<&str> = duty.targets.iter().map(String::as_str).collect();
    let incomplete = duty.is_prober && observed.len() < assigned.len();
    let results = proofs::well_formed(message, creator, &duty, &params)?;
    let unanchored = proofs::history_and_counts(state, &results, message.epoch_id, &params)?;
    if state.audit.reports.get(message.epoch_id, creator).is_some() {
        return Err(audit::DUPLICATE_REPORT.because("report already submitted for this epoch"));
    }
    let report = chain::EpochReport {
        supernode_account: creator.to_owned(),
        epoch_id: message.epoch_id,
        report_height: state.height,
        host_report: message.host_report.clone(),
        storage_challenge_observations: observations,
        storage_proof_results: results,
    };
    Ok(Accepted { report, params, incomplete, unanchored })
}

/// Steps 3 and 3b.
fn epoch_is_current(state: &State, epoch_id: u64) -> Result<(), Refusal> {
    let (schedule, height) = (state.schedule(), state.height);
    if epoch_id != schedule.epoch_at(height) {
        return Err(
            audit::INVALID_EPOCH_ID.because(format!("epoch_id {epoch_id} not accepted at height {height}"))
        );
    }
    if height < schedule.start_height(epoch_id) || height > schedule.end_height(epoch_id) {
        return Err(audit::INVALID_EPOCH_ID.because(format!("epoch_id not accepted at height {height}")));
    }
    Ok(())
}

/// Step 5.
fn host_metrics(host: &HostReport) -> Result<(), Refusal> {
    let percentages = [
        ("cpu_usage_percent", host.cpu_usage_percent),
        ("mem_usage_percent", host.mem_usage_percent),
        ("disk_usage_percent", host.disk_usage_percent),
    ];
    for (name, value) in percentages {
        if !(0.0..=100.0).contains(&value) {
            let words = format!("{name} must be a finite percentage in [0,100], got {value}");
            return Err(audit::INVALID_HOST_METRIC.because(words));
        }
    }
    let bytes = host.cascade_kademlia_db_bytes;
    if !bytes.is_finite() {
        return Err(audit::INVALID_HOST_METRIC.because("cascade_kademlia_db_bytes must be a finite number"));
    }
    if bytes < 0.0 {
        let words = format!("cascade_kademlia_db_bytes must be >= 0, got {bytes}");
        return Err(audit::INVALID_HOST_METRIC.because(words));
    }
    Ok(())
}

/// Step 8.
fn inbound_ports(host: &HostReport, required: usize) -> Result<(), Refusal> {
    let length = host.inbound_port_states.len();
    if length > required {
        return Err(audit::INVALID_PORT_STATES_LENGTH.because(format!(
            "inbound_port_states length {length} exceeds required_open_ports length {required}"
        )));
    }
    if length != 0 && length != required {
        return Err(audit::INVALID_PORT_STATES_LENGTH
            .because(format!("inbound_port_states length {length} must be 0 or {required}")));
    }
    Ok(())
}

/// Steps 9a and 9b.
fn observations(
    message: &EpochReport,
    creator: &str,
    duty: &ReporterDuty,
    required: usize,
) -> Result<Vec<StorageChallengeObservation>, Refusal> {
    let given = &message.storage_challenge_observations;
    if !duty.is_prober && !given.is_empty() {
        let words = "reporter not eligible for storage challenge observations in this epoch";
        return Err(audit::INVALID_REPORTER_STATE.because(words));
    }
    let mut seen: BTreeSet<Account> = BTreeSet::new();
    let mut accepted = Vec::with_capacity(given.len());
    for observation in given {
        let observation = observation_is_valid(observation.as_ref(), creator, duty, &seen, required)?;
        seen.insert(observation.target_supernode_account.clone());
        accepted.push(observation.clone());
    }
    Ok(accepted)
}

fn observation_is_valid<'a>(
    observation: Option<&'a StorageChallengeObservation>,
    creator: &str,
    duty: &ReporterDuty,
    seen: &BTreeSet<Account>,
    required: usize,
) -> Result<&'a StorageChallengeObservation, Refusal> {
    let refused = |code: ErrorCode, words: String| Err(code.because(words));
    let invalid = audit::INVALID_PEER_OBSERVATIONS;
    let Some(observation) = observation else {
        return refused(invalid, "nil storage challenge observation".to_owned());
    };
    let target = &observation.target_supernode_account;
    let states = observation.port_states.len();
    if target.is_empty() {
        return refused(invalid, "empty target_supernode_account".to_owned());
    }
    if target == creator {
        return refused(invalid, "self-targeting is not allowed".to_owned());
    }
    if !duty.targets.contains(target) {
        return refused(invalid, format!("target {target:?} is not assigned to reporter in this epoch"));
    }
    if seen.contains(target) {
        return refused(invalid, format!("duplicate storage challenge observation for target {target:?}"));
    }
    if required != 0 && states != required {
        return refused(
            audit::INVALID_PORT_STATES_LENGTH,
            format!("port_states length {states} does not match required_open_ports length {required}"),
        );
    }
    Ok(observation)
}
