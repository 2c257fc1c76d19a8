//! What goes wrong, and when: drawn from the seed, block by block, until the calm begins.
//!
//! Owns the drawing and its order. What was done to whom is written down in [`Excuses`], what takes effect is counted
//! in the ledger.

mod chain;
mod network;

use super::disk::DiskCondition;
use super::disk::futures_now::now;
use super::excuses::{Excuses, Touch};
use super::options::Profile;
use super::watched::{HealingLie, Role, VotingLie};
use super::world::{Member, World};
use chain::ChainStorm;
use lampkeeper_api::chain::{HealOp, HealOpStatus};
use lampkeeper_api::store::ArtifactStore;
use lampkeeper_plugin_sdk::cascade::TicketDocuments;
use network::NetworkStorm;
use std::sync::Arc;

/// Polls within which a crash happens.
const CRASH_WITHIN_POLLS: u64 = 600;
/// Writes within which a crash in the middle of one happens.
const CRASH_WITHIN_WRITES: u64 = 24;
/// The same when a reconstruction begins.
const CRASH_WHILE_STAGING_WRITES: u64 = 10;
/// Blocks that a crashed node is down at most when every heal has to succeed; less than a verifier's patience.
const DOWNTIME_BLOCKS_SHORT: u64 = 2;
/// The same when it may fail.
const DOWNTIME_BLOCKS_LONG: u64 = 15;
/// Blocks between two crashes at least.
const CRASH_PAUSE_BLOCKS: i64 = 8;
/// Blocks between two looks at what is damaged.
const LOOK_EVERY_BLOCKS: i64 = 5;

/// The faults of one run.
#[derive(Default)]
pub struct Storm {
    /// What was done to whom.
    pub excuses: Excuses,
    next_crash_height: i64,
    armed: Option<usize>,
    network: NetworkStorm,
    disk_until: Option<(usize, i64)>,
    chain: ChainStorm,
    is_over: bool,
}

impl Storm {
    /// One node becomes a liar.
    pub fn appoint_liar(&self, world: &mut World) {
        let index = world.draw_index(world.members.len());
        let role = Role {
            healing: Some(HealingLie::ALL[world.draw_index(HealingLie::ALL.len())]),
            voting: Some(VotingLie::ALL[world.draw_index(VotingLie::ALL.len())]),
        };
        world.members[index].role = role;
        world.ledger.note(|| format!("{} is a liar: {role:?}", world.members[index].name));
        world.ledger.fault("liars");
    }

    /// What goes wrong before the next block.
    pub fn blow(&mut self, world: &mut World, documents: &[Arc<TicketDocuments>]) {
        let height = world.height();
        self.look_again(world, documents, height);
        if height >= world.options.storm_end_height() {
            return self.end(world);
        }
        let profile = world.options.profile;
        self.maybe_damage(world, documents, height);
        if profile.has_crashes() {
            self.maybe_crash(world, height);
        }
        if profile.has_network_faults() {
            self.network.blow(&mut self.excuses, world, height);
        }
        if profile.has_disk_faults() {
            self.disk(world, height);
        }
        if profile.has_chain_faults() {
            self.chain.blow(&mut self.excuses, world, height);
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
        let height = world.height();
        for index in world.bury_crashed(down) {
            world.ledger.fault("crashes");
            self.excuses.touch(&world.members[index].account, Touch::Crash, height, height + 1);
            if self.armed == Some(index) {
                self.armed = None;
            }
        }
        for member in world.members.iter().filter(|member| member.is_down()) {
            self.excuses.touch(&member.account, Touch::Crash, height, height + 1);
        }
    }

    /// Everything works again, once. A crash that was armed may still come.
    fn end(&mut self, world: &World) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        world.ledger.note(|| "the calm begins".to_owned());
        world.faults.clear();
        world.reset_links();
        world.chain.clear_injections();
        for member in world.members.iter().filter(|member| member.is_down()) {
            world.faults.take_down(&member.account);
        }
        for member in &world.members {
            member.disk.set_condition(DiskCondition::GOOD);
        }
    }

    /// A node crashes at one of its next await points, or in the middle of one of its next writes; every other time one
    /// that takes part in a heal, and most often one that begins to reconstruct.
    fn maybe_crash(&mut self, world: &World, height: i64) {
        let someone_is_down = world.members.iter().any(Member::is_down);
        if self.armed.is_some() || someone_is_down {
            return;
        }
        if let Some(healer) = someone_who_begins(world).filter(|_| world.draw(2) == 0) {
            world.members[healer].disk.crash_in_writes(1 + world.draw(CRASH_WHILE_STAGING_WRITES));
            self.armed = Some(healer);
            self.next_crash_height = height + CRASH_PAUSE_BLOCKS;
            return;
        }
        if height < self.next_crash_height {
            return;
        }
        let healing = Some(()).filter(|()| world.draw(2) == 0).and_then(|()| someone_who_heals(world));
        let index = healing.unwrap_or_else(|| world.draw_index(world.members.len()));
        let member = &world.members[index];
        if world.draw(2) == 0 {
            member.disk.crash_in_writes(1 + world.draw(CRASH_WITHIN_WRITES));
        } else {
            world.scheduler.kill_group_after_polls(&member.name, 1 + world.draw(CRASH_WITHIN_POLLS));
        }
        self.armed = Some(index);
        let pause = i64::try_from(world.draw(10)).unwrap_or_default();
        self.next_crash_height = height + CRASH_PAUSE_BLOCKS + pause;
    }

