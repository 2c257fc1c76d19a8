//! Reliability of reporters (chain 5.6).

use crate::api::EpochId;
use crate::api::chain::{Params, ReporterReliability, ReporterTrustBand};
use crate::names;
use crate::protocol::score::decay;
use crate::state::State;

impl State {
    /// Applies a delta to a reporter; answers the new score if anything was written.
    pub(crate) fn apply_reporter(
        &mut self,
        account: &str,
        delta: i64,
        contradictions: u64,
        epoch_id: EpochId,
        params: &Params,
    ) -> Option<i64> {
        let stored = self.audit.reliability.get(account).cloned();
        if stored.is_none() && delta == 0 && contradictions == 0 {
            return None;
        }
        let mut reliability = stored.unwrap_or_else(|| ReporterReliability {
            reporter_supernode_account: account.to_owned(),
            ..ReporterReliability::default()
        });
        let elapsed = epoch_id.saturating_sub(reliability.last_updated_epoch);
        let factor = params.storage_truth_reporter_reliability_decay_per_epoch;
        let score = decay(reliability.reliability_score, factor, elapsed).saturating_add(delta).max(0);
        reliability.reliability_score = score;
        reliability.last_updated_epoch = epoch_id;
        reliability.contradiction_count = reliability.contradiction_count.saturating_add(contradictions);
        reliability.trust_band = trust_band(score, params);
        let duration = u64::from(params.storage_truth_reporter_ineligible_duration_epochs);
        reliability.ineligible_until_epoch = match reliability.trust_band {
            ReporterTrustBand::ChallengerIneligible => epoch_id.saturating_add(duration),
            _ => 0,
        };
        count_in_window(&mut reliability, delta, epoch_id, params);
        self.audit.reliability.insert(account.to_owned(), reliability);
        Some(score)
    }

    /// The full name of a reporter's band, as events give it.
    pub(crate) fn trust_band_name(&self, account: &str) -> String {
        let band = self
            .audit
            .reliability
            .get(account)
            .map_or(ReporterTrustBand::Unspecified, |state| state.trust_band);
        names::trust_band(band)
    }
}

fn count_in_window(reliability: &mut ReporterReliability, delta: i64, epoch_id: EpochId, params: &Params) {
    let window = u64::from(params.storage_truth_divergence_window_epochs);
    if epoch_id.saturating_sub(reliability.window_start_epoch) >= window {
        reliability.window_start_epoch = epoch_id;
        reliability.window_positive_count = 0;
        reliability.window_negative_count = 0;
    }
    // Higher is worse, so a positive delta is a negative mark.
    if delta > 0 {
        reliability.window_negative_count = reliability.window_negative_count.saturating_add(1);
    } else if delta < 0 {
        reliability.window_positive_count = reliability.window_positive_count.saturating_add(1);
    }
}

/// The band of a score. A threshold of 0 or less is read as its default.
pub(crate) fn trust_band(score: i64, params: &Params) -> ReporterTrustBand {
    let defaults = Params::default();
    let threshold = |value: i64, default: i64| if value <= 0 { default } else { value };
    let ineligible = threshold(
        params.storage_truth_reporter_reliability_ineligible_threshold,
        defaults.storage_truth_reporter_reliability_ineligible_threshold,
    );
    let degraded = threshold(
        params.storage_truth_reporter_reliability_degraded_threshold,
        defaults.storage_truth_reporter_reliability_degraded_threshold,
    );
    let low = threshold(
        params.storage_truth_reporter_reliability_low_trust_threshold,
        defaults.storage_truth_reporter_reliability_low_trust_threshold,
    );
    if score >= ineligible {
        ReporterTrustBand::ChallengerIneligible
    } else if score >= degraded {
        ReporterTrustBand::Degraded
    } else if score >= low {
        ReporterTrustBand::LowTrust
    } else {
        ReporterTrustBand::Normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_agree_with_the_published_table() {
        let params = Params::default();
        for (score, band) in [
            (0, ReporterTrustBand::Normal),
            (19, ReporterTrustBand::Normal),
            (20, ReporterTrustBand::LowTrust),
            (49, ReporterTrustBand::LowTrust),
            (50, ReporterTrustBand::Degraded),
            (89, ReporterTrustBand::Degraded),
            (90, ReporterTrustBand::ChallengerIneligible),
        ] {
            assert_eq!(trust_band(score, &params), band, "{score}");
        }
    }
}
