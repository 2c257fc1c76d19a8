//! The services that every chain of this kind has: accounts, balances, transactions, blocks (wire 2.10, chain 9.4).

use crate::chain::{DevChain, ExecutedTx};
use crate::records;
use crate::router::Router;
use lampkeeper_chain_sim::Event;
use lampkeeper_chain_sim::state::bank::{BankAccount, DENOM};
use lampkeeper_proto::calls::{auth, bank, tendermint, tx, upgrade};
use lampkeeper_proto::cosmos::auth::v1beta1 as auth_wire;
use lampkeeper_proto::cosmos::bank::v1beta1 as bank_wire;
use lampkeeper_proto::cosmos::base::abci::v1beta1 as abci;
use lampkeeper_proto::cosmos::base::tendermint::v1beta1 as blocks;
use lampkeeper_proto::cosmos::crypto::secp256k1::PubKey;
use lampkeeper_proto::cosmos::tx::v1beta1 as tx_wire;
use lampkeeper_proto::cosmos::upgrade::v1beta1 as upgrade_wire;
use lampkeeper_proto::tendermint::{abci as tendermint_abci, p2p, types};
use prost::Message as _;
use prost_types::{Any, Timestamp};
use tonic::Status;

/// The most transactions that a search answers.
const SEARCH_LIMIT_MAX: u64 = 100;

pub(super) fn answer(router: &mut Router) {
    accounts(router);
    transactions(router);
    chain_node(router);
    router.answer(upgrade::MODULE_VERSIONS, |chain, request| {
        Ok(module_versions(&request.module_name, chain.options().evm_module))
    });
}

fn accounts(router: &mut Router) {
    router.answer(auth::ACCOUNT_INFO, |chain, request| {
        Ok(auth_wire::QueryAccountInfoResponse { info: Some(base_account(chain, &request.address)?) })
    });
    router.answer(auth::ACCOUNT, |chain, request| {
        let account = Any::from_msg(&base_account(chain, &request.address)?);
        let account = account.map_err(|error| Status::internal(error.to_string()))?;
        Ok(auth_wire::QueryAccountResponse { account: Some(account) })
    });
    router.answer(bank::BALANCE, |chain, request| {
        let balance = balance(chain, &request.address, &request.denom);
        Ok(bank_wire::QueryBalanceResponse { balance: Some(balance) })
    });
    router.answer(bank::SPENDABLE_BALANCE_BY_DENOM, |chain, request| {
        let balance = balance(chain, &request.address, &request.denom);
        Ok(bank_wire::QuerySpendableBalanceByDenomResponse { balance: Some(balance) })
    });
}

fn base_account(chain: &DevChain, address: &str) -> Result<auth_wire::BaseAccount, Status> {
    let account = chain.read(|state| state.bank.accounts.get(address).cloned());
    let account = account.ok_or_else(|| Status::not_found(format!("account {address} not found")))?;
    Ok(auth_wire::BaseAccount {
        address: address.to_owned(),
        pub_key: public_key(&account),
        account_number: account.account_number,
        sequence: account.sequence,
    })
}

fn public_key(account: &BankAccount) -> Option<Any> {
    (!account.public_key.is_empty()).then(|| Any {
        type_url: account.public_key_type_url.clone(),
        value: PubKey { key: account.public_key.clone() }.encode_to_vec(),
    })
}

fn balance(chain: &DevChain, address: &str, denom: &str) -> lampkeeper_proto::cosmos::base::v1beta1::Coin {
    let ulume = chain.read(|state| state.bank.balance_ulume(address));
    let mut coin = records::coin(if denom == DENOM { ulume } else { 0 });
    denom.clone_into(&mut coin.denom);
    coin
}

