//! Who is connected: peers that have proved nothing yet, and accounts.
//!
//! Owns both counts and their limits. Connections end when their [`Cancel`] is given; what that does is theirs.

use crate::channel::handshake::{PeerIdentity, PeerType};
use crate::config::{Config, millis};
use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::scheduler::Moment;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// All connections that peers have made.
pub(crate) struct Crowd {
    limits: Limits,
    state: Mutex<State>,
}

struct Limits {
    unproved: usize,
    unproved_time_min: Duration,
    proved: usize,
    ordinary: usize,
    per_account: usize,
}

#[derive(Default)]
struct State {
    next_number: u64,
    unproved: BTreeMap<u64, (Moment, Cancel)>,
    proved: BTreeMap<u64, (Account, PeerType, Cancel)>,
}

/// A connection in the crowd, until this is dropped.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    /// Given when the connection has to end.
    pub(crate) cut: Cancel,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.crowd.lock();
        state.unproved.remove(&self.number);
        state.proved.remove(&self.number);
    }
}

impl Crowd {
    pub(crate) fn new(config: &Config) -> Self {
        let limits = Limits {
            unproved: config.unproved_connections_max as usize,
            unproved_time_min: millis(config.unproved_time_min_ms),
            proved: config.connections_max as usize,
            ordinary: config.ordinary_connections_max as usize,
            per_account: config.connections_per_account_max as usize,
        };
        Self { limits, state: Mutex::new(State::default()) }
    }

    /// Whether a connection may be accepted now. If there are too many that have proved nothing, the oldest of them has a
    /// minimum of time first, so that a flood can't push out a peer that is about to prove itself: further connections wait
    /// with the system.
    pub(crate) fn has_room(&self, now: Moment) -> bool {
        let state = self.lock();
        let oldest = state.unproved.first_key_value().map(|(_, (since, _))| now.since(*since));
        state.unproved.len() < self.limits.unproved
            || oldest.is_some_and(|age| age >= self.limits.unproved_time_min)
    }

    /// A place for a new connection. When there are too many, the one that has been there longest without proving
    /// anything goes. The flag says whether one had to.
    pub(crate) fn enter(self: &Arc<Self>, ended: &Cancel, now: Moment) -> (Place, bool) {
        let cut = ended.child();
        let mut state = self.lock();
        let pushed_out = match state.unproved.len() >= self.limits.unproved {
            true => state.unproved.pop_first().map(|(_, (_, oldest))| oldest),
            false => None,
        };
        let number = state.next_number;
        state.next_number += 1;
        state.unproved.insert(number, (now, cut.clone()));
        drop(state);
        let is_crowded = pushed_out.is_some();
        if let Some(oldest) = pushed_out {
            oldest.cancel();
        }
        (Place { crowd: Arc::clone(self), number, cut }, is_crowded)
    }

