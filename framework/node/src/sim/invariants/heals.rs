//! Rules about heal operations: what is kept, what is published, what succeeds.

use super::{Invariants, Scene, has_claim, healer, manifest_of};
use crate::sim::disk::futures_now::now;
use crate::sim::excuses::Touch;
use crate::sim::options::EPOCH_LENGTH_BLOCKS;
use crate::sim::world::{Member, World};
use lampkeeper_api::Account;
use lampkeeper_api::chain::{HealOp, HealOpStatus, SupernodeState};
use lampkeeper_api::staging::StagedArtifact;
use lampkeeper_api::store::ArtifactStore;
use lampkeeper_protocol::artifact_key::ArtifactKey;
use std::collections::BTreeSet;

/// Blocks that a node has to publish what was verified, once nothing is wrong any more.
const PUBLISH_WITHIN_BLOCKS: u64 = 40;
/// Blocks without trouble within which a heal has to succeed, from its claim to the votes.
const HEAL_WITHIN_BLOCKS: i64 = 30;

impl Invariants {
    /// A node sends others only artifacts that one of its VERIFIED operations had staged.
    pub(super) fn published_after_verified(&self, scene: Scene<'_>) {
        for (account, keys) in scene.world.ledger.take_sent() {
            let verified =
                |op: &&HealOp| op.healer_supernode_account == account && op.status == HealOpStatus::Verified;
            let allowed: BTreeSet<ArtifactKey> = scene
                .ops
                .iter()
                .filter(verified)
                .filter_map(|op| self.sealed.get(&op.heal_op_id))
                .flat_map(|manifest| manifest.artifacts.iter().map(|artifact| artifact.key))
                .collect();
            if let Some(key) = keys.iter().find(|key| !allowed.contains(key)) {
                let details = format!("artifact {key} of no verified operation of this node");
                scene.world.ledger.violate(
                    "published-after-verified",
                    scene.world.name_of(&account),
                    details,
                );
            }
        }
    }

    /// While an operation is open, and until it is published, its claim and its reconstruction are on the healer's disk.
    pub(super) fn nothing_staged_is_lost(&self, scene: Scene<'_>) {
        let world = scene.world;
        let epoch_id = world.epoch_id();
        for op in scene.ops {
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
    pub(super) fn published_means_stored(&mut self, scene: Scene<'_>) {
        // The others are given nothing to keep.
        let active: Vec<Account> =
            scene.world.chain.read(|state| state.supernode.supernodes.accounts_in(SupernodeState::Active));
        for op in scene.ops.iter().filter(|op| scene.world.ledger.is_published(op.heal_op_id)) {
            if !self.published.insert(op.heal_op_id) {
                continue;
            }
            let artifacts = self.sealed.get(&op.heal_op_id).map_or(&[][..], |manifest| &manifest.artifacts);
            let lacking = artifacts.iter().find_map(|artifact| {
                let member = someone_who_lacks(scene, op, artifact, &active)?;
                Some((artifact.key, member))
            });
            if let Some((key, member)) = lacking {
                let details = format!("operation {} was published and {key} is not here", op.heal_op_id);
                scene.world.ledger.violate("published-means-stored", &member.name, details);
            }
        }
    }

    /// An operation between honest nodes ends VERIFIED, if nothing was wrong with them for long enough before its
    /// deadline. Where nothing but short crashes happens, there is no excuse at all.
    pub(super) fn heals_succeed(&mut self, scene: Scene<'_>) {
        for op in scene.ops {
            let has_failed = matches!(op.status, HealOpStatus::Failed | HealOpStatus::Expired);
            if !has_failed || !self.ended.insert(op.heal_op_id) {
                continue;
            }
            let participants: Vec<&Account> =
                op.verifier_supernode_accounts.iter().chain([&op.healer_supernode_account]).collect();
            let world = scene.world;
            let created = op.created_height.cast_signed();
            // A vote is final: trouble at any time can have cost one.
            let votes = world.chain.read(|state| state.audit.heal_votes.get(&op.heal_op_id).cloned());
            let has_a_no = votes.unwrap_or_default().into_iter().any(|(_, verified)| !verified);
            let quiet_since = if has_a_no { created } else { created.max(scene.height - HEAL_WITHIN_BLOCKS) };
            let is_excused = participants.iter().any(|account| !world.is_honest(account))
                || (!world.options.profile.lets_every_heal_succeed()
                    && scene.was_any_touched(&participants, quiet_since));
            if !is_excused {
                let healer = world.name_of(&op.healer_supernode_account);
                let details = format!("operation {} is {}: {}", op.heal_op_id, op.status.name(), op.notes);
                world.ledger.violate("heals-succeed", healer, details);
            }
        }
    }
}

/// An active node that lacks an artifact which was published for it, and has no excuse.
fn someone_who_lacks<'a>(
    scene: Scene<'a>,
    op: &HealOp,
    artifact: &StagedArtifact,
    active: &[Account],
) -> Option<&'a Member> {
    let verified_at = op.updated_height.cast_signed();
    let excuses = &scene.storm.excuses;
    let epoch = EPOCH_LENGTH_BLOCKS.cast_signed();
    scene.world.members.iter().find(|member| {
        let account = &member.account;
        artifact.missing_on.contains(account)
            && active.contains(account)
            && !member.is_down()
            && !excuses.was_touched(account, &Touch::ALL, verified_at - epoch, scene.height)
            && !excuses.became_damaged(account, &op.ticket_id, verified_at)
            && !matches!(now(member.disk.store.get(&artifact.key)), Ok(Some(_)))
    })
}

/// A verified operation's hash is that of the ticket's file, whoever lied.
pub(super) fn verified_means_right(scene: Scene<'_>) {
    for op in scene.ops.iter().filter(|op| op.status == HealOpStatus::Verified) {
        let data_hash = scene.world.chain.read(|state| {
            state.query_action(&op.ticket_id).map(|action| action.metadata.data_hash.clone()).ok()
        });
        if data_hash.is_some_and(|data_hash| data_hash != op.result_hash) {
            let details = format!("operation {} was verified with {}", op.heal_op_id, op.result_hash);
            let healer = scene.world.name_of(&op.healer_supernode_account);
            scene.world.ledger.violate("verified-means-right", healer, details);
        }
    }
}

/// Operations that ended leave no claim behind.
pub(super) fn final_heals_finish(world: &World, ops: &[HealOp]) {
    let height = world.height().unsigned_abs();
    for op in ops {
        let is_due = op.updated_height + PUBLISH_WITHIN_BLOCKS <= height;
        if let Some(member) = healer(world, op)
            && op.status.is_final()
            && is_due
            && has_claim(member, op.heal_op_id)
        {
            let details = format!("operation {} is {} and never finished", op.heal_op_id, op.status.name());
            world.ledger.violate("final-heals-finish", &member.name, details);
        }
    }
}
