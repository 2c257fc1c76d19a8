//! The handshake (wire 11.1 to 11.6): one message each way, then keys.
//!
//! Owns what the messages say, what is verified and in which order, and the key agreement. The order is in the types: a
//! server gets an answer only out of a [`VerifiedClient`], so nothing is signed for a peer that has not proved its account
//! (wire 11.2, *Known weakness*). Whether the chain knows the account is asked by whoever drives the handshake, between
//! the two.
//!
//! The protocol has no last message, so having verified a peer's handshake is no proof that it is there now: it may be a
//! replay. The first record that opens is the proof; a server waits for it before it does anything for the peer.

use super::message::Message;
use super::record::{CHANNEL_KEYS_LEN_BYTES, ChannelKeys};
use super::{HandshakeError, Side};
use hkdf::Hkdf;
use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::protocol::account::{
    ACCOUNT_TEXT_LEN_MAX, KeyType, PUBLIC_KEY_LEN_BYTES, PublicKey,
};
use lampkeeper_proto::cosmos::crypto::secp256k1::PubKey;
use lampkeeper_proto::lumera::lumeraid::HandshakeInfo;
use prost::Message as _;
use sha2::Sha256;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The record protocol's name, part of the keys' derivation (wire 11.6).
pub const RECORD_PROTOCOL: &str = "ALTSRP_XCHACHA20_POLY1305_REKEY";
/// What the info says of the curve; receivers do not check it (wire 11.3).
const CURVE: &str = "P256";
/// Length of an ephemeral public key: an uncompressed point (wire 11.3).
const POINT_LEN_BYTES: usize = 65;
const RANDOM_LEN_BYTES: usize = 32;

/// What kind of account a node shows (wire 11.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerType {
    /// An ordinary account.
    Account,
    /// A registered supernode.
    Supernode,
}

impl PeerType {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Account => 1,
            Self::Supernode => 2,
        }
    }

    /// The type with this number; 0 and all others have none.
    #[must_use]
    pub const fn from_number(number: i32) -> Option<Self> {
        match number {
            1 => Some(Self::Account),
            2 => Some(Self::Supernode),
            _ => None,
        }
    }
}

/// Who a peer has proved to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Its account.
    pub account: Account,
    /// What it says to be; the chain decides.
    pub peer_type: PeerType,
    /// Its account's key.
    pub public_key: PublicKey,
}

/// What this node shows of itself.
#[derive(Clone)]
pub struct Credentials {
    signer: Arc<dyn Signer>,
    peer_type: PeerType,
    public_key: PublicKey,
}

impl Credentials {
    /// The identity behind `signer`.
    ///
    /// # Errors
    /// If the signer's key is of no type that the handshake has, or not that of its account.
    pub fn new(signer: Arc<dyn Signer>, peer_type: PeerType) -> Result<Self, HandshakeError> {
        let type_url = signer.public_key_type_url();
        let key_type = KeyType::from_type_url(type_url).ok_or_else(|| {
            HandshakeError::OwnKey(format!("a key of type `{type_url}` has no place in it"))
        })?;
        let public_key = PublicKey::from_bytes(key_type, &signer.public_key())
            .map_err(|error| HandshakeError::OwnKey(error.to_string()))?;
        if public_key.account() != signer.account() {
            let reason = format!("its key is that of {}, not of {}", public_key.account(), signer.account());
            return Err(HandshakeError::OwnKey(reason));
        }
        Ok(Self { signer, peer_type, public_key })
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &str {
        self.signer.account()
    }

    fn message(&self, ephemeral: &EphemeralKey) -> Result<Message, HandshakeError> {
        let account_key = prost_types::Any {
            type_url: self.public_key.key_type().type_url().to_owned(),
            // Both key types have the same shape (wire 2.10).
            value: PubKey { key: self.public_key.to_bytes() }.encode_to_vec(),
        };
        let info = HandshakeInfo {
            address: self.account().to_owned(),
            peer_type: self.peer_type.number(),
            public_key: ephemeral.point.to_vec(),
            account_public_key: account_key.encode_to_vec(),
            curve: CURVE.to_owned(),
        };
        let info = info.encode_to_vec();
        let signature = self.signer.sign(&info)?;
        let signature = self
            .public_key
            .handshake_signature(&info, &signature)
            .map_err(|error| HandshakeError::OwnKey(error.to_string()))?;
        Ok(Message { info, signature })
    }
}

/// A P-256 key for one handshake. Wiped when dropped.
pub struct EphemeralKey {
    secret: p256::SecretKey,
    point: [u8; POINT_LEN_BYTES],
}

impl EphemeralKey {
    /// The key that these random bytes are; `None` in one of 2^32 cases, which calls for other bytes.
    #[must_use]
    pub fn from_random(bytes: &[u8; RANDOM_LEN_BYTES]) -> Option<Self> {
        let secret = p256::SecretKey::from_slice(bytes).ok()?;
        let point = p256::Sec1Point::from(secret.public_key());
        let point = point.as_bytes().try_into().ok()?;
        Some(Self { secret, point })
    }

