//! The verifier's phase: stream the healer's file, hash it, vote (wire 5.8).
//!
//! A vote is yes only if the bytes hash to what the healer claimed *and* that is the ticket's data hash. It is no only
//! for the healer's faults. Everything else is no vote at all.

use crate::deadline::{in_time, is_too_late};
use crate::fetch::{FetchFailure, FetchedFile, PossibleSize};
use crate::node::{LocalError, Node};
use crate::reconcile::{PendingVote, VoteError, pending_vote, vote_error};
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::{
    ChainMessage, HealOp, HealOpStatus, HealVerificationMessage, Ticket,
};
use lampkeeper_plugin_sdk::api::journal::{HealVerification, Recorded, SubmissionStatus};
use lampkeeper_plugin_sdk::api::scheduler::sleep_unless_cancelled;
use lampkeeper_plugin_sdk::futures::future::{Either, select};
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::heal::NegativeReason;
use std::pin::pin;

/// Looks at which a healer has to refuse, each with all its attempts, before that becomes a no.
const REFUSALS_BEFORE_NO: u32 = 3;

/// A vote that is about to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Vote {
    verified: bool,
    verification_hash: String,
    details: String,
    streamed_bytes: u64,
}

impl Vote {
    /// What the hash of the streamed bytes demands.
    fn on(file: &FetchedFile, result_hash: &str, data_hash: &str) -> Self {
        let verified = file.data_hash == result_hash && file.data_hash == data_hash;
        let details = if verified { "" } else { NegativeReason::HashMismatch.word() };
        Self {
            verified,
            verification_hash: file.data_hash.clone(),
            details: details.to_owned(),
            streamed_bytes: file.len_bytes,
        }
    }

    /// A no for a file that could not be had.
    fn fetch_failed(reason: &str) -> Self {
        Self {
            verified: false,
            verification_hash: NegativeReason::FetchFailed.attestation_hash(),
            details: format!("{}:{reason}", NegativeReason::FetchFailed.word()),
            streamed_bytes: 0,
        }
    }
}

impl Node {
    /// Verifies one operation, unless this node has voted.
    pub(crate) async fn verify(&self, heal_op: &HealOp, shutdown: &Cancel) -> Result<(), LocalError> {
        let _permit = self.verify_permits.acquire().await;
        let heal_op_id = heal_op.heal_op_id;
        let result_hash = heal_op.result_hash.trim();
        if shutdown.is_cancelled() {
            return Ok(());
        }
        if let Some(row) = self.journal.verification(heal_op_id, &self.account).await? {
            let decision = pending_vote(row.verified, &row.verification_hash, result_hash);
            match (row.status, decision) {
                (SubmissionStatus::Pending, _) if self.heard.is_vote_executed(heal_op_id) => {
                    // The journal failed when it was told; it is told again, and nothing is paid for twice.
                    self.count_reconciled("verifier", "promote");
                    self.journal.mark_verification_submitted(heal_op_id, &self.account, self.now_s()).await?;
                    return Ok(());
                }
                (SubmissionStatus::Submitted, _) => {
                    self.count("self_healing_deduplicated_total", "role", "verifier");
                    return Ok(());
                }
                (SubmissionStatus::Pending, PendingVote::Resubmit) => {
                    self.count_reconciled("verifier", "resubmit");
                    let vote = Vote {
                        verified: true,
                        verification_hash: row.verification_hash,
                        details: String::new(),
                        streamed_bytes: 0,
                    };
                    return self.submit_vote(heal_op, &vote).await;
                }
                (SubmissionStatus::Pending, PendingVote::Repeat) => {
                    self.count_reconciled("verifier", "restart");
                    self.journal.delete_verification(heal_op_id, &self.account).await?;
                }
            }
        }
        if let Some(vote) = self.examine(heal_op, result_hash, shutdown).await {
            self.record_vote(heal_op, &vote).await?;
        }
        Ok(())
    }

