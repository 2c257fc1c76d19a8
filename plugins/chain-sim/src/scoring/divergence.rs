//! Reporters whose share of failures stands out (chain 5.9).

use crate::api::chain::Params;
use crate::api::{Account, EpochId};
use crate::event::Event;
use crate::state::State;
use crate::state::facts::window;
use std::cmp::Ordering;

/// The penalty of an outlier.
const DIVERGENCE_DELTA: i64 = 8;

/// What one reporter said in the window.
struct Tally {
    account: Account,
    total: u64,
    negative: u64,
    confirmed: u64,
}

impl Tally {
    /// By share of negatives, exactly; the sort is stable, so equal shares stay by account.
    fn by_share(&self, other: &Self) -> Ordering {
        (u128::from(self.negative) * u128::from(other.total))
            .cmp(&(u128::from(other.negative) * u128::from(self.total)))
    }

    fn is_outlier(&self, median_negative: u64, median_total: u64) -> bool {
        let share = u128::from(self.negative) * u128::from(median_total);
        let bound = 2 * u128::from(median_negative) * u128::from(self.total);
        let is_vindicated = self.negative != 0 && 2 * u128::from(self.confirmed) >= u128::from(self.negative);
        share > bound && !is_vindicated
    }
}

impl State {
    pub(crate) fn penalise_divergence(&mut self, epoch_id: EpochId, params: &Params) {
        let mut tallies = self.tallies(epoch_id, params);
        tallies.sort_by(Tally::by_share);
        let Some(median) = tallies.get(tallies.len() / 2) else { return };
        let (median_negative, median_total) = (median.negative, median.total);
        for tally in tallies.iter().filter(|tally| tally.is_outlier(median_negative, median_total)) {
            self.apply_reporter(&tally.account, DIVERGENCE_DELTA, 0, epoch_id, params);
            let event = Event::audit("storage_truth_score_updated")
                .with("epoch_id", epoch_id)
                .with("reporter_supernode_account", &tally.account)
                .with("divergence_penalty", DIVERGENCE_DELTA)
                .with("reporter_neg_count", tally.negative)
                .with("reporter_total_count", tally.total)
                .with("median_neg_count", median_negative)
                .with("median_total_count", median_total);
            self.emit(event);
        }
    }

    fn tallies(&self, epoch_id: EpochId, params: &Params) -> Vec<Tally> {
        let epochs = window(epoch_id, params.storage_truth_divergence_window_epochs);
        let least = u64::from(params.storage_truth_reporter_min_reports_for_divergence);
        let reporters = self.audit.reliability.keys();
        reporters
            .map(|account| {
                let mut tally = Tally { account: account.clone(), total: 0, negative: 0, confirmed: 0 };
                for fact in self.audit.reporter_results.of_reporter(account, epochs.clone()) {
                    tally.total += 1;
                    tally.negative += u64::from(fact.result_class.is_failure());
                    tally.confirmed += u64::from(fact.result_class.is_failure() && fact.confirmed);
                }
                tally
            })
            .filter(|tally| tally.total >= least)
            .collect()
    }
}
