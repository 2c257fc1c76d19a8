//! Which messages a node may submit, over all of its lives.
//!
//! Owns the rule `submitted-once`: what the chain has executed is submitted again only by a node that can't know it. A
//! second copy is refused and its fee is lost, and that is what the chain punishes.

use lampkeeper_api::Account;
use lampkeeper_api::chain::{ChainError, ChainMessage, RejectionReason};
use std::collections::BTreeMap;

/// What makes a submission the same as another one of the same account.
pub fn submission_key(message: &ChainMessage) -> Option<String> {
    match message {
        ChainMessage::EpochReport(report) => Some(report_key(report.epoch_id)),
        ChainMessage::RecheckEvidence(evidence) => Some(recheck_key(evidence.epoch_id, &evidence.ticket_id)),
        ChainMessage::HealClaim(claim) => Some(claim_key(claim.heal_op_id)),
        ChainMessage::HealVerification(vote) => Some(vote_key(vote.heal_op_id)),
        _ => None,
    }
}

fn report_key(epoch_id: u64) -> String {
    format!("epoch report {epoch_id}")
}

/// The key of a recheck.
pub fn recheck_key(epoch_id: u64, ticket_id: &str) -> String {
    format!("recheck of epoch {epoch_id} ticket {ticket_id}")
}

/// The key of a claim.
pub fn claim_key(heal_op_id: u64) -> String {
    format!("claim of heal {heal_op_id}")
}

/// The key of a vote.
pub fn vote_key(heal_op_id: u64) -> String {
    format!("vote on heal {heal_op_id}")
}

/// What a node knows about one of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    /// Nothing that keeps it from submitting: it never did, was refused, or can't know the outcome.
    Open,
    /// It is being submitted.
    UnderWay,
    /// This life was told that the chain has executed it.
    Told,
    /// That is written down: every later life knows it.
    WrittenDown,
}

/// What every node knows about its messages.
#[derive(Debug, Default)]
pub struct Submissions {
    known: BTreeMap<(Account, String), Knowledge>,
    begun_count: u64,
}

impl Submissions {
    /// A node begins to submit; why it must not, if so.
    pub fn begin(&mut self, account: &str, key: &str) -> Option<&'static str> {
        self.begun_count += 1;
        let known = self.known.entry((account.to_owned(), key.to_owned())).or_insert(Knowledge::Open);
        match *known {
            Knowledge::Open => {
                *known = Knowledge::UnderWay;
                None
            }
            Knowledge::UnderWay => Some("while it is being submitted"),
            Knowledge::Told => Some("after it was told that it was executed"),
            Knowledge::WrittenDown => Some("after it was written down as executed"),
        }
    }

    /// A submission has ended; `None` if its caller has gone.
    pub fn end(&mut self, account: &str, key: &str, error: Option<Option<&ChainError>>) {
        let now = match error {
            Some(None) => Knowledge::Told,
            Some(Some(error)) if is_repetition(error) => Knowledge::Told,
            Some(Some(_)) | None => Knowledge::Open,
        };
        if let Some(known) = self.known.get_mut(&(account.to_owned(), key.to_owned()))
            && *known != Knowledge::WrittenDown
        {
            *known = now;
        }
    }

    /// A node has written down that a message was executed.
    pub fn written_down(&mut self, account: &str, key: String) {
        self.known.insert((account.to_owned(), key), Knowledge::WrittenDown);
    }

    /// A node has crashed: what it was told and did not write down is gone.
    pub fn forget_life(&mut self, account: &str) {
        for ((owner, _), known) in &mut self.known {
            if owner == account && *known != Knowledge::WrittenDown {
                *known = Knowledge::Open;
            }
        }
    }

    /// How many submissions were begun.
    pub const fn begun_count(&self) -> u64 {
        self.begun_count
    }
}

/// Whether the chain refused because it has the message already: that is as good as being told.
fn is_repetition(error: &ChainError) -> bool {
    let ChainError::Rejected(rejection) = error else { return false };
    matches!(
        rejection.reason,
        RejectionReason::VerificationAlreadySubmitted
            | RejectionReason::DuplicateReport
            | RejectionReason::RecheckAlreadySubmitted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Option<Option<&ChainError>> = Some(None);

    #[test]
    fn a_message_may_be_repeated_until_its_execution_is_known() {
        let lost =
            ChainError::Transient { attempted: String::new(), source: String::new(), outcome_unknown: true };
        let mut submissions = Submissions::default();
        let mut submit = |outcome| {
            let refusal = submissions.begin("a", "vote on heal 3");
            submissions.end("a", "vote on heal 3", outcome);
            refusal
        };
        assert_eq!(submit(Some(Some(&lost))), None);
        assert_eq!(submit(None), None, "a life may end meanwhile");
        assert_eq!(submit(OK), None);
        assert!(submit(OK).is_some());
        assert_eq!(submissions.begin("b", "vote on heal 3"), None, "another node's");
        assert!(submissions.begin("b", "vote on heal 3").is_some(), "twice at once");
        assert_eq!(submissions.begun_count(), 6);
    }

    #[test]
    fn a_new_life_knows_what_was_written_down() {
        let mut submissions = Submissions::default();
        let claim = claim_key(4);
        for is_written_down in [false, true] {
            assert_eq!(submissions.begin("a", &claim), None);
            submissions.end("a", &claim, OK);
            if is_written_down {
                submissions.written_down("a", claim.clone());
            }
            submissions.forget_life("a");
        }
        assert!(submissions.begin("a", &claim).is_some_and(|reason| reason.contains("written down")));
    }
}
