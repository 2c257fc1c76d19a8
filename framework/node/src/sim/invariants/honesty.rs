//! Rules about what honest nodes say of each other: votes and reports.

use super::{Invariants, Scene, healer};
use crate::sim::excuses::Touch;
use crate::sim::options::EPOCH_LENGTH_BLOCKS;
use crate::sim::world::Member;
use lampkeeper_protocol::words::ResultClass;

/// Blocks after a start in which a report may not be made any more.
const REPORT_WITHIN_BLOCKS: i64 = 12;

/// The first block of an epoch.
const fn start_of(epoch_id: u64) -> i64 {
    (epoch_id * EPOCH_LENGTH_BLOCKS).cast_signed()
}

impl Invariants {
    /// An honest verifier says yes only to a file that it was served as claimed, and no only to a healer who lies or had
    /// trouble since it claimed.
    pub(super) fn votes_are_deserved(&mut self, scene: Scene<'_>) {
        let world = scene.world;
        for op in scene.ops {
            let Some(healer) = healer(world, op) else { continue };
            let votes = world.chain.read(|state| state.audit.heal_votes.get(&op.heal_op_id).cloned());
            for (voter, verified) in votes.unwrap_or_default() {
                let is_new = self.voted.insert((op.heal_op_id, voter.clone()));
                if !is_new || !world.is_honest(&voter) {
                    continue;
                }
                let claimed_at = self.reported_at.get(&op.heal_op_id).copied().unwrap_or(scene.height);
                let is_wrong = if verified {
                    healer.role.healing.is_some()
                } else {
                    healer.is_honest() && !scene.was_any_touched(&[&healer.account], claimed_at)
                };
                if is_wrong {
                    let word = if verified { "yes" } else { "no" };
                    let details = format!("votes {word} on operation {} of {}", op.heal_op_id, healer.name);
                    world.ledger.violate("votes-are-deserved", world.name_of(&voter), details);
                }
            }
        }
    }

    /// No row of an honest reporter counts against an honest node without a reason: silence needs some trouble of the
    /// node lately, a refusal trouble with its chain, and wrong or missing bytes damage to that very ticket.
    pub(super) fn honest_nodes_are_not_accused(&mut self, scene: Scene<'_>) {
        let world = scene.world;
        let failures: Vec<_> = world.chain.read(|state| {
            let failures = state.audit.node_failures.iter();
            let facts = failures.map(|fact| {
                let key = (fact.epoch_id, fact.target.clone(), fact.reporter.clone(), fact.ticket_id.clone());
                (key, fact.result_class)
            });
            facts.collect()
        });
        for (key, class) in failures {
            if !self.judged.insert(key.clone()) {
                continue;
            }
            let (epoch_id, target, reporter, ticket_id) = key;
            let since = start_of(epoch_id.saturating_sub(1));
            let excuses = &scene.storm.excuses;
            let touches: &[Touch] = match class {
                ResultClass::TimeoutOrNoResponse => &Touch::ALL,
                // A target that its own chain misleads refuses those who may ask.
                ResultClass::InvalidTranscript => &[Touch::Chain],
                _ => &[],
            };
            let is_excused = !world.is_honest(&target)
                || !world.is_honest(&reporter)
                || excuses.was_damaged(&target, &ticket_id, since)
                || excuses.was_touched(&target, touches, since, scene.height);
            if !is_excused {
                let reporter = world.name_of(&reporter);
                let details =
                    format!("accused by {reporter} of {class:?} on ticket {ticket_id} in epoch {epoch_id}");
                world.ledger.violate("honest-not-accused", world.name_of(&target), details);
            }
        }
    }

    /// At the end of an epoch in which nothing happened to a node, and in the one before, it has reported. A crash is no
    /// excuse when there was time enough after it.
    pub(super) fn everybody_reports(&mut self, scene: Scene<'_>) {
        let world = scene.world;
        let epoch_id = world.epoch_id();
        let over = std::mem::replace(&mut self.last_epoch, epoch_id);
        if over == epoch_id || over <= 1 {
            return;
        }
        let missing: Vec<&Member> = world.chain.read(|state| {
            let missing = |member: &&Member| state.audit.reports.get(over, &member.account).is_none();
            world.members.iter().filter(missing).collect()
        });
        let (before, end) = (start_of(over - 1), start_of(over + 1));
        let others = [Touch::Network, Touch::Disk, Touch::Chain];
        for member in missing {
            let excuses = &scene.storm.excuses;
            let is_excused = excuses.was_touched(&member.account, &others, before, end)
                || excuses.was_touched(&member.account, &[Touch::Crash], end - REPORT_WITHIN_BLOCKS, end);
            if !is_excused {
                let details = format!("no report for epoch {over}");
                world.ledger.violate("everybody-reports", &member.name, details);
            }
        }
    }
}
