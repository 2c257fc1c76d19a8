//! What can go wrong with the erasure code, for callers to branch on.

use super::parameters::{FILE_LEN_BYTES_MAX, OTI_LEN_BYTES};

/// A failure of the erasure code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A file of no bytes has no symbols (wire 4.7).
    #[error("cannot encode an empty file: a ticket's file has at least one byte")]
    EmptyFile,
    /// The file would need more than one source block (wire 4.7).
    #[error("cannot encode a file of {len_bytes} bytes: one source block holds at most {FILE_LEN_BYTES_MAX}")]
    FileTooLong {
        /// Length of the file in bytes.
        len_bytes: u64,
    },
    /// The object transmission information is not what the network uses for a file of that length.
    #[error(
        "refused encoder parameters {}: {field} must be {expected} for a file of that length",
        hex::encode(oti)
    )]
    ForeignParameters {
        /// The bytes as they were read.
        oti: [u8; OTI_LEN_BYTES],
        /// The first field that differs.
        field: &'static str,
        /// What the field must hold.
        expected: u16,
    },
    /// The file at hand is not as long as its parameters say.
    #[error("cannot regenerate from a file of {actual_bytes} bytes: its layout describes {expected_bytes}")]
    WrongFileLength {
        /// Length that the parameters give, in bytes.
        expected_bytes: u64,
        /// Length of the file at hand, in bytes.
        actual_bytes: u64,
    },
    /// No packet of this file has that encoding symbol id.
    #[error("symbol {esi} does not exist: the file has symbols 0 to {}", total - 1)]
    UnknownSymbol {
        /// The encoding symbol id that was asked for or offered.
        esi: u32,
        /// Number of packets of the file.
        total: u32,
    },
    /// Too few symbols are at hand: the file cannot be recovered without more of them.
    #[error("too few symbols to recover the file: have {have} of the {need} needed")]
    NotEnoughSymbols {
        /// Distinct symbols at hand.
        have: u32,
        /// The fewest that can suffice.
        need: u32,
    },
    /// Enough symbols by number, but not independent (about one set in a hundred without a spare symbol, RFC 6330 1).
    #[error("these {have} symbols do not determine the file although {need} can: fetch one more")]
    DependentSymbols {
        /// Distinct symbols at hand.
        have: u32,
        /// The fewest that can suffice.
        need: u32,
    },
    /// The bytes offered as a packet are not that packet.
    #[error("the packet of symbol {esi} is corrupt: {problem}")]
    CorruptPacket {
        /// The encoding symbol id that the packet was offered for.
        esi: u32,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The caller's file or packets could not be read.
    #[error("reading the input of the erasure code failed")]
    Read(#[source] std::io::Error),
    /// The caller did not take the output.
    #[error("handing on the output of the erasure code failed")]
    Write(#[source] std::io::Error),
    /// The RaptorQ library recorded its solution in a form that this crate does not know: a wrong library version.
    #[error("the recorded solution of the RaptorQ library is not understood")]
    Solver(#[source] serde_json::Error),
}

impl CodecError {
    /// Whether the file is lost unless more symbols turn up.
    #[must_use]
    pub const fn needs_more_symbols(&self) -> bool {
        match self {
            Self::NotEnoughSymbols { .. } | Self::DependentSymbols { .. } => true,
            Self::EmptyFile
            | Self::FileTooLong { .. }
            | Self::ForeignParameters { .. }
            | Self::WrongFileLength { .. }
            | Self::UnknownSymbol { .. }
            | Self::CorruptPacket { .. }
            | Self::Read(_)
            | Self::Write(_)
            | Self::Solver(_) => false,
        }
    }

    /// The symbol whose packet must not be used again, if one is to blame.
    #[must_use]
    pub const fn corrupt_symbol(&self) -> Option<u32> {
        match self {
            Self::CorruptPacket { esi, .. } => Some(*esi),
            Self::EmptyFile
            | Self::FileTooLong { .. }
            | Self::ForeignParameters { .. }
            | Self::WrongFileLength { .. }
            | Self::UnknownSymbol { .. }
            | Self::NotEnoughSymbols { .. }
            | Self::DependentSymbols { .. }
            | Self::Read(_)
            | Self::Write(_)
            | Self::Solver(_) => None,
        }
    }
}
