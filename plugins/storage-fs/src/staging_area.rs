//! The files of the staging area (wire 4.11, with artifacts by key in place of symbols by block).
//!
//! ```text
//! <root>/<heal operation in decimal>/reconstructed.bin   the file, written in any order
//! <root>/<heal operation in decimal>/artifacts/<key>     what is to be published, checked and synced when it is put
//! <root>/<heal operation in decimal>/manifest.json       written last; without it nothing in the directory may be used
//! ```
//!
//! Owns their layout and the order in which they become durable. Everything here blocks; `staging` moves it off the
//! caller's thread. Names that are not a decimal number belong to somebody else and are left alone; a link is never
//! followed, and never removed.

use crate::blobs::check_artifact;
use crate::files::{self, Contents, TemporaryFile, store_error};
use crate::guard::{DataDirError, DataDirGuard, DataDirOwner};
use lampkeeper_plugin_sdk::api::staging::{
    STAGED_ARTIFACTS_MAX, STAGED_IO_LEN_BYTES_MAX, StagingManifest, StagingState,
};
use lampkeeper_plugin_sdk::api::store::{ARTIFACT_LEN_BYTES_MAX, StoreError};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::serde_json;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const FILE_NAME: &str = "reconstructed.bin";
const ARTIFACTS_DIR: &str = "artifacts";
const MANIFEST_NAME: &str = "manifest.json";
/// The longest file that fits one source block (wire 4.7).
const FILE_LEN_BYTES_MAX: u64 = 1280 * 1024 * 1024;
/// Room for the most artifacts with the accounts of a whole replica set each: some 400 bytes an artifact.
const MANIFEST_LEN_BYTES_MAX: u64 = 400 * STAGED_ARTIFACTS_MAX as u64;
/// Operations share this many locks, so that their number is bounded whatever the number of operations.
const LOCK_COUNT: u64 = 64;

/// The staging area's files.
#[derive(Debug)]
pub(crate) struct StagingArea {
    root: PathBuf,
    /// Shared by those who read or add, exclusive for those who begin, seal or remove.
    locks: Vec<RwLock<()>>,
    /// `None` once the area is closed.
    guard: Mutex<Option<DataDirGuard>>,
}

impl StagingArea {
    pub(crate) fn open(root: &Path, owner: &DataDirOwner) -> Result<Self, DataDirError> {
        let guard = DataDirGuard::acquire(root, owner)?;
        let locks = (0..LOCK_COUNT).map(|_| RwLock::new(())).collect();
        let area = Self { root: root.to_owned(), locks, guard: Mutex::new(Some(guard)) };
        area.remove_leftovers().map_err(|error| DataDirError::Io {
            dir: root.to_owned(),
            attempted: "removing unfinished files of an earlier run".to_owned(),
            reason: files::explain(&error),
        })?;
        Ok(area)
    }

