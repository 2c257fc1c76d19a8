//! How likely a loss is caught, from the draws really made.
//!
//! Owns the formula and the count of the draws of the last day. What is drawn is `draw`'s part.

use crate::ask::Finding;
use lampkeeper_plugin_sdk::api::scheduler::Moment;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The shares of a peer's artifacts whose loss the gauges are about, in percent.
pub(crate) const LOST_PERCENTS: [u32; 3] = [1, 5, 10];
/// The label of the gauges about all peers together.
pub(crate) const ALL_PEERS: &str = "all";
/// How long a draw counts.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Draws of a day are summed up in slots of this length.
const SLOT: Duration = Duration::from_secs(10 * 60);
/// Peers whose draws are counted; further ones only count for all together.
const PEERS_MAX: usize = 16_384;

/// The chance that at least one of `artifacts_drawn` artifacts, drawn uniformly among those that a peer has to hold, is
/// among the share `lost_share` (0 to 1) that it has lost: `1 - (1 - lost_share) ^ artifacts_drawn`.
///
/// Within an epoch no artifact is drawn twice, which makes the true chance a little larger. The formula is about whole
/// artifacts, lost without regard to the draws, of a peer that answers from what it holds: it says nothing about one that
/// fetches on demand.
///
/// ```
/// use lampkeeper_storage_challenge::detection_chance;
/// assert_eq!(detection_chance(0.5, 2), 0.75);
/// assert_eq!((detection_chance(0.01, 0), detection_chance(1.0, 1)), (0.0, 1.0));
/// assert!(detection_chance(0.01, 298) < 0.95 && detection_chance(0.01, 299) > 0.95);
/// ```
#[must_use]
pub fn detection_chance(lost_share: f64, artifacts_drawn: u64) -> f64 {
    if artifacts_drawn == 0 {
        return 0.0;
    }
    1.0 - (1.0 - lost_share.clamp(0.0, 1.0)).powf(artifacts_drawn as f64)
}

/// Draws, and what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Draws {
    pub(crate) artifacts: u64,
    pub(crate) bytes: u64,
}

/// The draws of the last day, by peer.
#[derive(Default)]
pub(crate) struct DrawsOfDay {
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    by_peer: BTreeMap<String, Slots>,
    all: Slots,
}

/// Draws in slots of time, oldest first.
#[derive(Default)]
struct Slots(VecDeque<(Moment, Draws)>);

impl Slots {
    fn add(&mut self, now: Moment, draws: Draws) {
        self.forget(now);
        match self.0.back_mut() {
            Some((begun, sum)) if now.since(*begun) < SLOT => {
                sum.artifacts += draws.artifacts;
                sum.bytes += draws.bytes;
            }
            _ => self.0.push_back((now, draws)),
        }
    }

    fn forget(&mut self, now: Moment) {
        while self.0.front().is_some_and(|(begun, _)| now.since(*begun) >= DAY) {
            self.0.pop_front();
        }
    }

    fn sum(&mut self, now: Moment) -> Draws {
        self.forget(now);
        self.0.iter().fold(Draws::default(), |sum, (_, draws)| Draws {
            artifacts: sum.artifacts + draws.artifacts,
            bytes: sum.bytes + draws.bytes,
        })
    }
}

impl DrawsOfDay {
    /// Counts an artifact that a peer was asked for and whose result is known.
    pub(crate) fn add(&self, peer: &str, now: Moment, finding: &Finding) {
        let draws = Draws { artifacts: 1, bytes: finding.proof_bytes };
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.all.add(now, draws);
        if counted.by_peer.len() < PEERS_MAX || counted.by_peer.contains_key(peer) {
            counted.by_peer.entry(peer.to_owned()).or_default().add(now, draws);
        }
    }

    /// The draws of the last day from a peer, and from all.
    pub(crate) fn of_last_day(&self, peer: &str, now: Moment) -> (Draws, Draws) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = counted.by_peer.get_mut(peer).map(|slots| slots.sum(now)).unwrap_or_default();
        (of_peer, counted.all.sum(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{Counts, TicketArtifact, probes};
    use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
    use lampkeeper_plugin_sdk::protocol::words::ArtifactClass;

    /// The share of epochs in which the real draws meet one of the artifacts that a node has lost.
    fn simulated(lost_percent: u64, drawn: usize) -> f64 {
        const HELD: u64 = 2000;
        const EPOCHS: u64 = 1500;
        let held: Vec<_> = (0..HELD)
            .map(|number| TicketArtifact {
                key: ArtifactKey::of(&number.to_be_bytes()),
                class: ArtifactClass::Symbol,
                position: 0,
                len_bytes: 65_532,
            })
            .collect();
        let lost: std::collections::BTreeSet<_> =
            held.iter().take((HELD * lost_percent / 100) as usize).map(|artifact| artifact.key).collect();
        let counts = Counts { index: 1, symbol: 1 };
        let caught = (0..EPOCHS).filter(|epoch| {
            let draws = probes(&epoch.to_be_bytes(), "target", "ticket", counts, &held, drawn);
            draws.iter().any(|draw| lost.contains(&draw.artifact.key))
        });
        caught.count() as f64 / EPOCHS as f64
    }

    #[test]
    fn the_formula_is_what_the_real_draws_do() {
        for (lost_percent, drawn) in [(1, 16), (5, 16), (10, 16), (1, 100), (5, 4)] {
            let predicted = detection_chance(lost_percent as f64 / 100.0, drawn as u64);
            let measured = simulated(lost_percent, drawn);
            // Four standard deviations of 1,500 epochs.
            let tolerance = 4.0 * (predicted * (1.0 - predicted) / 1500.0_f64).sqrt();
            assert!(
                (predicted - measured).abs() < tolerance + 0.01,
                "{lost_percent} % lost, {drawn} drawn: predicted {predicted:.3}, measured {measured:.3}"
            );
        }
    }

    #[test]
    fn draws_count_for_a_day() {
        let mut slots = Slots::default();
        let at = |hours: u64| Moment::from_start(Duration::from_secs(hours * 3600));
        let one = Draws { artifacts: 1, bytes: 10 };
        for hour in 0..48 {
            slots.add(at(hour), one);
            slots.add(at(hour), one);
        }
        assert_eq!(slots.sum(at(47)), Draws { artifacts: 48, bytes: 480 });
        assert_eq!(slots.sum(at(60)), Draws { artifacts: 22, bytes: 220 });
        assert_eq!(slots.sum(at(200)), Draws::default());
        assert!(slots.0.is_empty());
    }
}
