//! `MsgRegisterSupernode` and `MsgUpdateSupernode`.

use super::{creator_is_operator, operator_bytes};
use crate::address;
use crate::api::chain::SupernodeState;
use crate::event::Event;
use crate::message::{RegisterSupernode, Response, UpdateSupernode};
use crate::names;
use crate::refusal::{Refusal, sdk};
use crate::state::State;
use crate::state::supernodes::{AccountRecord, AddressRecord, StateRecord, SupernodeRecord};

/// The note of a node that registers without one.
const DEFAULT_NOTE: &str = "1.0.0";
/// The port of a node that registers without one.
const DEFAULT_P2P_PORT: &str = "4445";

impl State {
    pub(crate) fn register_supernode(
        &mut self,
        message: &RegisterSupernode,
        creator: &str,
    ) -> Result<Response, Refusal> {
        let operator = message.validator_address.as_str();
        creator_is_operator(&operator_bytes(operator)?, creator)?;
        let existing = self.supernode.supernodes.get(operator).cloned();
        match existing.as_ref().map(SupernodeRecord::state) {
            Some(SupernodeState::Disabled) => {}
            Some(state @ (SupernodeState::Stopped | SupernodeState::Penalized)) => {
                let state = names::supernode_state(state);
                return Err(sdk::INVALID_REQUEST.because(format!(
                    "cannot re-register supernode in state {state} for validator {operator}"
                )));
            }
            Some(_) => {
                let words = format!("supernode already exists for validator {operator}");
                return Err(sdk::INVALID_REQUEST.because(words));
            }
            None => {}
        }
        if let Some(existing) = existing {
            self.validator_is_eligible(operator, &existing.supernode_account, "re-register")?;
            return Ok(self.reregister(existing));
        }
        self.validator_is_eligible(operator, &message.supernode_account, "register")?;
        self.new_record_is_valid(message)?;
        let record = new_record(message, self.height);
        let event = Event::new("supernode_registered")
            .with("validator_address", operator)
            .with("ip_address", &message.ip_address)
            .with("supernode_account", &message.supernode_account)
            .with("p2p_port", &record.p2p_port)
            .with("height", self.height);
        self.supernode.supernodes.insert(record);
        self.emit(event);
        Ok(Response::Empty)
    }

    /// DISABLED becomes ACTIVE; everything else stays.
    fn reregister(&mut self, mut record: SupernodeRecord) -> Response {
        let event = Event::new("supernode_registered")
            .with("validator_address", &record.validator_address)
            .with("ip_address", record.prev_ip_addresses.last().map_or("", |last| last.address.as_str()))
            .with("supernode_account", &record.supernode_account)
            .with("re_registered", true)
            .with("old_state", names::supernode_state(record.state()))
            .with("p2p_port", &record.p2p_port)
            .with("height", self.height);
        record.states.push(StateRecord {
            state: SupernodeState::Active,
            height: self.height,
            reason: String::new(),
        });
        self.supernode.supernodes.insert(record);
        self.emit(event);
        Response::Empty
    }

    fn validator_is_eligible(&self, operator: &str, account: &str, attempt: &str) -> Result<(), Refusal> {
        let Some(validator) = self.supernode.validators.get(operator) else {
            return Err(
                sdk::NOT_FOUND.because(format!("validator not found for operator address {operator}"))
            );
        };
        if validator.jailed {
            return Err(sdk::INVALID_REQUEST
                .because(format!("validator {operator} is jailed and cannot {attempt} a supernode")));
        }
        let own = validator.self_delegation_ulume;
        if own == 0 {
            return Err(sdk::INVALID_REQUEST.because(format!(
                "validator {operator} has no self-delegation; cannot meet minimum self-stake requirement"
            )));
        }
        let delegated = validator.delegations_ulume.get(account).copied().unwrap_or(0);
        let (total, required) =
            (own.saturating_add(delegated), self.supernode.params.minimum_stake_for_sn_ulume);
        if total < required {
            return Err(sdk::INVALID_REQUEST.because(format!(
                "validator {operator} does not meet minimum stake requirement. Required: {required}, got: {total} \
                 (self: {own}, supernode: {delegated})"
            )));
        }
        Ok(())
    }

