//! What the operator of a node that challenges, reports, rechecks and scrubs can see of it.

use crate::honesty::set_ticket;
use crate::liars::Lie;
use crate::network::{EPOCH_BLOCKS, Network};
use lampkeeper_plugin_sdk::api::chain::TicketState;
use lampkeeper_plugin_sdk::api::store::{ArtifactStore, ByteRange};
use lampkeeper_plugin_sdk::scrub;
use lampkeeper_tests::documented_metrics;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SEED: u64 = 5;
const HONEST: usize = 9;
const EPOCHS: u32 = 6;

/// What is seen in the run below. `reports_duplicate_total`, `recheck_already_submitted_total` and throttled rows take a
/// crash at the right moment or a hundred probes; the tests of those plugins show them.
const SEEN: [&str; 42] = [
    "challenge.held",
    "challenge.result",
    "challenge_artifacts_drawn_per_day",
    "challenge_detection_chance_per_day",
    "challenge_dispatch_seconds",
    "challenge_faults_total",
    "challenge_held_total",
    "challenge_proof_bytes_per_day",
    "challenge_tickets_discovered_total",
    "challenge_tickets_refused_total",
    "challenges_served_total",
    "challenges_total",
    "evidence_kept_total",
    "probe.failed",
    "probe.summary",
    "probe_proof_bytes_total",
    "probes_total",
    "recheck.failed",
    "recheck.submitted",
    "recheck_candidates_total",
    "recheck_failures_total",
    "recheck_pending",
    "recheck_report_queries_total",
    "recheck_reporters",
    "recheck_submissions_total",
    "report.skipped",
    "report.submitted",
    "report_rows_waiting",
    "reports_skipped_total",
    "reports_submitted_total",
    "scrub.cycle_done",
    "scrub.damaged",
    "scrub.paused",
    "scrub.repaired",
    "scrub.resumed",
    "scrub_artifacts_total",
    "scrub_bytes_total",
    "scrub_cycle",
    "scrub_damaged_total",
    "scrub_paused",
    "scrub_progress",
    "scrub_quarantined",
];

#[test]
fn what_operators_see_is_what_the_page_lists() {
    let honest = (1..=HONEST).map(|number| (format!("honest-{number}"), None));
    let liars = [("liar", Lie::OtherArtifact), ("late", Lie::Late)];
    let liars = liars.into_iter().map(|(name, lie)| (name.to_owned(), Some(lie)));
    let names: Vec<_> = honest.chain(liars).collect();
    let mut network = Network::start_whole(SEED, &names, 1_000_000);
    let epoch = Duration::from_secs(EPOCH_BLOCKS);
    network.scheduler.run_for(epoch);
    // A flipped bit on a disk, which a challenge meets.
    let store = network.nodes[0].store.inner.clone();
    let damaged = store.keys()[0];
    assert!(store.damage(&damaged));
    let met = network.scheduler.block_on(store.prove_ranges(&damaged, &[ByteRange { start: 0, end: 1 }]));
    assert!(met.is_err_and(|error| error.is_damage()));
    let journal = network.nodes[1].journal.clone();
    assert!(network.scheduler.block_on(scrub::set_paused(&journal, true, 1)).unwrap());
    // A node that reaches nobody, in the middle of an epoch's challenges.
    let alone = network.nodes[2].account.clone();
    network.fabric.faults().partition(&[&[alone]]);
    network.scheduler.run_for(epoch);
    network.fabric.faults().end_partition();
    assert!(network.scheduler.block_on(scrub::set_paused(&journal, false, 1)).unwrap());
    // A ticket that nobody is paid to keep any longer.
    set_ticket(&network, 3, TicketState::Expired);
    network.scheduler.run_for(epoch * EPOCHS);
    assert_eq!(network.scheduler.panics(), []);
    assert!(network.scheduler.block_on(store.get(&damaged)).unwrap().is_some(), "it was repaired");

    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for node in &mut network.nodes {
        seen.extend(node.telemetry.metric_kinds());
        seen.extend(node.telemetry.events().into_iter().map(|event| (event.name, "event")));
    }
    let documented = documented_metrics();
    for (name, kind) in &seen {
        assert_eq!(
            documented.get(name).map(String::as_str),
            Some(*kind),
            "{name} is on the page, as a {kind}"
        );
    }
    let unseen: BTreeSet<_> = SEEN.into_iter().filter(|name| !seen.contains_key(*name)).collect();
    assert!(unseen.is_empty(), "not seen in {EPOCHS} epochs, seed {SEED}: {unseen:?}");
}
