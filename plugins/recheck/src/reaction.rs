//! What follows from the outcome of a submission (wire 6.4).
//!
//! Owns the table. Nobody can ask the chain whether it has our evidence, so a row whose outcome is unknown is submitted again: the
//! chain refuses a second one with a reason of its own, which settles the matter.

use lampkeeper_plugin_sdk::api::chain::{ChainError, RejectionReason, TxReceipt};
use lampkeeper_plugin_sdk::api::challenge::Observation;
use lampkeeper_plugin_sdk::protocol::words::ResultClass;

/// What to do with the journal's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Executed: mark it.
    MarkSubmitted,
    /// Executed earlier: mark it.
    MarkEarlierSubmitted,
    /// Not known, or a matter of this node's client: keep it pending and submit it again.
    Keep,
    /// Refused: forget it, and count a failed attempt.
    Forget,
    /// Refused for what it is about, which will not change: forget it, and don't try again.
    GiveUp,
}

/// The reaction to an outcome.
pub(crate) fn reaction(outcome: &Result<TxReceipt, ChainError>) -> Reaction {
    let error = match outcome {
        Ok(_) => return Reaction::MarkSubmitted,
        Err(error) => error,
    };
    match error.rejection() {
        Some(RejectionReason::RecheckAlreadySubmitted) => Reaction::MarkEarlierSubmitted,
        // Somebody else's recheck was first, the challenged row is not (or no longer) there, or its epoch is forgotten.
        Some(RejectionReason::InvalidRecheckEvidence | RejectionReason::InvalidEpochId) => Reaction::GiveUp,
        Some(_) => Reaction::Forget,
        None if error.is_transient() || matches!(error, ChainError::Unavailable { .. }) => Reaction::Keep,
        None => Reaction::Forget,
    }
}

/// The class that is submitted for a row of the repeated challenge (wire 6.3); `None` for one that the chain takes
/// from nobody.
///
/// The observation decides whether the target really lacked the bytes, or sent others: both are a confirmed failure.
pub(crate) fn submitted_class(observation: Observation, row: ResultClass) -> Option<ResultClass> {
    match (observation, row) {
        (Observation::Pass, ResultClass::Pass) => Some(ResultClass::Pass),
        // A row that contradicts its observation would be evidence of nothing.
        (Observation::Pass, _) | (_, ResultClass::Pass) => None,
        (_, ResultClass::HashMismatch) => Some(ResultClass::RecheckConfirmedFail),
        (
            _,
            class @ (ResultClass::TimeoutOrNoResponse
            | ResultClass::ObserverQuorumFail
            | ResultClass::InvalidTranscript
            | ResultClass::RecheckConfirmedFail),
        ) => Some(class),
        (_, ResultClass::Unspecified | ResultClass::NoEligibleTicket) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::api::chain::Rejection;

    fn rejected(reason: RejectionReason) -> Result<TxReceipt, ChainError> {
        let message = "refused".to_owned();
        Err(ChainError::Rejected(Rejection { reason, codespace: "audit".to_owned(), code: 10, message }))
    }

    fn transient(outcome_unknown: bool) -> Result<TxReceipt, ChainError> {
        let (attempted, source) = ("submit".to_owned(), "reset".to_owned());
        Err(ChainError::Transient { attempted, source, outcome_unknown })
    }

    #[test]
    fn every_outcome_of_a_submission_has_its_reaction() {
        let text = || "x".to_owned();
        let table = [
            (Ok(TxReceipt::default()), Reaction::MarkSubmitted),
            (transient(false), Reaction::Keep),
            (transient(true), Reaction::Keep),
            (Err(ChainError::Unavailable { reason: text() }), Reaction::Keep),
            (rejected(RejectionReason::RecheckAlreadySubmitted), Reaction::MarkEarlierSubmitted),
            (rejected(RejectionReason::InvalidRecheckEvidence), Reaction::GiveUp),
            (rejected(RejectionReason::InvalidEpochId), Reaction::GiveUp),
            (rejected(RejectionReason::ReporterNotFound), Reaction::Forget),
            (rejected(RejectionReason::InvalidSigner), Reaction::Forget),
            (rejected(RejectionReason::InsufficientFunds), Reaction::Forget),
            (rejected(RejectionReason::Other), Reaction::Forget),
            (Err(ChainError::NotFound { what: text() }), Reaction::Forget),
            (Err(ChainError::InvalidRequest { reason: text() }), Reaction::Forget),
        ];
        for (outcome, expected) in table {
            assert_eq!(reaction(&outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn outcomes_are_mapped_to_what_is_submitted() {
        use ResultClass::{
            HashMismatch, InvalidTranscript, NoEligibleTicket, ObserverQuorumFail, Pass,
            RecheckConfirmedFail, TimeoutOrNoResponse, Unspecified,
        };
        let table = [
            (Observation::Pass, Pass, Some(Pass)),
            (Observation::WrongBytes, HashMismatch, Some(RecheckConfirmedFail)),
            (Observation::Missing, HashMismatch, Some(RecheckConfirmedFail)),
            (Observation::TimedOut, TimeoutOrNoResponse, Some(TimeoutOrNoResponse)),
            (Observation::Unreachable, TimeoutOrNoResponse, Some(TimeoutOrNoResponse)),
            (Observation::Refused, InvalidTranscript, Some(InvalidTranscript)),
            (Observation::Malformed, InvalidTranscript, Some(InvalidTranscript)),
            (Observation::Malformed, ObserverQuorumFail, Some(ObserverQuorumFail)),
            (Observation::WrongBytes, RecheckConfirmedFail, Some(RecheckConfirmedFail)),
            (Observation::Malformed, NoEligibleTicket, None),
            (Observation::Malformed, Unspecified, None),
            (Observation::Pass, HashMismatch, None),
            (Observation::WrongBytes, Pass, None),
        ];
        for (observation, row, expected) in table {
            assert_eq!(submitted_class(observation, row), expected, "{observation:?} as {row}");
        }
    }
}
