//! Where the codec reads: a file, or packets, that need not be in memory.

use std::collections::BTreeMap;
use std::io;

use super::CodecError;
use super::packet::{PACKET_HEADER_LEN_BYTES, header_of};
use super::parameters::{Parameters, SubBlock};

/// A file to encode, read at any position. Called on the thread that calls the codec; each byte is read at most twice,
/// and the file must not change meanwhile.
pub trait FileSource {
    /// Length of the file in bytes.
    fn len_bytes(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on. Never asked for bytes past the end.
    ///
    /// # Errors
    ///
    /// Whatever kept the bytes from being read, an end of file before the announced length included.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// Packets at hand, read at any position. Called on the thread that calls the codec, for one sub-block after another:
/// each needed packet is read in about as many pieces as the file has MiB / 10.
///
/// The codec checks a packet's header only. Check its content key before offering it: a corrupt packet spoils all that
/// is computed from it.
pub trait PacketSource {
    /// Fills `buffer` with the packet's bytes from `offset` on, the packet's header being at 0.
    ///
    /// # Errors
    ///
    /// Whatever kept the bytes from being read; `UnexpectedEof` says that the packet is too short.
    fn read_at(&self, esi: u32, offset: usize, buffer: &mut [u8]) -> io::Result<()>;
}

/// A file in memory.
impl FileSource for [u8] {
    fn len_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        copy_from(self, usize::try_from(offset).unwrap_or(usize::MAX), buffer)
    }
}

/// Packets in memory, by their encoding symbol id.
impl PacketSource for BTreeMap<u32, Vec<u8>> {
    fn read_at(&self, esi: u32, offset: usize, buffer: &mut [u8]) -> io::Result<()> {
        let packet = self.get(&esi).ok_or(io::ErrorKind::NotFound)?;
        copy_from(packet, offset, buffer)
    }
}

fn copy_from(bytes: &[u8], offset: usize, buffer: &mut [u8]) -> io::Result<()> {
    let end = offset.saturating_add(buffer.len());
    buffer.copy_from_slice(bytes.get(offset..end).ok_or(io::ErrorKind::UnexpectedEof)?);
    Ok(())
}

/// Fills `buffer` from the zero-padded file; the bytes before the padding are counted in the result.
pub(super) fn read_padded(
    source: &(impl FileSource + ?Sized),
    parameters: &Parameters,
    offset: u64,
    buffer: &mut [u8],
) -> Result<usize, CodecError> {
    let rest = parameters.len_bytes().saturating_sub(offset);
    let in_file = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
    if in_file > 0 {
        source.read_at(offset, &mut buffer[..in_file]).map_err(CodecError::Read)?;
    }
    buffer[in_file..].fill(0);
    Ok(in_file)
}

/// Fills `buffer` with the part of a symbol that lies in a sub-block.
pub(super) fn read_sub_symbol(
    packets: &(impl PacketSource + ?Sized),
    esi: u32,
    sub_block: &SubBlock,
    buffer: &mut [u8],
) -> Result<(), CodecError> {
    read_packet_part(packets, esi, PACKET_HEADER_LEN_BYTES + sub_block.columns.start, buffer)
}

/// Refuses a packet whose header names another symbol.
pub(super) fn check_header(packets: &(impl PacketSource + ?Sized), esi: u32) -> Result<(), CodecError> {
    let mut header = [0; PACKET_HEADER_LEN_BYTES];
    read_packet_part(packets, esi, 0, &mut header)?;
    if header == header_of(esi) {
        return Ok(());
    }
    Err(CodecError::CorruptPacket { esi, problem: "its header names another symbol" })
}

/// Reads a part of a packet, telling a short packet from one that can't be read.
pub(super) fn read_packet_part(
    packets: &(impl PacketSource + ?Sized),
    esi: u32,
    offset: usize,
    buffer: &mut [u8],
) -> Result<(), CodecError> {
    packets.read_at(esi, offset, buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => CodecError::CorruptPacket { esi, problem: "it is too short" },
        _ => CodecError::Read(error),
    })
}
