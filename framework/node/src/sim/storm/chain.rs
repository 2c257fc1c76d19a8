//! Trouble with the chain: calls that fail, linger or lie about the past, transactions that are lost or late, blocks
//! that are not made.

use crate::sim::excuses::{Excuses, Touch};
use crate::sim::options::EPOCH_LENGTH_BLOCKS;
use crate::sim::storm::someone_who_heals;
use crate::sim::world::World;
use lampkeeper_api::Account;
use lampkeeper_api::chain::HealOpStatus;
use lampkeeper_chain_sim::injection::{
    BlockFault, BlockRule, CallFault, CallRule, InjectedError, InjectionPlan, TxOrder,
};

/// Calls that may be answered wrongly. `heal_op` is never said not to exist more than a few times: that is the chain's
/// word, and at last believed.
const QUERIES: [&str; 14] = [
    "status",
    "params",
    "current_epoch",
    "epoch_anchor",
    "assigned_targets",
    "epoch_report",
    "heal_op",
    "heal_ops_by_status",
    "ticket",
    "tickets_of_supernode",
    "tickets",
    "supernode",
    "supernodes",
    "account",
];
/// Submissions that may go wrong.
const SUBMISSIONS: [&str; 4] =
    ["submit.epoch_report", "submit.heal_claim", "submit.heal_verification", "submit.recheck_evidence"];
/// Calls that matter to those who take part in a heal.
const HEAL_CALLS: [&str; 6] = [
    "heal_op",
    "heal_op",
    "heal_ops_by_status",
    "current_epoch",
    "submit.heal_claim",
    "submit.heal_verification",
];
/// Submissions that race against an operation's deadline.
const RACING: [&str; 2] = ["submit.heal_claim", "submit.heal_verification"];

/// Blocks for which what a rule has done may still be felt: a postponed transaction, an answer that never comes.
const AFTERMATH_BLOCKS: i64 = 16;
/// Blocks before the end of an epoch in which deadlines are raced against.
const RACE_BLOCKS: u64 = 5;

/// Rules in force, with the block after which each is taken back.
#[derive(Default)]
pub struct ChainStorm {
    rules: Vec<(CallRule, i64)>,
}

impl ChainStorm {
    /// What goes wrong before the next block.
    pub fn blow(&mut self, excuses: &mut Excuses, world: &World, height: i64) {
        self.expire(world, height);
        if world.draw(3) == 0 {
            // Every other time it is somebody who takes part in a heal, in a call that is about it.
            let healing = Some(()).filter(|()| world.draw(2) == 0).and_then(|()| someone_who_heals(world));
            let call = call_of(world, healing.is_some());
            let index = healing.unwrap_or_else(|| world.draw_index(world.members.len()));
            let (kind, fault) = call_fault(world, call.starts_with("submit"));
            let account = Some(world.members[index].account.clone());
            let rule = CallRule { call: call.to_owned(), account, first: 1, count: 1 + world.draw(3), fault };
            if !self.denies_again(&rule) {
                self.add(excuses, world, height, kind, rule);
            }
        }
        self.race(excuses, world, height);
        if world.draw(12) == 0 {
            break_block(excuses, world, height);
        }
    }

    fn add(&mut self, excuses: &mut Excuses, world: &World, height: i64, kind: &'static str, rule: CallRule) {
        let until = height + 5 + i64::try_from(world.draw(15)).unwrap_or_default();
        let account = rule.account.clone().unwrap_or_default();
        world.ledger.note(|| format!("{} meets {rule:?}", world.name_of(&account)));
        world.ledger.fault(kind);
        excuses.touch(&account, Touch::Chain, height, until + AFTERMATH_BLOCKS);
        world.chain.inject(InjectionPlan { calls: vec![rule.clone()], blocks: Vec::new() });
        self.rules.push((rule, until));
    }

    /// Takes back the rules whose time is over.
    fn expire(&mut self, world: &World, height: i64) {
        for (rule, _) in self.rules.extract_if(.., |(_, until)| *until <= height) {
            world.chain.withdraw(&rule);
        }
    }

    /// Whether somebody would be told again that there is no such operation, while a rule that says so is in force.
    fn denies_again(&self, rule: &CallRule) -> bool {
        let is_denial = |rule: &CallRule| {
            rule.call == "heal_op" && rule.fault == CallFault::Fail { error: InjectedError::NotFound }
        };
        is_denial(rule)
            && self.rules.iter().any(|(known, _)| is_denial(known) && known.account == rule.account)
    }

