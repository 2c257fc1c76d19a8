//! Faults from a test and from a manifest, in virtual time. (Those from scenario files are in the scenario files.)

use crate::support::plant_nodes;
use lampkeeper_chain_sim::chain::{SimChain, SimChainClient, SimChainOptions};
use lampkeeper_chain_sim::injection::{BlockFault, BlockRule, CallFault, CallRule, InjectionPlan, TxOrder};
use lampkeeper_chain_sim::{ChainConfig, Message, State, Transaction, address};
use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, ChainMessage, ChainReader, EpochReportMessage, RejectionReason, SupernodeState,
};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::testkit::{TestSigner, VirtualScheduler};
use std::sync::Arc;

fn network(scheduler: &VirtualScheduler) -> (Arc<SimChain>, SimChainClient) {
    let mut state = State::new(ChainConfig::default());
    plant_nodes(&mut state, &["node"], SupernodeState::Active);
    let chain = SimChain::new(state, SimChainOptions::default(), scheduler.handle());
    chain.start();
    let client = chain.client("node");
    (chain, client)
}

fn calls(call: &str, first: u64, count: u64, fault: CallFault) -> InjectionPlan {
    let rule = CallRule { call: call.to_owned(), account: None, first, count, fault };
    InjectionPlan { calls: vec![rule], blocks: Vec::new() }
}

fn report() -> ChainMessage {
    ChainMessage::EpochReport(EpochReportMessage::default())
}

#[test]
fn the_second_call_is_late_by_as_much_as_was_asked_for() {
    let scheduler = VirtualScheduler::new(1);
    let (chain, client) = network(&scheduler);
    chain.inject(calls("status", 2, 1, CallFault::Delay { delay_ms: 2500 }));
    scheduler.block_on(async {
        let clock = scheduler.handle();
        let begin_ms = clock.wall_clock_ms();
        assert_eq!(client.status().await.unwrap().latest_height, 0);
        assert_eq!(client.status().await.unwrap().latest_height, 2, "asked after two blocks");
        assert_eq!(clock.wall_clock_ms() - begin_ms, 2500);
        chain.inject(calls("status", 1, 1, CallFault::DelayAfterAcceptance { delay_ms: 2000 }));
        assert_eq!(client.status().await.unwrap().latest_height, 2, "asked at once, answered later");
        assert_eq!(clock.wall_clock_ms() - begin_ms, 4500);
    });
}

#[test]
fn a_late_submission_is_executed_late_and_a_late_answer_is_not() {
    let scheduler = VirtualScheduler::new(1);
    let (chain, client) = network(&scheduler);
    chain.inject(calls("submit.epoch_report", 1, 1, CallFault::DelayAfterAcceptance { delay_ms: 5500 }));
    chain.inject(calls("submit.epoch_report", 2, 1, CallFault::Delay { delay_ms: 3000 }));
    scheduler.block_on(async {
        assert_eq!(client.submit(report()).await.unwrap().height, 1);
        assert_eq!(chain.read(|state| state.height), 6, "the answer took five blocks");
        let refused = client.submit(report()).await.unwrap_err();
        assert_eq!(refused.rejection(), Some(RejectionReason::DuplicateReport));
        let latest = chain.latest_block().unwrap();
        assert_eq!((latest.height, latest.tx_hashes.len()), (10, 1), "three seconds later, and then a block");
    });
}

/// The hashes of five transactions of one block in the order of their execution.
fn order_of_execution(order: TxOrder, seed: u64) -> Vec<String> {
    let scheduler = VirtualScheduler::new(1);
    let mut state = State::new(ChainConfig { seed, ..ChainConfig::default() });
    let payer = address::labelled_account("payer");
    state.bank.mint(&payer, 100);
    let options = SimChainOptions { block_interval_ms: 0, ..SimChainOptions::default() };
    let chain = SimChain::new(state, options, scheduler.handle());
    let rule = BlockRule { at_height: 1, fault: BlockFault::Reorder { order } };
    chain.inject(InjectionPlan { calls: Vec::new(), blocks: vec![rule] });
    let sent: Vec<String> = (1..=5)
        .map(|amount_ulume| {
            let message = Message::BankSend { to: address::labelled_account("payee"), amount_ulume };
            chain.broadcast(Transaction::single(&payer, message).into()).unwrap()
        })
        .collect();
    chain.produce_block().unwrap();
    let executed = chain.latest_block().unwrap().tx_hashes;
    executed.iter().map(|hash| sent.iter().position(|sent| sent == hash).unwrap().to_string()).collect()
}

#[test]
fn transactions_change_their_order_as_the_seed_says() {
    assert_eq!(order_of_execution(TxOrder::Reverse, 1), ["4", "3", "2", "1", "0"]);
    let shuffled = order_of_execution(TxOrder::Shuffle, 1);
    assert_eq!(shuffled, order_of_execution(TxOrder::Shuffle, 1), "the same seed, the same order");
    let mut sorted = shuffled.clone();
    sorted.sort();
    assert_eq!(sorted, ["0", "1", "2", "3", "4"]);
    let others: Vec<_> = (2..6).map(|seed| order_of_execution(TxOrder::Shuffle, seed)).collect();
    assert!(others.iter().any(|other| *other != shuffled), "other seeds, other orders: {others:?}");
}