fn transactions(router: &mut Router) {
    router.answer(tx::SIMULATE, |chain, request| {
        // As the SDK does: words, and no code (wire 10.3).
        let simulated = chain.simulate(&request.tx_bytes).map_err(Status::unknown)?;
        Ok(tx_wire::SimulateResponse {
            gas_info: Some(abci::GasInfo { gas_wanted: 0, gas_used: simulated.gas_used }),
            result: Some(abci::Result {
                data: simulated.data,
                log: String::new(),
                events: simulated.events.iter().map(event).collect(),
                msg_responses: Vec::new(),
            }),
        })
    });
    router.answer(tx::BROADCAST_TX, |chain, request| {
        if request.mode != tx_wire::BroadcastMode::Sync as i32 {
            return Err(Status::invalid_argument("only BROADCAST_MODE_SYNC is answered"));
        }
        let taken = chain.broadcast(&request.tx_bytes);
        let mut response = abci::TxResponse { txhash: taken.hash, ..abci::TxResponse::default() };
        if let Some(refusal) = taken.refusal {
            response.raw_log = refusal.to_string();
            response.codespace = refusal.codespace;
            response.code = refusal.code;
        }
        Ok(tx_wire::BroadcastTxResponse { tx_response: Some(response) })
    });
    router.answer(tx::GET_TX, |chain, request| {
        let executed = chain.transaction(&request.hash);
        let executed =
            executed.ok_or_else(|| Status::not_found(format!("tx not found: {}", request.hash)))?;
        Ok(tx_wire::GetTxResponse { tx: decoded(&executed), tx_response: Some(tx_response(&executed)) })
    });
    router.answer(tx::GET_TXS_EVENT, search);
}

/// Searches by one condition, `kind.attribute='value'`: latest first.
fn search(
    chain: &DevChain,
    request: tx_wire::GetTxsEventRequest,
) -> Result<tx_wire::GetTxsEventResponse, Status> {
    let unreadable = || Status::invalid_argument("a query is one condition, kind.attribute='value'");
    let (name, value) = request.query.split_once('=').ok_or_else(unreadable)?;
    let (kind, attribute) = name.trim().rsplit_once('.').ok_or_else(unreadable)?;
    let value =
        value.trim().strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).ok_or_else(unreadable)?;
    let limit = if request.limit == 0 { SEARCH_LIMIT_MAX } else { request.limit.min(SEARCH_LIMIT_MAX) };
    let skipped = request.page.saturating_sub(1).saturating_mul(limit);
    let (skipped, limit) = (usize::try_from(skipped), usize::try_from(limit));
    let (Ok(skipped), Ok(limit)) = (skipped, limit) else { return Err(unreadable()) };
    let matches = |executed: &ExecutedTx| {
        let mut of_kind = executed.events.iter().filter(|event| event.kind == kind);
        of_kind.any(|event| event.attribute(attribute) == Some(value))
    };
    let found = chain.transactions(usize::MAX, matches);
    let page = found.iter().skip(skipped).take(limit);
    Ok(tx_wire::GetTxsEventResponse {
        txs: page.clone().filter_map(decoded).collect(),
        tx_responses: page.map(tx_response).collect(),
        total: u64::try_from(found.len()).unwrap_or(u64::MAX),
    })
}

fn decoded(executed: &ExecutedTx) -> Option<tx_wire::Tx> {
    tx_wire::Tx::decode(hex::decode(&executed.bytes_hex).ok()?.as_slice()).ok()
}

fn tx_response(executed: &ExecutedTx) -> abci::TxResponse {
    abci::TxResponse {
        height: executed.height,
        txhash: executed.hash.clone(),
        codespace: executed.codespace.clone(),
        code: executed.code,
        data: executed.data_hex.clone(),
        raw_log: executed.raw_log.clone(),
        gas_wanted: i64::try_from(executed.gas_wanted).unwrap_or(i64::MAX),
        gas_used: i64::try_from(executed.gas_used).unwrap_or(i64::MAX),
        timestamp: timestamp(executed.time_ms).to_string(),
        events: executed.events.iter().map(event).collect(),
        ..abci::TxResponse::default()
    }
}

fn event(event: &Event) -> tendermint_abci::Event {
    let attributes = event.attributes.iter();
    tendermint_abci::Event {
        r#type: event.kind.clone(),
        attributes: attributes
            .map(|(key, value)| tendermint_abci::EventAttribute {
                key: key.clone(),
                value: value.clone(),
                index: true,
            })
            .collect(),
    }
}

