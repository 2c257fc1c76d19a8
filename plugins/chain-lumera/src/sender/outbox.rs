//! What this account has sent and not yet heard of.
//!
//! Owns the one sequence of the account (wire 10.6, *Known weakness*: the reference keeps three of them, which collide) and
//! the transactions whose outcome is open, in memory. Asking the chain about them is the sender's part.

use crate::signing::Signed;
use lampkeeper_plugin_sdk::api::chain::TxReceipt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most transactions whose outcome may be open, and the most outcomes that are kept for whoever asks again.
pub(crate) const ENTRIES_MAX: usize = 256;

/// The hash of a message with its type, by which a repetition of it is recognised.
pub(crate) type MessageDigest = [u8; 32];

/// A transaction that may have reached the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) digest: MessageDigest,
    pub(crate) signed: Signed,
    pub(crate) sequence: u64,
    /// The last block that may execute it.
    pub(crate) timeout_height: i64,
    pub(crate) fee: u64,
}

enum Standing {
    /// Somebody waits for its outcome.
    Watched,
    /// Whoever sent it gave up, or is gone.
    Abandoned,
    /// It was executed after nobody waited any more.
    Executed(TxReceipt),
}

struct Entry {
    sent: Arc<Sent>,
    standing: Standing,
}

#[derive(Default)]
struct Inner {
    /// By the order in which they were added.
    entries: BTreeMap<u64, Entry>,
    added: u64,
    /// The sequence of the next transaction; only the chain knows it while nothing is open.
    next_sequence: Option<u64>,
}

impl Inner {
    fn is_open(entry: &Entry) -> bool {
        !matches!(entry.standing, Standing::Executed(_))
    }

    fn open_count(&self) -> usize {
        self.entries.values().filter(|entry| Self::is_open(entry)).count()
    }

    fn forget_sequence_if_idle(&mut self) {
        if self.open_count() == 0 {
            self.next_sequence = None;
        }
    }
}

/// All transactions of one account that are not settled.
#[derive(Clone, Default)]
pub(crate) struct Outbox {
    inner: Arc<Mutex<Inner>>,
}

/// What became of an earlier submission of the same message.
pub(crate) enum Earlier {
    /// It is open still; the caller goes on waiting for it.
    Open(Watch),
    /// It was executed.
    Executed(TxReceipt),
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sequence for the next transaction, if it is known without asking the chain.
    pub(crate) fn next_sequence(&self) -> Option<u64> {
        self.lock().next_sequence
    }

    /// The chain said which sequence it expects. It may be a smaller one than was thought: a transaction that the chain
    /// dropped leaves its sequence to the next (wire 10.6, *Known weakness*).
    pub(crate) fn set_next_sequence(&self, sequence: u64) {
        self.lock().next_sequence = Some(sequence);
    }

    /// Remembers a transaction that is about to be sent; `None` if too many are open.
    pub(crate) fn add(&self, sent: Sent) -> Option<Watch> {
        let mut inner = self.lock();
        if inner.open_count() >= ENTRIES_MAX {
            return None;
        }
        while inner.entries.len() >= 2 * ENTRIES_MAX {
            // Only kept outcomes are left to make room with; the oldest goes.
            let oldest = inner.entries.iter().find(|(_, entry)| !Inner::is_open(entry)).map(|(id, _)| *id);
            inner.entries.remove(&oldest?);
        }
        inner.added += 1;
        let (id, sent) = (inner.added, Arc::new(sent));
        inner.next_sequence = Some(sent.sequence.saturating_add(1));
        inner.entries.insert(id, Entry { sent: Arc::clone(&sent), standing: Standing::Watched });
        drop(inner);
        Some(Watch { outbox: self.clone(), id, sent })
    }

    /// An earlier submission of the same message that nobody waits for.
    pub(crate) fn earlier(&self, digest: &MessageDigest) -> Option<Earlier> {
        let mut inner = self.lock();
        let is_same =
            |entry: &Entry| entry.sent.digest == *digest && !matches!(entry.standing, Standing::Watched);
        let id = inner.entries.iter().find(|(_, entry)| is_same(entry)).map(|(id, _)| *id)?;
        let entry = inner.entries.get_mut(&id)?;
        match std::mem::replace(&mut entry.standing, Standing::Watched) {
            Standing::Executed(receipt) => {
                inner.entries.remove(&id);
                Some(Earlier::Executed(receipt))
            }
            Standing::Abandoned | Standing::Watched => {
                let sent = Arc::clone(&entry.sent);
                drop(inner);
                Some(Earlier::Open(Watch { outbox: self.clone(), id, sent }))
            }
        }
    }

    /// The transactions that nobody waits for, to be asked about. They are watched as long as the answer is held.
    pub(crate) fn abandoned(&self) -> Vec<Watch> {
        let mut inner = self.lock();
        let abandoned =
            inner.entries.iter_mut().filter(|(_, entry)| matches!(entry.standing, Standing::Abandoned));
        abandoned
            .map(|(id, entry)| {
                entry.standing = Standing::Watched;
                Watch { outbox: self.clone(), id: *id, sent: Arc::clone(&entry.sent) }
            })
            .collect()
    }

