//! Bech32 addresses of accounts, validator operators and module accounts.
//!
//! Owns their spelling. Planted state may name accounts that are no addresses at all (`sn-a`); only the rules that ask
//! for an address refuse those.

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use sha2::{Digest as _, Sha256};

/// The prefix of accounts.
pub const ACCOUNT_PREFIX: &str = "lumera";
/// The prefix of validator operators.
pub const OPERATOR_PREFIX: &str = "lumeravaloper";
/// The longest address that the chain accepts, in bytes.
pub const ADDRESS_LEN_BYTES_MAX: usize = 255;

/// The bytes of an address with this prefix; `None` if the text is not one.
#[must_use]
pub fn decode(prefix: &str, text: &str) -> Option<Vec<u8>> {
    let parsed = CheckedHrpstring::new::<Bech32>(text).ok()?;
    let bytes: Vec<u8> = parsed.byte_iter().collect();
    (parsed.hrp().as_str() == prefix && (1..=ADDRESS_LEN_BYTES_MAX).contains(&bytes.len())).then_some(bytes)
}

/// Whether the text is an account address.
#[must_use]
pub fn is_account(text: &str) -> bool {
    decode(ACCOUNT_PREFIX, text).is_some()
}

/// The account with these bytes.
#[must_use]
pub fn account(bytes: &[u8]) -> String {
    encode(ACCOUNT_PREFIX, bytes)
}

/// The validator operator with these bytes.
#[must_use]
pub fn operator(bytes: &[u8]) -> String {
    encode(OPERATOR_PREFIX, bytes)
}

/// The operator address with the same bytes as `account`; `None` if that is not an address.
#[must_use]
pub fn operator_of_account(account: &str) -> Option<String> {
    decode(ACCOUNT_PREFIX, account).map(|bytes| operator(&bytes))
}

/// The account of a module, such as `gov` or `action`: the first 20 bytes of SHA-256 of its name.
#[must_use]
pub fn module_account(module: &str) -> String {
    account(&Sha256::digest(module.as_bytes())[..20])
}

/// A reproducible account for tests and devnets: 20 bytes drawn from a label.
#[must_use]
pub fn labelled_account(label: &str) -> String {
    account(&blake3::hash(label.as_bytes()).as_bytes()[..20])
}

/// The bytes that order supernodes in the store: those of the operator address, or of the text if it is none.
#[must_use]
pub fn operator_key(text: &str) -> Vec<u8> {
    decode(OPERATOR_PREFIX, text).unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Addresses longer than the chain accepts are cut, so that the encoding can't fail.
fn encode(prefix: &str, bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(ADDRESS_LEN_BYTES_MAX)];
    #[expect(clippy::expect_used, reason = "both prefixes are constants that bech32 accepts")]
    let prefix = Hrp::parse(prefix).expect("a valid prefix");
    #[expect(clippy::expect_used, reason = "255 bytes make 408 characters, well below bech32's 1023")]
    let text = bech32::encode_lower::<Bech32>(prefix, bytes).expect("a short address");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_operators_share_their_bytes() {
        for bytes in [vec![0x11; 20], vec![0], vec![0xff; ADDRESS_LEN_BYTES_MAX]] {
            let account = account(&bytes);
            assert_eq!(decode(ACCOUNT_PREFIX, &account).as_deref(), Some(&*bytes));
            let operator = operator_of_account(&account).unwrap();
            assert_eq!(decode(OPERATOR_PREFIX, &operator).as_deref(), Some(&*bytes));
            assert_eq!(decode(ACCOUNT_PREFIX, &operator), None, "the prefix counts");
        }
        assert!(!is_account("sn-a") && !is_account(""));
        assert_eq!(operator_key("sn-a"), b"sn-a");
    }
}
