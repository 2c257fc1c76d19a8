//! From a candidate to evidence on the chain: challenge, write down, submit, mark (wire 6.3, 6.4).
//!
//! Owns the order of these steps and what failures cost. The evidence is in the journal before it is submitted, so that a
//! crash at any point leads to the same message being submitted again, never to a second challenge or to lost evidence.

use crate::candidate::Candidate;
use crate::config::Config;
use crate::reaction::{Reaction, reaction, submitted_class};
use lampkeeper_plugin_sdk::api::chain::{ChainClient, ChainMessage, PageRequest, RecheckEvidenceMessage};
use lampkeeper_plugin_sdk::api::challenge::{ChallengeOutcome, ChallengeRequest, Challenger};
use lampkeeper_plugin_sdk::api::journal::{
    Journal, JournalError, RecheckFailures, RecheckSubmission, Recorded, SubmissionStatus,
};
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::{EpochId, TicketId};
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// How long a final refusal is remembered, in seconds. By then the epoch has left the window of any sensible chain; if
/// not, one more refusal is the cost.
const REFUSAL_MEMORY_S: i64 = 7 * 24 * 3600;
/// Executed evidence that is remembered beside the journal; that of the latest epochs stays.
const EXECUTED_MAX: usize = 4096;

/// Makes evidence.
pub(crate) struct Evidence {
    pub(crate) config: Config,
    pub(crate) chain: Arc<dyn ChainClient>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) challenger: Arc<dyn Challenger>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    /// What the chain has executed and a failing journal may still hold as pending: nothing is paid for twice.
    pub(crate) executed: Mutex<BTreeSet<(EpochId, TicketId)>>,
}

/// Where a recheck failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The challenge could not be made, or its outcome not established.
    Challenge,
    /// There is nothing to challenge any more.
    NotEligible,
    /// The outcome is none that the chain takes.
    Outcome,
    /// The target passes, and that contradicts nobody.
    NoContradiction,
    /// The chain did not take the evidence.
    Submit,
    /// The chain refused what the evidence is about.
    Refused,
}

impl Stage {
    /// The name in events and metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::NotEligible => "not_eligible",
            Self::Outcome => "outcome",
            Self::NoContradiction => "no_contradiction",
            Self::Submit => "submit",
            Self::Refused => "refused",
        }
    }
}

/// A step that failed.
struct Failure {
    stage: Stage,
    reason: String,
}

impl Evidence {
    /// Rechecks one candidate. What goes wrong with it is counted against it; only a journal that fails is an error.
    pub(crate) async fn make(&self, candidate: &Candidate) -> Result<(), JournalError> {
        let submission = match self.challenge(candidate).await {
            Ok(submission) => submission,
            Err(failure) => {
                let (epoch_id, ticket_id) = (candidate.epoch_id, &candidate.ticket_id);
                return self.fail(epoch_id, ticket_id, &candidate.target, &failure).await;
            }
        };
        match self.journal.insert_recheck(&submission).await? {
            Recorded::New => self.submit(&submission).await.map(drop),
            Recorded::AlreadyRecorded => Ok(()),
        }
    }

    async fn challenge(&self, candidate: &Candidate) -> Result<RecheckSubmission, Failure> {
        let request = ChallengeRequest {
            epoch_id: candidate.epoch_id,
            target_account: candidate.target.clone(),
            ticket_id: candidate.ticket_id.clone(),
            bucket: Bucket::Recheck,
            repeated: Some(candidate.artifact.clone()),
        };
        let (observation, row) = match self.challenger.challenge(request).await {
            Ok(ChallengeOutcome::Row { observation, row }) => (observation, row),
            Ok(ChallengeOutcome::NotEligible { reason }) => {
                return Err(Failure { stage: Stage::NotEligible, reason });
            }
            Err(error) => return Err(Failure { stage: Stage::Challenge, reason: error.to_string() }),
        };
        let outcome = |reason: String| Failure { stage: Stage::Outcome, reason };
        if row.target_supernode_account != candidate.target || row.ticket_id != candidate.ticket_id {
            let about = format!("{} of {}", row.ticket_id, row.target_supernode_account);
            return Err(outcome(format!("the row is about ticket {about}")));
        }
        let result_class = submitted_class(observation, row.result_class)
            .filter(|_| !row.transcript_hash.is_empty())
            .ok_or_else(|| {
                outcome(format!("a {} row for {} can't be submitted", row.result_class, observation.name()))
            })?;
        if result_class == ResultClass::Pass
            && let Some(reason) = self.why_no_contradiction(candidate).await?
        {
            return Err(Failure { stage: Stage::NoContradiction, reason });
        }
        Ok(RecheckSubmission {
            epoch_id: candidate.epoch_id,
            ticket_id: candidate.ticket_id.clone(),
            target_account: candidate.target.clone(),
            challenged_transcript_hash: candidate.transcript_hash.clone(),
            recheck_transcript_hash: row.transcript_hash.clone(),
            result_class,
            status: SubmissionStatus::Pending,
            recorded_at_s: self.now_s(),
        })
    }

    /// Why a target that passes now says nothing about the failure that was reported; `None` if it contradicts it.
    ///
    /// The chain takes a PASS as proof that the original reporter was wrong (chain 8, effect 4). It is none when the
    /// artifact may have been put back since, or when the target was merely away.
    async fn why_no_contradiction(&self, candidate: &Candidate) -> Result<Option<String>, Failure> {
        if candidate.class == ResultClass::TimeoutOrNoResponse {
            return Ok(Some(
                "the target answers now; that it did not then may be true all the same".to_owned(),
            ));
        }
        let mut next = Some(PageRequest::default());
        while let Some(request) = next {
            let page = self.chain.heal_ops_by_ticket(&candidate.ticket_id, request.clone()).await;
            let page =
                page.map_err(|error| Failure { stage: Stage::Challenge, reason: error.to_string() })?;
            next = request.after(&page);
            let since = page
                .items
                .iter()
                .find(|op| op.deadline_epoch_id >= candidate.epoch_id || !op.status.is_final());
            if let Some(op) = since {
                let id = op.heal_op_id;
                return Ok(Some(format!("heal operation {id} may have put the artifact back since")));
            }
        }
        Ok(None)
    }

