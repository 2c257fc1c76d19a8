//! Challenges a target: the two canonical rows, the probes, and single challenges for whoever repeats them.
//!
//! Owns the choice of tickets (wire 3.5, 4.1) and what becomes of each outcome. When to challenge, and keeping the
//! rows, is the service's part.

use crate::artifacts::ArtifactsOfTickets;
use crate::ask::{Asker, Finding, Outcome, Question};
use crate::draw::{Draw, canonical, probes};
use crate::epoch_view::{
    EpochView, Target, chain_fault, counts_of, is_challengeable, stored_tickets, tickets_of,
};
use crate::history::SeenTickets;
use crate::rows::no_eligible_row;
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::chain::{StorageProofResult, Ticket};
use lampkeeper_plugin_sdk::api::challenge::{
    ChallengeError, ChallengeOutcome, ChallengeRequest, Challenger, Observation, RepeatedArtifact,
};
use lampkeeper_plugin_sdk::futures::StreamExt;
use lampkeeper_plugin_sdk::futures::stream;
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::hash::keyed_hash;
use lampkeeper_plugin_sdk::protocol::selection::{classify_bucket, select_ticket};
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tickets of a target that are tried for a canonical row before it counts as having none.
const TICKETS_TRIED_MAX: usize = 16;
/// Tickets that the probes of one target and epoch are spread over.
const PROBED_TICKETS_MAX: usize = 8;
/// Failed probes for each row that may be reported, after which no more are looked for: each is asked twice, with a
/// pause, and the point is made.
const FAILURES_PER_ROW: usize = 2;

