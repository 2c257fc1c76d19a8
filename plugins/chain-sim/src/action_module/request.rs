//! `MsgRequestAction` (chain Appendix C).

use super::{CASCADE_NAME, commitment, is_cascade};
use crate::address;
use crate::api::chain::TicketState;
use crate::event::Event;
use crate::message::{RequestAction, Response};
use crate::names;
use crate::protocol::account::{KeyType, PublicKey};
use crate::protocol::document_signature::{SignedForm, verify_document};
use crate::refusal::{Refusal, action, sdk};
use crate::state::State;
use crate::state::actions::{Action, CascadeMetadata};
use crate::state::bank::{ACTION_MODULE, DENOM};

/// What the stateless checks read from a request.
struct Request {
    metadata: CascadeMetadata,
    price_ulume: u64,
    expiration_time_s: i64,
    file_size_kbs: i64,
}

/// The cascade metadata of a message: JSON with plain numbers, without unknown fields.
pub(super) fn parse_metadata(text: &str) -> Result<CascadeMetadata, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("failed to unmarshal cascade metadata from JSON: {error}"))
}

/// The amount of a coin such as `10240ulume`.
fn parse_price_ulume(text: &str) -> Result<u64, Refusal> {
    if text.is_empty() {
        return Err(action::INVALID_PRICE.because("price cannot be empty"));
    }
    text.strip_suffix(DENOM)
        .filter(|amount| amount.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|amount| amount.parse().ok())
        .ok_or_else(|| {
            action::INVALID_PRICE.because(format!("invalid price format, {text:?} is not a coin of {DENOM}"))
        })
}

fn stateless(message: &RequestAction, creator: &str) -> Result<Request, Refusal> {
    if !address::is_account(creator) {
        return Err(sdk::INVALID_ADDRESS.because(format!("invalid creator address ({creator:?})")));
    }
    is_cascade(&message.action_type)?;
    let price_ulume = parse_price_ulume(&message.price)?;
    if message.expiration_time.is_empty() {
        return Err(action::INVALID_EXPIRATION.because("expiration_time cannot be empty"));
    }
    let Ok(expiration_time_s) = message.expiration_time.parse::<i64>() else {
        let words = format!("invalid expiration_time format, {:?}", message.expiration_time);
        return Err(action::INVALID_EXPIRATION.because(words));
    };
    if expiration_time_s < 0 {
        return Err(action::INVALID_EXPIRATION.because("expiration_time must be positive"));
    }
    if message.metadata.is_empty() {
        return Err(action::INVALID_METADATA.because("metadata cannot be empty"));
    }
    let metadata = required_metadata(&message.metadata)
        .map_err(|words| action::INVALID_METADATA.because(format!("metadata validation failed, {words}")))?;
    let size = message.file_size_kbs.as_str();
    let file_size_kbs = match if size.is_empty() { Ok(0) } else { size.parse::<i64>() } {
        Ok(size) if size >= 0 => size,
        Ok(_) => return Err(action::INVALID_FILE_SIZE.because("fileSizeKbs must be >= 0")),
        Err(_) => {
            return Err(action::INVALID_FILE_SIZE.because(format!("invalid fileSizeKbs format, {size:?}")));
        }
    };
    Ok(Request { metadata, price_ulume, expiration_time_s, file_size_kbs })
}

fn required_metadata(text: &str) -> Result<CascadeMetadata, String> {
    let metadata = parse_metadata(text)?;
    let required = [
        (metadata.data_hash.is_empty(), "data_hash"),
        (metadata.file_name.is_empty(), "file_name"),
        (metadata.rq_ids_ic == 0, "rq_ids_ic"),
        (metadata.signatures.is_empty(), "signatures"),
    ];
    match required.iter().find(|(is_missing, _)| *is_missing) {
        Some((_, name)) => Err(format!("{name} is required for cascade metadata")),
        None => Ok(metadata),
    }
}

