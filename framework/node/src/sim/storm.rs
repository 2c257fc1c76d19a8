//! What goes wrong, and when: drawn from the seed, block by block, until the calm begins.
//!
//! Owns the drawing, and the record of which nodes were touched in which epoch, so that nobody expects of them what
//! they could not do.

use super::disk::DiskCondition;
use super::options::Profile;
use super::world::World;
use lampkeeper_api::store::ArtifactStore;
use lampkeeper_chain_sim::injection::{
    BlockFault, BlockRule, CallFault, CallRule, InjectedError, InjectionPlan, TxOrder,
};
use lampkeeper_plugin_sdk::cascade::TicketDocuments;
use lampkeeper_transport_memory::{LinkQuality, MessageFault};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Polls within which a crash happens.
const CRASH_WITHIN_POLLS: u64 = 600;
/// Blocks that a crashed node is down at most when every heal has to succeed; less than a verifier's patience.
const DOWNTIME_BLOCKS_SHORT: u64 = 2;
/// The same when it may fail.
const DOWNTIME_BLOCKS_LONG: u64 = 15;
/// Blocks between two crashes at least.
const CRASH_PAUSE_BLOCKS: i64 = 8;

/// Calls that may be answered wrongly. `heal_op` is never said not to exist: that is the chain's word, and final.
const QUERIES: [&str; 10] = [
    "status",
    "params",
    "current_epoch",
    "epoch_anchor",
    "assigned_targets",
    "epoch_report",
    "heal_op",
    "heal_ops_by_status",
    "ticket",
    "supernodes",
];
/// Submissions that may go wrong.
const SUBMISSIONS: [&str; 4] =
    ["submit.epoch_report", "submit.heal_claim", "submit.heal_verification", "submit.recheck_evidence"];

/// The faults of one run.
#[derive(Default)]
pub struct Storm {
    /// Epochs in which a node was touched by a fault, by account.
    touched: BTreeMap<String, BTreeSet<u64>>,
    /// Nodes that lost artifacts.
    pub damaged: BTreeSet<String>,
    next_crash_height: i64,
    armed: Option<usize>,
    network_until: Option<i64>,
    disk_until: Option<(usize, i64)>,
    /// Faults so far, by kind.
    pub counts: BTreeMap<&'static str, u64>,
    is_over: bool,
}

impl Storm {
    /// Whether a fault touched this node lately, so that others may find it wanting.
    pub fn has_touched(&self, account: &str, epoch_id: u64) -> bool {
        self.damaged.contains(account) || self.was_touched_itself(account, epoch_id)
    }

    /// Whether a fault other than damage touched this node lately.
    pub fn was_touched_itself(&self, account: &str, epoch_id: u64) -> bool {
        self.touched
            .get(account)
            .is_some_and(|epochs| epochs.contains(&epoch_id) || epochs.contains(&epoch_id.saturating_sub(1)))
    }

    fn touch(&mut self, world: &World, index: usize) {
        let epoch_id = world.epoch_id();
        let account = world.members[index].account.clone();
        self.touched.entry(account).or_default().insert(epoch_id);
    }

    fn touch_all(&mut self, world: &World) {
        (0..world.members.len()).for_each(|index| self.touch(world, index));
    }

    fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// What goes wrong before the next block.
    pub fn blow(&mut self, world: &mut World, documents: &[Arc<TicketDocuments>]) {
        let height = world.height();
        if height >= world.options.storm_end_height() {
            return self.end(world);
        }
        let profile = world.options.profile;
        self.maybe_damage(world, documents);
        if profile.has_crashes() {
            self.maybe_crash(world, height);
        }
        if profile.has_network_faults() {
            self.network(world, height);
        }
        if profile.has_disk_faults() {
            self.disk(world, height);
        }
        if profile.has_chain_faults() {
            self.chain(world, height);
        }
    }

    /// Sees to the nodes that crashed since the last block.
    pub fn mourn(&mut self, world: &mut World) {
        let longest = if world.options.profile == Profile::Crashes {
            DOWNTIME_BLOCKS_SHORT
        } else {
            DOWNTIME_BLOCKS_LONG
        };
        let down = |world: &World| i64::try_from(world.draw(longest)).unwrap_or_default();
        for index in world.bury_crashed(down) {
            self.count("crashes");
            self.touch(world, index);
            if self.armed == Some(index) {
                self.armed = None;
            }
        }
        for index in 0..world.members.len() {
            if world.members[index].is_down() {
                self.touch(world, index);
            }
        }
    }

