//! Records: the frames after the handshake (wire 11.7, 11.8).
//!
//! Owns sealing, opening and nonces. Memory is the caller's: an [`Opener`] works in the buffer that the bytes arrived in,
//! and refuses a length before anything behind it is waited for. After an error a direction is of no further use.
//!
//! XChaCha20-Poly1305 is ChaCha20-Poly1305 under a key that HChaCha20 makes of the key and the first 16 bytes of the nonce,
//! with its last 8 bytes as nonce: zeros here (wire 11.8). Each record thus has a key of its own, and its cipher can be the
//! one in assembly that TLS has.

use super::Side;
use chacha20::R20;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use std::ops::Range;
use zeroize::Zeroizing;

/// Length of the channel's key material: a key of 32 bytes and a mask of 24 (wire 11.6).
pub const CHANNEL_KEYS_LEN_BYTES: usize = 56;
/// The longest frame that is sent, its length field included.
pub const FRAME_LEN_BYTES_MAX: usize = 4096;
/// The most plaintext in a frame that is sent.
pub const PLAINTEXT_LEN_BYTES_MAX: usize = FRAME_LEN_BYTES_MAX - OVERHEAD_LEN_BYTES;
/// The largest length that is accepted: of type, ciphertext and tag.
pub const RECEIVED_LEN_BYTES_MAX: usize = 1024 * 1024;
/// What a frame has besides its plaintext.
pub const OVERHEAD_LEN_BYTES: usize = HEADER_LEN_BYTES + TAG_LEN_BYTES;

const KEY_LEN_BYTES: usize = 32;
const COUNTER_LEN_BYTES: usize = 12;
/// The part of a nonce that goes into the record's key; zeros stand behind it.
const KEY_NONCE_LEN_BYTES: usize = 16;
const TYPE_LEN_BYTES: usize = 4;
const HEADER_LEN_BYTES: usize = 4 + TYPE_LEN_BYTES;
const TAG_LEN_BYTES: usize = 16;
/// The one message type.
const MESSAGE_TYPE: u32 = 6;
/// In the counter's last byte: this direction is server to client.
const FROM_SERVER: u8 = 0x80;

// Otherwise a frame that this node sends would be refused by a peer, or could not be sent at all.
const _: () = assert!(FRAME_LEN_BYTES_MAX - 4 <= RECEIVED_LEN_BYTES_MAX);
const _: () = assert!(PLAINTEXT_LEN_BYTES_MAX > 0);

/// Why a direction of the channel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The announced length is impossible, or above the maximum.
    #[error("the peer announced a record of {len_bytes} bytes: expected 20 to {RECEIVED_LEN_BYTES_MAX}")]
    Length {
        /// What was announced.
        len_bytes: usize,
    },
    /// The record is of a type that there is not.
    #[error("the peer sent a record of unknown type {number}")]
    Type {
        /// Its number.
        number: u32,
    },
    /// The record was altered, repeated, reordered, or is by somebody else.
    #[error("a record did not authenticate")]
    Forged,
    /// The counter has run through all its values.
    #[error("the connection has carried as many records as its keys allow; connect anew")]
    Exhausted,
}

/// The keys of a channel, the same for both directions. Wiped when dropped.
#[derive(Clone)]
pub struct ChannelKeys(Zeroizing<[u8; CHANNEL_KEYS_LEN_BYTES]>);

impl ChannelKeys {
    /// Key material as it was derived.
    #[must_use]
    pub const fn new(bytes: Zeroizing<[u8; CHANNEL_KEYS_LEN_BYTES]>) -> Self {
        Self(bytes)
    }

    /// What seals this side's records.
    #[must_use]
    pub fn sealer(&self, side: Side) -> Sealer {
        Sealer(Direction::new(self, side))
    }

    /// What opens the records that the other side sealed.
    #[must_use]
    pub fn opener(&self, side: Side) -> Opener {
        let sender = match side {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        Opener(Direction::new(self, sender))
    }
}

#[cfg(test)]
impl ChannelKeys {
    pub(crate) fn bytes(&self) -> &[u8] {
        &*self.0
    }
}

/// The key, the mask and the counter of one direction.
struct Direction {
    key: Zeroizing<[u8; KEY_LEN_BYTES]>,
    mask: [u8; COUNTER_LEN_BYTES],
    /// The number of the next record; `None` when all are used up.
    next: Option<u64>,
    last_byte: u8,
}

impl Direction {
    fn new(keys: &ChannelKeys, sender: Side) -> Self {
        let (key, mask) = keys.0.split_at(KEY_LEN_BYTES);
        Self {
            key: Zeroizing::new(std::array::from_fn(|i| key[i])),
            mask: std::array::from_fn(|i| mask[i]),
            next: Some(0),
            last_byte: match sender {
                Side::Client => 0,
                Side::Server => FROM_SERVER,
            },
        }
    }

    /// The next record's nonce, up to its zeros: the masked counter is in it.
    fn next_nonce(&mut self) -> Result<[u8; KEY_NONCE_LEN_BYTES], RecordError> {
        let number = self.next.ok_or(RecordError::Exhausted)?;
        self.next = number.checked_add(1);
        let mut nonce = [0; KEY_NONCE_LEN_BYTES];
        nonce[..8].copy_from_slice(&number.to_le_bytes());
        nonce[COUNTER_LEN_BYTES - 1] = self.last_byte;
        for (byte, mask) in nonce.iter_mut().zip(self.mask) {
            *byte ^= mask;
        }
        Ok(nonce)
    }

