//! Between the seam's types and the chain's.

use crate::api::chain::{
    AccountInfo, ChainError, ChainMessage, PAGE_LIMIT_MAX, Page, PageRequest, Rejection, Supernode,
    SupernodeStateSince, Ticket,
};
use crate::injection::rejection_reason;
use crate::message::{EpochReport, FinalizeAction, Message, RequestAction};
use crate::queries::{PageQuery, Paged, QueryCode, QueryError};
use crate::refusal::Refusal;
use crate::state::actions::{Action, CascadeMetadata};
use crate::state::bank::{BankAccount, DENOM};
use crate::state::supernodes::SupernodeRecord;
use crate::transaction::Transaction;
use sha2::{Digest as _, Sha256};

/// The chain's form of a message; `Unavailable` for one that it does not know.
pub(super) fn message(message: ChainMessage) -> Result<Message, ChainError> {
    let json = |metadata: &CascadeMetadata| {
        serde_json::to_string(metadata).map_err(|error| ChainError::InvalidRequest {
            reason: format!("the metadata has no JSON form: {error}"),
        })
    };
    Ok(match message {
        ChainMessage::EpochReport(report) => Message::EpochReport(EpochReport::from(report)),
        ChainMessage::RecheckEvidence(evidence) => Message::RecheckEvidence(evidence),
        ChainMessage::HealClaim(claim) => Message::HealClaim(claim),
        ChainMessage::HealVerification(vote) => Message::HealVerification(vote),
        ChainMessage::RequestTicket(request) => Message::RequestAction(RequestAction {
            action_type: "CASCADE".to_owned(),
            metadata: json(&CascadeMetadata {
                data_hash: request.data_hash,
                file_name: request.file_name,
                rq_ids_ic: request.rq_ids_ic,
                signatures: request.signatures,
                public: request.public,
                ..CascadeMetadata::default()
            })?,
            price: request.price,
            expiration_time: request.expiration_time_s.to_string(),
            file_size_kbs: request.file_size_kbs.to_string(),
            app_pubkey: Vec::new(),
        }),
        ChainMessage::FinalizeTicket(finalisation) => Message::FinalizeAction(FinalizeAction {
            action_id: finalisation.ticket_id,
            action_type: "CASCADE".to_owned(),
            metadata: json(&CascadeMetadata {
                rq_ids_ids: finalisation.rq_ids_ids,
                ..CascadeMetadata::default()
            })?,
        }),
        other => {
            let reason = format!("the simulated chain does not know messages of kind {}", other.kind());
            return Err(ChainError::Unavailable { reason });
        }
    })
}

/// Uppercase hex of a hash over everything that makes a transaction this one.
pub(super) fn tx_hash(chain_id: &str, number: u64, transaction: &Transaction) -> String {
    let mut hasher = Sha256::new();
    for part in [chain_id, &transaction.signer, &transaction.kinds()] {
        let part = part.as_bytes();
        hasher.update(part);
        hasher.update([0]);
    }
    hasher.update(number.to_be_bytes());
    hex::encode_upper(hasher.finalize())
}

pub(super) fn refusal(refusal: &Refusal) -> ChainError {
    let message = refusal.to_string();
    ChainError::Rejected(Rejection {
        reason: rejection_reason(&refusal.codespace, refusal.code, &message),
        codespace: refusal.codespace.clone(),
        code: refusal.code,
        message,
    })
}

pub(super) fn query_error(error: QueryError) -> ChainError {
    match error.code {
        QueryCode::NotFound => ChainError::NotFound { what: error.message },
        QueryCode::InvalidArgument | QueryCode::Internal | QueryCode::Unknown => {
            ChainError::InvalidRequest { reason: error.message }
        }
    }
}

pub(super) fn page_query(request: PageRequest) -> Result<PageQuery, ChainError> {
    if !(1..=PAGE_LIMIT_MAX).contains(&request.limit) {
        let reason = format!("a page of {} records: ask for 1 to {PAGE_LIMIT_MAX}", request.limit);
        return Err(ChainError::InvalidRequest { reason });
    }
    Ok(PageQuery {
        key: request.key.unwrap_or_default(),
        limit: u64::from(request.limit),
        ..PageQuery::default()
    })
}

pub(super) fn page<T, U>(page: Paged<T>, item: impl FnMut(T) -> U) -> Page<U> {
    let next_key = (!page.next_key.is_empty()).then_some(page.next_key);
    Page { items: page.items.into_iter().map(item).collect(), next_key }
}

pub(super) fn ticket(action: &Action) -> Ticket {
    let metadata = &action.metadata;
    Ticket {
        ticket_id: action.action_id.clone(),
        creator: action.creator.clone(),
        state: action.state,
        block_height: action.block_height,
        supernode_accounts: action.supernodes.clone(),
        file_size_kbs: action.file_size_kbs,
        price: format!("{}{DENOM}", action.price_ulume),
        expiration_time_s: action.expiration_time_s,
        data_hash: metadata.data_hash.clone(),
        file_name: metadata.file_name.clone(),
        rq_ids_ic: metadata.rq_ids_ic,
        rq_ids_max: metadata.rq_ids_max,
        rq_ids_ids: metadata.rq_ids_ids.clone(),
        signatures: metadata.signatures.clone(),
        public: metadata.public,
        index_artifact_count: metadata.index_artifact_count,
        symbol_artifact_count: metadata.symbol_artifact_count,
        app_pubkey: action.app_pubkey.clone(),
    }
}

pub(super) fn supernode(record: &SupernodeRecord) -> Supernode {
    // The state with the greatest height, the first of equals, as supernodes read it (wire 2.8).
    let latest = record.states.iter().rev().max_by_key(|state| state.height);
    Supernode {
        supernode_account: record.supernode_account.clone(),
        validator_address: record.validator_address.clone(),
        latest_address: record.latest_address().unwrap_or_default().to_owned(),
        p2p_port: record.p2p_port.clone(),
        state: latest.map(|latest| latest.state).unwrap_or_default(),
        state_reason: latest.map(|latest| latest.reason.clone()).unwrap_or_default(),
        state_height: latest.map(|latest| latest.height).unwrap_or_default(),
        states: record
            .states
            .iter()
            .map(|since| SupernodeStateSince { state: since.state, height: since.height })
            .collect(),
    }
}

pub(super) fn account(address: &str, account: &BankAccount) -> AccountInfo {
    AccountInfo {
        address: address.to_owned(),
        public_key: account.public_key.clone(),
        public_key_type_url: account.public_key_type_url.clone(),
        account_number: account.account_number,
        sequence: account.sequence,
    }
}
