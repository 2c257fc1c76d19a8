//! Bands of suspicion, and postponement by score (chain 6.2, chain 6.4).

use crate::api::EpochId;
use crate::api::chain::{EnforcementMode, Params};
use crate::event::Event;
use crate::names;
use crate::state::{State, StorageTruthMarker};

/// How suspicious a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Band {
    Watch,
    Probation,
    Postpone,
    StrongPostpone,
}

impl Band {
    /// The band of a decayed score; `None` below all of them.
    pub(super) const fn of(score: i64, params: &Params) -> Option<Self> {
        let bands = [
            (params.storage_truth_node_suspicion_threshold_strong_postpone, Self::StrongPostpone),
            (params.storage_truth_node_suspicion_threshold_postpone, Self::Postpone),
            (params.storage_truth_node_suspicion_threshold_probation, Self::Probation),
            (params.storage_truth_node_suspicion_threshold_watch, Self::Watch),
        ];
        let mut index = 0;
        while index < bands.len() {
            let (threshold, band) = bands[index];
            if score > 0 && threshold > 0 && score >= threshold {
                return Some(band);
            }
            index += 1;
        }
        None
    }

    const fn number(self) -> u8 {
        match self {
            Self::Watch => 1,
            Self::Probation => 2,
            Self::Postpone => 3,
            Self::StrongPostpone => 4,
        }
    }

    const fn event(self) -> &'static str {
        match self {
            Self::Watch => "storage_truth_band_watch",
            Self::Probation => "storage_truth_band_probation",
            Self::Postpone => "storage_truth_band_postpone_candidate",
            Self::StrongPostpone => "storage_truth_band_strong_postpone_candidate",
        }
    }
}

impl State {
    /// Tells a node's band, and postpones it where mode and history demand it.
    pub(super) fn enforce_storage_truth(&mut self, account: &str, epoch_id: EpochId, params: &Params) {
        let mode = params.storage_truth_enforcement_mode;
        if mode == EnforcementMode::Unspecified {
            return;
        }
        let score = self.suspicion_at(account, epoch_id, params);
        let Some(band) = Band::of(score, params) else { return };
        let event = Event::audit(band.event())
            .with("target_supernode_account", account)
            .with("epoch_id", epoch_id)
            .with("node_suspicion_score", score)
            .with("storage_truth_band", band.number())
            .with("enforcement_mode", names::enforcement_mode(mode));
        self.emit(event);
        if !matches!(mode, EnforcementMode::Soft | EnforcementMode::Full) {
            return;
        }
        let (is_due, strong) = match band {
            Band::Watch | Band::Probation => (false, false),
            Band::Postpone => (self.deserves_postponement(account, epoch_id, params), false),
            Band::StrongPostpone => (self.deserves_strong_postponement(account, epoch_id, params), true),
        };
        if is_due {
            self.postpone_for_suspicion(account, score, strong, epoch_id, mode);
        }
    }

    fn postpone_for_suspicion(
        &mut self,
        account: &str,
        score: i64,
        strong: bool,
        epoch_id: EpochId,
        mode: EnforcementMode,
    ) {
        let reason =
            if strong { "audit_storage_truth_strong_suspicion" } else { "audit_storage_truth_suspicion" };
        self.postpone(account, reason);
        self.audit
            .storage_truth_postponements
            .insert(account.to_owned(), StorageTruthMarker { epoch_id, strong });
        self.audit.action_postponements.remove(account);
        if let Some(suspicion) = self.audit.suspicion.get_mut(account) {
            suspicion.clean_pass_count_at_postpone = suspicion.clean_pass_count;
        }
        let event = Event::audit("storage_truth_enforced")
            .with("target_supernode_account", account)
            .with("epoch_id", epoch_id)
            .with("node_suspicion_score", score)
            .with("enforcement_mode", names::enforcement_mode(mode));
        self.emit(event);
    }
}