    /// The next record's cipher, which is used once.
    fn next_cipher(&mut self) -> Result<RecordCipher, RecordError> {
        let nonce = self.next_nonce()?;
        let key = Zeroizing::new(chacha20::hchacha::<R20>((&*self.key).into(), (&nonce).into()).0);
        // Refused only for a key of another length.
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*key).map_err(|_| RecordError::Exhausted)?;
        Ok(RecordCipher(LessSafeKey::new(key)))
    }
}

/// Seals or opens one record. What is left of it in memory afterwards opens that record and no other.
struct RecordCipher(LessSafeKey);

impl RecordCipher {
    /// The rest of the nonce: its other bytes are in the key, so that no pair of both is used twice.
    fn nonce() -> Nonce {
        Nonce::assume_unique_for_key([0; NONCE_LEN])
    }

    fn seal(self, plaintext: &mut [u8]) -> Result<Tag, RecordError> {
        // Refused only for lengths that no record has.
        let tag = self.0.seal_in_place_separate_tag(Self::nonce(), Aad::empty(), plaintext);
        tag.map_err(|_| RecordError::Exhausted)
    }

    fn open(self, ciphertext: &mut [u8], tag: Tag) -> Result<(), RecordError> {
        let opened = self.0.open_in_place_separate_tag(Self::nonce(), Aad::empty(), tag, ciphertext, 0..);
        opened.map_or(Err(RecordError::Forged), |_| Ok(()))
    }
}

/// Seals the records of one direction.
pub struct Sealer(Direction);

impl Sealer {
    /// Appends `plaintext` to `frames` as sealed records, as many as it takes; none if it is empty.
    ///
    /// # Errors
    /// If the counter is used up.
    pub fn seal(&mut self, plaintext: &[u8], frames: &mut Vec<u8>) -> Result<(), RecordError> {
        self.seal_slices([plaintext], frames)
    }

    /// The same for a plaintext in pieces, which share records.
    ///
    /// # Errors
    /// If the counter is used up.
    pub fn seal_slices<'a>(
        &mut self,
        slices: impl IntoIterator<Item = &'a [u8]>,
        frames: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        let mut open = None;
        for mut slice in slices {
            while !slice.is_empty() {
                let begin = *open.get_or_insert_with(|| begin_record(frames));
                let room = PLAINTEXT_LEN_BYTES_MAX - (frames.len() - begin);
                let (head, rest) = slice.split_at(slice.len().min(room));
                frames.extend_from_slice(head);
                if head.len() == room {
                    self.end_record(begin, frames)?;
                    open = None;
                }
                slice = rest;
            }
        }
        open.map_or(Ok(()), |begin| self.end_record(begin, frames))
    }

    /// Encrypts what stands behind `begin`, and completes the header before it.
    fn end_record(&mut self, begin: usize, frames: &mut Vec<u8>) -> Result<(), RecordError> {
        let cipher = self.0.next_cipher()?;
        let len_bytes = TYPE_LEN_BYTES + frames.len() - begin + TAG_LEN_BYTES;
        let length = u32::try_from(len_bytes).unwrap_or(u32::MAX); // at most 4092
        frames[begin - HEADER_LEN_BYTES..][..4].copy_from_slice(&length.to_le_bytes());
        let tag = cipher.seal(&mut frames[begin..])?;
        frames.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// Appends a header whose length is still open; where the plaintext begins.
fn begin_record(frames: &mut Vec<u8>) -> usize {
    frames.extend_from_slice(&[0; 4]);
    frames.extend_from_slice(&MESSAGE_TYPE.to_le_bytes());
    frames.len()
}

/// A record at the start of a buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Where its plaintext stands now.
    pub plaintext: Range<usize>,
    /// How many bytes of the buffer it took.
    pub len_bytes: usize,
}

/// Opens the records of one direction, strictly in order.
pub struct Opener(Direction);

impl Opener {
    /// How many bytes the record at the start of `bytes` has, once its length is there.
    ///
    /// # Errors
    /// If the length is impossible or above the maximum.
    pub fn record_len_bytes(bytes: &[u8]) -> Result<Option<usize>, RecordError> {
        let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
        let len_bytes = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if !(TYPE_LEN_BYTES + TAG_LEN_BYTES..=RECEIVED_LEN_BYTES_MAX).contains(&len_bytes) {
            return Err(RecordError::Length { len_bytes });
        }
        Ok(Some(4 + len_bytes))
    }

    /// Opens the record at the start of `bytes` in place; `None` while it is not complete.
    ///
    /// # Errors
    /// If its length or type is none that there is, or it does not authenticate.
    pub fn open(&mut self, bytes: &mut [u8]) -> Result<Option<Opened>, RecordError> {
        let Some(len_bytes) = Self::record_len_bytes(bytes)? else { return Ok(None) };
        let Some(record) = bytes.get_mut(..len_bytes) else { return Ok(None) };
        let (header, body) = record.split_at_mut(HEADER_LEN_BYTES);
        // Only the low byte counts (wire 11.7).
        let number = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        if number & 0xff != MESSAGE_TYPE {
            return Err(RecordError::Type { number });
        }
        let (ciphertext, tag) = body.split_at_mut(len_bytes - OVERHEAD_LEN_BYTES);
        let tag = Tag::try_from(&*tag).map_err(|_| RecordError::Forged)?;
        self.0.next_cipher()?.open(ciphertext, tag)?;
        let plaintext = HEADER_LEN_BYTES..len_bytes - TAG_LEN_BYTES;
        Ok(Some(Opened { plaintext, len_bytes }))
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
