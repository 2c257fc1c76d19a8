//! The erasure code against the RaptorQ crate's own encoder, against losses, and against bad input.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a failing test says where"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroUsize;

use lampkeeper_protocol::artifact_key::ArtifactKey;
use lampkeeper_protocol::cascade::codec::{
    self, CodecError, EncodedFile, FILE_LEN_BYTES_MAX, FileSource, PACKET_LEN_BYTES, PacketSource,
    Parameters, RepairMaker, SYMBOL_LEN_BYTES,
};
use raptorq::{Decoder, Encoder, EncodingPacket, ObjectTransmissionInformation};

/// Lengths at which something changes.
const EDGE_LENGTHS: &[usize] = &[
    1,                    // one source symbol, nearly all padding
    2,                    //
    1_000,                //
    65_527,               // one byte of padding
    65_528,               // one full symbol
    65_529,               // two symbols, repair symbols still those of a short file
    65_535,               // the last length with six repair symbols for being short
    65_536,               // repair symbols by the redundancy factor
    200_000,              //
    1 << 20,              //
    160 * 65_528 - 1,     // the last lengths with one sub-block
    160 * 65_528,         //
    160 * 65_528 + 1,     // 161 source symbols: sub-blocks
    (10 << 20) - 1,       //
    10 << 20,             //
    (10 << 20) + 1,       //
    2 * 160 * 65_528 + 1, // three sub-blocks, not all equally wide; the sparse solver
];

