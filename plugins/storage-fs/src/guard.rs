//! One process and one node for a directory.
//!
//! Owns [`DataDirGuard`]: an exclusive lock, and a marker that says which node of which network the directory belongs to.
//! The store and the staging area guard their directories with it; the node guards its data directory. It blocks.

use crate::files::{self, Contents, TemporaryFile};
use lampkeeper_plugin_sdk::api::plugin::NodeInfo;
use lampkeeper_plugin_sdk::serde::{Deserialize, Serialize};
use lampkeeper_plugin_sdk::serde_json;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const LOCK_FILE: &str = "lock";
const MARKER_FILE: &str = "network.json";
/// A marker holds two short names; more than this is something else.
const MARKER_LEN_BYTES_MAX: u64 = 4096;
/// The lock file holds a process id.
const LOCK_LEN_BYTES_MAX: u64 = 20;

/// Whose directory it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "lampkeeper_plugin_sdk::serde")]
pub struct DataDirOwner {
    /// The network.
    pub chain_id: String,
    /// The node's account.
    pub account: String,
}

impl From<&NodeInfo> for DataDirOwner {
    fn from(node: &NodeInfo) -> Self {
        Self { chain_id: node.chain_id.clone(), account: node.account.clone() }
    }
}

/// The exclusive right to a directory; given back when dropped, or when the process ends however it ends.
///
/// ```
/// # use lampkeeper_storage_fs::{DataDirError, DataDirGuard, DataDirOwner};
/// # let dir = tempfile::tempdir()?;
/// let owner = DataDirOwner { chain_id: "devnet-1".to_owned(), account: "lumera1alice".to_owned() };
/// let guard = DataDirGuard::acquire(dir.path(), &owner)?;
/// assert!(matches!(DataDirGuard::acquire(dir.path(), &owner), Err(DataDirError::InUse { .. })));
/// drop(guard);
/// let other = DataDirOwner { chain_id: "devnet-2".to_owned(), ..owner };
/// assert!(matches!(DataDirGuard::acquire(dir.path(), &other), Err(DataDirError::OtherNetwork { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DataDirGuard {
    /// The lock lives as long as this is open.
    _lock: File,
}

impl DataDirGuard {
    /// Creates the directory if it is not there, locks it, and marks it as `owner`'s if it is not marked yet.
    ///
    /// # Errors
    /// The directory belongs to another node or network, is in use, or can't be written. Then nothing in it has changed,
    /// but for a lock file in a directory of the same owner.
    pub fn acquire(dir: &Path, owner: &DataDirOwner) -> Result<Self, DataDirError> {
        let io = |attempted: &str, error: &std::io::Error| DataDirError::Io {
            dir: dir.to_owned(),
            attempted: attempted.to_owned(),
            reason: files::explain(error),
        };
        files::create_dir(dir).map_err(|error| io("creating it", &error))?;
        // Before the lock, so that a directory of another node is left exactly as it is; after it, for good.
        check_marker(dir, owner)?;
        let lock = lock(dir)?;
        if !check_marker(dir, owner)? {
            write_marker(dir, owner).map_err(|error| io("marking it as this node's", &error))?;
        }
        Ok(Self { _lock: lock })
    }
}

fn lock(dir: &Path) -> Result<File, DataDirError> {
    let path = dir.join(LOCK_FILE);
    let io = |error: std::io::Error| DataDirError::Io {
        dir: dir.to_owned(),
        attempted: "locking it".to_owned(),
        reason: files::explain(&error),
    };
    let mut file =
        files::options().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // The holder may be about to write it; then the message goes without.
            let _ = (&file).take(LOCK_LEN_BYTES_MAX).read_to_string(&mut holder);
            return Err(DataDirError::InUse { dir: dir.to_owned(), process_id: holder.trim().parse().ok() });
        }
        Err(errno) => return Err(io(errno.into())),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io)?;
    Ok(file)
}

/// Whether there is a marker, which then is `owner`'s.
fn check_marker(dir: &Path, owner: &DataDirOwner) -> Result<bool, DataDirError> {
    let unreadable = |reason: String| DataDirError::UnreadableMarker { path: dir.join(MARKER_FILE), reason };
    let bytes = match files::read(&dir.join(MARKER_FILE), MARKER_LEN_BYTES_MAX) {
        Ok(Contents::Absent) => return Ok(false),
        Ok(Contents::TooLong { len_bytes }) => return Err(unreadable(format!("it has {len_bytes} bytes"))),
        Ok(Contents::Bytes(bytes)) => bytes,
        Err(error) => return Err(unreadable(files::explain(&error))),
    };
    let found: DataDirOwner =
        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    if found.chain_id != owner.chain_id {
        return Err(DataDirError::OtherNetwork {
            dir: dir.to_owned(),
            found: found.chain_id,
            expected: owner.chain_id.clone(),
        });
    }
    if found.account != owner.account {
        return Err(DataDirError::OtherNode {
            dir: dir.to_owned(),
            found: found.account,
            expected: owner.account.clone(),
        });
    }
    Ok(true)
}

fn write_marker(dir: &Path, owner: &DataDirOwner) -> std::io::Result<()> {
    // The lock is ours now, so what a crash left here is nobody's.
    files::remove_leftovers(dir)?;
    let bytes = serde_json::to_vec_pretty(owner)?;
    TemporaryFile::write(dir, &bytes)?.rename_to(&dir.join(MARKER_FILE))?;
    files::sync_dir(dir)
}

/// Why a directory can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another process, or another part of this one, has it.
    #[error(
        "the directory {} is in use by another process{}: stop it, or choose another directory",
        dir.display(),
        process_id.map_or_else(String::new, |id| format!(" (pid {id})"))
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The holder, where it is known.
        process_id: Option<u32>,
    },
    /// It holds the data of another network.
    #[error(
        "the directory {} belongs to the network `{found}`, and this node to `{expected}`: choose another directory",
        dir.display()
    )]
    OtherNetwork {
        /// The directory.
        dir: PathBuf,
        /// The chain id in its marker.
        found: String,
        /// The chain id of this node.
        expected: String,
    },
    /// It holds the data of another node of the same network.
    #[error(
        "the directory {} belongs to the node `{found}`, and this node is `{expected}`: choose another directory",
        dir.display()
    )]
    OtherNode {
        /// The directory.
        dir: PathBuf,
        /// The account in its marker.
        found: String,
        /// The account of this node.
        expected: String,
    },
    /// It can't be told whose it is.
    #[error(
        "the marker {} can't be read ({reason}): find out whose directory this is before you remove the marker",
        path.display()
    )]
    UnreadableMarker {
        /// The marker.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk or the permissions.
    #[error("the directory {} can't be used: {attempted}: {reason}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What was attempted.
        attempted: String,
        /// What went wrong.
        reason: String,
    },
}
