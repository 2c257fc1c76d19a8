//! Probes a target beyond the two canonical challenges: many artifacts, one question each.
//!
//! Owns the sample of an epoch and what becomes of its results. Only failures become rows (bucket PROBATION), and not
//! more than a report has room for.

use crate::ask::{Outcome, Question};
use crate::challenge::TargetChallenger;
use crate::draw::{Draw, probes};
use crate::epoch_view::{EpochView, Target, counts_of, stored_tickets};
use crate::tell::stage_of;
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::chain::StorageProofResult;
use lampkeeper_plugin_sdk::api::challenge::{ChallengeError, Observation};
use lampkeeper_plugin_sdk::futures::{StreamExt, stream};
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::hash::keyed_hash;
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tickets that the probes of one target and epoch are spread over.
const PROBED_TICKETS_MAX: usize = 8;
/// Failed probes for each row that may be reported, after which no more are looked for: each is asked twice, with a
/// pause, and the point is made.
const FAILURES_PER_ROW: usize = 2;

/// The order in which a probe was drawn, and what became of it.
type Probed = (usize, Result<Outcome, ChallengeError>);

impl TargetChallenger {
    /// Probes a sample of what the target holds; the rows of those that failed (bucket PROBATION). A fault of ours costs
    /// probes, never the canonical rows that were made before.
    pub(crate) async fn probe(&self, view: &EpochView, target: &Target) -> Vec<StorageProofResult> {
        let config = &self.asker.config;
        let draws = match self.probe_draws(view, target).await {
            Ok(draws) if draws.is_empty() => return Vec::new(),
            Ok(draws) => draws,
            Err(error) => {
                self.tell_own_fault(target, &error);
                return Vec::new();
            }
        };
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
                    let shape = config.probe_shape;
                    let question = Question { target, ticket_id, bucket, draw: *draw, seed, shape };
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
        self.probe_rows(view, target, &draws, outcomes)
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
            let held = match self.held(view, target, ticket).await {
                Ok(Ok(held)) => held,
                Ok(Err(_)) => continue,
                // One ticket whose documents can't be had now is no reason not to probe the others.
                Err(error) => {
                    self.tell_own_fault(target, &error);
                    continue;
                }
            };
            let of_ticket = probes(seed, &target.account, &ticket.ticket_id, counts_of(ticket), &held, share);
            draws.extend(of_ticket.into_iter().map(|draw| (ticket.ticket_id.clone(), draw)));
        }
        Ok(draws)
    }

    fn probe_rows(
        &self,
        view: &EpochView,
        target: &Target,
        draws: &[(String, Draw)],
        mut outcomes: Vec<Probed>,
    ) -> Vec<StorageProofResult> {
        outcomes.sort_by_key(|(order, _)| *order);
        let (mut passed, mut failed, mut ours, mut bytes) = (0_u64, 0_u64, 0_u64, 0_u64);
        let mut rows: Vec<StorageProofResult> = Vec::new();
        let mut described = BTreeSet::new();
        for (order, outcome) in outcomes {
            if let (Ok(Outcome::Row(finding)), Some((_, draw))) = (&outcome, draws.get(order)) {
                let now = self.asker.scheduler.now();
                self.draws.add(&target.account, now, draw.artifact.key, finding.proof_bytes);
                bytes += finding.proof_bytes;
            }
            match outcome {
                Ok(Outcome::Row(finding)) if finding.observation == Observation::Pass => passed += 1,
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
                Ok(Outcome::Undecided(error)) | Err(error) => {
                    ours += 1;
                    self.tell_own_fault(target, &error);
                }
            }
        }
        for (result, amount) in [("pass", passed), ("fail", failed), ("ours", ours)] {
            self.telemetry.count("probes_total", &[("result", result)], amount);
        }
        self.telemetry.count("probe_proof_bytes_total", &[], bytes);
        self.telemetry.event(
            Event::new("probe.summary")
                .with("epoch_id", view.anchor.epoch_id)
                .with("target", &target.account)
                .with("probed", passed + failed + ours)
                .with("passed", passed)
                .with("failed", failed)
                .with("ours", ours)
                .with("bytes", bytes),
        );
        rows
    }

    fn tell_own_fault(&self, target: &Target, error: &ChallengeError) {
        self.telemetry.count("probe_faults_total", &[("stage", &stage_of(error))], 1);
        self.telemetry.log(
            Level::Warn,
            "a probe failed on our side",
            &[("target", (&target.account).into()), ("reason", error.to_string().into())],
        );
    }
}

/// How far a probe brings us towards having seen enough: a target that does not answer has shown enough at once, and a
/// fault of ours would meet the other probes too.
fn weight_of(outcome: &Result<Outcome, ChallengeError>, enough: usize) -> usize {
    match outcome {
        Ok(Outcome::Row(finding)) => match finding.row.result_class {
            ResultClass::Pass => 0,
            ResultClass::TimeoutOrNoResponse => enough,
            _ => 1,
        },
        Ok(Outcome::NotEligible(_) | Outcome::Undecided(_)) => 0,
        Err(_) => enough,
    }
}
