//! Why the chain refused, in the seam's words (wire 10.1, 10.3).
//!
//! Owns the only place in the whole node that reads a chain's text, and that only where there is no code: a failed
//! simulation answers with words alone. With a code, words are looked at to tell apart what shares a code.

use lampkeeper_plugin_sdk::api::chain::{ChainError, Rejection, RejectionReason};

/// The codespace of the transaction pipeline.
pub(crate) const SDK: &str = "sdk";
/// `sdk/11`: the gas did not suffice.
pub(crate) const OUT_OF_GAS: u32 = 11;
/// `sdk/19`: the transaction waits for its block already.
pub(crate) const ALREADY_IN_MEMPOOL: u32 = 19;
/// `sdk/20`: too many transactions wait.
pub(crate) const MEMPOOL_IS_FULL: u32 = 20;
/// `sdk/30`: the transaction's last block is over.
pub(crate) const TIMEOUT_HEIGHT: u32 = 30;
/// `sdk/32`: it is another transaction's turn.
pub(crate) const WRONG_SEQUENCE: u32 = 32;

/// What a transaction was refused with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) codespace: String,
    pub(crate) code: u32,
    pub(crate) words: String,
}

/// The longest refusal that is kept, in characters.
const WORDS_LEN_MAX: usize = 1000;

impl Refusal {
    pub(crate) fn new(codespace: &str, code: u32, words: &str) -> Self {
        let words = words.chars().take(WORDS_LEN_MAX).collect();
        Self { codespace: codespace.to_owned(), code, words }
    }

    /// Whether the pipeline refused with this code.
    pub(crate) fn is_sdk(&self, code: u32) -> bool {
        self.codespace == SDK && self.code == code
    }

    /// The sequence that the chain expected, if it said so (wire 10.6, step 4).
    pub(crate) fn expected_sequence(&self) -> Option<u64> {
        let (_, after) = self.words.split_once("expected ")?;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }

    /// What a failed simulation says, which comes as words only (wire 10.3).
    pub(crate) fn from_simulation(words: &str) -> Self {
        // `<words> with gas used: '<number>'`, as the chain's node adds.
        let meant = words.rsplit_once(" with gas used:").map_or(words, |(before, _)| before).trim_end();
        let lower = meant.to_ascii_lowercase();
        let named = REGISTERED.iter().find(|(_, _, text)| is_said(&lower, text));
        match named {
            Some((codespace, code, _)) => Self::new(codespace, *code, meant),
            None => Self::new("undefined", 1, meant),
        }
    }

    pub(crate) fn into_error(self) -> ChainError {
        let reason = self.reason();
        let Self { codespace, code, words } = self;
        ChainError::Rejected(Rejection { reason, codespace, code, message: words })
    }

    /// The reason, with the conditions that share a code told apart (wire 10.3).
    fn reason(&self) -> RejectionReason {
        let lower = self.words.to_ascii_lowercase();
        match (self.codespace.as_str(), self.code) {
            ("audit", 10) if lower.contains("recheck evidence already submitted") => {
                RejectionReason::RecheckAlreadySubmitted
            }
            ("audit", 13) if lower.contains("heal op") && lower.contains("deadline") => {
                RejectionReason::HealOpPastDeadline
            }
            (codespace, code) => RejectionReason::from_code(codespace, code),
        }
    }
}

/// An error prints as `<detail>: <registered text>` (chain 0.2), so the registered text is what it ends with.
fn is_said(words: &str, registered: &str) -> bool {
    words.strip_suffix(registered).is_some_and(|before| before.is_empty() || before.ends_with(": "))
}

