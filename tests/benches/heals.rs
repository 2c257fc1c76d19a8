//! What a heal costs with `heal-minimal` and with `heal-full`, and what a verifier needs: CPU time, bytes, memory.
//!
//! Every case runs in a process of its own, so that its peak of memory is its own: the program starts itself again with
//! `--case`. The network is a file of packets on disk, so that what the holders have does not count; staging is the real
//! one. Sizes in MB may be given as arguments; the default is 10, 100 and 256.
//!
//! ```text
//! cargo bench -p lampkeeper-tests --bench heals -- 10 100
//! ```
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads its own files and starts its own processes"
)]

#[path = "heals/network.rs"]
mod network;
#[path = "heals/verifier.rs"]
mod verifier;

use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::HealOp;
use lampkeeper_plugin_sdk::api::heal::HealJob;
use lampkeeper_plugin_sdk::api::plugin::Provided;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::staging::{StagingManifest, StagingState};
use lampkeeper_plugin_sdk::cascade::fixture::TicketFixture;
use lampkeeper_plugin_sdk::testkit::{MockChain, TestSigner, context};
use lampkeeper_scheduler_tokio::TokioScheduler;
use network::{Damage, PacketFile, REPLICAS};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Sizes of the file in MB unless arguments say otherwise.
const SIZES_MB: [usize; 3] = [10, 100, 256];
const HEAL_OP_ID: u64 = 1;
const STRATEGIES: [&str; 2] = ["heal-minimal", "heal-full"];
/// What is lost; see [`Damage`].
const DAMAGES: [(&str, &str); 6] = [
    ("symbols=1", "1 symbol of one node"),
    ("symbols=10", "10 symbols of one node"),
    ("symbols=100", "100 symbols of one node"),
    ("repair=1", "1 repair symbol of one node"),
    ("gone=1", "1 source symbol of all nodes"),
    ("wiped", "all that one node held"),
];

/// What one case cost.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    cpu_ms: u64,
    fetched_bytes: u64,
    staged_bytes: u64,
    published_bytes: u64,
    peak_kib: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if arguments.first().is_some_and(|word| word == "--case") {
        return run_case(&arguments[1..]);
    }
    let sizes: Vec<usize> = arguments.iter().filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { SIZES_MB.to_vec() } else { sizes };
    println!("| file | lost | strategy | CPU s | fetched MB | staged MB | published MB | peak MB |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut ratios = Vec::new();
    for size_mb in sizes {
        let dir = tempfile::tempdir().unwrap();
        PacketFile::write(dir.path(), &TicketFixture::new("7", size_mb * 1_000_000, 3));
        for (damage, lost) in DAMAGES {
            let [minimal, full] = STRATEGIES.map(|strategy| {
                let cost = start_case(dir.path(), strategy, damage);
                tell(&format!("{size_mb} MB"), lost, strategy, cost);
                cost
            });
            ratios.push((size_mb, lost, minimal, full));
        }
        let cost = start_case(dir.path(), "verifier", "none");
        tell(&format!("{size_mb} MB"), "nothing", "verifier", cost);
    }
    println!("\n| file | lost | CPU, full : minimal | staged | published | memory |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (size_mb, lost, minimal, full) in ratios {
        let ratio = |of: fn(&Cost) -> u64| format!("{:.1}", of(&full) as f64 / of(&minimal).max(1) as f64);
        println!(
            "| {size_mb} MB | {lost} | {} | {} | {} | {} |",
            ratio(|cost| cost.cpu_ms),
            ratio(|cost| cost.staged_bytes),
            ratio(|cost| cost.published_bytes),
            ratio(|cost| cost.peak_kib)
        );
    }
}

fn tell(file: &str, lost: &str, who: &str, cost: Cost) {
    let megabytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1e6);
    println!(
        "| {file} | {lost} | {who} | {:.2} | {} | {} | {} | {} |",
        cost.cpu_ms as f64 / 1e3,
        megabytes(cost.fetched_bytes),
        megabytes(cost.staged_bytes),
        megabytes(cost.published_bytes),
        megabytes(cost.peak_kib * 1024)
    );
}

