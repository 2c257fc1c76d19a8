//! Why a library is not loaded: which field, both values, and what to do.

use super::host_header;
use crate::registry::RegistryError;
use lampkeeper_api::native::{BUILD_FLAGS, HeaderError, Mismatch};
use lampkeeper_api::plugin::Seam;
use std::path::PathBuf;

/// Why a library was refused. Nothing of it was run, unless the variant says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The manifest does not name a file.
    #[error("a native plugin needs the file of its library: write `path = \"lib{}.so\"`", plugin_id.replace('-', "_"))]
    NoPath {
        /// The plugin.
        plugin_id: String,
    },
    /// The file can't be read.
    #[error("{} can't be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// More than a library may have.
    #[error("{} has {len_bytes} bytes, more than the {max_bytes} that a library may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        len_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// The manifest does not say which bytes it means.
    #[error("{} is not pinned: if it is the library that you mean, write `blake3 = \"{actual}\"`", path.display())]
    NotPinned {
        /// The file.
        path: PathBuf,
        /// The BLAKE3 of the file.
        actual: String,
    },
    /// Other bytes than the manifest means.
    #[error(
        "{} has the BLAKE3 {actual}, the manifest pins {pinned}: restore the file, or pin the new one if you built it",
        path.display()
    )]
    WrongPin {
        /// The file.
        path: PathBuf,
        /// The BLAKE3 in the manifest.
        pinned: String,
        /// The BLAKE3 of the file.
        actual: String,
    },
    /// No shared library of a kind that is known here.
    #[error("{} is not a shared library: {reason}", path.display())]
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A library that is no plugin.
    #[error(
        "{} has no plugin header: build it with `crate-type = [\"cdylib\"]` from a crate that calls `register_plugin!`",
        path.display()
    )]
    NoHeader {
        /// The file.
        path: PathBuf,
    },
    /// A header that is cut off or of another version.
    #[error("{}: {error}", path.display())]
    BadHeader {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: HeaderError,
    },
    /// The library holds other plugins.
    #[error("{} holds {}, not `{wanted}`: the table has to have the plugin's id", path.display(), list(found))]
    OtherPlugin {
        /// The file.
        path: PathBuf,
        /// The table's id.
        wanted: String,
        /// The plugins in it.
        found: Vec<String>,
    },
    /// Two plugins have the same id.
    #[error("plugin id `{plugin_id}` is there twice: {first} and {second}; leave one of them out")]
    DuplicateId {
        /// The id.
        plugin_id: String,
        /// One side.
        first: String,
        /// The other.
        second: String,
    },
    /// Built in a way that this host can't call.
    #[error("{} was built differently from this node: {}; rebuild it: {rebuild}", path.display(), differences(mismatches))]
    Incompatible {
        /// The plugin.
        plugin_id: String,
        /// The file.
        path: PathBuf,
        /// Every field that differs, the one that explains the others first.
        mismatches: Vec<Mismatch>,
        /// The command that builds it for this host.
        rebuild: String,
    },
    /// Nobody provides what it can't work without.
    #[error("{} needs the seam `{seam}`, and no enabled plugin provides it", path.display())]
    MissingNeed {
        /// The plugin.
        plugin_id: String,
        /// The file.
        path: PathBuf,
        /// The seam.
        seam: Seam,
    },
    /// The file was replaced while an earlier version of it is loaded.
    #[error("{} was replaced since this process loaded it: restart the node to upgrade it", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The system's loader refused it. Its initialisers may have run.
    #[error("{} could not be loaded: {reason}", path.display())]
    NotLoadable {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// What it says in memory is not what its file said. Its initialisers and its entry have run.
    #[error("{} is not what its header says: the {what} in memory differs from the file's", path.display())]
    EntryDiffers {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// It panicked when it was asked what it is.
    #[error("{} panicked when it was asked what it is: {message}", path.display())]
    Panicked {
        /// The file.
        path: PathBuf,
        /// What it said.
        message: String,
    },
    /// Its descriptor is malformed.
    #[error(transparent)]
    Descriptor(RegistryError),
    /// This node's platform has no native tier.
    #[error("native plugins can't be loaded on this platform; link the plugin into the node")]
    Platform,
}

fn list(plugin_ids: &[String]) -> String {
    let quoted: Vec<String> = plugin_ids.iter().map(|id| format!("`{}`", id.escape_debug())).collect();
    quoted.join(", ")
}

fn differences(mismatches: &[Mismatch]) -> String {
    let one = |mismatch: &Mismatch| {
        let Mismatch { field, host, plugin } = mismatch;
        format!("{field} is `{plugin}`, here `{host}`")
    };
    mismatches.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The command that builds a plugin so that this host can call it, to be run in the plugin's folder. The SDK has to be
/// that of this host's sources.
#[must_use]
pub fn rebuild_command() -> String {
    let host = host_header();
    let flags = if BUILD_FLAGS.is_empty() { String::new() } else { format!("RUSTFLAGS=\"{BUILD_FLAGS}\" ") };
    let profile = if host.has_debug_assertions() { "" } else { " --release" };
    format!(
        "{flags}cargo +{} build{profile}, with the `lampkeeper-plugin-sdk` of this node's sources (version {})",
        host.rustc_release(),
        env!("CARGO_PKG_VERSION")
    )
}
