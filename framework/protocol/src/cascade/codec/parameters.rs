//! The geometry of an encoded file: how many symbols, how long, and where each lies in the file (wire 4.7).
//!
//! Owns the object transmission information and the sub-block rule. Everything follows from the file's length.

use std::ops::Range;

use raptorq::{ObjectTransmissionInformation, partition};

use super::CodecError;

/// The longest file that fits one source block: 1280 MiB (wire 4.7).
pub const FILE_LEN_BYTES_MAX: u64 = 1280 * 1024 * 1024;
/// The symbol length that the network asks for, and by which it counts repair symbols (wire 4.7).
pub const SYMBOL_LEN_BYTES_REQUESTED: u16 = 65_535;
/// The symbol length that results, rounded down to the alignment (wire 4.7).
pub const SYMBOL_LEN_BYTES: usize = 65_528;
/// Symbols and sub-symbols are multiples of this (wire 4.7).
pub const SYMBOL_ALIGNMENT_BYTES: usize = 8;
/// Length of the object transmission information (RFC 6330 3.3).
pub const OTI_LEN_BYTES: usize = 12;

/// Repair symbols for a file of one requested symbol or less (wire 4.7).
const REPAIR_SYMBOLS_OF_SHORT_FILE: u32 = 6;
/// Repair symbols per requested symbol of a longer file: the redundancy factor less one (wire 4.7).
const REPAIR_SYMBOLS_PER_SYMBOL: f64 = 5.0;

const _: () = assert!(
    SYMBOL_LEN_BYTES == SYMBOL_LEN_BYTES_REQUESTED as usize / SYMBOL_ALIGNMENT_BYTES * SYMBOL_ALIGNMENT_BYTES,
    "the effective symbol length is the requested one, aligned"
);

/// The geometry of one encoded file. Cheap to copy; equal for files of equal length.
///
/// ```
/// use lampkeeper_protocol::cascade::codec::Parameters;
/// let parameters = Parameters::for_file_len(200_000)?;
/// assert_eq!((parameters.source_symbols(), parameters.total_symbols()), (4, 20));
/// assert_eq!(Parameters::from_oti(parameters.oti())?, parameters);
/// # Ok::<(), lampkeeper_protocol::cascade::codec::CodecError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Parameters {
    len_bytes: u64,
    sub_blocks: u16,
}

/// A range of columns of all symbols, which is also one contiguous piece of the file (RFC 6330 4.4.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubBlock {
    /// The bytes of each symbol that belong to this sub-block.
    pub(super) columns: Range<usize>,
    /// Where the sub-symbol of ESI 0 lies in the zero-padded file; that of ESI `i` follows `i * width` later.
    pub(super) file_offset: u64,
}

impl Parameters {
    /// The geometry of a file of `len_bytes` bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError::EmptyFile`] and [`CodecError::FileTooLong`] (more than [`FILE_LEN_BYTES_MAX`]).
    pub fn for_file_len(len_bytes: u64) -> Result<Self, CodecError> {
        if len_bytes == 0 {
            return Err(CodecError::EmptyFile);
        }
        if len_bytes > FILE_LEN_BYTES_MAX {
            return Err(CodecError::FileTooLong { len_bytes });
        }
        let information = ObjectTransmissionInformation::with_defaults(len_bytes, SYMBOL_LEN_BYTES_REQUESTED);
        Ok(Self { len_bytes, sub_blocks: information.sub_blocks() })
    }

    /// Reads the object transmission information of a layout. Only what [`Parameters::for_file_len`] would give is
    /// accepted, so a foreign layout cannot ask for unusual amounts of memory.
    ///
    /// # Errors
    ///
    /// As [`Parameters::for_file_len`], and [`CodecError::ForeignParameters`] if any other field differs.
    pub fn from_oti(oti: [u8; OTI_LEN_BYTES]) -> Result<Self, CodecError> {
        let len_bytes = oti[..5].iter().fold(0, |len, byte| len << 8 | u64::from(*byte));
        let parameters = Self::for_file_len(len_bytes)?;
        let expected = parameters.oti();
        let byte = |at: usize| u16::from(expected[at]);
        let fields = [
            ("the reserved byte", 5..6, byte(5)),
            ("the symbol size", 6..8, byte(6) << 8 | byte(7)),
            ("the number of source blocks", 8..9, byte(8)),
            ("the number of sub-blocks", 9..11, byte(9) << 8 | byte(10)),
            ("the symbol alignment", 11..12, byte(11)),
        ];
        for (field, range, value) in fields {
            if oti[range.clone()] != expected[range] {
                return Err(CodecError::ForeignParameters { oti, field, expected: value });
            }
        }
        Ok(parameters)
    }

