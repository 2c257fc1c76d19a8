//! Why a statement gave no answer.
//!
//! Owns the way from a database's errors to the seam's.

use crate::rows::Misfit;
use lampkeeper_plugin_sdk::api::EpochId;
use lampkeeper_plugin_sdk::api::journal::{JournalError, PROOF_ROWS_PER_EPOCH_MAX};

/// Why a query gave no answer.
#[derive(Debug)]
pub(crate) enum QueryError {
    /// The database failed.
    Database(diesel::result::Error),
    /// What should be written can't be.
    Invalid(Misfit),
    /// What was read makes no sense.
    Unreadable(Misfit),
    /// An epoch has too many rows waiting.
    TooManyRows(EpochId),
}

impl From<diesel::result::Error> for QueryError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error)
    }
}

impl QueryError {
    /// The journal's error for a failed attempt.
    pub(crate) fn of_attempt(self, attempted: String) -> JournalError {
        match self {
            Self::Database(diesel::result::Error::DeserializationError(error)) => {
                JournalError::Corrupt { attempted, reason: error.to_string() }
            }
            Self::Database(error) => JournalError::Io { attempted, reason: error.to_string() },
            Self::Invalid(reason) => JournalError::InvalidRow { attempted, reason },
            Self::Unreadable(reason) => JournalError::Corrupt { attempted, reason },
            Self::TooManyRows(epoch_id) => {
                JournalError::TooManyRows { epoch_id, max: PROOF_ROWS_PER_EPOCH_MAX }
            }
        }
    }
}
