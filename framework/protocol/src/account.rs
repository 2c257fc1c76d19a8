//! Accounts: their keys, their strings and their signatures (wire 3.6, wire 11.4, wire 11.5).
//!
//! Owns the two key types of the chain and which signatures each accepts. Leaves keeping secret keys to the node's
//! signer, and the documents that clients sign in a wallet's envelope to [`crate::document_signature`].

use std::fmt;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use ripemd::Ripemd160;
use sha2::{Digest as _, Sha256};
use sha3::Keccak256;

/// The prefix of every account string.
pub const ACCOUNT_PREFIX: &str = "lumera";
/// The prefix of a validator operator's string.
pub const VALIDATOR_PREFIX: &str = "lumeravaloper";
/// Length of an address in bytes.
pub const ADDRESS_LEN_BYTES: usize = 20;
/// Length of a compressed public key in bytes.
pub const PUBLIC_KEY_LEN_BYTES: usize = 33;
/// Length of a secret key in bytes.
pub const SECRET_KEY_LEN_BYTES: usize = 32;
/// Length of a signature in bytes: R and S, big-endian.
pub const SIGNATURE_LEN_BYTES: usize = 64;
/// The longest text that is decoded as an account: bech32's own bound.
pub const ACCOUNT_TEXT_LEN_MAX: usize = 90;

/// An address: what an account string spells.
pub type Address = [u8; ADDRESS_LEN_BYTES];

/// Which kind of account a key belongs to. It decides the address and the digest that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// An ordinary account: SHA-256.
    Secp256k1,
    /// An EVM account: Keccak-256.
    EthSecp256k1,
}

impl KeyType {
    /// The protobuf type URL of a public key of this type (wire 11.3).
    #[must_use]
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Secp256k1 => "/cosmos.crypto.secp256k1.PubKey",
            Self::EthSecp256k1 => "/cosmos.evm.crypto.v1.ethsecp256k1.PubKey",
        }
    }

    /// The key type with this type URL.
    #[must_use]
    pub fn from_type_url(type_url: &str) -> Option<Self> {
        [Self::Secp256k1, Self::EthSecp256k1].into_iter().find(|key_type| key_type.type_url() == type_url)
    }

    fn message_digest(self, message: &[u8]) -> [u8; 32] {
        match self {
            Self::Secp256k1 => Sha256::digest(message).into(),
            Self::EthSecp256k1 => Keccak256::digest(message).into(),
        }
    }
}

/// What is wrong with a key, an account string or a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The bytes are no key of the curve.
    #[error("can't read a {what} from {len_bytes} bytes: not a key of secp256k1")]
    InvalidKey {
        /// Which key was read.
        what: &'static str,
        /// Length of the bytes.
        len_bytes: usize,
    },
    /// The text is no account.
    #[error("`{text}` is not an account: expected bech32 of 20 bytes with prefix `lumera`")]
    InvalidAccount {
        /// The text, shortened if it was longer than any account.
        text: String,
    },
    /// The signature has a form that the key type does not accept.
    #[error(
        "can't verify a signature of {len_bytes} bytes: expected R and S of 32 bytes each, S in the lower half"
    )]
    MalformedSignature {
        /// Length of the signature.
        len_bytes: usize,
    },
    /// The signature is well formed, but not by this key over this message.
    #[error("the signature does not match the key and the message")]
    SignatureMismatch,
}

/// The public key of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    key_type: KeyType,
    key: VerifyingKey,
}

impl PublicKey {
    /// Reads a key in SEC1 form; the chain uses the compressed one of [`PUBLIC_KEY_LEN_BYTES`].
    ///
    /// # Errors
    /// The bytes are no point of the curve.
    pub fn from_bytes(key_type: KeyType, bytes: &[u8]) -> Result<Self, AccountError> {
        match VerifyingKey::from_sec1_bytes(bytes) {
            Ok(key) => Ok(Self { key_type, key }),
            Err(_) => Err(AccountError::InvalidKey { what: "public key", len_bytes: bytes.len() }),
        }
    }

    /// The key's type.
    #[must_use]
    pub const fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The key in compressed form, of [`PUBLIC_KEY_LEN_BYTES`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.key.to_sec1_point(true).as_bytes().to_vec()
    }

