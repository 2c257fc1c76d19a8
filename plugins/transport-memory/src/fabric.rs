//! The network of one process: who has joined it, under which address, and what passes between them.
//!
//! Owns the registry of named fabrics and the members of each. What is wrong with the network stands in
//! [`Conditions`]; what a node answers in [`Server`].

use crate::conditions::{Conditions, Leg, Passage};
use crate::faults::Faults;
use crate::server::Server;
use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::transport::{CallerMint, Peer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The fabrics of this image by name. One that nobody holds any more is forgotten.
static NAMED: Mutex<BTreeMap<String, Weak<Mutex<State>>>> = Mutex::new(BTreeMap::new());

/// The port of an address that names none: that of the supernode service (wire 9.1).
const DEFAULT_PORT: u16 = 4444;

/// A panic while a lock was held leaves nothing half done here: every critical section is a few plain assignments.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A network in memory. Clones are the same network.
///
/// ```
/// use lampkeeper_transport_memory::{Fabric, LinkQuality};
/// use std::time::Duration;
///
/// let fabric = Fabric::named("devnet");
/// fabric.faults().take_down("lumera1bob");
/// // The same network, for as long as somebody holds it:
/// assert!(Fabric::named("devnet").faults().is_down("lumera1bob"));
/// ```
#[derive(Clone, Default)]
pub struct Fabric {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    members: BTreeMap<Account, Member>,
    conditions: Conditions,
}

struct Member {
    address: String,
    caller_mint: CallerMint,
    server: Option<Arc<Server>>,
    /// Given when the node is taken down; a new one when it comes back.
    cut: Cancel,
}

/// Why a node can't join.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// A node of this account is there.
    #[error("{account} is already on this network; end its earlier life before it joins again")]
    AccountTaken {
        /// The account.
        account: Account,
    },
    /// A node with this address is there.
    #[error("{account} can't join at `{address}`: {holder} is there; give it an address of its own")]
    AddressTaken {
        /// Who wanted to join.
        account: Account,
        /// The address.
        address: String,
        /// Who has it.
        holder: Account,
    },
}

/// What a call finds at its peer.
pub(crate) struct Answering {
    pub(crate) server: Arc<Server>,
    pub(crate) caller_mint: CallerMint,
    pub(crate) cut: Cancel,
}

/// Why a call finds nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotAnswering {
    /// Nobody listens.
    Unreachable(&'static str),
    /// Somebody else listens at the peer's address.
    Wrong(Account),
}

