//! Whole-node tests: the rules of the house, vectors, networks, crashes.
//!
//! Owns what several test files share. The tests are in `tests/`, one file a subject; what one crate promises by
//! itself is tested in that crate.

use std::path::PathBuf;

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap_or_else(|_| PathBuf::from(".."))
}
