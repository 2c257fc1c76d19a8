//! When each node rechecks a row, so that not all nodes do it at once.
//!
//! Owns one pure function. Every node sees the same failure at about the same time; the chain takes the evidence of one of
//! them, and the target should not be asked by a thousand.

use crate::candidate::Candidate;
use lampkeeper_plugin_sdk::protocol::hash::{first_eight_bytes, keyed_hash};

/// How far an epoch has come, and over how much of the rest rechecks are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pace {
    /// The last block.
    pub(crate) height: i64,
    /// The last block of the present epoch.
    pub(crate) end_height: i64,
    /// Percent.
    pub(crate) spread_percent: u32,
}

impl Pace {
    /// The height from which on `account` rechecks a candidate that it has seen for the first time now.
    pub(crate) fn due_height(self, account: &str, candidate: &Candidate) -> i64 {
        let left = u64::try_from(self.end_height.saturating_sub(self.height)).unwrap_or(0);
        let window = u128::from(left) * u128::from(self.spread_percent.min(100)) / 100;
        let epoch = candidate.epoch_id.to_be_bytes();
        let parts: [&[u8]; 4] = [
            account.as_bytes(),
            candidate.ticket_id.as_bytes(),
            candidate.target.as_bytes(),
            b"lampkeeper_recheck_spread",
        ];
        let share = u128::from(first_eight_bytes(&keyed_hash(&epoch, &parts)));
        // Below the window, as the share is below 2^64.
        let wait = (share * window) >> 64;
        self.height.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::api::challenge::RepeatedArtifact;
    use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, ResultClass};

    fn candidate(ticket_id: &str) -> Candidate {
        Candidate {
            epoch_id: 8,
            target: "target".to_owned(),
            ticket_id: ticket_id.to_owned(),
            reporter: "reporter".to_owned(),
            transcript_hash: String::new(),
            class: ResultClass::HashMismatch,
            artifact: RepeatedArtifact {
                class: ArtifactClass::Symbol,
                ordinal: 0,
                artifact_key: String::new(),
            },
            signature: String::new(),
            transcript_matches: true,
        }
    }

    #[test]
    fn a_thousand_nodes_are_spread_evenly_over_the_window() {
        let pace = Pace { height: 1000, end_height: 1400, spread_percent: 50 };
        let mut tenths = [0_usize; 10];
        for node in 0..1000 {
            let due = pace.due_height(&format!("node {node}"), &candidate("17"));
            assert_eq!(due, pace.due_height(&format!("node {node}"), &candidate("17")), "it is no draw");
            assert!((1000..1200).contains(&due), "{due}");
            tenths[usize::try_from(due - 1000).unwrap() / 20] += 1;
        }
        // Four standard deviations of a hundred.
        assert!(tenths.iter().all(|count| (62..=138).contains(count)), "{tenths:?}");
        let of = |ticket| pace.due_height("node 1", &candidate(ticket));
        assert_ne!(of("17"), of("18"), "nobody is the first for every ticket");
    }

    #[test]
    fn it_is_now_without_a_window() {
        for (height, end_height, spread_percent) in [(1000, 1400, 0), (1400, 1400, 50), (1500, 1400, 50)] {
            let pace = Pace { height, end_height, spread_percent };
            assert_eq!(pace.due_height("node", &candidate("17")), height);
        }
    }
}
