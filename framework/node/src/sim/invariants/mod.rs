//! What must hold, whatever goes wrong.
//!
//! Owns when each rule is judged, and what is remembered from block to block. Rules about heal operations and what is on
//! disks are in `heals`, rules about votes and reports in `honesty`. What excuses a node is the storm's record; a fault
//! of the whole network counts as one of every node.

mod heals;
mod honesty;

use super::disk::futures_now::now;
use super::storm::Storm;
use super::world::{Member, World};
use lampkeeper_api::Account;
use lampkeeper_api::chain::{HealOp, HealOpStatus};
use lampkeeper_api::journal::HealJournal;
use lampkeeper_api::staging::{Staging, StagingManifest, StagingState};
use std::collections::{BTreeMap, BTreeSet};

/// Blocks after which a fault that has ended is taken to be felt no more.
const AFTERMATH_BLOCKS: i64 = 20;

/// What was seen after the last block.
#[derive(Default)]
pub struct Invariants {
    /// Sealed reconstructions by operation and healer.
    sealed: BTreeMap<u64, StagingManifest>,
    /// Operations with a claim on their healer's disk.
    claimed: BTreeSet<u64>,
    /// The block in which an operation was claimed on the chain.
    reported_at: BTreeMap<u64, i64>,
    /// Failures that were looked at.
    judged: BTreeSet<(u64, String, String, String)>,
    /// Votes that were looked at.
    voted: BTreeSet<(u64, String)>,
    /// Published operations that were looked at.
    published: BTreeSet<u64>,
    /// Operations whose end was looked at.
    ended: BTreeSet<u64>,
    last_epoch: u64,
}

/// What a rule looks at.
#[derive(Clone, Copy)]
struct Scene<'a> {
    world: &'a World,
    storm: &'a Storm,
    ops: &'a [HealOp],
    height: i64,
}

impl Scene<'_> {
    /// Whether any of these nodes was in trouble between a block and now, or so shortly before that it is still felt.
    fn was_any_touched(&self, accounts: &[&Account], since: i64) -> bool {
        let touches = super::excuses::Touch::ALL;
        accounts.iter().any(|account| {
            self.storm.excuses.was_touched(account, &touches, since - AFTERMATH_BLOCKS, self.height)
        })
    }
}

fn manifest_of(member: &Member, heal_op_id: u64) -> Option<StagingManifest> {
    match now(member.disk.staging.state(heal_op_id)) {
        Ok(StagingState::Sealed(manifest)) => Some(*manifest),
        _ => None,
    }
}

fn has_claim(member: &Member, heal_op_id: u64) -> bool {
    matches!(now(member.disk.journal.claim(heal_op_id)), Ok(Some(_)))
}

fn ops(world: &World) -> Vec<HealOp> {
    world.chain.read(|state| state.audit.heal_ops.iter().cloned().collect())
}

fn healer<'a>(world: &'a World, op: &HealOp) -> Option<&'a Member> {
    world.members.iter().find(|member| member.account == op.healer_supernode_account)
}

impl Invariants {
    /// Judges what the nodes did since the last block, against the chain as it was then.
    pub fn before_block(&mut self, world: &World, storm: &Storm) {
        let ops = ops(world);
        let scene = Scene { world, storm, ops: &ops, height: world.height() };
        self.published_means_stored(scene);
        self.published_after_verified(scene);
        self.remember(scene);
    }

    /// Judges the state after a block.
    pub fn after_block(&mut self, world: &World, storm: &Storm) {
        let ops = ops(world);
        let scene = Scene { world, storm, ops: &ops, height: world.height() };
        self.remember(scene);
        self.nothing_staged_is_lost(scene);
        heals::verified_means_right(scene);
        self.heals_succeed(scene);
        self.votes_are_deserved(scene);
        self.honest_nodes_are_not_accused(scene);
        self.everybody_reports(scene);
    }

    fn remember(&mut self, scene: Scene<'_>) {
        for op in scene.ops {
            if op.status == HealOpStatus::HealerReported {
                self.reported_at.entry(op.heal_op_id).or_insert(scene.height);
            }
            let Some(member) = healer(scene.world, op) else { continue };
            if let Some(manifest) = manifest_of(member, op.heal_op_id) {
                self.sealed.insert(op.heal_op_id, manifest);
            }
            if has_claim(member, op.heal_op_id) {
                self.claimed.insert(op.heal_op_id);
            }
        }
    }

    /// Judges a run that is over.
    pub fn at_the_end(&self, world: &World) {
        for (task, words) in world.scheduler.panics() {
            world.ledger.violate("no-panics", "", format!("{task}: {words}"));
        }
        heals::final_heals_finish(world, &ops(world));
    }
}
