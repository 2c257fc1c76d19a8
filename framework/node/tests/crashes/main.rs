//! A real node process is killed with SIGKILL during heals, at named points and at random, and started again on the same
//! disk: its files and its database are the real ones. The chain and six peers live on in this process, as they would.
//!
//! Named points need nothing from the node: they are what it tells (its events), what it asks of chain and peers, and
//! what peers ask of it. Nothing that was written is lost here, since the kernel outlives the process; disks that lose
//! what was not synced are the simulator's part.
//!
//! `LAMPKEEPER_KILLS` says how often it is killed; 10 times by default.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test of processes"
)]

mod codec;
mod diary;
mod killer;
mod node;
mod wire;
mod world;

use diary::Diary;
use killer::{KillAtEnd, Killer, Point};
use lampkeeper_api::chain::{ChainMessage, HealOpStatus};
use lampkeeper_api::journal::HealClaim;
use lampkeeper_api::signer::Signer;
use lampkeeper_api::staging::Staging;
use lampkeeper_api::store::ArtifactStore;
use lampkeeper_heal_minimal as _;
use lampkeeper_network_replicas as _;
use lampkeeper_plugin_sdk::testkit::{TestSigner, context};
use lampkeeper_protocol::artifact_key::ArtifactKey;
use lampkeeper_scheduler_tokio::TokioScheduler;
use lampkeeper_self_healing::explain::explain;
use lampkeeper_self_healing::reconcile::ChainSays;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use world::{PeerNode, World};

/// Names the directory of the test to the process that is killed.
pub(crate) const NODE_DIR: &str = "LAMPKEEPER_CRASH_DIR";
const KILLS: &str = "LAMPKEEPER_KILLS";
const KILLS_BY_DEFAULT: usize = 10;
/// How long a heal may take after the restart.
const HEAL_WITHIN: Duration = Duration::from_secs(60);
/// How long to wait for the point; then the node is killed wherever it is.
const POINT_WITHIN: Duration = Duration::from_secs(6);

/// The account of the node that is killed.
pub(crate) fn victim_account() -> String {
    TestSigner::new(node::SEED).account().to_owned()
}

/// Points at which a healer is killed.
const HEALER_POINTS: [Point; 12] = [
    Point::Event("heal.started"),
    Point::Event("heal.surveyed"),
    Point::Fetching,
    Point::Event("heal.reconstructed"),
    Point::ClaimLost,
    Point::ClaimExecuted,
    Point::Event("heal.claimed"),
    Point::Serving,
    Point::Publishing,
    Point::Published,
    Point::Event("heal.published"),
    Point::Within(1500),
];
/// Points at which a verifier is killed.
const VERIFIER_POINTS: [Point; 5] =
    [Point::Verifying, Point::VoteLost, Point::VoteExecuted, Point::Event("heal.voted"), Point::Within(1500)];

/// The process that is killed; does nothing when the tests are run.
#[test]
#[ignore = "started by the other test, and killed"]
fn the_process_that_is_killed() {
    let Some(dir) = std::env::var_os(NODE_DIR) else { return };
    runtime().block_on(node::run(Path::new(&dir)));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// Numbers that look random and are the same every time.
fn draw(round: usize, what: &str, below: u64) -> u64 {
    let hash = blake3::derive_key("lampkeeper crash test", format!("{what} {round}").as_bytes());
    u64::from_le_bytes(hash[..8].try_into().unwrap()) % below
}

#[test]
fn a_node_that_is_killed_during_heals_always_recovers() {
    let kills = std::env::var(KILLS).ok().map_or(KILLS_BY_DEFAULT, |count| count.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let diary = Diary::default();
        let killer = Killer::new(dir.path(), &diary);
        let _end = KillAtEnd(killer.clone());
        let world = World::start(dir.path(), &killer).await;
        let mut killed = BTreeMap::<String, u64>::new();
        let mut ended = BTreeMap::<&str, u64>::new();
        for round in 0..kills {
            diary.note(format!("round {round}"));
            let (point, status) = kill_once(&world, &killer, dir.path(), round).await;
            *killed.entry(format!("{point:?}")).or_default() += 1;
            *ended.entry(status).or_default() += 1;
        }
        println!("killed {kills} times at {killed:?}; heals ended {ended:?}");
        assert_eq!(ended.get("VERIFIED"), Some(&(kills as u64)), "{ended:?}");
    });
}