/// Runs a case in a process of its own.
fn start_case(dir: &Path, who: &str, damage: &str) -> Cost {
    let arguments = ["--case", dir.to_str().unwrap(), who, damage];
    let output = Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{who} {damage}: {}", String::from_utf8_lossy(&output.stderr));
    let line = String::from_utf8(output.stdout).unwrap();
    let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap());
    let mut next = || numbers.next().unwrap();
    Cost {
        cpu_ms: next(),
        fetched_bytes: next(),
        staged_bytes: next(),
        published_bytes: next(),
        peak_kib: next(),
    }
}

fn run_case(arguments: &[String]) {
    let [dir, who, damage] = arguments else { panic!("a case is a directory, a strategy and a damage") };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let scheduler: Arc<dyn Scheduler> = Arc::new(TokioScheduler::new(runtime.handle().clone()).unwrap());
    let packets = PacketFile::open(Path::new(dir));
    let cost = if who == "verifier" {
        runtime.block_on(verifier::verify(scheduler, packets))
    } else {
        runtime.block_on(heal(scheduler, packets, who, damage))
    };
    let Cost { cpu_ms, fetched_bytes, staged_bytes, published_bytes, peak_kib } = cost;
    println!("{cpu_ms} {fetched_bytes} {staged_bytes} {published_bytes} {peak_kib}");
}

async fn heal(scheduler: Arc<dyn Scheduler>, packets: PacketFile, strategy: &str, damage: &str) -> Cost {
    let fixture = packets.ticket();
    let network = Arc::new(packets.damaged(&Damage::parse(damage)));
    let staging_dir = tempfile::tempdir_in(network.dir()).unwrap();
    let storage = context("storage-fs")
        .config("{}")
        .data_dir(staging_dir.path())
        .seams(|seams| seams.scheduler = Some(Arc::clone(&scheduler)));
    let storage = (lampkeeper_storage_fs::descriptor().construct)(storage.build()).await.unwrap();
    let staging = storage.staging.clone().unwrap();
    let chain = fixture.known_to(MockChain::builder("ann")).build();
    let grant = |seams: &mut Provided| {
        seams.chain_reader = Some(chain);
        seams.network = Some(Arc::clone(&network) as _);
        seams.staging = Some(Arc::clone(&staging));
        seams.scheduler = Some(scheduler);
    };
    let descriptor = match strategy {
        "heal-minimal" => lampkeeper_heal_minimal::descriptor(),
        _ => lampkeeper_heal_full::descriptor(),
    };
    let provided = (descriptor.construct)(context(strategy).seams(grant).build()).await.unwrap();
    let heal_op =
        HealOp { heal_op_id: HEAL_OP_ID, ticket_id: fixture.ticket.ticket_id.clone(), ..HealOp::default() };
    let job = HealJob { heal_op, ticket: fixture.ticket.clone(), cancel: Cancel::new() };
    let before_ms = cpu_ms();
    let made = provided.heal_strategy.unwrap().reconstruct(job).await.unwrap();
    let cpu_ms = cpu_ms() - before_ms;
    assert_eq!(made.manifest_hash, fixture.ticket.data_hash);
    let Ok(StagingState::Sealed(manifest)) = staging.state(HEAL_OP_ID).await else { panic!("not sealed") };
    let (staged_bytes, published_bytes) = weight(&manifest);
    Cost {
        cpu_ms,
        fetched_bytes: network.fetched_bytes(),
        staged_bytes,
        published_bytes,
        peak_kib: peak_kib(),
    }
}

/// Bytes of the staged artifacts, and bytes that publishing them sends: an artifact that names nobody goes to its whole
/// replica set.
fn weight(manifest: &StagingManifest) -> (u64, u64) {
    let artifacts = manifest.artifacts.iter();
    artifacts.fold((0, 0), |(staged, published), artifact| {
        let copies = if artifact.missing_on.is_empty() { REPLICAS } else { artifact.missing_on.len() };
        (staged + artifact.len_bytes, published + artifact.len_bytes * copies as u64)
    })
}

/// CPU time of this process so far, in milliseconds; the kernel counts in hundredths of a second.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks * 10
}

/// The most memory that this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let fields: BTreeMap<&str, &str> = status.lines().filter_map(|line| line.split_once(':')).collect();
    fields["VmHWM"].trim().trim_end_matches(" kB").parse().unwrap()
}

/// The key of whoever made the ticket.
fn creator() -> TestSigner {
    TestSigner::new("creator")
}
