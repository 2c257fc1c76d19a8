//! `keys create` and `keys show`: the file with a node's key.

use crate::output::{self, Failure, Outcome};
use lampkeeper_api::signer::Signer;
use lampkeeper_core::FileSigner;
use lampkeeper_protocol::account::KeyType;
use std::path::Path;

/// Makes a new key file; never overwrites one.
pub fn create(path: &Path) -> Outcome {
    let signer = FileSigner::create(path, KeyType::Secp256k1).map_err(Failure::failed)?;
    output::line(signer.account());
    Ok(())
}

/// Prints the account of a key file.
pub fn show(path: &Path) -> Outcome {
    let signer = FileSigner::open(path).map_err(Failure::failed)?;
    output::line(signer.account());
    Ok(())
}
