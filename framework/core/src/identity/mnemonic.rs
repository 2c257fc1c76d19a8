//! Secret keys from the words that wallets show (BIP-39), along the path that belongs to the type of key (BIP-32, BIP-44).
//!
//! Owns the paths (wire 9.6 for accounts of the EVM; the coin type of the Cosmos Hub, 118, for the others) and how many
//! words there may be.

use bip32::{DerivationPath, XPrv};
use bip39::{Language, Mnemonic};
use lampkeeper_protocol::account::{KeyType, SECRET_KEY_LEN_BYTES};
use zeroize::Zeroizing;

/// The longest text that is read as a mnemonic, in bytes: 24 words, and room for the spaces between them.
pub const MNEMONIC_LEN_BYTES_MAX: usize = 1024;
/// Randomness of a new mnemonic, in bytes: 24 words.
pub const ENTROPY_LEN_BYTES: usize = 32;

/// The path that wallets derive the first account of this type along.
#[must_use]
pub const fn default_path(key_type: KeyType) -> &'static str {
    match key_type {
        KeyType::Secp256k1 => "m/44'/118'/0'/0/0",
        KeyType::EthSecp256k1 => "m/44'/60'/0'/0/0",
    }
}

/// The secret key of a mnemonic; `path` is [`default_path`] if it is not given.
///
/// # Errors
/// What is wrong with the words or the path; never any of the words.
pub fn secret_of(
    words: &str,
    key_type: KeyType,
    path: Option<&str>,
) -> Result<Zeroizing<[u8; SECRET_KEY_LEN_BYTES]>, String> {
    if words.len() > MNEMONIC_LEN_BYTES_MAX {
        return Err("the mnemonic is too long".to_owned());
    }
    // The library's error names the position of a word, never the word.
    let mnemonic = Mnemonic::parse_in(Language::English, words.trim())
        .map_err(|error| format!("the mnemonic can't be used: {error}"))?;
    let path: DerivationPath = path
        .unwrap_or(default_path(key_type))
        .parse()
        .map_err(|error| format!("the derivation path can't be used: {error}"))?;
    let seed = Zeroizing::new(mnemonic.to_seed_normalized(""));
    let key = XPrv::derive_from_path(&*seed, &path)
        .map_err(|error| format!("the key can't be derived: {error}"))?;
    Ok(Zeroizing::new(key.private_key().to_bytes().into()))
}

/// The words for new randomness, separated by spaces.
///
/// # Errors
/// The library refuses the randomness; a defect.
pub fn words_of(entropy: &[u8; ENTROPY_LEN_BYTES]) -> Result<Zeroizing<String>, String> {
    let mnemonic = Mnemonic::from_entropy_in(Language::English, entropy)
        .map_err(|error| format!("no mnemonic can be made: {error}"))?;
    Ok(Zeroizing::new(mnemonic.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_protocol::account::SecretKey;

    const ABANDON: &str =
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    const JUNK: &str = "test test test test test test test test test test test junk";

    fn address(words: &str, key_type: KeyType, path: Option<&str>) -> String {
        let secret = secret_of(words, key_type, path).unwrap();
        hex::encode(SecretKey::from_bytes(key_type, secret.as_slice()).unwrap().public_key().address())
    }

    #[test]
    fn addresses_are_those_that_wallets_show() {
        // Published widely as the first accounts of these two mnemonics, and the second of the latter.
        let eth = KeyType::EthSecp256k1;
        assert_eq!(address(ABANDON, eth, None), "9858effd232b4033e47d90003d41ec34ecaeda94");
        assert_eq!(address(JUNK, eth, None), "f39fd6e51aad88f6f4ce6ab8827279cfffb92266");
        let second = Some("m/44'/60'/0'/0/1");
        assert_eq!(address(JUNK, eth, second), "70997970c51812dc3a010c7d01b50e0d17dc79c8");
        // cosmos19rl4cm2hmr8afy4kldpxz3fka4jguq0auqdal4, as wallets of the Cosmos Hub show it.
        assert_eq!(address(ABANDON, KeyType::Secp256k1, None), "28ff5c6d57d8cfd492b6fb42614536ed648e01fd");
    }

    #[test]
    fn the_seed_is_that_of_the_specification() {
        // The first vector of BIP-39 without a passphrase has this seed; its BIP-32 master key follows from it.
        let seed = Mnemonic::parse_in(Language::English, ABANDON).unwrap().to_seed_normalized("");
        assert!(
            hex::encode(seed).starts_with("5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1")
        );
        let new = words_of(&[0; ENTROPY_LEN_BYTES]).unwrap();
        assert!(new.starts_with("abandon abandon") && new.ends_with(" art"), "the vector of 256 zero bits");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_words() {
        let wrong = ABANDON.replace("about", "abandon");
        for (words, path) in [
            (wrong.as_str(), None),
            ("", None),
            ("secretword secretword", None),
            (ABANDON, Some("44/60")),
            (&"abandon ".repeat(200), None),
        ] {
            let error = secret_of(words, KeyType::EthSecp256k1, path).unwrap_err();
            assert!(!error.contains("secretword") && !error.contains("abandon"), "{error}");
        }
    }
}
