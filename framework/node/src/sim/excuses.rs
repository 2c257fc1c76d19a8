//! What was done to whom, and when, so that nobody expects of a node what it could not do.
//!
//! Owns the record. Which rule accepts which excuse is the invariants' decision.

use lampkeeper_api::{Account, TicketId};
use lampkeeper_protocol::artifact_key::ArtifactKey;
use std::collections::{BTreeMap, BTreeSet};

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// It crashed, or was down.
    Crash,
    /// Its links, or the clock that it reads, were bad.
    Network,
    /// Its disk was bad.
    Disk,
    /// It could not reach the chain, or was misled by it; or no blocks were made.
    Chain,
}

impl Touch {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Crash, Self::Network, Self::Disk, Self::Chain];
}

/// A stretch of blocks in which a node was in trouble, both ends included.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    touch: Touch,
    first: i64,
    last: i64,
}

/// Artifacts of a ticket that a node lost, or has damaged.
#[derive(Debug, Default)]
struct Damage {
    keys: BTreeSet<ArtifactKey>,
    /// The last block at which some of it was bad.
    last_bad: i64,
    /// The last block at which some of it became bad.
    last_begun: i64,
}

/// Everything that was done so far.
#[derive(Debug, Default)]
pub struct Excuses {
    stretches: BTreeMap<Account, Vec<Stretch>>,
    damage: BTreeMap<(Account, TicketId), Damage>,
}

impl Excuses {
    /// A node is in trouble from one block to another.
    pub fn touch(&mut self, account: &str, touch: Touch, first: i64, last: i64) {
        let stretches = self.stretches.entry(account.to_owned()).or_default();
        let same = stretches.iter_mut().rev().find(|stretch| stretch.touch == touch);
        match same {
            Some(stretch) if stretch.last + 1 >= first => stretch.last = stretch.last.max(last),
            _ => stretches.push(Stretch { touch, first, last }),
        }
    }

    /// Whether a node was in one of these kinds of trouble between two blocks, both included.
    pub fn was_touched(&self, account: &str, touches: &[Touch], first: i64, last: i64) -> bool {
        self.stretches.get(account).is_some_and(|stretches| {
            stretches.iter().any(|stretch| {
                touches.contains(&stretch.touch) && stretch.first <= last && first <= stretch.last
            })
        })
    }

    /// An artifact of a node was lost or spoilt.
    pub fn damage(&mut self, account: &str, ticket_id: &str, key: ArtifactKey, height: i64) {
        let damage = self.damage.entry((account.to_owned(), ticket_id.to_owned())).or_default();
        damage.keys.insert(key);
        damage.last_bad = height;
        damage.last_begun = height;
    }

    /// Looks again at everything that was damaged. `is_intact` says whether a node has an artifact as it should be.
    pub fn look_again(&mut self, height: i64, is_intact: impl Fn(&str, &ArtifactKey) -> bool) {
        for ((account, _), damage) in &mut self.damage {
            if !damage.keys.is_empty() {
                damage.last_bad = height;
                damage.keys.retain(|key| !is_intact(account, key));
            }
        }
    }

    /// Nodes of which some artifact is damaged at present.
    pub fn damaged_accounts(&self) -> BTreeSet<&Account> {
        let bad = self.damage.iter().filter(|(_, damage)| !damage.keys.is_empty());
        bad.map(|((account, _), _)| account).collect()
    }

    /// Whether artifacts of this ticket were damaged on a node at this block or later.
    pub fn was_damaged(&self, account: &str, ticket_id: &str, since: i64) -> bool {
        let damage = self.damage.get(&(account.to_owned(), ticket_id.to_owned()));
        damage.is_some_and(|damage| !damage.keys.is_empty() || damage.last_bad >= since)
    }

    /// Whether artifacts of this ticket became damaged on a node at this block or later.
    pub fn became_damaged(&self, account: &str, ticket_id: &str, since: i64) -> bool {
        let damage = self.damage.get(&(account.to_owned(), ticket_id.to_owned()));
        damage.is_some_and(|damage| damage.last_begun >= since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_counts_for_its_kind_and_its_time() {
        let mut excuses = Excuses::default();
        excuses.touch("a", Touch::Disk, 10, 12);
        excuses.touch("a", Touch::Disk, 13, 13);
        excuses.touch("a", Touch::Crash, 20, 20);
        // Kinds, from, to, whether it was touched.
        let table: [(&[Touch], i64, i64, bool); 6] = [
            (&Touch::ALL, 0, 9, false),
            (&Touch::ALL, 0, 10, true),
            (&[Touch::Disk], 13, 30, true),
            (&[Touch::Disk], 14, 30, false),
            (&[Touch::Crash], 14, 30, true),
            (&[Touch::Network, Touch::Chain], 0, 99, false),
        ];
        for (touches, first, last, expected) in table {
            assert_eq!(
                excuses.was_touched("a", touches, first, last),
                expected,
                "{touches:?} {first} {last}"
            );
        }
        assert!(!excuses.was_touched("b", &Touch::ALL, 0, 99));
    }

    #[test]
    fn damage_is_an_excuse_until_it_is_mended() {
        let key = ArtifactKey::of(b"artifact");
        let mut excuses = Excuses::default();
        excuses.damage("a", "1", key, 10);
        excuses.look_again(20, |_, _| false);
        assert!(excuses.was_damaged("a", "1", 99) && excuses.damaged_accounts().len() == 1);
        assert!(excuses.became_damaged("a", "1", 10) && !excuses.became_damaged("a", "1", 11));
        excuses.look_again(40, |_, _| true);
        assert!(excuses.was_damaged("a", "1", 40) && !excuses.was_damaged("a", "1", 41));
        assert!(!excuses.was_damaged("a", "2", 0) && excuses.damaged_accounts().is_empty());
    }
}
