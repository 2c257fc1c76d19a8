//! The handle with which tests and devnets break the network.
//!
//! Owns no state: everything is a condition of the fabric. Nothing here is random; whoever wants chance draws it
//! from a seed and calls these.

use crate::conditions::{LinkQuality, MessageFault};
use crate::fabric::Fabric;
use lampkeeper_plugin_sdk::api::Account;
use std::collections::BTreeMap;

/// Takes nodes down, cuts the network apart, makes links slow, loses messages. Clones act on the same fabric.
///
/// Accounts need not have joined yet: a condition waits for them. Conditions hold until they are changed.
#[derive(Debug, Clone)]
pub struct Faults {
    fabric: Fabric,
}

impl Faults {
    pub(crate) const fn new(fabric: Fabric) -> Self {
        Self { fabric }
    }

    /// Makes a node unreachable, as if its process had ended: calls to it are refused at once, those that run break,
    /// and it can't make any.
    pub fn take_down(&self, account: &str) {
        self.fabric.set_down(account, true);
    }

    /// Lets a node answer again.
    pub fn bring_up(&self, account: &str) {
        self.fabric.set_down(account, false);
    }

    /// Whether a node was taken down.
    #[must_use]
    pub fn is_down(&self, account: &str) -> bool {
        self.fabric.with_conditions(|conditions| conditions.down.contains(account))
    }

    /// Cuts the network into these sides and one more with all other nodes. Messages between sides vanish, those on
    /// their way too, so that calls across run out of time. Replaces an earlier partition.
    pub fn partition<S: AsRef<str>>(&self, sides: &[&[S]]) {
        let accounts = |side: &&[S]| side.iter().map(|account| account.as_ref().to_owned()).collect();
        let sides = sides.iter().map(accounts).collect();
        self.fabric.with_conditions(|conditions| conditions.sides = sides);
    }

    /// Joins the sides again. Messages that vanished stay lost.
    pub fn end_partition(&self) {
        self.fabric.with_conditions(|conditions| conditions.sides.clear());
    }

    /// Sets how every link carries messages that has no setting of its own.
    pub fn set_every_link(&self, quality: LinkQuality) {
        self.fabric.with_conditions(|conditions| conditions.every_link = quality);
    }

    /// Sets how messages travel from one node to another. The way back has its own setting.
    pub fn set_link(&self, from: &str, to: &str, quality: LinkQuality) {
        let link = (from.to_owned(), to.to_owned());
        self.fabric.with_conditions(|conditions| conditions.links.insert(link, quality));
    }

    /// Something happens to the `nth` message from one node to another, counted from 1 for the next one. Requests,
    /// answers and each message of a stream count; probes of ports don't.
    pub fn on_message(&self, from: &str, to: &str, nth: u64, fault: MessageFault) {
        self.fabric.with_conditions(|conditions| conditions.schedule(from, to, nth, fault));
    }

    /// Messages that were cut off, lost or repeated so far, by what happened to them.
    #[must_use]
    pub fn met(&self) -> BTreeMap<&'static str, u64> {
        self.fabric.with_conditions(|conditions| conditions.met.clone())
    }

    /// Ends all conditions: every node is up, every link is fast, nothing is lost any more.
    pub fn clear(&self) {
        let down: Vec<Account> = self.fabric.with_conditions(|conditions| {
            conditions.reset_links();
            conditions.down.iter().cloned().collect()
        });
        down.iter().for_each(|account| self.bring_up(account));
    }
}
