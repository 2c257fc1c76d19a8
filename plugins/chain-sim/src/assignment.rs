//! Who may challenge in an epoch and whom (chain 3), over the state of the chain.
//!
//! Owns which inputs the assignment takes: the anchor, the epoch's parameters, and reliability as it is now. The choice
//! itself is a rule of the protocol crate.

use crate::api::chain::{EnforcementMode, EpochAnchor, Params};
use crate::api::{Account, EpochId};
use crate::protocol::assignment::{
    AssignmentError, AssignmentRule, ProbeCounts, ReporterDuty, assign_storage_truth, assigned_targets,
};
use crate::protocol::{legacy, score};
use crate::state::State;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The last storage-truth assignment and what it was made from.
///
/// One costs a hash for each pair of challenger and target, and every report and query of an epoch asks for the same.
#[derive(Debug, Default)]
pub(crate) struct AssignmentCache(Mutex<Option<CachedAssignment>>);

#[derive(Debug)]
struct CachedAssignment {
    seed: [u8; 32],
    divisor: u32,
    eligible: Vec<Account>,
    targets: Vec<Account>,
    assignment: BTreeMap<Account, Account>,
}

impl Clone for AssignmentCache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// What is cached says nothing about the state.
impl PartialEq for AssignmentCache {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl AssignmentCache {
    fn target_of(
        &self,
        reporter: &str,
        eligible: &[&str],
        anchor: &EpochAnchor,
        divisor: u32,
    ) -> Option<Account> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = slot.as_ref().is_some_and(|cached| {
            cached.seed == anchor.seed
                && cached.divisor == divisor
                && cached.targets == anchor.target_supernode_accounts
                && cached.eligible == eligible
        });
        if !is_current {
            let targets: Vec<&str> = anchor.target_supernode_accounts.iter().map(String::as_str).collect();
            let assignment = assign_storage_truth(eligible, &targets, &anchor.seed, divisor);
            *slot = Some(CachedAssignment {
                seed: anchor.seed,
                divisor,
                eligible: eligible.iter().map(|account| (*account).to_owned()).collect(),
                targets: anchor.target_supernode_accounts.clone(),
                assignment: assignment
                    .into_iter()
                    .map(|(from, to)| (from.to_owned(), to.to_owned()))
                    .collect(),
            });
        }
        slot.as_ref()?.assignment.get(reporter).cloned()
    }
}

impl State {
    /// The accounts that may challenge in an epoch (chain 3.1); `params` are those of the epoch.
    #[must_use]
    pub fn eligible_challengers<'a>(&self, anchor: &'a EpochAnchor, params: &Params) -> Vec<&'a str> {
        let active = anchor.active_supernode_accounts.iter().map(String::as_str);
        if params.storage_truth_enforcement_mode == EnforcementMode::Unspecified {
            return active.collect();
        }
        active.filter(|account| self.may_challenge(account, anchor.epoch_id, params)).collect()
    }

    fn may_challenge(&self, account: &str, epoch_id: EpochId, params: &Params) -> bool {
        let reliability = self.audit.reliability.get(account).map(|stored| score::ReporterReliability {
            score: stored.reliability_score,
            last_updated_epoch: stored.last_updated_epoch,
            ineligible_until_epoch: stored.ineligible_until_epoch,
        });
        score::is_eligible_challenger(
            reliability,
            epoch_id,
            params.storage_truth_reporter_reliability_decay_per_epoch,
            params.storage_truth_reporter_reliability_ineligible_threshold,
        )
    }

    /// Whether `reporter` is a prober of the anchor's epoch, and its targets (chain 3).
    ///
    /// # Errors
    /// The reporter is empty.
    pub fn duty_of(
        &self,
        reporter: &str,
        anchor: &EpochAnchor,
        params: &Params,
    ) -> Result<ReporterDuty, AssignmentError> {
        let eligible = self.eligible_challengers(anchor, params);
        if params.storage_truth_enforcement_mode != EnforcementMode::Unspecified {
            if reporter.is_empty() {
                return Err(AssignmentError::NoReporter);
            }
            if !eligible.contains(&reporter) {
                return Ok(ReporterDuty::default());
            }
            let divisor = params.storage_truth_challenge_target_divisor;
            let target = self.assignment_cache.target_of(reporter, &eligible, anchor, divisor);
            return Ok(ReporterDuty { is_prober: true, targets: target.into_iter().collect() });
        }
        let targets: Vec<&str> = anchor.target_supernode_accounts.iter().map(String::as_str).collect();
        let counts = ProbeCounts {
            quorum: params.peer_quorum_reports,
            min: params.min_probe_targets_per_epoch,
            max: params.max_probe_targets_per_epoch,
        };
        assigned_targets(reporter, &eligible, &targets, &anchor.seed, AssignmentRule::RegularWalk(counts))
    }
}

/// The accounts that may submit legacy storage-challenge evidence (chain 3.4).
#[must_use]
pub fn legacy_challengers<'a>(anchor: &'a EpochAnchor, params: &Params) -> Vec<&'a str> {
    let active: Vec<&str> = anchor.active_supernode_accounts.iter().map(String::as_str).collect();
    legacy::challengers(&active, &anchor.seed, anchor.epoch_id, params.sc_challengers_per_epoch as usize)
}