#[test]
fn a_lagging_replica_follows_blocks_messages_and_what_is_planted() {
    let scheduler = VirtualScheduler::new(1);
    let (chain, client) = network(&scheduler);
    chain.inject(calls("epoch_report", 1, 0, CallFault::Lag { blocks: 2 }));
    chain.inject(calls("node_suspicion", 1, 0, CallFault::Lag { blocks: 2 }));
    scheduler.block_on(async {
        let height = client.submit(report()).await.unwrap().height;
        let planted = lampkeeper_plugin_sdk::api::chain::NodeSuspicion::default();
        chain.plant(|state| state.audit.suspicion.insert("node".to_owned(), planted));
        for (later, is_known) in [(0, false), (1, false), (2, true), (3, true)] {
            chain.wait_for_height(height + later).await;
            let found = client.epoch_report("node", 0).await;
            assert_eq!(found.is_ok(), is_known, "{later} blocks later: {found:?}");
            assert_eq!(client.node_suspicion("node").await.is_ok(), is_known, "{later} blocks later");
        }
    });
}

/// What a replica answers is what the chain itself answered at that height.
#[test]
fn a_replica_is_the_chain_of_some_blocks_ago() {
    let scheduler = VirtualScheduler::new(1);
    let (chain, client) = network(&scheduler);
    chain.plant(|state| state.audit.params.epoch_length_blocks = 3);
    chain.inject(calls("epoch_anchor", 1, 0, CallFault::Lag { blocks: 3 }));
    scheduler.block_on(async {
        for epoch_id in 1..5_u64 {
            let start = i64::try_from(1 + 3 * epoch_id).unwrap();
            chain.wait_for_height(start + 2).await;
            assert!(client.epoch_anchor(epoch_id).await.unwrap_err().is_not_found(), "epoch {epoch_id}");
            chain.wait_for_height(start + 3).await;
            let lagging = client.epoch_anchor(epoch_id).await.unwrap();
            let own = chain.read(|state| state.query_epoch_anchor(epoch_id).unwrap().clone());
            assert_eq!(lagging, own, "epoch {epoch_id}");
        }
    });
}

#[test]
fn a_manifest_can_ask_for_every_fault() {
    let scheduler = VirtualScheduler::new(1);
    let account = TestSigner::new("test").account().to_owned();
    let config = serde_json::json!({
        "network": "with faults",
        "supernodes": [{ "account": account, "address": "127.0.0.1:4444" }],
        "injections": {
            "calls": [
                { "call": "params", "first": 2, "fault": { "type": "fail", "error": { "kind": "unavailable" } } },
                { "call": "params", "first": 3, "fault": { "type": "delay", "delay_ms": 10 } },
                { "call": "status", "count": 0, "fault": { "type": "lag", "blocks": 1 } },
                { "call": "submit", "first": 2, "fault": { "type": "fail_after_acceptance",
                    "error": { "kind": "rejected", "codespace": "sdk", "code": 5 } } },
            ],
            "blocks": [
                { "at_height": 2, "fault": { "type": "freeze", "intervals": 1 } },
                { "at_height": 2, "fault": { "type": "override_params", "values": { "min_cpu_free_percent": 9 } } },
                { "at_height": 2, "fault": { "type": "override_score", "of": "node_suspicion", "id": "x", "score": 3 } },
                { "at_height": 3, "fault": { "type": "jump_to", "height": 50 } },
                { "at_height": 51, "fault": { "type": "reorder", "order": "shuffle" } },
                { "at_height": 52, "fault": { "type": "drop_transactions" } },
            ],
        },
    });
    let context = lampkeeper_plugin_sdk::testkit::context("chain-sim")
        .config(&config.to_string())
        .seams(|seams| seams.scheduler = Some(scheduler.handle()))
        .build();
    let descriptor = lampkeeper_chain_sim::plugin::descriptor();
    let provided = scheduler.block_on((descriptor.construct)(context)).unwrap();
    let client = provided.chain.unwrap();
    scheduler.run_for(std::time::Duration::from_millis(5_500));
    scheduler.block_on(async {
        assert_eq!(client.status().await.unwrap().latest_height, 50, "frozen once, jumped, one behind 51");
        assert_eq!(client.params().await.unwrap().min_cpu_free_percent, 9);
        assert_eq!(client.params().await.unwrap_err().kind(), "unavailable");
        assert!(client.params().await.is_ok());
        assert_eq!(client.node_suspicion("x").await.unwrap().suspicion_score, 3);
        let dropped = client.submit(report()).await.unwrap_err();
        assert!(dropped.is_transient() && !dropped.is_certainly_not_applied(), "at height 52: {dropped}");
        let refused = client.submit(report()).await.unwrap_err();
        assert_eq!(refused.rejection(), Some(RejectionReason::InsufficientFunds), "{refused}");
        assert!(client.epoch_report(&account, 0).await.is_ok(), "it was executed all the same");
    });
    scheduler.block_on(provided.close.unwrap().close()).unwrap();
}
