//! Postponement for other reasons than the score (chain 6.5).

use crate::api::EpochId;
use crate::api::chain::{HostReport, Params, PortState};
use crate::state::State;
use crate::state::evidence::EvidenceType;

/// Which ordinary rule fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    SignatureFailure,
    NotInTop10,
    MissingReports,
    HostRequirements,
    PeerPorts,
}

impl Reason {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::SignatureFailure => "audit_action_finalization_signature_failure",
            Self::NotInTop10 => "audit_action_finalization_not_in_top_10",
            Self::MissingReports => "audit_missing_reports",
            Self::HostRequirements => "audit_host_requirements",
            Self::PeerPorts => "audit_peer_ports",
        }
    }

    pub(super) const fn is_action_finalisation(self) -> bool {
        match self {
            Self::SignatureFailure | Self::NotInTop10 => true,
            Self::MissingReports | Self::HostRequirements | Self::PeerPorts => false,
        }
    }
}

/// The last `count` epochs, latest first; `None` if there were not that many yet.
fn last_epochs(epoch_id: EpochId, count: u32) -> Option<impl Iterator<Item = EpochId>> {
    let count = u64::from(count);
    (count <= epoch_id + 1).then(|| (epoch_id + 1 - count..=epoch_id).rev())
}

/// Whether the reported usage leaves less than the minimum free. A minimum of 0 is off, a usage of 0 is unknown.
fn violates(usage_percent: f64, min_free_percent: u32) -> bool {
    let is_known = min_free_percent != 0 && usage_percent != 0.0;
    is_known
        && !((0.0..=100.0).contains(&usage_percent) && 100.0 - usage_percent >= f64::from(min_free_percent))
}

/// Whether a host report satisfies the CPU and memory minimums. The disk minimum has no effect (chain 2, #9).
pub(super) fn meets_minimums(host: &HostReport, params: &Params) -> bool {
    !violates(host.cpu_usage_percent, params.min_cpu_free_percent)
        && !violates(host.mem_usage_percent, params.min_mem_free_percent)
}

impl State {
    /// The first ordinary rule that a node breaks.
    pub(super) fn ordinary_reason(
        &self,
        account: &str,
        epoch_id: EpochId,
        params: &Params,
    ) -> Option<Reason> {
        let rules = [
            (
                Reason::SignatureFailure,
                self.has_bad_evidence(
                    account,
                    epoch_id,
                    EvidenceType::ActionFinalizationSignatureFailure,
                    params.action_finalization_signature_failure_evidences_per_epoch,
                    params.action_finalization_signature_failure_consecutive_epochs,
                ),
            ),
            (
                Reason::NotInTop10,
                self.has_bad_evidence(
                    account,
                    epoch_id,
                    EvidenceType::ActionFinalizationNotInTop10,
                    params.action_finalization_not_in_top10_evidences_per_epoch,
                    params.action_finalization_not_in_top10_consecutive_epochs,
                ),
            ),
            (Reason::MissingReports, self.misses_reports(account, epoch_id, params)),
            (Reason::HostRequirements, self.breaks_host_requirements(account, epoch_id, params)),
            (Reason::PeerPorts, self.has_closed_port(account, epoch_id, params)),
        ];
        rules.into_iter().find(|(_, fires)| *fires).map(|(reason, _)| reason)
    }

    fn has_bad_evidence(
        &self,
        account: &str,
        epoch_id: EpochId,
        evidence_type: EvidenceType,
        per_epoch: u32,
        consecutive: u32,
    ) -> bool {
        let count = |epoch| self.audit.evidence.count(epoch, account, evidence_type);
        last_epochs(epoch_id, consecutive)
            .is_some_and(|mut epochs| epochs.all(|epoch| count(epoch) >= u64::from(per_epoch)))
    }

    fn misses_reports(&self, account: &str, epoch_id: EpochId, params: &Params) -> bool {
        last_epochs(epoch_id, params.consecutive_epochs_to_postpone)
            .is_some_and(|mut epochs| epochs.all(|epoch| self.audit.reports.get(epoch, account).is_none()))
    }

    fn breaks_host_requirements(&self, account: &str, epoch_id: EpochId, params: &Params) -> bool {
        let report = self.audit.reports.get(epoch_id, account);
        report.is_some_and(|report| !meets_minimums(&report.host_report, params))
    }

    fn has_closed_port(&self, account: &str, epoch_id: EpochId, params: &Params) -> bool {
        (0..params.required_open_ports.len()).any(|port| {
            last_epochs(epoch_id, params.consecutive_epochs_to_postpone).is_some_and(|mut epochs| {
                epochs.all(|epoch| self.is_port_closed(account, epoch, port, params))
            })
        })
    }

    /// Whether enough observers of an epoch saw a port closed. UNKNOWN counts as an observer only.
    fn is_port_closed(&self, account: &str, epoch_id: EpochId, port: usize, params: &Params) -> bool {
        let (mut observers, mut closed) = (0_u64, 0_u64);
        for observer in self.audit.reports.observers_of(epoch_id, account) {
            let state =
                self.port_states_seen_by(observer, account, epoch_id).and_then(|states| states.get(port));
            // A missing report or observation, or too short a list, spoils the whole epoch.
            let Some(state) = state else { return false };
            observers += 1;
            closed += u64::from(*state == PortState::Closed);
        }
        observers > 0 && closed * 100 >= u64::from(params.peer_port_postpone_threshold_percent) * observers
    }

    /// What `observer` reported of the ports of `account` in an epoch.
    pub(super) fn port_states_seen_by(
        &self,
        observer: &str,
        account: &str,
        epoch_id: EpochId,
    ) -> Option<&Vec<PortState>> {
        let report = self.audit.reports.get(epoch_id, observer)?;
        let mut observations = report.storage_challenge_observations.iter();
        observations
            .find(|observation| observation.target_supernode_account == account)
            .map(|observation| &observation.port_states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimums_have_their_edges() {
        // Usage, minimum free, whether it is violated.
        for (usage, minimum, expected) in [
            (0.0, 50, false), // unknown
            (99.0, 0, false), // off
            (50.0, 50, false),
            (50.5, 50, true),
            (-1.0, 1, true),
            (101.0, 1, true),
        ] {
            assert_eq!(violates(usage, minimum), expected, "{usage} with {minimum}");
        }
    }

    #[test]
    fn consecutive_rules_need_their_epochs() {
        assert!(last_epochs(0, 2).is_none());
        assert_eq!(last_epochs(1, 2).unwrap().collect::<Vec<_>>(), [1, 0]);
    }
}
