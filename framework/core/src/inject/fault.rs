//! Calls that fail with an error of their seam.
//!
//! A fault is an answer like one from a recording: the error as the seam's type has it.

use lampkeeper_api::chain::ChainError;
use lampkeeper_api::challenge::ChallengeError;
use lampkeeper_api::guard::{Decision, Method, Unavailable, UnavailableReason};
use lampkeeper_api::heal::HealError;
use lampkeeper_api::journal::JournalError;
use lampkeeper_api::network::NetworkError;
use lampkeeper_api::plugin::Seam;
use lampkeeper_api::signer::SignError;
use lampkeeper_api::store::StoreError;
use lampkeeper_api::transport::CallError;
use serde::Serialize;

/// The word for a plugin that can't be called; every seam has it.
const UNAVAILABLE: &str = "unavailable";
/// What an injected error says.
const SAID: &str = "injected by the manifest";

/// The words for errors of a seam, as `error` in a manifest; the first is the one without the key.
pub(crate) fn fault_words(seam: Seam) -> &'static [&'static str] {
    match seam {
        Seam::ChainRead => &[UNAVAILABLE, "transient", "not-found"],
        Seam::ChainSubmit => &[UNAVAILABLE, "transient", "outcome-unknown"],
        Seam::Store | Seam::Staging => &[UNAVAILABLE, "transient", "full"],
        Seam::Transport => &[UNAVAILABLE, "transient", "unreachable", "timed-out"],
        Seam::Network => &[UNAVAILABLE, "transient", "no-members"],
        Seam::Signer => &[UNAVAILABLE, "failed"],
        _ => &[UNAVAILABLE, "transient"],
    }
}

/// The fault that a word stands for.
pub(super) fn decide(seam: Seam, word: &str, provider_id: &str, method: &Method) -> Decision {
    match error(seam, word, method.name) {
        Some(text) => Decision::Answer(text),
        None => Decision::Refuse(Unavailable {
            plugin_id: provider_id.to_owned(),
            reason: UnavailableReason::Refused(SAID.to_owned()),
        }),
    }
}

/// The answer with the error, as JSON; `None` for the error of a plugin that can't be called.
fn error(seam: Seam, word: &str, method: &str) -> Option<String> {
    let (attempted, reason) = (|| method.to_owned(), || SAID.to_owned());
    match (seam, word) {
        (_, UNAVAILABLE) => None,
        (Seam::ChainRead, "not-found") => failed(ChainError::NotFound { what: reason() }),
        (Seam::ChainRead | Seam::ChainSubmit, word) => failed(ChainError::Transient {
            attempted: attempted(),
            source: reason(),
            outcome_unknown: word == "outcome-unknown",
        }),
        (Seam::Store | Seam::Staging, "full") => failed(StoreError::Full { attempted: attempted() }),
        (Seam::Store | Seam::Staging, _) => {
            failed(StoreError::Io { attempted: attempted(), reason: reason() })
        }
        (Seam::Journal, _) => failed(JournalError::Io { attempted: attempted(), reason: reason() }),
        (Seam::Transport, "unreachable") => {
            failed(CallError::Unreachable { peer: "a peer".to_owned(), reason: reason() })
        }
        (Seam::Transport, "timed-out") => {
            failed(CallError::TimedOut { peer: "a peer".to_owned(), timeout_ms: 0 })
        }
        (Seam::Transport, _) => failed(CallError::Broken { peer: "a peer".to_owned(), reason: reason() }),
        (Seam::Network, "no-members") => failed(NetworkError::NoMembers),
        (Seam::Network, _) => {
            failed(NetworkError::Store(StoreError::Io { attempted: attempted(), reason: reason() }))
        }
        (Seam::Signer, _) => failed(SignError { account: String::new(), reason: reason() }),
        (Seam::HealStrategy | Seam::HealShadow, _) => {
            failed(HealError::Retry { attempted: attempted(), reason: reason() })
        }
        (Seam::Challenger, _) => {
            failed(ChallengeError::Ours { stage: attempted(), reason: reason(), transient: true })
        }
        _ => None,
    }
}

fn failed<E: Serialize>(error: E) -> Option<String> {
    serde_json::to_string(&Err::<(), E>(error)).ok()
}
