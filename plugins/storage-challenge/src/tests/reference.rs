//! Compound proofs with the existing network's node, in both directions: its messages are written and read here field by
//! field after the tables of wire 2.1, without the schema that this node is built from, and have none of our extensions.

use super::support::{
    CHALLENGER, EPOCH, Reply, SEED, World, account, handler, public_key, run, serving_chain, view,
};
use crate::ask::Outcome;
use lampkeeper_plugin_sdk::api::challenge::Observation;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::transport::{CallError, CallerMint, UnaryHandler};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::transcript::{ChallengedArtifact, Transcript};
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket};
use lampkeeper_plugin_sdk::testkit::{MockChain, TestSigner};
use std::sync::Arc;

/// Length of the ranges in these tests.
const LEN_BYTES: u64 = 256;

/// A message as protobuf has it: numbers and bytes in the order of their fields, defaults left out.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn number(mut self, field: u64, number: u64) -> Self {
        if number != 0 {
            self.varint(field << 3);
            self.varint(number);
        }
        self
    }

    fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        if !bytes.as_ref().is_empty() {
            self.element(field, bytes);
        }
        self
    }

    /// An element of a list, which is written even if it is empty.
    fn element(&mut self, field: u64, bytes: impl AsRef<[u8]>) {
        self.varint(field << 3 | 2);
        self.varint(bytes.as_ref().len() as u64);
        self.0.extend_from_slice(bytes.as_ref());
    }
}

/// A field as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

