//! The node's identity: an account and the key that signs for it.
//!
//! Owns the seam; verifying a signature is a pure rule (protocol, `account`).

use lampkeeper_api_macros::seam;
use serde::{Deserialize, Serialize};

/// Signs with the node's account key.
///
/// Called by the challenger, the serving side and whoever writes evidence. The key never leaves the implementer.
#[seam("signer")]
pub trait Signer: Send + Sync {
    /// The account.
    #[seam(live)]
    fn account(&self) -> &str;
    /// The compressed public key, 33 bytes.
    fn public_key(&self) -> Vec<u8>;
    /// The key's type URL, such as `/cosmos.crypto.secp256k1.PubKey`.
    #[seam(live)]
    fn public_key_type_url(&self) -> &str;
    /// The signature over `message` (the message, not a digest of it; wire 3.6): 64 bytes R ‖ S.
    ///
    /// # Errors
    /// If the key can't be used now; never the peer's fault.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// The key could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("signing for {account} failed: {reason}")]
pub struct SignError {
    /// The account whose key was wanted.
    pub account: String,
    /// What went wrong.
    pub reason: String,
}
