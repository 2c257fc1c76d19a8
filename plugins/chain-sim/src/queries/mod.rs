//! What can be asked of the chain (chain 9): pure functions over the state of the last committed block.
//!
//! Owns their errors and their pagination. Answers carry raw stored scores.

mod action;
mod audit;
mod page;
mod supernode;

pub use action::{ActionFilter, ActionList, ActionType};
pub use audit::{HostReportRecord, ObservationRecord, ReportFilter};
pub use page::{DEFAULT_PAGE_LIMIT, PageQuery, Paged};
pub use supernode::{Eligibility, Payout, PoolState};

use std::fmt;

/// The gRPC status that a failed query answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueryCode {
    /// The request is malformed.
    InvalidArgument,
    /// There is no such record.
    NotFound,
    /// The store could not answer.
    Internal,
    /// An error without a status of its own.
    Unknown,
}

/// A failed query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// What to branch on.
    pub code: QueryCode,
    /// The chain's words.
    pub message: String,
}

impl QueryError {
    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self { code: QueryCode::InvalidArgument, message: message.into() }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { code: QueryCode::NotFound, message: message.into() }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { code: QueryCode::Internal, message: message.into() }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.code, self.message)
    }
}

impl std::error::Error for QueryError {}
