//! What to leave out of a report whose rows the chain refuses.
//!
//! Owns one decision. A bad row must not cost the good ones, and a node must not be postponed for a missing report
//! because of one row. So rows are left out in steps, and only when the chain named the rows as the reason. They stay in the
//! journal until a report of their epoch is executed; when further rows arrive, all are tried again.

use lampkeeper_plugin_sdk::api::chain::{EnforcementMode, RejectionReason, StorageProofResult};
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};

/// How often the chain must refuse canonical rows before any of them is left out: a parameter change or a lagging node
/// behind the chain client gets over itself.
pub(crate) const CANONICAL_REFUSALS_MAX: u32 = 3;

/// Which rows go into the report; each step keeps fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Fallback {
    /// All that can be sent.
    #[default]
    AllRows,
    /// Only canonical rows: what is beyond them is a gift.
    WithoutProbation,
    /// No row that says "no eligible ticket", which the chain may know better (chain 4.4).
    WithoutNoEligible,
    /// No rows.
    HostOnly,
}

impl Fallback {
    const STEPS: [Self; 4] = [Self::AllRows, Self::WithoutProbation, Self::WithoutNoEligible, Self::HostOnly];

    /// Whether this row goes into the report.
    pub(crate) fn keeps(self, row: &StorageProofResult) -> bool {
        let is_canonical = matches!(row.bucket_type, Bucket::Recent | Bucket::Old);
        match self {
            Self::AllRows => true,
            Self::WithoutProbation => is_canonical,
            Self::WithoutNoEligible => is_canonical && row.result_class != ResultClass::NoEligibleTicket,
            Self::HostOnly => false,
        }
    }

    /// The step after `refusals` refusals of `sent` at this one: the first that would leave something out.
    ///
    /// Rows beyond the canonical ones go at once. Canonical rows go only after several refusals, and never in mode FULL,
    /// where the chain would refuse the report without them all the same.
    pub(crate) fn after_refusals(
        self,
        refusals: u32,
        mode: EnforcementMode,
        sent: &[StorageProofResult],
    ) -> Self {
        let may_take = |step: Self| match step {
            Self::AllRows => false,
            Self::WithoutProbation => true,
            Self::WithoutNoEligible | Self::HostOnly => {
                mode != EnforcementMode::Full && refusals >= CANONICAL_REFUSALS_MAX
            }
        };
        let leaves_something_out = |step: Self| sent.iter().any(|row| !step.keeps(row));
        let mut further = Self::STEPS.into_iter().filter(|step| *step > self);
        let next = further.find(|step| leaves_something_out(*step));
        next.filter(|step| may_take(*step)).unwrap_or(self)
    }
}

/// Whether the chain refused a report because of its rows (chain 4.3, 4.4).
pub(crate) const fn blames_the_rows(reason: RejectionReason) -> bool {
    matches!(reason, RejectionReason::InvalidStorageProofs | RejectionReason::ArtifactCountMismatch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use EnforcementMode::{Full, Shadow};
    use Fallback::{AllRows, HostOnly, WithoutNoEligible, WithoutProbation};

    fn row(bucket_type: Bucket, result_class: ResultClass) -> StorageProofResult {
        StorageProofResult { bucket_type, result_class, ..StorageProofResult::default() }
    }

    #[test]
    fn rows_are_left_out_in_steps() {
        let recent = row(Bucket::Recent, ResultClass::Pass);
        let none_old = row(Bucket::Old, ResultClass::NoEligibleTicket);
        let probe = row(Bucket::Probation, ResultClass::HashMismatch);
        let (canonical, all) =
            ([recent.clone(), none_old.clone()], [recent.clone(), none_old, probe.clone()]);
        let few = CANONICAL_REFUSALS_MAX - 1;
        // Step, refusals, mode, rows sent, next step.
        let table: [(Fallback, u32, EnforcementMode, &[StorageProofResult], Fallback); 12] = [
            (AllRows, 1, Shadow, &all, WithoutProbation),
            (AllRows, 1, Full, &all, WithoutProbation),
            (AllRows, few, Shadow, &canonical, AllRows), // a few refusals may pass
            (AllRows, CANONICAL_REFUSALS_MAX, Shadow, &canonical, WithoutNoEligible), // nothing to leave out before
            (WithoutProbation, few, Shadow, &canonical, WithoutProbation),
            (WithoutProbation, CANONICAL_REFUSALS_MAX, Shadow, &canonical, WithoutNoEligible),
            (WithoutProbation, 1000, Full, &canonical, WithoutProbation), // FULL wants them
            (WithoutNoEligible, few, Shadow, std::slice::from_ref(&recent), WithoutNoEligible),
            (WithoutNoEligible, CANONICAL_REFUSALS_MAX, Shadow, std::slice::from_ref(&recent), HostOnly),
            (AllRows, CANONICAL_REFUSALS_MAX, Shadow, std::slice::from_ref(&recent), HostOnly),
            (HostOnly, 1000, Shadow, &[], HostOnly),
            (AllRows, 1000, Shadow, &[], AllRows), // the rows can't be the reason
        ];
        for (step, refusals, mode, sent, expected) in table {
            let next = step.after_refusals(refusals, mode, sent);
            assert_eq!(next, expected, "{step:?} after {refusals} in {mode:?} with {} rows", sent.len());
        }
        assert!(AllRows.keeps(&probe) && !WithoutProbation.keeps(&probe));
    }

    #[test]
    fn only_refusals_that_name_the_rows_count() {
        assert!(blames_the_rows(RejectionReason::InvalidStorageProofs));
        assert!(blames_the_rows(RejectionReason::ArtifactCountMismatch));
        for reason in [
            RejectionReason::InvalidEpochId,
            RejectionReason::DuplicateReport,
            RejectionReason::InvalidPeerObservations,
            RejectionReason::InvalidReporterState,
            RejectionReason::InvalidHostMetric,
            RejectionReason::Other,
        ] {
            assert!(!blames_the_rows(reason), "{reason:?}");
        }
    }
}