/// All fields of a message, in order.
fn read(mut message: &[u8]) -> Vec<(u64, Field)> {
    fn varint(message: &mut &[u8]) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = message.split_first().unwrap();
            *message = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return number;
            }
        }
        panic!("a number that is too long")
    }
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let value = varint(&mut message);
        let field = match tag & 7 {
            0 => Field::Number(value),
            2 => {
                let (bytes, rest) = message.split_at(value as usize);
                message = rest;
                Field::Bytes(bytes.to_vec())
            }
            other => panic!("no message of the page has wire type {other}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn bytes_of(fields: &[(u64, Field)], number: u64) -> Vec<Vec<u8>> {
    let of = fields.iter().filter(|(field, _)| *field == number);
    of.map(|(_, field)| match field {
        Field::Bytes(bytes) => bytes.clone(),
        Field::Number(_) => panic!("field {number} is a number"),
    })
    .collect()
}

fn text_of(fields: &[(u64, Field)], number: u64) -> String {
    String::from_utf8(bytes_of(fields, number).concat()).unwrap()
}

fn number_of(fields: &[(u64, Field)], number: u64) -> u64 {
    fields.iter().find(|(field, _)| *field == number).map_or(0, |(_, field)| match field {
        Field::Number(number) => *number,
        Field::Bytes(_) => panic!("field {number} is bytes"),
    })
}

/// What both sides sign (wire 3.6), for an artifact of class SYMBOL in bucket RECENT.
fn transcript_hash(
    target: &str,
    ordinal: u32,
    key: &str,
    offsets: &[u64],
    len_bytes: u64,
    proof_hash: &str,
) -> String {
    let class = ArtifactClass::Symbol;
    let challenged = ChallengedArtifact { target, ticket_id: "17", class, ordinal };
    let transcript = Transcript {
        epoch_id: EPOCH,
        challenger: &account(CHALLENGER),
        target,
        ticket_id: "17",
        bucket: Bucket::Recent,
        class,
        ordinal,
        artifact_key: key,
        derivation_input_hash: &challenged.derivation_input_hash(&SEED, offsets, len_bytes).unwrap(),
        compound_proof_hash: proof_hash,
        observers: &[],
    };
    transcript.hash().unwrap().to_string()
}

/// The hash of all ranges, one after the other (wire 1.13).
fn proof_hash(ranges: &[Vec<u8>]) -> String {
    hex::encode(ArtifactKey::of(&ranges.concat()).as_bytes())
}

#[test]
fn the_existing_challengers_request_is_answered_with_nothing_that_it_does_not_know() {
    let world = World::new();
    let symbol = &world.fixture.symbols[0];
    let (target, key) = (account("alpha"), symbol.key.to_string());
    let offsets = [0, 9000, 18_000, 27_000];
    let mut request = Writer::default()
        .bytes(1, "challenge")
        .number(2, EPOCH)
        .bytes(3, SEED)
        .bytes(4, "17")
        .bytes(5, &target)
        .bytes(6, account(CHALLENGER))
        .number(8, 2)
        .number(9, 1)
        .number(10, 5)
        .number(11, 1)
        .bytes(12, &key)
        .number(13, symbol.bytes.len() as u64);
    for start in offsets {
        request.element(14, Writer::default().number(1, start).number(2, start + LEN_BYTES).0);
    }
    let handler = handler(
        &world.scheduler,
        "alpha",
        Arc::new(world.stores["alpha"].clone()),
        serving_chain("alpha").build(),
    );
    let caller = CallerMint::for_host().proved(account(CHALLENGER));
    let answer = world.scheduler.block_on(handler.call(caller, request.0)).unwrap();

    let fields = read(&answer);
    let known: Vec<u64> = fields.iter().map(|(field, _)| *field).collect();
    assert_eq!(known, [1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8, 9, 10, 11]);
    let echoed = [1, 3, 7].map(|field| text_of(&fields, field));
    assert_eq!(echoed, ["challenge", "17", key.as_str()]);
    let echoed = [2, 4, 5, 6].map(|field| number_of(&fields, field));
    assert_eq!(echoed, [EPOCH, 2, 1, 1]);
    let ranges = bytes_of(&fields, 8);
    let expected = offsets.map(|start| symbol.bytes[start as usize..(start + LEN_BYTES) as usize].to_vec());
    assert_eq!(ranges, expected);
    assert_eq!(text_of(&fields, 9), proof_hash(&ranges));
    assert_eq!((number_of(&fields, 11), text_of(&fields, 12)), (1, String::new()));
    let hash = transcript_hash(&target, 1, &key, &offsets, LEN_BYTES, &proof_hash(&ranges));
    let signature = hex::decode(text_of(&fields, 10)).unwrap();
    public_key("alpha").verify(hash.as_bytes(), &signature).unwrap();
}

#[test]
fn the_existing_challenger_is_told_of_a_failure_in_the_words_that_it_knows() {
    let world = World::new();
    let handler = handler(
        &world.scheduler,
        "alpha",
        Arc::new(world.stores["alpha"].clone()),
        serving_chain("alpha").build(),
    );
    let caller = CallerMint::for_host().proved(account(CHALLENGER));
    let request = Writer::default().number(2, EPOCH).bytes(4, "17").0;
    let fields = read(&world.scheduler.block_on(handler.call(caller, request)).unwrap());
    let known: Vec<u64> = fields.iter().map(|(field, _)| *field).collect();
    assert_eq!(known, [2, 3, 12]);
    assert!(text_of(&fields, 12).contains("challenge_id"));
}

/// Answers as the existing node does: it knows the fields of the page, and no others.
fn as_the_existing_target(
    request: &[u8],
    holds: &[u8],
    change: impl FnOnce(&mut Vec<Vec<u8>>),
) -> Result<Vec<u8>, CallError> {
    let fields = read(request);
    let (target, key) = (text_of(&fields, 5), text_of(&fields, 12));
    let bounds: Vec<(u64, u64)> = bytes_of(&fields, 14)
        .iter()
        .map(|range| {
            let range = read(range);
            (number_of(&range, 1), number_of(&range, 2))
        })
        .collect();
    let mut ranges: Vec<Vec<u8>> =
        bounds.iter().map(|(start, end)| holds[*start as usize..*end as usize].to_vec()).collect();
    change(&mut ranges);
    let offsets: Vec<u64> = bounds.iter().map(|(start, _)| *start).collect();
    let ordinal = u32::try_from(number_of(&fields, 9)).unwrap();
    let len_bytes = bounds[0].1 - bounds[0].0;
    let hash = transcript_hash(&target, ordinal, &key, &offsets, len_bytes, &proof_hash(&ranges));
    let signature = TestSigner::new("alpha").sign(hash.as_bytes()).unwrap();
    let mut answer = Writer::default()
        .bytes(1, text_of(&fields, 1))
        .number(2, number_of(&fields, 2))
        .bytes(3, text_of(&fields, 4))
        .number(4, number_of(&fields, 8))
        .number(5, number_of(&fields, 9))
        .number(6, number_of(&fields, 11))
        .bytes(7, &key);
    for range in &ranges {
        answer.element(8, range);
    }
    Ok(answer.bytes(9, proof_hash(&ranges)).bytes(10, hex::encode(&signature[..64])).number(11, 1).0)
}

/// What a challenger makes of the existing node's answer.
fn challenged(world: &World, reply: Reply) -> (Observation, &'static str) {
    world.habit("alpha", reply);
    let target = World::target("alpha");
    let asker = world.asker(world.know(MockChain::builder(CHALLENGER), &["alpha"]).build());
    let view = view();
    let asking = asker.ask(&view, world.question(&target, world.draw()));
    match run(world, Box::pin(asking)) {
        Ok(Outcome::Row(finding)) => (finding.observation, finding.proof),
        other => panic!("no row: {other:?}"),
    }
}

#[test]
fn the_existing_targets_answer_counts_when_its_bytes_are_the_artifacts() {
    fn symbol() -> Vec<u8> {
        World::new().fixture.symbols[2].bytes.clone()
    }
    let honest: Reply = Reply::With(|request, _| as_the_existing_target(request, &symbol(), |_| ()));
    assert_eq!(challenged(&World::new(), honest), (Observation::Pass, "compared"));
    // It hashes and signs what it made up, and nothing contradicts itself (wire 3.7, Known weakness).
    let liar =
        Reply::With(|request, _| as_the_existing_target(request, &symbol(), |ranges| ranges[1][7] ^= 1));
    assert_eq!(challenged(&World::new(), liar), (Observation::WrongBytes, "none"));
}

#[test]
fn what_a_challenger_asks_is_the_existing_request_and_one_field_more() {
    let world = World::new();
    world.habit(
        "alpha",
        Reply::With(|request, answer| {
            let known: Vec<u64> = read(request).iter().map(|(field, _)| *field).collect();
            assert_eq!(known, [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 14, 14, 14, 1001]);
            Ok(answer)
        }),
    );
    let target = World::target("alpha");
    let asker = world.asker(world.know(MockChain::builder(CHALLENGER), &["alpha"]).build());
    let view = view();
    let asking = asker.ask(&view, world.question(&target, world.draw()));
    assert!(matches!(run(&world, Box::pin(asking)), Ok(Outcome::Row(_))));
}