    /// Everything works again, once. A crash that was armed may still come.
    fn end(&mut self, world: &World) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        world.ledger.note(|| "the calm begins".to_owned());
        world.reset_links();
        world.faults.clear();
        world.reset_links();
        world.chain.clear_injections();
        for member in world.members.iter().filter(|member| member.is_down()) {
            world.faults.take_down(&member.account);
        }
        for member in &world.members {
            member.disk.set_condition(DiskCondition::GOOD);
        }
        self.touch_all(world);
    }

    fn maybe_crash(&mut self, world: &World, height: i64) {
        let someone_is_down = world.members.iter().any(super::world::Member::is_down);
        if self.armed.is_some() || someone_is_down || height < self.next_crash_height {
            return;
        }
        let index = world.draw_index(world.members.len());
        let polls = 1 + world.draw(CRASH_WITHIN_POLLS);
        world.scheduler.kill_group_after_polls(&world.members[index].name, polls);
        self.armed = Some(index);
        self.touch(world, index);
        let pause = i64::try_from(world.draw(10)).unwrap_or_default();
        self.next_crash_height = height + CRASH_PAUSE_BLOCKS + pause;
    }

    /// Loses or spoils artifacts of one node, at most of a third of the nodes, and lets the chain know that the ticket is
    /// in trouble, as its reporters would after some epochs.
    fn maybe_damage(&mut self, world: &World, documents: &[Arc<TicketDocuments>]) {
        if documents.is_empty() || world.draw(8) != 0 {
            return;
        }
        let documents = &documents[world.draw_index(documents.len())];
        let index = world.draw_index(world.members.len());
        let member = &world.members[index];
        let damaged_max = (world.members.len() / 3).max(1);
        if self.damaged.len() >= damaged_max && !self.damaged.contains(&member.account) {
            return;
        }
        let share = [1, 8, 100][world.draw_index(3)];
        let mut count = 0_u64;
        for (key, _) in documents.artifacts() {
            let is_here = matches!(super::disk::futures_now::now(member.disk.store.size(&key)), Ok(Some(_)));
            if !is_here || world.draw(100) >= share {
                continue;
            }
            if world.draw(2) == 0 {
                member.disk.store.damage(&key);
            } else {
                let _ = super::disk::futures_now::now(member.disk.store.delete(&key));
            }
            count += 1;
        }
        if count == 0 {
            return;
        }
        self.damaged.insert(member.account.clone());
        self.count("damages");
        world.ledger.note(|| format!("{} loses {count} artifacts of {}", member.name, documents.ticket_id()));
        plant_deterioration(world, documents.ticket_id(), &member.account);
    }

    fn network(&mut self, world: &World, height: i64) {
        if let Some(until) = self.network_until {
            self.touch_all(world);
            if height >= until {
                self.network_until = None;
                world.reset_links();
                let up = |member: &&super::world::Member| !member.is_down() && !member.has_crashed();
                world.members.iter().filter(up).for_each(|member| world.faults.bring_up(&member.account));
            }
            return;
        }
        if world.draw(6) != 0 {
            return;
        }
        self.touch_all(world);
        self.network_until = Some(height + 2 + i64::try_from(world.draw(12)).unwrap_or_default());
        match world.draw(4) {
            0 => self.partition(world),
            1 => {
                let latency = Duration::from_millis(20 + world.draw(1500));
                world.faults.set_every_link(LinkQuality { latency, ..LinkQuality::default() });
                self.count("slow networks");
            }
            2 => self.lose_messages(world),
            _ => {
                let member = &world.members[world.draw_index(world.members.len())];
                world.faults.take_down(&member.account);
                world.ledger.note(|| format!("{} is unreachable", member.name));
                self.count("unreachable nodes");
            }
        }
    }

    fn partition(&mut self, world: &World) {
        let side: Vec<&str> = world
            .members
            .iter()
            .filter(|_| world.draw(2) == 0)
            .map(|member| member.account.as_str())
            .collect();
        world.faults.partition(&[&side]);
        world.ledger.note(|| format!("the network is cut: {} nodes on one side", side.len()));
        self.count("partitions");
    }

    fn lose_messages(&mut self, world: &World) {
        for _ in 0..20 {
            let from = &world.members[world.draw_index(world.members.len())];
            let to = &world.members[world.draw_index(world.members.len())];
            let fault = if world.draw(2) == 0 { MessageFault::Drop } else { MessageFault::Duplicate };
            world.faults.on_message(&from.account, &to.account, 1 + world.draw(20), fault);
        }
        world.ledger.note(|| "messages get lost and repeated".to_owned());
        self.count("lossy links");
    }

    fn disk(&mut self, world: &World, height: i64) {
        if let Some((index, until)) = self.disk_until {
            self.touch(world, index);
            if height >= until {
                world.members[index].disk.set_condition(DiskCondition::GOOD);
                self.disk_until = None;
            }
            return;
        }
        if world.draw(5) != 0 {
            return;
        }
        let index = world.draw_index(world.members.len());
        self.touch(world, index);
        let condition = match world.draw(3) {
            0 => DiskCondition { latency_ms_max: 1 + world.draw(400), ..DiskCondition::GOOD },
            1 => DiskCondition { failures_per_mille: 1 + world.draw(1000), ..DiskCondition::GOOD },
            _ => DiskCondition { is_full: true, ..DiskCondition::GOOD },
        };
        let member = &world.members[index];
        member.disk.set_condition(condition);
        world.ledger.note(|| format!("{} has a bad disk: {condition:?}", member.name));
        self.disk_until = Some((index, height + 1 + i64::try_from(world.draw(12)).unwrap_or_default()));
        self.count("bad disks");
    }

    fn chain(&mut self, world: &World, height: i64) {
        if world.draw(3) == 0 {
            let index = world.draw_index(world.members.len());
            let rule = call_rule(world, &world.members[index].account);
            world.ledger.note(|| format!("{} meets {rule:?}", world.members[index].name));
            self.touch(world, index);
            self.count("chain faults");
            world.chain.inject(InjectionPlan { calls: vec![rule], blocks: Vec::new() });
        }
        if world.draw(12) == 0 {
            let fault = match world.draw(4) {
                0 => BlockFault::Freeze { intervals: u32::try_from(1 + world.draw(4)).unwrap_or(1) },
                1 => BlockFault::Reorder { order: TxOrder::Reverse },
                2 => BlockFault::Reorder { order: TxOrder::Shuffle },
                _ => BlockFault::DropTransactions,
            };
            world.ledger.note(|| format!("the chain meets {fault:?}"));
            self.touch_all(world);
            self.count("block faults");
            let blocks = vec![BlockRule { at_height: height + 1, fault }];
            world.chain.inject(InjectionPlan { calls: Vec::new(), blocks });
        }
    }
}

