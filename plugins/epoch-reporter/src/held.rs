//! Why there is no report yet.
//!
//! Owns the reasons and their names in events and metrics.

use lampkeeper_plugin_sdk::api::chain::ChainError;
use lampkeeper_plugin_sdk::api::journal::JournalError;
use lampkeeper_plugin_sdk::api::telemetry::Level;

/// What a report waits for, or what prevented it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// The chain could not be read, or what it said does not fit together.
    ChainUnreadable,
    /// The parameters, and with them the mode, are not known. Reporting without the coverage check could forfeit the rows
    /// (closes wire 7.2, step 6).
    ModeUnknown,
    /// The chain does not know this node.
    NotRegistered,
    /// The challenger's rows are not complete yet.
    CoverageIncomplete,
    /// The same, and the epoch is nearly over.
    CoverageIncompleteLate,
    /// How full the store is can't be told.
    UsageUnknown,
    /// The journal could not be read or written.
    JournalFailed,
    /// The chain refused the report.
    Rejected,
    /// The submission failed and was certainly not executed.
    NotSubmitted,
    /// The submission may or may not have been executed.
    OutcomeUnknown,
    /// The time for one look ran out.
    TimedOut,
    /// The epoch is over and there is no report for it.
    EpochEnded,
}

impl Reason {
    /// The name in events and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ChainUnreadable => "chain_unreadable",
            Self::ModeUnknown => "mode_unknown",
            Self::NotRegistered => "not_registered",
            Self::CoverageIncomplete => "coverage_incomplete",
            Self::CoverageIncompleteLate => "coverage_incomplete_late",
            Self::UsageUnknown => "usage_unknown",
            Self::JournalFailed => "journal_failed",
            Self::Rejected => "rejected",
            Self::NotSubmitted => "not_submitted",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::TimedOut => "timed_out",
            Self::EpochEnded => "epoch_ended",
        }
    }

    /// How loudly it is said. Waiting for the challenger is what every epoch begins with.
    pub(crate) const fn level(self) -> Level {
        match self {
            Self::CoverageIncomplete => Level::Info,
            Self::NotRegistered | Self::EpochEnded => Level::Error,
            Self::ChainUnreadable
            | Self::ModeUnknown
            | Self::CoverageIncompleteLate
            | Self::UsageUnknown
            | Self::JournalFailed
            | Self::Rejected
            | Self::NotSubmitted
            | Self::OutcomeUnknown
            | Self::TimedOut => Level::Warn,
        }
    }
}

/// A look that ended without a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) reason: Reason,
    /// For people.
    pub(crate) detail: String,
}

impl Held {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    pub(crate) fn chain(attempted: &str, error: &ChainError) -> Self {
        Self::new(Reason::ChainUnreadable, format!("{attempted}: {error}"))
    }

    pub(crate) fn journal(attempted: &str, error: &JournalError) -> Self {
        Self::new(Reason::JournalFailed, format!("{attempted}: {error}"))
    }
}
