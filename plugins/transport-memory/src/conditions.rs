//! The state of the network between the nodes: who is down, who is cut off from whom, how slow each link is, which
//! message gets lost.
//!
//! Owns the decisions about a single message. Waiting for it is the fabric's part; setting the conditions is that of
//! [`Faults`](crate::Faults).

use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::scheduler::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;

/// How a link carries messages, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkQuality {
    /// How long a message travels, whatever its length.
    pub latency: Duration,
    /// How much a connection carries; `None` is no limit. The messages of one connection follow each other.
    pub bandwidth_bytes_per_s: Option<NonZeroU64>,
}

/// What happens to a single message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageFault {
    /// It never arrives; whoever waits for it runs out of time.
    Drop,
    /// It arrives twice. A request is then handled twice, the second time with nobody waiting for the answer; a message of
    /// a stream is read twice; the second copy of a single answer is ignored.
    Duplicate,
}

/// One direction between two nodes.
type Link = (Account, Account);

/// A fault that waits for its message.
#[derive(Debug)]
struct ScheduledFault {
    messages_until: u64,
    fault: MessageFault,
}

/// How one message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passage {
    /// How many copies arrive; 0 if it is lost.
    pub(crate) copies: usize,
    /// When, from now.
    pub(crate) after: Duration,
}

/// Who makes a call, and which way a message of it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leg<'a> {
    /// Whose connection it is. Its clock measures the connection.
    pub(crate) caller: &'a str,
    /// The sender of this message.
    pub(crate) from: &'a str,
    /// Its receiver.
    pub(crate) to: &'a str,
}

/// Everything that is wrong with the network.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) down: BTreeSet<Account>,
    pub(crate) sides: Vec<BTreeSet<Account>>,
    pub(crate) every_link: LinkQuality,
    pub(crate) links: BTreeMap<Link, LinkQuality>,
    faults: BTreeMap<Link, Vec<ScheduledFault>>,
    /// Until when each connection is busy. Each caller has its own, because clocks of different nodes can't be
    /// compared.
    busy_until: BTreeMap<(Account, Link), Moment>,
    /// Messages that met a fault, by its kind.
    pub(crate) met: BTreeMap<&'static str, u64>,
}

fn link(from: &str, to: &str) -> Link {
    (from.to_owned(), to.to_owned())
}

impl Conditions {
    /// Whether messages pass at all. Nodes that no side names are together on one more side.
    pub(crate) fn are_connected(&self, from: &str, to: &str) -> bool {
        let side_of = |account: &str| self.sides.iter().position(|side| side.contains(account));
        side_of(from) == side_of(to)
    }

    /// Ends every condition but that nodes are down.
    pub(crate) fn reset_links(&mut self) {
        let (down, met) = (std::mem::take(&mut self.down), std::mem::take(&mut self.met));
        *self = Self { down, met, ..Self::default() };
    }

    /// Schedules a fault for the `nth` message from now on, counted from 1.
    pub(crate) fn schedule(&mut self, from: &str, to: &str, nth: u64, fault: MessageFault) {
        let scheduled = ScheduledFault { messages_until: nth.max(1), fault };
        self.faults.entry(link(from, to)).or_default().push(scheduled);
    }

    /// Sends a message of `len_bytes` now.
    pub(crate) fn send(&mut self, leg: Leg<'_>, len_bytes: usize, now: Moment) -> Passage {
        let after = self.travel_time(leg, len_bytes, now);
        let (copies, met) = match self.count_message(leg) {
            _ if !self.are_connected(leg.from, leg.to) => (0, Some("messages cut off")),
            Some(MessageFault::Drop) => (0, Some("messages lost")),
            Some(MessageFault::Duplicate) => (2, Some("messages repeated")),
            None => (1, None),
        };
        if let Some(kind) = met {
            *self.met.entry(kind).or_default() += 1;
        }
        Passage { copies, after }
    }

    /// How long it takes to find out whether somebody listens: no message is sent and none counted.
    pub(crate) fn probe(&self, from: &str, to: &str) -> Passage {
        let copies = usize::from(self.are_connected(from, to));
        Passage { copies, after: self.quality(from, to).latency }
    }

    fn quality(&self, from: &str, to: &str) -> LinkQuality {
        self.links.get(&link(from, to)).copied().unwrap_or(self.every_link)
    }

    fn travel_time(&mut self, leg: Leg<'_>, len_bytes: usize, now: Moment) -> Duration {
        let quality = self.quality(leg.from, leg.to);
        let Some(bandwidth) = quality.bandwidth_bytes_per_s else { return quality.latency };
        let nanoseconds = (len_bytes as u128).saturating_mul(1_000_000_000) / u128::from(bandwidth.get());
        let sending = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let connection = (leg.caller.to_owned(), link(leg.from, leg.to));
        let busy_until = self.busy_until.entry(connection).or_default();
        *busy_until = now.max(*busy_until).plus(sending);
        busy_until.since(now).saturating_add(quality.latency)
    }

    /// Counts a message of this link; the fault that was scheduled for it, if any.
    fn count_message(&mut self, leg: Leg<'_>) -> Option<MessageFault> {
        let scheduled = self.faults.get_mut(&link(leg.from, leg.to))?;
        for fault in scheduled.iter_mut() {
            fault.messages_until -= 1;
        }
        let due = scheduled.iter().position(|fault| fault.messages_until == 0);
        let fault = due.map(|due| scheduled[due].fault);
        scheduled.retain(|fault| fault.messages_until > 0);
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEG: Leg<'_> = Leg { caller: "a", from: "a", to: "b" };

    #[test]
    fn the_nth_message_and_no_other_meets_its_fault() {
        let mut conditions = Conditions::default();
        conditions.schedule("a", "b", 2, MessageFault::Drop);
        conditions.schedule("a", "b", 4, MessageFault::Duplicate);
        conditions.schedule("b", "a", 1, MessageFault::Drop);
        let copies: Vec<_> = (0..5).map(|_| conditions.send(LEG, 10, Moment::default()).copies).collect();
        assert_eq!(copies, [1, 0, 1, 2, 1]);
        conditions.reset_links();
        assert_eq!(conditions.met, BTreeMap::from([("messages lost", 1), ("messages repeated", 1)]));
    }

    #[test]
    fn nodes_that_no_side_names_stay_together() {
        let side = |accounts: &[&str]| accounts.iter().map(|&account| account.to_owned()).collect();
        let conditions = Conditions { sides: vec![side(&["a", "b"]), side(&["c"])], ..Conditions::default() };
        for (from, to, expected) in [
            ("a", "b", true),
            ("a", "c", false),
            ("c", "a", false),
            ("a", "d", false),
            ("d", "e", true),
            ("c", "c", true),
        ] {
            assert_eq!(conditions.are_connected(from, to), expected, "{from} to {to}");
        }
    }

    #[test]
    fn messages_of_one_connection_follow_each_other() {
        let slow =
            LinkQuality { latency: Duration::from_millis(5), bandwidth_bytes_per_s: NonZeroU64::new(1000) };
        let mut conditions = Conditions { every_link: slow, ..Conditions::default() };
        let mut travel_ms = |leg, now_ms| {
            let now = Moment::from_start(Duration::from_millis(now_ms));
            conditions.send(leg, 100, now).after.as_millis()
        };
        assert_eq!(travel_ms(LEG, 0), 105);
        assert_eq!(travel_ms(LEG, 0), 205, "behind the first");
        assert_eq!(travel_ms(Leg { caller: "b", ..LEG }, 0), 105, "on another connection");
        assert_eq!(travel_ms(LEG, 1000), 105, "the connection was idle again");
    }
}
