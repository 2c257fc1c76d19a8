//! Challenges a target: the two canonical rows.
//!
//! Owns the choice of tickets (wire 3.5, 4.1) and of the artifact for a row. The probes that follow are `probe`'s part,
//! repeating a row `repeat`'s; when to challenge, and keeping the rows, is the service's.

use crate::artifacts::ArtifactsOfTickets;
use crate::ask::{Asker, Ineligible, Outcome, Question};
use crate::config::ProbeShape;
use crate::detection::DrawsOfDay;
use crate::draw::{Draw, TicketArtifact, canonical};
use crate::epoch_view::{EpochView, Target, counts_of, is_challengeable, tickets_of};
use crate::history::SeenTickets;
use crate::members_then::MembersOfEpochs;
use crate::placement::PlacementRule;
use crate::rows::no_eligible_row;
use lampkeeper_plugin_sdk::api::chain::{StorageProofResult, Ticket};
use lampkeeper_plugin_sdk::api::challenge::ChallengeError;
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::selection::{classify_bucket, select_ticket};
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};
use std::sync::Arc;

/// Tickets of a target that are tried for a canonical row before it counts as having none.
const TICKETS_TRIED_MAX: usize = 16;

/// Challenges one target at a time.
pub(crate) struct TargetChallenger {
    pub(crate) asker: Asker,
    pub(crate) artifacts: ArtifactsOfTickets,
    pub(crate) members: MembersOfEpochs,
    pub(crate) seen: SeenTickets,
    pub(crate) draws: DrawsOfDay,
    pub(crate) telemetry: Arc<dyn Telemetry>,
}

/// What became of one ticket that was tried for a row.
enum Tried {
    Row(StorageProofResult),
    NotEligible,
    Undecided(ChallengeError),
}

impl TargetChallenger {
    /// All rows of a target in an epoch: RECENT, OLD, and the failed probes.
    pub(crate) async fn rows(
        &self,
        view: &EpochView,
        account: &str,
    ) -> Result<Vec<StorageProofResult>, ChallengeError> {
        let chain = self.asker.chain.as_ref();
        let target = view.target(chain, account).await?.ok_or_else(|| ChallengeError::Ours {
            stage: "looking up the target".to_owned(),
            reason: format!("{account} has no address or no public key on the chain"),
            transient: true,
        })?;
        let tickets = tickets_of(chain, account).await?;
        self.tell_tickets(&tickets);
        let recent = self.bucket_row(view, &target, &tickets.eligible, Bucket::Recent).await?;
        let old = self.bucket_row(view, &target, &tickets.eligible, Bucket::Old).await?;
        let mut rows: Vec<_> = [recent, old].into_iter().flatten().collect();
        let is_silent = rows.iter().any(|row| row.result_class == ResultClass::TimeoutOrNoResponse);
        if !is_silent {
            rows.extend(self.probe(view, &target).await);
        }
        Ok(rows)
    }

    /// The row of a bucket; `None` if neither a challenge nor "no eligible ticket" would be the truth that the chain
    /// accepts.
    async fn bucket_row(
        &self,
        view: &EpochView,
        target: &Target,
        tickets: &[Ticket],
        bucket: Bucket,
    ) -> Result<Option<StorageProofResult>, ChallengeError> {
        let mut undecided = None;
        let in_bucket: Vec<&Ticket> =
            tickets.iter().filter(|ticket| is_in_bucket(view, ticket, bucket)).collect();
        let mut excluded: Vec<&str> = Vec::new();
        while excluded.len() < TICKETS_TRIED_MAX {
            let ids = in_bucket.iter().map(|ticket| ticket.ticket_id.as_str());
            let Some(id) = select_ticket(ids, &excluded, &view.anchor.seed, &target.account, bucket) else {
                break;
            };
            excluded.push(id);
            let Some(ticket) = in_bucket.iter().find(|ticket| ticket.ticket_id == id) else { break };
            match self.canonical_row(view, target, ticket, bucket).await? {
                Tried::Row(row) => return Ok(Some(row)),
                Tried::NotEligible => {}
                Tried::Undecided(error) => undecided = undecided.or(Some(error)),
            }
        }
        // No row rather than a lie: some ticket of this bucket might well be eligible.
        if let Some(error) = undecided {
            return Err(error);
        }
        self.row_without_ticket(view, target, bucket).await
    }

