//! Decay of scores, and who may challenge in spite of them (chain 3.1, chain 5.2, wire 10.5).
//!
//! Owns these two rules, which nodes need as well as the chain. The rest of the scoring belongs to the chain.

/// The most rounds of decay that are applied, however long ago a score was stored.
pub const DECAY_ROUNDS_MAX: u64 = 50;
/// The reliability score that stands for a threshold of 0 or less (wire 1.6).
pub const DEFAULT_INELIGIBLE_THRESHOLD: i64 = 90;

/// Factors are thousandths.
const FACTOR_ONE: i64 = 1000;

/// A stored score after some epochs: times `factor_per_mille` / 1000 for each, cut toward zero each time (chain 5.2).
///
/// Factors of 0 or less, and of 1000 or more, leave the score as it is.
///
/// ```
/// use lampkeeper_protocol::score::decay;
/// assert_eq!(decay(1000, 920, 5), 657); // 920, 846, 778, 715, 657
/// ```
#[must_use]
pub fn decay(score: i64, factor_per_mille: i64, elapsed_epochs: u64) -> i64 {
    if factor_per_mille <= 0 || factor_per_mille >= FACTOR_ONE {
        return score;
    }
    let mut score = score;
    for _ in 0..elapsed_epochs.min(DECAY_ROUNDS_MAX) {
        // The factor is below one, so the quotient fits again; only the product needs more bits.
        score = (i128::from(score) * i128::from(factor_per_mille) / i128::from(FACTOR_ONE)) as i64;
    }
    score
}

/// The reliability record of a reporter (chain 5.1), as far as eligibility needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReporterReliability {
    /// The stored score; higher is worse.
    pub score: i64,
    /// The epoch in which it was stored.
    pub last_updated_epoch: u64,
    /// The last epoch in which the reporter is barred; 0 for none.
    pub ineligible_until_epoch: u64,
}

/// Whether a reporter may challenge in an epoch of the storage-truth modes (chain 3.1).
///
/// Without a record it may. `threshold` is `reporter_reliability_ineligible_threshold`.
#[must_use]
pub fn is_eligible_challenger(
    reliability: Option<ReporterReliability>,
    epoch_id: u64,
    decay_factor_per_mille: i64,
    threshold: i64,
) -> bool {
    let Some(reliability) = reliability else { return true };
    let threshold = if threshold <= 0 { DEFAULT_INELIGIBLE_THRESHOLD } else { threshold };
    let elapsed_epochs = epoch_id.saturating_sub(reliability.last_updated_epoch);
    let is_barred = reliability.ineligible_until_epoch != 0 && reliability.ineligible_until_epoch >= epoch_id;
    !is_barred && decay(reliability.score, decay_factor_per_mille, elapsed_epochs) < threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decay_agrees_with_the_published_table() {
        // Chain 5.2: score, factor, elapsed epochs, result.
        let table = [
            (1000, 920, 1, 920),
            (1000, 920, 5, 657),
            (-100, 920, 1, -92),
            (1, 920, 50, 0),
            (50, 920, 3, 38),
            (10, 900, 3, 7),
            (20, 900, 3, 14),
            (151, 920, 5, 96),
        ];
        for (score, factor, elapsed, expected) in table {
            assert_eq!(decay(score, factor, elapsed), expected, "{score} at {factor} for {elapsed}");
        }
        let series =
            [100, 92, 84, 77, 70, 64, 58, 53, 48, 44, 40, 36, 33, 30, 27, 24, 22, 20, 18, 16, 14, 12];
        for (elapsed, expected) in series.into_iter().enumerate() {
            assert_eq!(decay(100, 920, elapsed as u64), expected, "after {elapsed}");
        }
    }

    #[test]
    fn eligibility_has_its_edges() {
        let record = |score, until| {
            Some(ReporterReliability { score, last_updated_epoch: 10, ineligible_until_epoch: until })
        };
        // Record, epoch, threshold, whether eligible. The factor is 920.
        let table = [
            (None, 10, 90, true),
            (record(89, 0), 10, 90, true),
            (record(90, 0), 10, 90, false),
            (record(90, 0), 11, 90, true), // 90 has decayed to 82
            (record(90, 0), 9, 90, false), // a record from the future does not decay
            (record(89, 0), 10, 0, true),  // threshold 0 stands for 90
            (record(90, 0), 10, -1, false),
            (record(0, 10), 10, 90, false), // barred up to and including this epoch
            (record(0, 10), 11, 90, true),
        ];
        for (reliability, epoch_id, threshold, expected) in table {
            let eligible = is_eligible_challenger(reliability, epoch_id, 920, threshold);
            assert_eq!(eligible, expected, "{reliability:?} in epoch {epoch_id} at {threshold}");
        }
    }
}
