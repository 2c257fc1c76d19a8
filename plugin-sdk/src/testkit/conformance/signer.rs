//! What every [`Signer`] has to do.

use super::{CheckResult, Failure, Report, equal, holds};
use crate::protocol::account::{KeyType, PublicKey};
use lampkeeper_api::signer::Signer;
use std::sync::Arc;

/// The suite. `make` returns the signer of the same key each time.
pub async fn signer(make: impl AsyncFn() -> Arc<dyn Signer>) -> Report {
    let mut report = Report::new("signer");
    let signer = make().await;
    report.check("the key is a compressed one of a known type", async { key_of(&*signer).map(drop) }).await;
    report.check("the account is that of the key", account_is_of_key(&*signer)).await;
    report.check("signatures verify, at every length of message", signatures_verify(&*signer)).await;
    report.check("a signature is good for its message only", signatures_differ(&*signer)).await;
    let again = make().await;
    report.check("the same key comes back", same_key(&*signer, &*again)).await;
    report
}

fn key_of(signer: &dyn Signer) -> Result<PublicKey, Failure> {
    let type_url = signer.public_key_type_url();
    let unknown = || Failure { expected: "the type URL of a key".to_owned(), found: type_url.to_owned() };
    let key_type = KeyType::from_type_url(type_url).ok_or_else(unknown)?;
    Ok(PublicKey::from_bytes(key_type, &signer.public_key())?)
}

async fn account_is_of_key(signer: &dyn Signer) -> CheckResult {
    equal("account", signer.account().to_owned(), key_of(signer)?.account())
}

async fn signatures_verify(signer: &dyn Signer) -> CheckResult {
    let key = key_of(signer)?;
    // Nothing, one byte, around a block of a hash, more than any transcript.
    for len_bytes in [0, 1, 31, 32, 33, 63, 64, 65, 100_000] {
        let message = super::pattern(len_bytes, 1);
        let signature = signer.sign(&message)?;
        equal("length of the signature in bytes", signature.len(), 64)?;
        let verified = key.verify(&message, &signature);
        holds(&format!("the signature of {len_bytes} bytes verifies"), verified.is_ok())?;
    }
    Ok(())
}

async fn signatures_differ(signer: &dyn Signer) -> CheckResult {
    let key = key_of(signer)?;
    let (message, other) = (super::pattern(100, 1), super::pattern(100, 2));
    let signature = signer.sign(&message)?;
    holds("it does not verify for another message", key.verify(&other, &signature).is_err())?;
    // Signing a digest instead of the message would verify for the digest (wire 3.6).
    let digest = ::blake3::hash(&message);
    holds(
        "it does not verify for a digest of the message",
        key.verify(digest.as_bytes(), &signature).is_err(),
    )
}

async fn same_key(signer: &dyn Signer, again: &dyn Signer) -> CheckResult {
    equal("account", again.account().to_owned(), signer.account().to_owned())?;
    equal("key", again.public_key(), signer.public_key())?;
    equal("type", again.public_key_type_url().to_owned(), signer.public_key_type_url().to_owned())
}
