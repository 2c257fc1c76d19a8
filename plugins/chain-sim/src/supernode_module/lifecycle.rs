//! `MsgStartSupernode`, `MsgStopSupernode` and `MsgDeregisterSupernode`.

use super::{creator_is_operator, operator_bytes};
use crate::api::Account;
use crate::api::chain::SupernodeState;
use crate::event::Event;
use crate::message::Response;
use crate::names;
use crate::refusal::{Refusal, sdk};
use crate::state::State;

impl State {
    pub(crate) fn start_supernode(
        &mut self,
        validator_address: &str,
        creator: &str,
    ) -> Result<Response, Refusal> {
        let (account, old) = self.owned_node(validator_address, creator)?;
        let words = match old {
            SupernodeState::Stopped => {
                self.set_state(&account, SupernodeState::Active, "");
                let event = lifecycle_event("supernode_started", validator_address, old);
                self.emit(event.with("height", self.height).with("reason", "tx_start"));
                return Ok(Response::Empty);
            }
            SupernodeState::Disabled => "supernode is disabled and must be re-registered".to_owned(),
            SupernodeState::Active => "supernode is already started".to_owned(),
            SupernodeState::Penalized => "supernode is penalized and cannot be started".to_owned(),
            SupernodeState::Unspecified | SupernodeState::Postponed | SupernodeState::StorageFull => {
                format!("cannot start supernode from state={}", names::supernode_state(old))
            }
        };
        Err(sdk::INVALID_REQUEST.because(words))
    }

    pub(crate) fn stop_supernode(
        &mut self,
        validator_address: &str,
        reason: &str,
        creator: &str,
    ) -> Result<Response, Refusal> {
        let (account, old) = self.owned_node(validator_address, creator)?;
        match old {
            SupernodeState::Stopped => Err(sdk::INVALID_REQUEST.because("supernode is already stopped")),
            SupernodeState::Disabled => Err(sdk::INVALID_REQUEST.because("supernode is disabled")),
            _ => {
                self.set_state(&account, SupernodeState::Stopped, "");
                let event = Event::new("supernode_stopped")
                    .with("validator_address", validator_address)
                    .with("reason", reason)
                    .with("old_state", names::supernode_state(old));
                self.emit(event.with("height", self.height));
                Ok(Response::Empty)
            }
        }
    }

    pub(crate) fn deregister_supernode(
        &mut self,
        validator_address: &str,
        creator: &str,
    ) -> Result<Response, Refusal> {
        let operator = operator_bytes(validator_address)?;
        creator_is_operator(&operator, creator)?;
        let node = self.registered(validator_address)?;
        let (account, old) = (node.supernode_account.clone(), node.state());
        if old != SupernodeState::Disabled {
            self.set_state(&account, SupernodeState::Disabled, "");
        }
        let event = lifecycle_event("supernode_deregistered", validator_address, old);
        self.emit(event.with("height", self.height));
        Ok(Response::Empty)
    }

    /// The account and state of the operator's node, if the creator may speak for it.
    fn owned_node(
        &self,
        validator_address: &str,
        creator: &str,
    ) -> Result<(Account, SupernodeState), Refusal> {
        let operator = operator_bytes(validator_address)?;
        let node = self.registered(validator_address)?;
        creator_is_operator(&operator, creator)?;
        if node.states.is_empty() {
            return Err(sdk::INVALID_REQUEST.because("supernode is in an invalid state"));
        }
        Ok((node.supernode_account.clone(), node.state()))
    }

    fn set_state(&mut self, account: &str, state: SupernodeState, reason: &str) {
        let height = self.height;
        self.supernode.supernodes.append_state(account, state, height, reason);
    }
}

fn lifecycle_event(kind: &str, validator_address: &str, old: SupernodeState) -> Event {
    Event::new(kind)
        .with("validator_address", validator_address)
        .with("old_state", names::supernode_state(old))
}
