//! What must hold, whatever goes wrong.
//!
//! Owns the rules about the chain's state and the nodes' disks between two blocks, and at the end of a run.

use super::disk::futures_now::now;
use super::storm::Storm;
use super::world::{Member, World};
use lampkeeper_api::Account;
use lampkeeper_api::chain::{HealOp, HealOpStatus, SupernodeState};
use lampkeeper_api::journal::HealJournal;
use lampkeeper_api::staging::{Staging, StagingManifest, StagingState};
use lampkeeper_api::store::ArtifactStore;
use lampkeeper_protocol::artifact_key::ArtifactKey;
use std::collections::{BTreeMap, BTreeSet};

/// Blocks that a node has to publish what was verified, once nothing is wrong any more.
const PUBLISH_WITHIN_BLOCKS: u64 = 40;

/// What was seen after the last block.
#[derive(Default)]
pub struct Invariants {
    /// Sealed reconstructions by operation and healer.
    sealed: BTreeMap<u64, StagingManifest>,
    /// Operations with a claim on their healer's disk.
    claimed: BTreeSet<u64>,
    /// Failures that were looked at.
    judged: BTreeSet<(u64, String, String, String)>,
    /// Votes that were looked at.
    voted: BTreeSet<(u64, String)>,
    /// Published operations that were looked at.
    published: BTreeSet<u64>,
    last_epoch: u64,
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
        self.published_means_stored(world, storm, &ops);
        for (account, keys) in world.ledger.take_sent() {
            let verified =
                |op: &&HealOp| op.healer_supernode_account == account && op.status == HealOpStatus::Verified;
            let allowed: BTreeSet<ArtifactKey> = ops
                .iter()
                .filter(verified)
                .filter_map(|op| self.sealed.get(&op.heal_op_id))
                .flat_map(|manifest| manifest.artifacts.iter().map(|artifact| artifact.key))
                .collect();
            if let Some(key) = keys.iter().find(|key| !allowed.contains(key)) {
                let details = format!("artifact {key} of no verified operation of this node");
                world.ledger.violate("published-after-verified", world.name_of(&account), details);
            }
        }
        self.remember_sealed(world, &ops);
    }

    /// Judges the state after a block.
    pub fn after_block(&mut self, world: &World, storm: &Storm) {
        let ops = ops(world);
        self.nothing_staged_is_lost(world, &ops);
        verified_means_right(world, &ops);
        self.votes_are_deserved(world, storm, &ops);
        self.honest_nodes_are_not_accused(world, storm);
        self.everybody_reports(world, storm);
        self.remember_sealed(world, &ops);
    }

    fn remember_sealed(&mut self, world: &World, ops: &[HealOp]) {
        for op in ops {
            let Some(member) = healer(world, op) else { continue };
            if let Some(manifest) = manifest_of(member, op.heal_op_id) {
                self.sealed.insert(op.heal_op_id, manifest);
            }
            if has_claim(member, op.heal_op_id) {
                self.claimed.insert(op.heal_op_id);
            }
        }
    }

    fn nothing_staged_is_lost(&self, world: &World, ops: &[HealOp]) {
        let epoch_id = world.epoch_id();
        for op in ops {
            let Some(member) = healer(world, op).filter(|member| member.is_honest()) else { continue };
            let id = op.heal_op_id;
            let has_time = op.deadline_epoch_id == 0 || epoch_id < op.deadline_epoch_id;
            let must_be_kept = match op.status {
                HealOpStatus::HealerReported => true,
                HealOpStatus::Verified => self.claimed.contains(&id) && !world.ledger.is_published(id),
                HealOpStatus::Scheduled | HealOpStatus::InProgress => self.claimed.contains(&id) && has_time,
                _ => false,
            };
            if !must_be_kept {
                continue;
            }
            let status = op.status.name();
            if !has_claim(member, id) {
                world.ledger.violate(
                    "open-claims-stay",
                    &member.name,
                    format!("operation {id} is {status} and its claim is gone"),
                );
            } else if manifest_of(member, id).is_none() {
                world.ledger.violate(
                    "staged-heals-stay",
                    &member.name,
                    format!("operation {id} is {status} and its reconstruction is gone"),
                );
            }
        }
    }

    /// What was published is on the nodes that lacked it, unless something happened to them.
    fn published_means_stored(&mut self, world: &World, storm: &Storm, ops: &[HealOp]) {
        let epoch_id = world.epoch_id();
        // The others are given nothing to keep.
        let active: Vec<Account> =
            world.chain.read(|state| state.supernode.supernodes.accounts_in(SupernodeState::Active));
        for op in ops.iter().filter(|op| world.ledger.is_published(op.heal_op_id)) {
            if !self.published.insert(op.heal_op_id) {
                continue;
            }
            let artifacts = self.sealed.get(&op.heal_op_id).map_or(&[][..], |manifest| &manifest.artifacts);
            for artifact in artifacts {
                let lacked = |member: &&Member| {
                    artifact.missing_on.contains(&member.account) && active.contains(&member.account)
                };
                let spared = |member: &&Member| {
                    !storm.was_touched_itself(&member.account, epoch_id) && !member.is_down()
                };
                let lacks =
                    |member: &&Member| !matches!(now(member.disk.store.get(&artifact.key)), Ok(Some(_)));
                if let Some(member) = world.members.iter().filter(lacked).filter(spared).find(lacks) {
                    let details =
                        format!("operation {} was published and {} is not here", op.heal_op_id, artifact.key);
                    world.ledger.violate("published-means-stored", &member.name, details);
                    break;
                }
            }
        }
    }

    /// An honest verifier says yes only to a file that it was served as claimed, and no only to a healer who lies or had
    /// trouble.
    fn votes_are_deserved(&mut self, world: &World, storm: &Storm, ops: &[HealOp]) {
        let epoch_id = world.epoch_id();
        for op in ops {
            let Some(healer) = healer(world, op) else { continue };
            let votes = world.chain.read(|state| state.audit.heal_votes.get(&op.heal_op_id).cloned());
            for (voter, verified) in votes.unwrap_or_default() {
                let is_new = self.voted.insert((op.heal_op_id, voter.clone()));
                if !is_new || !world.is_honest(&voter) {
                    continue;
                }
                let is_wrong = if verified {
                    healer.role.deceives_verifiers()
                } else {
                    healer.is_honest() && !storm.was_touched_itself(&healer.account, epoch_id)
                };
                if is_wrong {
                    let word = if verified { "yes" } else { "no" };
                    let details = format!("votes {word} on operation {} of {}", op.heal_op_id, healer.name);
                    world.ledger.violate("votes-are-deserved", world.name_of(&voter), details);
                }
            }
        }
    }

    /// No row of an honest reporter counts against an honest node that nothing happened to.
    fn honest_nodes_are_not_accused(&mut self, world: &World, storm: &Storm) {
        let failures: Vec<_> = world.chain.read(|state| {
            state
                .audit
                .node_failures
                .iter()
                .map(|fact| {
                    let key =
                        (fact.epoch_id, fact.target.clone(), fact.reporter.clone(), fact.ticket_id.clone());
                    (key, fact.result_class)
                })
                .collect()
        });
        for (key, class) in failures {
            if !self.judged.insert(key.clone()) {
                continue;
            }
            let (epoch_id, target, reporter, ticket_id) = key;
            if world.is_honest(&target) && world.is_honest(&reporter) && !storm.has_touched(&target, epoch_id)
            {
                let details = format!(
                    "accused by {} of {class:?} on ticket {ticket_id} in epoch {epoch_id}",
                    world.name_of(&reporter)
                );
                world.ledger.violate("honest-not-accused", world.name_of(&target), details);
            }
        }
    }

    /// At the end of an epoch in which nothing happened to a node, and in the one before, it has reported.
    fn everybody_reports(&mut self, world: &World, storm: &Storm) {
        let epoch_id = world.epoch_id();
        let over = std::mem::replace(&mut self.last_epoch, epoch_id);
        if over == epoch_id || over <= 1 {
            return;
        }
        let missing: Vec<&Member> = world.chain.read(|state| {
            let reported = |member: &&Member| state.audit.reports.get(over, &member.account).is_none();
            world.members.iter().filter(reported).collect()
        });
        for member in missing {
            if !storm.was_touched_itself(&member.account, over) {
                let details = format!("no report for epoch {over}");
                world.ledger.violate("everybody-reports", &member.name, details);
            }
        }
    }

    /// Judges a run that is over.
    pub fn at_the_end(&self, world: &World) {
        for (task, words) in world.scheduler.panics() {
            world.ledger.violate("no-panics", "", format!("{task}: {words}"));
        }
        let height = world.height().unsigned_abs();
        for op in ops(world) {
            self.heal_has_succeeded(world, &op);
            let is_due = op.updated_height + PUBLISH_WITHIN_BLOCKS <= height;
            if let Some(member) = healer(world, &op)
                && op.status.is_final()
                && is_due
                && has_claim(member, op.heal_op_id)
            {
                let details =
                    format!("operation {} is {} and never finished", op.heal_op_id, op.status.name());
                world.ledger.violate("final-heals-finish", &member.name, details);
            }
        }
    }

    fn heal_has_succeeded(&self, world: &World, op: &HealOp) {
        let participants = op.verifier_supernode_accounts.iter().chain([&op.healer_supernode_account]);
        let all_honest = participants.into_iter().all(|account| world.is_honest(account));
        let has_failed = matches!(op.status, HealOpStatus::Failed | HealOpStatus::Expired);
        if world.options.profile.lets_every_heal_succeed() && all_honest && has_failed {
            let healer = world.name_of(&op.healer_supernode_account);
            let details = format!("operation {} is {}: {}", op.heal_op_id, op.status.name(), op.notes);
            world.ledger.violate("heals-succeed", healer, details);
        }
    }
}

/// A verified operation's hash is that of the ticket's file, whoever lied.
fn verified_means_right(world: &World, ops: &[HealOp]) {
    for op in ops.iter().filter(|op| op.status == HealOpStatus::Verified) {
        let data_hash = world.chain.read(|state| {
            state.query_action(&op.ticket_id).map(|action| action.metadata.data_hash.clone()).ok()
        });
        if data_hash.is_some_and(|data_hash| data_hash != op.result_hash) {
            let details = format!("operation {} was verified with {}", op.heal_op_id, op.result_hash);
            world.ledger.violate(
                "verified-means-right",
                world.name_of(&op.healer_supernode_account),
                details,
            );
        }
    }
}
