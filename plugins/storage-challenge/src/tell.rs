//! What the challenger tells of its results: events, counters, gauges.
//!
//! Owns their names and fields; the list of them is at the head of the crate.

use crate::ask::Finding;
use crate::challenge::TargetChallenger;
use crate::detection::{ALL_PEERS, LOST_PERCENTS, detection_chance};
use crate::epoch_view::{EpochView, Target};
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
        event: &str,
        result: &str,
        view: &EpochView,
        target: &Target,
        bucket: Bucket,
    ) {
        let event = Event::new(event)
            .with("epoch_id", view.anchor.epoch_id)
            .with("target", &target.account)
            .with("bucket", bucket.name());
        self.telemetry.event(event);
        self.telemetry.count("challenges_total", &[("result", result), ("bucket", bucket.name())], 1);
    }

    pub(crate) fn tell_refused_ticket(&self, ticket_id: &str, reason: &str) {
        self.telemetry.count("challenge_tickets_refused_total", &[], 1);
        let event =
            Event::new("challenge.ticket_refused").with("ticket_id", ticket_id).with("reason", reason);
        self.telemetry.event(event);
    }

    /// The chance of having caught a loss within the last day, for a peer and for all of them together.
    pub(crate) fn tell_detection(&self, target: &str) {
        let now = self.asker.scheduler.now();
        let (of_peer, of_all) = self.draws.of_last_day(target, now);
        for (peer, draws) in [(target, of_peer), (ALL_PEERS, of_all)] {
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
