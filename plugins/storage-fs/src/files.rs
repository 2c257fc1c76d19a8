//! The few ways in which this crate touches files.
//!
//! Owns permissions, atomic writing, capped reading and the words for what failed. What the files mean is the store's
//! and the staging area's business. Everything here blocks.

use lampkeeper_plugin_sdk::api::store::StoreError;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Only the node's user reads and writes its files (wire 4.11).
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
/// Begins the names of files that are still being written.
const TEMPORARY_PREFIX: &str = "incoming-";

/// Creates a directory and those above it.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(path)
}

/// Makes the entries of a directory durable: what was created in it, renamed into it or removed from it.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Options that never follow a link in the last place of a path and create with the node's mode.
pub(crate) fn options() -> OpenOptions {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    // A pipe in the place of a file would otherwise make `open` wait for a writer.
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE).custom_flags(no_follow | no_wait);
    options
}

/// The length of a file; `None` if nothing is there.
///
/// # Errors
/// If something other than a regular file is there.
pub(crate) fn len_of(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
        Ok(_) => Err(io::Error::other("it is not a regular file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file that was read whole, or why not.
pub(crate) enum Contents {
    /// Nothing is there.
    Absent,
    /// It is longer than the caller allowed and was not read.
    TooLong { len_bytes: u64 },
    /// All of it.
    Bytes(Vec<u8>),
}

/// Reads a whole file of at most `len_bytes_max`.
pub(crate) fn read(path: &Path, len_bytes_max: u64) -> io::Result<Contents> {
    let Some(len_bytes) = len_of(path)? else { return Ok(Contents::Absent) };
    if len_bytes > len_bytes_max {
        return Ok(Contents::TooLong { len_bytes });
    }
    let file = match options().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contents::Absent),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::with_capacity(usize::try_from(len_bytes).unwrap_or_default());
    // It may have grown since; one byte more than allowed tells.
    file.take(len_bytes_max + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        len_bytes if len_bytes > len_bytes_max => Ok(Contents::TooLong { len_bytes }),
        _ => Ok(Contents::Bytes(bytes)),
    }
}

/// Bytes that are durable under a name that nobody looks for; the file goes when this is dropped.
pub(crate) struct TemporaryFile {
    path: PathBuf,
    renamed: bool,
}

impl TemporaryFile {
    /// Writes and syncs a file in `dir`, which has to be on the same volume as the final place.
    pub(crate) fn write(dir: &Path, bytes: &[u8]) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{TEMPORARY_PREFIX}{number}"));
        // The directory is locked by this process and its leftovers were removed, so the name is free.
        let mut file = options().write(true).create_new(true).open(&path)?;
        let temporary = Self { path, renamed: false };
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(temporary)
    }

    /// Puts the file in its place, over what may be there. Durable once the directory is synced.
    pub(crate) fn rename_to(mut self, target: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.renamed {
            // What can't be removed now is removed when the directory is opened next.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes files that a crash left unfinished; how many.
pub(crate) fn remove_leftovers(dir: &Path) -> io::Result<u64> {
    let mut removed = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            std::fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// What a person can do about an error, where there is something.
pub(crate) fn explain(error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::PermissionDenied => "; give the user that runs the node the right to read and write it",
        ErrorKind::ReadOnlyFilesystem => "; the volume is mounted read-only, or became so after a disk error",
        ErrorKind::NotADirectory => "; a file stands where a directory is needed",
        _ => "",
    };
    format!("{error}{advice}")
}

/// The store's error for a failed attempt.
pub(crate) fn store_error(attempted: impl Into<String>, error: &io::Error) -> StoreError {
    let attempted = attempted.into();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { attempted },
        _ => StoreError::Io { attempted, reason: explain(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    /// The error of a volume, and the words that an operator gets for it.
    #[test]
    fn errors_say_what_to_do() {
        let table = [
            (Errno::NOSPC, "no room for storing x: free some space on the artifact volume, then try again"),
            (Errno::DQUOT, "no room for storing x: free some space on the artifact volume, then try again"),
            (
                Errno::ACCESS,
                "storing x: Permission denied (os error 13); give the user that runs the node the right to read \
                 and write it",
            ),
            (
                Errno::ROFS,
                "storing x: Read-only file system (os error 30); the volume is mounted read-only, or became so \
                 after a disk error",
            ),
            (Errno::IO, "storing x: Input/output error (os error 5)"),
        ];
        for (errno, expected) in table {
            assert_eq!(store_error("storing x", &errno.into()).to_string(), expected);
        }
    }

    #[test]
    fn a_full_device_is_told_apart() {
        let mut full = options().write(true).open("/dev/full").unwrap();
        let error = full.write_all(b"x").unwrap_err();
        assert!(matches!(store_error("storing x", &error), StoreError::Full { .. }), "{error}");
    }

    #[test]
    fn only_regular_files_are_read_and_links_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, b"12345").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(read(&file, 5).unwrap(), Contents::Bytes(bytes) if bytes == b"12345"));
        assert!(matches!(read(&file, 4).unwrap(), Contents::TooLong { len_bytes: 5 }));
        assert!(matches!(read(&dir.path().join("none"), 5).unwrap(), Contents::Absent));
        assert!(read(&link, 5).is_err());
        assert!(read(dir.path(), 5).is_err());
        assert!(options().read(true).open(&link).is_err());
    }

    #[test]
    fn a_temporary_file_goes_unless_it_is_renamed() {
        let dir = tempfile::tempdir().unwrap();
        drop(TemporaryFile::write(dir.path(), b"gone").unwrap());
        TemporaryFile::write(dir.path(), b"kept").unwrap().rename_to(&dir.path().join("kept")).unwrap();
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["kept"]);
    }
}