    /// Holds a claim or a vote back until about the operation's deadline.
    fn race(&mut self, excuses: &mut Excuses, world: &World, height: i64) {
        let left = EPOCH_LENGTH_BLOCKS - height.unsigned_abs() % EPOCH_LENGTH_BLOCKS;
        if left > RACE_BLOCKS || world.draw(3) != 0 {
            return;
        }
        let Some(account) = someone_in_a_hurry(world) else { return };
        let blocks = u32::try_from(left + world.draw(4)).unwrap_or(1).saturating_sub(2).max(1);
        let call = RACING[world.draw_index(RACING.len())].to_owned();
        let fault = CallFault::Postpone { blocks };
        let rule = CallRule { call, account: Some(account), first: 1, count: 1, fault };
        self.add(excuses, world, height, "deadline races", rule);
    }
}

/// A healer or verifier of an operation whose deadline is the end of this epoch.
fn someone_in_a_hurry(world: &World) -> Option<Account> {
    let next_epoch = world.epoch_id() + 1;
    let accounts: Vec<Account> = world.chain.read(|state| {
        let open = state.audit.heal_ops.iter().filter(|op| op.deadline_epoch_id == next_epoch);
        let waits_for = open.map(|op| match op.status {
            HealOpStatus::Scheduled => std::slice::from_ref(&op.healer_supernode_account),
            HealOpStatus::HealerReported => &op.verifier_supernode_accounts[..],
            _ => &[],
        });
        waits_for.flatten().cloned().collect()
    });
    accounts.get(world.draw_index(accounts.len())).cloned()
}

/// Which call something is wrong with.
fn call_of(world: &World, is_about_heals: bool) -> &'static str {
    let names: &[&str] = match world.draw(2) {
        _ if is_about_heals => &HEAL_CALLS,
        0 => &SUBMISSIONS,
        _ => &QUERIES,
    };
    names[world.draw_index(names.len())]
}

/// What is wrong with a call.
fn call_fault(world: &World, is_submission: bool) -> (&'static str, CallFault) {
    let blocks = |most: u64| u32::try_from(1 + world.draw(most)).unwrap_or(1);
    match world.draw(8) {
        0 | 1 => {
            let (kind, error) = error_before(world, is_submission);
            (kind, CallFault::Fail { error })
        }
        2 => {
            let error = InjectedError::Transient { outcome_unknown: true };
            ("chain errors after acceptance", CallFault::FailAfterAcceptance { error })
        }
        3 => ("late chain calls", CallFault::Delay { delay_ms: 1 + world.draw(6000) }),
        4 => ("late chain answers", CallFault::DelayAfterAcceptance { delay_ms: 1 + world.draw(6000) }),
        5 => ("chain calls without an answer", CallFault::Drop),
        6 if is_submission => ("mempool delays", CallFault::Postpone { blocks: blocks(10) }),
        _ => ("answers from replicas that are behind", CallFault::Lag { blocks: blocks(3) }),
    }
}

/// An error of a call that had no effect. None of them lies about an operation for long.
fn error_before(world: &World, is_submission: bool) -> (&'static str, InjectedError) {
    match world.draw(if is_submission { 5 } else { 4 }) {
        0 => ("chain errors of unknown outcome", InjectedError::Transient { outcome_unknown: true }),
        1 => ("chain not available", InjectedError::Unavailable),
        2 => ("transient chain errors", InjectedError::Transient { outcome_unknown: false }),
        3 if is_submission => ("requests called invalid", InjectedError::InvalidRequest),
        3 => ("records denied", InjectedError::NotFound),
        // A sequence number that is behind, as a busy account meets it.
        _ => (
            "submissions rejected for their sequence",
            InjectedError::Rejected { codespace: "sdk".to_owned(), code: 4, message: String::new() },
        ),
    }
}

/// Something is wrong with the next block, or with the making of blocks.
fn break_block(excuses: &mut Excuses, world: &World, height: i64) {
    let (kind, fault) = match world.draw(4) {
        0 => {
            let intervals = u32::try_from(1 + world.draw(4)).unwrap_or(1);
            ("blocks not made", BlockFault::Freeze { intervals })
        }
        1 => ("blocks in reverse order", BlockFault::Reorder { order: TxOrder::Reverse }),
        2 => ("shuffled blocks", BlockFault::Reorder { order: TxOrder::Shuffle }),
        _ => ("blocks that lost their transactions", BlockFault::DropTransactions),
    };
    world.ledger.note(|| format!("the chain meets {fault:?}"));
    world.ledger.fault(kind);
    // Another order excuses nobody.
    if matches!(fault, BlockFault::Freeze { .. } | BlockFault::DropTransactions) {
        for member in &world.members {
            excuses.touch(&member.account, Touch::Chain, height, height + AFTERMATH_BLOCKS);
        }
    }
    let blocks = vec![BlockRule { at_height: height + 1, fault }];
    world.chain.inject(InjectionPlan { calls: Vec::new(), blocks });
}
