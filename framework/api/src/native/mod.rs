//! What a shared library says of itself before any of its code is trusted.
//!
//! Owns the header: fixed-size fields of bytes without a pointer among them, which stand in a section of the file, where
//! they can be read without loading it, and behind the one C function that the library exports. Reading files, loading
//! and calling is core's business; writing the header into a library, the SDK's.

mod digests;
mod header;
mod layout;

#[cfg(test)]
mod tests;

pub use digests::seam_digest;
pub use header::{BUILD_FLAGS, Field, HEADER_LEN_BYTES, Header, HeaderError, Mismatch};
#[doc(hidden)]
pub use lampkeeper_api_macros::export_plugin;
pub use layout::LAYOUT_DIGEST;

use crate::plugin::PluginDescriptor;

/// The section that holds a header for each plugin in a library, one after the other.
pub const HEADER_SECTION: &str = ".lampkeeper.plugin";

/// The exported C function of a plugin.
#[must_use]
pub fn entry_symbol(plugin_id: &str) -> String {
    format!("lampkeeper_plugin_{}", plugin_id.replace('-', "_"))
}

/// What the exported C function returns a pointer to.
///
/// Only the header may be read before all of its fields were compared: what follows is meant for the same compiler,
/// flags and sources.
#[repr(C)]
pub struct Entry {
    /// The same bytes as in the section.
    pub header: Header,
    /// The bytes in the section. Without a reference from what is exported the linker would leave them out.
    pub section: &'static Header,
    /// Makes the descriptor.
    ///
    /// # Errors
    /// The words of a panic.
    pub start: fn() -> Result<PluginDescriptor, String>,
}
