//! The chain in the scheduler's time, its clients, and injected faults.

use crate::support::plant_nodes;
use lampkeeper_chain_sim::chain::{SimChain, SimChainOptions, find_network, register_network};
use lampkeeper_chain_sim::injection::{
    BlockFault, BlockRule, CallFault, CallRule, InjectedError, InjectionPlan, ScoreKind,
};
use lampkeeper_chain_sim::{ChainConfig, State};
use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, ChainError, ChainMessage, ChainReader, EpochReportMessage, PageRequest, RejectionReason,
    SupernodeState,
};
use lampkeeper_plugin_sdk::testkit::VirtualScheduler;
use std::sync::Arc;
use std::time::Duration;

fn network(scheduler: &VirtualScheduler) -> Arc<SimChain> {
    let mut state = State::new(ChainConfig::default());
    plant_nodes(&mut state, &["node"], SupernodeState::Active);
    let chain = SimChain::new(state, SimChainOptions::default(), scheduler.handle());
    chain.start();
    chain
}

fn call(call: &str, fault: CallFault) -> InjectionPlan {
    let rule = CallRule { call: call.to_owned(), account: None, first: 1, count: 1, fault };
    InjectionPlan { calls: vec![rule], blocks: Vec::new() }
}

fn block(at_height: i64, fault: BlockFault) -> InjectionPlan {
    InjectionPlan { calls: Vec::new(), blocks: vec![BlockRule { at_height, fault }] }
}

fn report() -> ChainMessage {
    ChainMessage::EpochReport(EpochReportMessage::default())
}

#[test]
fn a_submission_waits_for_its_execution() {
    let scheduler = VirtualScheduler::new(1);
    let chain = network(&scheduler);
    let client = chain.client("node");
    scheduler.block_on(async {
        chain.wait_for_height(3).await;
        let receipt = client.submit(report()).await.unwrap();
        assert_eq!(receipt.height, 4);
        assert_eq!(client.status().await.unwrap().latest_height, 4);
        let refused = client.submit(report()).await.unwrap_err();
        assert_eq!(refused.rejection(), Some(RejectionReason::DuplicateReport));
    });
}

#[test]
fn queries_fail_as_the_seam_says() {
    let scheduler = VirtualScheduler::new(1);
    let client = network(&scheduler).client("node");
    scheduler.block_on(async {
        assert!(client.epoch_anchor(99).await.unwrap_err().is_not_found());
        assert!(client.assigned_targets("stranger", 0).await.unwrap_err().is_not_found());
        assert!(matches!(client.heal_op(0).await, Err(ChainError::InvalidRequest { .. })));
        let page = PageRequest { key: None, limit: 0 };
        assert!(matches!(client.supernodes(page).await, Err(ChainError::InvalidRequest { .. })));
        assert_eq!(client.supernodes(PageRequest::default()).await.unwrap().items.len(), 1);
    });
}

#[test]
fn every_kind_of_error_can_be_injected() {
    let scheduler = VirtualScheduler::new(1);
    let chain = network(&scheduler);
    let client = chain.client("node");
    scheduler.block_on(async {
        for error in [
            InjectedError::Transient { outcome_unknown: false },
            InjectedError::Transient { outcome_unknown: true },
            InjectedError::NotFound,
            InjectedError::Rejected { codespace: "audit".into(), code: 4, message: String::new() },
            InjectedError::InvalidRequest,
            InjectedError::Unavailable,
        ] {
            chain.inject(call("params", CallFault::Fail { error: error.clone() }));
            assert_eq!(client.params().await.unwrap_err(), error.to_chain_error("params"));
            assert!(client.params().await.is_ok(), "the fault hits once");
        }
    });
}

#[test]
fn a_submission_can_fail_before_and_after_it_was_accepted() {
    let scheduler = VirtualScheduler::new(1);
    let chain = network(&scheduler);
    let client = chain.client("node");
    let unknown = InjectedError::Transient { outcome_unknown: true };
    scheduler.block_on(async {
        chain.wait_for_height(1).await;
        chain.inject(call("submit.epoch_report", CallFault::Fail { error: unknown.clone() }));
        assert!(client.submit(report()).await.is_err());
        assert!(client.epoch_report("node", 0).await.unwrap_err().is_not_found());
        chain.inject(call("submit", CallFault::FailAfterAcceptance { error: unknown }));
        assert!(client.submit(report()).await.is_err());
        assert!(client.epoch_report("node", 0).await.is_ok(), "it was executed all the same");
    });
}