    /// Loses or spoils artifacts of one node, at most of a third of the nodes, and lets the chain know that the ticket is
    /// in trouble, as its reporters would after some epochs.
    fn maybe_damage(&mut self, world: &World, documents: &[Arc<TicketDocuments>], height: i64) {
        if documents.is_empty() || world.draw(8) != 0 {
            return;
        }
        let documents = &documents[world.draw_index(documents.len())];
        let member = &world.members[world.draw_index(world.members.len())];
        let damaged = self.excuses.damaged_accounts();
        let damaged_max = (world.members.len() / 3).max(1);
        if damaged.len() >= damaged_max && !damaged.contains(&member.account) {
            return;
        }
        let share = [1, 8, 100][world.draw_index(3)];
        let mut count = 0_u64;
        for (key, _) in documents.artifacts() {
            let is_here = matches!(now(member.disk.store.size(&key)), Ok(Some(_)));
            if !is_here || world.draw(100) >= share {
                continue;
            }
            if world.draw(2) == 0 {
                member.disk.store.damage(&key);
                world.ledger.fault("artifacts spoilt");
            } else {
                let _ = now(member.disk.store.delete(&key));
                world.ledger.fault("artifacts lost");
            }
            self.excuses.damage(&member.account, documents.ticket_id(), key, height);
            count += 1;
        }
        if count == 0 {
            return;
        }
        world.ledger.note(|| format!("{} loses {count} artifacts of {}", member.name, documents.ticket_id()));
        plant_deterioration(world, documents.ticket_id(), &member.account);
    }

    /// What crashes tore is damage like any other; and what was mended is none any more.
    fn look_again(&mut self, world: &World, documents: &[Arc<TicketDocuments>], height: i64) {
        for (name, key) in world.ledger.take_torn() {
            let ticket = documents.iter().find(|documents| documents.kind_of(&key).is_some());
            let member = world.members.iter().find(|member| member.name == name);
            if let (Some(ticket), Some(member)) = (ticket, member) {
                self.excuses.damage(&member.account, ticket.ticket_id(), key, height);
            }
        }
        if height % LOOK_EVERY_BLOCKS == 0 {
            self.excuses.look_again(height, |account, key| {
                let member = world.members.iter().find(|member| member.account == account);
                member.is_some_and(|member| matches!(now(member.disk.store.get(key)), Ok(Some(_))))
            });
        }
    }

    fn disk(&mut self, world: &World, height: i64) {
        if let Some((index, until)) = self.disk_until {
            self.excuses.touch(&world.members[index].account, Touch::Disk, height, height + 1);
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
        let (kind, condition) = match world.draw(3) {
            0 => ("slow disks", DiskCondition { latency_ms_max: 5 + world.draw(400), ..DiskCondition::GOOD }),
            1 => (
                "failing disks",
                DiskCondition { failures_per_mille: 1 + world.draw(1000), ..DiskCondition::GOOD },
            ),
            _ => ("full disks", DiskCondition { is_full: true, ..DiskCondition::GOOD }),
        };
        let member = &world.members[index];
        member.disk.set_condition(condition);
        world.ledger.note(|| format!("{} has a bad disk: {condition:?}", member.name));
        world.ledger.fault(kind);
        self.excuses.touch(&member.account, Touch::Disk, height, height + 1);
        self.disk_until = Some((index, height + 1 + i64::try_from(world.draw(12)).unwrap_or_default()));
    }
}

/// The healer of an operation that was scheduled in the last block.
fn someone_who_begins(world: &World) -> Option<usize> {
    let account = world.chain.read(|state| {
        let height = state.height.unsigned_abs();
        let is_new = |op: &&HealOp| op.status == HealOpStatus::Scheduled && op.created_height == height;
        state.audit.heal_ops.iter().find(is_new).map(|op| op.healer_supernode_account.clone())
    })?;
    world.members.iter().position(|member| member.account == account)
}

/// One of those who take part in an operation that is open.
fn someone_who_heals(world: &World) -> Option<usize> {
    let accounts: Vec<String> = world.chain.read(|state| {
        let is_open = |status| matches!(status, HealOpStatus::Scheduled | HealOpStatus::HealerReported);
        let open = state.audit.heal_ops.iter().filter(|op| is_open(op.status));
        open.flat_map(|op| op.verifier_supernode_accounts.iter().chain([&op.healer_supernode_account]))
            .cloned()
            .collect()
    });
    let account = accounts.get(world.draw_index(accounts.len()))?;
    world.members.iter().position(|member| member.account == *account)
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