    /// The object transmission information (RFC 6330 3.3), as a layout holds it.
    #[must_use]
    pub fn oti(&self) -> [u8; OTI_LEN_BYTES] {
        let symbol_len = SYMBOL_LEN_BYTES as u16;
        let alignment = SYMBOL_ALIGNMENT_BYTES as u8;
        ObjectTransmissionInformation::new(self.len_bytes, symbol_len, 1, self.sub_blocks, alignment)
            .serialize()
    }

    /// Length of the file in bytes.
    #[must_use]
    pub const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Number of source symbols, K: ESIs 0 to K - 1. At most 20,483.
    #[must_use]
    pub const fn source_symbols(&self) -> u32 {
        self.len_bytes.div_ceil(SYMBOL_LEN_BYTES as u64) as u32
    }

    /// Number of repair symbols, R: ESIs K to K + R - 1. At most 102,402 (wire 4.7).
    #[must_use]
    pub fn repair_symbols(&self) -> u32 {
        if self.len_bytes <= u64::from(SYMBOL_LEN_BYTES_REQUESTED) {
            return REPAIR_SYMBOLS_OF_SHORT_FILE;
        }
        let len_bytes = self.len_bytes as f64;
        (len_bytes * REPAIR_SYMBOLS_PER_SYMBOL / f64::from(SYMBOL_LEN_BYTES_REQUESTED)).ceil() as u32
    }

    /// Number of packets, K + R.
    #[must_use]
    pub fn total_symbols(&self) -> u32 {
        self.source_symbols() + self.repair_symbols()
    }

    /// The fewest symbols from which the file can be recovered. Any set of this size does in about 99 of 100 cases,
    /// one more symbol makes that 9,999 of 10,000, and all source symbols always do.
    #[must_use]
    pub const fn needed_symbols(&self) -> u32 {
        self.source_symbols()
    }

    /// Number of sub-blocks, N. Above 1, a source symbol is spread over N pieces of the file.
    #[must_use]
    pub const fn sub_blocks(&self) -> u16 {
        self.sub_blocks
    }

    /// The byte ranges of the file that a source symbol holds, in the order in which its bytes hold them; padding left
    /// out. Empty for a repair symbol.
    #[must_use]
    pub fn file_ranges(&self, esi: u32) -> Vec<Range<u64>> {
        if esi >= self.source_symbols() {
            return Vec::new();
        }
        let clip = |offset: u64| offset.min(self.len_bytes);
        self.sub_block_list()
            .iter()
            .map(|sub_block| {
                let width = sub_block.columns.len() as u64;
                let start = sub_block.file_offset + u64::from(esi) * width;
                clip(start)..clip(start + width)
            })
            .filter(|range| !range.is_empty())
            .collect()
    }

    /// Refuses an ESI that no packet of this file has.
    pub(super) fn check_esi(&self, esi: u32) -> Result<(), CodecError> {
        let total = self.total_symbols();
        if esi < total { Ok(()) } else { Err(CodecError::UnknownSymbol { esi, total }) }
    }

    /// The sub-blocks in the order of the file (RFC 6330 4.4.1.2).
    pub(super) fn sub_block_list(&self) -> Vec<SubBlock> {
        let units = (SYMBOL_LEN_BYTES / SYMBOL_ALIGNMENT_BYTES) as u32;
        let (long_units, short_units, long_count, short_count) = partition(units, self.sub_blocks);
        let widths = std::iter::repeat_n(long_units, long_count as usize)
            .chain(std::iter::repeat_n(short_units, short_count as usize))
            .map(|units| units as usize * SYMBOL_ALIGNMENT_BYTES);
        let mut column = 0;
        widths
            .map(|width| {
                let columns = column..column + width;
                let file_offset = column as u64 * u64::from(self.source_symbols());
                column += width;
                SubBlock { columns, file_offset }
            })
            .collect()
    }
}