    /// The open transactions from a sequence on, in the order of their sequences.
    pub(crate) fn open_from(&self, sequence: u64) -> Vec<Arc<Sent>> {
        let inner = self.lock();
        let open = inner.entries.values().filter(|entry| Inner::is_open(entry));
        let mut sent: Vec<_> =
            open.map(|entry| Arc::clone(&entry.sent)).filter(|sent| sent.sequence >= sequence).collect();
        sent.sort_by_key(|sent| sent.sequence);
        sent
    }

    fn remove(&self, id: u64) {
        let mut inner = self.lock();
        inner.entries.remove(&id);
        inner.forget_sequence_if_idle();
    }
}

/// Waits for the outcome of a transaction. Dropping it means giving up: the transaction stays remembered.
pub(crate) struct Watch {
    outbox: Outbox,
    id: u64,
    sent: Arc<Sent>,
}

impl Watch {
    pub(crate) fn sent(&self) -> &Sent {
        &self.sent
    }

    /// The outcome is known to whoever waited.
    pub(crate) fn settle(self) {
        self.outbox.remove(self.id);
    }

    /// The chain refused to take the transaction: its sequence is free again.
    pub(crate) fn withdraw(self) {
        let sequence = self.sent.sequence;
        let mut inner = self.outbox.lock();
        inner.entries.remove(&self.id);
        let is_last = inner.next_sequence == Some(sequence.saturating_add(1));
        if is_last {
            inner.next_sequence = Some(sequence);
        }
        inner.forget_sequence_if_idle();
    }

    /// It was executed, and nobody waits: the receipt is kept for whoever submits the same message again.
    pub(crate) fn keep(self, receipt: TxReceipt) {
        let mut inner = self.outbox.lock();
        if let Some(entry) = inner.entries.get_mut(&self.id) {
            entry.standing = Standing::Executed(receipt);
        }
        inner.forget_sequence_if_idle();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut inner = self.outbox.lock();
        if let Some(entry) = inner.entries.get_mut(&self.id)
            && matches!(entry.standing, Standing::Watched)
        {
            entry.standing = Standing::Abandoned;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(digest: u8, sequence: u64) -> Sent {
        let signed = Signed { bytes: vec![digest], hash: format!("{digest:02X}") };
        Sent { digest: [digest; 32], signed, sequence, timeout_height: 10, fee: 1 }
    }

    #[test]
    fn the_sequence_is_known_only_while_something_is_open() {
        let outbox = Outbox::default();
        assert_eq!(outbox.next_sequence(), None);
        let first = outbox.add(sent(1, 5)).unwrap();
        let second = outbox.add(sent(2, 6)).unwrap();
        assert_eq!(outbox.next_sequence(), Some(7));
        second.withdraw();
        assert_eq!(outbox.next_sequence(), Some(6), "the refused one's sequence is free");
        first.settle();
        assert_eq!(outbox.next_sequence(), None, "from here on the chain's word counts");
    }

    #[test]
    fn an_earlier_one_that_is_settled_does_not_take_back_the_sequence() {
        let outbox = Outbox::default();
        let first = outbox.add(sent(1, 5)).unwrap();
        let _second = outbox.add(sent(2, 6)).unwrap();
        first.withdraw();
        assert_eq!(outbox.next_sequence(), Some(7));
    }

    #[test]
    fn a_repetition_finds_what_was_given_up_and_nothing_else() {
        let outbox = Outbox::default();
        let watched = outbox.add(sent(1, 5)).unwrap();
        assert!(outbox.earlier(&[1; 32]).is_none(), "two at once are two transactions");
        drop(watched);
        assert!(outbox.earlier(&[2; 32]).is_none());
        let Some(Earlier::Open(again)) = outbox.earlier(&[1; 32]) else { panic!("it is open") };
        assert!(outbox.earlier(&[1; 32]).is_none(), "it is watched again");
        again.keep(TxReceipt { height: 9, ..TxReceipt::default() });
        let Some(Earlier::Executed(receipt)) = outbox.earlier(&[1; 32]) else { panic!("it was executed") };
        assert_eq!(receipt.height, 9);
        assert!(outbox.earlier(&[1; 32]).is_none(), "an outcome is told once");
    }

    #[test]
    fn there_is_a_bound_on_what_is_open_and_on_what_is_kept() {
        let outbox = Outbox::default();
        for number in 0..3 * ENTRIES_MAX as u64 {
            outbox.add(sent(7, number)).unwrap().keep(TxReceipt::default());
        }
        assert!(outbox.lock().entries.len() <= 2 * ENTRIES_MAX);
        let watches: Vec<_> =
            (0..ENTRIES_MAX as u64).map(|number| outbox.add(sent(8, number)).unwrap()).collect();
        assert!(outbox.add(sent(9, 0)).is_none());
        drop(watches);
        assert_eq!(outbox.abandoned().len(), ENTRIES_MAX);
    }

    #[test]
    fn what_the_chain_dropped_is_found_in_order() {
        let outbox = Outbox::default();
        let _watches: Vec<_> =
            [7, 5, 6].into_iter().map(|number| outbox.add(sent(1, number)).unwrap()).collect();
        let sequences: Vec<_> = outbox.open_from(6).iter().map(|sent| sent.sequence).collect();
        assert_eq!(sequences, [6, 7]);
    }
}
