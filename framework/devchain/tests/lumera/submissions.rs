//! What becomes of submissions when connections break, transactions collide or get lost, gas does not suffice and budgets
//! run out.

use crate::support::{
    self, BALANCE_ULUME, BROADCAST, Faults, GET_TX, SIMULATE, Served, at_once, by_timer, claimable,
    client_in, client_of, config, cut,
};
use lampkeeper_chain_lumera::ChainLumeraConfig;
use lampkeeper_chain_sim::State;
use lampkeeper_devchain::{DevChain, DevChainOptions};
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, ChainError, ChainMessage, ChainReader, HealClaimMessage, RejectionReason,
};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::futures::future::join_all;
use lampkeeper_plugin_sdk::testkit::TestSigner;
use std::sync::Arc;

/// Heal operations that wait for the signer.
const CLAIMS: u64 = 24;

fn claim(heal_op_id: u64) -> ChainMessage {
    ChainMessage::HealClaim(HealClaimMessage {
        heal_op_id,
        ticket_id: "1".to_owned(),
        heal_manifest_hash: "hash".to_owned(),
        details: String::new(),
    })
}

/// A chain with claims to make, served with faults, and who makes them.
struct Bench {
    signer: TestSigner,
    faults: Arc<Faults>,
    chain: Arc<DevChain>,
    served: Served,
}

impl Bench {
    fn new(options: DevChainOptions) -> Self {
        let signer = TestSigner::new("healer");
        let mut state: State = support::state(&[signer.account().to_owned()]);
        for id in 1..=CLAIMS {
            state.audit.heal_ops.insert(claimable(id, signer.account()));
        }
        let faults = Arc::new(Faults::default());
        let chain = DevChain::new(state, options, support::scheduler());
        let served = Served::new(Arc::clone(&chain), Arc::clone(&faults) as _);
        Self { signer, faults, chain, served }
    }

    fn config(&self) -> ChainLumeraConfig {
        config(vec![self.served.endpoint()])
    }

    /// The sequence of the account: how many of its transactions were executed.
    fn executed(&self) -> u64 {
        self.chain.read(|state| state.bank.accounts[self.signer.account()].sequence)
    }