    /// The channel's keys. Each side knows its own secret key and the other's point.
    fn agree(&self, peer: &p256::PublicKey, client: &str, server: &str) -> ChannelKeys {
        let shared = self.secret.diffie_hellman(peer);
        derive_keys(shared.raw_secret_bytes(), client, server)
    }
}

/// Key material from the shared secret (wire 11.6).
#[expect(clippy::expect_used, reason = "56 bytes are within what HKDF expands to")]
fn derive_keys(shared: &[u8], client: &str, server: &str) -> ChannelKeys {
    let info = format!("{RECORD_PROTOCOL}-{client}-{server}");
    let mut keys = Zeroizing::new([0; CHANNEL_KEYS_LEN_BYTES]);
    Hkdf::<Sha256>::new(None, shared).expand(info.as_bytes(), &mut *keys).expect("a short expansion");
    ChannelKeys::new(keys)
}

/// What both sides know at the end.
pub struct Agreement {
    /// Who is at the other end, if its first record opens.
    pub peer: PeerIdentity,
    /// The channel's keys.
    pub keys: ChannelKeys,
    /// Which end this is.
    pub side: Side,
}

/// The connecting side, after its message was made.
pub struct ClientHandshake {
    account: Account,
    expected: Account,
    ephemeral: EphemeralKey,
}

impl ClientHandshake {
    /// Begins a handshake with `expected`, and says what to send.
    ///
    /// # Errors
    /// If this node's key can't be used.
    pub fn begin(
        credentials: &Credentials,
        ephemeral: EphemeralKey,
        expected: &str,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let message = credentials.message(&ephemeral)?.encode();
        let account = credentials.account().to_owned();
        Ok((Self { account, expected: expected.to_owned(), ephemeral }, message))
    }

    /// Verifies the server's answer (wire 11.5).
    ///
    /// # Errors
    /// If it is malformed, by somebody else, or not proved.
    pub fn finish(self, answer: &Message) -> Result<Agreement, HandshakeError> {
        let claim = Claim::read(answer)?;
        if claim.address != self.expected {
            return Err(HandshakeError::WrongIdentity { expected: self.expected, claimed: claim.address });
        }
        let (peer, point) = claim.prove(answer)?;
        let keys = self.ephemeral.agree(&point, &self.account, &self.expected);
        Ok(Agreement { peer, keys, side: Side::Client })
    }
}

/// The accepting side, after the client's message was verified and before it is answered.
pub struct VerifiedClient {
    identity: PeerIdentity,
    point: p256::PublicKey,
}

impl VerifiedClient {
    /// Verifies a client's message (wire 11.5).
    ///
    /// # Errors
    /// If it is malformed or not proved.
    pub fn verify(message: &Message) -> Result<Self, HandshakeError> {
        let (identity, point) = Claim::read(message)?.prove(message)?;
        Ok(Self { identity, point })
    }

    /// Who the client has proved to be.
    #[must_use]
    pub const fn identity(&self) -> &PeerIdentity {
        &self.identity
    }

    /// What to send, and the keys.
    ///
    /// # Errors
    /// If this node's key can't be used.
    pub fn answer(
        self,
        credentials: &Credentials,
        ephemeral: &EphemeralKey,
    ) -> Result<(Vec<u8>, Agreement), HandshakeError> {
        let message = credentials.message(ephemeral)?.encode();
        let keys = ephemeral.agree(&self.point, &self.identity.account, credentials.account());
        Ok((message, Agreement { peer: self.identity, keys, side: Side::Server }))
    }
}

/// What a message says, before anything of it is believed.
struct Claim {
    address: String,
    peer_type: PeerType,
    public_key: PublicKey,
    point: Vec<u8>,
}

impl Claim {
    fn read(message: &Message) -> Result<Self, HandshakeError> {
        let malformed = |what| HandshakeError::Malformed { what };
        let info = HandshakeInfo::decode(message.info.as_slice())
            .map_err(|_| malformed("its info is no protobuf message"))?;
        if info.address.is_empty() || info.address.len() > ACCOUNT_TEXT_LEN_MAX {
            return Err(malformed("its address is no account"));
        }
        let peer_type = PeerType::from_number(info.peer_type)
            .ok_or_else(|| malformed("its peer type is neither account nor supernode"))?;
        let public_key = read_account_key(&info.account_public_key)?;
        Ok(Self { address: info.address, peer_type, public_key, point: info.public_key })
    }

    fn prove(self, message: &Message) -> Result<(PeerIdentity, p256::PublicKey), HandshakeError> {
        let not_proved = |what| HandshakeError::NotProved { claimed: self.address.clone(), what };
        if self.public_key.account() != self.address {
            return Err(not_proved("its key is that of another account"));
        }
        self.public_key
            .verify(&message.info, &message.signature)
            .map_err(|_| not_proved("its signature is not by its key"))?;
        if self.point.len() != POINT_LEN_BYTES {
            return Err(HandshakeError::Malformed { what: "its ephemeral key is no uncompressed point" });
        }
        let point = p256::PublicKey::from_sec1_bytes(&self.point)
            .map_err(|_| HandshakeError::Malformed { what: "its ephemeral key is not on the curve" })?;
        let identity =
            PeerIdentity { account: self.address, peer_type: self.peer_type, public_key: self.public_key };
        Ok((identity, point))
    }
}

/// The account key in its `Any` (wire 11.3).
fn read_account_key(bytes: &[u8]) -> Result<PublicKey, HandshakeError> {
    let malformed = |what| HandshakeError::Malformed { what };
    let wrapped =
        prost_types::Any::decode(bytes).map_err(|_| malformed("its account key is no protobuf message"))?;
    let key_type = KeyType::from_type_url(&wrapped.type_url)
        .ok_or_else(|| malformed("its account key is of an unknown type"))?;
    let key = PubKey::decode(wrapped.value.as_slice())
        .map_err(|_| malformed("its account key is no protobuf message"))?;
    if key.key.len() != PUBLIC_KEY_LEN_BYTES {
        return Err(malformed("its account key is not compressed"));
    }
    PublicKey::from_bytes(key_type, &key.key).map_err(|_| malformed("its account key is not on the curve"))
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
