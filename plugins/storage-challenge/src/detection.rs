//! How likely a loss is caught, from the draws really made.
//!
//! Owns the formula and the count of the draws of the last day. What is drawn is `draw`'s part.

use lampkeeper_plugin_sdk::api::scheduler::Moment;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The shares of a peer's artifacts whose loss the gauges are about, in percent.
pub(crate) const LOST_PERCENTS: [u32; 3] = [1, 5, 10];
/// The label of the gauges about all peers together.
pub(crate) const ALL_PEERS: &str = "all";
/// How long a draw counts.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Draws that are remembered; the oldest are forgotten first, so that the bound stays one.
const DRAWS_MAX: usize = 1_000_000;

/// The chance that at least one of `artifacts_drawn` different artifacts of a peer is among the share `lost_share` (0 to 1)
/// that it has lost: at least `1 - (1 - lost_share) ^ artifacts_drawn`.
///
/// It is a bound for losses that come without regard to the draws. Whatever the draws prefer, and they do prefer small
/// tickets and id files, each further different artifact is lost with a chance of at least `lost_share` if all before it
/// were there; an artifact that is drawn again says nothing about the others, so it counts once. It is about whole
/// artifacts of a peer that answers from what it holds, and says nothing about one that fetches on demand.
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

/// Different artifacts that were drawn, and what all draws cost.
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

/// The draws of a day: of all peers together, and of each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) all: Draws,
    /// Also those whose last draw has just become older than a day, with nothing.
    pub(crate) by_peer: Vec<(Arc<str>, Draws)>,
}

#[derive(Default)]
struct Counted {
    /// Oldest first.
    drawn: VecDeque<Drawn>,
    by_peer: BTreeMap<Arc<str>, OfPeer>,
    all: Draws,
    /// Peers without draws of the last day that were not told yet.
    gone: Vec<Arc<str>>,
}

struct Drawn {
    at: Moment,
    peer: Arc<str>,
    artifact: u64,
    bytes: u64,
}

/// Artifacts by the first bytes of their keys, which are hashes, with the time of the latest draw.
#[derive(Default)]
struct OfPeer {
    latest: BTreeMap<u64, Moment>,
    bytes: u64,
}

impl Counted {
    fn add(&mut self, draw: Drawn) {
        while self.drawn.len() >= DRAWS_MAX {
            self.forget_oldest();
        }
        let of_peer = self.by_peer.entry(Arc::clone(&draw.peer)).or_default();
        of_peer.bytes += draw.bytes;
        self.all.bytes += draw.bytes;
        self.all.artifacts += u64::from(of_peer.latest.insert(draw.artifact, draw.at).is_none());
        self.drawn.push_back(draw);
    }

    fn forget(&mut self, now: Moment) {
        while self.drawn.front().is_some_and(|draw| now.since(draw.at) >= DAY) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(draw) = self.drawn.pop_front() else { return };
        let Some(of_peer) = self.by_peer.get_mut(&draw.peer) else { return };
        of_peer.bytes -= draw.bytes;
        self.all.bytes -= draw.bytes;
        if of_peer.latest.get(&draw.artifact) == Some(&draw.at) {
            of_peer.latest.remove(&draw.artifact);
            self.all.artifacts -= 1;
        }
        if of_peer.latest.is_empty() {
            self.by_peer.remove(&draw.peer);
            self.gone.push(draw.peer);
        }
    }
}

impl DrawsOfDay {
    /// Counts an artifact that a peer was asked for and whose result is known.
    pub(crate) fn add(&self, peer: &str, now: Moment, key: ArtifactKey, bytes: u64) {
        let [a, b, c, d, e, f, g, h, ..] = *key.as_bytes();
        let artifact = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.forget(now);
        counted.add(Drawn { at: now, peer: Arc::from(peer), artifact, bytes });
    }