#[test]
fn a_dropped_transaction_is_an_unknown_outcome() {
    let scheduler = VirtualScheduler::new(1);
    let chain = network(&scheduler);
    let client = chain.client("node");
    scheduler.block_on(async {
        chain.wait_for_height(1).await;
        for plan in [call("submit", CallFault::Drop), block(0, BlockFault::DropTransactions)] {
            chain.inject(plan);
            let error = client.submit(report()).await.unwrap_err();
            assert!(error.is_transient() && !error.is_certainly_not_applied(), "{error}");
        }
        chain.inject(call("submit", CallFault::Postpone { blocks: 5 }));
        let height = client.status().await.unwrap().latest_height;
        assert_eq!(client.submit(report()).await.unwrap().height, height + 6);
    });
}

#[test]
fn replicas_lag_blocks_freeze_and_heights_jump() {
    let scheduler = VirtualScheduler::new(1);
    let chain = network(&scheduler);
    let client = chain.client("node");
    let height = || chain.read(|state| state.height);
    let mut lag = call("status", CallFault::Lag { blocks: 2 });
    lag.calls[0].first = 2;
    chain.inject(lag);
    scheduler.run_for(Duration::from_millis(5_500));
    scheduler.block_on(async {
        assert_eq!(client.status().await.unwrap().latest_height, 5);
        assert_eq!(client.status().await.unwrap().latest_height, 3);
    });
    chain.inject(block(6, BlockFault::Freeze { intervals: 3 }));
    scheduler.run_for(Duration::from_secs(3));
    assert_eq!(height(), 5, "frozen");
    scheduler.run_for(Duration::from_secs(1));
    assert_eq!(height(), 6, "thawed");
    chain.inject(block(0, BlockFault::JumpTo { height: 500 }));
    let score = BlockFault::OverrideScore { of: ScoreKind::NodeSuspicion, id: "node".into(), score: 77 };
    chain.inject(block(500, score));
    scheduler.run_for(Duration::from_secs(2));
    assert_eq!(height(), 501);
    assert_eq!(chain.read(|state| state.audit.suspicion["node"].suspicion_score), 77);
    let values = [("min_cpu_free_percent".to_owned(), serde_json::json!(33))].into();
    chain.inject(block(0, BlockFault::OverrideParams { values }));
    scheduler.run_for(Duration::from_secs(1));
    assert_eq!(chain.read(|state| state.audit.params.min_cpu_free_percent), 33);
}

#[test]
fn a_halted_chain_says_so_to_everybody() {
    let scheduler = VirtualScheduler::new(1);
    let chain = network(&scheduler);
    let client = chain.client("node");
    let values = [("no_such_parameter".to_owned(), serde_json::json!(1))].into();
    chain.inject(block(3, BlockFault::OverrideParams { values }));
    scheduler.block_on(async {
        assert!(!chain.wait_for_height(5).await, "the chain halts before");
        assert_eq!(client.status().await.unwrap().latest_height, 2, "queries are still answered");
        let error = client.submit(report()).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("no_such_parameter"), "{error}");
    });
    assert!(chain.produce_block().is_err());
}

#[test]
fn a_network_is_found_by_its_name_while_it_lives() {
    let scheduler = VirtualScheduler::new(1);
    let chain = network(&scheduler);
    let guard = register_network("found by name", &chain).unwrap();
    assert!(Arc::ptr_eq(&find_network("found by name").unwrap(), &chain));
    assert!(register_network("found by name", &chain).is_err());
    drop(guard);
    assert!(find_network("found by name").is_none());
}

#[test]
fn the_plugin_makes_a_network_and_gives_a_client() {
    let scheduler = VirtualScheduler::new(1);
    let descriptor = lampkeeper_chain_sim::plugin::descriptor();
    assert!(descriptor.config_schema.contains("block_interval_ms"));
    let context = |config: &str| {
        lampkeeper_plugin_sdk::testkit::context("chain-sim")
            .config(config)
            .seams(|seams| seams.scheduler = Some(scheduler.handle()))
            .build()
    };
    let refused =
        scheduler.block_on((descriptor.construct)(context(r#"{"network": "none", "create": false}"#)));
    assert!(refused.err().unwrap().to_string().contains("create = true"));
    let wrong = r#"{"network": "own", "params": {"storage_truth_heal_verifier_count": 99}}"#;
    let refused = scheduler.block_on((descriptor.construct)(context(wrong)));
    assert!(refused.err().unwrap().to_string().contains("must be within 1..32"));
    let config = r#"{"network": "own", "params": {"epoch_length_blocks": 20}}"#;
    let provided = scheduler.block_on((descriptor.construct)(context(config))).unwrap();
    let client = provided.chain.unwrap();
    scheduler.run_for(Duration::from_millis(3_500));
    let status = scheduler.block_on(client.status()).unwrap();
    assert_eq!(status.latest_height, 3);
    assert_eq!(scheduler.block_on(client.params()).unwrap().epoch_length_blocks, 20);
    scheduler.block_on(provided.close.unwrap().close()).unwrap();
}
