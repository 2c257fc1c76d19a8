//! Native plugins: shared libraries that a manifest names.
//!
//! Owns the one path by which a library becomes a plugin, whether a node starts or somebody asks: the file that the
//! manifest names is opened once; its BLAKE3 is compared with the pin; the header is read from a section of that same
//! file and compared field by field; the needs are looked up; only then is the open file loaded, its entry called, and
//! the header in memory compared with the one in the file. A library is never unloaded: an upgrade is a restart.
//!
//! None of this is a sandbox. It keeps a library from being called by mistake: the wrong file, build or version. What
//! a library that was let in does in its code, it does with all rights of the node.

mod file;
mod load;
mod refusal;

pub use file::{LIBRARY_LEN_BYTES_MAX, LibraryFile};
pub use refusal::{Refusal, rebuild_command};

use crate::registry::{Origin, Registry};
use lampkeeper_api::native::Header;
use lampkeeper_api::plugin::{PluginDescriptor, Seam};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What a manifest says about a native plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativePlugin {
    /// Its id: the name of its table.
    pub plugin_id: String,
    /// The library; a relative path was completed with the manifest's folder.
    pub path: PathBuf,
    /// The pin: hex of the file's BLAKE3.
    pub blake3: Option<String>,
}

/// A header to compare others with: this host's.
#[must_use]
pub fn host_header() -> Header {
    Header::of_this_build("host", env!("CARGO_PKG_VERSION"), &[], &[])
}

/// A library that may be loaded: opened, pinned, and compatible as far as its file tells.
#[derive(Debug)]
pub struct Inspected {
    /// What the manifest says.
    pub declared: NativePlugin,
    /// What the file says.
    pub header: Header,
    file: LibraryFile,
}

/// Opens a library and compares it, without running any of it.
///
/// # Errors
/// The first reason why it may not be loaded.
pub fn inspect(declared: &NativePlugin) -> Result<Inspected, Refusal> {
    let mut file = LibraryFile::open(&declared.path)?;
    check_pin(declared, file.blake3())?;
    let headers = file.headers()?;
    let header = header_of(declared, &headers)?;
    refuse_mismatch(declared, &header)?;
    Ok(Inspected { declared: declared.clone(), header, file })
}

fn check_pin(declared: &NativePlugin, actual: &str) -> Result<(), Refusal> {
    let (path, actual) = (declared.path.clone(), actual.to_owned());
    match &declared.blake3 {
        None => Err(Refusal::NotPinned { path, actual }),
        Some(pinned) if !pinned.eq_ignore_ascii_case(&actual) => {
            Err(Refusal::WrongPin { path, pinned: pinned.clone(), actual })
        }
        Some(_) => Ok(()),
    }
}

fn header_of(declared: &NativePlugin, headers: &[Header]) -> Result<Header, Refusal> {
    let mut with_id = headers.iter().filter(|header| header.plugin_id() == declared.plugin_id);
    let path = declared.path.clone();
    match (with_id.next(), with_id.next()) {
        (Some(header), None) => Ok(*header),
        (Some(first), Some(second)) => Err(Refusal::DuplicateId {
            plugin_id: declared.plugin_id.clone(),
            first: format!("version {} in {}", first.plugin_version(), path.display()),
            second: format!("version {} in {}", second.plugin_version(), path.display()),
        }),
        (None, _) => Err(Refusal::OtherPlugin {
            path,
            wanted: declared.plugin_id.clone(),
            found: headers.iter().map(Header::plugin_id).collect(),
        }),
    }
}

fn refuse_mismatch(declared: &NativePlugin, header: &Header) -> Result<(), Refusal> {
    let mismatches = host_header().mismatches(header);
    if mismatches.is_empty() {
        return Ok(());
    }
    Err(Refusal::Incompatible {
        plugin_id: declared.plugin_id.clone(),
        path: declared.path.clone(),
        mismatches,
        rebuild: rebuild_command(),
    })
}

impl Inspected {
    /// Loads the library and asks it for the plugin. The file is the one that was inspected.
    ///
    /// # Errors
    /// If it can't be loaded, or is not what its file said.
    pub fn load(self) -> Result<PluginDescriptor, Refusal> {
        let descriptor = load::descriptor(&self.declared, self.file, &self.header)?;
        let says =
            |what: &str| Refusal::EntryDiffers { path: self.declared.path.clone(), what: what.to_owned() };
        let seams = |needs: bool, optional: bool| -> BTreeSet<Seam> {
            let needs = descriptor.needs.iter().filter(|need| needs && need.optional == optional);
            needs.map(|need| need.seam).collect()
        };
        if descriptor.id != self.declared.plugin_id {
            return Err(says("plugin id"));
        }
        if descriptor.provides.iter().copied().collect::<BTreeSet<_>>() != set(self.header.provides()) {
            return Err(says("provided seams"));
        }
        if seams(true, false) != set(self.header.needs()) || seams(true, true) != set(self.header.optional())
        {
            return Err(says("needed seams"));
        }
        Ok(descriptor)
    }
}

fn set(seams: Vec<Seam>) -> BTreeSet<Seam> {
    seams.into_iter().collect()
}

/// Admits the native plugins of a manifest: inspects all, then loads those whose needs somebody provides.
///
/// `enabled_ids` are the other plugins that the manifest turns on. What was refused is noted in the registry with its
/// reason; the manifest then reports it.
pub(crate) fn admit_all(
    registry: &mut Registry,
    declared: Vec<NativePlugin>,
    enabled_ids: &BTreeSet<String>,
) -> BTreeMap<String, Refusal> {
    let mut refused = BTreeMap::new();
    let mut inspected = Vec::new();
    for plugin in declared {
        match inspect(&plugin) {
            Ok(library) => inspected.push(library),
            Err(refusal) => {
                refused.insert(plugin.plugin_id, refusal);
            }
        }
    }
    let mut provided: Vec<Seam> = registry.host_seams().collect();
    let linked = registry.plugins().filter(|plugin| enabled_ids.contains(&plugin.descriptor().id));
    provided.extend(linked.flat_map(|plugin| plugin.descriptor().provides.iter().copied()));
    // A refused library may be the one that would have provided: then its own refusal is the one to report.
    let is_complete = refused.is_empty();
    provided.extend(inspected.iter().flat_map(|library| library.header.provides()));
    for library in inspected {
        let (plugin_id, path) = (library.declared.plugin_id.clone(), library.declared.path.clone());
        let lacks = |seam: &Seam| !provided.iter().any(|provided| seam.is_satisfied_by(*provided));
        let missing = library.header.needs().into_iter().find(lacks);
        let admitted = match missing {
            Some(seam) if is_complete => {
                Err(Refusal::MissingNeed { plugin_id: plugin_id.clone(), path, seam })
            }
            _ => load_into(registry, library),
        };
        if let Err(refusal) = admitted {
            refused.insert(plugin_id, refusal);
        }
    }
    refused
}

fn load_into(registry: &mut Registry, library: Inspected) -> Result<(), Refusal> {
    let origin =
        Origin::Native { path: library.declared.path.clone(), blake3: library.file.blake3().to_owned() };
    let descriptor = library.load()?;
    registry.add_native(descriptor, origin).map_err(Refusal::Descriptor)
}
