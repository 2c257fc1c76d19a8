//! What became of a message, a query or a call.

use super::problem::Problem;
use super::value::Value;
use crate::BlockError;
use crate::api::chain::ChainError;
use crate::refusal::Refusal;

/// An answer, or a refusal with its code and words.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Answer(Value),
    Refused {
        /// `audit/9`, a gRPC status such as `NotFound`, or a kind of client error such as `transient`.
        code: String,
        text: String,
    },
}

impl Outcome {
    pub(super) fn of(answer: &impl serde::Serialize) -> Result<Self, Problem> {
        Ok(Self::Answer(Value::of(answer)?))
    }

    pub(super) fn of_refusal(refusal: &Refusal) -> Self {
        Self::Refused { code: format!("{}/{}", refusal.codespace, refusal.code), text: refusal.to_string() }
    }

    /// The refusal of a pure function, which has words only.
    pub(super) fn of_words(text: impl ToString) -> Self {
        Self::Refused { code: "undefined/1".to_owned(), text: text.to_string() }
    }

    /// The chain halted.
    pub(super) fn of_block_error(error: &BlockError) -> Self {
        Self::Refused { code: "block".to_owned(), text: error.to_string() }
    }

    /// What a client was told. A refusal by the chain keeps its code.
    pub(super) fn of_client_error(error: &ChainError) -> Self {
        let code = match error {
            ChainError::Rejected(rejection) => format!("{}/{}", rejection.codespace, rejection.code),
            ChainError::Transient { outcome_unknown: true, .. } => "outcome_unknown".to_owned(),
            other => other.kind().to_owned(),
        };
        Self::Refused { code, text: error.to_string() }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer(value) => write!(formatter, "accepted: {value}"),
            Self::Refused { code, text } => write!(formatter, "refused with {code}: {text}"),
        }
    }
}