fn workers(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// Bytes that look random, from a name.
fn made_bytes(name: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A file and all its packets.
struct Fixture {
    file: Vec<u8>,
    encoded: EncodedFile,
    packets: BTreeMap<u32, Vec<u8>>,
}

impl Fixture {
    fn new(len: usize, worker_count: usize) -> Self {
        let file = made_bytes("codec", len);
        let mut packets = BTreeMap::new();
        let mut ids = Vec::new();
        let encoded = codec::encode(&file[..], workers(worker_count), |batch| {
            for packet in batch {
                assert_eq!(packet.esi() as usize, ids.len(), "packets come in order");
                ids.push(packet.id());
                packets.insert(packet.esi(), packet.into_bytes());
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(encoded.symbol_ids, ids);
        assert_eq!(encoded.block_hash, ArtifactKey::of(&file));
        Self { file, encoded, packets }
    }

    fn parameters(&self) -> &Parameters {
        &self.encoded.parameters
    }

    fn decode(&self, available: &[u32]) -> Result<Vec<u8>, CodecError> {
        let mut decoded = Vec::new();
        let key = codec::decode(self.parameters(), available, &self.packets, workers(2), |piece| {
            decoded.extend_from_slice(piece);
            Ok(())
        })?;
        assert_eq!(key, ArtifactKey::of(&decoded));
        Ok(decoded)
    }

    /// Decodes from these symbols; if they happen to be dependent, from one more of the others, and so on.
    fn check_decodes(&self, mut available: Vec<u32>, what: &str) {
        let len = self.file.len();
        let mut others =
            self.packets.keys().filter(|esi| !available.contains(esi)).copied().collect::<Vec<_>>();
        for _ in 0..4 {
            match self.decode(&available) {
                Ok(decoded) => {
                    assert!(decoded == self.file, "{what} of {len} bytes: decoded another file");
                    return;
                }
                Err(CodecError::DependentSymbols { .. }) => {
                    available.push(others.pop().expect("another symbol"));
                }
                Err(error) => panic!("{what} of {len} bytes: {error}"),
            }
        }
        panic!("{what} of {len} bytes: three symbols more than needed do not suffice");
    }
}

/// `count` of these symbols, chosen by a name.
fn choose(mut from: Vec<u32>, count: usize, name: &str) -> Vec<u32> {
    let random = made_bytes(name, from.len() * 8);
    let mut order: Vec<(u64, u32)> = random
        .chunks_exact(8)
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
        .zip(from.drain(..))
        .collect();
    order.sort_unstable();
    order.into_iter().take(count).map(|(_, esi)| esi).collect()
}

#[test]
fn packets_are_those_of_the_crate() {
    for len in EDGE_LENGTHS {
        let fixture = Fixture::new(*len, 1 + len % 3);
        let parameters = fixture.parameters();
        let config = ObjectTransmissionInformation::with_defaults(*len as u64, 65_535);
        assert_eq!(parameters.oti(), config.serialize(), "{len} bytes");
        let expected = Encoder::new(&fixture.file, config).get_encoded_packets(parameters.repair_symbols());
        assert_eq!(fixture.packets.len(), expected.len(), "{len} bytes");
        for (packet, expected) in fixture.packets.values().zip(expected) {
            assert_eq!(packet.len(), PACKET_LEN_BYTES);
            assert!(packet == &expected.serialize(), "{len} bytes: {:?} differs", expected.payload_id());
        }
    }
}

/// The table of wire 4.7, for a file whose byte `i` is `i mod 251`.
#[test]
fn answers_of_the_protocol_page() {
    let answers = [
        (
            1,
            "000000000100fff801000108",
            7,
            "Fdk1UZD5oqoWEv2i9TCV9sbbgD2vayPWWVqh6ZfnT1cB",
            "G2Ere33Rq8aaxW5vrUQbjjdXizKiw24aDz7htB7ApY21",
            "43ZQtVuQEyYertQiuVtKAhgQ9PKgBQiaXFCbK5gpkYWW",
        ),
        (
            1000,
            "00000003e800fff801000108",
            7,
            "9o2TkoTGMGmmxUo3qJdT39bvdVRsw8snQctT3PY9Ge1y",
            "4nPUTtBNp5ZCoDfPLupzYepeijE7udY37ygb6Yn7cUwg",
            "D8UXtkvhJiCtiZTvTHpTi9cfJLPD3UETSmQUKiGfM2jx",
        ),
        (
            65535,
            "000000ffff00fff801000108",
            8,
            "EV3EsiDKyA4bDVh7jBNpsWNWmZ8x9b2zCwkj14h2QvD6",
            "4VYkAWc1XVYL5GdfRdrsASMVEE18GzazifXNAdAQNNmm",
            "FyW7X4J9h5JTXfCdhnwQNgtLwpH71dmB9HgwMQr6zVa2",
        ),
        (
            65536,
            "000001000000fff801000108",
            8,
            "EV3EsiDKyA4bDVh7jBNpsWNWmZ8x9b2zCwkj14h2QvD6",
            "A6KrBhDQ11DVJsxdutb8i5Z9azsRinLqyaWcTE4p8EDS",
            "84EusmBZWouzm1gsUynZ84rzg3a8UuSxJyMz8e8Fz4jf",
        ),
        (
            200_000,
            "0000030d4000fff801000108",
            20,
            "EV3EsiDKyA4bDVh7jBNpsWNWmZ8x9b2zCwkj14h2QvD6",
            "DMyAe7TXe9KLbp9b9jbGZgrWL8rU9EcaXcD132vLNTDJ",
            "6jnky9CU14DSACgBu3PEciVP1jM94Sc3yB2wrEA2dsoq",
        ),
        (
            1_048_576,
            "000010000000fff801000108",
            98,
            "EV3EsiDKyA4bDVh7jBNpsWNWmZ8x9b2zCwkj14h2QvD6",
            "BMBiqBU1J8KxgoDGyBfqMLn2YajXLLuuN9hNYPbdug4w",
            "8rv4dKAzbf4eHy7L3oLUSYS6d9uecvg3dHMLHhZ36HEi",
        ),
        (
            10_485_760,
            "0000a0000000fff801000208",
            962,
            "EbBChAVqfPfKUYXrFkn4aT1DcnmaZZ7v51bdRfGZnN6w",
            "8m4rhNetwXSgA1pmc2Pyhod5g9bfERYJT8Rt4Ld3xiZj",
            "9wi7hEDbMypTb58VFA4wA2LjZo6PLoARjLzL65oibKAL",
        ),
    ];
    for (len, oti, total, first, last, block_hash) in answers {
        let file: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let encoded = codec::encode(&file[..], workers(2), |_| Ok(())).unwrap();
        assert_eq!(hex::encode(encoded.parameters.oti()), oti, "{len} bytes");
        assert_eq!(encoded.symbol_ids.len(), total, "{len} bytes");
        assert_eq!(encoded.symbol_ids[0].to_string(), first, "{len} bytes");
        assert_eq!(encoded.symbol_ids[total - 1].to_string(), last, "{len} bytes");
        assert_eq!(encoded.block_hash.to_string(), block_hash, "{len} bytes");
    }
}

#[test]
fn sub_blocks_of_the_protocol_page() {
    let mib = 1 << 20;
    let sizes = [
        (5_000_000, 1),
        (10 * mib, 2),
        (20 * mib, 3),
        (50 * mib, 6),
        (100 * mib, 11),
        (200 * mib, 21),
        (500 * mib, 51),
        (1024 * mib, 104),
        (FILE_LEN_BYTES_MAX, 131),
    ];
    for (len_bytes, sub_blocks) in sizes {
        let parameters = Parameters::for_file_len(len_bytes).unwrap();
        assert_eq!(parameters.sub_blocks(), sub_blocks, "{len_bytes} bytes");
        assert_eq!(parameters.oti()[8], 1, "{len_bytes} bytes: one source block");
        assert_eq!(Parameters::from_oti(parameters.oti()).unwrap(), parameters);
    }
}

#[test]
fn any_sufficient_set_of_symbols_survives() {
    for len in EDGE_LENGTHS {
        let fixture = Fixture::new(*len, 2);
        let need = fixture.parameters().needed_symbols() as usize;
        let all: Vec<u32> = fixture.packets.keys().copied().collect();
        let total = all.len();
        let without =
            |lost: &[u32]| all.iter().filter(|esi| !lost.contains(esi)).copied().collect::<Vec<_>>();
        fixture.check_decodes(all.clone(), "all symbols");
        fixture.check_decodes(all[..need].to_vec(), "the source symbols");
        fixture.check_decodes(without(&[0]), "all but the first symbol");
        fixture.check_decodes(all[1..=need].to_vec(), "just enough without the first");
        fixture.check_decodes(without(&[need as u32 - 1]), "all but the last source symbol");
        fixture.check_decodes(all[need..].to_vec(), "the repair symbols");
        fixture.check_decodes(all[total - need..].iter().rev().copied().collect(), "the last, backwards");
        for name in ["a", "b", "c"] {
            fixture.check_decodes(choose(all.clone(), need, name), &format!("random set {name}"));
        }
    }
}

#[test]
fn too_few_symbols_are_reported_as_such() {
    for len in [1, 65_535, 65_536, 10 << 20] {
        let fixture = Fixture::new(len, 1);
        let need = fixture.parameters().needed_symbols();
        let all: Vec<u32> = fixture.packets.keys().copied().collect();
        for have in [0, need - 1] {
            let mut available = choose(all.clone(), have as usize, "few");
            available.extend(available.first().copied()); // the same symbol twice is one symbol
            match fixture.decode(&available) {
                Err(error @ CodecError::NotEnoughSymbols { .. }) => {
                    let expected =
                        format!("too few symbols to recover the file: have {have} of the {need} needed");
                    assert_eq!(error.to_string(), expected);
                    assert!(error.needs_more_symbols());
                }
                other => panic!("{len} bytes from {have} symbols: {other:?}"),
            }
        }
    }
}

/// About one set in two hundred of just enough symbols is dependent; these were found by search. The crate's decoder
/// must agree that they don't suffice, and that one more does.
#[test]
fn dependent_symbols_are_told_from_too_few() {
    let sets: [&[u32]; 5] = [
        &[10, 12, 17],
        &[0, 6, 7, 15],
        &[4, 8, 15, 17],
        &[5, 11, 13, 18, 20],
        &[7, 9, 15, 20, 29, 34, 43, 44],
    ];
    for dependent in sets {
        let need = dependent.len() as u32;
        let fixture = Fixture::new(dependent.len() * SYMBOL_LEN_BYTES, 1);
        assert!(!decodes_by_the_crate(&fixture, dependent), "{dependent:?}");
        match fixture.decode(dependent) {
            Err(error @ CodecError::DependentSymbols { .. }) => {
                let expected = format!(
                    "these {need} symbols do not determine the file although {need} can: fetch one more"
                );
                assert_eq!(error.to_string(), expected);
                assert!(error.needs_more_symbols());
            }
            other => panic!("{dependent:?}: {other:?}"),
        }
        for spare in (0..fixture.parameters().total_symbols()).filter(|esi| !dependent.contains(esi)) {
            let available = [dependent, &[spare]].concat();
            let decoded = fixture.decode(&available);
            assert_eq!(
                decoded.is_ok(),
                decodes_by_the_crate(&fixture, &available),
                "{available:?}: {decoded:?}"
            );
            assert!(
                decoded.is_err() || decoded.is_ok_and(|decoded| decoded == fixture.file),
                "{available:?}"
            );
        }
    }
}

fn decodes_by_the_crate(fixture: &Fixture, available: &[u32]) -> bool {
    let mut decoder = Decoder::new(ObjectTransmissionInformation::deserialize(&fixture.parameters().oti()));
    available.iter().any(|esi| decoder.decode(EncodingPacket::deserialize(&fixture.packets[esi])).is_some())
}

#[test]
fn a_large_file_survives() {
    let len = 100_000_000;
    let file = made_bytes("large", len);
    let parameters = Parameters::for_file_len(len as u64).unwrap();
    let need = parameters.needed_symbols();
    // Every third source symbol is lost; just enough repair symbols and two more are at hand.
    let kept: Vec<u32> = (0..need).filter(|esi| esi % 3 != 0).collect();
    let repair = need..2 * need - kept.len() as u32 + 2;
    let available: Vec<u32> = kept.into_iter().chain(repair).collect();
    let mut packets = BTreeMap::new();
    codec::regenerate(&parameters, &file[..], &available, workers(2), |batch| {
        packets.extend(batch.into_iter().map(|packet| (packet.esi(), packet.into_bytes())));
        Ok(())
    })
    .unwrap();
    let mut position = 0;
    codec::decode(&parameters, &available, &packets, workers(2), |piece| {
        assert!(piece == &file[position..][..piece.len()], "the file differs after {position}");
        position += piece.len();
        Ok(())
    })
    .unwrap();
    assert_eq!(position, len);
    let few = &available[..need as usize - 1];
    let lost = codec::decode(&parameters, few, &packets, workers(2), |_| panic!("nothing is handed on"));
    assert!(matches!(lost, Err(CodecError::NotEnoughSymbols { .. })), "{lost:?}");
}

#[test]
fn chosen_symbols_are_regenerated_as_encoded() {
    for len in [1, 65_529, 200_000, 160 * 65_528 + 1, 2 * 160 * 65_528 + 1] {
        let fixture = Fixture::new(len, 2);
        let parameters = fixture.parameters();
        let (first_repair, total) = (parameters.source_symbols(), parameters.total_symbols());
        let choices: [Vec<u32>; 7] = [
            vec![],
            vec![0],
            vec![total - 1],
            vec![total - 1, 0, first_repair, 0],
            (0..first_repair).collect(),
            (0..total).step_by(3).collect(),
            (0..total).collect(),
        ];
        for (number, wanted) in choices.iter().enumerate() {
            let mut from_file = BTreeMap::new();
            codec::regenerate(parameters, &fixture.file[..], wanted, workers(1 + number % 2), |batch| {
                from_file.extend(batch.into_iter().map(|packet| (packet.esi(), packet)));
                Ok(())
            })
            .unwrap();
            check_regenerated(&fixture, wanted, &from_file, "from the file");
            check_repair(&fixture, wanted);

            // All source symbols but one, and just enough repair symbols, as a holder has them.
            let available: Vec<u32> = (1..first_repair + 3).collect();
            let mut from_packets = BTreeMap::new();
            codec::regenerate_from_packets(
                parameters,
                &available,
                &fixture.packets,
                wanted,
                workers(2),
                |batch| {
                    from_packets.extend(batch.into_iter().map(|packet| (packet.esi(), packet)));
                    Ok(())
                },
            )
            .unwrap();
            check_regenerated(&fixture, wanted, &from_packets, "from packets");
        }
    }
}

/// Makes the repair symbols among these from a file that comes piece by piece.
fn check_repair(fixture: &Fixture, wanted: &[u32]) {
    let parameters = fixture.parameters();
    let mut maker = RepairMaker::new(parameters, wanted).unwrap();
    let mut end = 0;
    while let Some(range) = maker.wants() {
        assert_eq!(range.start, end, "in order");
        end = range.end;
        let piece = fixture.file[range.start as usize..range.end as usize].to_vec();
        let too_short = maker.take(piece[1..].to_vec(), workers(1));
        assert!(matches!(too_short, Err(CodecError::Read(_))), "{too_short:?}");
        maker.take(piece, workers(2)).unwrap();
    }
    let mut made = BTreeMap::new();
    maker
        .finish(workers(2), |batch| {
            made.extend(batch.into_iter().map(|packet| (packet.esi(), packet)));
            Ok(())
        })
        .unwrap();
    let is_repair = |esi: &u32| *esi >= parameters.source_symbols();
    let wanted: Vec<u32> = wanted.iter().copied().filter(is_repair).collect();
    assert!(wanted.is_empty() || end == fixture.file.len() as u64, "all of the file is read");
    check_regenerated(fixture, &wanted, &made, "piece by piece");
}

#[test]
fn repair_symbols_are_not_made_from_half_a_file() {
    let parameters = Parameters::for_file_len(200_000).unwrap();
    let esi = parameters.total_symbols() - 1;
    let unfinished = RepairMaker::new(&parameters, &[esi]).unwrap().finish(workers(1), |_| Ok(()));
    assert!(matches!(unfinished, Err(CodecError::Read(_))), "{unfinished:?}");
    let unknown = RepairMaker::new(&parameters, &[esi + 1]).err();
    assert!(matches!(unknown, Some(CodecError::UnknownSymbol { .. })), "{unknown:?}");
}

fn check_regenerated(fixture: &Fixture, wanted: &[u32], made: &BTreeMap<u32, codec::Packet>, how: &str) {
    let len = fixture.file.len();
    let wanted: BTreeSet<u32> = wanted.iter().copied().collect();
    assert!(wanted.iter().eq(made.keys()), "{len} bytes {how}: wanted {wanted:?}, got {:?}", made.keys());
    for (esi, packet) in made {
        assert!(packet.bytes() == &fixture.packets[esi][..], "{len} bytes {how}: symbol {esi} differs");
        assert_eq!(packet.id(), fixture.encoded.symbol_ids[*esi as usize]);
    }
}

#[test]
fn file_ranges_say_what_a_source_symbol_holds() {
    for len in EDGE_LENGTHS {
        let fixture = Fixture::new(*len, 2);
        let parameters = fixture.parameters();
        let mut covered = 0;
        for esi in 0..parameters.source_symbols() {
            let ranges = parameters.file_ranges(esi);
            let symbol = &fixture.packets[&esi][4..];
            let mut rest = symbol;
            for range in ranges {
                let bytes = &fixture.file[range.start as usize..range.end as usize];
                assert!(rest.starts_with(bytes), "{len} bytes: symbol {esi} at {range:?}");
                rest = &rest[bytes.len()..];
                covered += bytes.len();
            }
            assert!(
                rest.len() < SYMBOL_LEN_BYTES && rest.iter().all(|byte| *byte == 0),
                "padding only at the end"
            );
        }
        assert_eq!(covered, *len);
        assert_eq!(parameters.file_ranges(parameters.source_symbols()), []);
    }
}

#[test]
fn lengths_outside_the_rule_are_refused() {
    assert!(matches!(codec::encode(&[][..], workers(1), |_| Ok(())), Err(CodecError::EmptyFile)));
    assert!(Parameters::for_file_len(FILE_LEN_BYTES_MAX).is_ok());
    for len_bytes in [FILE_LEN_BYTES_MAX + 1, u64::MAX] {
        assert!(matches!(Parameters::for_file_len(len_bytes), Err(CodecError::FileTooLong { .. })));
    }
}

#[test]
fn foreign_parameters_are_refused() {
    let cases = [
        ("000000000000fff801000108", "cannot encode an empty file: a ticket's file has at least one byte"),
        (
            "ffffffffff00fff801000108",
            "cannot encode a file of 1099511627775 bytes: one source block holds at most 1342177280",
        ),
        (
            "000000000101fff801000108",
            "refused encoder parameters 000000000101fff801000108: the reserved byte must be 0 for a file of that length",
        ),
        (
            "000000000100000001000108",
            "refused encoder parameters 000000000100000001000108: the symbol size must be 65528 for a file of that length",
        ),
        (
            "000000000100fff800000108",
            "refused encoder parameters 000000000100fff800000108: the number of source blocks must be 1 for a file of that length",
        ),
        (
            "000000000100fff801ffff08",
            "refused encoder parameters 000000000100fff801ffff08: the number of sub-blocks must be 1 for a file of that length",
        ),
        (
            "000000000100fff801000100",
            "refused encoder parameters 000000000100fff801000100: the symbol alignment must be 8 for a file of that length",
        ),
    ];
    for (oti, expected) in cases {
        let oti = hex::decode(oti).unwrap().try_into().unwrap();
        assert_eq!(Parameters::from_oti(oti).unwrap_err().to_string(), expected);
    }
}

#[test]
fn foreign_packets_are_refused() {
    let mut fixture = Fixture::new(200_000, 1);
    let parameters = *fixture.parameters();
    let total = parameters.total_symbols();
    let unknown = fixture.decode(&[0, 1, 2, 3, total]).unwrap_err();
    assert_eq!(unknown.to_string(), "symbol 20 does not exist: the file has symbols 0 to 19");

    for (esi, packet) in &fixture.packets {
        assert_eq!(codec::packet_esi(&parameters, packet).unwrap(), *esi);
    }
    let good = fixture.packets[&3].clone();
    let with_header = |header: [u8; 4]| [&header, &good[4..]].concat();
    let cases = [
        (vec![], "the packet of symbol 0 is corrupt: it is shorter than a header"),
        (good[..100].to_vec(), "the packet of symbol 3 is corrupt: it is not as long as every packet"),
        ([&good[..], &[0]].concat(), "the packet of symbol 3 is corrupt: it is not as long as every packet"),
        (with_header([1, 0, 0, 3]), "the packet of symbol 3 is corrupt: its source block number is not 0"),
        (with_header([0, 255, 255, 255]), "symbol 16777215 does not exist: the file has symbols 0 to 19"),
    ];
    for (packet, expected) in cases {
        assert_eq!(codec::packet_esi(&parameters, &packet).unwrap_err().to_string(), expected);
    }

    let available = [1, 2, 3, 4, 5];
    fixture.packets.insert(3, with_header([0, 0, 0, 7]));
    let swapped = fixture.decode(&available).unwrap_err();
    assert_eq!(swapped.to_string(), "the packet of symbol 3 is corrupt: its header names another symbol");
    assert_eq!(swapped.corrupt_symbol(), Some(3));
    fixture.packets.insert(3, good[..1000].to_vec());
    let short = fixture.decode(&available).unwrap_err();
    assert_eq!(short.to_string(), "the packet of symbol 3 is corrupt: it is too short");
    fixture.packets.remove(&3);
    assert!(matches!(fixture.decode(&available), Err(CodecError::Read(_))));
}

/// A disk that fails, for files and packets alike.
struct BadDisk;

impl FileSource for BadDisk {
    fn len_bytes(&self) -> u64 {
        200_000
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        Err(io::Error::other("bad sector"))
    }
}

impl PacketSource for BadDisk {
    fn read_at(&self, _: u32, _: usize, _: &mut [u8]) -> io::Result<()> {
        Err(io::Error::other("bad sector"))
    }
}

#[test]
fn failures_of_the_caller_are_passed_on() {
    let fixture = Fixture::new(200_000, 1);
    let parameters = fixture.parameters();
    let available: Vec<u32> = (0..4).collect();
    let one = workers(1);
    let full = || io::Error::from(io::ErrorKind::StorageFull);
    let is_read = |result: Result<(), CodecError>| matches!(result, Err(CodecError::Read(_)));
    let is_full = |result: Result<(), CodecError>| match result {
        Err(CodecError::Write(error)) => error.kind() == io::ErrorKind::StorageFull,
        _ => false,
    };
    assert!(is_read(codec::encode(&BadDisk, one, |_| Ok(())).map(drop)));
    assert!(is_full(codec::encode(&fixture.file[..], one, |_| Err(full())).map(drop)));
    assert!(is_read(codec::decode(parameters, &available, &BadDisk, one, |_| Ok(())).map(drop)));
    assert!(is_full(codec::decode(parameters, &available, &fixture.packets, one, |_| Err(full())).map(drop)));
    assert!(is_read(codec::regenerate(parameters, &BadDisk, &[0], one, |_| Ok(()))));
    assert!(is_full(codec::regenerate(parameters, &fixture.file[..], &[0], one, |_| Err(full()))));
    let wrong = codec::regenerate(parameters, &fixture.file[1..], &[0], one, |_| Ok(())).unwrap_err();
    let expected = "cannot regenerate from a file of 199999 bytes: its layout describes 200000";
    assert_eq!(wrong.to_string(), expected);
}

/// Peak memory of whole operations, each in a process of its own so that other tests don't count.
///
/// Linux tells a process its peak; elsewhere there is no such test.
#[cfg(target_os = "linux")]
mod memory {
    use super::*;

    /// Tells the inner run of a test what to do.
    const OPERATION: &str = "CODEC_TEST_OPERATION";
    const LEN_BYTES: usize = 32 << 20;

    /// Peak memory allowed for each operation, in bytes: a multiple of the file, and 50 MB. What the caller holds, the
    /// file or its packets, is included; the output is dropped.
    const LIMITS: [(&str, f64); 3] = [("encode", 2.5), ("decode", 3.0), ("regenerate", 1.0)];
    const ALLOWANCE_BYTES: f64 = 50e6;

    #[test]
    fn peaks_are_bounded() {
        for (operation, multiple) in LIMITS {
            let this_test_program = std::env::current_exe().unwrap();
            let output = std::process::Command::new(this_test_program)
                .args(["--exact", "memory::run_operation", "--ignored", "--nocapture"])
                .env(OPERATION, operation)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{operation}: {text}");
            let peak = text.lines().find_map(|line| line.split_once("peak bytes: ")).expect(&text).1;
            let limit = multiple * LEN_BYTES as f64 + ALLOWANCE_BYTES;
            let peak: f64 = peak.trim().parse().unwrap();
            assert!(peak <= limit, "{operation}: {peak} bytes at the peak, {limit} allowed");
            // A peak below what is at least held would mean that the measurement is broken.
            assert!(peak > LEN_BYTES as f64, "{operation}: {peak} bytes at the peak");
        }
    }

    #[test]
    #[ignore = "run by peaks_are_bounded, in another process"]
    fn run_operation() {
        let Ok(operation) = std::env::var(OPERATION) else { return };
        let file = made_bytes("memory", LEN_BYTES);
        let parameters = Parameters::for_file_len(LEN_BYTES as u64).unwrap();
        let (need, total) = (parameters.needed_symbols(), parameters.total_symbols());
        match operation.as_str() {
            "encode" => drop(codec::encode(&file[..], workers(2), |_| Ok(())).unwrap()),
            "regenerate" => {
                let esis: Vec<u32> = (need..need + 10).collect();
                codec::regenerate(&parameters, &file[..], &esis, workers(2), |_| Ok(())).unwrap();
            }
            "decode" => {
                let available: Vec<u32> =
                    (need / 2..need + need / 2 + 2).filter(|esi| *esi < total).collect();
                let mut packets = BTreeMap::new();
                codec::regenerate(&parameters, &file[..], &available, workers(2), |batch| {
                    packets.extend(batch.into_iter().map(|packet| (packet.esi(), packet.into_bytes())));
                    Ok(())
                })
                .unwrap();
                drop(file);
                codec::decode(&parameters, &available, &packets, workers(2), |_| Ok(())).unwrap();
            }
            other => panic!("unknown operation {other}"),
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = kib.split_whitespace().next().unwrap().parse().unwrap();
        println!("peak bytes: {}", kib * 1024);
    }
}
