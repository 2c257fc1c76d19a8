//! What the challenger tells of its results: events, counters, gauges.
//!
//! Owns their names and fields; the list of them is at the head of the crate.

use crate::ask::{Finding, Ineligible};
use crate::challenge::TargetChallenger;
use crate::detection::{ALL_PEERS, Draws, LOST_PERCENTS, detection_chance};
use crate::epoch_view::{EpochView, Target, TargetTickets};
use lampkeeper_plugin_sdk::api::challenge::ChallengeError;
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::words::Bucket;

impl TargetChallenger {
    pub(crate) fn tell_result(&self, view: &EpochView, finding: &Finding) {
        let row = &finding.row;
        let labels = [("result", finding.observation.name()), ("bucket", row.bucket_type.name())];
        self.telemetry.count("challenges_total", &labels, 1);
        let event = describe(Event::new("challenge.result"), view, finding)
            .with("bucket", row.bucket_type.name())
            .with("proof", finding.proof)
            .with("proof_bytes", finding.proof_bytes);
        self.telemetry.event(event);
    }

    pub(crate) fn tell_failed_probe(&self, view: &EpochView, finding: &Finding) {
        self.telemetry.event(describe(Event::new("probe.failed"), view, finding));
    }

    pub(crate) fn tell_no_row(
        &self,
        event: Event,
        result: &str,
        view: &EpochView,
        target: &Target,
        bucket: Bucket,
    ) {
        let event = event
            .with("epoch_id", view.anchor.epoch_id)
            .with("target", &target.account)
            .with("bucket", bucket.name());
        self.telemetry.event(event);
        self.telemetry.count("challenges_total", &[("result", result), ("bucket", bucket.name())], 1);
    }

    /// How many tickets the chain lists for a target, and how many of them may not be challenged.
    pub(crate) fn tell_tickets(&self, tickets: &TargetTickets) {
        let refused: u64 = tickets.refused.values().sum();
        let discovered = tickets.eligible.len() as u64 + refused;
        self.telemetry.count("challenge_tickets_discovered_total", &[], discovered);
        for (reason, count) in &tickets.refused {
            self.telemetry.count("challenge_tickets_refused_total", &[("reason", reason)], *count);
        }
    }

    /// A ticket that was drawn turned out not to qualify.
    pub(crate) fn tell_refused_ticket(&self, ticket_id: &str, ineligible: &Ineligible) {
        let labels = [("reason", ineligible.reason)];
        self.telemetry.count("challenge_tickets_refused_total", &labels, 1);
        let event = Event::new("challenge.ticket_refused")
            .with("ticket_id", ticket_id)
            .with("reason", ineligible.reason)
            .with("detail", &ineligible.detail);
        self.telemetry.event(event);
    }

    /// The chance of having caught a loss within the last day, for each peer and for all of them together.
    pub(crate) fn tell_detection(&self) {
        let summary = self.draws.of_last_day(self.asker.scheduler.now());
        self.tell_draws(ALL_PEERS, summary.all);
        for (peer, draws) in &summary.by_peer {
            self.tell_draws(peer, *draws);
        }
    }

    fn tell_draws(&self, peer: &str, draws: Draws) {
        let peer_label = [("peer", peer)];
        self.telemetry.gauge("challenge_artifacts_drawn_per_day", &peer_label, draws.artifacts as f64);
        self.telemetry.gauge("challenge_proof_bytes_per_day", &peer_label, draws.bytes as f64);
        for lost_percent in LOST_PERCENTS {
            let chance = detection_chance(f64::from(lost_percent) / 100.0, draws.artifacts);
            let percent = lost_percent.to_string();
            let labels = [("peer", peer), ("lost_percent", percent.as_str())];
            self.telemetry.gauge("challenge_detection_chance_per_day", &labels, chance);
        }
    }
}

/// The stage of a fault of ours as a label: our own words, of which there are a few dozen.
pub(crate) fn stage_of(error: &ChallengeError) -> String {
    match error {
        ChallengeError::Ours { stage, .. } => stage.replace(' ', "_"),
        _ => "other".to_owned(),
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
