//! Scores of nodes, reporters and tickets (chain 5).
//!
//! Owns how one result becomes deltas and what each delta changes, in integer arithmetic. Decay itself is a rule of the
//! protocol crate.

mod adjust;
mod deltas;
mod divergence;
mod node;
mod recovery;
mod reporter;
mod ticket;

pub(crate) use adjust::scale;
pub(crate) use deltas::Deltas;
pub(crate) use reporter::trust_band;

use crate::api::EpochId;
use crate::api::chain::StorageProofResult;
use crate::event::Event;
use crate::names;
use crate::protocol::words::Bucket;
use crate::state::State;
use crate::state::facts::{NodeFailure, ReporterResult};
use adjust::adjust;

/// The contradicted reporter's delta (chain 5.4 c).
const CONTRADICTED_REPORTER_DELTA: i64 = 12;

impl State {
    /// Scores one result at an epoch, in the order of chain 5.5. The caller has checked the mode.
    pub(crate) fn score_result(&mut self, reporter: &str, result: &StorageProofResult, epoch_id: EpochId) {
        let params = self.params();
        let adjusted = adjust(self, reporter, result, epoch_id, &params);
        let node = self.apply_node(result, adjusted.deltas.node, epoch_id, &params);
        let contradictions = u64::from(adjusted.contradicted);
        let own = self.apply_reporter(reporter, adjusted.deltas.reporter, contradictions, epoch_id, &params);
        if let Some(contradicted) = &adjusted.contradicted_reporter {
            self.apply_reporter(contradicted, CONTRADICTED_REPORTER_DELTA, 1, epoch_id, &params);
        }
        self.record_facts(reporter, result, epoch_id);
        let ticket = self.apply_ticket(reporter, result, &adjusted, epoch_id, &params);
        if node.is_none() && own.is_none() && ticket.is_none() {
            return;
        }
        let band = self.trust_band_name(reporter);
        let repeated =
            self.audit.tickets.get(&result.ticket_id).map_or(0, |state| state.recent_failure_epoch_count);
        let mut event = Event::audit("storage_truth_score_updated")
            .with("epoch_id", epoch_id)
            .with("reporter_supernode_account", reporter)
            .with("target_supernode_account", &result.target_supernode_account)
            .with("ticket_id", &result.ticket_id)
            .with("result_class", names::result_class(result.result_class))
            .with("bucket_type", names::bucket(result.bucket_type))
            .with("reporter_trust_band", band)
            .with("repeated_failure_count", repeated)
            .with("contradiction_detected", adjusted.contradicted);
        let written = [
            ("node_suspicion_score", node),
            ("reporter_reliability_score", own),
            ("ticket_deterioration_score", ticket),
        ];
        for (name, score) in written {
            if let Some(score) = score {
                event = event.with(name, score);
            }
        }
        if let Some(contradicted) = adjusted.contradicted_reporter {
            event = event.with("contradicted_reporter", contradicted);
        }
        self.emit(event);
    }

    /// Steps 4 and 5 of chain 5.5.
    fn record_facts(&mut self, reporter: &str, result: &StorageProofResult, epoch_id: EpochId) {
        let target = &result.target_supernode_account;
        let has_subject = !result.ticket_id.is_empty() && !target.is_empty();
        if has_subject && result.bucket_type != Bucket::Recheck {
            self.audit.reporter_results.insert(ReporterResult {
                reporter: reporter.to_owned(),
                epoch_id,
                ticket_id: result.ticket_id.clone(),
                target: target.clone(),
                result_class: result.result_class,
                confirmed: false,
                overturned: false,
            });
        }
        if result.result_class.is_failure() && !result.ticket_id.is_empty() {
            self.audit.node_failures.insert(NodeFailure {
                target: target.clone(),
                epoch_id,
                ticket_id: result.ticket_id.clone(),
                reporter: reporter.to_owned(),
                result_class: result.result_class,
                bucket: result.bucket_type,
                artifact_class: result.artifact_class,
            });
        }
    }
}