fn call_rule(world: &World, account: &str) -> CallRule {
    let is_submission = world.draw(2) == 0;
    let call = if is_submission {
        SUBMISSIONS[world.draw_index(SUBMISSIONS.len())]
    } else {
        QUERIES[world.draw_index(QUERIES.len())]
    };
    let fault = match world.draw(8) {
        0 | 1 => CallFault::Fail { error: error_before(world, is_submission) },
        2 => CallFault::FailAfterAcceptance { error: InjectedError::Transient { outcome_unknown: true } },
        3 => CallFault::Delay { delay_ms: 1 + world.draw(6000) },
        4 => CallFault::DelayAfterAcceptance { delay_ms: 1 + world.draw(6000) },
        5 => CallFault::Drop,
        6 if is_submission => CallFault::Postpone { blocks: u32::try_from(1 + world.draw(10)).unwrap_or(1) },
        _ => CallFault::Lag { blocks: u32::try_from(1 + world.draw(3)).unwrap_or(1) },
    };
    CallRule {
        call: call.to_owned(),
        account: Some(account.to_owned()),
        first: 1,
        count: 1 + world.draw(3),
        fault,
    }
}

/// An error of a call that had no effect. None of them lies about an operation.
fn error_before(world: &World, is_submission: bool) -> InjectedError {
    match world.draw(if is_submission { 5 } else { 3 }) {
        0 => InjectedError::Transient { outcome_unknown: true },
        1 => InjectedError::Unavailable,
        3 => InjectedError::InvalidRequest,
        // A sequence number that is behind, as a busy account meets it.
        4 => InjectedError::Rejected { codespace: "sdk".to_owned(), code: 4, message: String::new() },
        _ => InjectedError::Transient { outcome_unknown: false },
    }
}

/// Lets the chain know that a ticket is in trouble, unless it is healed already or on probation.
fn plant_deterioration(world: &World, ticket_id: &str, target: &str) {
    world.chain.plant(|state| {
        let epoch_id = state.query_current_epoch().epoch_id;
        let mut ticket = state.audit.tickets.get(ticket_id).cloned().unwrap_or_default();
        ticket_id.clone_into(&mut ticket.ticket_id);
        target.clone_into(&mut ticket.last_target_supernode_account);
        ticket.deterioration_score = ticket.deterioration_score.max(60);
        ticket.distinct_holder_failure_count = ticket.distinct_holder_failure_count.max(2);
        ticket.last_failure_epoch = epoch_id;
        ticket.last_updated_epoch = epoch_id;
        state.audit.tickets.insert(ticket);
    });
    world.ledger.note(|| format!("ticket {ticket_id} is in trouble because of {target}"));
}