fn timestamp(time_ms: i64) -> Timestamp {
    let nanos = i32::try_from(time_ms.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    Timestamp { seconds: time_ms.div_euclid(1000), nanos }
}

fn chain_node(router: &mut Router) {
    router.answer(tendermint::GET_NODE_INFO, |chain, _| {
        let network = chain.read(|state| state.chain_id.clone());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(blocks::GetNodeInfoResponse {
            default_node_info: Some(p2p::DefaultNodeInfo {
                network,
                version: version.clone(),
                moniker: "devchain".to_owned(),
                ..p2p::DefaultNodeInfo::default()
            }),
            application_version: Some(blocks::VersionInfo {
                name: "lampkeeper-devchain".to_owned(),
                version,
                ..blocks::VersionInfo::default()
            }),
        })
    });
    router.answer(tendermint::GET_SYNCING, |_, _| Ok(blocks::GetSyncingResponse { syncing: false }));
    router.answer(tendermint::GET_LATEST_BLOCK, |chain, _| {
        let height = chain.read(|state| state.height);
        let (block_id, block, sdk_block) = block(chain, height)?;
        Ok(blocks::GetLatestBlockResponse { block_id, block, sdk_block })
    });
    router.answer(tendermint::GET_BLOCK_BY_HEIGHT, |chain, request| {
        let (block_id, block, sdk_block) = block(chain, request.height)?;
        Ok(blocks::GetBlockByHeightResponse { block_id, block, sdk_block })
    });
    // There are no validators: blocks are made by the program itself.
    router.answer(tendermint::GET_LATEST_VALIDATOR_SET, |chain, _| {
        let block_height = chain.read(|state| state.height);
        Ok(blocks::GetLatestValidatorSetResponse { block_height, ..Default::default() })
    });
    router.answer(tendermint::GET_VALIDATOR_SET_BY_HEIGHT, |chain, request| {
        let (.., sdk_block) = block(chain, request.height)?;
        let block_height = sdk_block.and_then(|block| block.header).map_or(0, |header| header.height);
        Ok(blocks::GetValidatorSetByHeightResponse { block_height, ..Default::default() })
    });
}

type BothForms = (Option<types::BlockId>, Option<types::Block>, Option<blocks::Block>);

/// A block in both of the forms that the call answers.
fn block(chain: &DevChain, height: i64) -> Result<BothForms, Status> {
    let unknown = || Status::invalid_argument(format!("block {height} was not made yet, or is forgotten"));
    let time = Some(timestamp(chain.block_time_ms(height).ok_or_else(unknown)?));
    let (chain_id, hash, before) = chain.read(|state| {
        (state.chain_id.clone(), state.header_hash(height), state.header_hash(height.saturating_sub(1)))
    });
    let id = |hash: [u8; 32]| types::BlockId { hash: hash.to_vec(), part_set_header: None };
    let header = types::Header {
        chain_id: chain_id.clone(),
        height,
        time,
        last_block_id: Some(id(before)),
        ..types::Header::default()
    };
    let sdk_header = blocks::Header {
        chain_id,
        height,
        time,
        last_block_id: Some(id(before)),
        ..blocks::Header::default()
    };
    Ok((
        Some(id(hash)),
        Some(types::Block { header: Some(header) }),
        Some(blocks::Block { header: Some(sdk_header) }),
    ))
}

/// The modules that are here, and the EVM's, which a supernode asks for before it starts (wire 9.6). Of that module there
/// is only its type of account.
fn module_versions(wanted: &str, evm_module: bool) -> upgrade_wire::QueryModuleVersionsResponse {
    let modules = ["action", "audit", "auth", "bank", "evm", "supernode"].into_iter();
    let modules = modules.filter(|name| evm_module || *name != "evm");
    let wanted = modules.filter(|name| wanted.is_empty() || *name == wanted);
    let module_versions =
        wanted.map(|name| upgrade_wire::ModuleVersion { name: name.to_owned(), version: 1 }).collect();
    upgrade_wire::QueryModuleVersionsResponse { module_versions }
}
