//! What a target should hold: placement by distance, when the ticket was stored and now.
//!
//! Owns the rule by which a challenger decides that a target may be asked for an artifact at all. Artifacts are placed
//! when a ticket is stored; nobody is promised that they follow when members come and go (wire 12.7, 12.9, 12.10). So the
//! rule errs on the target's side: it answers for what fell to it when the ticket was stored and still falls to it.

use crate::members_then::MembersThen;
use lampkeeper_plugin_sdk::api::chain::{Supernode, SupernodeState, SupernodeStateSince, Ticket};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::placement::{Position, rank};

/// A supernode as far as placement goes.
#[derive(Debug, Clone)]
struct Member {
    account: String,
    position: Position,
    state: SupernodeState,
    state_height: i64,
    states: Vec<SupernodeStateSince>,
}

/// The supernodes at one height.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    members: Vec<Member>,
    height: i64,
}

/// How the network places artifacts, and how long a change may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlacementRule {
    pub(crate) grace_blocks: u64,
    pub(crate) replica_count: usize,
}

/// Which members decide about a target, worked out once for many keys.
#[derive(Debug)]
pub(crate) struct TargetPlacement<'a> {
    target: Rival<'a>,
    rivals_now: Vec<Rival<'a>>,
    rivals_then: Vec<Rival<'a>>,
    replica_count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rival<'a> {
    position: Position,
    account: &'a str,
}

impl Member {
    fn as_rival(&self) -> Rival<'_> {
        Rival { position: self.position, account: &self.account }
    }
}

impl Membership {
    pub(crate) fn new(supernodes: &[Supernode], height: i64) -> Self {
        let members = supernodes.iter().map(|node| Member {
            account: node.supernode_account.clone(),
            position: Position::of(&node.supernode_account),
            state: node.state,
            state_height: node.state_height,
            states: node.states.clone(),
        });
        Self { members: members.collect(), height }
    }

    /// Whether an account is a supernode that others may talk to.
    pub(crate) fn is_routed(&self, account: &str) -> bool {
        self.find(account).is_some_and(|member| member.state.is_routed())
    }

    /// Whether an account has been what it is for the whole grace.
    pub(crate) fn is_settled(&self, account: &str, grace_blocks: u64) -> bool {
        self.find(account).is_some_and(|member| member.state_height <= self.settled_before(grace_blocks))
    }

    /// The placement that a target answers for, as regards one ticket; `None` if it need not hold any of its artifacts.
    pub(crate) fn of_target<'a>(
        &'a self,
        target: &'a str,
        ticket: &Ticket,
        then: &'a MembersThen,
        rule: PlacementRule,
    ) -> Option<TargetPlacement<'a>> {
        let settled_before = self.settled_before(rule.grace_blocks);
        let member = self.find(target)?;
        if ticket.block_height > settled_before
            || !took_part(member, ticket, settled_before, rule.grace_blocks)
        {
            return None;
        }
        let others = || self.members.iter().filter(|other| other.account != target);
        // Whoever left within the grace still stands in the way.
        let rivals_now = others()
            .filter(|other| other.state.takes_artifacts() || other.state_height > settled_before)
            .map(Member::as_rival)
            .collect();
        let rivals_then = match then {
            MembersThen::Known(members) => members
                .iter()
                .filter(|(account, _)| account.as_str() != target)
                .map(|(account, position)| Rival { position: *position, account })
                .collect(),
            // Whoever has changed its state since then may have stood in the way.
            MembersThen::Forgotten => others()
                .filter(|other| other.state.takes_artifacts() || other.state_height > ticket.block_height)
                .map(Member::as_rival)
                .collect(),
        };
        let replica_count = rule.replica_count.max(1);
        Some(TargetPlacement { target: member.as_rival(), rivals_now, rivals_then, replica_count })
    }

    fn find(&self, account: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.account == account)
    }

    fn settled_before(&self, grace_blocks: u64) -> i64 {
        self.height.saturating_sub(i64::try_from(grace_blocks).unwrap_or(i64::MAX))
    }
}