/// Challenges one target at a time.
pub(crate) struct TargetChallenger {
    pub(crate) asker: Asker,
    pub(crate) artifacts: ArtifactsOfTickets,
    pub(crate) seen: SeenTickets,
    pub(crate) telemetry: Arc<dyn Telemetry>,
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
        let recent = self.bucket_row(view, &target, &tickets, Bucket::Recent).await?;
        let old = self.bucket_row(view, &target, &tickets, Bucket::Old).await?;
        let unreachable =
            [&recent, &old].iter().any(|row| row.result_class == ResultClass::TimeoutOrNoResponse);
        let mut rows = vec![recent, old];
        if !unreachable {
            rows.extend(self.probe(view, &target).await?);
        }
        Ok(rows)
    }

    async fn bucket_row(
        &self,
        view: &EpochView,
        target: &Target,
        tickets: &[Ticket],
        bucket: Bucket,
    ) -> Result<StorageProofResult, ChallengeError> {
        let in_bucket: Vec<&Ticket> =
            tickets.iter().filter(|ticket| self.is_in_bucket(view, ticket, bucket)).collect();
        let mut excluded: Vec<&str> = Vec::new();
        while excluded.len() < TICKETS_TRIED_MAX {
            let ids = in_bucket.iter().map(|ticket| ticket.ticket_id.as_str());
            let Some(id) = select_ticket(ids, &excluded, &view.anchor.seed, &target.account, bucket) else {
                break;
            };
            excluded.push(id);
            let Some(ticket) = in_bucket.iter().find(|ticket| ticket.ticket_id == id) else { break };
            if let Some(row) = self.canonical_row(view, target, ticket, bucket).await? {
                return Ok(row);
            }
        }
        // The chain refuses "no eligible ticket" for a while after anyone had one, though the ticket may have grown
        // out of the bucket since (chain 4.4); so that ticket is challenged again.
        let seen = self.seen.recently(self.asker.chain.as_ref(), view, &target.account, bucket).await?;
        if let Some(id) = seen
            && let Ok(ticket) = self.asker.chain.ticket(&id).await
            && is_challengeable(&ticket)
            && let Some(row) = self.canonical_row(view, target, &ticket, bucket).await?
        {
            return Ok(row);
        }
        self.telemetry.event(
            Event::new("challenge.no_eligible")
                .with("epoch_id", view.anchor.epoch_id)
                .with("target", &target.account)
                .with("bucket", bucket.name()),
        );
        self.telemetry.count("challenges_total", &[("result", "no_eligible"), ("bucket", bucket.name())], 1);
        no_eligible_row(self.asker.signer.as_ref(), view.anchor.epoch_id, &target.account, bucket)
    }

    fn is_in_bucket(&self, view: &EpochView, ticket: &Ticket, bucket: Bucket) -> bool {
        let params = &view.params;
        classify_bucket(
            view.bucket_height(),
            ticket.block_height,
            params.storage_truth_recent_bucket_max_blocks,
            params.storage_truth_old_bucket_min_blocks,
        ) == bucket
    }

    async fn canonical_row(
        &self,
        view: &EpochView,
        target: &Target,
        ticket: &Ticket,
        bucket: Bucket,
    ) -> Result<Option<StorageProofResult>, ChallengeError> {
        let Some(draw) = self.canonical_draw(view, target, ticket).await? else { return Ok(None) };
        let question =
            Question { target, ticket_id: &ticket.ticket_id, bucket, draw, seed: &view.anchor.seed };
        match self.asker.ask(view, question).await? {
            Outcome::NotEligible(_) => Ok(None),
            Outcome::Row(finding) => {
                self.tell_result(view, &finding);
                Ok(Some(finding.row))
            }
        }
    }

    async fn canonical_draw(
        &self,
        view: &EpochView,
        target: &Target,
        ticket: &Ticket,
    ) -> Result<Option<Draw>, ChallengeError> {
        let config = &self.asker.config;
        let replica_count = config.replica_count as usize;
        let placement = view.membership.of_target(
            &target.account,
            ticket.block_height,
            config.grace_blocks,
            replica_count,
        );
        let Some(placement) = placement else { return Ok(None) };
        let Some(artifacts) = self.artifacts.of(ticket).await? else { return Ok(None) };
        let seed = &view.anchor.seed;
        Ok(canonical(seed, &target.account, &ticket.ticket_id, counts_of(ticket), &artifacts, &placement))
    }

    /// Probes a sample of what the target holds; the rows of those that failed (bucket PROBATION).
    async fn probe(
        &self,
        view: &EpochView,
        target: &Target,
    ) -> Result<Vec<StorageProofResult>, ChallengeError> {
        let config = &self.asker.config;
        let draws = self.probe_draws(view, target).await?;
        if draws.is_empty() {
            return Ok(Vec::new());
        }
        let started = self.asker.scheduler.now();
        let enough_failures = (config.max_probe_rows as usize).max(1) * FAILURES_PER_ROW;
        let failures = AtomicUsize::new(0);
        let probes: Vec<BoxFuture<'_, Option<Probed>>> = draws
            .iter()
            .enumerate()
            .map(|(order, (ticket_id, draw))| {
                let failures = &failures;
                let probe = async move {
                    let late = self.asker.scheduler.now().since(started) >= config.probe_time_budget();
                    if late || failures.load(Ordering::Relaxed) >= enough_failures {
                        return None;
                    }
                    let (seed, bucket) = (&view.anchor.seed, Bucket::Probation);
                    let question = Question { target, ticket_id, bucket, draw: *draw, seed };
                    let outcome = self.asker.ask(view, question).await;
                    failures.fetch_add(weight_of(&outcome, enough_failures), Ordering::Relaxed);
                    Some((order, outcome))
                };
                Box::pin(probe) as BoxFuture<'_, _>
            })
            .collect();
        let outcomes: Vec<Probed> = stream::iter(probes)
            .buffer_unordered(config.max_concurrent_probes.max(1) as usize)
            .filter_map(std::future::ready)
            .collect()
            .await;
        Ok(self.probe_rows(view, target, outcomes))
    }

    async fn probe_draws(
        &self,
        view: &EpochView,
        target: &Target,
    ) -> Result<Vec<(String, Draw)>, ChallengeError> {
        let config = &self.asker.config;
        let wanted = config.probes_per_target as usize;
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let seed = &view.anchor.seed;
        let mut tickets = stored_tickets(self.asker.chain.as_ref()).await?;
        tickets.sort_by_cached_key(|ticket| {
            keyed_hash(
                seed,
                &[target.account.as_bytes(), ticket.ticket_id.as_bytes(), b"lampkeeper_probe_ticket"],
            )
        });
        tickets.truncate(PROBED_TICKETS_MAX);
        let share = wanted.div_ceil(tickets.len().max(1));
        let mut draws = Vec::new();
        for ticket in &tickets {
            let replica_count = config.replica_count as usize;
            let placement = view.membership.of_target(
                &target.account,
                ticket.block_height,
                config.grace_blocks,
                replica_count,
            );
            let Some(placement) = placement else { continue };
            let Some(artifacts) = self.artifacts.of(ticket).await? else { continue };
            let held: Vec<_> =
                artifacts.iter().filter(|artifact| placement.holds(&artifact.key)).copied().collect();
            let of_ticket = probes(seed, &target.account, &ticket.ticket_id, counts_of(ticket), &held, share);
            draws.extend(of_ticket.into_iter().map(|draw| (ticket.ticket_id.clone(), draw)));
        }
        Ok(draws)
    }

    fn probe_rows(
        &self,
        view: &EpochView,
        target: &Target,
        mut outcomes: Vec<Probed>,
    ) -> Vec<StorageProofResult> {
        outcomes.sort_by_key(|(order, _)| *order);
        let (mut passed, mut failed, mut not_ours, mut bytes) = (0_u64, 0_u64, 0_u64, 0_u64);
        let mut rows: Vec<StorageProofResult> = Vec::new();
        let mut described = BTreeSet::new();
        for (_, outcome) in outcomes {
            match outcome {
                Ok(Outcome::Row(finding)) if finding.observation == Observation::Pass => {
                    passed += 1;
                    bytes += finding.proof_bytes;
                }
                Ok(Outcome::Row(finding)) => {
                    failed += 1;
                    self.tell_failed_probe(view, &finding);
                    let row = finding.row;
                    let descriptor = (row.ticket_id.clone(), row.artifact_class, row.artifact_ordinal);
                    if rows.len() < self.asker.config.max_probe_rows as usize && described.insert(descriptor)
                    {
                        rows.push(row);
                    }
                }
                Ok(Outcome::NotEligible(_)) => {}
                Err(error) => {
                    not_ours += 1;
                    self.telemetry.log(
                        Level::Warn,
                        "a probe failed on our side",
                        &[("target", (&target.account).into()), ("reason", error.to_string().into())],
                    );
                }
            }
        }
        for (result, amount) in [("pass", passed), ("fail", failed), ("ours", not_ours)] {
            self.telemetry.count("probes_total", &[("result", result)], amount);
        }
        self.telemetry.count("probe_proof_bytes_total", &[], bytes);
        self.telemetry.event(
            Event::new("probe.summary")
                .with("epoch_id", view.anchor.epoch_id)
                .with("target", &target.account)
                .with("probed", passed + failed + not_ours)
                .with("passed", passed)
                .with("failed", failed)
                .with("not_ours", not_ours)
                .with("bytes", bytes),
        );
        rows
    }

    fn tell_result(&self, view: &EpochView, finding: &Finding) {
        let row = &finding.row;
        let labels = [("result", finding.observation.name()), ("bucket", row.bucket_type.name())];
        self.telemetry.count("challenges_total", &labels, 1);
        let event = describe(Event::new("challenge.result"), view, finding)
            .with("bucket", row.bucket_type.name())
            .with("proof", finding.proof)
            .with("proof_bytes", finding.proof_bytes);
        self.telemetry.event(event);
    }

    fn tell_failed_probe(&self, view: &EpochView, finding: &Finding) {
        self.telemetry.event(describe(Event::new("probe.failed"), view, finding));
    }

    /// The draw of a row that is repeated: the artifact that the row names, not another one.
    async fn repeated_draw(
        &self,
        view: &EpochView,
        target: &Target,
        ticket: &Ticket,
        repeated: &RepeatedArtifact,
    ) -> Result<Result<Draw, &'static str>, ChallengeError> {
        let config = &self.asker.config;
        let replica_count = config.replica_count as usize;
        let placement = view.membership.of_target(
            &target.account,
            ticket.block_height,
            config.grace_blocks,
            replica_count,
        );
        let Some(placement) = placement else {
            return Ok(Err("the target need not hold the ticket's artifacts"));
        };
        let Some(artifacts) = self.artifacts.of(ticket).await? else {
            return Ok(Err("the ticket's documents are not valid"));
        };
        let artifact = artifacts.iter().find(|artifact| artifact.key.to_string() == repeated.artifact_key);
        let Some(artifact) = artifact else { return Ok(Err("the artifact is none of the ticket's")) };
        if !placement.holds(&artifact.key) {
            return Ok(Err("the target need not hold this artifact"));
        }
        let mut artifact = *artifact;
        artifact.class = repeated.class;
        let count = counts_of(ticket).of(repeated.class);
        Ok(Ok(Draw { artifact, ordinal: repeated.ordinal, count }))
    }
}