/// One heal, in the middle of which the node is killed; where, and how the heal ended.
async fn kill_once(world: &World, killer: &Killer, dir: &Path, round: usize) -> (Point, &'static str) {
    let is_healer = draw(round, "role", 3) != 0;
    let points: &[Point] = if is_healer { &HEALER_POINTS } else { &VERIFIER_POINTS };
    let point = points[draw(round, "point", points.len() as u64) as usize];
    let victim = victim_account();
    let lost = damage(world, round).await;
    let (healer, verifiers) = participants(world, &victim, is_healer, round);
    killer.arm(point);
    let heal_op_id = world.schedule(&healer, &verifiers);
    let struck = wait_for_kill(killer, point, round).await;
    world.faults.take_down(&victim);
    check_disk(dir, round, struck).await;
    killer.start().await;
    world.faults.bring_up(&victim);
    let status = wait_for_end(world, dir, heal_op_id, &lost).await;
    check_submissions(world, heal_op_id, &victim, round, struck);
    (struck, status)
}

fn participants(world: &World, victim: &str, is_healer: bool, round: usize) -> (String, Vec<String>) {
    let peer = |number: u64| world.peers[(draw(round, "peer", 6) + number) as usize % 6].account.clone();
    if is_healer {
        (victim.to_owned(), vec![peer(0), peer(1)])
    } else {
        (peer(0), vec![victim.to_owned(), peer(1)])
    }
}

/// Some peers lose some artifacts; which of them belong where.
async fn damage(world: &World, round: usize) -> Vec<(usize, ArtifactKey)> {
    let mut lost = Vec::new();
    for (number, (key, _)) in world.documents.artifacts().enumerate() {
        let index = (number + round) % world.peers.len();
        let PeerNode { store, .. } = &world.peers[index];
        if draw(round, &format!("artifact {number}"), 20) == 0 && store.delete(&key).await.unwrap() {
            lost.push((index, key));
        }
    }
    lost
}

