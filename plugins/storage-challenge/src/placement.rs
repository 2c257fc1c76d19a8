//! What a target should hold: placement by distance, with time to receive what moved.
//!
//! Owns the rule by which a challenger decides that a target may be asked for an artifact at all. The rule errs on the
//! target's side: an artifact counts only if it was the target's throughout the grace (wire 12.5, 12.7, 12.9).

use lampkeeper_plugin_sdk::api::chain::{Supernode, SupernodeState};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;

/// A supernode as far as placement goes.
#[derive(Debug, Clone)]
struct Member {
    account: String,
    position: [u8; 32],
    state: SupernodeState,
    state_height: i64,
}

/// The supernodes at one height.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    members: Vec<Member>,
    height: i64,
}

/// Which members decide about a target, worked out once for many keys.
pub(crate) struct TargetPlacement<'a> {
    target: [u8; 32],
    target_account: &'a str,
    rivals: Vec<&'a Member>,
    replica_count: usize,
}

impl Membership {
    pub(crate) fn new(supernodes: &[Supernode], height: i64) -> Self {
        let members = supernodes.iter().map(|node| Member {
            account: node.supernode_account.clone(),
            position: position_of(&node.supernode_account),
            state: node.state,
            state_height: node.state_height,
        });
        Self { members: members.collect(), height }
    }

    /// The addresses are not kept here; only whether an account is a routed supernode at all.
    pub(crate) fn is_routed(&self, account: &str) -> bool {
        self.members.iter().any(|member| member.account == account && member.state.is_routed())
    }

    /// The placement that a target answers for, as regards a ticket of this age; `None` if it need not hold any of the
    /// ticket's artifacts.
    pub(crate) fn of_target<'a>(
        &'a self,
        target: &'a str,
        ticket_height: i64,
        grace_blocks: u64,
        replica_count: usize,
    ) -> Option<TargetPlacement<'a>> {
        let grace = i64::try_from(grace_blocks).unwrap_or(i64::MAX);
        let settled_before = self.height.saturating_sub(grace);
        let target_member = self.members.iter().find(|member| member.account == target)?;
        let in_place_since = match target_member.state {
            SupernodeState::Active => target_member.state_height,
            // It takes nothing new, but what it took while it was active is still its own.
            SupernodeState::Postponed | SupernodeState::StorageFull
                if ticket_height < target_member.state_height =>
            {
                ticket_height
            }
            _ => return None,
        };
        if ticket_height > settled_before || in_place_since > settled_before {
            return None;
        }
        // Whoever left within the grace still stands in the way: what fell to the target because of it may not have
        // arrived yet.
        let rivals = self
            .members
            .iter()
            .filter(|member| member.account != target)
            .filter(|member| member.state.takes_artifacts() || member.state_height > settled_before)
            .collect();
        Some(TargetPlacement {
            target: target_member.position,
            target_account: target,
            rivals,
            replica_count: replica_count.max(1),
        })
    }
}

impl TargetPlacement<'_> {
    /// Whether the target is among the nearest members of the key.
    pub(crate) fn holds(&self, key: &ArtifactKey) -> bool {
        let own = distance(&self.target, key);
        let nearer = self
            .rivals
            .iter()
            .filter(|rival| {
                (distance(&rival.position, key), rival.account.as_str()) < (own, self.target_account)
            })
            .take(self.replica_count)
            .count();
        nearer < self.replica_count
    }
}

fn position_of(account: &str) -> [u8; 32] {
    // The distance of the all-zero key is the account's own hash.
    ArtifactKey::from_bytes([0; 32]).distance_to_account(account)
}

fn distance(position: &[u8; 32], key: &ArtifactKey) -> [u8; 32] {
    std::array::from_fn(|byte| position[byte] ^ key.as_bytes()[byte])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(account: &str, state: SupernodeState, state_height: i64) -> Supernode {
        Supernode { supernode_account: account.to_owned(), state, state_height, ..Supernode::default() }
    }

    fn network() -> Vec<Supernode> {
        ["a", "b", "c", "d", "e"].iter().map(|account| node(account, SupernodeState::Active, 1)).collect()
    }

    fn holders(nodes: &[Supernode], key: &ArtifactKey, ticket_height: i64) -> Vec<String> {
        let membership = Membership::new(nodes, 1000);
        let holds = |account: &&Supernode| {
            let placement = membership.of_target(&account.supernode_account, ticket_height, 30, 2);
            placement.is_some_and(|placement| placement.holds(key))
        };
        nodes.iter().filter(holds).map(|node| node.supernode_account.clone()).collect()
    }

    #[test]
    fn exactly_the_nearest_hold_a_key() {
        for content in 0..50_u8 {
            let key = ArtifactKey::of(&[content]);
            let mut expected = ["a", "b", "c", "d", "e"];
            expected.sort_by_key(|account| key.distance_to_account(account));
            let mut expected = expected[..2].to_vec();
            expected.sort_unstable();
            assert_eq!(holders(&network(), &key, 1), expected);
        }
    }

    #[test]
    fn nobody_answers_for_what_it_had_no_time_to_receive() {
        let key = ArtifactKey::of(b"new");
        assert!(holders(&network(), &key, 999).is_empty(), "the ticket is too young");
        let mut nodes = network();
        let before = holders(&nodes, &key, 1);
        let left = nodes.iter_mut().find(|node| node.supernode_account == before[0]).expect("a holder");
        (left.state, left.state_height) = (SupernodeState::Stopped, 990);
        assert_eq!(holders(&nodes, &key, 1), before[1..], "a holder left just now; its heir has a grace");
        let left = nodes.iter_mut().find(|node| node.supernode_account == before[0]).expect("a holder");
        left.state_height = 900;
        assert_eq!(holders(&nodes, &key, 1).len(), 2, "the grace is over");
    }

    #[test]
    fn a_postponed_node_answers_for_what_it_took_before() {
        let mut nodes = network();
        for node in &mut nodes {
            (node.state, node.state_height) = (SupernodeState::Postponed, 500);
        }
        let key = ArtifactKey::of(b"old");
        assert!(!holders(&nodes, &key, 100).is_empty());
        assert!(holders(&nodes, &key, 600).is_empty());
    }
}
