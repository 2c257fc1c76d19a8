//! The base services (chain 9.4): blocks, accounts, balances, transactions, simulation.
//!
//! What the state knows is answered from the state; blocks and transactions from what the chain remembers of them.

use super::arguments::Arguments;
use super::messages::sent;
use super::network::event_value;
use super::outcome::Outcome;
use super::problem::Problem;
use super::questions::{refused, table};
use super::value::{Kind, Value};
use crate::State;
use crate::chain::{BlockRecord, Shared, TxRecord};
use crate::queries::{QueryCode, QueryError};
use crate::state::bank::DENOM;
use crate::transaction::merged;

/// Asks what only the running chain knows; `None` for any other query.
pub(super) fn ask_chain(
    shared: &Shared,
    name: &str,
    arguments: &mut Arguments,
) -> Result<Option<Outcome>, Problem> {
    Ok(Some(match name {
        "LatestBlock" => block(shared, shared.state.height)?,
        "BlockByHeight" => {
            let height: i64 = arguments.read_required("height")?;
            if height <= 0 || height > shared.state.height {
                let message = format!("height {height} is not one of 1 to {}", shared.state.height);
                return Ok(Some(refused(&QueryError { code: QueryCode::InvalidArgument, message })));
            }
            block(shared, height)?
        }
        "GetTx" => {
            let hash: String = arguments.read_required("hash")?;
            match shared.ledger.transaction(&hash) {
                Some(record) => transaction(record)?,
                None => refused(&QueryError::not_found(format!("tx not found: {hash}"))),
            }
        }
        "Simulate" => {
            let sent = sent(&shared.state, arguments.required("transaction")?)?;
            match merged(&shared.state.simulate(&sent.transaction)) {
                Ok(delivered) => Outcome::Answer(table(vec![
                    ("response", Value::of(&delivered.response)?),
                    ("events", Kind::List(delivered.events.iter().map(event_value).collect()).into()),
                ])),
                Err(refusal) => Outcome::of_refusal(&refusal),
            }
        }
        _ => return Ok(None),
    }))
}

/// Asks the state for an account, a balance or its own name.
pub(super) fn ask(state: &State, name: &str, arguments: &mut Arguments) -> Result<Outcome, Problem> {
    match name {
        "NodeInfo" => Ok(Outcome::Answer(table(vec![("network", state.chain_id.as_str().into())]))),
        "Account" => {
            let address: String = arguments.read("address")?;
            match state.bank.accounts.get(&address) {
                Some(account) => Ok(Outcome::Answer(table(vec![
                    ("address", address.into()),
                    ("account_number", Value::integer(account.account_number)),
                    ("sequence", Value::integer(account.sequence)),
                    ("public_key", hex::encode(&account.public_key).into()),
                    ("public_key_type_url", account.public_key_type_url.as_str().into()),
                ]))),
                None => Ok(refused(&QueryError::not_found(format!("account {address} not found")))),
            }
        }
        _ => {
            let address: String = arguments.read("address")?;
            let denom: String =
                arguments.read::<Option<String>>("denom")?.unwrap_or_else(|| DENOM.to_owned());
            let balance = if denom == DENOM { state.bank.balance_ulume(&address) } else { 0 };
            Ok(Outcome::Answer(Value::integer(balance)))
        }
    }
}

/// A block that was made. One that was only planted is known by its height and time.
fn block(shared: &Shared, height: i64) -> Result<Outcome, Problem> {
    let state = &shared.state;
    let planted = BlockRecord {
        height,
        header_hash: state.header_hash(height),
        block_time_ms: state.block_time_ms,
        ..BlockRecord::default()
    };
    let record = match shared.ledger.block(height) {
        Some(record) => record,
        None if height == state.height => &planted,
        None => return Ok(refused(&QueryError::not_found(format!("no block was made at height {height}")))),
    };
    Ok(Outcome::Answer(table(vec![
        ("height", Value::integer(record.height)),
        ("header_hash", hex::encode(record.header_hash).into()),
        ("block_time_ms", Value::integer(record.block_time_ms)),
        ("tx_hashes", Value::of(&record.tx_hashes)?),
    ])))
}

fn transaction(record: &TxRecord) -> Result<Outcome, Problem> {
    Ok(Outcome::Answer(table(vec![
        ("tx_hash", record.tx_hash.as_str().into()),
        ("height", Value::integer(record.height)),
        ("index", Value::integer(record.index)),
        ("block_time_ms", Value::integer(record.block_time_ms)),
        ("signer", record.signer.as_str().into()),
        ("code", Value::integer(record.code())),
        ("codespace", record.codespace().into()),
        ("raw_log", record.raw_log().into()),
        ("responses", Value::of(&record.responses().collect::<Vec<_>>())?),
        ("events", Kind::List(record.events().map(|(_, event)| event_value(event)).collect()).into()),
    ])))
}
