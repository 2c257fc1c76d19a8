//! Runs of consecutive source symbols as parts of the file.
//!
//! A source symbol of a long file is spread over many pieces of it (RFC 6330 4.4.1.2), but those of its neighbours are
//! right beside each of them. So symbols are written and read in runs, one access a sub-block.

use super::file_target::{FileTarget, TARGET_IO_LEN_BYTES_MAX, TargetError};
use crate::protocol::cascade::codec::{
    PACKET_HEADER_LEN_BYTES, PACKET_LEN_BYTES, Parameters, SYMBOL_LEN_BYTES,
};

/// The longest run: 64 symbols are just below 4 MiB.
pub(super) const RUN_SYMBOLS_MAX: usize = TARGET_IO_LEN_BYTES_MAX / SYMBOL_LEN_BYTES;

/// Writes the packets of consecutive source symbols, at most [`RUN_SYMBOLS_MAX`], where they belong in the file.
pub(super) async fn write_run(
    target: &dyn FileTarget,
    parameters: &Parameters,
    first_esi: u32,
    packets: &[Vec<u8>],
) -> Result<(), TargetError> {
    for piece in pieces(parameters, first_esi, packets.len()) {
        let mut bytes = Vec::new();
        for (packet, part) in packets.iter().zip(&piece.parts) {
            bytes.extend_from_slice(&packet[part.in_packet..part.in_packet + part.len_bytes]);
        }
        target.write_at(piece.offset, bytes).await?;
    }
    Ok(())
}

/// The packets of `count` consecutive source symbols, at most [`RUN_SYMBOLS_MAX`], read from the file.
pub(super) async fn read_run(
    target: &dyn FileTarget,
    parameters: &Parameters,
    first_esi: u32,
    count: usize,
) -> Result<Vec<Vec<u8>>, TargetError> {
    let mut packets: Vec<Vec<u8>> = (first_esi..).take(count).map(empty_packet).collect();
    for piece in pieces(parameters, first_esi, count) {
        let len_bytes = piece.parts.iter().map(|part| part.len_bytes).sum();
        let bytes = target.read_at(piece.offset, len_bytes).await?;
        if bytes.len() != len_bytes {
            return Err(TargetError::Io {
                attempted: format!("reading {len_bytes} bytes at {} of a file", piece.offset),
                reason: format!("only {} are there", bytes.len()),
            });
        }
        let mut rest = &bytes[..];
        for (packet, part) in packets.iter_mut().zip(&piece.parts) {
            let (own, others) = rest.split_at(part.len_bytes);
            packet[part.in_packet..part.in_packet + part.len_bytes].copy_from_slice(own);
            rest = others;
        }
    }
    Ok(packets)
}

/// A packet with its header and a symbol of zeros; what the file does not fill is padding (wire 4.7).
fn empty_packet(esi: u32) -> Vec<u8> {
    let mut packet = vec![0; PACKET_LEN_BYTES];
    packet[..PACKET_HEADER_LEN_BYTES].copy_from_slice(&esi.to_be_bytes());
    packet
}

/// A contiguous piece of the file that a run of symbols fills.
struct Piece {
    offset: u64,
    /// What each symbol gives, in order; nothing where the padding begins.
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Default)]
struct Part {
    in_packet: usize,
    len_bytes: usize,
}

fn pieces(parameters: &Parameters, first_esi: u32, count: usize) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = parameters
        .file_ranges(first_esi)
        .into_iter()
        .map(|range| Piece { offset: range.start, parts: Vec::with_capacity(count) })
        .collect();
    for esi in (first_esi..).take(count) {
        let ranges = parameters.file_ranges(esi);
        let mut in_packet = PACKET_HEADER_LEN_BYTES;
        for (sub_block, piece) in pieces.iter_mut().enumerate() {
            let len_bytes = ranges.get(sub_block).map_or(0, |range| (range.end - range.start) as usize);
            piece.parts.push(Part { in_packet, len_bytes });
            in_packet += len_bytes;
        }
    }
    pieces
}

/// Splits ascending ids into runs of consecutive ones, none longer than [`RUN_SYMBOLS_MAX`].
pub(super) fn runs(esis: &[u32]) -> impl Iterator<Item = &[u32]> {
    esis.chunk_by(|a, b| a + 1 == *b).flat_map(|run| run.chunks(RUN_SYMBOLS_MAX))
}
