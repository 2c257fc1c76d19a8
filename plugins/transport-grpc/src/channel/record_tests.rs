//! Records against the wire page's frames, and against whoever alters them.

use super::*;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag as ReferenceTag, XChaCha20Poly1305, XNonce};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The key material of wire 11.6.
const KEYS: &str = "df441f051e5391c31de13c683b42fba693daa57d93a693b0a147c0ee8e8cc7bf6e7e82682bc0431217298243fc4b121f\
                    796794ab1b8828be";

fn keys() -> ChannelKeys {
    let bytes: [u8; CHANNEL_KEYS_LEN_BYTES] = hex::decode(KEYS).unwrap().try_into().unwrap();
    ChannelKeys::new(Zeroizing::new(bytes))
}

fn sealed(sealer: &mut Sealer, plaintext: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    sealer.seal(plaintext, &mut frames).unwrap();
    frames
}

/// Opens every complete record.
fn opened(opener: &mut Opener, bytes: &mut [u8]) -> Result<Vec<u8>, RecordError> {
    let mut plaintext = Vec::new();
    let mut rest = bytes;
    while let Some(record) = opener.open(rest)? {
        plaintext.extend_from_slice(&rest[record.plaintext]);
        rest = &mut rest[record.len_bytes..];
    }
    Ok(plaintext)
}

#[test]
fn frames_have_the_bytes_of_the_wire_page() {
    let table = [
        (Side::Client, "1900000006000000c7cdcf6ebe83d0185eb63ddc6bce6d56b913970b8d"),
        (Side::Client, "1900000006000000649bbc3e4eac853646ced0d573dab19840787d428c"),
        (Side::Server, "1900000006000000e72d8c30ff07672b37d10bd315d1cfcd6195cc7a11"),
        (Side::Server, "1900000006000000dcedf9b85f80d38fc3b5766424247054784b20fe76"),
    ];
    let (mut client, mut server) = (keys().sealer(Side::Client), keys().sealer(Side::Server));
    let (mut at_client, mut at_server) = (keys().opener(Side::Client), keys().opener(Side::Server));
    for (sender, frame) in table {
        let (sealer, opener) = match sender {
            Side::Client => (&mut client, &mut at_server),
            Side::Server => (&mut server, &mut at_client),
        };
        assert_eq!(hex::encode(sealed(sealer, b"hello")), frame);
        assert_eq!(opened(opener, &mut hex::decode(frame).unwrap()), Ok(b"hello".to_vec()));
    }
}

#[test]
fn nonces_are_those_of_the_wire_page() {
    let table = [
        (Side::Client, ["6e7e82682bc0431217298243", "6f7e82682bc0431217298243"]),
        (Side::Server, ["6e7e82682bc04312172982c3", "6f7e82682bc04312172982c3"]),
    ];
    for (sender, nonces) in table {
        let mut direction = Direction::new(&keys(), sender);
        for nonce in nonces {
            assert_eq!(hex::encode(direction.next_nonce().unwrap()), format!("{nonce}{}", "00".repeat(4)));
        }
    }
}

/// A frame as an independent implementation of XChaCha20-Poly1305 seals it.
fn sealed_by_reference(keys: &[u8], number: u64, sender: Side, plaintext: &[u8]) -> Vec<u8> {
    let (cipher, nonce) = reference(keys, number, sender);
    let mut ciphertext = plaintext.to_vec();
    let tag = cipher.encrypt_inout_detached(&nonce, &[], ciphertext.as_mut_slice().into()).unwrap();
    let length = u32::try_from(4 + plaintext.len() + 16).unwrap();
    [&length.to_le_bytes()[..], &[6, 0, 0, 0], &ciphertext, &tag].concat()
}