    fn new_record_is_valid(&self, message: &RegisterSupernode) -> Result<(), Refusal> {
        if !address::is_account(&message.supernode_account) {
            return Err(sdk::INVALID_ADDRESS.because("invalid supernode account address"));
        }
        if message.ip_address.is_empty() {
            return Err(sdk::INVALID_REQUEST.because("ip address cannot be empty"));
        }
        self.account_is_free(&message.supernode_account, &message.validator_address)
    }

    /// One account belongs to one validator.
    fn account_is_free(&self, account: &str, operator: &str) -> Result<(), Refusal> {
        let owner = self.supernode.supernodes.by_account(account);
        if owner.is_some_and(|owner| owner.validator_address != operator) {
            return Err(sdk::INVALID_REQUEST
                .because(format!("supernode account {account} already associated with another validator")));
        }
        Ok(())
    }

    pub(crate) fn update_supernode(
        &mut self,
        message: &UpdateSupernode,
        creator: &str,
    ) -> Result<Response, Refusal> {
        let operator = operator_bytes(&message.validator_address)?;
        let mut record = self.registered(&message.validator_address)?.clone();
        creator_is_operator(&operator, creator)?;
        let account = &message.supernode_account;
        if !account.is_empty() {
            if !address::is_account(account) {
                return Err(sdk::INVALID_ADDRESS.because("invalid supernode account address"));
            }
            self.account_is_free(account, &message.validator_address)?;
        }
        let changed = change_record(&mut record, message, self.height);
        let event = Event::new("supernode_updated")
            .with("validator_address", &message.validator_address)
            .with("fields_updated", changed.join(","))
            .with("height", self.height);
        self.supernode.supernodes.insert(record);
        self.emit(event);
        Ok(Response::Empty)
    }
}

fn new_record(message: &RegisterSupernode, height: i64) -> SupernodeRecord {
    let p2p_port = if message.p2p_port.is_empty() { DEFAULT_P2P_PORT } else { &message.p2p_port };
    SupernodeRecord {
        validator_address: message.validator_address.clone(),
        supernode_account: message.supernode_account.clone(),
        states: vec![StateRecord { state: SupernodeState::Active, height, reason: String::new() }],
        prev_ip_addresses: vec![AddressRecord { address: message.ip_address.clone(), height }],
        prev_supernode_accounts: vec![AccountRecord { account: message.supernode_account.clone(), height }],
        note: DEFAULT_NOTE.to_owned(),
        p2p_port: p2p_port.to_owned(),
    }
}

/// Writes what the message names and answers the names of what changed.
fn change_record(record: &mut SupernodeRecord, message: &UpdateSupernode, height: i64) -> Vec<&'static str> {
    let mut changed = Vec::new();
    let address = &message.ip_address;
    if !address.is_empty() && record.prev_ip_addresses.last().is_none_or(|last| last.address != *address) {
        record.prev_ip_addresses.push(AddressRecord { address: address.clone(), height });
        changed.push("ip_address");
    }
    let account = &message.supernode_account;
    if !account.is_empty() && record.supernode_account != *account {
        record.prev_supernode_accounts.push(AccountRecord { account: account.clone(), height });
        record.supernode_account.clone_from(account);
        changed.push("supernode_account");
    }
    if !message.note.is_empty() && record.note != message.note {
        record.note.clone_from(&message.note);
        changed.push("note");
    }
    if !message.p2p_port.is_empty() && record.p2p_port != message.p2p_port {
        record.p2p_port.clone_from(&message.p2p_port);
        changed.push("p2p_port");
    }
    changed
}