/// The registered texts (chain 0.2, chain Appendix C, wire 10.1).
const REGISTERED: [(&str, u32, &str); 51] = [
    ("audit", 1, "invalid signer"),
    ("audit", 2, "invalid epoch id"),
    ("audit", 4, "duplicate report"),
    ("audit", 5, "invalid peer observations"),
    ("audit", 6, "invalid port states length"),
    ("audit", 7, "reporter supernode not found"),
    ("audit", 8, "invalid reporter state"),
    ("audit", 9, "invalid storage proof results"),
    ("audit", 10, "invalid storage recheck evidence"),
    ("audit", 11, "heal op not found"),
    ("audit", 12, "heal op unauthorized actor"),
    ("audit", 13, "heal op invalid state transition"),
    ("audit", 14, "heal op ticket mismatch"),
    ("audit", 15, "heal verification already submitted"),
    ("audit", 16, "ticket artifact count mismatch"),
    ("audit", 17, "invalid heal verification"),
    ("audit", 18, "invalid host metric"),
    ("audit", 1101, "invalid evidence type"),
    ("audit", 1102, "invalid evidence metadata"),
    ("audit", 1103, "invalid subject address"),
    ("audit", 1104, "invalid reporter address"),
    ("audit", 1105, "invalid action id"),
    ("audit", 1200, "not implemented"),
    ("action", 1, "action expired"),
    ("action", 2, "invalid action type"),
    ("action", 3, "action not found"),
    ("action", 4, "invalid metadata"),
    ("action", 5, "invalid action state"),
    ("action", 6, "duplicate action"),
    ("action", 7, "invalid signature"),
    ("action", 8, "internal error occurred"),
    ("action", 9, "invalid id"),
    ("action", 10, "unauthorized supernode"),
    ("action", 11, "invalid expiration time"),
    ("action", 12, "invalid price"),
    ("action", 13, "invalid address"),
    ("action", 14, "finalization error"),
    ("action", 15, "invalid file size"),
    ("action", 16, "invalid app pubkey"),
    ("action", 17, "wrong chunk proof count"),
    ("action", 18, "wrong challenge index"),
    ("action", 19, "invalid merkle proof"),
    (SDK, 4, "unauthorized"),
    (SDK, 5, "insufficient funds"),
    (SDK, OUT_OF_GAS, "out of gas"),
    (SDK, 13, "insufficient fee"),
    (SDK, 18, "invalid request"),
    (SDK, MEMPOOL_IS_FULL, "mempool is full"),
    (SDK, TIMEOUT_HEIGHT, "tx timeout height"),
    (SDK, WRONG_SEQUENCE, "incorrect account sequence"),
    (SDK, 38, "not found"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(codespace: &str, code: u32, words: &str) -> RejectionReason {
        Refusal::new(codespace, code, words).reason()
    }

    #[test]
    fn a_code_decides_whatever_the_words_say() {
        for (codespace, code, words, expected) in [
            ("audit", 4, "heal op not found", RejectionReason::DuplicateReport),
            ("audit", 11, "", RejectionReason::HealOpNotFound),
            ("audit", 15, "duplicate report", RejectionReason::VerificationAlreadySubmitted),
            ("audit", 13, "out of gas", RejectionReason::HealOpInvalidState),
            ("audit", 13, "Heal op 7 is past its deadline", RejectionReason::HealOpPastDeadline),
            ("audit", 10, "no such row", RejectionReason::InvalidRecheckEvidence),
            ("audit", 10, "recheck evidence already submitted: x", RejectionReason::RecheckAlreadySubmitted),
            ("action", 11, "heal op not found", RejectionReason::Other),
            ("undefined", 1, "duplicate report", RejectionReason::Other),
        ] {
            assert_eq!(reason(codespace, code, words), expected, "{codespace}/{code} {words}");
        }
    }

    #[test]
    fn a_failed_simulation_is_typed_by_the_registered_text_at_its_end() {
        let head = "failed to execute message; message index: 0: ";
        for (words, codespace, code) in [
            ("report already submitted for this epoch: duplicate report", "audit", 4),
            ("heal op not found with gas used: '51234'", "audit", 11),
            ("heal op 3 not found: heal op not found with gas used: '51234'", "audit", 11),
            ("actor: heal op unauthorized actor", "audit", 12),
            ("signature: unauthorized", "sdk", 4),
            ("account sequence mismatch, expected 7, got 5: incorrect account sequence", "sdk", 32),
            ("the words duplicate report in the middle: of something else", "undefined", 1),
            ("not a duplicate report", "undefined", 1),
            ("", "undefined", 1),
        ] {
            let refusal = Refusal::from_simulation(&format!("{head}{words}"));
            assert_eq!((refusal.codespace.as_str(), refusal.code), (codespace, code), "{words}");
        }
    }

    #[test]
    fn every_reason_of_the_seam_is_reached_from_its_registered_text() {
        for (codespace, code, text) in REGISTERED {
            let refusal = Refusal::from_simulation(&format!("detail: {text}"));
            assert_eq!((refusal.codespace.as_str(), refusal.code), (codespace, code), "{text}");
        }
    }

    #[test]
    fn the_expected_sequence_is_read_where_it_is_said() {
        for (words, expected) in [
            ("account sequence mismatch, expected 7, got 5: incorrect account sequence", Some(7)),
            ("expected 18446744073709551616, got 1", None),
            ("expected nothing", None),
            ("incorrect account sequence", None),
        ] {
            assert_eq!(Refusal::new(SDK, WRONG_SEQUENCE, words).expected_sequence(), expected, "{words}");
        }
    }
}
