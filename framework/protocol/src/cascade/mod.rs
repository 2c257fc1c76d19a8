//! What a ticket stores, and the documents that describe it (wire 4).
//!
//! Owns the documents' exact bytes, the ids derived from them, and the erasure code. Leaves moving the bytes to the
//! artifact network and the stores.

pub mod codec;
pub mod commitment;
pub mod id_files;
pub mod index;
pub mod layout;
pub mod metadata;
