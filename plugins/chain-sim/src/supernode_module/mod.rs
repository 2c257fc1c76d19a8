//! The supernode module: registration and states (chain Appendix B).
//!
//! Owns its messages and the transitions that the audit module asks for. Staking is reduced to what a registration
//! checks; hooks that follow a validator's fortunes are left out.

mod lifecycle;
mod register;

use crate::address;
use crate::api::chain::SupernodeState;
use crate::event::Event;
use crate::message::Response;
use crate::names;
use crate::refusal::{Refusal, sdk};
use crate::state::State;
use crate::state::supernodes::{SupernodeMetrics, SupernodeMetricsState, SupernodeRecord};

impl State {
    /// Disk usage above which a node is STORAGE_FULL, in percent.
    pub(crate) fn max_disk_usage_percent(&self) -> f64 {
        f64::from(u32::try_from(self.supernode.params.max_storage_usage_percent).unwrap_or(u32::MAX))
    }

    /// Postpones a node; nothing if it is postponed.
    pub(crate) fn postpone(&mut self, account: &str, reason: &str) {
        self.transition(account, SupernodeState::Postponed, "supernode_postponed", reason);
    }

    /// Makes a postponed node ACTIVE.
    pub(crate) fn recover(&mut self, account: &str) {
        self.transition(account, SupernodeState::Active, "supernode_recovered", "");
    }

    /// Makes a node STORAGE_FULL; nothing if it is.
    pub(crate) fn mark_storage_full(&mut self, account: &str) {
        self.transition(account, SupernodeState::StorageFull, "supernode_storage_full", "");
    }

    fn transition(&mut self, account: &str, state: SupernodeState, event: &str, reason: &str) {
        let Some(node) = self.supernode.supernodes.by_account(account) else { return };
        if node.state() == state {
            return;
        }
        let mut event = Event::new(event)
            .with("validator_address", &node.validator_address)
            .with("old_state", names::supernode_state(node.state()));
        if !reason.is_empty() {
            event = event.with("reason", reason);
        }
        let height = self.height;
        self.supernode.supernodes.append_state(account, state, height, reason);
        self.emit(event.with("height", height));
    }

    /// `MsgReportSupernodeMetrics`: stores the metrics and changes no state.
    pub(crate) fn report_metrics(
        &mut self,
        validator_address: &str,
        metrics: &SupernodeMetrics,
        creator: &str,
    ) -> Result<Response, Refusal> {
        operator_bytes(validator_address)?;
        let node = self.registered(validator_address)?;
        if node.supernode_account != creator {
            let words = format!("creator {creator} is not the supernode account of {validator_address}");
            return Err(sdk::UNAUTHORIZED.because(words));
        }
        let state = self.supernode.metrics.entry(validator_address.to_owned()).or_insert_with(|| {
            SupernodeMetricsState {
                validator_address: validator_address.to_owned(),
                ..SupernodeMetricsState::default()
            }
        });
        state.metrics = metrics.clone();
        state.height = self.height;
        state.report_count += 1;
        self.emit(Event::new("supernode_metrics_reported").with("validator_address", validator_address));
        Ok(Response::Metrics { compliant: true, issues: Vec::new() })
    }

    fn registered(&self, validator_address: &str) -> Result<&SupernodeRecord, Refusal> {
        self.supernode.supernodes.get(validator_address).ok_or_else(|| {
            sdk::NOT_FOUND.because(format!("no supernode found for validator {validator_address}"))
        })
    }
}

fn operator_bytes(validator_address: &str) -> Result<Vec<u8>, Refusal> {
    address::decode(address::OPERATOR_PREFIX, validator_address).ok_or_else(|| {
        sdk::INVALID_ADDRESS.because(format!("invalid validator address: {validator_address:?}"))
    })
}

/// The creator's bytes must be the operator's.
fn creator_is_operator(operator: &[u8], creator: &str) -> Result<(), Refusal> {
    let Some(bytes) = address::decode(address::ACCOUNT_PREFIX, creator) else {
        return Err(sdk::INVALID_ADDRESS.because(format!("invalid creator address: {creator:?}")));
    };
    if bytes == operator {
        return Ok(());
    }
    let owner = address::account(operator);
    Err(sdk::UNAUTHORIZED
        .because(format!("creator account {creator} is not the validator operator account {owner}")))
}