    /// The draws of the last day.
    pub(crate) fn of_last_day(&self, now: Moment) -> Summary {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.forget(now);
        let gone: Vec<_> = std::mem::take(&mut counted.gone);
        let gone = gone.into_iter().filter(|peer| !counted.by_peer.contains_key(peer));
        let of_peer =
            |of_peer: &OfPeer| Draws { artifacts: of_peer.latest.len() as u64, bytes: of_peer.bytes };
        let known = counted.by_peer.iter().map(|(peer, draws)| (Arc::clone(peer), of_peer(draws)));
        Summary {
            all: counted.all,
            by_peer: known.chain(gone.map(|peer| (peer, Draws::default()))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{Counts, TicketArtifact, canonical, probes};
    use lampkeeper_plugin_sdk::protocol::words::ArtifactClass;
    use std::collections::BTreeSet;

    const DAYS: u64 = 400;
    const EPOCHS_PER_DAY: u64 = 6;
    const TARGET: &str = "target";
    const COUNTS: Counts = Counts { index: 5, symbol: 5 };

    /// Tickets of very different sizes; the first eighth of each are id files.
    fn tickets() -> Vec<(String, Vec<TicketArtifact>)> {
        let ticket = |(number, len): (usize, u32)| {
            let artifact = |position: u32| TicketArtifact {
                key: ArtifactKey::of(&[number as u32, position].map(u32::to_be_bytes).concat()),
                class: if position < len / 8 { ArtifactClass::Index } else { ArtifactClass::Symbol },
                position,
                len_bytes: 65_532,
            };
            (number.to_string(), (0..len).map(artifact).collect())
        };
        [16, 24, 120, 440].into_iter().enumerate().map(ticket).collect()
    }

    /// The draws of one epoch, as the challenger makes them: a canonical one of a recent ticket and of an old one, and 16
    /// probes spread over all tickets.
    fn draws_of_epoch(seed: &[u8], tickets: &[(String, Vec<TicketArtifact>)]) -> Vec<ArtifactKey> {
        let pick = usize::from(ArtifactKey::of(seed).as_bytes()[0] % 2);
        let challenged = [&tickets[pick], &tickets[2 + pick]];
        let canonical =
            challenged.into_iter().filter_map(|(id, held)| canonical(seed, TARGET, id, COUNTS, held));
        let probed = tickets.iter().flat_map(|(id, held)| probes(seed, TARGET, id, COUNTS, held, 4));
        canonical.chain(probed).map(|draw| draw.artifact.key).collect()
    }

    /// A loss of `count` artifacts that has nothing to do with the draws.
    fn loss(day: u64, all: &[ArtifactKey], count: usize) -> BTreeSet<ArtifactKey> {
        let mut ranked = all.to_vec();
        ranked.sort_by_cached_key(|key| {
            ArtifactKey::of(&[day.to_be_bytes().as_slice(), key.as_bytes(), b"loss"].concat())
        });
        ranked.into_iter().take(count).collect()
    }

    /// The exact chance to meet one of `lost` among `held` with `drawn` different ones.
    fn exact(held: usize, lost: usize, drawn: u64) -> f64 {
        let missed: f64 = (0..drawn).map(|made| (held - lost) as f64 - made as f64).zip(0..drawn).fold(
            1.0,
            |chance, step| {
                let (intact_left, made) = step;
                chance * (intact_left / (held as f64 - made as f64)).max(0.0)
            },
        );
        1.0 - missed
    }

    #[test]
    fn the_bound_holds_for_the_draws_that_are_really_made() {
        let tickets = tickets();
        let all: Vec<_> =
            tickets.iter().flat_map(|(_, held)| held.iter().map(|artifact| artifact.key)).collect();
        let lost_counts = LOST_PERCENTS.map(|percent| all.len() * percent as usize / 100);
        let (mut caught, mut bound, mut exactly) = ([0_u32; 3], [0.0; 3], [0.0; 3]);
        let mut repeated = 0;
        for day in 0..DAYS {
            let counted = DrawsOfDay::default();
            let mut drawn = Vec::new();
            for epoch in 0..EPOCHS_PER_DAY {
                let seed = ArtifactKey::of(&[day, epoch].map(u64::to_be_bytes).concat());
                let now = Moment::from_start(Duration::from_secs(epoch * 14_400));
                for key in draws_of_epoch(seed.as_bytes(), &tickets) {
                    counted.add(TARGET, now, key, 1);
                    drawn.push(key);
                }
            }
            let last = Moment::from_start(Duration::from_secs((EPOCHS_PER_DAY - 1) * 14_400));
            let draws = counted.of_last_day(last).all;
            assert_eq!(draws.bytes, drawn.len() as u64, "a draw costs, repeated or not");
            repeated += draws.bytes - draws.artifacts;
            for (which, count) in lost_counts.into_iter().enumerate() {
                let lost = loss(day, &all, count);
                caught[which] += u32::from(drawn.iter().any(|key| lost.contains(key)));
                let share = count as f64 / all.len() as f64;
                bound[which] += detection_chance(share, draws.artifacts) / DAYS as f64;
                exactly[which] += exact(all.len(), count, draws.artifacts) / DAYS as f64;
            }
        }
        assert!(repeated > DAYS * 10, "the scenario has repetitions, {repeated}, which must not count");
        for (which, percent) in LOST_PERCENTS.into_iter().enumerate() {
            let (bound, exactly) = (bound[which], exactly[which]);
            let measured = f64::from(caught[which]) / DAYS as f64;
            let tolerance = 4.0 * (exactly * (1.0 - exactly) / DAYS as f64).sqrt() + 1.0 / DAYS as f64;
            assert!(bound <= exactly, "{percent} %: {bound} is a bound of {exactly}");
            assert!(exactly - bound < 0.1, "{percent} %: {bound} is not far below {exactly}");
            assert!((measured - exactly).abs() <= tolerance, "{percent} %: measured {measured}, {exactly}");
        }
    }

    #[test]
    fn different_artifacts_count_for_a_day() {
        let counted = DrawsOfDay::default();
        let at = |hours: u64| Moment::from_start(Duration::from_secs(hours * 3600));
        let key = |number: u64| ArtifactKey::of(&number.to_be_bytes());
        // A new artifact of one peer each hour, always the same of another one.
        for hour in 0..48 {
            counted.add("new", at(hour), key(hour), 10);
            counted.add("same", at(hour), key(0), 10);
        }
        let of = |hours, peer: &str| {
            let summary = counted.of_last_day(at(hours));
            let found = summary.by_peer.into_iter().find(|(name, _)| &**name == peer);
            (summary.all, found.map(|(_, draws)| draws))
        };
        let (all, new) = of(47, "new");
        assert_eq!(
            (all, new),
            (Draws { artifacts: 25, bytes: 480 }, Some(Draws { artifacts: 24, bytes: 240 }))
        );
        assert_eq!(of(47, "same").1, Some(Draws { artifacts: 1, bytes: 240 }));
        assert_eq!(of(60, "new").1, Some(Draws { artifacts: 11, bytes: 110 }));
        assert_eq!(
            of(200, "new"),
            (Draws::default(), Some(Draws::default())),
            "told once that nothing is left"
        );
        assert_eq!(of(200, "new").1, None);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut counted = Counted::default();
        let draw = |number: u64| Drawn {
            at: Moment::from_start(Duration::from_millis(number)),
            peer: Arc::from("peer"),
            artifact: number,
            bytes: 1,
        };
        for number in 0..DRAWS_MAX as u64 + 5 {
            counted.add(draw(number));
        }
        assert_eq!(counted.all, Draws { artifacts: DRAWS_MAX as u64, bytes: DRAWS_MAX as u64 });
    }
}
