//! The network's secure channel (wire 11): a handshake that proves both accounts, and encrypted records after it.
//!
//! | module | owns |
//! | --- | --- |
//! | [`message`] | the frame of a handshake message and its lengths |
//! | [`handshake`] | what a message says, what is signed and verified, which keys follow |
//! | [`record`] | the frames after the handshake |
//! | [`stream`] | the two above over a socket |
//!
//! The first three are pure: no socket, no clock, randomness is passed in. Deadlines, how many handshakes run at once, and
//! what the chain says of a peer belong to whoever drives them.
//!
//! Nothing here is shared between connections: each handshake holds its own ephemeral key and its own expectation of who
//! answers (wire 11.10).

pub mod handshake;
pub mod message;
pub mod record;
pub mod stream;

use lampkeeper_plugin_sdk::api::signer::SignError;

/// Which end of a connection this is: who connected, or who accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Connected.
    Client,
    /// Accepted.
    Server,
}

/// Why there is no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A length of the message is above its maximum; nothing of that size was read.
    #[error("the peer announced a {what} of {len_bytes} bytes; at most {max_bytes} are read")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// What was announced.
        len_bytes: usize,
        /// What is read at most.
        max_bytes: usize,
    },
    /// The message is not one of the protocol's.
    #[error("the peer's handshake message is malformed: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// The peer claims another account than the one that was called.
    #[error("expected {expected}, and {claimed} answered")]
    WrongIdentity {
        /// Who was called.
        expected: String,
        /// Who says to be there.
        claimed: String,
    },
    /// The account is not that of the key, or the key did not sign the message.
    #[error("the peer did not prove to be {claimed}: {what}")]
    NotProved {
        /// The account that it claims.
        claimed: String,
        /// What is wrong.
        what: &'static str,
    },
    /// This node's own key can't be used.
    #[error("this node can't prove its own account: {0}")]
    OwnKey(String),
}

impl HandshakeError {
    /// Whether the peer, and not this node, is at fault.
    #[must_use]
    pub const fn blames_peer(&self) -> bool {
        match self {
            Self::TooLong { .. }
            | Self::Malformed { .. }
            | Self::WrongIdentity { .. }
            | Self::NotProved { .. } => true,
            Self::OwnKey(_) => false,
        }
    }

    /// The label in metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::Malformed { .. } => "malformed",
            Self::WrongIdentity { .. } => "wrong_identity",
            Self::NotProved { .. } => "not_proved",
            Self::OwnKey(_) => "own_key",
        }
    }
}

impl From<SignError> for HandshakeError {
    fn from(error: SignError) -> Self {
        Self::OwnKey(error.to_string())
    }
}
