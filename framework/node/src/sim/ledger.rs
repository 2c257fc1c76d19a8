//! What was seen during a run: submissions, publications, faults that took effect, and every rule that was broken.
//!
//! Owns the record. Rules about the state after a block are in `invariants`, the one about repeated messages in
//! `submissions`.

use super::submissions::{Submissions, submission_key};
use lampkeeper_api::Account;
use lampkeeper_api::chain::{ChainError, ChainMessage};
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
    /// Artifacts that a crash tore since the last look, by the name of the node.
    torn: Vec<(String, ArtifactKey)>,
    submissions: Submissions,
    /// Faults that took effect, by kind.
    faults: BTreeMap<&'static str, u64>,
    /// Whether the storm has begun: defects wait for it.
    is_stormy: bool,
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

    /// Files are stored; from now on things go wrong.
    pub fn begin_storm(&self) {
        self.lock().is_stormy = true;
    }

    /// Whether things may go wrong.
    pub fn is_stormy(&self) -> bool {
        self.lock().is_stormy
    }

    /// Appends a line to the trace.
    pub fn note(&self, line: impl FnOnce() -> String) {
        let mut entries = self.lock();
        let height = entries.height;
        if let Some(trace) = entries.trace.as_mut() {
            trace.push(format!("{height:>5} {}", line()));
        }
    }

    /// Counts a fault that took effect.
    pub fn fault(&self, kind: &'static str) {
        self.faults(kind, 1);
    }

    /// Counts faults that took effect.
    pub fn faults(&self, kind: &'static str, count: u64) {
        if count > 0 {
            *self.lock().faults.entry(kind).or_default() += count;
        }
    }

    /// The faults so far, by kind.
    pub fn fault_counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().faults.clone()
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

    /// A node begins to submit; it must not if it can know that the chain has this already.
    pub fn submitting(&self, node: &str, account: &str, message: &ChainMessage) -> Submitting {
        let key = submission_key(message);
        if let Some(key) = &key {
            self.note(|| format!("{node} submits {key}"));
            let problem = self.lock().submissions.begin(account, key);
            if let Some(problem) = problem {
                self.violate("submitted-once", node, format!("{key} again, {problem}"));
            }
        }
        Submitting { ledger: self.clone(), account: account.to_owned(), key }
    }

    /// A node has written down that a message was executed.
    pub fn written_down(&self, account: &str, key: String) {
        self.lock().submissions.written_down(account, key);
    }

    /// How many messages were submitted.
    pub fn submission_count(&self) -> u64 {
        self.lock().submissions.begun_count()
    }

    /// A node has crashed.
    pub fn forget_life(&self, account: &str) {
        self.lock().submissions.forget_life(account);
    }

    /// A node sends artifacts to others to keep.
    pub fn sent(&self, account: &str, keys: Vec<ArtifactKey>) {
        self.lock().sent.push((account.to_owned(), keys));
    }

    /// Takes what was sent since the last call.
    pub fn take_sent(&self) -> Vec<(Account, Vec<ArtifactKey>)> {
        std::mem::take(&mut self.lock().sent)
    }

    /// A crash left an artifact torn.
    pub fn torn(&self, node: &str, key: ArtifactKey) {
        self.lock().torn.push((node.to_owned(), key));
    }

    /// Takes what was torn since the last call.
    pub fn take_torn(&self) -> Vec<(String, ArtifactKey)> {
        std::mem::take(&mut self.lock().torn)
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

/// A submission that is under way; dropped without an end, its caller never learns what became of it.
pub struct Submitting {
    ledger: Ledger,
    account: Account,
    key: Option<String>,
}

impl Submitting {
    /// The caller is told the outcome.
    pub fn end(mut self, error: Option<&ChainError>) {
        if let Some(key) = self.key.take() {
            self.ledger.lock().submissions.end(&self.account, &key, Some(error));
        }
    }
}

impl Drop for Submitting {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.ledger.lock().submissions.end(&self.account, &key, None);
        }
    }
}
