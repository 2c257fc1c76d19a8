//! The epoch's rhythm: who is challenged when, and what a crash or a slow target changes.

use super::support::{CHALLENGER, EPOCH, Reply, World, account, params};
use crate::challenge::TargetChallenger;
use crate::config::Config;
use crate::service::{ChallengeService, DISPATCHED_MARKER};
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::{EnforcementMode, PageRequest, Params, StorageProofResult};
use lampkeeper_plugin_sdk::api::journal::{JournalError, ProofJournal};
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::service::{Health, Service};
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};
use lampkeeper_plugin_sdk::testkit::{MemoryJournal, MockChain};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn service(world: &World, challenger: TargetChallenger, journal: &MemoryJournal) -> Arc<ChallengeService> {
    Arc::new(ChallengeService {
        challenger: Arc::new(challenger),
        journal: Arc::new(journal.clone()),
        telemetry: Arc::new(world.telemetry.clone()),
        routes: Vec::new(),
        trouble: Mutex::new(None),
    })
}

fn start(world: &World, service: &Arc<ChallengeService>) -> Cancel {
    let cancel = Cancel::new();
    let (service, shutdown) = (Arc::clone(service), cancel.clone());
    world.scheduler.for_node("node", 0).spawn(
        "challenges",
        Box::pin(async move {
            service.run(shutdown).await.unwrap();
        }),
    );
    cancel
}

fn targets(
    world: &World,
    targets: &[&str],
    config: Config,
    journal: &MemoryJournal,
) -> Arc<ChallengeService> {
    let chain = world.know(MockChain::builder(CHALLENGER), targets).build();
    service(world, world.challenger(chain, config), journal)
}

fn rows(world: &World, journal: &MemoryJournal) -> Vec<StorageProofResult> {
    let rows = world.scheduler.block_on(journal.proof_rows(EPOCH)).unwrap();
    rows.into_iter().map(|pending| pending.row).collect()
}

fn about<'a>(rows: &'a [StorageProofResult], name: &str) -> Vec<&'a StorageProofResult> {
    rows.iter().filter(|row| row.target_supernode_account == account(name)).collect()
}

#[test]
fn every_target_gets_one_recent_and_one_old_row_once_an_epoch() {
    let world = World::new();
    let journal = MemoryJournal::new();
    let service = targets(&world, &["alpha", "beta", CHALLENGER], World::config(), &journal);
    start(&world, &service);
    world.scheduler.run_for(Duration::from_secs(60));
    assert_eq!(service.health(), Health::Ok);
    let rows = rows(&world, &journal);
    assert_eq!(rows.len(), 4, "{rows:?}");
    for name in ["alpha", "beta"] {
        let found = about(&rows, name);
        let recent = found.iter().find(|row| row.bucket_type == Bucket::Recent).unwrap();
        assert_eq!(recent.result_class, ResultClass::Pass, "{name}: {}", recent.details);
        let old = found.iter().find(|row| row.bucket_type == Bucket::Old).unwrap();
        assert_eq!(old.result_class, ResultClass::NoEligibleTicket, "{name}");
    }
    let marker = world.scheduler.block_on(journal.epoch_marker(DISPATCHED_MARKER)).unwrap();
    assert_eq!(marker, Some(EPOCH));
    assert_eq!((world.calls_to("alpha"), world.calls_to(CHALLENGER)), (1, 0));
    assert_eq!(world.scheduler.panics(), []);
}

#[test]
fn nobody_is_challenged_while_storage_truth_is_off() {
    for params in [
        Params { storage_truth_enforcement_mode: EnforcementMode::Unspecified, ..params() },
        Params { sc_enabled: false, ..params() },
    ] {
        let world = World::new();
        let journal = MemoryJournal::new();
        let script = MockChain::builder(CHALLENGER).params(Ok(params)).always();
        let chain = world.know(script, &["alpha"]).build();
        start(&world, &service(&world, world.challenger(chain, World::config()), &journal));
        world.scheduler.run_for(Duration::from_secs(60));
        assert_eq!(rows(&world, &journal), []);
        assert_eq!(world.calls_to("alpha"), 0);
    }
}

#[test]
fn a_slow_target_does_not_delay_another() {
    let world = World::new();
    let journal = MemoryJournal::new();
    world.habit("alpha", Reply::Hang);
    start(&world, &targets(&world, &["alpha", "beta"], World::config(), &journal));
    world.scheduler.run_for(Duration::from_secs(1));
    let early = rows(&world, &journal);
    assert_eq!((about(&early, "alpha").len(), about(&early, "beta").len()), (0, 2), "{early:?}");
    world.scheduler.run_for(Duration::from_secs(60));
    let late = rows(&world, &journal);
    let silent = about(&late, "alpha");
    assert_eq!(silent[0].result_class, ResultClass::TimeoutOrNoResponse);
    assert_eq!(world.calls_to("beta"), 1);
}

