//! A library's file: opened once, hashed, and read for its headers, without loading it.
#![expect(
    clippy::disallowed_methods,
    reason = "a library is a file of the operator's, which core alone reads"
)]

use super::Refusal;
use lampkeeper_api::native::{HEADER_LEN_BYTES, HEADER_SECTION, Header};
use object::{Object as _, ObjectSection as _, ReadCache};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};

/// The longest library that is read.
pub const LIBRARY_LEN_BYTES_MAX: u64 = 1 << 30;
/// The most plugins in one library.
const PLUGINS_PER_LIBRARY_MAX: usize = 64;
/// Bytes that are hashed at a time.
const PIECE_LEN_BYTES: usize = 1 << 20;

/// An open library.
#[derive(Debug)]
pub struct LibraryFile {
    path: PathBuf,
    file: File,
    blake3: String,
}

impl LibraryFile {
    /// Opens a file and hashes it.
    ///
    /// # Errors
    /// If it can't be read or is too long.
    pub fn open(path: &Path) -> Result<Self, Refusal> {
        let unreadable =
            |error: std::io::Error| Refusal::Unreadable { path: path.to_owned(), reason: error.to_string() };
        let mut file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            let reason = "it is not a file".to_owned();
            return Err(Refusal::Unreadable { path: path.to_owned(), reason });
        }
        if metadata.len() > LIBRARY_LEN_BYTES_MAX {
            let (len_bytes, max_bytes) = (metadata.len(), LIBRARY_LEN_BYTES_MAX);
            return Err(Refusal::TooLarge { path: path.to_owned(), len_bytes, max_bytes });
        }
        let blake3 = hash(&mut file).map_err(unreadable)?;
        Ok(Self { path: path.to_owned(), file, blake3 })
    }

    /// Hex of the BLAKE3 of its bytes.
    #[must_use]
    pub fn blake3(&self) -> &str {
        &self.blake3
    }

    /// The headers of the plugins in it; at least one.
    ///
    /// # Errors
    /// If it is no shared library, or its section does not hold headers.
    pub fn headers(&mut self) -> Result<Vec<Header>, Refusal> {
        let not_a_library = |path: &Path, error: object::Error| Refusal::NotALibrary {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let cache = ReadCache::new(&mut self.file);
        let library = object::File::parse(&cache).map_err(|error| not_a_library(&self.path, error))?;
        let section = library.section_by_name(HEADER_SECTION);
        let section = section.ok_or_else(|| Refusal::NoHeader { path: self.path.clone() })?;
        let len_bytes_max = (PLUGINS_PER_LIBRARY_MAX * HEADER_LEN_BYTES) as u64;
        if section.size() > len_bytes_max {
            let (path, len_bytes) = (self.path.clone(), section.size());
            return Err(Refusal::TooLarge { path, len_bytes, max_bytes: len_bytes_max });
        }
        let bytes = section.data().map_err(|error| not_a_library(&self.path, error))?;
        let bad = |error| Refusal::BadHeader { path: self.path.clone(), error };
        if bytes.is_empty() {
            return Err(bad(Header::parse(bytes)
                .err()
                .unwrap_or(lampkeeper_api::native::HeaderError::Magic)));
        }
        bytes.chunks(HEADER_LEN_BYTES).map(|bytes| Header::parse(bytes).map_err(bad)).collect()
    }

    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux loads by descriptor"))]
    pub(super) fn into_parts(self) -> (PathBuf, File, String) {
        (self.path, self.file, self.blake3)
    }
}

fn hash(file: &mut File) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE_LEN_BYTES];
    // A file that grows while it is read must not be read for ever.
    let mut left = LIBRARY_LEN_BYTES_MAX;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        left = left
            .checked_sub(read as u64)
            .ok_or_else(|| std::io::Error::other("it grows while it is read"))?;
        hasher.update(&piece[..read]);
    }
    file.rewind()?;
    Ok(hasher.finalize().to_hex().to_string())
}
