//! The node's identity in a file.
//!
//! Owns the key file: its form, who may read it, and the making of a new key. A key is encrypted with a passphrase, or, for
//! tests and local networks, stands there as it is. The rules of keys and signatures are the protocol's. This is the only
//! place in core that touches a file, and the only one anywhere that draws secret randomness: the scheduler's is
//! reproducible on purpose and would make keys that anybody can guess.

mod encryption;
pub mod mnemonic;

pub use encryption::{PASSPHRASE_LEN_BYTES_MAX, PASSPHRASE_LEN_BYTES_MIN, Passphrase};

use encryption::{Effort, Sealed};
use lampkeeper_api::signer::{SignError, Signer};
use lampkeeper_protocol::account::{KeyType, SECRET_KEY_LEN_BYTES, SecretKey};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use zeroize::{Zeroize as _, Zeroizing};

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
    /// The secret key in hexadecimal, as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_key: Option<String>,
    /// The secret key, encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted_key: Option<Sealed>,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.secret_key.zeroize();
    }
}

/// How a key file protects its key from whoever can read it.
#[derive(Debug, Clone, Copy)]
pub enum Protection<'a> {
    /// It is encrypted with this passphrase.
    Passphrase(&'a Passphrase),
    /// Not at all: for tests and local networks.
    None,
}

/// What a key file says without being unlocked. Nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDescription {
    /// The account.
    pub account: String,
    /// The type of its key.
    pub key_type: KeyType,
    /// Whether a passphrase is needed to use it.
    pub is_encrypted: bool,
}

/// Signs with a key that was read from a file.
pub struct FileSigner {
    key: SecretKey,
    account: String,
}

impl FileSigner {
    /// Reads a key file that is not encrypted.
    ///
    /// # Errors
    /// If it is not there, others than its owner may read it, it is encrypted, or it is not a key file.
    pub fn open(path: &Path) -> Result<Self, IdentityError> {
        Self::open_with(path, || Err("it is encrypted, and there is no passphrase".to_owned()))
    }

    /// Reads a key file; `passphrase` is called if it is encrypted, once.
    ///
    /// # Errors
    /// If it is not there, others than its owner may read it, there is no passphrase or a wrong one, or it is not a key
    /// file.
    pub fn open_with(
        path: &Path,
        passphrase: impl FnOnce() -> Result<Passphrase, String>,
    ) -> Result<Self, IdentityError> {
        let malformed = |reason| IdentityError::malformed(path, reason);
        let file = KeyFile::read(path)?;
        let key_type = file.key_type().map_err(malformed)?;
        let secret = match (&file.secret_key, &file.encrypted_key) {
            (Some(text), None) => Zeroizing::new(
                hex::decode(text).map_err(|_| malformed("its secret key is not hexadecimal".to_owned()))?,
            ),
            (None, Some(sealed)) => {
                let locked = |reason| IdentityError::Locked { path: path.to_owned(), reason };
                let passphrase = passphrase().map_err(locked)?;
                sealed.open(&passphrase, &file.bound_to()).map_err(locked)?
            }
            _ => return Err(malformed("it has to have one secret key".to_owned())),
        };
        let signer = Self::from_secret(key_type, &secret).map_err(malformed)?;
        if signer.account == file.account {
            Ok(signer)
        } else {
            Err(malformed(format!("its key belongs to {}, and it says {}", signer.account, file.account)))
        }
    }

    /// What a key file says without being unlocked.
    ///
    /// # Errors
    /// If it is not there, others than its owner may read it, or it is not a key file.
    pub fn describe(path: &Path) -> Result<KeyDescription, IdentityError> {
        let file = KeyFile::read(path)?;
        let key_type = file.key_type().map_err(|reason| IdentityError::malformed(path, reason))?;
        Ok(KeyDescription {
            account: file.account.clone(),
            key_type,
            is_encrypted: file.encrypted_key.is_some(),
        })
    }

    /// Makes a new key and writes it, without encryption, to a file that must not exist yet.
    ///
    /// # Errors
    /// If the file exists or can't be written, or the system has no randomness.
    pub fn create(path: &Path, key_type: KeyType) -> Result<Self, IdentityError> {
        Self::import(path, key_type, new_secret(key_type)?.as_slice())
    }

    /// Writes a known secret key, of 32 bytes, without encryption, to a file that must not exist yet.
    ///
    /// # Errors
    /// If the bytes are no key, or the file exists or can't be written.
    pub fn import(path: &Path, key_type: KeyType, secret: &[u8]) -> Result<Self, IdentityError> {
        Self::import_protected(path, key_type, secret, Protection::None)
    }

    /// Makes a new key and writes it to a file that must not exist yet.
    ///
    /// # Errors
    /// If the file exists or can't be written, or the system has no randomness.
    pub fn create_protected(
        path: &Path,
        key_type: KeyType,
        protection: Protection<'_>,
    ) -> Result<Self, IdentityError> {
        Self::import_protected(path, key_type, new_secret(key_type)?.as_slice(), protection)
    }

