//! Several endpoints: dead ones, slow ones, ones that lag, and ones of another chain.

use crate::support::{self, Faults, Served, at_once, by_timer, claimable, client_of, config};
use lampkeeper_chain_lumera::ChainLumeraConfig;
use lampkeeper_chain_sim::State;
use lampkeeper_devchain::{DevChain, DevChainOptions, NoIntercept};
use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, ChainError, ChainMessage, ChainReader, HealClaimMessage,
};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::telemetry::Level;
use lampkeeper_plugin_sdk::protocol::account::KeyType;
use lampkeeper_plugin_sdk::testkit::{LogRecord, TestSigner};
use std::sync::Arc;

fn signer() -> TestSigner {
    TestSigner::new("reader")
}

fn state() -> State {
    support::state(&[signer().account().to_owned()])
}

/// One chain behind two sockets.
fn twins() -> (Served, Served) {
    let mut state = state();
    for id in 1..=3 {
        state.audit.heal_ops.insert(claimable(id, signer().account()));
    }
    let chain = DevChain::new(state, at_once(), support::scheduler());
    let first = Served::new(Arc::clone(&chain), Arc::new(NoIntercept));
    (first, Served::new(chain, Arc::new(NoIntercept)))
}

fn claim(heal_op_id: u64) -> ChainMessage {
    ChainMessage::HealClaim(HealClaimMessage {
        heal_op_id,
        ticket_id: "1".to_owned(),
        heal_manifest_hash: "hash".to_owned(),
        details: String::new(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn when_an_endpoint_dies_the_next_one_is_asked_and_when_it_comes_back_it_is_preferred_again() {
    let (first, second) = twins();
    let (client, telemetry) = client_of(&signer(), &config(vec![first.endpoint(), second.endpoint()]));
    client.submit(claim(1)).await.expect("both are there");
    let (address, chain) = (first.address, Arc::clone(&first.chain));
    let labels = [("endpoint", first.endpoint())];
    let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
    drop(first);
    client.params().await.expect("the second answers");
    client.submit(claim(2)).await.expect("the second executes");
    assert_eq!(telemetry.gauge_value("chain_endpoint_good", &labels), Some(0.0));

    let faults = Arc::new(Faults::default());
    let back = Served::at(address, chain, Arc::clone(&faults) as _);
    drop(second);
    client.submit(claim(3)).await.expect("the first is back");
    assert!(faults.count(support::BROADCAST) > 0);
    drop(back);
    let error = client.params().await.expect_err("nobody is there");
    assert!(error.is_transient() && error.is_certainly_not_applied(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_lags_is_not_asked() {
    let signer = signer();
    let lagging = Served::plain(state(), by_timer());
    let mut ahead = state();
    ahead.advance_to(50).expect("empty blocks");
    ahead.audit.heal_ops.insert(claimable(1, signer.account()));
    let ahead = Served::plain(ahead, by_timer());
    let (client, _) = client_of(&signer, &config(vec![lagging.endpoint(), ahead.endpoint()]));
    assert_eq!(client.status().await.expect("a status").latest_height, 50);
    client.heal_op(1).await.expect("the first endpoint does not know it, and is not believed");
    // Alone it is worse than nobody: what it does not know may exist.
    drop(ahead);
    let error = client.heal_op(1).await.expect_err("only the one that lags is left");
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("height"), "{error}");
    // Once it has caught up it is asked.
    while lagging.chain.read(|state| state.height) < 49 {
        lagging.chain.produce_block().expect("a block");
    }
    let error = client.heal_op(1).await.expect_err("it never had that operation");
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_another_chain_is_refused_by_name() {
    let mut other = state();
    other.chain_id = "other-1".to_owned();
    let other = Served::plain(other, by_timer());
    let (client, _) = client_of(&signer(), &config(vec![other.endpoint()]));
    let error = client.params().await.expect_err("it is another chain");
    let ChainError::Unavailable { reason } = &error else { panic!("{error}") };
    assert!(reason.contains("other-1") && reason.contains(support::CHAIN_ID), "{reason}");
    let right = Served::plain(state(), by_timer());
    let (client, _) = client_of(&signer(), &config(vec![other.endpoint(), right.endpoint()]));
    client.params().await.expect("the second is the right one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_the_evm_is_not_used_on_a_chain_without_its_module() {
    let evm = TestSigner::with_key_type("reader", KeyType::EthSecp256k1);
    let state = || support::state(&[evm.account().to_owned(), signer().account().to_owned()]);
    let before_the_evm = Served::plain(state(), DevChainOptions { evm_module: false, ..at_once() });
    let (client, telemetry) = client_of(&evm, &config(vec![before_the_evm.endpoint()]));
    let error = client.params().await.expect_err("there are no accounts of its kind");
    let ChainError::Unavailable { reason } = &error else { panic!("{error}") };
    assert!(reason.contains("has no module `evm`"), "{reason}");
    let told = |record: &LogRecord| record.message == "an endpoint of the chain is no_evm";
    assert!(telemetry.logs_from(Level::Warn).iter().any(told), "the operator is told");
    // An ordinary account has nothing to do with it.
    let (ordinary, _) = client_of(&signer(), &config(vec![before_the_evm.endpoint()]));
    ordinary.params().await.expect("it is not asked about the module");

    // Whoever does not tell is not used; whoever can't be reached for the moment is asked again.
    let faults = Arc::new(Faults::default());
    let chain = DevChain::new(state(), at_once(), support::scheduler());
    let served = Served::new(chain, Arc::clone(&faults) as _);
    let (client, _) = client_of(&evm, &config(vec![served.endpoint()]));
    for (fault, is_transient) in [(tonic::Status::unimplemented("no"), false), (support::cut(), true)] {
        faults.before(move |path| match path == support::MODULE_VERSIONS {
            true => Err(fault.clone()),
            false => Ok(()),
        });
        let error = client.params().await.expect_err("it does not tell");
        assert_eq!(error.is_transient(), is_transient, "{error}");
    }
    faults.clear();
    client.params().await.expect("it tells now");
    assert!(faults.count(support::MODULE_VERSIONS) >= 3);
    let asked = faults.count(support::MODULE_VERSIONS);
    client.params().await.expect("still");
    assert_eq!(faults.count(support::MODULE_VERSIONS), asked, "a good endpoint is asked once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_never_answers_costs_a_deadline_and_no_more() {
    // It accepts connections, and that is all.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("its address"));
    let served = Served::plain(state(), by_timer());
    let config = ChainLumeraConfig { call_timeout_ms: 1000, ..config(vec![endpoint, served.endpoint()]) };
    let (client, _) = client_of(&signer(), &config);
    client.params().await.expect("the second answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_endpoint_is_never_asked_in_plaintext() {
    let faults = Arc::new(Faults::default());
    let chain = DevChain::new(state(), at_once(), support::scheduler());
    let plaintext = Served::new(chain, Arc::clone(&faults) as _);
    let endpoint = plaintext.endpoint().replace("http://", "https://");
    let (client, _) = client_of(&signer(), &config(vec![endpoint]));
    let error = client.params().await.expect_err("there is no TLS");
    assert!(error.is_transient(), "{error}");
    for path in [support::PARAMS, support::LATEST_BLOCK] {
        assert_eq!(faults.count(path), 0);
    }
}