    /// Their names are needed again by whoever goes on with an unsealed directory.
    fn remove_leftovers(&self) -> io::Result<()> {
        for heal_op_id in self.heal_op_ids()? {
            match self.is_begun(heal_op_id) {
                Ok(true) => drop(files::remove_leftovers(&self.dir(heal_op_id))?),
                Ok(false) => {}
                // `state` tells.
                Err(error) if is_out_of_place(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn close(&self) {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn check_open(&self) -> Result<(), StoreError> {
        match *self.guard.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(_) => Ok(()),
            None => Err(StoreError::Unavailable { reason: "the staging area was closed".to_owned() }),
        }
    }

    pub(crate) fn begin(&self, heal_op_id: u64) -> Result<(), StoreError> {
        let attempted = Attempt("beginning the staging directory", heal_op_id);
        let _exclusive = self.exclusive(heal_op_id);
        self.remove_locked(heal_op_id, attempted)?;
        let dir = self.dir(heal_op_id);
        let create = || {
            files::create_dir(&dir.join(ARTIFACTS_DIR))?;
            files::options().write(true).create_new(true).open(dir.join(FILE_NAME))
        };
        create().map(drop).map_err(|error| attempted.failed(&error))
    }

    pub(crate) fn write_file_at(&self, heal_op_id: u64, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let attempted = Attempt("writing the reconstructed file", heal_op_id);
        check_io_len(bytes.len())?;
        let end = offset.saturating_add(bytes.len() as u64);
        if end > FILE_LEN_BYTES_MAX {
            return Err(StoreError::TooLarge { len_bytes: end, max_bytes: FILE_LEN_BYTES_MAX });
        }
        let _shared = self.shared(heal_op_id);
        self.check_unsealed(heal_op_id, attempted)?;
        let file = files::options().write(true).open(self.dir(heal_op_id).join(FILE_NAME));
        file.and_then(|file| file.write_all_at(bytes, offset)).map_err(|error| attempted.failed(&error))
    }

    pub(crate) fn put_artifact(
        &self,
        heal_op_id: u64,
        key: &ArtifactKey,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let attempted = Attempt("staging an artifact", heal_op_id);
        check_artifact(key, bytes)?;
        let _shared = self.shared(heal_op_id);
        self.check_unsealed(heal_op_id, attempted)?;
        let dir = self.dir(heal_op_id);
        // Synced here, by whoever adds it, so that artifacts which are put in parallel are also synced in parallel.
        TemporaryFile::write(&dir, bytes)
            .and_then(|temporary| temporary.rename_to(&self.artifact_path(heal_op_id, key)))
            .map_err(|error| attempted.failed(&error))
    }

    pub(crate) fn seal(&self, manifest: &StagingManifest) -> Result<(), StoreError> {
        let heal_op_id = manifest.heal_op_id;
        let attempted = Attempt("sealing the staging directory", heal_op_id);
        let json = serde_json::to_vec(manifest).map_err(|error| attempted.wrong(error.to_string()))?;
        if json.len() as u64 > MANIFEST_LEN_BYTES_MAX {
            return Err(attempted.wrong(format!("its manifest would have {} bytes", json.len())));
        }
        let _exclusive = self.exclusive(heal_op_id);
        self.check_unsealed(heal_op_id, attempted)?;
        if let Some(misfit) = self.misfit(manifest).map_err(|error| attempted.failed(&error))? {
            return Err(attempted.wrong(misfit));
        }
        self.write_manifest(heal_op_id, &json).map_err(|error| attempted.failed(&error))
    }

    /// Everything that the manifest vouches for is durable before it appears, and it is before this returns.
    fn write_manifest(&self, heal_op_id: u64, json: &[u8]) -> io::Result<()> {
        let dir = self.dir(heal_op_id);
        files::options().write(true).open(dir.join(FILE_NAME))?.sync_all()?;
        files::sync_dir(&dir.join(ARTIFACTS_DIR))?;
        files::sync_dir(&dir)?;
        files::sync_dir(&self.root)?;
        TemporaryFile::write(&dir, json)?.rename_to(&dir.join(MANIFEST_NAME))?;
        files::sync_dir(&dir)
    }

    pub(crate) fn state(&self, heal_op_id: u64) -> Result<StagingState, StoreError> {
        let attempted = Attempt("looking at the staging directory", heal_op_id);
        let _shared = self.shared(heal_op_id);
        let damaged = |reason: String| Ok(StagingState::Damaged { reason });
        match self.is_begun(heal_op_id) {
            Ok(false) => return Ok(StagingState::Absent),
            Ok(true) => {}
            Err(error) if is_out_of_place(&error) => return damaged(error.to_string()),
            Err(error) => return Err(attempted.failed(&error)),
        }
        let contents = files::read(&self.dir(heal_op_id).join(MANIFEST_NAME), MANIFEST_LEN_BYTES_MAX);
        let json = match contents.map_err(|error| attempted.failed(&error))? {
            Contents::Absent => return Ok(StagingState::Unsealed),
            Contents::TooLong { len_bytes } => return damaged(format!("the manifest has {len_bytes} bytes")),
            Contents::Bytes(json) => json,
        };
        let manifest: StagingManifest = match serde_json::from_slice(&json) {
            Ok(manifest) => manifest,
            Err(error) => return damaged(format!("the manifest can't be read: {error}")),
        };
        if manifest.heal_op_id != heal_op_id {
            return damaged(format!("the manifest is about heal operation {}", manifest.heal_op_id));
        }
        match self.misfit(&manifest).map_err(|error| attempted.failed(&error))? {
            Some(misfit) => damaged(misfit),
            None => Ok(StagingState::Sealed(Box::new(manifest))),
        }
    }

    pub(crate) fn read_file_at(
        &self,
        heal_op_id: u64,
        offset: u64,
        len_bytes: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let attempted = Attempt("reading the reconstructed file", heal_op_id);
        check_io_len(len_bytes)?;
        let _shared = self.shared(heal_op_id);
        self.check_begun(heal_op_id, attempted)?;
        let read = || {
            let file = files::options().read(true).open(self.dir(heal_op_id).join(FILE_NAME))?;
            let left = file.metadata()?.len().saturating_sub(offset);
            let len_bytes = usize::try_from(left).unwrap_or(usize::MAX).min(len_bytes);
            let mut bytes = vec![0; len_bytes];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(bytes)
        };
        read().map_err(|error| attempted.failed(&error))
    }

    pub(crate) fn get_artifact(&self, heal_op_id: u64, key: &ArtifactKey) -> Result<Vec<u8>, StoreError> {
        let attempted = Attempt("reading a staged artifact", heal_op_id);
        let _shared = self.shared(heal_op_id);
        self.check_begun(heal_op_id, attempted)?;
        let contents = files::read(&self.artifact_path(heal_op_id, key), ARTIFACT_LEN_BYTES_MAX);
        match contents.map_err(|error| attempted.failed(&error))? {
            Contents::Absent => Err(attempted.wrong(format!("{key} was not staged"))),
            Contents::Bytes(bytes) if ArtifactKey::of(&bytes) == *key => Ok(bytes),
            Contents::Bytes(_) | Contents::TooLong { .. } => Err(StoreError::Corrupt { key: *key }),
        }
    }

    pub(crate) fn remove(&self, heal_op_id: u64) -> Result<(), StoreError> {
        let _exclusive = self.exclusive(heal_op_id);
        self.remove_locked(heal_op_id, Attempt("removing the staging directory", heal_op_id))
    }

    /// The manifest goes first and durably, so that a crash half-way leaves a directory that is not sealed.
    fn remove_locked(&self, heal_op_id: u64, attempted: Attempt) -> Result<(), StoreError> {
        if !self.is_begun(heal_op_id).map_err(|error| attempted.failed(&error))? {
            return Ok(());
        }
        let dir = self.dir(heal_op_id);
        let remove = || {
            match std::fs::remove_file(dir.join(MANIFEST_NAME)) {
                Ok(()) => files::sync_dir(&dir)?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            std::fs::remove_dir_all(&dir)?;
            files::sync_dir(&self.root)
        };
        remove().map_err(|error| attempted.failed(&error))
    }

    pub(crate) fn list(&self) -> Result<Vec<u64>, StoreError> {
        self.heal_op_ids().map_err(|error| store_error("listing staging directories", &error))
    }

    fn heal_op_ids(&self) -> io::Result<Vec<u64>> {
        let mut heal_op_ids = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            heal_op_ids.extend(entry?.file_name().to_str().and_then(heal_op_id_of));
        }
        heal_op_ids.sort_unstable();
        Ok(heal_op_ids)
    }

    pub(crate) fn usage_bytes(&self) -> Result<u64, StoreError> {
        let mut len_bytes = 0;
        for heal_op_id in self.list()? {
            let dir = self.dir(heal_op_id);
            let artifacts_dir = dir.join(ARTIFACTS_DIR);
            len_bytes += usage_of(&dir)
                .and_then(|usage| Ok(usage + usage_of(&artifacts_dir)?))
                .map_err(|error| Attempt("measuring the staging directory", heal_op_id).failed(&error))?;
        }
        Ok(len_bytes)
    }

    /// Why the files do not fit the manifest. Their bytes are checked when they are read.
    fn misfit(&self, manifest: &StagingManifest) -> io::Result<Option<String>> {
        if manifest.artifacts.len() > STAGED_ARTIFACTS_MAX {
            return Ok(Some(format!("the manifest names more than {STAGED_ARTIFACTS_MAX} artifacts")));
        }
        let heal_op_id = manifest.heal_op_id;
        let file = (FILE_NAME.to_owned(), self.dir(heal_op_id).join(FILE_NAME), manifest.file_len_bytes);
        let artifacts = manifest.artifacts.iter().map(|artifact| {
            let path = self.artifact_path(heal_op_id, &artifact.key);
            (format!("artifact {}", artifact.key), path, artifact.len_bytes)
        });
        for (name, path, expected) in std::iter::once(file).chain(artifacts) {
            match files::len_of(&path) {
                Ok(Some(len_bytes)) if len_bytes == expected => {}
                Ok(Some(len_bytes)) => {
                    return Ok(Some(format!(
                        "{name} has {len_bytes} bytes, not the {expected} of the manifest"
                    )));
                }
                Ok(None) => return Ok(Some(format!("{name} is not there"))),
                Err(error) if is_out_of_place(&error) => return Ok(Some(format!("{name}: {error}"))),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether the operation has a directory.
    ///
    /// # Errors
    /// If something else, such as a link, has its name.
    fn is_begun(&self, heal_op_id: u64) -> io::Result<bool> {
        match std::fs::symlink_metadata(self.dir(heal_op_id)) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(out_of_place("something that is not a directory has its name")),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        match std::fs::symlink_metadata(self.dir(heal_op_id).join(ARTIFACTS_DIR)) {
            Ok(metadata) if metadata.is_dir() => Ok(true),
            // A crash came between the two, or while they were removed.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Ok(_) => Err(out_of_place("something that is not a directory has the name of its artifacts")),
            Err(error) => Err(error),
        }
    }

    fn check_begun(&self, heal_op_id: u64, attempted: Attempt) -> Result<(), StoreError> {
        match self.is_begun(heal_op_id).map_err(|error| attempted.failed(&error))? {
            true => Ok(()),
            false => Err(attempted.wrong("it was not begun")),
        }
    }

    fn check_unsealed(&self, heal_op_id: u64, attempted: Attempt) -> Result<(), StoreError> {
        self.check_begun(heal_op_id, attempted)?;
        match std::fs::symlink_metadata(self.dir(heal_op_id).join(MANIFEST_NAME)) {
            Ok(_) => Err(attempted.wrong("it is sealed")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(attempted.failed(&error)),
        }
    }

    fn lock(&self, heal_op_id: u64) -> &RwLock<()> {
        &self.locks[(heal_op_id % LOCK_COUNT) as usize]
    }

    fn shared(&self, heal_op_id: u64) -> RwLockReadGuard<'_, ()> {
        self.lock(heal_op_id).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self, heal_op_id: u64) -> RwLockWriteGuard<'_, ()> {
        self.lock(heal_op_id).write().unwrap_or_else(PoisonError::into_inner)
    }

    fn dir(&self, heal_op_id: u64) -> PathBuf {
        self.root.join(heal_op_id.to_string())
    }

    fn artifact_path(&self, heal_op_id: u64, key: &ArtifactKey) -> PathBuf {
        self.dir(heal_op_id).join(ARTIFACTS_DIR).join(key.to_string())
    }
}

/// What is being attempted on which operation, for messages.
#[derive(Clone, Copy)]
struct Attempt(&'static str, u64);

impl Attempt {
    fn text(self) -> String {
        format!("{} of heal operation {}", self.0, self.1)
    }

    fn failed(self, error: &io::Error) -> StoreError {
        store_error(self.text(), error)
    }

    fn wrong(self, reason: impl Into<String>) -> StoreError {
        StoreError::WrongState { attempted: self.text(), reason: reason.into() }
    }
}

/// The operation that a directory's name stands for; only the one spelling of a number counts.
fn heal_op_id_of(name: &str) -> Option<u64> {
    name.parse::<u64>().ok().filter(|heal_op_id| heal_op_id.to_string() == name)
}

fn check_io_len(len_bytes: usize) -> Result<(), StoreError> {
    if len_bytes <= STAGED_IO_LEN_BYTES_MAX {
        return Ok(());
    }
    Err(StoreError::TooLarge { len_bytes: len_bytes as u64, max_bytes: STAGED_IO_LEN_BYTES_MAX as u64 })
}

/// Something stands where it does not belong; a person has to look.
fn out_of_place(what: &str) -> io::Error {
    io::Error::other(format!("{what}; look at it and move it away"))
}

fn is_out_of_place(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Other
}

/// Bytes of the regular files directly in a directory; 0 if it is gone or not one.
fn usage_of(dir: &Path) -> io::Result<u64> {
    match std::fs::symlink_metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Ok(0),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    }
    let mut len_bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        match entry?.metadata() {
            Ok(metadata) if metadata.is_file() => len_bytes += metadata.len(),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len_bytes)
}
