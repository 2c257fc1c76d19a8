//! Loading a library and calling its entry: the only unsafe code of core.
//!
//! Owns the list of what this process has loaded. Each library is loaded once, by its open file, which stays open: its
//! number is part of the name under which the system's loader knows the library, so it must not be used again. What
//! was loaded is never unloaded, and everything in it lives as long as the process.
#![expect(unsafe_code, reason = "calls a function of a library that was loaded at run time")]

use super::{LibraryFile, NativePlugin, Refusal};
use lampkeeper_api::native::{Entry, HEADER_LEN_BYTES, Header, entry_symbol};
use lampkeeper_api::plugin::PluginDescriptor;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// `RTLD_NODELETE` of the system's loader (Linux, both glibc and musl): closing never unmaps.
const RTLD_NODELETE: i32 = 0x1000;

/// A library that this process has loaded.
struct Loaded {
    library: Library,
    blake3: String,
    /// Held for its number, see above.
    _file: File,
}

/// By device and inode.
static LOADED: Mutex<BTreeMap<(u64, u64), Loaded>> = Mutex::new(BTreeMap::new());

/// The C function that a plugin exports.
type EntryFunction = unsafe extern "C" fn() -> *const c_void;

/// Loads a library, unless it is loaded, and asks a plugin in it what it is.
pub(super) fn descriptor(
    declared: &NativePlugin,
    file: LibraryFile,
    header: &Header,
) -> Result<PluginDescriptor, Refusal> {
    let (path, file, blake3) = file.into_parts();
    let not_loadable = |reason: String| Refusal::NotLoadable { path: path.clone(), reason };
    let metadata = file.metadata().map_err(|error| not_loadable(error.to_string()))?;
    let identity = (metadata.dev(), metadata.ino());
    let symbol = entry_symbol(&declared.plugin_id);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if loaded.get(&identity).is_some_and(|library| library.blake3 != blake3) {
        return Err(Refusal::Replaced { path });
    }
    let library = match loaded.entry(identity) {
        std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
        std::collections::btree_map::Entry::Vacant(free) => {
            let library = open(&file).map_err(not_loadable)?;
            free.insert(Loaded { library, blake3, _file: file })
        }
    };
    // SAFETY: the symbol is the function that `export_plugin` writes into every library with our header section, with this
    // type. A library that has another function under this name lied in its header, against which nothing helps: its
    // initialisers have run already.
    let entry: Symbol<EntryFunction> = unsafe { library.library.get(symbol.as_bytes()) }
        .map_err(|error| not_loadable(format!("it does not export `{symbol}`: {error}")))?;
    let entry = *entry;
    drop(loaded);
    let entry = compared(&path, entry, header)?;
    (entry.start)().map_err(|message| Refusal::Panicked { path, message })
}

fn open(file: &File) -> Result<Library, String> {
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
    // SAFETY: loading runs the library's initialisers. The operator asked for it by naming and pinning the file, whose
    // bytes were compared with the pin and whose header says that it was built as this host was: its initialisers are
    // those of Rust's std and of `inventory`, of which this host has the same.
    unsafe { Library::open(Some(name), flags) }.map_err(|error| error.to_string())
}

/// Calls the entry; what it returns may be used once the header in it is the one that was compared.
fn compared(path: &Path, entry: EntryFunction, header: &Header) -> Result<&'static Entry, Refusal> {
    let differs = |what: &str| Refusal::EntryDiffers { path: path.to_owned(), what: what.to_owned() };
    // SAFETY: a C function without arguments, see where the symbol is looked up. It returns the address of a static and
    // can't unwind.
    let start: *const c_void = unsafe { entry() };
    if start.is_null() || !start.cast::<Entry>().is_aligned() {
        return Err(differs("entry"));
    }
    // SAFETY: the pointer is that of a static `Entry`, which begins with the header because it is `repr(C)`, and the
    // header is bytes of this length without alignment or padding. The library is never unloaded.
    let bytes: &'static [u8; HEADER_LEN_BYTES] = unsafe { &*start.cast() };
    if bytes != header.as_bytes() {
        return Err(differs("header"));
    }
    // SAFETY: the header is the one that was compared with this host's field by field, so both sides were built by the same
    // compiler with the same flags from the same sources, and agree on the layout of `Entry` and the Rust ABI of
    // its function. The static lives as long as the library, which is for ever.
    Ok(unsafe { &*start.cast::<Entry>() })
}
