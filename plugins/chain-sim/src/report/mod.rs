//! `MsgSubmitEpochReport` (chain 4).
//!
//! Owns the order of its checks and of what it writes. Scores are the scoring module's.

mod proofs;
mod store;
mod validate;

use crate::message::{EpochReport, Response};
use crate::refusal::Refusal;
use crate::state::State;

impl State {
    pub(crate) fn submit_epoch_report(
        &mut self,
        message: &EpochReport,
        creator: &str,
    ) -> Result<Response, Refusal> {
        let accepted = validate::validate(self, message, creator)?;
        store::store(self, accepted);
        Ok(Response::Empty)
    }
}