    /// Writes a known secret key, of 32 bytes, to a file that must not exist yet.
    ///
    /// # Errors
    /// If the bytes are no key, the file exists or can't be written, or the system has no randomness.
    pub fn import_protected(
        path: &Path,
        key_type: KeyType,
        secret: &[u8],
        protection: Protection<'_>,
    ) -> Result<Self, IdentityError> {
        Self::import_with(path, key_type, secret, protection, Effort::USUAL)
    }

    fn import_with(
        path: &Path,
        key_type: KeyType,
        secret: &[u8],
        protection: Protection<'_>,
        effort: Effort,
    ) -> Result<Self, IdentityError> {
        let malformed = |reason| IdentityError::malformed(path, reason);
        let signer = Self::from_secret(key_type, secret).map_err(malformed)?;
        let mut file = KeyFile {
            key_type: key_type.type_url().to_owned(),
            account: signer.account.clone(),
            secret_key: None,
            encrypted_key: None,
        };
        match protection {
            Protection::None => file.secret_key = Some(hex::encode(secret)),
            Protection::Passphrase(passphrase) => {
                let sealed = Sealed::seal(secret, passphrase, &file.bound_to(), effort, fill_random);
                file.encrypted_key = Some(sealed.map_err(malformed)??);
            }
        }
        let text = serde_json::to_string_pretty(&file).map(Zeroizing::new);
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
}

impl KeyFile {
    fn read(path: &Path) -> Result<Self, IdentityError> {
        let text = read_private(path, KEY_FILE_LEN_BYTES_MAX)?;
        // The parser's words may quote what it stumbled over, which may be the key: only the place is passed on.
        serde_json::from_str(&text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            IdentityError::malformed(path, format!("it is not a key file (line {line}, column {column})"))
        })
    }

    fn key_type(&self) -> Result<KeyType, String> {
        KeyType::from_type_url(&self.key_type)
            .ok_or_else(|| format!("`{}` is not a known type of key", self.key_type))
    }

    /// What the encryption is bound to.
    fn bound_to(&self) -> String {
        format!("{}|{}", self.key_type, self.account)
    }
}

/// Reads a file that only its owner may read, of at most `len_bytes_max`: a key, or the passphrase of one.
///
/// # Errors
/// If it is not there, others than its owner may read it, or it is too long or no text.
pub fn read_private(path: &Path, len_bytes_max: u64) -> Result<Zeroizing<String>, IdentityError> {
    let io = |source| IdentityError::io("opening", path, source);
    let file = OpenOptions::new().read(true).open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => IdentityError::NotFound { path: path.to_owned() },
        _ => io(source),
    })?;
    check_permissions(&file, path)?;
    // Of its full size at once: a buffer that grows leaves copies behind.
    let capacity = usize::try_from(len_bytes_max + 1).unwrap_or(0);
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    file.take(len_bytes_max + 1)
        .read_to_string(&mut text)
        .map_err(|source| IdentityError::io("reading", path, source))?;
    if text.len() as u64 > len_bytes_max {
        return Err(IdentityError::malformed(path, "it is too long"));
    }
    Ok(text)
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

fn fill_random(bytes: &mut [u8]) -> Result<(), IdentityError> {
    getrandom::fill(bytes).map_err(|error| IdentityError::Randomness { reason: error.to_string() })
}

/// New words to make a key of, separated by spaces.
///
/// # Errors
/// The system has no randomness.
pub fn new_mnemonic() -> Result<Zeroizing<String>, IdentityError> {
    let mut entropy = Zeroizing::new([0; mnemonic::ENTROPY_LEN_BYTES]);
    fill_random(entropy.as_mut())?;
    mnemonic::words_of(&entropy).map_err(|reason| IdentityError::Randomness { reason })
}

fn new_secret(key_type: KeyType) -> Result<Zeroizing<[u8; SECRET_KEY_LEN_BYTES]>, IdentityError> {
    let mut secret = Zeroizing::new([0; SECRET_KEY_LEN_BYTES]);
    for _ in 0..DRAWS_MAX {
        fill_random(secret.as_mut())?;
        if SecretKey::from_bytes(key_type, secret.as_slice()).is_ok() {
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
    /// There is no such file: of a key, or of a passphrase or words.
    #[error("there is no file {}; make it, or name another one (a node's are under [identity])", path.display())]
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
    #[error("others than its owner may use the file {0} (mode {mode:o}); run `chmod 600 {0}`", path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not what it should be.
    #[error("can't use the file {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never any of the key.
        reason: String,
    },
    /// The key is encrypted and was not unlocked.
    #[error("can't unlock the key file {}: {reason}", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// Why not; never any of the passphrase.
        reason: String,
    },
    /// The system could not give random bytes.
    #[error("can't make a new key: {reason}")]
    Randomness {
        /// Why.
        reason: String,
    },
    /// The file system failed.
    #[error("{attempted} the file {} failed: {source}", path.display())]
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