    /// The key's address (wire 11.5): RIPEMD-160 of SHA-256, or the end of Keccak-256 of the uncompressed point.
    #[must_use]
    pub fn address(&self) -> Address {
        match self.key_type {
            KeyType::Secp256k1 => Ripemd160::digest(Sha256::digest(self.to_bytes())).into(),
            KeyType::EthSecp256k1 => {
                let point = self.key.to_sec1_point(false);
                let digest: [u8; 32] = Keccak256::digest(&point.as_bytes()[1..]).into();
                std::array::from_fn(|i| digest[digest.len() - ADDRESS_LEN_BYTES + i])
            }
        }
    }

    /// The key's account string.
    #[must_use]
    pub fn account(&self) -> String {
        encode_account(&self.address())
    }

    /// Checks a signature over a message (wire 3.6).
    ///
    /// An ordinary key takes exactly 64 bytes; an EVM key ignores one more, the V byte. Both refuse an S in the upper
    /// half of the group order.
    ///
    /// # Errors
    /// The signature is malformed, or not by this key over this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), AccountError> {
        let signature = self.parse(signature)?;
        self.key
            .verify_prehash(&self.key_type.message_digest(message), &signature)
            .map_err(|_| AccountError::SignatureMismatch)
    }

    /// A signature in a form that this type of key accepts.
    fn parse(&self, signature: &[u8]) -> Result<Signature, AccountError> {
        let malformed = || AccountError::MalformedSignature { len_bytes: signature.len() };
        let scalars = match (self.key_type, signature.len()) {
            (KeyType::EthSecp256k1, 65) => &signature[..SIGNATURE_LEN_BYTES],
            (_, SIGNATURE_LEN_BYTES) => signature,
            _ => return Err(malformed()),
        };
        let signature = Signature::from_slice(scalars).map_err(|_| malformed())?;
        if signature.normalize_s() != signature {
            return Err(malformed());
        }
        Ok(signature)
    }
}

impl PublicKey {
    /// This key's signature over a message (R and S) as the handshake sends it: an EVM key's with its V byte (wire
    /// 11.4). For signers that hold the secret key elsewhere; [`SecretKey::sign_handshake`] does both at once.
    ///
    /// # Errors
    /// The signature is malformed, or not by this key over this message.
    pub fn handshake_signature(&self, message: &[u8], signature: &[u8]) -> Result<Vec<u8>, AccountError> {
        match self.key_type {
            KeyType::Secp256k1 => {
                self.verify(message, signature)?;
                Ok(signature.to_vec())
            }
            KeyType::EthSecp256k1 => {
                let signature = self.parse(signature)?;
                let digest = self.key_type.message_digest(message);
                // It verifies the signature, too.
                let recovery_id = RecoveryId::trial_recovery_from_prehash(&self.key, &digest, &signature)
                    .map_err(|_| AccountError::SignatureMismatch)?;
                let mut bytes = signature.to_bytes().to_vec();
                bytes.push(recovery_id.to_byte());
                Ok(bytes)
            }
        }
    }
}

/// The secret key of an account. It is wiped when dropped and never printed.
///
/// ```
/// use lampkeeper_protocol::account::{KeyType, SecretKey};
/// let key = SecretKey::from_bytes(KeyType::Secp256k1, &[7; 32])?;
/// let signature = key.sign(b"message");
/// key.public_key().verify(b"message", &signature)?;
/// # Ok::<(), lampkeeper_protocol::account::AccountError>(())
/// ```
#[derive(Clone)]
pub struct SecretKey {
    key_type: KeyType,
    key: SigningKey,
}

impl SecretKey {
    /// Reads a key of [`SECRET_KEY_LEN_BYTES`], big-endian.
    ///
    /// # Errors
    /// The number is 0 or not below the group order, or the length is another one.
    pub fn from_bytes(key_type: KeyType, bytes: &[u8]) -> Result<Self, AccountError> {
        match SigningKey::from_slice(bytes) {
            Ok(key) if bytes.len() == SECRET_KEY_LEN_BYTES => Ok(Self { key_type, key }),
            _ => Err(AccountError::InvalidKey { what: "secret key", len_bytes: bytes.len() }),
        }
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey { key_type: self.key_type, key: *self.key.verifying_key() }
    }

