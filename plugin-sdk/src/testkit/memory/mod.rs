//! Stores, staging areas and journals that live in memory.
//!
//! Clones share their contents, so that a test which drops one and goes on with a clone has restarted a node on the same
//! disk. Nothing here waits, so nothing here can be interrupted half-way.

mod journal;
mod staging;
mod store;

pub use journal::MemoryJournal;
pub use staging::MemoryStaging;
pub use store::MemoryStore;

#[cfg(test)]
mod tests;
