//! Where the passphrase of a key file comes from: a file, the environment, or whoever sits at the terminal.
//!
//! Owns the order in which these are tried. What a passphrase is good for is core's.

use lampkeeper_core::FileSigner;
use lampkeeper_core::identity::{
    self, IdentityError, PASSPHRASE_LEN_BYTES_MAX, PASSPHRASE_LEN_BYTES_MIN, Passphrase,
};
use lampkeeper_core::manifest::IdentitySection;
use std::io::IsTerminal as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The environment variable with the passphrase.
pub const VARIABLE: &str = "LAMPKEEPER_PASSPHRASE";
/// How a passphrase gets here without a terminal.
const OTHERWISE: &str = "name a file with it, or set LAMPKEEPER_PASSPHRASE";

/// The node's key, unlocked if it is encrypted.
///
/// # Errors
/// If the file can't be read, or there is no passphrase or a wrong one.
pub fn open(identity: &IdentitySection) -> Result<FileSigner, IdentityError> {
    FileSigner::open_with(&identity.key_file, || of_key(identity.passphrase_file.as_deref()))
}

/// The passphrase of an existing key.
///
/// # Errors
/// Where it was looked for, and what is wrong with it.
pub fn of_key(file: Option<&Path>) -> Result<Passphrase, String> {
    match without_asking(file)? {
        Some(passphrase) => Ok(passphrase),
        None => Passphrase::new(ask("the passphrase of the key", OTHERWISE)?),
    }
}

/// The passphrase for a new key: asked for twice, and long enough.
///
/// # Errors
/// Where it was looked for, and what is wrong with it.
pub fn for_new_key(file: Option<&Path>) -> Result<Passphrase, String> {
    let passphrase = match without_asking(file)? {
        Some(passphrase) => passphrase,
        None => {
            let first = Passphrase::new(ask("a passphrase for the key", OTHERWISE)?)?;
            if first != Passphrase::new(ask("the passphrase once more", OTHERWISE)?)? {
                return Err("the two passphrases differ".to_owned());
            }
            first
        }
    };
    if passphrase.is_long_enough() {
        Ok(passphrase)
    } else {
        Err(format!("the passphrase is too short: at least {PASSPHRASE_LEN_BYTES_MIN} bytes"))
    }
}

fn without_asking(file: Option<&Path>) -> Result<Option<Passphrase>, String> {
    if let Some(file) = file {
        let text = identity::read_private(file, PASSPHRASE_LEN_BYTES_MAX as u64 + 2);
        return Passphrase::new(text.map_err(|error| error.to_string())?).map(Some);
    }
    match std::env::var(VARIABLE) {
        Ok(text) => Passphrase::new(Zeroizing::new(text)).map(Some),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("{VARIABLE} is no text")),
    }
}

/// Asks at the terminal for something that is not shown. `otherwise` is what to do where there is none.
///
/// # Errors
/// Nobody sits there.
pub fn ask(what: &str, otherwise: &str) -> Result<Zeroizing<String>, String> {
    if !std::io::stdin().is_terminal() {
        return Err(format!("there is no terminal to ask for {what}: {otherwise}"));
    }
    rpassword::prompt_password(format!("{what}: "))
        .map(Zeroizing::new)
        .map_err(|error| format!("asking for {what} failed: {error}"))
}
