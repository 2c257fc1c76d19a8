//! One packet: a symbol with its number in front, the unit that is hashed, stored and transferred (wire 4.7).

use super::CodecError;
use super::parameters::{Parameters, SYMBOL_LEN_BYTES};
use crate::artifact_key::ArtifactKey;

/// Length of a packet's payload id: one byte source block number (0), three bytes ESI, big-endian (wire 4.7).
pub const PACKET_HEADER_LEN_BYTES: usize = 4;
/// Length of every packet in bytes (wire 4.7).
pub const PACKET_LEN_BYTES: usize = PACKET_HEADER_LEN_BYTES + SYMBOL_LEN_BYTES;

/// One packet of an encoded file with its content key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    esi: u32,
    id: ArtifactKey,
    bytes: Vec<u8>,
}

impl Packet {
    /// The encoding symbol id: below K a source symbol, from K on a repair symbol.
    #[must_use]
    pub const fn esi(&self) -> u32 {
        self.esi
    }

    /// The symbol id: the key of the whole packet, header included (wire 4.7).
    #[must_use]
    pub const fn id(&self) -> ArtifactKey {
        self.id
    }

    /// The [`PACKET_LEN_BYTES`] bytes that are stored and transferred.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, without copying them.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A packet in the making: its symbol is appended from the first column to the last.
pub(super) struct PacketDraft {
    pub(super) esi: u32,
    bytes: Vec<u8>,
    id: Option<ArtifactKey>,
}

impl PacketDraft {
    /// A packet with its header only.
    pub(super) fn new(esi: u32) -> Self {
        let mut bytes = Vec::with_capacity(PACKET_LEN_BYTES);
        bytes.extend_from_slice(&header_of(esi));
        Self { esi, bytes, id: None }
    }

    /// Adds the symbol's next columns.
    pub(super) fn append(&mut self, columns: &[u8]) {
        self.bytes.extend_from_slice(columns);
    }

    /// Adds the symbol's next columns as the sum, over GF(2), of rows of the same length.
    ///
    /// Four rows are added in one go, as their bytes come from all over the memory: it is waiting for them that takes
    /// the time.
    pub(super) fn append_sum<'a>(&mut self, mut rows: impl Iterator<Item = &'a [u8]>) {
        let start = self.bytes.len();
        if let Some(first) = rows.next() {
            self.bytes.extend_from_slice(first);
        }
        let sum = &mut self.bytes[start..];
        while let Some(a) = rows.next() {
            match (rows.next(), rows.next(), rows.next()) {
                (Some(b), Some(c), Some(d)) => {
                    for ((((sum, a), b), c), d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                        *sum ^= a ^ b ^ c ^ d;
                    }
                }
                (b, c, _) => {
                    for row in [Some(a), b, c].into_iter().flatten() {
                        sum.iter_mut().zip(row).for_each(|(sum, byte)| *sum ^= byte);
                    }
                }
            }
        }
    }

    /// Hashes the complete packet, so that [`PacketDraft::finish`] needn't.
    pub(super) fn hash(&mut self) {
        debug_assert_eq!(self.bytes.len(), PACKET_LEN_BYTES, "all columns of symbol {}", self.esi);
        self.id = Some(ArtifactKey::of(&self.bytes));
    }

    /// The complete packet.
    pub(super) fn finish(self) -> Packet {
        let id = self.id.unwrap_or_else(|| ArtifactKey::of(&self.bytes));
        Packet { esi: self.esi, id, bytes: self.bytes }
    }
}

/// The payload id of a symbol. An ESI that passed `Parameters::check_esi` fits its three bytes; source block 0 is
/// the fourth.
pub(super) fn header_of(esi: u32) -> [u8; PACKET_HEADER_LEN_BYTES] {
    esi.to_be_bytes()
}

/// Reads the encoding symbol id of a packet that claims to belong to a file.
///
/// # Errors
///
/// [`CodecError::CorruptPacket`] if the length or the source block number is wrong, [`CodecError::UnknownSymbol`] if
/// the file has no such symbol.
pub fn packet_esi(parameters: &Parameters, packet: &[u8]) -> Result<u32, CodecError> {
    let Some((header, symbol)) = packet.split_first_chunk::<PACKET_HEADER_LEN_BYTES>() else {
        return Err(CodecError::CorruptPacket { esi: 0, problem: "it is shorter than a header" });
    };
    let [block, esi @ ..] = header;
    let esi = esi.iter().fold(0, |esi, byte| esi << 8 | u32::from(*byte));
    if symbol.len() != SYMBOL_LEN_BYTES {
        return Err(CodecError::CorruptPacket { esi, problem: "it is not as long as every packet" });
    }
    if *block != 0 {
        return Err(CodecError::CorruptPacket { esi, problem: "its source block number is not 0" });
    }
    parameters.check_esi(esi)?;
    Ok(esi)
}
