//! What was seen during a run: submissions, publications, what happened, and every rule that was broken.
//!
//! Owns the record and the rules that can be judged at the moment of a call. Rules about the state after a block are in
//! `invariants`.

use lampkeeper_api::Account;
use lampkeeper_api::chain::ChainMessage;
use lampkeeper_protocol::artifact_key::ArtifactKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Violations that are kept; the first one is what matters.
const VIOLATIONS_MAX: usize = 20;

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: &'static str,
    /// After which block.
    pub height: i64,
    /// By which node, or empty.
    pub node: String,
    /// How.
    pub details: String,
}

/// The record of a run. Clones share it.
#[derive(Clone, Default)]
pub struct Ledger {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Default)]
struct Entries {
    height: i64,
    violations: Vec<Violation>,
    trace: Option<Vec<String>>,
    /// Operations by healer whose publication was told.
    published: BTreeSet<u64>,
    /// Keys that each node sent to others to keep since the last look.
    sent: Vec<(Account, Vec<ArtifactKey>)>,
    /// What this life of a node knows to be executed, by account.
    settled: BTreeMap<Account, BTreeSet<String>>,
    submissions: u64,
}

/// What makes a submission the same as another one of the same account.
fn submission_key(message: &ChainMessage) -> Option<String> {
    match message {
        ChainMessage::EpochReport(report) => Some(format!("epoch report {}", report.epoch_id)),
        ChainMessage::RecheckEvidence(evidence) => {
            Some(format!("recheck of epoch {} ticket {}", evidence.epoch_id, evidence.ticket_id))
        }
        ChainMessage::HealClaim(claim) => Some(format!("claim of heal {}", claim.heal_op_id)),
        ChainMessage::HealVerification(vote) => Some(format!("vote on heal {}", vote.heal_op_id)),
        _ => None,
    }
}

impl Ledger {
    /// An empty record.
    pub fn new(keeps_trace: bool) -> Self {
        let ledger = Self::default();
        ledger.lock().trace = keeps_trace.then(Vec::new);
        ledger
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The block that was made last.
    pub fn set_height(&self, height: i64) {
        self.lock().height = height;
    }

    /// Appends a line to the trace.
    pub fn note(&self, line: impl FnOnce() -> String) {
        let mut entries = self.lock();
        let height = entries.height;
        if let Some(trace) = entries.trace.as_mut() {
            trace.push(format!("{height:>5} {}", line()));
        }
    }

    /// Records a broken rule.
    pub fn violate(&self, rule: &'static str, node: &str, details: String) {
        self.note(|| format!("VIOLATION {rule} {node}: {details}"));
        let mut entries = self.lock();
        if entries.violations.len() < VIOLATIONS_MAX {
            let height = entries.height;
            entries.violations.push(Violation { rule, height, node: node.to_owned(), details });
        }
    }

    /// The broken rules so far, in order.
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    /// The trace so far; empty if it is not kept.
    pub fn trace(&self) -> Vec<String> {
        self.lock().trace.clone().unwrap_or_default()
    }

    /// A node begins to submit. It must not if it has been told that the chain has this already.
    pub fn submitting(&self, node: &str, account: &str, message: &ChainMessage) {
        let Some(key) = submission_key(message) else { return };
        let is_settled = {
            let mut entries = self.lock();
            entries.submissions += 1;
            entries.settled.get(account).is_some_and(|settled| settled.contains(&key))
        };
        self.note(|| format!("{node} submits {key}"));
        if is_settled {
            self.violate("submitted-once", node, format!("{key} again, after it was executed"));
        }
    }

    /// A node was told that its message was executed.
    pub fn executed(&self, account: &str, message: &ChainMessage) {
        if let Some(key) = submission_key(message) {
            self.lock().settled.entry(account.to_owned()).or_default().insert(key);
        }
    }

    /// How many messages were submitted.
    pub fn submissions(&self) -> u64 {
        self.lock().submissions
    }

    /// A node has crashed: what it was told and did not write down is gone.
    pub fn forget_life(&self, account: &str) {
        self.lock().settled.remove(account);
    }

    /// A node sends artifacts to others to keep.
    pub fn sent(&self, account: &str, keys: Vec<ArtifactKey>) {
        self.lock().sent.push((account.to_owned(), keys));
    }

    /// Takes what was sent since the last call.
    pub fn take_sent(&self) -> Vec<(Account, Vec<ArtifactKey>)> {
        std::mem::take(&mut self.lock().sent)
    }

    /// An operation's artifacts were published.
    pub fn published(&self, heal_op_id: u64) {
        self.lock().published.insert(heal_op_id);
    }

    /// Whether an operation's artifacts were published.
    pub fn is_published(&self, heal_op_id: u64) -> bool {
        self.lock().published.contains(&heal_op_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_api::chain::HealClaimMessage;

    fn claim(heal_op_id: u64) -> ChainMessage {
        ChainMessage::HealClaim(HealClaimMessage {
            heal_op_id,
            ticket_id: "1".to_owned(),
            heal_manifest_hash: "hash".to_owned(),
            details: String::new(),
        })
    }

    #[test]
    fn a_message_may_be_repeated_until_its_execution_is_known() {
        let ledger = Ledger::new(true);
        ledger.set_height(7);
        ledger.submitting("n1", "a1", &claim(3));
        ledger.submitting("n1", "a1", &claim(3));
        ledger.executed("a1", &claim(3));
        ledger.submitting("n2", "a2", &claim(3));
        ledger.submitting("n1", "a1", &claim(4));
        assert_eq!(ledger.violations(), []);
        ledger.submitting("n1", "a1", &claim(3));
        let broken = ledger.violations();
        assert_eq!(broken.len(), 1, "{broken:?}");
        assert_eq!((broken[0].rule, broken[0].height, &*broken[0].node), ("submitted-once", 7, "n1"));
        ledger.forget_life("a1");
        ledger.submitting("n1", "a1", &claim(3));
        assert_eq!(ledger.violations().len(), 1, "a new life has to be told anew");
        assert_eq!(ledger.trace().len(), 7);
    }
}