impl Fabric {
    /// A network of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The network of this name in this process; it exists for as long as somebody holds it.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut named = lock(&NAMED);
        if let Some(state) = named.get(name).and_then(Weak::upgrade) {
            return Self { state };
        }
        let fabric = Self::new();
        named.retain(|_, state| state.strong_count() > 0);
        named.insert(name.to_owned(), Arc::downgrade(&fabric.state));
        fabric
    }

    /// The handle that breaks this network.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults::new(self.clone())
    }

    /// The accounts that have joined, sorted.
    #[must_use]
    pub fn accounts(&self) -> Vec<Account> {
        lock(&self.state).members.keys().cloned().collect()
    }

    pub(crate) fn with_conditions<T>(&self, change: impl FnOnce(&mut Conditions) -> T) -> T {
        change(&mut lock(&self.state).conditions)
    }

    pub(crate) fn set_down(&self, account: &str, is_down: bool) {
        let mut state = lock(&self.state);
        if is_down {
            state.conditions.down.insert(account.to_owned());
        } else if !state.conditions.down.remove(account) {
            return;
        }
        let Some(member) = state.members.get_mut(account) else { return };
        let cut = if is_down { member.cut.clone() } else { std::mem::take(&mut member.cut) };
        drop(state);
        cut.cancel();
    }

    pub(crate) fn join(
        &self,
        account: &str,
        address: &str,
        caller_mint: CallerMint,
    ) -> Result<Membership, JoinError> {
        let (host, port) = host_and_port(address);
        let address = &if port.is_none() { with_port(host, DEFAULT_PORT) } else { address.to_owned() };
        let mut state = lock(&self.state);
        if state.members.contains_key(account) {
            return Err(JoinError::AccountTaken { account: account.to_owned() });
        }
        if let Some((holder, _)) = state.members.iter().find(|(_, member)| member.address == *address) {
            return Err(JoinError::AddressTaken {
                account: account.to_owned(),
                address: address.to_owned(),
                holder: holder.clone(),
            });
        }
        let cut = Cancel::new();
        if state.conditions.down.contains(account) {
            cut.cancel();
        }
        let member = Member { address: address.to_owned(), caller_mint, server: None, cut };
        state.members.insert(account.to_owned(), member);
        drop(state);
        Ok(Membership { fabric: self.clone(), account: account.to_owned(), address: address.to_owned() })
    }

    /// Who answers a call to `peer`.
    ///
    /// The account says who is called. The address is only compared: if it belongs to somebody else, the handshake
    /// would have proved another account; an address that nobody has is not held against the peer, so that registries
    /// of simulated chains need not agree with the fabric's.
    pub(crate) fn answering(&self, peer: &Peer) -> Result<Answering, NotAnswering> {
        let state = lock(&self.state);
        let mut at_address = state.members.iter().filter(|(_, member)| is_at(&member.address, &peer.address));
        if let Some((first, _)) = at_address.next()
            && *first != peer.account
            && !at_address.any(|(account, _)| *account == peer.account)
        {
            return Err(NotAnswering::Wrong(first.clone()));
        }
        let Some(member) = state.members.get(&peer.account) else {
            return Err(NotAnswering::Unreachable("it is not on this network"));
        };
        if state.conditions.down.contains(&peer.account) {
            return Err(NotAnswering::Unreachable("connection refused: it is down"));
        }
        let Some(server) = &member.server else {
            return Err(NotAnswering::Unreachable("connection refused: it does not serve"));
        };
        Ok(Answering {
            server: Arc::clone(server),
            caller_mint: member.caller_mint.clone(),
            cut: member.cut.clone(),
        })
    }

    /// The node that a probe of this address and port meets. Nodes have all ports.
    pub(crate) fn account_at(&self, address: &str, port: u16) -> Option<Account> {
        let state = lock(&self.state);
        let find = |address: &str| {
            let found = state.members.iter().find(|(_, member)| is_at(&member.address, address));
            found.map(|(account, _)| account.clone())
        };
        if address.is_empty() {
            return None;
        }
        find(&with_port(host_and_port(address).0, port)).or_else(|| find(address))
    }

    pub(crate) fn is_serving(&self, account: &str) -> bool {
        let state = lock(&self.state);
        let server = state.members.get(account).and_then(|member| member.server.as_ref());
        !state.conditions.down.contains(account) && server.is_some_and(|server| server.is_taking_calls())
    }

    /// Carries a message; how many copies arrive, at least one. Never completes for a message that is lost.
    pub(crate) async fn carry(&self, scheduler: &dyn Scheduler, leg: Leg<'_>, len_bytes: usize) -> usize {
        let now = scheduler.now();
        let passage = self.with_conditions(|conditions| conditions.send(leg, len_bytes, now));
        self.travel(scheduler, leg.from, leg.to, passage).await
    }

    /// Waits as long as it takes to find out whether somebody listens. Never completes across a partition.
    pub(crate) async fn carry_probe(&self, scheduler: &dyn Scheduler, from: &str, to: &str) {
        let passage = self.with_conditions(|conditions| conditions.probe(from, to));
        self.travel(scheduler, from, to, passage).await;
    }

    async fn travel(&self, scheduler: &dyn Scheduler, from: &str, to: &str, passage: Passage) -> usize {
        if !passage.after.is_zero() {
            scheduler.sleep(passage.after).await;
        }
        let arrives =
            passage.copies > 0 && self.with_conditions(|conditions| conditions.are_connected(from, to));
        if !arrives {
            std::future::pending::<()>().await;
        }
        passage.copies
    }
}

