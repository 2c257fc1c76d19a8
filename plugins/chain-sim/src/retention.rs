//! What the close of an epoch forgets (chain 10).

use crate::api::EpochId;
use crate::api::chain::Params;
use crate::state::State;

impl State {
    pub(crate) fn prune(&mut self, epoch_id: EpochId, params: &Params) {
        let keep = params.keep_last_epoch_entries;
        let first_kept = (epoch_id + 1).saturating_sub(keep);
        let audit = &mut self.audit;
        audit.anchors = audit.anchors.split_off(&first_kept);
        audit.params_snapshots = audit.params_snapshots.split_off(&first_kept);
        audit.reports.drop_before(first_kept);
        audit.evidence.counts = audit.evidence.counts.split_off(&first_kept);
        audit.recheck_submissions = audit.recheck_submissions.split_off(&first_kept);
        audit.node_failures.drop_before(first_kept);
        audit.reporter_results.drop_before(first_kept);
        audit.failed_heals = audit.failed_heals.split_off(&first_kept);
        audit.transcripts.drop_before(first_kept);
        if epoch_id > keep {
            for ticket_id in audit.tickets.idle_before(epoch_id - keep) {
                audit.tickets.remove(&ticket_id);
            }
        }
        for id in audit.heal_ops.ids_by_finality(true) {
            let is_old = audit
                .heal_ops
                .get(id)
                .is_some_and(|operation| operation.scheduled_epoch_id.saturating_add(keep) < epoch_id);
            if is_old {
                audit.heal_ops.remove(id);
                audit.heal_votes.remove(&id);
            }
        }
    }
}
