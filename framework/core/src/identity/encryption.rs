//! A secret key under a passphrase.
//!
//! Owns the choice of the two algorithms (Argon2id makes a key of the passphrase, XChaCha20-Poly1305 encrypts with it), their
//! parameters in the file and the limits of those. Where the passphrase comes from is the program's business.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The shortest passphrase for a new file, in bytes.
pub const PASSPHRASE_LEN_BYTES_MIN: usize = 8;
/// The longest passphrase, in bytes.
pub const PASSPHRASE_LEN_BYTES_MAX: usize = 1024;
/// Memory for the derivation of a new file's key, in KiB.
const MEMORY_KIB: u32 = 64 * 1024;
/// Passes over that memory.
const PASSES: u32 = 3;
/// Lanes of that memory.
const LANES: u32 = 1;
/// What a file may ask for at most, so that a damaged one can't use up the machine.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 32;
const LANES_MAX: u32 = 16;
const SALT_LEN_BYTES: usize = 16;
const NONCE_LEN_BYTES: usize = 24;
const KEY_LEN_BYTES: usize = 32;
/// The only algorithms so far, by the names that a file has for them.
const DERIVATION: &str = "argon2id";
const CIPHER: &str = "xchacha20poly1305";

/// What unlocks a key file. It is wiped when dropped and never printed.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// A passphrase of at most [`PASSPHRASE_LEN_BYTES_MAX`]; the end of its line is not part of it.
    ///
    /// # Errors
    /// It is empty or too long.
    pub fn new(text: Zeroizing<String>) -> Result<Self, String> {
        let line = text.trim_end_matches(['\r', '\n']);
        match line.len() {
            0 => Err("the passphrase is empty".to_owned()),
            1..=PASSPHRASE_LEN_BYTES_MAX => Ok(Self(Zeroizing::new(line.to_owned()))),
            _ => Err(format!("the passphrase is longer than {PASSPHRASE_LEN_BYTES_MAX} bytes")),
        }
    }

    /// Whether it is long enough for a new file.
    #[must_use]
    pub fn is_long_enough(&self) -> bool {
        self.0.len() >= PASSPHRASE_LEN_BYTES_MIN
    }
}

impl PartialEq for Passphrase {
    /// Compares what somebody typed twice; nothing that an attacker could time.
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Passphrase")
    }
}

/// An encrypted secret, as a key file has it. Bytes are in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    derivation: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    cipher: String,
    nonce: String,
    ciphertext: String,
}

/// How hard it is to try passphrases.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

impl Effort {
    pub(super) const USUAL: Self = Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES };
}

impl Sealed {
    /// Encrypts a secret. `random` fills bytes with what nobody can guess; `bound_to` has to be the same for opening.
    pub(super) fn seal<E>(
        secret: &[u8],
        passphrase: &Passphrase,
        bound_to: &str,
        effort: Effort,
        mut random: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<Result<Self, E>, String> {
        let (mut salt, mut nonce) = ([0; SALT_LEN_BYTES], [0; NONCE_LEN_BYTES]);
        if let Err(error) = random(&mut salt).and_then(|()| random(&mut nonce)) {
            return Ok(Err(error));
        }
        let mut sealed = Self {
            derivation: DERIVATION.to_owned(),
            memory_kib: effort.memory_kib,
            passes: effort.passes,
            lanes: effort.lanes,
            salt: hex::encode(salt),
            cipher: CIPHER.to_owned(),
            nonce: hex::encode(nonce),
            ciphertext: String::new(),
        };
        let aad = sealed.associated_data(bound_to);
        let payload = Payload { msg: secret, aad: aad.as_bytes() };
        let ciphertext = sealed
            .cipher(passphrase, &salt)?
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| "the secret can't be encrypted".to_owned())?;
        sealed.ciphertext = hex::encode(ciphertext);
        Ok(Ok(sealed))
    }

    /// Decrypts the secret.
    pub(super) fn open(&self, passphrase: &Passphrase, bound_to: &str) -> Result<Zeroizing<Vec<u8>>, String> {
        self.check_limits()?;
        let malformed = |what: &str| format!("its {what} is not hexadecimal of the right length");
        let salt: [u8; SALT_LEN_BYTES] = bytes(&self.salt).ok_or_else(|| malformed("salt"))?;
        let nonce: [u8; NONCE_LEN_BYTES] = bytes(&self.nonce).ok_or_else(|| malformed("nonce"))?;
        let ciphertext = hex::decode(&self.ciphertext).map_err(|_| malformed("ciphertext"))?;
        let aad = self.associated_data(bound_to);
        let payload = Payload { msg: &ciphertext, aad: aad.as_bytes() };
        let opened = self.cipher(passphrase, &salt)?.decrypt(&XNonce::from(nonce), payload);
        let wrong = "the passphrase is wrong, or the file was changed";
        opened.map(Zeroizing::new).map_err(|_| wrong.to_owned())
    }

