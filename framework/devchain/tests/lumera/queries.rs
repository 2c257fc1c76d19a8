//! What the seam has no call for: every query and message of the chain, in its own words, and the connection under TLS.

use crate::support::{self, BALANCE_ULUME, CHAIN_ID, Served, at_once, by_timer, client_of, config};
use lampkeeper_chain_lumera::ChainLumeraConfig;
use lampkeeper_chain_sim::address::{labelled_account, operator_of_account};
use lampkeeper_chain_sim::state::actions::Action;
use lampkeeper_chain_sim::state::supernodes::Validator;
use lampkeeper_devchain::{DevChain, DevChainService, NoIntercept};
use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, ChainMessage, ChainReader, EpochReportMessage, SupernodeState, TicketState,
};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::testkit::TestSigner;
use lampkeeper_proto::calls;
use lampkeeper_proto::cosmos::base::tendermint::v1beta1 as blocks;
use lampkeeper_proto::cosmos::{bank, tx, upgrade};
use lampkeeper_proto::lumera::{action, audit, supernode};
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};

#[tokio::test]
async fn every_call_of_the_chain_is_answered() {
    let chain = DevChain::new(support::state(&[]), at_once(), support::scheduler());
    let service = DevChainService::new(chain, Arc::new(NoIntercept));
    let answered: BTreeSet<&str> = service.paths().collect();
    let listed: BTreeSet<&str> = calls::all().iter().map(|(path, ..)| *path).collect();
    assert_eq!(answered, listed);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_followed_to_their_end() {
    let signer = TestSigner::new("lists");
    let mut state = support::state(&[signer.account().to_owned()]);
    for number in 1..=2500 {
        state.action.actions.insert(Action {
            action_id: number.to_string(),
            creator: signer.account().to_owned(),
            state: TicketState::Done,
            ..Action::default()
        });
    }
    let served = Served::plain(state, by_timer());
    let (client, _) = client_of(&signer, &config(vec![served.endpoint()]));
    let creator = signer.account().to_owned();
    let listed = client.query_list(
        calls::action::LIST_ACTIONS_BY_CREATOR,
        |page| action::v1::QueryListActionsByCreatorRequest {
            creator: creator.clone(),
            pagination: Some(page),
        },
        |answer| (answer.actions, answer.pagination),
    );
    let listed = listed.await.expect("all pages");
    let numbers: Vec<u64> = listed.iter().map(|action| action.action_id.parse().expect("a number")).collect();
    assert_eq!(numbers, (1..=2500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_balances_blocks_and_transactions_are_told_in_the_chain_s_own_words() {
    let signer = TestSigner::new("asks");
    let account = signer.account().to_owned();
    let served = Served::plain(support::state(std::slice::from_ref(&account)), at_once());
    let (client, _) = client_of(&signer, &config(vec![served.endpoint()]));
    let receipt =
        client.submit(ChainMessage::EpochReport(EpochReportMessage::default())).await.expect("a report");

    let request =
        audit::v1::QueryHostReportsRequest { supernode_account: account.clone(), ..Default::default() };
    let reports = client.query(calls::audit::HOST_REPORTS, request).await.expect("host reports").reports;
    assert_eq!(reports.iter().map(|report| report.report_height).collect::<Vec<_>>(), [receipt.height]);
    let request = audit::v1::QueryEpochReportsByReporterRequest {
        supernode_account: account.clone(),
        filter_by_epoch_id: true,
        ..Default::default()
    };
    let reports =
        client.query(calls::audit::EPOCH_REPORTS_BY_REPORTER, request).await.expect("reports").reports;
    assert_eq!(reports.len(), 1);
    let anchor = client
        .query(calls::audit::CURRENT_EPOCH_ANCHOR, audit::v1::QueryCurrentEpochAnchorRequest {})
        .await
        .expect("the current anchor")
        .anchor
        .expect("it");
    assert_eq!(client.epoch_anchor(anchor.epoch_id).await.expect("the same").seed.to_vec(), anchor.seed);

    let request = bank::v1beta1::QueryBalanceRequest { address: account.clone(), denom: "ulume".to_owned() };
    let balance = client.query(calls::bank::BALANCE, request).await.expect("a balance").balance.expect("it");
    let balance: u64 = balance.amount.parse().expect("a number");
    assert!(balance < BALANCE_ULUME, "the report was paid for");

    let request = tx::v1beta1::GetTxRequest { hash: receipt.tx_hash.to_ascii_lowercase() };
    let found = client.query(calls::tx::GET_TX, request).await.expect("the transaction");
    let fee = found.tx.and_then(|tx| tx.auth_info?.fee).expect("its fee");
    assert_eq!(fee.amount[0].amount, (BALANCE_ULUME - balance).to_string());

    let request = blocks::GetBlockByHeightRequest { height: receipt.height };
    let block = client.query(calls::tendermint::GET_BLOCK_BY_HEIGHT, request).await.expect("its block");
    assert_eq!(block.sdk_block.and_then(|block| block.header).expect("a header").height, receipt.height);
    let request = upgrade::v1beta1::QueryModuleVersionsRequest { module_name: "evm".to_owned() };
    let versions = client.query(calls::upgrade::MODULE_VERSIONS, request).await.expect("versions");
    assert_eq!(versions.module_versions.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_only_an_operator_sends_are_executed() {
    let signer = TestSigner::new("operator");
    let account = signer.account().to_owned();
    let operator = operator_of_account(&account).expect("an account");
    let mut state = support::state(&[]);
    state.bank.mint(&account, BALANCE_ULUME);
    let validator = Validator { self_delegation_ulume: 1, ..Validator::default() };
    state.supernode.validators.insert(operator.clone(), validator);
    let served = Served::plain(state, at_once());
    let (client, _) = client_of(&signer, &config(vec![served.endpoint()]));
    let registration = supernode::v1::MsgRegisterSupernode {
        creator: account.clone(),
        validator_address: operator.clone(),
        ip_address: "127.0.0.1:4444".to_owned(),
        supernode_account: account.clone(),
        p2p_port: "4445".to_owned(),
    };
    client.submit_message(&registration).await.expect("a registration");
    let node = client.supernode(&account).await.expect("it is registered");
    assert_eq!((node.state, node.latest_address.as_str()), (SupernodeState::Active, "127.0.0.1:4444"));
    let stop = supernode::v1::MsgStopSupernode {
        creator: account.clone(),
        validator_address: operator,
        reason: "for a test".to_owned(),
    };
    client.submit_message(&stop).await.expect("a stop");
    assert_eq!(client.supernode(&account).await.expect("it").state, SupernodeState::Stopped);
    // Whose name a message is in is checked by the chain: only the signer's passes.
    let foreign = supernode::v1::MsgStopSupernode { creator: labelled_account("another"), ..stop };
    let error = client.submit_message(&foreign).await.expect_err("it is another's");
    assert!(error.rejection().is_some(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_endpoint_is_checked_against_its_root_certificate() {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let signer = TestSigner::new("reader");
    let chain = DevChain::new(support::state(&[]), at_once(), support::scheduler());
    let service = DevChainService::new(chain, Arc::new(NoIntercept));
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let port = incoming.local_addr().expect("its address").port();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(&certificate, key));
    let server = Server::builder().tls_config(tls).expect("a good certificate");
    tokio::spawn(server.serve_with_incoming(service, incoming));

    let config = |root_certificate_pem: &str| ChainLumeraConfig {
        root_certificate_pem: root_certificate_pem.to_owned(),
        ..config(vec![format!("https://localhost:{port}")])
    };
    let (trusting, _) = client_of(&signer, &config(&certificate));
    assert_eq!(trusting.status().await.expect("it is trusted").chain_id, CHAIN_ID);
    let (suspicious, _) = client_of(&signer, &config(""));
    let error = suspicious.status().await.expect_err("nobody vouches for it");
    assert!(error.is_transient(), "{error}");
}
