//! What a node reads from the chain and what it submits.
//!
//! Owns the [`ChainClient`] seam, its types and its errors. The rules behind them are the chain's (the simulated chain
//! implements them); the bytes on the chain's wire belong to the plugin that speaks it.

mod client;
mod error;
mod message;
mod params;
mod records;
mod state;

pub use client::{
    AssignedTargets, ChainClient, ChainReader, ChainStatus, EpochInfo, PAGE_LIMIT_MAX, Page, PageRequest,
};
pub use error::{ChainError, Rejection, RejectionReason};
pub use message::{
    ChainMessage, EpochReportMessage, FinalizeTicketMessage, HealClaimMessage, HealVerificationMessage,
    RecheckEvidenceMessage, RequestTicketMessage, TxReceipt,
};
pub use params::{EnforcementMode, Params};
pub use records::{
    AccountInfo, EpochAnchor, EpochReport, HealOp, HealOpStatus, HostReport, PortState,
    StorageChallengeObservation, StorageProofResult, Supernode, SupernodeState, SupernodeStateSince, Ticket,
    TicketState,
};
pub use state::{NodeSuspicion, ReporterReliability, ReporterTrustBand, TicketDeterioration};