impl State {
    pub(crate) fn request_action(
        &mut self,
        message: &RequestAction,
        creator: &str,
    ) -> Result<Response, Refusal> {
        let mut request = stateless(message, creator)?;
        self.request_fits_chain(message, &request, creator)?;
        let params = &self.action.params;
        request.metadata.rq_ids_max = params.max_raptor_q_symbols;
        if let Some(given) = &request.metadata.availability_commitment {
            commitment::validate(given, params.svc_challenge_count, params.svc_min_chunks_for_challenge)
                .map_err(|words| action::INVALID_METADATA.because(words))?;
        }
        self.creator_signed(&request.metadata.signatures, creator)
            .map_err(|words| action::INVALID_METADATA.because(words))?;
        self.action.last_action_id += 1;
        let action_id = self.action.last_action_id.to_string();
        // The balance was checked, so the transfer can't fail.
        let paid = self.bank.transfer(creator, &address::module_account(ACTION_MODULE), request.price_ulume);
        debug_assert!(paid, "the price was checked against the balance");
        let event = Event::new("action_registered")
            .with("action_id", &action_id)
            .with("creator", creator)
            .with("action_type", CASCADE_NAME)
            .with("fee", format!("{}{DENOM}", request.price_ulume));
        self.action.actions.insert(Action {
            action_id: action_id.clone(),
            creator: creator.to_owned(),
            metadata: request.metadata,
            price_ulume: request.price_ulume,
            expiration_time_s: request.expiration_time_s,
            state: TicketState::Pending,
            block_height: self.height,
            file_size_kbs: request.file_size_kbs,
            ..Action::default()
        });
        self.emit(event);
        Ok(Response::Action { action_id, status: names::action_state(TicketState::Pending).to_owned() })
    }

    /// The checks against accounts, time and parameters, in order.
    fn request_fits_chain(
        &self,
        message: &RequestAction,
        request: &Request,
        creator: &str,
    ) -> Result<(), Refusal> {
        if !self.bank.accounts.contains_key(creator) {
            return Err(action::INVALID_ADDRESS.because(format!("creator account not found: {creator}")));
        }
        // Interchain accounts are not simulated, so every creator is an ordinary account.
        if !message.app_pubkey.is_empty() {
            let words = "app_pubkey must be empty for non-interchain account creators";
            return Err(action::INVALID_APP_PUBKEY.because(words));
        }
        let params = &self.action.params;
        let now_s = self.block_time_ms.div_euclid(1000);
        let earliest_s = now_s.saturating_add(params.expiration_duration_s);
        let expiration_s = request.expiration_time_s;
        if expiration_s <= now_s {
            return Err(action::EXPIRED.because("expiration time must be in the future"));
        }
        if expiration_s < earliest_s {
            return Err(action::EXPIRED.because(format!(
                "expiration time must be at least {} seconds from current block time, but is {expiration_s} and the \
                 minimum is {earliest_s}",
                params.expiration_duration_s
            )));
        }
        let least = params.base_action_fee_ulume.saturating_add(params.fee_per_kbyte_ulume);
        let price = request.price_ulume;
        if price < least {
            let words = format!("price {price}{DENOM} is below the minimum {least}{DENOM}");
            return Err(sdk::INVALID_REQUEST.because(words));
        }
        let balance = self.bank.balance_ulume(creator);
        if balance == 0 {
            let words = format!("creator {creator} does not have a valid account or any spendable coins");
            return Err(sdk::INVALID_REQUEST.because(words));
        }
        if balance < price {
            return Err(sdk::INSUFFICIENT_FUNDS.because(format!(
                "creator {creator} needs at least {price}{DENOM} but only has {balance}{DENOM}"
            )));
        }
        Ok(())
    }

    /// Checks the creator's signature over the index document. Without a known key there is nothing to check it with,
    /// and the request passes: accounts of a simulation need no keys.
    fn creator_signed(&self, signatures: &str, creator: &str) -> Result<(), String> {
        let mut parts = signatures.split('.');
        let (Some(document), Some(signature), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err("invalid signature format".to_owned());
        };
        let Some(account) = self.bank.accounts.get(creator).filter(|account| !account.public_key.is_empty())
        else {
            return Ok(());
        };
        let key_type = KeyType::from_type_url(&account.public_key_type_url)
            .ok_or_else(|| format!("creator's key type {:?} is unknown", account.public_key_type_url))?;
        let key = PublicKey::from_bytes(key_type, &account.public_key)
            .map_err(|error| format!("creator's public key is not valid: {error}"))?;
        let failed = |reason: String| format!("failed to verify creator's signature: {reason}");
        match verify_document(&[key], creator, document, signature) {
            Ok(SignedForm::Text | SignedForm::TextInEnvelope) => Ok(()),
            // Nodes accept a signature over what the text encodes; the chain does not.
            Ok(SignedForm::Decoded | SignedForm::DecodedInEnvelope) => {
                Err(failed("it is over the decoded document, not over its base64 text".to_owned()))
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }
}