impl std::fmt::Debug for Fabric {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = lock(&self.state);
        formatter
            .debug_struct("Fabric")
            .field("members", &state.members.keys().collect::<Vec<_>>())
            .field("conditions", &state.conditions)
            .finish_non_exhaustive()
    }
}

/// A node's place on the fabric; given up when dropped.
pub(crate) struct Membership {
    pub(crate) fabric: Fabric,
    account: Account,
    address: String,
}

impl Membership {
    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The signal that this node is down.
    pub(crate) fn cut(&self) -> Cancel {
        let state = lock(&self.fabric.state);
        state.members.get(&self.account).map_or_else(Cancel::new, |member| member.cut.clone())
    }

    /// Lets peers reach `server`; `false` if this node serves already.
    pub(crate) fn start_serving(&self, server: &Arc<Server>) -> bool {
        let mut state = lock(&self.fabric.state);
        match state.members.get_mut(&self.account) {
            Some(member) if member.server.is_none() => {
                member.server = Some(Arc::clone(server));
                true
            }
            _ => false,
        }
    }

    /// Ends what [`Self::start_serving`] began, if it is still this server's turn.
    pub(crate) fn stop_serving(&self, server: &Arc<Server>) {
        let mut state = lock(&self.fabric.state);
        let stopped = state.members.get_mut(&self.account).and_then(|member| {
            let is_serving = member.server.as_ref().is_some_and(|serving| Arc::ptr_eq(serving, server));
            if is_serving { member.server.take() } else { None }
        });
        drop(state);
        // Outside the lock: the routes may hold what locks again when it is dropped.
        drop(stopped);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let left = lock(&self.fabric.state).members.remove(&self.account);
        drop(left);
    }
}

/// The host of an address and its port, if it has one. Brackets around IPv6 are stripped (wire 2.8).
fn host_and_port(address: &str) -> (&str, Option<u16>) {
    if let Some(rest) = address.strip_prefix('[')
        && let Some((host, after)) = rest.split_once(']')
    {
        return (host, after.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse().ok()),
        _ => (address, None),
    }
}

fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Whether `address` means a member's own address. A missing port, on either side, fits every port.
fn is_at(members: &str, address: &str) -> bool {
    let (members_host, members_port) = host_and_port(members);
    let (host, port) = host_and_port(address);
    let ports_differ = members_port.zip(port).is_some_and(|(members_port, port)| members_port != port);
    members_host == host && !ports_differ
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_fits_with_and_without_its_port() {
        for (members, address, expected) in [
            ("n1", "n1", true),
            ("n1", "n1:4444", true),
            ("n1:4444", "n1", true),
            ("n1:4444", "n1:4444", true),
            ("n1:4444", "n1:4445", false),
            ("n1", "n2", false),
            ("[::1]:4444", "::1", true),
            ("[::1]:4444", "[::1]:4444", true),
            ("[::1]:4444", "[::1]:1", false),
            ("n1", "", false),
        ] {
            assert_eq!(is_at(members, address), expected, "{members} and {address}");
        }
    }

    #[test]
    fn a_named_fabric_lives_as_long_as_somebody_holds_it() {
        let fabric = Fabric::named("lives");
        let member = fabric.join("alice", "n1", CallerMint::for_host()).unwrap();
        assert_eq!(Fabric::named("lives").accounts(), ["alice"]);
        assert!(Fabric::named("other").accounts().is_empty());
        drop(fabric);
        assert_eq!(Fabric::named("lives").accounts(), ["alice"], "a member holds it");
        drop(member);
        assert!(Fabric::named("lives").accounts().is_empty());
    }

    #[test]
    fn an_account_and_an_address_belong_to_one_node_at_a_time() {
        let fabric = Fabric::new();
        let join = |account, address| fabric.join(account, address, CallerMint::for_host());
        let alice = join("alice", "n1").unwrap();
        assert!(matches!(join("alice", "n2"), Err(JoinError::AccountTaken { .. })));
        assert!(matches!(join("bob", "n1"), Err(JoinError::AddressTaken { .. })));
        drop(alice);
        assert!(join("bob", "n1").is_ok());
    }
}