#[test]
fn a_target_that_takes_longer_than_its_deadline_holds_its_rows_only() {
    let world = World::new();
    let journal = MemoryJournal::new();
    world.habit("alpha", Reply::Hang);
    let config = Config { target_deadline_ms: 15_000, ..World::config() };
    let service = targets(&world, &["alpha", "beta"], config, &journal);
    start(&world, &service);
    world.scheduler.run_for(Duration::from_secs(60));
    let rows = rows(&world, &journal);
    assert_eq!((about(&rows, "alpha").len(), about(&rows, "beta").len()), (0, 2));
    assert!(matches!(service.health(), Health::Degraded { .. }));
    assert!(!world.telemetry.events_named("challenge.held").is_empty());
}

/// Crashes the node at every await point of an epoch, restarts it, and looks for a second row or a missing one.
#[test]
fn a_crash_anywhere_repeats_nothing_that_is_durable() {
    for polls in 1..60 {
        let world = World::new();
        let journal = MemoryJournal::new();
        start(&world, &targets(&world, &["alpha", "beta"], World::config(), &journal));
        world.scheduler.kill_group_after_polls("node", polls);
        world.scheduler.run_for(Duration::from_secs(4));
        start(&world, &targets(&world, &["alpha", "beta"], World::config(), &journal));
        world.scheduler.run_for(Duration::from_secs(60));
        let rows = rows(&world, &journal);
        for name in ["alpha", "beta"] {
            for bucket in [Bucket::Recent, Bucket::Old] {
                let found = about(&rows, name).into_iter().filter(|row| row.bucket_type == bucket).count();
                assert_eq!(found, 1, "{name} {bucket:?} after a crash at poll {polls}");
            }
        }
    }
}

#[test]
fn rows_that_left_with_the_report_are_not_made_again() {
    let world = World::new();
    let journal = MemoryJournal::new();
    world.habit("alpha", Reply::StandStill(Duration::from_secs(30)));
    start(&world, &targets(&world, &["alpha", "beta"], World::config(), &journal));
    world.scheduler.run_for(Duration::from_secs(40));
    assert_eq!(world.scheduler.block_on(journal.delete_proof_rows(EPOCH)).unwrap(), 2, "beta's rows");
    world.habit("alpha", Reply::Serve);
    world.scheduler.run_for(Duration::from_secs(60));
    let rows = rows(&world, &journal);
    assert_eq!((about(&rows, "alpha").len(), about(&rows, "beta").len()), (2, 0));
}

#[test]
fn without_a_key_there_are_no_rows_and_they_come_when_it_works_again() {
    let world = World::new();
    let journal = MemoryJournal::new();
    world.signer.works.store(false, Ordering::Relaxed);
    let service = targets(&world, &["alpha"], World::config(), &journal);
    start(&world, &service);
    world.scheduler.run_for(Duration::from_secs(30));
    assert_eq!(rows(&world, &journal), []);
    assert!(matches!(service.health(), Health::Degraded { .. }));
    world.signer.works.store(true, Ordering::Relaxed);
    world.scheduler.run_for(Duration::from_secs(30));
    assert_eq!(rows(&world, &journal).len(), 2);
    assert_eq!(service.health(), Health::Ok);
}

#[test]
fn failed_probes_become_rows_within_the_cap() {
    let world = World::new();
    let journal = MemoryJournal::new();
    for artifact in world.fixture.artifacts() {
        world.stores["alpha"].damage(&artifact.key);
    }
    let config = Config { probes_per_target: 10, max_probe_rows: 3, ..World::config() };
    start(&world, &targets(&world, &["alpha"], config, &journal));
    world.scheduler.run_for(Duration::from_secs(120));
    let rows = rows(&world, &journal);
    let probes: Vec<_> = rows.iter().filter(|row| row.bucket_type == Bucket::Probation).collect();
    assert_eq!(probes.len(), 3, "{rows:?}");
    assert!(probes.iter().all(|row| row.result_class == ResultClass::HashMismatch));
    let peer = account("alpha");
    let labels = [("peer", peer.as_str()), ("lost_percent", "10")];
    let chance = world.telemetry.gauge_value("challenge_detection_chance_per_day", &labels).unwrap();
    let drawn = world.telemetry.gauge_value("challenge_artifacts_drawn_per_day", &[("peer", &peer)]).unwrap();
    assert!((chance - (1.0 - 0.9_f64.powf(drawn))).abs() < 1e-9 && drawn >= 4.0, "{chance} of {drawn}");
}

#[test]
fn a_ticket_whose_documents_are_gone_holds_the_rows() {
    let world = World::new();
    let journal = MemoryJournal::new();
    for artifact in &world.fixture.id_files {
        world.network.remove(&artifact.key);
    }
    let service = targets(&world, &["alpha"], World::config(), &journal);
    start(&world, &service);
    world.scheduler.run_for(Duration::from_secs(30));
    assert_eq!(rows(&world, &journal), [], "neither a verdict nor `no eligible ticket` would be the truth");
}

