//! Why a message was refused, with the chain's codes and words (chain 0.2, Appendix C).
//!
//! Owns the registry of codes. Which check gives which code belongs to the modules of the rules.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A refused message: its code and both halves of its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The module that refused, such as `audit`; `undefined` for an error that is not registered.
    pub codespace: String,
    /// Its code.
    pub code: u32,
    /// What was wrong with this message.
    pub detail: String,
    /// The text that is registered for the code; empty for an error that is not registered.
    pub registered: String,
}

/// A registered error: codespace, code, text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode {
    /// The module that registers it.
    pub codespace: &'static str,
    /// Its code.
    pub code: u32,
    /// Its text.
    pub text: &'static str,
}

impl ErrorCode {
    /// A refusal with this code.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> Refusal {
        Refusal {
            codespace: self.codespace.to_owned(),
            code: self.code,
            detail: detail.into(),
            registered: self.text.to_owned(),
        }
    }
}

impl Refusal {
    /// An error that no module registers: codespace `undefined`, code 1 (chain 0.2).
    #[must_use]
    pub fn unregistered(detail: impl Into<String>) -> Self {
        Self { codespace: "undefined".to_owned(), code: 1, detail: detail.into(), registered: String::new() }
    }

    /// Whether it has this code.
    #[must_use]
    pub fn is(&self, code: ErrorCode) -> bool {
        self.codespace == code.codespace && self.code == code.code
    }

    /// The `raw_log` of the transaction whose message with this index was refused (chain 0.2).
    #[must_use]
    pub fn raw_log(&self, message_index: usize) -> String {
        format!("failed to execute message; message index: {message_index}: {self}")
    }
}

impl fmt::Display for Refusal {
    /// `<detail>: <registered text>` (chain 0.2).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.detail.is_empty(), self.registered.is_empty()) {
            (_, true) => formatter.write_str(&self.detail),
            (true, false) => formatter.write_str(&self.registered),
            (false, false) => write!(formatter, "{}: {}", self.detail, self.registered),
        }
    }
}

impl std::error::Error for Refusal {}

macro_rules! codes {
    ($codespace:literal { $($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)+ }) => {
        $(#[doc = concat!("`", $codespace, "/", $code, "`: ", $text, ".")]
        pub const $name: ErrorCode = ErrorCode { codespace: $codespace, code: $code, text: $text };)+
    };
}

/// The audit module's errors (chain 0.2).
pub mod audit {
    use super::ErrorCode;
    codes!("audit" {
        INVALID_SIGNER = 1, "invalid signer";
        INVALID_EPOCH_ID = 2, "invalid epoch id";
        DUPLICATE_REPORT = 4, "duplicate report";
        INVALID_PEER_OBSERVATIONS = 5, "invalid peer observations";
        INVALID_PORT_STATES_LENGTH = 6, "invalid port states length";
        REPORTER_NOT_FOUND = 7, "reporter supernode not found";
        INVALID_REPORTER_STATE = 8, "invalid reporter state";
        INVALID_STORAGE_PROOFS = 9, "invalid storage proof results";
        INVALID_RECHECK_EVIDENCE = 10, "invalid storage recheck evidence";
        HEAL_OP_NOT_FOUND = 11, "heal op not found";
        HEAL_OP_UNAUTHORIZED = 12, "heal op unauthorized actor";
        HEAL_OP_INVALID_STATE = 13, "heal op invalid state transition";
        HEAL_OP_TICKET_MISMATCH = 14, "heal op ticket mismatch";
        HEAL_VERIFICATION_EXISTS = 15, "heal verification already submitted";
        ARTIFACT_COUNT_MISMATCH = 16, "ticket artifact count mismatch";
        INVALID_HEAL_VERIFICATION = 17, "invalid heal verification";
        INVALID_HOST_METRIC = 18, "invalid host metric";
        INVALID_EVIDENCE_TYPE = 1101, "invalid evidence type";
        INVALID_EVIDENCE_METADATA = 1102, "invalid evidence metadata";
        INVALID_SUBJECT = 1103, "invalid subject address";
        INVALID_REPORTER = 1104, "invalid reporter address";
        INVALID_ACTION_ID = 1105, "invalid action id";
        NOT_IMPLEMENTED = 1200, "not implemented";
    });
}

/// The action module's errors (chain Appendix C).
pub mod action {
    use super::ErrorCode;
    codes!("action" {
        EXPIRED = 1, "action expired";
        INVALID_TYPE = 2, "invalid action type";
        NOT_FOUND = 3, "action not found";
        INVALID_METADATA = 4, "invalid metadata";
        INVALID_STATE = 5, "invalid action state";
        DUPLICATE = 6, "duplicate action";
        INVALID_SIGNATURE = 7, "invalid signature";
        INTERNAL = 8, "internal error occurred";
        INVALID_ID = 9, "invalid ID";
        UNAUTHORIZED_SUPERNODE = 10, "unauthorized supernode";
        INVALID_EXPIRATION = 11, "invalid expiration time";
        INVALID_PRICE = 12, "invalid price";
        INVALID_ADDRESS = 13, "invalid address";
        FINALIZATION = 14, "finalization error";
        INVALID_FILE_SIZE = 15, "invalid file size";
        INVALID_APP_PUBKEY = 16, "invalid app pubkey";
        WRONG_PROOF_COUNT = 17, "wrong chunk proof count";
        WRONG_CHALLENGE_INDEX = 18, "wrong challenge index";
        INVALID_MERKLE_PROOF = 19, "invalid merkle proof";
    });
}

/// The errors of the SDK that the modules use (chain 0.2).
pub mod sdk {
    use super::ErrorCode;
    codes!("sdk" {
        UNAUTHORIZED = 4, "unauthorized";
        INSUFFICIENT_FUNDS = 5, "insufficient funds";
        INVALID_ADDRESS = 7, "invalid address";
        INVALID_REQUEST = 18, "invalid request";
        NOT_FOUND = 38, "not found";
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_detail_and_then_the_registered_words() {
        let refusal = audit::DUPLICATE_REPORT.because("report already submitted for this epoch");
        assert_eq!(refusal.to_string(), "report already submitted for this epoch: duplicate report");
        assert_eq!(
            refusal.raw_log(0),
            "failed to execute message; message index: 0: report already submitted for this epoch: duplicate report"
        );
        assert_eq!(Refusal::unregistered("odd").to_string(), "odd");
    }
}