    /// Makes a connection one of the proved account's. If the account has too many its oldest one goes, since a peer that
    /// restarted can't end those that it forgot. `Err` says which limit is reached.
    pub(crate) fn prove(&self, place: &Place, peer: &PeerIdentity) -> Result<(), &'static str> {
        let mut state = self.lock();
        if state.unproved.remove(&place.number).is_none() {
            return Err("it was pushed out");
        }
        let own: Vec<u64> = state
            .proved
            .iter()
            .filter(|(_, (account, ..))| *account == peer.account)
            .map(|(number, _)| *number)
            .collect();
        let pushed_out = match own.len() >= self.limits.per_account {
            true => own.first().and_then(|oldest| state.proved.remove(oldest)),
            false => None,
        };
        let ordinary = state.proved.values().filter(|(_, kind, _)| *kind == PeerType::Account).count();
        let refused = if state.proved.len() >= self.limits.proved {
            Some("too many connections")
        } else if peer.peer_type == PeerType::Account && ordinary >= self.limits.ordinary {
            Some("too many connections of ordinary accounts")
        } else {
            let entry = (peer.account.clone(), peer.peer_type, place.cut.clone());
            state.proved.insert(place.number, entry);
            None
        };
        drop(state);
        if let Some((.., oldest)) = pushed_out {
            oldest.cancel();
        }
        refused.map_or(Ok(()), Err)
    }

    /// How many have proved nothing yet, and how many have.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.unproved.len(), state.proved.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::testkit::TestSigner;

    fn crowd() -> Arc<Crowd> {
        Arc::new(Crowd::new(&Config {
            unproved_connections_max: 3,
            unproved_time_min_ms: 10,
            connections_max: 4,
            ordinary_connections_max: 2,
            connections_per_account_max: 2,
            ..Config::default()
        }))
    }

    fn peer(account: &str, peer_type: PeerType) -> PeerIdentity {
        let public_key = TestSigner::new("any").secret_key().public_key();
        PeerIdentity { account: account.to_owned(), peer_type, public_key }
    }

    fn at(since_start_ms: u64) -> Moment {
        Moment::from_start(millis(since_start_ms))
    }

    #[test]
    fn the_oldest_that_proved_nothing_makes_room() {
        let crowd = crowd();
        let ended = Cancel::new();
        let mut places: Vec<Place> = (0..3).map(|_| crowd.enter(&ended, at(0)).0).collect();
        crowd.prove(&places[0], &peer("a", PeerType::Supernode)).unwrap();
        assert_eq!(crowd.counts(), (2, 1));
        let (place, is_crowded) = crowd.enter(&ended, at(0));
        assert!(!is_crowded);
        places.push(place);
        let (latest, is_crowded) = crowd.enter(&ended, at(0));
        assert!(is_crowded);
        let cut: Vec<bool> = places.iter().map(|place| place.cut.is_cancelled()).collect();
        assert_eq!(cut, [false, true, false, false], "the proved one stays");
        assert_eq!(crowd.prove(&places[1], &peer("b", PeerType::Supernode)), Err("it was pushed out"));
        drop((latest, places));
        assert_eq!(crowd.counts(), (0, 0));
    }

    #[test]
    fn everybody_has_a_minimum_of_time() {
        let crowd = crowd();
        let ended = Cancel::new();
        let mut places = Vec::new();
        for (now_ms, has_room) in [(0, true), (1, true), (2, true), (3, false), (9, false), (10, true)] {
            assert_eq!(crowd.has_room(at(now_ms)), has_room, "after {now_ms} ms");
            if has_room {
                places.push(crowd.enter(&ended, at(now_ms)).0);
            }
        }
        assert!(!crowd.has_room(at(10)), "the next oldest came at 1 ms");
        drop(places.pop());
        assert!(crowd.has_room(at(10)));
    }

    #[test]
    fn accounts_have_limits_each_and_together() {
        let crowd = crowd();
        let ended = Cancel::new();
        let enter = |account: &str, peer_type| {
            let place = crowd.enter(&ended, at(0)).0;
            let outcome = crowd.prove(&place, &peer(account, peer_type));
            (place, outcome)
        };
        use PeerType::{Account, Supernode};
        let first = enter("a", Account);
        let second = enter("a", Account);
        assert!(first.1.is_ok() && second.1.is_ok());
        let third = enter("a", Account);
        assert!(third.1.is_ok() && first.0.cut.is_cancelled() && !second.0.cut.is_cancelled());
        assert_eq!(enter("b", Account).1, Err("too many connections of ordinary accounts"));
        let supernodes = [enter("c", Supernode), enter("d", Supernode)];
        assert!(supernodes.iter().all(|(_, outcome)| outcome.is_ok()));
        assert_eq!(enter("e", Supernode).1, Err("too many connections"));
        ended.cancel();
        assert!(second.0.cut.is_cancelled(), "the end of serving cuts everybody");
    }
}