#[test]
fn a_shutdown_is_not_held_up_by_a_target() {
    let world = World::new();
    let journal = MemoryJournal::new();
    world.habit("alpha", Reply::Hang);
    let cancel = start(&world, &targets(&world, &["alpha"], World::config(), &journal));
    world.scheduler.run_for(Duration::from_secs(1));
    cancel.cancel();
    world.scheduler.run_for(Duration::from_millis(1));
    assert_eq!(world.scheduler.task_names(), Vec::<String>::new());
}

/// A journal that fails is ours.
#[test]
fn a_journal_that_refuses_rows_is_told() {
    let error = JournalError::TooManyRows { epoch_id: EPOCH, max: 1 };
    assert!(!error.is_transient());
    let world = World::new();
    let journal = MemoryJournal::new();
    let row = StorageProofResult::default();
    for _ in 0..4 {
        let many = vec![row.clone(); 1024];
        world.scheduler.block_on(journal.append_proof_rows(EPOCH, &many)).unwrap();
    }
    let service = targets(&world, &["alpha"], World::config(), &journal);
    start(&world, &service);
    world.scheduler.run_for(Duration::from_secs(3));
    assert!(matches!(service.health(), Health::Degraded { .. }));
}

/// Several silent targets at once look like a fault of ours: nothing is said until the rest of the network answers.
#[test]
fn when_several_targets_fail_at_once_the_rows_wait_for_a_look_at_ourselves() {
    let world = World::new();
    let journal = MemoryJournal::new();
    let silent = ["alpha", "beta", "gamma"];
    silent.iter().for_each(|name| world.habit(name, Reply::Hang));
    world.transport.closed.lock().unwrap().extend(super::support::NODES.map(str::to_owned));
    let config = Config { poll_interval_ms: 1000, ..World::config() };
    let service = targets(&world, &["alpha", "beta", "gamma", "delta"], config, &journal);
    start(&world, &service);
    world.scheduler.run_for(Duration::from_secs(300));
    let held = rows(&world, &journal);
    assert!(silent.iter().all(|name| about(&held, name).is_empty()), "{held:?}");
    assert_eq!(about(&held, "delta").len(), 2, "whoever answers gets its rows all the same");
    let stage = [("stage", "checking_our_own_connection")];
    assert!(world.telemetry.counter("challenge_held_total", &stage) >= 3);
    assert!(matches!(service.health(), Health::Degraded { .. }));

    world.transport.closed.lock().unwrap().clear();
    world.scheduler.run_for(Duration::from_secs(120));
    let said = rows(&world, &journal);
    for name in silent {
        let found = about(&said, name);
        assert_eq!(found.len(), 2, "{name}");
        let classes: Vec<_> = found.iter().map(|row| row.result_class).collect();
        assert!(classes.contains(&ResultClass::TimeoutOrNoResponse), "{name}: {classes:?}");
    }
    assert_eq!(service.health(), Health::Ok);
}

#[test]
fn a_chain_that_can_t_list_the_tickets_leads_to_no_row() {
    let world = World::new();
    let journal = MemoryJournal::new();
    let script = MockChain::builder(CHALLENGER)
        .tickets_of_supernode(&account("alpha"), PageRequest::default(), Err(super::support::unavailable()))
        .always();
    let chain = world.know(script, &["alpha"]).build();
    let service = service(&world, world.challenger(chain, World::config()), &journal);
    start(&world, &service);
    world.scheduler.run_for(Duration::from_secs(30));
    assert_eq!(rows(&world, &journal), [], "not even `no eligible ticket`");
    assert!(matches!(service.health(), Health::Degraded { .. }));
    let stage = [("stage", "listing_the_target's_tickets")];
    assert!(world.telemetry.counter("challenge_held_total", &stage) > 0);
}

/// Counts are the finaliser's word, and nobody checks them (wire 4.2).
#[test]
fn a_count_far_above_the_number_of_ids_hinders_no_challenge() {
    let mut world = World::new();
    let ticket = &mut world.fixture.ticket;
    (ticket.index_artifact_count, ticket.symbol_artifact_count) = (4_000_000, 4_000_000);
    let journal = MemoryJournal::new();
    start(&world, &targets(&world, &["alpha"], World::config(), &journal));
    world.scheduler.run_for(Duration::from_secs(30));
    let rows = rows(&world, &journal);
    let recent = rows.iter().find(|row| row.bucket_type == Bucket::Recent).unwrap();
    assert_eq!((recent.result_class, recent.artifact_count), (ResultClass::Pass, 4_000_000));
    assert!(recent.artifact_ordinal < recent.artifact_count);
}
