//! Handshakes, calls and streams over the secure channel, beside tonic in plaintext and tonic over rustls in the same run.
//!
//! A program of its own, because what is compared are whole systems: every subject has its server and its client in this
//! process, on a runtime of two threads, with the same windows. They take turns, so that all of them meet the same
//! machine, and what is printed is the median of all turns. Besides the time on the clock, which other work on the machine
//! prolongs, the time on a processor is measured, of server and client together.
//!
//! Run with `cargo bench -p lampkeeper-transport-grpc`; `-- NAME` measures only subjects with that in their name, and
//! `-- --chacha20` leaves rustls no cipher but the channel's, which is not the one that it chooses.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and fails by panicking")]

#[path = "../../tests/sockets/clock.rs"]
mod clock;
#[path = "../../tests/sockets/common.rs"]
#[allow(dead_code, reason = "the benchmark uses a part")]
mod common;
mod figures;
mod tonic_subject;

use common::{ECHO, PATIENCE, chain, loopback, node, runtime};
use figures::{Figures, Stopwatch, memory_kib, print_table, reset_peak_memory};
use lampkeeper_plugin_sdk::api::transport::{
    Caller, MessageStream, Peer, Route, Router, ServerHandle, Status, StreamHandler, Transport, UnaryHandler,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::futures::future::join_all;
use lampkeeper_transport_grpc::{Config, GrpcTransport};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One message of a stream, and one answer of the throughput test.
const CHUNK_LEN_BYTES: usize = 1024 * 1024;
const STREAM_CHUNKS: usize = 256;
const CALLS: usize = 1000;
const HANDSHAKES: usize = 200;
/// Turns of each subject.
const ROUNDS: usize = 7;
/// Streams that must not differ in the memory they take.
const MEMORY_CHUNKS: [usize; 3] = [64, 256, 1024];
const DOWNLOADS: usize = 256;
const AT_ONCE: usize = 8;
/// A path that answers with so many bytes as the request says.
pub(crate) const BYTES: &str = "/lampkeeper.Test/Bytes";
/// A path that streams so many chunks as the request says.
pub(crate) const STREAM: &str = "/lampkeeper.Test/Stream";

/// A number as a request carries it.
pub(crate) fn number(request: &[u8]) -> usize {
    request.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes) as usize)
}

/// What is measured.
#[async_trait]
pub(crate) trait Subject: Send + Sync {
    fn name(&self) -> &'static str;
    /// A new connection and one call on it.
    async fn connect_and_call(&self);
    /// One call on a connection that there is.
    async fn call(&self, path: &'static str, request: Vec<u8>) -> Vec<u8>;
    /// The bytes of a stream; they are counted and dropped.
    async fn stream(&self, chunks: usize) -> usize;
}

/// Accounts of the EVM's kind, as the present network's are.
const CLIENT: &str = "evm client";
const SERVER: &str = "evm server";

struct Ours {
    peer: Peer,
    client: Arc<GrpcTransport>,
    chain: Arc<dyn lampkeeper_plugin_sdk::api::chain::ChainReader>,
    _server: Box<dyn ServerHandle>,
}

struct Answers;
struct Chunks(usize);

#[async_trait]
impl UnaryHandler for Answers {
    async fn call(&self, _: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        Ok(vec![7; number(&request)])
    }
}

#[async_trait]
impl StreamHandler for Answers {
    async fn call(&self, _: Caller, request: Vec<u8>) -> Result<Box<dyn MessageStream>, Status> {
        Ok(Box::new(Chunks(number(&request))))
    }
}

#[async_trait]
impl MessageStream for Chunks {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        self.0 = self.0.checked_sub(1)?;
        Some(Ok(vec![7; CHUNK_LEN_BYTES]))
    }
}

impl Ours {
    async fn start() -> Self {
        let chain = chain(&[CLIENT, SERVER], &[], &[]);
        let server = node(SERVER, &chain, Config { connections_per_account_max: 512, ..loopback() });
        let mut router = Router::default();
        router.add(Route::unary(ECHO, Arc::new(Answers))).unwrap();
        router.add(Route::unary(BYTES, Arc::new(Answers))).unwrap();
        router.add(Route::server_stream(STREAM, Arc::new(Answers))).unwrap();
        let handle = server.transport.serve(router).await.unwrap();
        let peer = Peer { account: server.account.clone(), address: handle.local_address() };
        let client = node(CLIENT, &chain, loopback()).transport;
        Self { peer, client, chain, _server: handle }
    }
}

