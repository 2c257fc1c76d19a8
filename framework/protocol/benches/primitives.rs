//! What the protocol's own computations cost, at the sizes of real networks.
//!
//! Run with `cargo bench -p lampkeeper-protocol --bench primitives`.

use divan::{Bencher, black_box};
use lampkeeper_protocol::artifact_key::ArtifactKey;
use lampkeeper_protocol::assignment::{assign_storage_truth, select_targets};
use lampkeeper_protocol::cascade::id_files::IdFileSeries;
use lampkeeper_protocol::selection::select_ticket;
use lampkeeper_protocol::transcript::{ChallengedArtifact, Transcript};
use lampkeeper_protocol::verified_slice;
use lampkeeper_protocol::words::{ArtifactClass, Bucket};

const SEED: [u8; 32] = [7; 32];
const TARGET: &str = "lumera1zf3e5rhq0cwxzyv7p8jz8m5t0cphs4rchlklw7";
/// Length of a symbol packet in bytes.
const PACKET_LEN_BYTES: usize = 65_532;
const RANGE_LEN_BYTES: u64 = 256;

fn main() {
    divan::main();
}

/// Texts that are as long as real accounts.
fn accounts(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("lumera1{:0>38}", i * 7919)).collect()
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn symbol() -> ChallengedArtifact<'static> {
    ChallengedArtifact { target: TARGET, ticket_id: "276015", class: ArtifactClass::Symbol, ordinal: 378 }
}

/// The targets of an epoch, without pairing.
#[divan::bench(args = [100, 1_000, 10_000])]
fn target_selection(bencher: Bencher<'_, '_>, nodes: usize) {
    let accounts = accounts(nodes);
    let accounts = borrowed(&accounts);
    bencher.bench(|| select_targets(black_box(&accounts), &SEED, 3));
}

/// The whole epoch: who challenges whom.
#[divan::bench(args = [100, 1_000, 10_000], sample_count = 5)]
fn target_assignment(bencher: Bencher<'_, '_>, nodes: usize) {
    let accounts = accounts(nodes);
    let accounts = borrowed(&accounts);
    bencher.bench(|| assign_storage_truth(black_box(&accounts), black_box(&accounts), &SEED, 3));
}

#[divan::bench(args = [1_000, 1_000_000], sample_count = 20)]
fn ticket_selection(bencher: Bencher<'_, '_>, tickets: usize) {
    let tickets: Vec<String> = (0..tickets).map(|id| id.to_string()).collect();
    let tickets = borrowed(&tickets);
    bencher.bench(|| select_ticket(black_box(&tickets).iter().copied(), &[], &SEED, TARGET, Bucket::Old));
}

/// The 50 index id files of a ticket, and the 50 layout id files of a 10 MB one.
#[divan::bench(args = [("index", 3_400), ("layout", 60_000)])]
fn id_generation(bencher: Bencher<'_, '_>, (_, base_len_bytes): (&str, usize)) {
    // Base58 ids in base64 look like random letters to a compressor.
    let base: String = (0..base_len_bytes)
        .map(|i| char::from(b'A' + ArtifactKey::of(&i.to_le_bytes()).as_bytes()[0] % 26))
        .collect();
    let base = format!("{base}.c2ln");
    bencher.bench(|| IdFileSeries::new(black_box(&base), 7, 50).and_then(|series| series.keys()));
}

#[divan::bench(args = [4, 16])]
fn range_offsets(ranges: u32) -> Vec<u64> {
    let offsets = symbol().range_offsets(&SEED, PACKET_LEN_BYTES as u64, RANGE_LEN_BYTES, ranges);
    offsets.unwrap_or_default()
}

#[divan::bench]
fn transcript_hash() -> String {
    let transcript = Transcript {
        epoch_id: 42,
        challenger: TARGET,
        target: TARGET,
        ticket_id: "276015",
        bucket: Bucket::Old,
        class: ArtifactClass::Symbol,
        ordinal: 378,
        artifact_key: "Fkjj2agushc3nHyxbYmcYTQYhquKNptpxUTTAzhJX1eG",
        derivation_input_hash: "d9277f45a5b2b20264c0568ed90c6a4ff8b5aca1dfff5ff64fc5a58654664612",
        compound_proof_hash: "882179b8dbccd285cda241d968cfcccb3156c5edac2fa3761bb6eda7ff8cb172",
        observers: &[],
    };
    black_box(&transcript).hash().unwrap_or_default()
}

/// Four ranges of a symbol, as a target proves them.
#[divan::bench]
fn slice_proof(bencher: Bencher<'_, '_>) {
    let packet = vec![7; PACKET_LEN_BYTES];
    let ranges = [100, 20_000, 40_000, 60_000].map(|start| start..start + RANGE_LEN_BYTES);
    bencher.bench(|| verified_slice::prove(black_box(&packet), &ranges));
}

/// The same ranges, as a challenger verifies them.
#[divan::bench]
fn slice_verification(bencher: Bencher<'_, '_>) {
    let packet = vec![7; PACKET_LEN_BYTES];
    let ranges = [100, 20_000, 40_000, 60_000].map(|start| start..start + RANGE_LEN_BYTES);
    let proof = verified_slice::prove(&packet, &ranges).unwrap_or_default();
    let key = ArtifactKey::of(&packet);
    bencher.bench(|| verified_slice::verify(black_box(&key), &proof, &ranges));
}
