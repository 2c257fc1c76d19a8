//! Heals with the existing network's node, in both directions: bytes as wire 2.2 has them, written out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use lampkeeper_plugin_sdk::api::chain::{ChainMessage, HealOpStatus, PortState, TxReceipt};
use lampkeeper_plugin_sdk::api::transport::CallerMint;
use support::{Bench, HEAL_OP_ID, HEALER, ME, chain, fixture, heal_op, stage};

/// `heal_op_id` 4, `verifier_account` "bob".
const REQUEST: &[u8] = &[0x08, 0x04, 0x12, 0x03, b'b', b'o', b'b'];
/// The tag of a chunk.
const CHUNK: u8 = 0x0a;
/// A chunk's greatest length (wire 5.9).
const CHUNK_LEN_BYTES: usize = 1024 * 1024;
/// `total_size` 3,000,000, the length of the file.
const TOTAL: &[u8] = &[0x10, 0xc0, 0x8d, 0xb7, 0x01];
/// `is_last`.
const LAST: &[u8] = &[0x18, 0x01];

/// A message of the stream, whose chunk has this length in the bytes of a varint.
fn message(chunk: &[u8], len: &[u8], rest: &[u8]) -> Vec<u8> {
    [&[CHUNK], len, chunk, rest].concat()
}

/// A file of 3,000,000 bytes in three messages, as the existing healer sends it.
fn messages(file: &[u8]) -> Vec<Vec<u8>> {
    assert_eq!(file.len(), 3_000_000);
    let chunks: Vec<&[u8]> = file.chunks(CHUNK_LEN_BYTES).collect();
    vec![
        message(chunks[0], &[0x80, 0x80, 0x40], TOTAL),
        message(chunks[1], &[0x80, 0x80, 0x40], &[]),
        message(chunks[2], &[0xc0, 0x8d, 0x37], LAST),
    ]
}

#[test]
fn the_existing_verifiers_request_is_answered_with_the_bytes_of_the_page() {
    let fixture = fixture();
    let op = heal_op(HealOpStatus::HealerReported, ME, &["bob", "cat"], &fixture.ticket.data_hash);
    let chain = chain(&fixture, Vec::new(), Vec::new()).heal_op(HEAL_OP_ID, Ok(op)).always();
    let bench = Bench::new(chain, &fixture, Vec::new(), PortState::Open);
    bench.scheduler.block_on(stage(&bench.staging, &fixture, HEAL_OP_ID));
    let caller = CallerMint::for_host().proved("bob");
    let stream = bench.scheduler.block_on(bench.handler().call(caller, REQUEST.to_vec()));
    let Ok(mut stream) = stream else { panic!("bob is a verifier") };
    let mut sent = Vec::new();
    while let Some(message) = bench.scheduler.block_on(stream.next()) {
        sent.push(message.unwrap());
    }
    assert!(sent == messages(&fixture.file), "{} messages", sent.len());
}

#[test]
fn the_existing_healers_stream_is_verified_by_its_hash() {
    let fixture = fixture();
    let mut damaged = fixture.file.clone();
    damaged[2_500_000] ^= 1;
    for (streamed, verified) in [(&fixture.file, true), (&damaged, false)] {
        let op = heal_op(HealOpStatus::HealerReported, HEALER, &["cat", ME], &fixture.ticket.data_hash);
        let chain = chain(&fixture, Vec::new(), vec![op.clone()])
            .heal_op(HEAL_OP_ID, Ok(op))
            .always()
            .submit_where(
                "a vote",
                |message| matches!(message, ChainMessage::HealVerification(_)),
                Ok(TxReceipt::default()),
            )
            .always();
        let answer = Ok(messages(streamed).into_iter().map(Ok).collect());
        let bench = Bench::new(chain, &fixture, vec![answer], PortState::Open);
        bench.look(1);
        let votes: Vec<bool> = bench
            .chain
            .submitted()
            .into_iter()
            .filter_map(|message| match message {
                ChainMessage::HealVerification(vote) => Some(vote.verified),
                _ => None,
            })
            .collect();
        assert_eq!(votes, [verified]);
    }
}
