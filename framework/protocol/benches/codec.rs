//! The erasure code against a naive whole-file use of the same RaptorQ crate, in time and in peak memory.
//!
//! Run with `cargo bench -p lampkeeper-protocol --bench codec`, or with sizes in MiB after `--`. Every measurement is a
//! fresh process, so that its peak resident memory (`VmHWM` of /proc, so Linux only) is its own: the benchmark starts
//! itself with the name of a case. The file, and the packets of a decode, are in memory and part of the peak.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and keeps packets in a file")]
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a program for developers")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lampkeeper_protocol::artifact_key::ArtifactKey;
use lampkeeper_protocol::cascade::codec::{self, PACKET_LEN_BYTES, Packet, Parameters};
use raptorq::{Decoder, Encoder, EncodingPacket, ObjectTransmissionInformation};

/// Runs of each case; the fastest time and the highest peak count.
const RUNS: usize = 5;
const MIB: f64 = 1024.0 * 1024.0;
/// First argument of a process that runs one case.
const CHILD: &str = "--run-case";

/// Who does the work.
#[derive(Clone, Copy, PartialEq)]
enum Contender {
    Naive,
    Codec(NonZeroUsize),
}

struct Measurement {
    time: Duration,
    peak_bytes: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|argument| argument == CHILD) {
        return run_child(&arguments[1..]);
    }
    let sizes: Vec<u64> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10, 100] } else { sizes };
    let directory = std::env::temp_dir().join(format!("codec-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    println!("case                        size  who      workers     time      speed  ratio   peak / file");
    for size_mib in sizes {
        compare("encode", size_mib, &directory);
        for count in [1, 10, 100] {
            compare(&format!("regenerate {count}"), size_mib, &directory);
        }
        for lost_percent in [0, 1, 10, 100] {
            run_case(&format!("prepare {lost_percent}"), size_mib, None, &directory);
            compare(&format!("decode {lost_percent}% lost"), size_mib, &directory);
        }
    }
    std::fs::remove_dir_all(&directory).expect("the temporary directory is removable");
}

/// Measures a case with each contender and prints a line for each. They take turns, so that whatever else the machine
/// does disturbs all of them.
fn compare(case: &str, size_mib: u64, directory: &Path) {
    let all = std::thread::available_parallelism().expect("the number of processors");
    let contenders = [Contender::Naive, Contender::Codec(NonZeroUsize::MIN), Contender::Codec(all)];
    let mut best = contenders.map(|contender| measure(case, size_mib, contender, directory));
    for _ in 1..RUNS {
        for (best, contender) in best.iter_mut().zip(contenders) {
            let run = measure(case, size_mib, contender, directory);
            best.time = best.time.min(run.time);
            best.peak_bytes = best.peak_bytes.max(run.peak_bytes);
        }
    }
    for (contender, measured) in contenders.iter().zip(&best) {
        print_line(case, size_mib, *contender, measured, &best[0]);
    }
}

fn print_line(case: &str, size_mib: u64, contender: Contender, measured: &Measurement, naive: &Measurement) {
    let (who, workers) = match contender {
        Contender::Naive => ("raptorq", NonZeroUsize::MIN),
        Contender::Codec(workers) => ("codec", workers),
    };
    let seconds = measured.time.as_secs_f64();
    let speed = size_mib as f64 / seconds;
    let ratio = naive.time.as_secs_f64() / seconds;
    let peak_mib = measured.peak_bytes as f64 / MIB;
    let relative = peak_mib / size_mib as f64;
    println!(
        "{case:<22} {size_mib:>5} MiB  {who:<7}  {workers:>7}  {seconds:>6.3} s  {speed:>6.1} MiB/s  {ratio:>4.1}x  {peak_mib:>7.1} MiB = {relative:.2}x"
    );
}

fn measure(case: &str, size_mib: u64, contender: Contender, directory: &Path) -> Measurement {
    let workers = match contender {
        Contender::Naive => None,
        Contender::Codec(workers) => Some(workers),
    };
    let text = run_case(case, size_mib, workers, directory);
    let (nanos, peak_bytes) = text.trim().split_once(' ').expect("two numbers");
    Measurement {
        time: Duration::from_nanos(nanos.parse().expect("nanoseconds")),
        peak_bytes: peak_bytes.parse().expect("bytes"),
    }
}

/// Runs a case in a process of its own and returns what it printed. No workers means the naive contender.
fn run_case(case: &str, size_mib: u64, workers: Option<NonZeroUsize>, directory: &Path) -> String {
    let workers = workers.map_or(0, NonZeroUsize::get);
    let output = Command::new(std::env::current_exe().expect("the path of this program"))
        .args([CHILD, case, &size_mib.to_string(), &workers.to_string()])
        .arg(directory)
        .output()
        .expect("this program starts again");
    assert!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Runs one case and prints its nanoseconds and its peak memory in bytes.
fn run_child(arguments: &[String]) {
    let [case, size_mib, workers, directory] = arguments else { panic!("four arguments") };
    let size_mib: u64 = size_mib.parse().expect("a size");
    let workers = NonZeroUsize::new(workers.parse().expect("a number of workers"));
    let words: Vec<&str> = case.split(' ').collect();
    let time = match words[..] {
        ["encode"] => encode(&file(size_mib), workers),
        ["regenerate", count] => regenerate(&file(size_mib), count.parse().expect("a count"), workers),
        ["prepare", lost_percent] => {
            let lost_percent = lost_percent.parse().expect("a percentage");
            return prepare_packets(size_mib, lost_percent, Path::new(directory));
        }
        ["decode", ..] => decode(size_mib, Path::new(directory), workers),
        _ => panic!("unknown case {case}"),
    };
    println!("{} {}", time.as_nanos(), peak_memory_bytes());
}

fn encode(file: &[u8], workers: Option<NonZeroUsize>) -> Duration {
    let start = Instant::now();
    let parameters = Parameters::for_file_len(file.len() as u64).expect("a permitted size");
    let ids: Vec<ArtifactKey> = match workers {
        Some(workers) => codec::encode(file, workers, |_| Ok(())).expect("encodes").symbol_ids,
        None => {
            let encoder = naive_encoder(file);
            let packets = encoder.get_encoded_packets(parameters.repair_symbols());
            packets.iter().map(|packet| ArtifactKey::of(&packet.serialize())).collect()
        }
    };
    assert_eq!(ids.len(), parameters.total_symbols() as usize);
    start.elapsed()
}

fn regenerate(file: &[u8], count: u32, workers: Option<NonZeroUsize>) -> Duration {
    let parameters = Parameters::for_file_len(file.len() as u64).expect("a permitted size");
    let first = parameters.source_symbols();
    let esis: Vec<u32> = (0..count).map(|i| first + i * (parameters.repair_symbols() / count)).collect();
    let start = Instant::now();
    let mut ids: Vec<ArtifactKey> = Vec::new();
    match workers {
        Some(workers) => {
            let sink = |batch: Vec<Packet>| {
                ids.extend(batch.iter().map(Packet::id));
                Ok(())
            };
            codec::regenerate(&parameters, file, &esis, workers, sink).expect("regenerates");
        }
        None => {
            let encoder = naive_encoder(file);
            let block = &encoder.get_block_encoders()[0];
            ids.extend(
                esis.iter().map(|esi| ArtifactKey::of(&block.repair_packets(esi - first, 1)[0].serialize())),
            );
        }
    }
    assert_eq!(ids.len(), esis.len());
    start.elapsed()
}

fn decode(size_mib: u64, directory: &Path, workers: Option<NonZeroUsize>) -> Duration {
    let parameters = Parameters::for_file_len(size_mib << 20).expect("a permitted size");
    let packets = read_packets(directory);
    let (decoded, time) = match workers {
        Some(workers) => {
            let available: Vec<u32> = packets.keys().copied().collect();
            let start = Instant::now();
            let mut decoded = Vec::with_capacity(parameters.len_bytes() as usize);
            codec::decode(&parameters, &available, &packets, workers, |piece| {
                decoded.extend_from_slice(piece);
                Ok(())
            })
            .expect("decodes");
            (decoded, start.elapsed())
        }
        None => {
            let packets: Vec<EncodingPacket> =
                packets.into_values().map(|packet| EncodingPacket::deserialize(&packet)).collect();
            let start = Instant::now();
            let mut decoder = Decoder::new(ObjectTransmissionInformation::deserialize(&parameters.oti()));
            let decoded = packets.into_iter().find_map(|packet| decoder.decode(packet)).expect("decodes");
            (decoded, start.elapsed())
        }
    };
    assert_eq!(ArtifactKey::of(&decoded), expected_key(directory), "the decoded file");
    time
}

fn naive_encoder(file: &[u8]) -> Encoder {
    let parameters = Parameters::for_file_len(file.len() as u64).expect("a permitted size");
    Encoder::new(file, ObjectTransmissionInformation::deserialize(&parameters.oti()))
}

/// Writes a set of packets that just suffices, two to spare, with that share of the source symbols lost.
fn prepare_packets(size_mib: u64, lost_percent: u32, directory: &Path) {
    let file = file(size_mib);
    let parameters = Parameters::for_file_len(file.len() as u64).expect("a permitted size");
    let source_symbols = parameters.source_symbols();
    let lost = (source_symbols * lost_percent).div_ceil(100);
    let is_lost = |esi: u32| u64::from(esi) * u64::from(lost) % u64::from(source_symbols) < u64::from(lost);
    let kept = |esi: u32| if esi < source_symbols { !is_lost(esi) } else { esi < source_symbols + lost + 2 };
    let mut packets = std::fs::File::create(packets_path(directory)).expect("a temporary file");
    let esis: Vec<u32> = (0..parameters.total_symbols()).filter(|esi| kept(*esi)).collect();
    let all = std::thread::available_parallelism().expect("the number of processors");
    codec::regenerate(&parameters, &file[..], &esis, all, |batch| {
        batch.iter().try_for_each(|packet| packets.write_all(packet.bytes()))
    })
    .expect("regenerates");
    std::fs::write(directory.join("key"), ArtifactKey::of(&file).to_string()).expect("a temporary file");
}

fn read_packets(directory: &Path) -> BTreeMap<u32, Vec<u8>> {
    let mut file = std::fs::File::open(packets_path(directory)).expect("prepared packets");
    let count = file.metadata().expect("a length").len() / PACKET_LEN_BYTES as u64;
    let mut packets = BTreeMap::new();
    for _ in 0..count {
        let mut packet = vec![0; PACKET_LEN_BYTES];
        file.read_exact(&mut packet).expect("a packet");
        packets.insert(u32::from_be_bytes([packet[0], packet[1], packet[2], packet[3]]), packet);
    }
    packets
}

fn packets_path(directory: &Path) -> PathBuf {
    directory.join("packets")
}

fn expected_key(directory: &Path) -> ArtifactKey {
    let text = std::fs::read_to_string(directory.join("key")).expect("the prepared key");
    text.parse().expect("a key")
}

/// A file that does not compress, the same in every process.
fn file(size_mib: u64) -> Vec<u8> {
    let mut file = vec![0; (size_mib << 20) as usize];
    blake3::Hasher::new().update(b"codec benchmark").finalize_xof().fill(&mut file);
    file
}

/// The most memory that this process has had resident.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc, which Linux has");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kib * 1024
}