/// The reference's cipher and a record's nonce, from wire 11.8.
fn reference(keys: &[u8], number: u64, sender: Side) -> (XChaCha20Poly1305, XNonce) {
    let mut nonce = [0; 24];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce[11] = if sender == Side::Server { 0x80 } else { 0 };
    for (byte, mask) in nonce[..12].iter_mut().zip(&keys[32..]) {
        *byte ^= mask;
    }
    (XChaCha20Poly1305::new_from_slice(&keys[..32]).unwrap(), XNonce::from(nonce))
}

#[test]
fn records_are_those_of_an_independent_implementation_and_so_are_refusals() {
    const SEED: u64 = 0x11_07;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let below = |random: &mut ChaCha8Rng, bound: usize| random.next_u32() as usize % bound;
    for round in 0..400 {
        let what = format!("round {round} of seed {SEED}");
        let mut material = [0; CHANNEL_KEYS_LEN_BYTES];
        random.fill_bytes(&mut material);
        let keys = ChannelKeys::new(Zeroizing::new(material));
        let sender = [Side::Client, Side::Server][round % 2];
        let reader = [Side::Server, Side::Client][round % 2];
        // Short ones, around the cipher's blocks, and up to the greatest; now and then far into the counter.
        let longest = [64, 300, PLAINTEXT_LEN_BYTES_MAX][round % 3];
        let mut plaintext = vec![0; 1 + below(&mut random, longest)];
        random.fill_bytes(&mut plaintext);
        let number = if round % 4 == 0 { random.next_u64() >> 1 } else { round as u64 };
        let (mut sealer, mut opener) = (keys.sealer(sender), keys.opener(reader));
        (sealer.0.next, opener.0.next) = (Some(number), Some(number));

        let expected = sealed_by_reference(&material, number, sender, &plaintext);
        assert_eq!(sealed(&mut sealer, &plaintext), expected, "{what}");
        let mut altered = expected.clone();
        let position = 8 + below(&mut random, expected.len() - 8);
        altered[position] ^= 1 << below(&mut random, 8);
        let (cipher, nonce) = reference(&material, number, sender);
        let (body, tag) = altered[8..].split_at(plaintext.len());
        let tag = ReferenceTag::try_from(tag).unwrap();
        assert!(
            cipher.decrypt_inout_detached(&nonce, &[], body.to_vec().as_mut_slice().into(), &tag).is_err()
        );
        let mut at_fault = keys.opener(reader);
        at_fault.0.next = Some(number);
        assert_eq!(opened(&mut at_fault, &mut altered), Err(RecordError::Forged), "{what}");
        assert_eq!(opened(&mut opener, &mut expected.clone()), Ok(plaintext), "{what}");
    }
}

#[test]
fn every_length_survives_and_no_frame_is_above_the_maximum() {
    let (mut sealer, mut opener) = (keys().sealer(Side::Client), keys().opener(Side::Server));
    let limit = PLAINTEXT_LEN_BYTES_MAX;
    assert_eq!(limit, 4072);
    for len_bytes in [0, 1, limit - 1, limit, limit + 1, 3 * limit, 100_000] {
        let plaintext: Vec<u8> = (0..len_bytes).map(|i| i as u8).collect();
        let mut frames = sealed(&mut sealer, &plaintext);
        let mut rest = frames.as_slice();
        while let Some(length) = Opener::record_len_bytes(rest).unwrap() {
            assert!(length <= FRAME_LEN_BYTES_MAX);
            rest = &rest[length..];
        }
        assert_eq!(opened(&mut opener, &mut frames), Ok(plaintext));
    }
}

#[test]
fn pieces_share_records() {
    let plaintext: Vec<u8> = (0..10_000).map(|i| i as u8).collect();
    let mut pieces = Vec::new();
    keys().sealer(Side::Client).seal_slices(plaintext.chunks(7), &mut pieces).unwrap();
    assert_eq!(pieces, sealed(&mut keys().sealer(Side::Client), &plaintext));
}

