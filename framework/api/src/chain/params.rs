//! The audit module's parameters and their defaulting (chain 2).
//!
//! Owns the names and the default rule, because a client has to apply it too (wire 2.6). Validation is the chain's.

use serde::{Deserialize, Serialize};

/// How much of the storage-truth rules the chain enforces (chain 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EnforcementMode {
    /// Storage truth is off; legacy port probing.
    #[default]
    Unspecified,
    /// Scores and heal operations, no postponement.
    Shadow,
    /// Nodes can be postponed by their score.
    Soft,
    /// As `Soft`, and every assigned target needs one RECENT and one OLD row.
    Full,
}

impl EnforcementMode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Unspecified => 0,
            Self::Shadow => 1,
            Self::Soft => 2,
            Self::Full => 3,
        }
    }

    /// The mode with this wire number.
    #[must_use]
    pub const fn from_number(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Unspecified),
            1 => Some(Self::Shadow),
            2 => Some(Self::Soft),
            3 => Some(Self::Full),
            _ => None,
        }
    }

    /// The name without its protobuf prefix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Shadow => "SHADOW",
            Self::Soft => "SOFT",
            Self::Full => "FULL",
        }
    }
}

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr, $rule:ident;)+) => {
        /// The audit module's parameters (chain 2). Names and order are those of the protobuf message.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Params { $($(#[$doc])* pub $name: $type,)+ }

        impl Default for Params {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Params {
            /// Replaces every zero that the chain reads as "default" (chain 2, column "0→default").
            ///
            /// The two bucket limits default from the epoch length, whatever it is.
            #[must_use]
            pub fn with_defaults(mut self) -> Self {
                let defaults = Self::default();
                let zero = Self::zeroed();
                $(params!(@apply $rule self defaults zero $name);)+
                if self.storage_truth_recent_bucket_max_blocks == 0 {
                    self.storage_truth_recent_bucket_max_blocks = self.epoch_length_blocks.saturating_mul(3);
                }
                if self.storage_truth_old_bucket_min_blocks == 0 {
                    self.storage_truth_old_bucket_min_blocks = self.epoch_length_blocks.saturating_mul(30);
                }
                self
            }

            /// Parameters in which every number is zero and every list empty: what an empty message decodes to.
            #[must_use]
            pub fn zeroed() -> Self {
                Self { $($name: Default::default(),)+ }
            }
        }
    };
    (@apply zero_is_default $params:ident $defaults:ident $zero:ident $name:ident) => {
        if $params.$name == $zero.$name { $params.$name = $defaults.$name; }
    };
    (@apply kept $params:ident $defaults:ident $zero:ident $name:ident) => {};
}

