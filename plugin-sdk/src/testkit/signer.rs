//! A [`Signer`] whose key follows from a name.

use crate::protocol::account::{KeyType, SecretKey};
use lampkeeper_api::Account;
use lampkeeper_api::signer::{SignError, Signer};

/// A key for tests. The same seed gives the same account; nothing about it is secret.
///
/// ```
/// use lampkeeper_plugin_sdk::api::signer::Signer;
/// use lampkeeper_plugin_sdk::testkit::TestSigner;
///
/// let alice = TestSigner::new("alice");
/// assert_eq!(alice.account(), TestSigner::new("alice").account());
/// assert_ne!(alice.account(), TestSigner::new("bob").account());
/// ```
#[derive(Debug, Clone)]
pub struct TestSigner {
    key_type: KeyType,
    key: SecretKey,
    account: Account,
}

impl TestSigner {
    /// The ordinary account of this seed.
    #[must_use]
    pub fn new(seed: &str) -> Self {
        Self::with_key_type(seed, KeyType::Secp256k1)
    }

    /// The account of this seed and type.
    #[must_use]
    #[expect(clippy::expect_used, reason = "one hash in 2^127 is no secret key")]
    pub fn with_key_type(seed: &str, key_type: KeyType) -> Self {
        let hash = blake3::derive_key("lampkeeper test signer", seed.as_bytes());
        let key = SecretKey::from_bytes(key_type, &hash).expect("a hash is a key");
        let account = key.public_key().account();
        Self { key_type, key, account }
    }

    /// The key, for handshakes.
    #[must_use]
    pub const fn secret_key(&self) -> &SecretKey {
        &self.key
    }
}

impl Signer for TestSigner {
    fn account(&self) -> &str {
        &self.account
    }

    fn public_key(&self) -> Vec<u8> {
        self.key.public_key().to_bytes()
    }

    fn public_key_type_url(&self) -> &str {
        self.key_type.type_url()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.key.sign(message).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::account::PublicKey;

    #[test]
    fn its_signatures_verify_with_its_public_key_and_no_other() {
        for key_type in [KeyType::Secp256k1, KeyType::EthSecp256k1] {
            let signer = TestSigner::with_key_type("alice", key_type);
            assert_eq!(KeyType::from_type_url(signer.public_key_type_url()), Some(key_type));
            let public_key = PublicKey::from_bytes(key_type, &signer.public_key()).unwrap();
            assert_eq!(public_key.account(), signer.account());
            let signature = signer.sign(b"message").unwrap();
            assert!(public_key.verify(b"message", &signature).is_ok());
            let other = TestSigner::with_key_type("bob", key_type).sign(b"message").unwrap();
            assert!(public_key.verify(b"message", &other).is_err());
        }
    }
}