#[test]
fn an_empty_record_and_one_of_the_greatest_length_are_legal() {
    let mut opener = keys().opener(Side::Server);
    let mut direction = Direction::new(&keys(), Side::Client);
    for len_bytes in [0, RECEIVED_LEN_BYTES_MAX - TYPE_LEN_BYTES - TAG_LEN_BYTES] {
        let mut ciphertext = vec![3; len_bytes];
        let tag = direction.next_cipher().unwrap().seal(&mut ciphertext).unwrap();
        let length = u32::try_from(TYPE_LEN_BYTES + len_bytes + TAG_LEN_BYTES).unwrap();
        // Only the low byte of the type counts (wire 11.7).
        let mut frame = [length.to_le_bytes(), [6, 9, 9, 9]].concat();
        frame.extend_from_slice(&ciphertext);
        frame.extend_from_slice(tag.as_ref());
        assert_eq!(opened(&mut opener, &mut frame), Ok(vec![3; len_bytes]));
    }
}

#[test]
fn impossible_lengths_are_refused_before_anything_is_waited_for() {
    let maximum = u32::try_from(RECEIVED_LEN_BYTES_MAX).unwrap();
    // Lengths below 4 make the reference's reader panic (wire 11.7).
    for length in [0, 1, 2, 3, 4, 19, maximum + 1, u32::MAX] {
        for followed_by in [0, 4, 64] {
            let mut bytes = [length.to_le_bytes().as_slice(), &vec![6; followed_by]].concat();
            let refused = keys().opener(Side::Server).open(&mut bytes);
            assert_eq!(refused, Err(RecordError::Length { len_bytes: length as usize }));
        }
    }
    for length in [20, maximum] {
        let mut bytes = length.to_le_bytes().to_vec();
        assert_eq!(keys().opener(Side::Server).open(&mut bytes), Ok(None));
    }
}

#[test]
fn whatever_is_altered_repeated_reordered_or_reflected_is_refused() {
    let mut sealer = keys().sealer(Side::Client);
    let (first, second) = (sealed(&mut sealer, b"first"), sealed(&mut sealer, b"second"));
    for position in 8..first.len() {
        let mut altered = first.clone();
        altered[position] ^= 1;
        assert_eq!(opened(&mut keys().opener(Side::Server), &mut altered), Err(RecordError::Forged));
    }
    let mut typed = first.clone();
    typed[4] = 7;
    assert_eq!(opened(&mut keys().opener(Side::Server), &mut typed), Err(RecordError::Type { number: 7 }));
    let repeated = [first.as_slice(), &first].concat();
    let reordered = [second.as_slice(), &first].concat();
    for mut bytes in [repeated, reordered] {
        assert_eq!(opened(&mut keys().opener(Side::Server), &mut bytes), Err(RecordError::Forged));
    }
    // Both directions share a key; the counter's last byte keeps them apart (wire 11.10).
    assert_eq!(opened(&mut keys().opener(Side::Client), &mut first.clone()), Err(RecordError::Forged));
}

#[test]
fn a_direction_ends_when_its_counter_is_used_up() {
    let mut direction = Direction::new(&keys(), Side::Client);
    direction.next = Some(u64::MAX);
    let mut sealer = Sealer(direction);
    let mut frames = Vec::new();
    assert_eq!(sealer.seal(b"last", &mut frames), Ok(()));
    for _ in 0..2 {
        assert_eq!(sealer.seal(b"one more", &mut frames), Err(RecordError::Exhausted));
    }
}

#[test]
fn a_buffer_of_any_bytes_never_panics() {
    let mut opener = keys().opener(Side::Server);
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let mut bytes: Vec<u8> = (0..64)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        // Short lengths are where a reader may go wrong.
        bytes[1..4].fill(0);
        bytes[0] %= 64;
        let len_bytes = usize::from(bytes[5]) % 64;
        let _ = opener.open(&mut bytes[..len_bytes]);
    }
}