/// The order in which a probe was drawn, and what became of it.
type Probed = (usize, Result<Outcome, ChallengeError>);

/// How far a probe brings us towards having seen enough: a target that does not answer has shown enough at once.
fn weight_of(outcome: &Result<Outcome, ChallengeError>, enough: usize) -> usize {
    match outcome {
        Ok(Outcome::Row(finding)) => match finding.row.result_class {
            ResultClass::Pass => 0,
            ResultClass::TimeoutOrNoResponse => enough,
            _ => 1,
        },
        Ok(Outcome::NotEligible(_)) | Err(_) => 0,
    }
}

fn describe(event: Event, view: &EpochView, finding: &Finding) -> Event {
    let row = &finding.row;
    event
        .with("epoch_id", view.anchor.epoch_id)
        .with("target", &row.target_supernode_account)
        .with("ticket_id", &row.ticket_id)
        .with("artifact_class", row.artifact_class.name())
        .with("artifact_key", &row.artifact_key)
        .with("observation", finding.observation.name())
        .with("class", row.result_class.name())
        .with("detail", &row.details)
        .with("attempts", finding.attempts)
}

#[async_trait]
impl Challenger for TargetChallenger {
    async fn challenge(&self, request: ChallengeRequest) -> Result<ChallengeOutcome, ChallengeError> {
        let chain = self.asker.chain.as_ref();
        let not_eligible = |reason: &str| Ok(ChallengeOutcome::NotEligible { reason: reason.to_owned() });
        let view = EpochView::load(chain, request.epoch_id).await?;
        if !view.membership.is_routed(&request.target_account) {
            return not_eligible("the target is no routed supernode");
        }
        let Some(target) = view.target(chain, &request.target_account).await? else {
            return not_eligible("the target has no address or no public key on the chain");
        };
        let ticket = match chain.ticket(&request.ticket_id).await {
            Ok(ticket) if is_challengeable(&ticket) => ticket,
            Ok(_) => return not_eligible("the ticket is no longer stored"),
            Err(error) if error.is_not_found() => return not_eligible("the ticket is gone"),
            Err(error) => return Err(chain_fault("reading the ticket", &error)),
        };
        let (draw, seed) = match &request.repeated {
            None => match self.canonical_draw(&view, &target, &ticket).await? {
                Some(draw) => (draw, view.anchor.seed),
                None => return not_eligible("the target holds nothing of the class that was rolled"),
            },
            Some(repeated) => {
                let draw = match self.repeated_draw(&view, &target, &ticket, repeated).await? {
                    Ok(draw) => draw,
                    Err(reason) => return not_eligible(reason),
                };
                let present =
                    chain.current_epoch().await.map_err(|error| chain_fault("reading the epoch", &error))?;
                let present = chain.epoch_anchor(present.epoch_id).await;
                (draw, present.map_err(|error| chain_fault("reading the anchor", &error))?.seed)
            }
        };
        let question = Question {
            target: &target,
            ticket_id: &ticket.ticket_id,
            bucket: request.bucket,
            draw,
            seed: &seed,
        };
        match self.asker.ask(&view, question).await? {
            Outcome::NotEligible(reason) => Ok(ChallengeOutcome::NotEligible { reason }),
            Outcome::Row(finding) => {
                Ok(ChallengeOutcome::Row { observation: finding.observation, row: Box::new(finding.row) })
            }
        }
    }
}