    /// Signs a message: deterministic (RFC 6979), R and S without V (wire 3.6).
    ///
    /// The message is always hashed. (The reference signs a 32-byte message of an EVM key as it is, so that such a
    /// signature does not verify; no message of the protocol is that short.)
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN_BYTES] {
        self.sign_recoverable(message).0.to_bytes().into()
    }

    /// Signs a message as the handshake sends it: an EVM key's signature keeps its V byte (wire 11.4).
    #[must_use]
    pub fn sign_handshake(&self, message: &[u8]) -> Vec<u8> {
        let (signature, recovery_id) = self.sign_recoverable(message);
        let mut bytes = signature.to_bytes().to_vec();
        match self.key_type {
            KeyType::Secp256k1 => {}
            KeyType::EthSecp256k1 => bytes.push(recovery_id.to_byte()),
        }
        bytes
    }

    fn sign_recoverable(&self, message: &[u8]) -> (Signature, RecoveryId) {
        self.key.sign_prehash_recoverable(&self.key_type.message_digest(message))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretKey({:?} of {})", self.key_type, self.public_key().account())
    }
}

/// The account string of an address.
#[must_use]
pub fn encode_account(address: &Address) -> String {
    encode(ACCOUNT_PREFIX, address)
}

/// The validator operator string of an address.
#[must_use]
pub fn encode_validator(address: &Address) -> String {
    encode(VALIDATOR_PREFIX, address)
}

#[expect(
    clippy::expect_used,
    reason = "both prefixes are valid, and a string of 20 bytes is within bech32's bound"
)]
fn encode(prefix: &str, address: &Address) -> String {
    let prefix = Hrp::parse(prefix).expect("the prefix is lower-case ASCII");
    bech32::encode::<Bech32>(prefix, address).expect("an address is short enough")
}

