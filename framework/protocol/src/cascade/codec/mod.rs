//! The erasure code of a ticket's file: RaptorQ as wire 4.7 fixes it, in bounded memory and on several cores.
//!
//! Owns the geometry of a file ([`Parameters`]), turning a file into packets ([`encode`]), packets back into the file
//! ([`decode`]), and making chosen packets again ([`regenerate`], [`RepairMaker`], [`regenerate_from_packets`]). Leaves files, stores
//! and threads that outlive a call to others: bytes come and go through [`FileSource`], [`PacketSource`] and a
//! closure, and the threads of one call have ended when it returns.
//!
//! # How it works
//!
//! RaptorQ combines whole symbols, byte position by byte position: byte `c` of any symbol depends only on byte `c` of
//! the others. Which symbols are combined depends on their ESIs alone, never on the bytes. So the equations are solved
//! once, on symbols of one byte, and the recorded operations are applied to narrow column stripes that fit a core's
//! cache, stripes in parallel. The packets are those of the crate's own encoder, byte for byte.
//!
//! A sub-block (RFC 6330 4.4.1.2) is a range of columns whose bytes are one contiguous piece of the file. Files are
//! therefore read and written one sub-block at a time, in order, and no sub-block exceeds the 10 MiB working memory
//! of the crate's default rule by much.
//!
//! # Examples
//!
//! ```
//! use lampkeeper_protocol::cascade::codec::{self, Packet};
//! use std::collections::BTreeMap;
//! use std::num::NonZeroUsize;
//!
//! let file = b"a file".repeat(40_000);
//! let workers = NonZeroUsize::MIN;
//! let mut packets = BTreeMap::new();
//! let encoded = codec::encode(&file[..], workers, |batch: Vec<Packet>| {
//!     packets.extend(batch.into_iter().map(|packet| (packet.esi(), packet.into_bytes())));
//!     Ok(())
//! })?;
//!
//! packets.remove(&0);
//! let available: Vec<u32> = packets.keys().copied().collect();
//! let mut decoded = Vec::new();
//! codec::decode(&encoded.parameters, &available, &packets, workers, |bytes| {
//!     decoded.extend_from_slice(bytes);
//!     Ok(())
//! })?;
//! assert_eq!(decoded, file);
//! # Ok::<(), codec::CodecError>(())
//! ```

mod batch;
mod decode;
mod encode;
mod error;
mod intermediates;
mod packet;
mod parallel;
mod parameters;
mod program;
mod recovery;
mod regenerate;
mod repair;
mod solver;
mod source;
mod stripes;

pub use decode::decode;
pub use encode::{EncodedFile, encode};
pub use error::CodecError;
pub use packet::{PACKET_HEADER_LEN_BYTES, PACKET_LEN_BYTES, Packet, packet_esi};
pub use parameters::{
    FILE_LEN_BYTES_MAX, OTI_LEN_BYTES, Parameters, SYMBOL_ALIGNMENT_BYTES, SYMBOL_LEN_BYTES,
    SYMBOL_LEN_BYTES_REQUESTED,
};
pub use regenerate::{regenerate, regenerate_from_packets};
pub use repair::RepairMaker;
pub use source::{FileSource, PacketSource};