    fn check_limits(&self) -> Result<(), String> {
        if self.derivation != DERIVATION || self.cipher != CIPHER {
            return Err(format!(
                "it is encrypted with {} and {}; this version reads {DERIVATION} and {CIPHER}",
                self.derivation, self.cipher
            ));
        }
        if self.memory_kib > MEMORY_KIB_MAX || self.passes > PASSES_MAX || self.lanes > LANES_MAX {
            return Err(format!(
                "it asks for {} KiB, {} passes and {} lanes, and at most {MEMORY_KIB_MAX}, {PASSES_MAX} and \
                 {LANES_MAX} are granted",
                self.memory_kib, self.passes, self.lanes
            ));
        }
        Ok(())
    }

    /// What the ciphertext is bound to: nobody can change the account in the file, or make the derivation weaker.
    fn associated_data(&self, bound_to: &str) -> String {
        let Self { derivation, memory_kib, passes, lanes, salt, cipher, .. } = self;
        format!("lampkeeper key file|{bound_to}|{derivation}|{memory_kib}|{passes}|{lanes}|{salt}|{cipher}")
    }

    fn cipher(&self, passphrase: &Passphrase, salt: &[u8]) -> Result<XChaCha20Poly1305, String> {
        let unusable = |error: argon2::Error| format!("its derivation can't be carried out: {error}");
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_LEN_BYTES));
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(unusable)?);
        let mut key = Zeroizing::new([0; KEY_LEN_BYTES]);
        argon2.hash_password_into(passphrase.0.as_bytes(), salt, key.as_mut()).map_err(unusable)?;
        Ok(XChaCha20Poly1305::new(&Key::from(*key)))
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Enough for a test.
    pub(in crate::identity) const LITTLE: Effort = Effort { memory_kib: 8, passes: 1, lanes: 1 };

    pub(in crate::identity) fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.to_owned())).unwrap()
    }

    fn sealed() -> Sealed {
        let mut next = 0_u8;
        let random = |bytes: &mut [u8]| {
            for byte in bytes {
                next = next.wrapping_add(1);
                *byte = next;
            }
            Ok::<_, ()>(())
        };
        Sealed::seal(b"a secret", &passphrase("correct horse"), "me", LITTLE, random).unwrap().unwrap()
    }

    #[test]
    fn only_the_passphrase_and_the_untouched_file_open_it() {
        let sealed = sealed();
        assert_eq!(**sealed.open(&passphrase("correct horse\n"), "me").unwrap(), *b"a secret");
        assert!(sealed.open(&passphrase("correct house"), "me").is_err());
        assert!(sealed.open(&passphrase("correct horse"), "you").is_err());
        let changed = [
            Sealed { passes: 2, ..sealed.clone() },
            Sealed { salt: "00".repeat(SALT_LEN_BYTES), ..sealed.clone() },
            Sealed { nonce: "00".repeat(NONCE_LEN_BYTES), ..sealed.clone() },
            Sealed { ciphertext: sealed.ciphertext.replace(&sealed.ciphertext[..2], "ff"), ..sealed.clone() },
            Sealed { ciphertext: String::new(), ..sealed.clone() },
            Sealed { salt: "zz".to_owned(), ..sealed.clone() },
            Sealed { cipher: "rot13".to_owned(), ..sealed.clone() },
            Sealed { memory_kib: MEMORY_KIB_MAX + 1, ..sealed.clone() },
            Sealed { passes: u32::MAX, ..sealed.clone() },
            Sealed { lanes: u32::MAX, ..sealed.clone() },
            Sealed { memory_kib: 0, ..sealed },
        ];
        for changed in changed {
            assert!(changed.open(&passphrase("correct horse"), "me").is_err(), "{changed:?}");
        }
    }

    #[test]
    fn a_passphrase_has_limits_and_is_never_printed() {
        for text in [String::new(), "\n".to_owned(), "a".repeat(PASSPHRASE_LEN_BYTES_MAX + 1)] {
            assert!(Passphrase::new(Zeroizing::new(text)).is_err());
        }
        assert!(!passphrase("seven77").is_long_enough() && passphrase("eight888").is_long_enough());
        assert_eq!(format!("{:?}", passphrase("correct horse")), "Passphrase");
    }
}