/// Waits until the node was killed at its point; a point that does not come is any time instead.
async fn wait_for_kill(killer: &Killer, point: Point, round: usize) -> Point {
    let (patience, instead) = match point {
        Point::Within(most_ms) => {
            let after_ms = draw(round, "time", most_ms);
            (Duration::from_millis(after_ms), point)
        }
        _ => (POINT_WITHIN, Point::Within(POINT_WITHIN.as_millis() as u64)),
    };
    let begun = tokio::time::Instant::now();
    while killer.is_running() {
        if begun.elapsed() >= patience {
            killer.kill();
            return instead;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    point
}

/// What is on the disk of a node that was killed: no artifact that does not match its key, and a journal that opens.
async fn check_disk(dir: &Path, round: usize, struck: Point) {
    let data_dir = dir.join("node");
    let scheduler = Arc::new(TokioScheduler::new(tokio::runtime::Handle::current()).unwrap());
    let plugin = |id: &str| {
        let mut context = context(id).data_dir(&data_dir).seams(|seams| {
            seams.scheduler = Some(scheduler.clone());
        });
        context = context.signer(TestSigner::new(node::SEED));
        let mut context = context.build();
        context.node.name = "crashing".to_owned();
        context.node.chain_id = "crashes".to_owned();
        context
    };
    let storage = (lampkeeper_storage_fs::descriptor().construct)(plugin("storage-fs")).await.unwrap();
    let store = storage.store.clone().unwrap();
    let mut after = None;
    loop {
        let entries = store.list(after, 1000).await.unwrap();
        let Some(last) = entries.last() else { break };
        after = Some(last.key);
        for entry in entries {
            let bytes = store.get(&entry.key).await;
            assert!(matches!(bytes, Ok(Some(_))), "round {round}, {struck:?}: {} is {bytes:?}", entry.key);
        }
    }
    let staging = storage.staging.clone().unwrap();
    let journal =
        (lampkeeper_journal_sqlite::descriptor().construct)(plugin("journal-sqlite")).await.unwrap();
    let claims = journal.journal.clone().unwrap().claims().await.unwrap();
    check_explained(&*staging, &claims, round, struck).await;
    // One may be left whose reconstruction is published and gone.
    assert!(claims.len() <= 2, "round {round}, {struck:?}: {claims:?}");
    if let Some(close) = journal.close {
        close.close().await.unwrap();
    }
    storage.close.unwrap().close().await.unwrap();
}

/// What was staged is explained as something that goes on when the node starts.
async fn check_explained(staging: &dyn Staging, claims: &[HealClaim], round: usize, struck: Point) {
    for heal_op_id in staging.list().await.unwrap() {
        let state = staging.state(heal_op_id).await.unwrap();
        let claim = claims.iter().find(|claim| claim.heal_op_id == heal_op_id);
        let told = explain(heal_op_id, claim, &state, &ChainSays::Nothing, &victim_account());
        assert!(told.resumption.is_some(), "round {round}, {struck:?}, operation {heal_op_id}: {told:?}");
    }
}

/// Waits until the operation has ended, everything that was lost is back, and nothing is staged any more.
async fn wait_for_end(
    world: &World,
    dir: &Path,
    heal_op_id: u64,
    lost: &[(usize, ArtifactKey)],
) -> &'static str {
    let begun = tokio::time::Instant::now();
    loop {
        let op = world.op(heal_op_id);
        let mut missing = 0;
        for (index, key) in lost {
            missing += usize::from(!matches!(world.peers[*index].store.get(key).await, Ok(Some(_))));
        }
        let staged = std::fs::read_dir(dir.join("node/heal-staging")).map_or(0, |entries| {
            let is_operation = |name: &str| name.chars().all(|letter| letter.is_ascii_digit());
            entries.flatten().filter(|entry| is_operation(&entry.file_name().to_string_lossy())).count()
        });
        if op.status.is_final() && (op.status != HealOpStatus::Verified || missing + staged == 0) {
            return op.status.name();
        }
        assert!(
            begun.elapsed() < HEAL_WITHIN,
            "operation {heal_op_id} is {}, {missing} artifacts are missing, {staged} directories are left",
            op.status.name()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Nothing was executed twice, and nothing was submitted again without need: a message whose outcome the node did not
/// learn may come a second time, and only as a vote, since a claim can be asked for.
fn check_submissions(world: &World, heal_op_id: u64, victim: &str, round: usize, struck: Point) {
    let submitted = world.submitted.lock().unwrap();
    let of_op = |message: &ChainMessage| match message {
        ChainMessage::HealClaim(claim) => Some((claim.heal_op_id == heal_op_id, "claim")),
        ChainMessage::HealVerification(vote) => Some((vote.heal_op_id == heal_op_id, "vote")),
        _ => None,
    };
    for kind in ["claim", "vote"] {
        let outcomes: Vec<bool> = submitted
            .iter()
            .filter(|(message, _)| of_op(message) == Some((true, kind)))
            .map(|(_, is_executed)| *is_executed)
            .collect();
        let executed = outcomes.iter().filter(|is_executed| **is_executed).count();
        assert!(
            executed <= 1,
            "round {round}, {struck:?}: {kind} {heal_op_id} was executed {executed} times"
        );
        let most = if kind == "vote" { 2 } else { 1 };
        assert!(outcomes.len() <= most, "round {round}, {struck:?}: {kind} {heal_op_id}: {outcomes:?}");
    }
    let votes = world.chain.read(|state| state.audit.heal_votes.get(&heal_op_id).cloned());
    let no = votes.unwrap_or_default().into_iter().find(|(_, verified)| !verified);
    assert!(no.is_none(), "round {round}, {struck:?}, victim {victim}: somebody voted no: {no:?}");
}
