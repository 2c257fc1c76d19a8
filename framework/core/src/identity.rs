//! The node's identity in a file.
//!
//! Owns the key file: its form, who may read it, and the making of a new key. The rules of keys and signatures are the
//! protocol's. This is the only place in core that touches a file, and the only one anywhere that draws secret
//! randomness: the scheduler's is reproducible on purpose and would make keys that anybody can guess.

use lampkeeper_api::signer::{SignError, Signer};
use lampkeeper_protocol::account::{KeyType, SECRET_KEY_LEN_BYTES, SecretKey};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The longest key file that is read, in bytes.
pub const KEY_FILE_LEN_BYTES_MAX: u64 = 4096;
/// Permissions of a key file: its owner may read and write it, and nobody else.
#[cfg(unix)]
const KEY_FILE_MODE: u32 = 0o600;

/// What a key file holds, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    /// The type URL of the public key (wire 11.3).
    key_type: String,
    /// The account, so that a person sees whose key it is. Has to be that of the key.
    account: String,
    /// The secret key in hexadecimal.
    secret_key: String,
}

/// Signs with a key that was read from a file.
pub struct FileSigner {
    key: SecretKey,
    account: String,
}

impl FileSigner {
    /// Reads a key file.
    ///
    /// # Errors
    /// If it is not there, others than its owner may read it, or it is not a key file.
    pub fn open(path: &Path) -> Result<Self, IdentityError> {
        let io = |source| IdentityError::io("opening", path, source);
        let file = OpenOptions::new().read(true).open(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => IdentityError::NotFound { path: path.to_owned() },
            _ => io(source),
        })?;
        check_permissions(&file, path)?;
        let mut text = String::new();
        file.take(KEY_FILE_LEN_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(|source| IdentityError::io("reading", path, source))?;
        if text.len() as u64 > KEY_FILE_LEN_BYTES_MAX {
            return Err(IdentityError::malformed(path, "it is too long for a key file"));
        }
        Self::from_json(&text).map_err(|reason| IdentityError::malformed(path, reason))
    }

    /// Makes a new key and writes it to a file that must not exist yet.
    ///
    /// # Errors
    /// If the file exists or can't be written, or the system has no randomness.
    pub fn create(path: &Path, key_type: KeyType) -> Result<Self, IdentityError> {
        Self::import(path, key_type, &new_secret(key_type)?)
    }

    /// Writes a known secret key, of 32 bytes, to a file that must not exist yet.
    ///
    /// # Errors
    /// If the bytes are no key, or the file exists or can't be written.
    pub fn import(path: &Path, key_type: KeyType, secret: &[u8]) -> Result<Self, IdentityError> {
        let signer =
            Self::from_secret(key_type, secret).map_err(|reason| IdentityError::malformed(path, reason))?;
        let text = serde_json::to_string_pretty(&KeyFile {
            key_type: key_type.type_url().to_owned(),
            account: signer.account.clone(),
            secret_key: hex::encode(secret),
        });
        let text = text.map_err(|error| IdentityError::malformed(path, error.to_string()))?;
        write_new(path, &text)?;
        Ok(signer)
    }

    /// A signer with a given secret key, of 32 bytes.
    ///
    /// # Errors
    /// If the bytes are no key.
    pub fn from_secret(key_type: KeyType, secret: &[u8]) -> Result<Self, String> {
        let key = SecretKey::from_bytes(key_type, secret).map_err(|error| error.to_string())?;
        let account = key.public_key().account();
        Ok(Self { key, account })
    }

    fn from_json(text: &str) -> Result<Self, String> {
        // The parser's words may quote what it stumbled over, which may be the key: only the place is passed on.
        let file: KeyFile = serde_json::from_str(text).map_err(|error| {
            format!("it is not a key file (line {}, column {})", error.line(), error.column())
        })?;
        let key_type = KeyType::from_type_url(&file.key_type)
            .ok_or_else(|| format!("`{}` is not a known type of key", file.key_type))?;
        let secret =
            hex::decode(&file.secret_key).map_err(|_| "its secret key is not hexadecimal".to_owned())?;
        let signer = Self::from_secret(key_type, &secret)?;
        if signer.account == file.account {
            Ok(signer)
        } else {
            Err(format!("its key belongs to {}, and it says {}", signer.account, file.account))
        }
    }
}

impl Signer for FileSigner {
    fn account(&self) -> &str {
        &self.account
    }

    fn public_key(&self) -> Vec<u8> {
        self.key.public_key().to_bytes()
    }

    fn public_key_type_url(&self) -> &str {
        self.key.public_key().key_type().type_url()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.key.sign(message).to_vec())
    }
}

impl std::fmt::Debug for FileSigner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FileSigner").field("account", &self.account).finish_non_exhaustive()
    }
}

/// How often random bytes are drawn until they are a key. Once is enough but for one chance in 2^128.
const DRAWS_MAX: usize = 8;

fn new_secret(key_type: KeyType) -> Result<[u8; SECRET_KEY_LEN_BYTES], IdentityError> {
    let mut secret = [0; SECRET_KEY_LEN_BYTES];
    for _ in 0..DRAWS_MAX {
        getrandom::fill(&mut secret)
            .map_err(|error| IdentityError::Randomness { reason: error.to_string() })?;
        if SecretKey::from_bytes(key_type, &secret).is_ok() {
            return Ok(secret);
        }
    }
    Err(IdentityError::Randomness { reason: "none of the drawn numbers was a key".to_owned() })
}

/// Writes a file that must not exist yet, all of it and durably, or not at all.
fn write_new(path: &Path, text: &str) -> Result<(), IdentityError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, KEY_FILE_MODE);
    let mut file = options.open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => IdentityError::Exists { path: path.to_owned() },
        _ => IdentityError::io("creating", path, source),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n"));
    written.and_then(|()| file.sync_all()).and_then(|()| sync_folder(path)).map_err(|source| {
        remove_half_written(path);
        IdentityError::io("writing", path, source)
    })
}

/// Half a key is of no use, and would keep the next attempt from making a whole one.
#[expect(clippy::disallowed_methods, reason = "this module owns the key file, and has just made it")]
fn remove_half_written(path: &Path) {
    // The error that led here says more than one from cleaning up.
    let _ = std::fs::remove_file(path);
}

/// Makes the file's name durable: a node must not come back from a crash without the key that it registered with.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    OpenOptions::new().read(true).open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Other systems can't open a folder.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn check_permissions(file: &File, path: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata().map_err(|source| IdentityError::io("looking at", path, source))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(IdentityError::OpenToOthers { path: path.to_owned(), mode }) }
}

/// Other systems have no such permissions; the folder has to protect the file.
#[cfg(not(unix))]
fn check_permissions(_file: &File, _path: &Path) -> Result<(), IdentityError> {
    Ok(())
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is no key file.
    #[error("there is no key file {}; make one, or name another under [identity]", path.display())]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A new key would replace something.
    #[error("{} exists; a key is never overwritten, so move it away first", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the key.
    #[error("others than its owner may use the key file {0} (mode {mode:o}); run `chmod 600 {0}`", path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not a key file.
    #[error("can't use the key file {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never any of the key.
        reason: String,
    },
    /// The system could not give random bytes.
    #[error("can't make a new key: {reason}")]
    Randomness {
        /// Why.
        reason: String,
    },
    /// The file system failed.
    #[error("{attempted} the key file {} failed: {source}", path.display())]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
}

impl IdentityError {
    fn io(attempted: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { attempted, path: path.to_owned(), source }
    }

    fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests;