    /// Submits what the journal holds as pending; whether the row is settled.
    pub(crate) async fn submit(&self, submission: &RecheckSubmission) -> Result<bool, JournalError> {
        let (epoch_id, ticket_id) = (submission.epoch_id, &submission.ticket_id);
        if self.is_executed(submission) {
            self.journal.mark_recheck_submitted(epoch_id, ticket_id, self.now_s()).await?;
            return Ok(true);
        }
        let outcome = self.chain.submit(ChainMessage::RecheckEvidence(message(submission))).await;
        let reaction = reaction(&outcome);
        match reaction {
            Reaction::MarkSubmitted | Reaction::MarkEarlierSubmitted => {
                self.note_executed(submission);
                self.journal.mark_recheck_submitted(epoch_id, ticket_id, self.now_s()).await?;
            }
            Reaction::Keep => {}
            Reaction::Forget => {
                self.journal.delete_recheck(epoch_id, ticket_id).await?;
            }
            Reaction::GiveUp => {
                // Remembered first: a crash in between costs one more refusal, not one at every look.
                self.give_up(submission, &outcome).await?;
                self.journal.delete_recheck(epoch_id, ticket_id).await?;
            }
        }
        match outcome {
            Ok(receipt) => self.tell_submitted(submission, receipt.height),
            Err(_) if reaction == Reaction::MarkEarlierSubmitted => {
                self.telemetry.count("recheck_already_submitted_total", &[], 1);
            }
            Err(error) => {
                let stage = if reaction == Reaction::GiveUp { Stage::Refused } else { Stage::Submit };
                let failure = Failure { stage, reason: error.to_string() };
                self.fail(epoch_id, ticket_id, &submission.target_account, &failure).await?;
            }
        }
        Ok(reaction != Reaction::Keep)
    }

    fn is_executed(&self, submission: &RecheckSubmission) -> bool {
        let executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
        executed.contains(&(submission.epoch_id, submission.ticket_id.clone()))
    }

    fn note_executed(&self, submission: &RecheckSubmission) {
        let mut executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
        executed.insert((submission.epoch_id, submission.ticket_id.clone()));
        if executed.len() > EXECUTED_MAX {
            executed.pop_first();
        }
    }

    /// Uses up the whole budget of an epoch's ticket.
    async fn give_up<T, E: std::fmt::Display>(
        &self,
        submission: &RecheckSubmission,
        outcome: &Result<T, E>,
    ) -> Result<(), JournalError> {
        let failures = RecheckFailures {
            epoch_id: submission.epoch_id,
            ticket_id: submission.ticket_id.clone(),
            target_account: submission.target_account.clone(),
            attempts: 0,
            last_error: outcome.as_ref().err().map(ToString::to_string).unwrap_or_default(),
            expires_at_s: self.now_s().saturating_add(REFUSAL_MEMORY_S),
        };
        for _ in 0..self.config.max_failure_attempts_per_ticket {
            self.journal.record_recheck_failure(&failures).await?;
        }
        Ok(())
    }

    /// Counts a failed attempt.
    async fn fail(
        &self,
        epoch_id: u64,
        ticket_id: &str,
        target: &str,
        failure: &Failure,
    ) -> Result<(), JournalError> {
        self.telemetry.count("recheck_failures_total", &[("stage", failure.stage.name())], 1);
        let event = Event::new("recheck.failed")
            .with("epoch_id", epoch_id)
            .with("ticket_id", ticket_id)
            .with("stage", failure.stage.name())
            .with("reason", &failure.reason);
        self.telemetry.event(event);
        if failure.stage == Stage::Refused {
            return Ok(()); // the budget is used up already, for longer
        }
        let failures = RecheckFailures {
            epoch_id,
            ticket_id: ticket_id.to_owned(),
            target_account: target.to_owned(),
            attempts: 1,
            last_error: failure.reason.clone(),
            expires_at_s: self.now_s().saturating_add(self.config.failure_memory_s()),
        };
        self.journal.record_recheck_failure(&failures).await.map(drop)
    }

    fn tell_submitted(&self, submission: &RecheckSubmission, height: i64) {
        let class = submission.result_class.name();
        self.telemetry.count("recheck_submissions_total", &[("class", class)], 1);
        let event = Event::new("recheck.submitted")
            .with("epoch_id", submission.epoch_id)
            .with("ticket_id", &submission.ticket_id)
            .with("target", &submission.target_account)
            .with("class", class)
            .with("height", height);
        self.telemetry.event(event);
    }

    fn now_s(&self) -> i64 {
        self.scheduler.wall_clock_ms() / 1000
    }
}

/// The message of a submission: the same one each time, so that it may be sent again.
fn message(submission: &RecheckSubmission) -> RecheckEvidenceMessage {
    RecheckEvidenceMessage {
        epoch_id: submission.epoch_id,
        challenged_supernode_account: submission.target_account.clone(),
        ticket_id: submission.ticket_id.clone(),
        challenged_result_transcript_hash: submission.challenged_transcript_hash.clone(),
        recheck_transcript_hash: submission.recheck_transcript_hash.clone(),
        recheck_result_class: submission.result_class,
        details: format!("recheck: {}", submission.result_class),
    }
}
