//! Handshakes, calls and streams over the secure channel, beside tonic in plaintext and tonic over rustls in the same run.
//!
//! A program of its own, because what is compared are whole systems: every subject has its server and its client in this
//! process, on a runtime of two threads, with the same windows. Run with `cargo bench -p lampkeeper-transport-grpc`.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and fails by panicking")]

#[path = "../../tests/sockets/clock.rs"]
mod clock;
#[path = "../../tests/sockets/common.rs"]
#[allow(dead_code, reason = "the benchmark uses a part")]
mod common;
mod tonic_subject;

use common::{ECHO, PATIENCE, chain, loopback, node, runtime};
use lampkeeper_plugin_sdk::api::transport::{
    Caller, MessageStream, Peer, Route, Router, ServerHandle, Status, StreamHandler, Transport, UnaryHandler,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::futures::future::join_all;
use lampkeeper_transport_grpc::{Config, GrpcTransport};
use std::sync::Arc;
use std::time::Instant;

/// One message of a stream, and one answer of the throughput test.
const CHUNK_LEN_BYTES: usize = 1024 * 1024;
const STREAM_CHUNKS: usize = 256;
const CALLS: usize = 2000;
const HANDSHAKES: usize = 400;
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
        let chain = chain(&["client", "server"], &[], &[]);
        let server = node("server", &chain, Config { connections_per_account_max: 512, ..loopback() });
        let mut router = Router::default();
        router.add(Route::unary(ECHO, Arc::new(Answers))).unwrap();
        router.add(Route::unary(BYTES, Arc::new(Answers))).unwrap();
        router.add(Route::server_stream(STREAM, Arc::new(Answers))).unwrap();
        let handle = server.transport.serve(router).await.unwrap();
        let peer = Peer { account: server.account.clone(), address: handle.local_address() };
        let client = node("client", &chain, loopback()).transport;
        Self { peer, client, chain, _server: handle }
    }
}

#[async_trait]
impl Subject for Ours {
    fn name(&self) -> &'static str {
        "secure channel"
    }

    async fn connect_and_call(&self) {
        let client = node("client", &self.chain, loopback());
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

/// The process's memory, and the most that it ever had, in MiB.
fn memory_mib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
    };
    (field("VmRSS:").unwrap_or(0), field("VmHWM:").unwrap_or(0))
}

async fn measure(subject: &dyn Subject) {
    println!("{}", subject.name());
    let begun = Instant::now();
    for _ in 0..HANDSHAKES / AT_ONCE {
        join_all((0..AT_ONCE).map(|_| subject.connect_and_call())).await;
    }
    println!("  connections with one call      {:8.0} /s", HANDSHAKES as f64 / begun.elapsed().as_secs_f64());

    subject.call(ECHO, Vec::new()).await;
    let mut latencies = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        subject.call(ECHO, Vec::new()).await;
        latencies.push(begun.elapsed());
    }
    latencies.sort_unstable();
    println!(
        "  empty call, median / 99 %      {:?} / {:?}",
        latencies[CALLS / 2],
        latencies[CALLS * 99 / 100]
    );

    let request = (CHUNK_LEN_BYTES as u64).to_le_bytes().to_vec();
    let begun = Instant::now();
    for _ in 0..DOWNLOADS / AT_ONCE {
        let answers = join_all((0..AT_ONCE).map(|_| subject.call(BYTES, request.clone()))).await;
        assert!(answers.iter().all(|answer| answer.len() == CHUNK_LEN_BYTES));
    }
    let mib = |bytes: usize| bytes as f64 / (1024.0 * 1024.0);
    let per_s = mib(DOWNLOADS * CHUNK_LEN_BYTES) / begun.elapsed().as_secs_f64();
    println!("  answers of 1 MiB, {AT_ONCE} at once     {per_s:8.0} MiB/s");

    let before = memory_mib();
    let begun = Instant::now();
    let streamed_bytes = subject.stream(STREAM_CHUNKS).await;
    assert_eq!(streamed_bytes, STREAM_CHUNKS * CHUNK_LEN_BYTES);
    let per_s = mib(streamed_bytes) / begun.elapsed().as_secs_f64();
    let after = memory_mib();
    println!(
        "  stream of 256 MiB              {per_s:8.0} MiB/s, memory {} MiB before, {} MiB after, {} MiB at most ever",
        before.0, after.0, after.1
    );
}

fn main() {
    // `cargo test --benches` runs this with a flag; there is nothing to test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    runtime().block_on(async {
        let subjects: [Box<dyn Subject>; 3] = [
            Box::new(Ours::start().await),
            Box::new(tonic_subject::TonicSubject::plaintext().await),
            Box::new(tonic_subject::TonicSubject::over_rustls().await),
        ];
        for _round in 0..2 {
            for subject in &subjects {
                measure(&**subject).await;
            }
        }
    });
}
