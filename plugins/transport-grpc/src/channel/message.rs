//! The frame of a handshake message (wire 11.2): two byte strings, each behind its length.
//!
//! Owns the lengths. Both are refused before a byte behind them is read if they are above what any peer sends, so a
//! reader needs no more memory than [`MESSAGE_LEN_BYTES_MAX`]. What the bytes mean belongs to
//! [`handshake`](super::handshake).

use super::HandshakeError;

/// The longest handshake info that is read. The network's have about 240 bytes; there is room for fields to come.
pub const INFO_LEN_BYTES_MAX: usize = 2048;
/// The longest signature that is read. Those of the network have 64 or 65 bytes.
pub const SIGNATURE_LEN_BYTES_MAX: usize = 128;
/// The longest message.
pub const MESSAGE_LEN_BYTES_MAX: usize = 2 * LENGTH_LEN_BYTES + INFO_LEN_BYTES_MAX + SIGNATURE_LEN_BYTES_MAX;

const LENGTH_LEN_BYTES: usize = 4;

/// A handshake message: what is said, and the signature over exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The encoded `HandshakeInfo`.
    pub info: Vec<u8>,
    /// The account key's signature over `info`.
    pub signature: Vec<u8>,
}

/// How far the bytes read so far go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes belong to the message for certain and are still missing. Reading no more than that leaves the
    /// records behind the message alone.
    Needs(usize),
    /// All of it.
    Complete(Message),
}

impl Message {
    /// The bytes that go over the wire, in one write.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 * LENGTH_LEN_BYTES + self.info.len() + self.signature.len());
        for part in [&self.info, &self.signature] {
            // Our own parts are far below 4 GiB.
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// Looks at the bytes that have come so far, from the start of the message.
    ///
    /// # Errors
    /// If a length is above its maximum, the info is empty, or there are bytes behind the message.
    pub fn progress(received: &[u8]) -> Result<Progress, HandshakeError> {
        let (info, rest) = match take_part(received, "handshake info", INFO_LEN_BYTES_MAX)? {
            Part::Needs(missing_bytes) => return Ok(Progress::Needs(missing_bytes)),
            Part::Complete(info, rest) => (info, rest),
        };
        if info.is_empty() {
            return Err(HandshakeError::Malformed { what: "it says nothing" });
        }
        match take_part(rest, "signature", SIGNATURE_LEN_BYTES_MAX)? {
            Part::Needs(missing_bytes) => Ok(Progress::Needs(missing_bytes)),
            Part::Complete(signature, []) => {
                Ok(Progress::Complete(Self { info: info.to_vec(), signature: signature.to_vec() }))
            }
            Part::Complete(..) => Err(HandshakeError::Malformed { what: "bytes follow it" }),
        }
    }
}

enum Part<'a> {
    Needs(usize),
    Complete(&'a [u8], &'a [u8]),
}

fn take_part<'a>(bytes: &'a [u8], what: &'static str, max_bytes: usize) -> Result<Part<'a>, HandshakeError> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_LEN_BYTES>() else {
        return Ok(Part::Needs(LENGTH_LEN_BYTES - bytes.len()));
    };
    let len_bytes = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if len_bytes > max_bytes {
        return Err(HandshakeError::TooLong { what, len_bytes, max_bytes });
    }
    Ok(match rest.split_at_checked(len_bytes) {
        Some((part, rest)) => Part::Complete(part, rest),
        None => Part::Needs(len_bytes - rest.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message { info: vec![1; 40], signature: vec![2; 64] }
    }

    #[test]
    fn a_message_is_complete_at_its_last_byte_and_never_asks_for_more() {
        let bytes = message().encode();
        assert_eq!(bytes.len(), 4 + 40 + 4 + 64);
        for len_bytes in 0..bytes.len() {
            match Message::progress(&bytes[..len_bytes]).unwrap() {
                Progress::Needs(missing) => assert!(missing > 0 && len_bytes + missing <= bytes.len()),
                Progress::Complete(_) => panic!("complete after {len_bytes} bytes"),
            }
        }
        assert_eq!(Message::progress(&bytes), Ok(Progress::Complete(message())));
        let followed = [bytes.as_slice(), &[0]].concat();
        assert!(matches!(Message::progress(&followed), Err(HandshakeError::Malformed { .. })));
    }

    #[test]
    fn a_length_above_its_maximum_is_refused_as_soon_as_it_is_read() {
        let long = |value: usize| u32::try_from(value).unwrap().to_be_bytes().to_vec();
        let info = |value: usize| [long(value), vec![7; value.min(INFO_LEN_BYTES_MAX)]].concat();
        let table = [
            (long(INFO_LEN_BYTES_MAX + 1), false),
            (u32::MAX.to_be_bytes().to_vec(), false), // 4 GiB (wire 11.2)
            (long(INFO_LEN_BYTES_MAX), true),
            ([info(1), long(SIGNATURE_LEN_BYTES_MAX + 1)].concat(), false),
            ([info(1), u32::MAX.to_be_bytes().to_vec()].concat(), false),
            ([info(INFO_LEN_BYTES_MAX), long(SIGNATURE_LEN_BYTES_MAX)].concat(), true),
            ([info(1), long(0)].concat(), true), // refused later, as no signature
            (long(0), false),                    // "peer not responding" (wire 11.5)
        ];
        for (bytes, is_read_on) in table {
            let progress = Message::progress(&bytes);
            assert_eq!(progress.is_ok(), is_read_on, "{} bytes: {progress:?}", bytes.len());
            if let Ok(Progress::Needs(missing)) = progress {
                assert!(bytes.len() + missing <= MESSAGE_LEN_BYTES_MAX);
            }
        }
    }
}
