//! The members of the network at one time, and who of them is near a key.
//!
//! Owns the placement rule (wire 12.5, 12.9). Keeping the roster current is the membership's part.

use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::chain::Supernode;
use lampkeeper_plugin_sdk::api::scheduler::Moment;
use lampkeeper_plugin_sdk::api::transport::Peer;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::placement::{self, Position};

/// A supernode that others may talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) account: Account,
    address: String,
    position: Position,
    /// Whether new artifacts are placed on it (wire 12.9).
    pub(crate) takes_artifacts: bool,
}

impl Member {
    pub(crate) fn peer(&self) -> Peer {
        Peer { account: self.account.clone(), address: self.address.clone() }
    }
}

/// All routed supernodes, by account.
#[derive(Debug, Clone)]
pub(crate) struct Roster {
    pub(crate) members: Vec<Member>,
    /// Whether this node takes artifacts; a node that is not registered does (wire 12.9).
    pub(crate) own_takes_artifacts: bool,
    pub(crate) read_at: Moment,
}

impl Roster {
    /// The roster of a chain with these supernodes.
    pub(crate) fn new(supernodes: &[Supernode], own_account: &str, read_at: Moment) -> Self {
        let routed = supernodes.iter().filter(|node| node.state.is_routed());
        let mut members: Vec<_> = routed
            .map(|node| Member {
                account: node.supernode_account.clone(),
                address: node.latest_address.clone(),
                position: Position::of(&node.supernode_account),
                takes_artifacts: node.state.takes_artifacts(),
            })
            .collect();
        members.sort_unstable_by(|a, b| a.account.cmp(&b.account));
        members.dedup_by(|a, b| a.account == b.account);
        let own = supernodes.iter().find(|node| node.supernode_account == own_account);
        let own_takes_artifacts = own.is_none_or(|node| node.state.takes_artifacts());
        Self { members, own_takes_artifacts, read_at }
    }

    pub(crate) fn find(&self, account: &str) -> Option<&Member> {
        let index = self.members.binary_search_by(|member| member.account.as_str().cmp(account));
        index.ok().map(|index| &self.members[index])
    }

    pub(crate) fn storing_count(&self) -> usize {
        self.members.iter().filter(|member| member.takes_artifacts).count()
    }

    /// The `count` members nearest to a key that take artifacts, nearest first; all if there are fewer.
    pub(crate) fn replica_set(&self, key: &ArtifactKey, count: usize) -> Vec<usize> {
        self.nearest(key, count, |member| member.takes_artifacts)
    }

    /// The nearest members that are not in `replica_set`, nearest first: those that were members of it before somebody
    /// joined, and those that take nothing new but keep what they took.
    pub(crate) fn beyond(&self, key: &ArtifactKey, replica_set: &[usize], count: usize) -> Vec<usize> {
        let mut nearest = self.nearest(key, count.saturating_add(replica_set.len()), |_| true);
        nearest.retain(|index| !replica_set.contains(index));
        nearest.truncate(count);
        nearest
    }

    /// How many members that take artifacts are nearer to a key than `account`.
    pub(crate) fn rank(&self, key: &ArtifactKey, account: &str) -> usize {
        let members = self.members.iter().filter(|member| member.takes_artifacts);
        let members = members.map(|member| (member.position, member.account.as_str()));
        placement::rank(key, (Position::of(account), account), members, usize::MAX)
    }

    /// Ties go to the smaller account, which is the smaller index.
    fn nearest(&self, key: &ArtifactKey, count: usize, is_meant: impl Fn(&Member) -> bool) -> Vec<usize> {
        let meant = self.members.iter().enumerate().filter(|(_, member)| is_meant(member));
        let mut ranked: Vec<_> =
            meant.map(|(index, member)| (member.position.distance(key), index)).collect();
        if count < ranked.len() {
            ranked.select_nth_unstable(count);
            ranked.truncate(count);
        }
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, index)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::api::chain::SupernodeState;

    fn roster(nodes: &[(&str, SupernodeState)]) -> Roster {
        let supernodes: Vec<_> = nodes
            .iter()
            .map(|(account, state)| Supernode {
                supernode_account: (*account).to_owned(),
                state: *state,
                ..Supernode::default()
            })
            .collect();
        Roster::new(&supernodes, "a", Moment::default())
    }

    fn accounts<'a>(roster: &'a Roster, indices: &[usize]) -> Vec<&'a str> {
        indices.iter().map(|&index| roster.members[index].account.as_str()).collect()
    }

    #[test]
    fn the_nearest_members_that_take_artifacts_hold_a_key() {
        use SupernodeState::{Active, Disabled, Postponed};
        let nodes = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|account| match account {
            "c" => (account, Postponed),
            "f" => (account, Disabled),
            _ => (account, Active),
        });
        let roster = roster(&nodes);
        assert_eq!(roster.members.len(), 7, "a disabled node is no member");
        for content in 0..100_u8 {
            let key = ArtifactKey::of(&[content]);
            let mut expected = ["a", "b", "d", "e", "g", "h"];
            expected.sort_by_key(|account| key.distance_to_account(account));
            let set = roster.replica_set(&key, 3);
            assert_eq!(accounts(&roster, &set), expected[..3], "content {content}");
            for (rank, account) in expected.iter().enumerate() {
                assert_eq!(roster.rank(&key, account), rank, "content {content}, {account}");
            }
            let beyond = accounts(&roster, &roster.beyond(&key, &set, 100)).len();
            assert_eq!(beyond, 4, "everybody else, the postponed node too");
        }
        assert_eq!(roster.replica_set(&ArtifactKey::of(b"few"), 100).len(), 6);
    }

    #[test]
    fn the_own_state_is_that_of_the_chain_and_eligible_when_unknown() {
        for (nodes, expected) in [
            (vec![("a", SupernodeState::Active)], true),
            (vec![("a", SupernodeState::StorageFull)], false),
            (vec![("a", SupernodeState::Disabled)], false),
            (vec![("b", SupernodeState::Active)], true),
        ] {
            assert_eq!(roster(&nodes).own_takes_artifacts, expected, "{nodes:?}");
        }
    }
}
