//! Who is connected: peers that have proved nothing yet, and accounts.
//!
//! Owns both counts and their limits. Connections end when their [`Cancel`] is given; what that does is theirs.

use crate::channel::handshake::{PeerIdentity, PeerType};
use crate::config::Config;
use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All connections that peers have made.
pub(crate) struct Crowd {
    limits: Limits,
    state: Mutex<State>,
}

struct Limits {
    unproved: usize,
    proved: usize,
    ordinary: usize,
    per_account: usize,
}

#[derive(Default)]
struct State {
    next_number: u64,
    unproved: BTreeMap<u64, Cancel>,
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
            proved: config.connections_max as usize,
            ordinary: config.ordinary_connections_max as usize,
            per_account: config.connections_per_account_max as usize,
        };
        Self { limits, state: Mutex::new(State::default()) }
    }

    /// A place for a new connection. When there are too many, the one that has been there longest without proving
    /// anything goes: a peer that means well takes milliseconds. The flag says whether one had to.
    pub(crate) fn enter(self: &Arc<Self>, ended: &Cancel) -> (Place, bool) {
        let cut = ended.child();
        let mut state = self.lock();
        let pushed_out = match state.unproved.len() >= self.limits.unproved {
            true => state.unproved.pop_first().map(|(_, oldest)| oldest),
            false => None,
        };
        let number = state.next_number;
        state.next_number += 1;
        state.unproved.insert(number, cut.clone());
        drop(state);
        let is_crowded = pushed_out.is_some();
        pushed_out.inspect(Cancel::cancel);
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
        pushed_out.inspect(|(.., oldest)| oldest.cancel());
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

    #[test]
    fn the_oldest_that_proved_nothing_makes_room() {
        let crowd = crowd();
        let ended = Cancel::new();
        let mut places: Vec<Place> = (0..3).map(|_| crowd.enter(&ended).0).collect();
        crowd.prove(&places[0], &peer("a", PeerType::Supernode)).unwrap();
        assert_eq!(crowd.counts(), (2, 1));
        assert!(!crowd.enter(&ended).1 || crowd.counts().0 == 2);
        places.push(crowd.enter(&ended).0);
        let (latest, is_crowded) = crowd.enter(&ended);
        assert!(is_crowded);
        let cut: Vec<bool> = places.iter().map(|place| place.cut.is_cancelled()).collect();
        assert_eq!(cut, [false, true, false, false], "the proved one stays");
        assert_eq!(crowd.prove(&places[1], &peer("b", PeerType::Supernode)), Err("it was pushed out"));
        drop((latest, places));
        assert_eq!(crowd.counts(), (0, 0));
    }

    #[test]
    fn accounts_have_limits_each_and_together() {
        let crowd = crowd();
        let ended = Cancel::new();
        let mut enter = |account: &str, peer_type| {
            let place = crowd.enter(&ended).0;
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