    fn paid(&self) -> u64 {
        BALANCE_ULUME - self.chain.read(|state| state.bank.balance_ulume(self.signer.account()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_at_once_take_one_sequence_each() {
    let bench = Bench::new(by_timer());
    let blocks = bench.chain.start(Cancel::new());
    let (client, telemetry) = client_of(&bench.signer, &bench.config());
    let receipts = join_all((1..=CLAIMS).map(|id| client.submit(claim(id)))).await;
    for (id, receipt) in (1..).zip(receipts) {
        let receipt = receipt.unwrap_or_else(|error| panic!("claim {id}: {error}"));
        assert!(bench.chain.transaction(&receipt.tx_hash).is_some_and(|tx| tx.height == receipt.height));
    }
    assert_eq!(bench.executed(), CLAIMS);
    assert_eq!(telemetry.counter_sum("chain_sequence_mismatches_total"), 0, "nothing collided");
    assert_eq!(telemetry.counter_sum("chain_fees_paid_total"), bench.paid());
    blocks.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_with_one_account_collide_and_get_through() {
    let bench = Bench::new(by_timer());
    let blocks = bench.chain.start(Cancel::new());
    let config = ChainLumeraConfig { attempts: 10, ..bench.config() };
    let clients = [client_of(&bench.signer, &config).0, client_of(&bench.signer, &config).0];
    let submissions = (1..=8).map(|id| clients[usize::from(id % 2 == 0)].submit(claim(id)));
    for receipt in join_all(submissions).await {
        receipt.expect("every claim gets through");
    }
    assert_eq!(bench.executed(), 8);
    blocks.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_after_the_broadcast_is_followed_by_a_look_and_no_second_broadcast() {
    let bench = Bench::new(at_once());
    let mut is_cut = false;
    bench.faults.after(move |path| {
        if path == BROADCAST && !std::mem::replace(&mut is_cut, true) {
            return Err(cut());
        }
        Ok(())
    });
    let (client, _) = client_of(&bench.signer, &bench.config());
    let receipt = client.submit(claim(1)).await.expect("it was executed");
    assert!(bench.chain.transaction(&receipt.tx_hash).is_some());
    assert_eq!((bench.executed(), bench.faults.count(BROADCAST)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_that_never_arrived_is_repeated_with_the_same_bytes() {
    let bench = Bench::new(at_once());
    let mut is_cut = false;
    bench.faults.before(move |path| {
        if path == BROADCAST && !std::mem::replace(&mut is_cut, true) {
            return Err(cut());
        }
        Ok(())
    });
    let (client, telemetry) = client_of(&bench.signer, &bench.config());
    client.submit(claim(1)).await.expect("the second broadcast arrives");
    assert_eq!((bench.executed(), bench.faults.count(BROADCAST)), (1, 2));
    assert_eq!(telemetry.counter_sum("chain_transactions_sent_again_total"), 1);
    assert!(bench.faults.count(GET_TX) >= 2, "it was looked up before it was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_outcome_was_unknown_is_looked_up_when_it_is_submitted_again() {
    let bench = Bench::new(at_once());
    // The transaction is executed, and nobody can be asked about it.
    bench.faults.before(|path| if path == GET_TX { Err(cut()) } else { Ok(()) });
    let config = ChainLumeraConfig { inclusion_timeout_ms: 50, ..bench.config() };
    let (client, telemetry) = client_of(&bench.signer, &config);
    let error = client.submit(claim(1)).await.expect_err("nobody tells");
    assert!(error.is_transient() && !error.is_certainly_not_applied(), "{error}");
    bench.faults.clear();
    let broadcasts = bench.faults.count(BROADCAST);
    let receipt = client.submit(claim(1)).await.expect("it had been executed");
    assert_eq!(bench.faults.count(BROADCAST), broadcasts, "nothing was sent");
    assert_eq!(bench.executed(), 1);
    assert!(bench.chain.transaction(&receipt.tx_hash).is_some_and(|tx| tx.code == 0));
    assert_eq!(telemetry.counter_sum("chain_fees_paid_total"), bench.paid());
    // From here on it is a new submission, which the chain refuses.
    let again = client.submit(claim(1)).await.expect_err("it was claimed");
    assert_eq!(again.rejection(), Some(RejectionReason::HealOpInvalidState));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_submission_settles_what_was_given_up_and_keeps_its_receipt() {
    let bench = Bench::new(at_once());
    bench.faults.before(|path| if path == GET_TX { Err(cut()) } else { Ok(()) });
    let config = ChainLumeraConfig { inclusion_timeout_ms: 50, ..bench.config() };
    let (client, _) = client_of(&bench.signer, &config);
    client.submit(claim(1)).await.expect_err("nobody tells");
    bench.faults.clear();
    client.submit(claim(2)).await.expect("another message");
    let broadcasts = bench.faults.count(BROADCAST);
    client.submit(claim(1)).await.expect("its receipt was kept");
    assert_eq!((bench.executed(), bench.faults.count(BROADCAST)), (2, broadcasts));
}

#[tokio::test(flavor = "multi_thread")]
async fn submitted_means_executed_with_code_zero() {
    let bench = Bench::new(at_once());
    // Without a simulation the mempool takes what the execution refuses.
    let not_here = || tonic::Status::unimplemented("not here");
    bench.faults.before(move |path| if path == SIMULATE { Err(not_here()) } else { Ok(()) });
    let (client, telemetry) = client_of(&bench.signer, &bench.config());
    let error = client.submit(claim(CLAIMS + 1)).await.expect_err("there is no such operation");
    assert_eq!(error.rejection(), Some(RejectionReason::HealOpNotFound));
    assert_eq!(bench.executed(), 1, "it was in a block");
    assert!(bench.paid() > 0, "and paid for");
    assert_eq!(telemetry.counter_sum("chain_fees_paid_total"), bench.paid());
}

#[tokio::test(flavor = "multi_thread")]
async fn gas_that_did_not_suffice_is_raised() {
    let bench = Bench::new(at_once());
    let not_here = || tonic::Status::unimplemented("not here");
    bench.faults.before(move |path| if path == SIMULATE { Err(not_here()) } else { Ok(()) });
    // 40,000 and 30 % are too little for 60,000 and the bytes; 30 % more suffice.
    let config = ChainLumeraConfig { gas_without_simulation: 40_000, gas_padding: 0, ..bench.config() };
    let (client, _) = client_of(&bench.signer, &config);
    client.submit(claim(1)).await.expect("the second attempt has enough gas");
    assert_eq!(bench.executed(), 2, "the first one was in a block, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn fees_have_a_limit_each_and_together() {
    let bench = Bench::new(at_once());
    let (client, _) = client_of(&bench.signer, &ChainLumeraConfig { fee_max: 10, ..bench.config() });
    let error = client.submit(claim(1)).await.expect_err("it costs more");
    assert!(matches!(&error, ChainError::Unavailable { reason } if reason.contains("fee_max")), "{error}");
    let little = ChainLumeraConfig { gas_max: 50_000, gas_without_simulation: 1, ..bench.config() };
    let (client, _) = client_of(&bench.signer, &little);
    let error = client.submit(claim(1)).await.expect_err("it needs more");
    assert!(matches!(&error, ChainError::Unavailable { reason } if reason.contains("gas_max")), "{error}");
    assert_eq!(bench.executed(), 0);

    let (client, _) = client_of(&bench.signer, &bench.config());
    client.submit(claim(1)).await.expect("to learn what it costs");
    let fee = bench.paid();
    let config = ChainLumeraConfig { fee_budget: 3 * fee + fee / 2, ..bench.config() };
    let (client, telemetry) = client_of(&bench.signer, &config);
    let mut accepted = 0;
    for id in 2..=8 {
        match client.submit(claim(id)).await {
            Ok(_) => accepted += 1,
            Err(error) => assert!(error.to_string().contains("fee_budget"), "{error}"),
        }
    }
    assert_eq!((accepted, bench.executed()), (3, 4));
    assert_eq!(telemetry.counter_sum("chain_fee_budget_refusals_total"), 4);
    assert!(client.params().await.is_ok(), "reading goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_for_fees_outlives_the_process() {
    let bench = Bench::new(at_once());
    let (client, _) = client_of(&bench.signer, &bench.config());
    client.submit(claim(1)).await.expect("to learn what it costs");
    let fee = bench.paid();
    let config = ChainLumeraConfig { fee_budget: 3 * fee + fee / 2, ..bench.config() };
    let dir = tempfile::tempdir().expect("a directory");
    let mut accepted = 0;
    for id in 2..=8 {
        // A process each time, which remembers what those before it spent.
        let (client, telemetry) = client_in(dir.path(), &bench.signer, &config);
        match client.submit(claim(id)).await {
            Ok(_) => accepted += 1,
            Err(error) => {
                assert!(error.to_string().contains("fee_budget"), "{error}");
                assert_eq!(telemetry.counter_sum("chain_fee_budget_refusals_total"), 1);
            }
        }
    }
    assert_eq!((accepted, bench.executed()), (3, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_no_block_can_execute_any_more_is_made_anew() {
    let bench = Bench::new(by_timer());
    let blocks = bench.chain.start(Cancel::new());
    // Nothing arrives until the first transaction's last block is long over.
    let chain = Arc::clone(&bench.chain);
    bench.faults.before(move |path| {
        if path == BROADCAST && chain.read(|state| state.height) < 30 {
            return Err(cut());
        }
        Ok(())
    });
    let config = ChainLumeraConfig { transaction_lifetime_blocks: 4, attempts: 10, ..bench.config() };
    let (client, telemetry) = client_of(&bench.signer, &config);
    let receipt = client.submit(claim(1)).await.expect("a later transaction is executed");
    assert!(receipt.height >= 30);
    assert_eq!(bench.executed(), 1);
    assert!(telemetry.counter_sum("chain_transactions_lapsed_total") >= 1);
    let left = telemetry.gauge_value("chain_fee_budget_left", &[("denom", "ulume")]);
    let budget = ChainLumeraConfig::default().fee_budget;
    assert_eq!(left, Some((budget - bench.paid()) as f64), "what lapsed was not paid for");
    blocks.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_ran_ahead_is_corrected_by_sending_again_what_was_lost() {
    let bench = Bench::new(at_once());
    bench.faults.before(|path| if path == BROADCAST { Err(cut()) } else { Ok(()) });
    let config = ChainLumeraConfig { inclusion_timeout_ms: 20, ..bench.config() };
    let (client, _) = client_of(&bench.signer, &config);
    let error = client.submit(claim(1)).await.expect_err("it never arrives");
    assert!(!error.is_certainly_not_applied());
    bench.faults.clear();
    // The next transaction is built on the lost one's sequence.
    client.submit(claim(2)).await.expect("both are executed");
    assert_eq!(bench.executed(), 2);
    client.submit(claim(1)).await.expect("the first one's receipt was kept");
    assert_eq!(bench.executed(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_without_an_account_is_told_so_and_not_that_something_was_not_found() {
    let bench = Bench::new(at_once());
    let (client, _) = client_of(&TestSigner::new("stranger"), &bench.config());
    let error = client.submit(claim(1)).await.expect_err("it has no coins");
    assert!(matches!(error, ChainError::Unavailable { .. }) && !error.is_not_found(), "{error}");
}