/// Whether artifacts were placed on a member when a ticket was stored. What it took then is still its own, whatever
/// became of it since, as long as it is part of the network.
fn took_part(member: &Member, ticket: &Ticket, settled_before: i64, grace_blocks: u64) -> bool {
    if !member.state.is_routed() {
        return false;
    }
    if !member.states.is_empty() {
        return was_active_around(&member.states, ticket.block_height, grace_blocks);
    }
    // A client that tells only the present state leaves two ways to know: the member has taken artifacts since before,
    // or it finalised the ticket, which only active members do.
    let finalised = || ticket.supernode_accounts.iter().any(|account| account.trim() == member.account);
    match member.state {
        SupernodeState::Active if member.state_height > settled_before => false,
        SupernodeState::Active => member.state_height <= ticket.block_height || finalised(),
        _ => finalised(),
    }
}

/// Whether a member took artifacts from a ticket's registration until its artifacts had had time to arrive.
fn was_active_around(states: &[SupernodeStateSince], height: i64, grace_blocks: u64) -> bool {
    let until = height.saturating_add(i64::try_from(grace_blocks).unwrap_or(i64::MAX));
    let at_first =
        states.iter().rev().filter(|since| since.height <= height).max_by_key(|since| since.height);
    let took_at_first = at_first.is_some_and(|since| since.state.takes_artifacts());
    let changed = states.iter().any(|since| since.height > height && since.height <= until);
    took_at_first && !changed
}