#[async_trait]
impl Subject for Ours {
    fn name(&self) -> &'static str {
        "secure channel"
    }

    async fn connect_and_call(&self) {
        let client = node(CLIENT, &self.chain, loopback());
        client.transport.call(&self.peer, ECHO, Vec::new(), PATIENCE).await.unwrap();
    }

    async fn call(&self, path: &'static str, request: Vec<u8>) -> Vec<u8> {
        self.client.call(&self.peer, path, request, PATIENCE).await.unwrap()
    }

    async fn stream(&self, chunks: usize) -> usize {
        let request = (chunks as u64).to_le_bytes().to_vec();
        let mut stream = self.client.call_stream(&self.peer, STREAM, request, PATIENCE).await.unwrap();
        let mut total_bytes = 0;
        while let Some(chunk) = stream.next().await {
            total_bytes += chunk.unwrap().len();
        }
        total_bytes
    }
}

async fn measure(subject: &dyn Subject) -> Figures {
    let watch = Stopwatch::start();
    for _ in 0..HANDSHAKES / AT_ONCE {
        join_all((0..AT_ONCE).map(|_| subject.connect_and_call())).await;
    }
    let connections = watch.stop();

    subject.call(ECHO, Vec::new()).await;
    let mut latencies = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        subject.call(ECHO, Vec::new()).await;
        latencies.push(begun.elapsed());
    }
    latencies.sort_unstable();

    let request = (CHUNK_LEN_BYTES as u64).to_le_bytes().to_vec();
    let watch = Stopwatch::start();
    for _ in 0..DOWNLOADS / AT_ONCE {
        let answers = join_all((0..AT_ONCE).map(|_| subject.call(BYTES, request.clone()))).await;
        assert!(answers.iter().all(|answer| answer.len() == CHUNK_LEN_BYTES));
    }
    let answers = watch.stop();

    let watch = Stopwatch::start();
    assert_eq!(subject.stream(STREAM_CHUNKS).await, STREAM_CHUNKS * CHUNK_LEN_BYTES);
    let stream = watch.stop();

    let micros = |latency: Duration| latency.as_secs_f64() * 1e6;
    Figures {
        connections_per_s: HANDSHAKES as f64 / connections.elapsed_s,
        connection_cpu_us: connections.cpu_s * 1e6 / HANDSHAKES as f64,
        call_median_us: micros(latencies[CALLS / 2]),
        call_99_us: micros(latencies[CALLS * 99 / 100]),
        answers_mib_per_s: DOWNLOADS as f64 / answers.elapsed_s,
        answers_cpu_s: answers.cpu_s,
        stream_mib_per_s: STREAM_CHUNKS as f64 / stream.elapsed_s,
        stream_cpu_s: stream.cpu_s,
    }
}

/// What streams of several lengths take at most, above what the process has anyhow.
async fn measure_memory(subject: &dyn Subject) {
    for chunks in MEMORY_CHUNKS {
        let before = memory_kib("VmRSS:");
        reset_peak_memory();
        assert_eq!(subject.stream(chunks).await, chunks * CHUNK_LEN_BYTES);
        let peak = memory_kib("VmHWM:");
        println!("{}: a stream of {chunks} MiB: {before} KiB before, {peak} KiB at most", subject.name());
    }
}

fn main() {
    // `cargo test --benches` runs this with a flag; there is nothing to test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| named.is_empty() || named.iter().any(|part| name.contains(part));
    if std::env::args().any(|argument| argument == "--chacha20") {
        tonic_subject::only_chacha20();
    }
    runtime().block_on(async {
        let subjects: [Box<dyn Subject>; 3] = [
            Box::new(Ours::start().await),
            Box::new(tonic_subject::TonicSubject::over_rustls().await),
            Box::new(tonic_subject::TonicSubject::plaintext().await),
        ];
        let mut measured: Vec<(&Box<dyn Subject>, Vec<Figures>)> = subjects
            .iter()
            .filter(|subject| is_wanted(subject.name()))
            .map(|one| (one, Vec::new()))
            .collect();
        for (subject, _) in &measured {
            measure_memory(&***subject).await;
        }
        for _ in 0..ROUNDS {
            for (subject, figures) in &mut measured {
                figures.push(measure(&***subject).await);
            }
        }
        let medians = measured.iter().map(|(subject, figures)| (subject.name(), Figures::median(figures)));
        print_table(&medians.collect::<Vec<_>>());
    });
}
