//! What heal strategies, challengers, downloads and uploads have in common about a ticket's file.
//!
//! Owns loading and checking a ticket's documents ([`TicketDocuments`]), gathering symbols ([`collect`]), getting the
//! file back ([`Reconstructor`]), making symbols anew ([`encode_symbols`] and its like), what heal strategies do alike
//! ([`HealWorkbench`]), and storing a new file ([`store_file`]). The formats and the erasure code are the protocol's;
//! which bytes are where is the artifact network's business.
//!
//! Everything here works through seams only. Memory is bounded by named limits, except that recovering lost source
//! symbols and making repair symbols hold the file once.

mod cache;
pub mod collect;
mod documents;
mod file_target;
#[cfg(feature = "testkit")]
pub mod fixture;
mod handoff;
mod hasher;
mod reconstruct;
mod regenerate;
mod store;
mod store_error;
mod windows;
mod workbench;

pub use cache::{DOCUMENTS_CACHE_BYTES_MAX, DOCUMENTS_CACHE_ENTRIES_MAX, DocumentsCache};
pub use documents::{ArtifactKind, DocumentsError, TicketDocuments};
pub use file_target::{FileTarget, StagedFile, TARGET_IO_LEN_BYTES_MAX, TargetError, read_whole_file};
pub use hasher::DataHasher;
pub use reconstruct::{ReconstructError, Reconstructed, Reconstructor};
pub use regenerate::{
    PacketSink, RegenerateError, encode_symbols, regenerate_repair_symbols, regenerate_source_symbols,
};
pub use store::{
    FileToStore, LAYOUT_ID_FILES, PUBLISH_BATCH_ARTIFACTS, StoreFileProgress, StoreSeams, StoredFile,
    price_of, store_file,
};
pub use store_error::StoreFileError;
pub use workbench::{HealWorkbench, Stager, network_error, regenerate_error, target_error, unless_cancelled};

#[cfg(test)]
mod tests;
