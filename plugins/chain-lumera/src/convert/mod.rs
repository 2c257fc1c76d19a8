//! Between the chain's protobuf messages and the seam's plain types.
//!
//! Owns no rule but those of reading: a number without a name becomes "unspecified", as protobuf's own default would, and
//! what is missing although the chain always sends it is the answer's fault.

mod messages;
mod params;
mod records;

pub(crate) use messages::{encode, response_id, wrap};
pub(crate) use params::params;
pub(crate) use records::{
    account, anchor, deterioration, epoch_report, heal_op, is_cascade, reliability, supernode, suspicion,
    ticket,
};