params! {
    /// Blocks in an epoch.
    epoch_length_blocks: u64 = 400, zero_is_default;
    /// Height of the first block of epoch 0.
    epoch_zero_height: u64 = 1, zero_is_default;
    /// Reports wanted for each target; legacy port probing.
    peer_quorum_reports: u32 = 3, zero_is_default;
    /// Legacy port probing: fewest targets of a prober.
    min_probe_targets_per_epoch: u32 = 3, zero_is_default;
    /// Legacy port probing: most targets of a prober.
    max_probe_targets_per_epoch: u32 = 5, zero_is_default;
    /// The ports that a supernode must have open.
    required_open_ports: Vec<u32> = vec![4444, 4445, 8002], zero_is_default;
    /// Least free CPU, in percent; 0 is off.
    min_cpu_free_percent: u32 = 0, kept;
    /// Least free memory, in percent; 0 is off.
    min_mem_free_percent: u32 = 0, kept;
    /// Least free disk, in percent; without effect on the chain.
    min_disk_free_percent: u32 = 0, kept;
    /// Epochs in a row that postpone a node.
    consecutive_epochs_to_postpone: u32 = 1, zero_is_default;
    /// Epochs of history that the chain keeps.
    keep_last_epoch_entries: u64 = 200, zero_is_default;
    /// Share of observers that must report a port closed, in percent.
    peer_port_postpone_threshold_percent: u32 = 100, zero_is_default;
    /// Signature failures in an epoch that count as a bad epoch.
    action_finalization_signature_failure_evidences_per_epoch: u32 = 1, zero_is_default;
    /// Bad epochs in a row that postpone.
    action_finalization_signature_failure_consecutive_epochs: u32 = 1, zero_is_default;
    /// Finalisations from outside the top ten that count as a bad epoch.
    action_finalization_not_in_top10_evidences_per_epoch: u32 = 1, zero_is_default;
    /// Bad epochs in a row that postpone.
    action_finalization_not_in_top10_consecutive_epochs: u32 = 1, zero_is_default;
    /// Epochs until a node postponed for finalisation evidence may recover.
    action_finalization_recovery_epochs: u32 = 1, zero_is_default;
    /// Bad evidences that recovery tolerates (fewer than this).
    action_finalization_recovery_max_total_bad_evidences: u32 = 1, zero_is_default;
    /// Whether storage challenges are on at all.
    sc_enabled: bool = true, kept;
    /// Legacy challengers of an epoch; 0 means a third of the active nodes.
    sc_challengers_per_epoch: u32 = 0, kept;
    /// Greatest age of a ticket in the RECENT bucket, in blocks; 0 means three epochs.
    storage_truth_recent_bucket_max_blocks: u64 = 1200, kept;
    /// Least age of a ticket in the OLD bucket, in blocks; 0 means thirty epochs.
    storage_truth_old_bucket_min_blocks: u64 = 12000, kept;
    /// One target for this many eligible challengers.
    storage_truth_challenge_target_divisor: u32 = 3, zero_is_default;
    /// Byte ranges of a challenge.
    storage_truth_compound_ranges_per_artifact: u32 = 4, zero_is_default;
    /// Length of each range, in bytes.
    storage_truth_compound_range_len_bytes: u32 = 256, zero_is_default;
    /// Heal operations scheduled in one epoch.
    storage_truth_max_self_heal_ops_per_epoch: u32 = 5, zero_is_default;
    /// Epochs in which a healed or failed ticket is left alone.
    storage_truth_probation_epochs: u32 = 3, zero_is_default;
    /// Thousandths of a suspicion score that are kept each epoch.
    storage_truth_node_suspicion_decay_per_epoch: i64 = 920, zero_is_default;
    /// Thousandths of a reliability score that are kept each epoch.
    storage_truth_reporter_reliability_decay_per_epoch: i64 = 900, zero_is_default;
    /// Thousandths of a deterioration score that are kept each epoch.
    storage_truth_ticket_deterioration_decay_per_epoch: i64 = 900, zero_is_default;
    /// Suspicion from which a node is watched.
    storage_truth_node_suspicion_threshold_watch: i64 = 20, zero_is_default;
    /// Suspicion from which a node is on probation.
    storage_truth_node_suspicion_threshold_probation: i64 = 50, zero_is_default;
    /// Suspicion from which a node may be postponed.
    storage_truth_node_suspicion_threshold_postpone: i64 = 90, zero_is_default;
    /// Reliability score from which a reporter has low trust.
    storage_truth_reporter_reliability_low_trust_threshold: i64 = 20, zero_is_default;
    /// Reliability score from which a reporter may not challenge.
    storage_truth_reporter_reliability_ineligible_threshold: i64 = 90, zero_is_default;
    /// Deterioration from which a ticket is healed.
    storage_truth_ticket_deterioration_heal_threshold: i64 = 50, zero_is_default;
    /// How much is enforced; zero stays UNSPECIFIED.
    storage_truth_enforcement_mode: EnforcementMode = EnforcementMode::Shadow, kept;
    /// Reliability score from which a reporter is degraded.
    storage_truth_reporter_reliability_degraded_threshold: i64 = 50, zero_is_default;
    /// Window of the escalation bonuses, in epochs.
    storage_truth_pattern_escalation_window: u32 = 14, zero_is_default;
    /// Window of the divergence penalty, in epochs.
    storage_truth_divergence_window_epochs: u32 = 14, zero_is_default;
    /// Results that a reporter needs before divergence is judged.
    storage_truth_reporter_min_reports_for_divergence: u32 = 5, zero_is_default;
    /// Suspicion of the strong postponement.
    storage_truth_node_suspicion_threshold_strong_postpone: i64 = 140, zero_is_default;
    /// Clean passes that a postponed node needs.
    storage_truth_recovery_clean_pass_count: u32 = 3, zero_is_default;
    /// Window of Class A faults, in epochs.
    storage_truth_class_a_fault_window: u32 = 14, zero_is_default;
    /// Window of Class B faults, in epochs.
    storage_truth_class_b_fault_window: u32 = 7, zero_is_default;
    /// Epochs that a heal operation may take.
    storage_truth_heal_deadline_epochs: u32 = 3, zero_is_default;
    /// Window of Class A faults in the OLD bucket, in epochs.
    storage_truth_old_class_a_fault_window: u32 = 21, zero_is_default;
    /// Window in which a contradiction counts, in epochs.
    storage_truth_contradiction_window_epochs: u32 = 7, zero_is_default;
    /// Epochs that an unreliable reporter sits out.
    storage_truth_reporter_ineligible_duration_epochs: u32 = 7, zero_is_default;
    /// Clean passes that a strongly postponed node needs.
    storage_truth_strong_recovery_clean_pass_count: u32 = 5, zero_is_default;
    /// Verifiers of a heal operation.
    storage_truth_heal_verifier_count: u32 = 2, zero_is_default;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaulting_fills_zeros_but_never_promotes_the_mode() {
        let params = Params { epoch_length_blocks: 100, ..Params::zeroed() }.with_defaults();
        assert_eq!(params.storage_truth_recent_bucket_max_blocks, 300);
        assert_eq!(params.storage_truth_old_bucket_min_blocks, 3000);
        assert_eq!(params.storage_truth_enforcement_mode, EnforcementMode::Unspecified);
        assert_eq!(params.required_open_ports, [4444, 4445, 8002]);
        assert!(!params.sc_enabled);
        assert_eq!(params.clone().with_defaults(), params, "defaulting twice changes nothing");
    }
}