    /// The chain refuses "no eligible ticket", and with it the whole report, for a while after anyone had one, though the
    /// ticket may have grown out of the bucket since (chain 4.4). Then that ticket is challenged again, or nothing is
    /// said.
    async fn row_without_ticket(
        &self,
        view: &EpochView,
        target: &Target,
        bucket: Bucket,
    ) -> Result<Option<StorageProofResult>, ChallengeError> {
        let chain = self.asker.chain.as_ref();
        let Some(seen) = self.seen.recently(chain, view, &target.account, bucket).await? else {
            let event = Event::new("challenge.no_eligible");
            self.tell_no_row(event, "no_eligible", view, target, bucket);
            let row =
                no_eligible_row(self.asker.signer.as_ref(), view.anchor.epoch_id, &target.account, bucket)?;
            return Ok(Some(row));
        };
        if let Ok(ticket) = chain.ticket(&seen).await
            && is_challengeable(&ticket)
        {
            match self.canonical_row(view, target, &ticket, bucket).await? {
                Tried::Row(row) => return Ok(Some(row)),
                Tried::NotEligible => {}
                Tried::Undecided(error) => return Err(error),
            }
        }
        self.tell_no_row(Event::new("challenge.unsayable"), "unsayable", view, target, bucket);
        Ok(None)
    }

    async fn canonical_row(
        &self,
        view: &EpochView,
        target: &Target,
        ticket: &Ticket,
        bucket: Bucket,
    ) -> Result<Tried, ChallengeError> {
        let drawn = match self.canonical_draw(view, target, ticket).await {
            Ok(drawn) => drawn,
            // A ticket whose documents nobody can hand out now must not hold up all others.
            Err(error) => return Ok(Tried::Undecided(error)),
        };
        let draw = match drawn {
            Ok(draw) => draw,
            Err(ineligible) => {
                self.tell_refused_ticket(&ticket.ticket_id, &ineligible);
                return Ok(Tried::NotEligible);
            }
        };
        let question = Question {
            target,
            ticket_id: &ticket.ticket_id,
            bucket,
            draw,
            seed: &view.anchor.seed,
            shape: ProbeShape::Ranges,
        };
        match self.asker.ask(view, question).await? {
            Outcome::NotEligible(ineligible) => {
                self.tell_refused_ticket(&ticket.ticket_id, &ineligible);
                Ok(Tried::NotEligible)
            }
            Outcome::Undecided(error) => Ok(Tried::Undecided(error)),
            Outcome::Row(finding) => {
                self.draws.add(
                    &target.account,
                    self.asker.scheduler.now(),
                    draw.artifact.key,
                    finding.proof_bytes,
                );
                self.tell_result(view, &finding);
                Ok(Tried::Row(finding.row))
            }
        }
    }

    /// The epoch's draw among a ticket's artifacts.
    pub(crate) async fn canonical_draw(
        &self,
        view: &EpochView,
        target: &Target,
        ticket: &Ticket,
    ) -> Result<Result<Draw, Ineligible>, ChallengeError> {
        let held = match self.held(view, target, ticket).await? {
            Ok(held) => held,
            Err(ineligible) => return Ok(Err(ineligible)),
        };
        let drawn =
            canonical(&view.anchor.seed, &target.account, &ticket.ticket_id, counts_of(ticket), &held);
        let nothing = || Ineligible::new("class", "the target holds nothing of the class that was rolled");
        Ok(drawn.ok_or_else(nothing))
    }

    /// The artifacts of a ticket that a target has to hold, at least one; or why there are none.
    pub(crate) async fn held(
        &self,
        view: &EpochView,
        target: &Target,
        ticket: &Ticket,
    ) -> Result<Result<Vec<TicketArtifact>, Ineligible>, ChallengeError> {
        let chain = self.asker.chain.as_ref();
        let then = self.members.around(chain, view, ticket.block_height).await?;
        let config = &self.asker.config;
        let rule =
            PlacementRule { grace_blocks: config.grace_blocks, replica_count: config.replica_count as usize };
        let placement = view.membership.of_target(&target.account, ticket, &then, rule);
        let none = |reason, detail| Ok(Err(Ineligible::new(reason, detail)));
        let Some(placement) = placement else {
            return none("grace", "the target had no part in the ticket, or has not had the time to take it");
        };
        let Some(artifacts) = self.artifacts.of(ticket).await? else {
            return none("documents", "the ticket's documents are not valid");
        };
        let held: Vec<_> =
            artifacts.iter().filter(|artifact| placement.holds(&artifact.key)).copied().collect();
        if held.is_empty() {
            return none("placement", "the target need not hold any of the ticket's artifacts");
        }
        Ok(Ok(held))
    }
}

fn is_in_bucket(view: &EpochView, ticket: &Ticket, bucket: Bucket) -> bool {
    let params = &view.params;
    classify_bucket(
        view.bucket_height(),
        ticket.block_height,
        params.storage_truth_recent_bucket_max_blocks,
        params.storage_truth_old_bucket_min_blocks,
    ) == bucket
}
