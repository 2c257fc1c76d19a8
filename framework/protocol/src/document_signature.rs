//! Which signatures over a ticket's documents are accepted (wire 4.5).
//!
//! Owns the wallet envelope (ADR-36), the two encodings of a signature and the order in which they are tried. Leaves
//! the documents themselves to [`crate::cascade`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k256::ecdsa::Signature;

use crate::account::{PublicKey, SIGNATURE_LEN_BYTES};

/// The longest signature text that is decoded: base64 of the longest DER form (72 bytes), with room for padding.
pub const SIGNATURE_TEXT_LEN_MAX: usize = 128;

/// What the signer really signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedForm {
    /// The document's text, which is base64.
    Text,
    /// The text inside a wallet's envelope.
    TextInEnvelope,
    /// The JSON that the text encodes.
    Decoded,
    /// That JSON inside a wallet's envelope.
    DecodedInEnvelope,
}

/// Why a document's signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentSignatureError {
    /// The signature's text is not base64 of a signature.
    #[error("can't read a signature of {len} characters: expected base64 of R and S, or of their DER form")]
    Malformed {
        /// Length of the text.
        len: usize,
    },
    /// None of the keys signed the document in any accepted form.
    #[error("the document is not signed by its creator in any accepted form")]
    Mismatch,
}

/// The text that a wallet signs on behalf of `signer` when it is asked to sign `data` (ADR-36).
#[must_use]
pub fn wallet_envelope(data: &[u8], signer: &str) -> String {
    let message = serde_json::json!({"data": STANDARD.encode(data), "signer": signer});
    // Sorted keys and no white space, as it is signed.
    format!(
        r#"{{"account_number":"0","chain_id":"","fee":{{"amount":[],"gas":"0"}},"memo":"","msgs":[{{"type":"sign/MsgSignData","value":{message}}}],"sequence":"0"}}"#
    )
}

/// R and S of a signature in base64: 64 bytes as they are, or their ASN.1 DER form (wire 4.5 step 1).
///
/// # Errors
/// The text is too long, no base64, or neither form.
pub fn parse_document_signature(text: &str) -> Result<[u8; SIGNATURE_LEN_BYTES], DocumentSignatureError> {
    let malformed = DocumentSignatureError::Malformed { len: text.len() };
    if text.len() > SIGNATURE_TEXT_LEN_MAX {
        return Err(malformed);
    }
    let bytes = STANDARD.decode(text).map_err(|_| malformed)?;
    match <[u8; SIGNATURE_LEN_BYTES]>::try_from(bytes.as_slice()) {
        Ok(scalars) => Ok(scalars),
        Err(_) => match Signature::from_der(&bytes) {
            Ok(signature) => Ok(signature.to_bytes().into()),
            Err(_) => Err(malformed),
        },
    }
}

/// Checks the signature over a document's text, and says what was signed (wire 4.5).
///
/// `keys` are tried in order for each form: an action's own key comes before the account's. `signer` is the creator's
/// account, which a wallet puts into its envelope.
///
/// # Errors
/// The signature can't be read, or no key signed any accepted form.
pub fn verify_document(
    keys: &[PublicKey],
    signer: &str,
    document_text: &str,
    signature_text: &str,
) -> Result<SignedForm, DocumentSignatureError> {
    let signature = parse_document_signature(signature_text)?;
    let is_signed = |message: &[u8]| keys.iter().any(|key| key.verify(message, &signature).is_ok());
    let is_enveloped = |data: &[u8]| is_signed(wallet_envelope(data, signer).as_bytes());
    if is_signed(document_text.as_bytes()) {
        return Ok(SignedForm::Text);
    }
    if is_enveloped(document_text.as_bytes()) {
        return Ok(SignedForm::TextInEnvelope);
    }
    let decoded = STANDARD.decode(document_text).map_err(|_| DocumentSignatureError::Mismatch)?;
    if is_signed(&decoded) {
        Ok(SignedForm::Decoded)
    } else if is_enveloped(&decoded) {
        Ok(SignedForm::DecodedInEnvelope)
    } else {
        Err(DocumentSignatureError::Mismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{KeyType, SecretKey};

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_bytes(KeyType::Secp256k1, &[seed; 32]).unwrap()
    }

    #[test]
    fn the_envelope_is_canonical() {
        let expected = concat!(
            r#"{"account_number":"0","chain_id":"","fee":{"amount":[],"gas":"0"},"memo":"","msgs":"#,
            r#"[{"type":"sign/MsgSignData","value":{"data":"aGVsbG8=","signer":"lumera1aaa"}}],"sequence":"0"}"#
        );
        assert_eq!(wallet_envelope(b"hello", "lumera1aaa"), expected);
    }

    #[test]
    fn every_form_is_accepted_in_both_encodings() {
        let (creator, json) = (key(7), br#"{"layout_ids":[]}"#);
        let signer = creator.public_key().account();
        let text = STANDARD.encode(json);
        let forms = [
            (SignedForm::Text, text.clone()),
            (SignedForm::TextInEnvelope, wallet_envelope(text.as_bytes(), &signer)),
            (SignedForm::Decoded, String::from_utf8(json.to_vec()).unwrap()),
            (SignedForm::DecodedInEnvelope, wallet_envelope(json, &signer)),
        ];
        // The creator's key comes second, as an account's key does after an action's own.
        let keys = [key(8).public_key(), creator.public_key()];
        for (form, signed) in forms {
            let raw = creator.sign(signed.as_bytes());
            let der = Signature::from_slice(&raw).unwrap().to_der();
            for encoded in [STANDARD.encode(raw), STANDARD.encode(der.as_bytes())] {
                assert_eq!(verify_document(&keys, &signer, &text, &encoded), Ok(form));
            }
        }
    }

    #[test]
    fn strangers_and_malformed_signatures_are_refused() {
        let (keys, text) = ([key(7).public_key()], "aGVsbG8=");
        let by_stranger = STANDARD.encode(key(8).sign(text.as_bytes()));
        assert_eq!(verify_document(&keys, "a", text, &by_stranger), Err(DocumentSignatureError::Mismatch));
        assert_eq!(
            verify_document(&keys, "a", "no base64!", &by_stranger),
            Err(DocumentSignatureError::Mismatch)
        );
        let too_long = "A".repeat(SIGNATURE_TEXT_LEN_MAX + 4);
        for signature in ["", "%", "AAAA", &STANDARD.encode([1; 65]), &too_long] {
            let verdict = verify_document(&keys, "a", text, signature);
            assert_eq!(verdict, Err(DocumentSignatureError::Malformed { len: signature.len() }));
        }
    }
}