    /// Looks at the healer's file; `None` if nothing can be said about it.
    async fn examine(&self, heal_op: &HealOp, result_hash: &str, shutdown: &Cancel) -> Option<Vote> {
        let heal_op_id = heal_op.heal_op_id;
        let no_vote = |reason: &str| {
            self.note_failure(heal_op_id);
            self.tell_failure(heal_op_id, &heal_op.ticket_id, "verify", reason);
            None
        };
        if result_hash.is_empty() {
            return no_vote("the operation has no result hash");
        }
        if is_too_late(&self.chain, heal_op).await {
            self.count("self_healing_past_deadline_total", "role", "verifier");
            return None;
        }
        let ticket = match self.chain.ticket(&heal_op.ticket_id).await {
            Ok(ticket) => ticket,
            Err(error) => return no_vote(&error.to_string()),
        };
        let begun = self.scheduler.now();
        let fetch = pin!(self.fetch(heal_op, &ticket, shutdown));
        let work = select(shutdown.cancelled(), fetch);
        let examined = in_time(&self.chain, heal_op, self.config.poll_interval(), work).await;
        self.telemetry.observe("self_healing_fetch_seconds", &[], self.seconds_since(begun));
        match examined {
            Some(Either::Right((Ok(file), _))) => Some(Vote::on(&file, result_hash, ticket.data_hash.trim())),
            Some(Either::Right((Err(FetchFailure::Healers(reason)), _))) => Some(Vote::fetch_failed(&reason)),
            Some(Either::Right((Err(FetchFailure::Unreachable(reason)), _))) => {
                if self.is_connected(&heal_op.healer_supernode_account).await {
                    return Some(Vote::fetch_failed(&reason));
                }
                no_vote(&format!("{reason}; this node reaches nobody else either"))
            }
            Some(Either::Right((Err(FetchFailure::Refused(reason)), _))) => {
                if self.failure_count(heal_op_id) + 1 >= REFUSALS_BEFORE_NO {
                    return Some(Vote::fetch_failed(&reason));
                }
                no_vote(&reason)
            }
            Some(Either::Right((Err(FetchFailure::Ours(reason)), _))) => no_vote(&reason),
            Some(Either::Left(_)) => None,
            None => no_vote("the operation's deadline came before the end of the file"),
        }
    }

    /// Fetches with as many attempts as allowed, waiting longer after each.
    async fn fetch(
        &self,
        heal_op: &HealOp,
        ticket: &Ticket,
        shutdown: &Cancel,
    ) -> Result<FetchedFile, FetchFailure> {
        let size = PossibleSize::of_kib(ticket.file_size_kbs);
        let mut attempt = 0;
        loop {
            let failure = match self.fetch_once(heal_op, size).await {
                Ok(file) => return Ok(file),
                // Nothing that another attempt within seconds would mend.
                Err(failure @ FetchFailure::Ours(_)) => return Err(failure),
                Err(failure) => failure,
            };
            let backoff = self.config.backoff_after(attempt);
            attempt += 1;
            if attempt >= self.config.verifier_fetch_attempts
                || !sleep_unless_cancelled(&*self.scheduler, backoff, shutdown).await
            {
                return Err(failure);
            }
        }
    }

    /// Writes a vote down and submits it, unless the operation has moved on meanwhile.
    async fn record_vote(&self, heal_op: &HealOp, vote: &Vote) -> Result<(), LocalError> {
        let heal_op_id = heal_op.heal_op_id;
        let is_open = match self.chain.heal_op(heal_op_id).await {
            Ok(now) => now.status == HealOpStatus::HealerReported && now.result_hash == heal_op.result_hash,
            // The chain decides when it can be reached; the vote itself is true.
            Err(error) => error.is_transient(),
        };
        if !is_open || is_too_late(&self.chain, heal_op).await {
            self.count("self_healing_past_deadline_total", "role", "verifier");
            return Ok(());
        }
        let row = HealVerification {
            heal_op_id,
            verifier_account: self.account.clone(),
            verified: vote.verified,
            verification_hash: vote.verification_hash.clone(),
            status: SubmissionStatus::Pending,
            recorded_at_s: self.now_s(),
        };
        match self.journal.insert_verification(&row).await? {
            Recorded::New => self.submit_vote(heal_op, vote).await,
            Recorded::AlreadyRecorded => {
                self.count("self_healing_deduplicated_total", "role", "verifier");
                Ok(())
            }
        }
    }