/// The address that an account string spells. Upper case is refused, since accounts are hashed as they are spelled.
///
/// # Errors
/// The text is not the bech32 form of an address with [`ACCOUNT_PREFIX`].
pub fn decode_account(text: &str) -> Result<Address, AccountError> {
    let invalid = || AccountError::InvalidAccount { text: text.chars().take(ACCOUNT_TEXT_LEN_MAX).collect() };
    if text.len() > ACCOUNT_TEXT_LEN_MAX || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(invalid());
    }
    let decoded = CheckedHrpstring::new::<Bech32>(text).map_err(|_| invalid())?;
    let address: Vec<u8> = decoded.byte_iter().collect();
    match address.try_into() {
        Ok(address) if decoded.hrp().as_str() == ACCOUNT_PREFIX && encode_account(&address) == text => {
            Ok(address)
        }
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of the group order, rounded down, plus one: the smallest S that is refused.
    const HIGH_S: &str = "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1";

    fn key(key_type: KeyType, secret: &str) -> SecretKey {
        SecretKey::from_bytes(key_type, &hex::decode(secret).unwrap()).unwrap()
    }

    #[test]
    fn addresses_agree_with_known_keys() {
        // Secret key 1 is the generator, whose addresses are published widely: the first as the hash of Bitcoin's
        // compressed key, the second as Ethereum's address of that key.
        let one = format!("{:064x}", 1);
        let table = [
            (KeyType::Secp256k1, "751e76e8199196d454941c45d1b3a323f1433bd6"),
            (KeyType::EthSecp256k1, "7e5f4552091a69125d5dfcb7b8c2659029395bdf"),
        ];
        for (key_type, address) in table {
            let public_key = key(key_type, &one).public_key();
            assert_eq!(hex::encode(public_key.address()), address, "{key_type:?}");
            assert_eq!(decode_account(&public_key.account()).unwrap(), public_key.address());
            assert!(public_key.account().starts_with("lumera1"));
        }
    }

    #[test]
    fn signatures_agree_with_known_answers() {
        // The secp256k1 line is RFC 6979 over SHA-256, known from many libraries; the EVM line signs the Keccak-256
        // of an encoded transaction, from the tests of Ethereum libraries.
        let table = [
            (
                KeyType::Secp256k1,
                format!("{:064x}", 1),
                hex::encode("Satoshi Nakamoto"),
                "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8\
                 2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5",
                None,
            ),
            (
                KeyType::EthSecp256k1,
                "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318".to_owned(),
                "e9808504e3b29200831e848094f0109fc8df283027b6285cc889f5aa624eac1f55843b9aca0080018080"
                    .to_owned(),
                "c9cf86333bcb065d140032ecaab5d9281bde80f21b9687b3e94161de42d51895\
                 727a108a0b8d101465414033c3f705a9c7b826e596766046ee1183dbc8aeaa68",
                Some(0),
            ),
        ];
        for (key_type, secret, message, expected, recovery_byte) in table {
            let (key, message) = (key(key_type, &secret), hex::decode(message).unwrap());
            assert_eq!(hex::encode(key.sign(&message)), expected, "{key_type:?}");
            let handshake = key.sign_handshake(&message);
            assert_eq!(handshake.get(SIGNATURE_LEN_BYTES).copied(), recovery_byte);
            key.public_key().verify(&message, &handshake).unwrap();
        }
    }

    #[test]
    fn the_recovery_byte_can_be_found_without_the_secret_key() {
        for key_type in [KeyType::Secp256k1, KeyType::EthSecp256k1] {
            for number in 1..=8_u8 {
                let key = key(key_type, &hex::encode([number; 32]));
                let (public_key, signature) = (key.public_key(), key.sign(b"message"));
                let found = public_key.handshake_signature(b"message", &signature);
                assert_eq!(found, Ok(key.sign_handshake(b"message")), "{key_type:?} {number}");
                let mismatch = public_key.handshake_signature(b"massage", &signature);
                assert_eq!(mismatch, Err(AccountError::SignatureMismatch));
            }
        }
    }

    #[test]
    fn each_key_type_accepts_its_own_lengths_only() {
        for (key_type, accepted) in [(KeyType::Secp256k1, &[64][..]), (KeyType::EthSecp256k1, &[64, 65])] {
            let key = key(key_type, &"07".repeat(32));
            let mut signature = key.sign(b"message").to_vec();
            signature.resize(70, 0);
            for len_bytes in 0..=signature.len() {
                let verdict = key.public_key().verify(b"message", &signature[..len_bytes]);
                assert_eq!(verdict.is_ok(), accepted.contains(&len_bytes), "{key_type:?} of {len_bytes}");
            }
        }
    }

    #[test]
    fn the_upper_half_of_s_is_refused() {
        for key_type in [KeyType::Secp256k1, KeyType::EthSecp256k1] {
            let key = key(key_type, &"07".repeat(32));
            let signature = Signature::from_slice(&key.sign(b"message")).unwrap();
            let (r, s) = signature.split_scalars();
            let mirrored = Signature::from_scalars(r.to_bytes(), (-s).to_bytes()).unwrap();
            let mut least = key.sign(b"message");
            least[32..].copy_from_slice(&hex::decode(HIGH_S).unwrap());
            for refused in [mirrored.to_bytes().to_vec(), least.to_vec()] {
                let verdict = key.public_key().verify(b"message", &refused);
                assert_eq!(verdict, Err(AccountError::MalformedSignature { len_bytes: 64 }), "{key_type:?}");
            }
        }
    }

    #[test]
    fn other_messages_keys_and_types_do_not_match() {
        let signer = key(KeyType::Secp256k1, &"07".repeat(32));
        let signature = signer.sign(b"message");
        let other_key = key(KeyType::Secp256k1, &"08".repeat(32));
        let other_type = key(KeyType::EthSecp256k1, &"07".repeat(32));
        for (verifier, message) in [(&signer, "messages"), (&other_key, "message"), (&other_type, "message")]
        {
            let verdict = verifier.public_key().verify(message.as_bytes(), &signature);
            assert_eq!(verdict, Err(AccountError::SignatureMismatch));
        }
    }

    #[test]
    fn bad_keys_and_accounts_are_refused() {
        for bytes in [&[][..], &[0; 32], &[0xff; 32], &[1; 31], &[1; 33]] {
            assert!(SecretKey::from_bytes(KeyType::Secp256k1, bytes).is_err(), "{bytes:?}");
            assert!(PublicKey::from_bytes(KeyType::Secp256k1, bytes).is_err(), "{bytes:?}");
        }
        let good = encode_account(&[1; ADDRESS_LEN_BYTES]);
        let bad = [
            String::new(),
            good.to_uppercase(),
            format!("{good} "),
            good[..good.len() - 1].to_owned(),
            encode_validator(&[1; ADDRESS_LEN_BYTES]),
            "1".repeat(1000),
        ];
        for text in bad {
            assert!(decode_account(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_key_is_never_printed() {
        let printed = format!("{:?}", key(KeyType::Secp256k1, &"07".repeat(32)));
        assert!(printed.starts_with("SecretKey(Secp256k1 of lumera1"), "{printed}");
        assert!(!printed.contains("0707") && !printed.contains("7, 7"), "{printed}");
    }
}
