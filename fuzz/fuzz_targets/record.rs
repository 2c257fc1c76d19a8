//! The record layer against any bytes: no panic, no plaintext that was not sealed, and no memory beyond the input.
//!
//! The first byte chooses: arbitrary bytes as records, or sealed records that the rest of the input alters.
#![no_main]

use lampkeeper_transport_grpc::channel::Side;
use lampkeeper_transport_grpc::channel::record::{CHANNEL_KEYS_LEN_BYTES, ChannelKeys, Opener};
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let keys = ChannelKeys::new(Zeroizing::new([7; CHANNEL_KEYS_LEN_BYTES]));
    let side = if choice & 1 == 0 { Side::Client } else { Side::Server };
    let opener = keys.opener(side);
    match choice & 2 {
        0 => assert!(open_all(opener, &mut rest.to_vec()).is_empty(), "nobody sealed this"),
        _ => altered(&keys, side, opener, rest),
    }
});

/// Opens records until one fails; what they said.
fn open_all(mut opener: Opener, bytes: &mut [u8]) -> Vec<u8> {
    let mut plaintext = Vec::new();
    let mut rest = bytes;
    while let Ok(Some(record)) = opener.open(rest) {
        assert!(record.len_bytes <= rest.len() && record.plaintext.end <= record.len_bytes);
        plaintext.extend_from_slice(&rest[record.plaintext]);
        rest = &mut rest[record.len_bytes..];
    }
    plaintext
}

/// Seals part of the input, flips bits of the frames where the rest says, and expects a prefix of what was sealed.
fn altered(keys: &ChannelKeys, reader: Side, opener: Opener, input: &[u8]) {
    let writer = if reader == Side::Client { Side::Server } else { Side::Client };
    let Some((count, rest)) = input.split_first() else { return };
    let (alterations, plaintext) = rest.split_at(rest.len().min(usize::from(count % 16) * 3));
    let mut sealer = keys.sealer(writer);
    let mut frames = Vec::new();
    for chunk in plaintext.chunks(usize::from(*count).max(1) * 37) {
        sealer.seal(chunk, &mut frames).expect("a new counter");
    }
    let mut intact_bytes = frames.len();
    for alteration in alterations.chunks_exact(3) {
        let position = usize::from(u16::from_le_bytes([alteration[0], alteration[1]]));
        if let Some(byte) = frames.get_mut(position) {
            *byte ^= alteration[2];
            // The upper bytes of the type mean nothing (wire 11.7).
            intact_bytes = if alteration[2] == 0 { intact_bytes } else { intact_bytes.min(position) };
        }
    }
    let is_intact = intact_bytes == frames.len();
    let opened = open_all(opener, &mut frames);
    assert!(plaintext.starts_with(&opened), "opened what was not sealed");
    assert!(!is_intact || opened == plaintext, "lost what was sealed");
}