impl TargetPlacement<'_> {
    /// Whether the target is among the nearest members of the key, and was when it was stored.
    pub(crate) fn holds(&self, key: &ArtifactKey) -> bool {
        let own = (self.target.position, self.target.account);
        let is_near = |rivals: &[Rival<'_>]| {
            let rivals = rivals.iter().map(|rival| (rival.position, rival.account));
            rank(key, own, rivals, self.replica_count) < self.replica_count
        };
        is_near(&self.rivals_now) && is_near(&self.rivals_then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const RULE: PlacementRule = PlacementRule { grace_blocks: 30, replica_count: 2 };
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

    fn node(account: &str, state: SupernodeState, state_height: i64) -> Supernode {
        Supernode { supernode_account: account.to_owned(), state, state_height, ..Supernode::default() }
    }

    fn network() -> Vec<Supernode> {
        NAMES.iter().map(|account| node(account, SupernodeState::Active, 1)).collect()
    }

    fn ticket(block_height: i64, finalisers: &[&str]) -> Ticket {
        let supernode_accounts = finalisers.iter().map(|&account| account.to_owned()).collect();
        Ticket { block_height, supernode_accounts, ..Ticket::default() }
    }

    fn then(accounts: &[&str]) -> MembersThen {
        MembersThen::Known(accounts.iter().map(|&name| (name.to_owned(), Position::of(name))).collect())
    }

    fn holders(nodes: &[Supernode], key: &ArtifactKey, ticket: &Ticket, then: &MembersThen) -> Vec<String> {
        let membership = Membership::new(nodes, 1000);
        let holds = |node: &&Supernode| {
            let placement = membership.of_target(&node.supernode_account, ticket, then, RULE);
            placement.is_some_and(|placement| placement.holds(key))
        };
        nodes.iter().filter(holds).map(|node| node.supernode_account.clone()).collect()
    }

    fn nearest(key: &ArtifactKey, count: usize) -> Vec<&'static str> {
        let mut names = NAMES;
        names.sort_by_key(|account| key.distance_to_account(account));
        names[..count].to_vec()
    }

    #[test]
    fn with_its_history_known_a_member_answers_for_what_it_took_whatever_it_is_now() {
        use SupernodeState::{Active, Postponed, Stopped};
        for (case, history, expected) in [
            ("active all along", vec![(Active, 1)], true),
            ("postponed since", vec![(Active, 1), (Postponed, 300)], true),
            ("postponed and recovered since", vec![(Active, 1), (Postponed, 300), (Active, 400)], true),
            ("postponed at the time", vec![(Active, 1), (Postponed, 90), (Active, 200)], false),
            ("postponed while the artifacts were under way", vec![(Active, 1), (Postponed, 110)], false),
            ("joined later", vec![(Active, 150)], false),
            ("gone", vec![(Active, 1), (Stopped, 300)], false),
        ] {
            let mut node = Supernode { supernode_account: "a".to_owned(), ..Supernode::default() };
            node.states =
                history.iter().map(|&(state, height)| SupernodeStateSince { state, height }).collect();
            (node.state, node.state_height) = history.last().copied().expect("a state");
            let membership = Membership::new(&[node], 1000);
            let ticket = Ticket { block_height: 100, ..Ticket::default() };
            let then = MembersThen::Known(BTreeMap::new());
            let placed = membership.of_target("a", &ticket, &then, RULE).is_some();
            assert_eq!(placed, expected, "{case}");
        }
    }

    #[test]
    fn exactly_the_nearest_hold_a_key() {
        for content in 0..50_u8 {
            let key = ArtifactKey::of(&[content]);
            let mut expected = nearest(&key, 2);
            expected.sort_unstable();
            for then in [then(&NAMES), MembersThen::Forgotten] {
                assert_eq!(holders(&network(), &key, &ticket(1, &[]), &then), expected);
            }
        }
    }

    #[test]
    fn nobody_answers_for_what_was_never_placed_on_it() {
        let key = ArtifactKey::of(b"new");
        let (first, second, heir) = (nearest(&key, 3)[0], nearest(&key, 3)[1], nearest(&key, 3)[2]);
        let change = |account: &str, state, state_height| {
            let mut nodes = network();
            let node = nodes.iter_mut().find(|node| node.supernode_account == account).unwrap();
            (node.state, node.state_height) = (state, state_height);
            nodes
        };
        use SupernodeState::{Active, Postponed, Stopped, StorageFull};
        let sorted = |mut names: Vec<&str>| {
            names.sort_unstable();
            names.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let everybody = then(&NAMES);
        let others: Vec<_> = NAMES.into_iter().filter(|&name| name != first).collect();
        let others = then(&others);
        // (what, nodes now, members when it was stored, ticket, who answers for the key)
        let cases = [
            ("the ticket is too young", network(), &everybody, ticket(999, &[]), vec![]),
            ("a holder left just now", change(first, Stopped, 990), &everybody, ticket(1, &[]), vec![second]),
            (
                "a holder left long ago; its heir was given nothing",
                change(first, Stopped, 500),
                &everybody,
                ticket(1, &[]),
                vec![second],
            ),
            (
                "a holder left before the ticket was stored",
                change(first, Stopped, 500),
                &others,
                ticket(600, &[]),
                vec![second, heir],
            ),
            (
                "a newcomer was given nothing, and who it displaced need not keep it",
                change(first, Active, 500),
                &others,
                ticket(1, &[]),
                vec![second],
            ),
            (
                "a node that recovered answers for what it finalised",
                change(first, Active, 500),
                &everybody,
                ticket(1, &[first]),
                vec![first, second],
            ),
            (
                "a node that was perhaps full when it was stored",
                change(first, Active, 500),
                &everybody,
                ticket(1, &[]),
                vec![second],
            ),
            (
                "a postponed node answers for what it finalised",
                change(first, Postponed, 500),
                &everybody,
                ticket(1, &[first]),
                vec![first, second],
            ),
            (
                "a full node need not have what others finalised",
                change(first, StorageFull, 500),
                &everybody,
                ticket(1, &[]),
                vec![second],
            ),
            (
                "a node that has just come back",
                change(first, Active, 990),
                &everybody,
                ticket(1, &[first]),
                vec![second],
            ),
        ];
        for (what, nodes, then, ticket, expected) in cases {
            assert_eq!(holders(&nodes, &key, &ticket, then), sorted(expected), "{what}");
        }
        let left = change(first, Stopped, 500);
        let found = holders(&left, &key, &ticket(1, &[]), &MembersThen::Forgotten);
        assert_eq!(
            found,
            sorted(vec![second]),
            "the chain has forgotten who was there, but not who left since"
        );
    }
}