    /// Submits a vote that is written down.
    async fn submit_vote(&self, heal_op: &HealOp, vote: &Vote) -> Result<(), LocalError> {
        let heal_op_id = heal_op.heal_op_id;
        if is_too_late(&self.chain, heal_op).await {
            self.count("self_healing_past_deadline_total", "role", "verifier");
            return Ok(());
        }
        let message = ChainMessage::HealVerification(HealVerificationMessage {
            heal_op_id,
            verified: vote.verified,
            verification_hash: vote.verification_hash.clone(),
            details: vote.details.clone(),
        });
        match self.submit(message).await {
            Ok(receipt) => {
                self.heard.vote_executed(heal_op_id);
                self.journal.mark_verification_submitted(heal_op_id, &self.account, self.now_s()).await?;
                self.tell_vote(heal_op, vote, receipt.height);
                self.forget_failures(heal_op_id);
            }
            Err(error) => {
                self.telemetry.count("self_healing_votes_total", &[("result", error.kind())], 1);
                self.tell_failure(heal_op_id, &heal_op.ticket_id, "vote", &error.to_string());
                match vote_error(&error) {
                    VoteError::Keep => {}
                    VoteError::Promote => {
                        self.heard.vote_executed(heal_op_id);
                        self.journal
                            .mark_verification_submitted(heal_op_id, &self.account, self.now_s())
                            .await?;
                    }
                    VoteError::Forget => {
                        self.journal.delete_verification(heal_op_id, &self.account).await?;
                        self.note_failure(heal_op_id);
                    }
                }
            }
        }
        Ok(())
    }

    fn tell_vote(&self, heal_op: &HealOp, vote: &Vote, height: i64) {
        let result = if vote.verified { "yes" } else { "no" };
        self.telemetry.count("self_healing_votes_total", &[("result", result)], 1);
        self.telemetry.event(
            Event::new("heal.voted")
                .with("heal_op_id", heal_op.heal_op_id)
                .with("ticket_id", &heal_op.ticket_id)
                .with("healer", &heal_op.healer_supernode_account)
                .with("verified", vote.verified)
                .with("reason", &vote.details)
                .with("streamed_bytes", vote.streamed_bytes)
                .with("height", height),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_is_yes_only_if_all_three_hashes_agree() {
        // Hash of the bytes, the healer's claim, the ticket's hash, vote.
        let table = [
            ("a", "a", "a", true),
            ("a", "a", "b", false),
            ("a", "b", "a", false),
            ("a", "b", "b", false),
            ("a", "", "a", false),
        ];
        for (computed, claimed, of_ticket, verified) in table {
            let file = FetchedFile { data_hash: computed.to_owned(), len_bytes: 9 };
            let vote = Vote::on(&file, claimed, of_ticket);
            assert_eq!(vote.verified, verified, "{computed} {claimed} {of_ticket}");
            assert_eq!(vote.verification_hash, computed);
            assert_eq!(vote.details.is_empty(), verified);
            assert!(verified || vote.details == "reason_hash_mismatch");
        }
    }

    #[test]
    fn a_no_without_a_file_carries_the_canonical_hash() {
        let vote = Vote::fetch_failed("silence");
        assert_eq!(vote.verification_hash, "ILlCdzdnx9TgulG604gtzFvX8wK+jQxPZtpym6ZhmI8=");
        assert_eq!((vote.verified, vote.details.as_str()), (false, "reason_fetch_failed:silence"));
    }
}
