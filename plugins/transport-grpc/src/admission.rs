//! From a socket to a peer that has proved who it is, in both directions.
//!
//! Owns the order: a client's message is read and verified and the chain has been asked before this node signs anything
//! (wire 11.2, *Known weakness*), and a connection counts as a peer's only when a record of it has opened. Deadlines are
//! set by the callers, around all of it.

use crate::channel::HandshakeError;
use crate::channel::handshake::{
    ClientHandshake, Credentials, EphemeralKey, PeerIdentity, PeerType, VerifiedClient,
};
use crate::channel::stream::{ReadError, SecureStream, read_message};
use crate::known_peers::{KnownPeers, Standing};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// Random bytes that are no key of the curve come once in 2^32 draws.
const DRAWS_MAX: usize = 8;

/// Why a connection did not become a peer's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdmissionError {
    #[error("the connection ended: {0}")]
    Connection(#[from] io::Error),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("the chain does not know {account} as {what}")]
    Unknown { account: String, what: &'static str },
    #[error("the chain can't be asked about {account}: {reason}")]
    CannotTell { account: String, reason: String },
    #[error("ordinary accounts are not accepted here")]
    Ordinary,
    #[error("{0}")]
    Full(&'static str),
    #[error("it took longer than {timeout_ms} ms")]
    TooSlow { timeout_ms: u64 },
    #[error("others needed the room")]
    PushedOut,
}

impl AdmissionError {
    /// The label in metrics.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Connection(_) => "connection",
            Self::Handshake(error) => error.kind(),
            Self::Unknown { .. } => "unknown",
            Self::CannotTell { .. } => "cannot_tell",
            Self::Ordinary => "ordinary",
            Self::Full(_) => "full",
            Self::TooSlow { .. } => "too_slow",
            Self::PushedOut => "pushed_out",
        }
    }
}

impl From<ReadError> for AdmissionError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Connection(error) => Self::Connection(error),
            ReadError::Handshake(error) => Self::Handshake(error),
        }
    }
}

/// What both directions need.
pub(crate) struct Gate {
    pub(crate) credentials: Credentials,
    pub(crate) known_peers: KnownPeers,
    pub(crate) accepts_ordinary: bool,
}

impl Gate {
    /// Lets a client in.
    pub(crate) async fn accept<T>(&self, mut socket: T) -> Result<SecureStream<T>, AdmissionError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let message = read_message(&mut socket).await?;
        let client = VerifiedClient::verify(&message)?;
        if client.identity().peer_type == PeerType::Account && !self.accepts_ordinary {
            return Err(AdmissionError::Ordinary);
        }
        self.check_standing(client.identity()).await?;
        let (answer, agreement) = client.answer(&self.credentials, &draw_key()?)?;
        socket.write_all(&answer).await?;
        let mut stream = SecureStream::new(socket, agreement);
        stream.first_record().await?;
        Ok(stream)
    }

    /// Makes sure that `expected` is at the other end. What is sent to it can be read by nobody else; that it is there now
    /// is proved by its first record, before anything that it says is believed.
    pub(crate) async fn connect<T>(
        &self,
        mut socket: T,
        expected: &str,
    ) -> Result<SecureStream<T>, AdmissionError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let (handshake, hello) = ClientHandshake::begin(&self.credentials, draw_key()?, expected)?;
        socket.write_all(&hello).await?;
        let answer = read_message(&mut socket).await?;
        let agreement = handshake.finish(&answer)?;
        self.check_standing(&agreement.peer).await?;
        Ok(SecureStream::new(socket, agreement))
    }

    async fn check_standing(&self, peer: &PeerIdentity) -> Result<(), AdmissionError> {
        let account = peer.account.clone();
        match self.known_peers.standing(peer).await {
            Standing::Known => Ok(()),
            Standing::Unknown => {
                let what = match peer.peer_type {
                    PeerType::Account => "an account",
                    PeerType::Supernode => "a supernode",
                };
                Err(AdmissionError::Unknown { account, what })
            }
            Standing::CannotTell(reason) => Err(AdmissionError::CannotTell { account, reason }),
        }
    }
}

/// A new ephemeral key from the system's randomness.
fn draw_key() -> Result<EphemeralKey, HandshakeError> {
    let mut bytes = Zeroizing::new([0; 32]);
    for _ in 0..DRAWS_MAX {
        let no_randomness = |error| HandshakeError::OwnKey(format!("the system gave no randomness: {error}"));
        getrandom::fill(&mut *bytes).map_err(no_randomness)?;
        if let Some(key) = EphemeralKey::from_random(&bytes) {
            return Ok(key);
        }
    }
    Err(HandshakeError::OwnKey("the system's randomness is none".to_owned()))
}
