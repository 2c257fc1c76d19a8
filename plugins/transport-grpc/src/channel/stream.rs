//! The channel over a socket: reading a handshake message, and the stream of bytes that the records carry.
//!
//! Owns the buffers. They grow only with bytes that have really come, never with a length that was announced, and shrink
//! again. Deadlines belong to the caller: every read here may wait for as long as the peer likes.

use super::HandshakeError;
use super::handshake::{Agreement, PeerIdentity};
use super::message::{Message, Progress};
use super::record::{OVERHEAD_LEN_BYTES, Opener, PLAINTEXT_LEN_BYTES_MAX, RecordError, Sealer};
use std::io::{self, ErrorKind, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The read buffer of a connection on which little happens.
const READ_LEN_BYTES_MIN: usize = 8 * 1024;
/// The read buffer of a busy connection; more only for a single record that is larger.
const READ_LEN_BYTES_MAX: usize = 128 * 1024;
/// Plaintext that is sealed in one go, so that no write holds the thread for long.
const SEALED_AT_ONCE_LEN_BYTES: usize = 16 * PLAINTEXT_LEN_BYTES_MAX;
/// Sealed bytes that wait for the socket before a write has to.
const WAITING_LEN_BYTES_MAX: usize = 4 * SEALED_AT_ONCE_LEN_BYTES;

const _: () = assert!(READ_LEN_BYTES_MIN >= OVERHEAD_LEN_BYTES);

/// Why a handshake message did not come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The connection failed, or ended before the message did.
    #[error("the connection ended during the handshake: {0}")]
    Connection(#[from] io::Error),
    /// What came is no message.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

/// Reads one handshake message, and not a byte more.
///
/// # Errors
/// If the connection ends first, or what comes is no message.
pub async fn read_message(socket: &mut (impl AsyncRead + Unpin)) -> Result<Message, ReadError> {
    let mut received = Vec::new();
    loop {
        match Message::progress(&received)? {
            Progress::Complete(message) => return Ok(message),
            Progress::Needs(missing_bytes) => {
                let begin = received.len();
                received.resize(begin + missing_bytes, 0);
                socket.read_exact(&mut received[begin..]).await?;
            }
        }
    }
}

/// A socket behind a finished handshake: what is written is sealed, what is read was authenticated.
pub struct SecureStream<T> {
    socket: T,
    peer: PeerIdentity,
    opener: Opener,
    sealer: Sealer,
    /// Bytes from the socket: opened up to `begin`, received up to `end`.
    incoming: Vec<u8>,
    begin: usize,
    end: usize,
    /// Plaintext of the last opened record that was not read yet.
    plaintext: Range<usize>,
    /// Sealed bytes; those before `sent` are with the socket.
    outgoing: Vec<u8>,
    sent: usize,
    /// After an error the channel is of no further use, whatever comes.
    broken: Option<RecordError>,
}

impl<T> SecureStream<T> {
    /// The stream of a connection on which both messages have gone their way.
    #[must_use]
    pub fn new(socket: T, agreement: Agreement) -> Self {
        Self {
            socket,
            opener: agreement.keys.opener(agreement.side),
            sealer: agreement.keys.sealer(agreement.side),
            peer: agreement.peer,
            incoming: Vec::new(),
            begin: 0,
            end: 0,
            plaintext: 0..0,
            outgoing: Vec::new(),
            sent: 0,
            broken: None,
        }
    }

    /// Who is at the other end.
    #[must_use]
    pub const fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    /// Memory that the buffers hold now, in bytes.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.incoming.capacity() + self.outgoing.capacity()
    }

    fn check(&self) -> io::Result<()> {
        self.broken.map_or(Ok(()), |error| Err(io::Error::new(ErrorKind::InvalidData, error)))
    }

    fn fail(&mut self, error: RecordError) -> io::Error {
        self.broken = Some(error);
        io::Error::new(ErrorKind::InvalidData, error)
    }

    /// Opens the next record that is here completely; whether there was one.
    fn open_next(&mut self) -> io::Result<bool> {
        match self.opener.open(&mut self.incoming[self.begin..self.end]) {
            Ok(Some(record)) => {
                self.plaintext = self.begin + record.plaintext.start..self.begin + record.plaintext.end;
                self.begin += record.len_bytes;
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Gives away as much of the opened record as there is room for.
    fn hand_out(&mut self, buffer: &mut ReadBuf<'_>) {
        let len_bytes = self.plaintext.len().min(buffer.remaining());
        let begin = self.plaintext.start;
        buffer.put_slice(&self.incoming[begin..begin + len_bytes]);
        self.plaintext.start += len_bytes;
    }

    /// Makes room behind the bytes that are here. The buffer doubles when it is full, so that a peer gets memory only for
    /// bytes that it has sent.
    fn make_room(&mut self) {
        let left = self.end - self.begin;
        if self.begin > 0 {
            self.incoming.copy_within(self.begin..self.end, 0);
        }
        (self.begin, self.end, self.plaintext) = (0, left, 0..0);
        let len_bytes = self.incoming.len();
        if left == len_bytes {
            self.incoming.resize((2 * len_bytes).max(READ_LEN_BYTES_MIN), 0);
        } else if len_bytes > READ_LEN_BYTES_MAX && left <= READ_LEN_BYTES_MIN {
            self.incoming.truncate(READ_LEN_BYTES_MAX);
            self.incoming.shrink_to_fit();
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> SecureStream<T> {
    /// Waits until a record of the peer has opened, which proves that it is there and has the keys. What the record says
    /// is read later.
    ///
    /// # Errors
    /// If the connection ends, or the first record does not open.
    pub async fn first_record(&mut self) -> io::Result<()> {
        let is_there = std::future::poll_fn(|context| self.poll_plaintext(context)).await?;
        if is_there { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    /// Waits for plaintext; `false` at the end of the connection.
    fn poll_plaintext(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.check()?;
        while self.plaintext.is_empty() {
            if self.open_next()? {
                continue; // an empty record is legal
            }
            self.make_room();
            let mut room = ReadBuf::new(&mut self.incoming[self.end..]);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut room))?;
            let read_bytes = room.filled().len();
            match read_bytes {
                0 if self.end == 0 => return Poll::Ready(Ok(false)),
                0 => return Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                _ => self.end += read_bytes,
            }
        }
        Poll::Ready(Ok(true))
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            let sent = ready!(Pin::new(&mut self.socket).poll_write(context, &self.outgoing[self.sent..]))?;
            if sent == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        self.outgoing.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Seals the beginning of what the slices hold; how many bytes of it.
    fn poll_seal(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.check()?;
        if self.outgoing.len() - self.sent >= WAITING_LEN_BYTES_MAX {
            ready!(self.poll_send(context))?;
        }
        let mut room = SEALED_AT_ONCE_LEN_BYTES;
        let taken = slices.iter().map_while(|slice| {
            let taken = slice.len().min(room);
            room -= taken;
            (taken > 0 || slice.is_empty()).then(|| &slice[..taken])
        });
        let sealed = self.sealer.seal_slices(taken, &mut self.outgoing);
        if let Err(error) = sealed {
            return Poll::Ready(Err(self.fail(error)));
        }
        Poll::Ready(Ok(SEALED_AT_ONCE_LEN_BYTES - room))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for SecureStream<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if ready!(this.poll_plaintext(context))? {
            this.hand_out(buffer);
            // Records are small: whatever else has arrived goes with it. An error among it is told by the next call.
            while buffer.remaining() > 0 && matches!(this.open_next(), Ok(true)) {
                this.hand_out(buffer);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for SecureStream<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_seal(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_seal(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(context))?;
        // A burst does not keep its memory.
        this.outgoing.shrink_to(WAITING_LEN_BYTES_MAX);
        Pin::new(&mut this.socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(context))?;
        Pin::new(&mut this.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
