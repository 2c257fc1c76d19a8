//! What storing, reading and proving artifacts of 64 KiB costs, with the disk's share.
//!
//! `put` includes two syncs for each artifact, so it measures the disk; the others read what the page cache holds.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use lampkeeper_plugin_sdk::api::store::{ArtifactStore, ByteRange};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::testkit::VirtualScheduler;
use std::sync::atomic::{AtomicU64, Ordering};

#[path = "../tests/common/mod.rs"]
mod common;

const ARTIFACT_LEN_BYTES: usize = 64 * 1024;

fn main() {
    divan::main();
}

fn artifact(number: u64) -> (ArtifactKey, Vec<u8>) {
    let mut bytes = vec![0; ARTIFACT_LEN_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    (ArtifactKey::of(&bytes), bytes)
}

/// As many puts at once as there are threads: the file system writes the syncs of several callers in one go.
#[divan::bench(threads = [1, 4, 16, 64])]
fn put(bencher: divan::Bencher<'_, '_>) {
    let (scheduler, dir) = (VirtualScheduler::new(0), tempfile::tempdir().unwrap());
    let store = scheduler.block_on(common::open_store(&scheduler, dir.path())).unwrap();
    let next = AtomicU64::new(0);
    bencher
        .counter(divan::counter::BytesCount::new(ARTIFACT_LEN_BYTES))
        .with_inputs(|| artifact(next.fetch_add(1, Ordering::Relaxed)))
        // The store works in place, on the thread that waits for it.
        .bench_values(|(key, bytes)| VirtualScheduler::new(0).block_on(store.put(&key, bytes)).unwrap());
}

#[divan::bench]
fn get(bencher: divan::Bencher<'_, '_>) {
    let (scheduler, dir) = (VirtualScheduler::new(0), tempfile::tempdir().unwrap());
    let store = scheduler.block_on(common::open_store(&scheduler, dir.path())).unwrap();
    let (key, bytes) = artifact(0);
    scheduler.block_on(store.put(&key, bytes)).unwrap();
    bencher
        .counter(divan::counter::BytesCount::new(ARTIFACT_LEN_BYTES))
        .bench_local(|| scheduler.block_on(store.get(&key)).unwrap());
}

#[divan::bench(args = [1, 4])]
fn prove_ranges_of_256_bytes(bencher: divan::Bencher<'_, '_>, range_count: u64) {
    let (scheduler, dir) = (VirtualScheduler::new(0), tempfile::tempdir().unwrap());
    let store = scheduler.block_on(common::open_store(&scheduler, dir.path())).unwrap();
    let (key, bytes) = artifact(0);
    scheduler.block_on(store.put(&key, bytes)).unwrap();
    let ranges: Vec<_> =
        (0..range_count).map(|i| ByteRange { start: i * 15_000, end: i * 15_000 + 256 }).collect();
    bencher.bench_local(|| scheduler.block_on(store.prove_ranges(&key, &ranges)).unwrap());
}
