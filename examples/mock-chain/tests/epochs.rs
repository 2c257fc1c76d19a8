//! The script is followed in virtual time, and a node that links the plugin starts with it.

use example_mock_chain::descriptor;
use lampkeeper_core::{Manifest, Node, NodeHost, Registry, TelemetryHub};
use lampkeeper_plugin_sdk::api::chain::{ChainClient, ChainMessage, EpochReportMessage, RejectionReason};
use lampkeeper_plugin_sdk::api::plugin::Seam;
use lampkeeper_plugin_sdk::testkit::{TestSigner, VirtualScheduler, context};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SCRIPT: &str = r#"{
    "block_ms": 100, "epoch_blocks": 10,
    "supernodes": [{"account": "bob", "address": "bob:4444"}],
    "epochs": [{"targets": ["bob"]}, {"submissions": "lose"}, {"submissions": "reject"}]
}"#;

fn chain(scheduler: &VirtualScheduler, script: &str) -> Result<Arc<dyn ChainClient>, String> {
    let handle = scheduler.handle();
    let context = context("mock-chain").config(script).seams(|seams| seams.scheduler = Some(handle)).build();
    let made = scheduler.block_on((descriptor().construct)(context)).map_err(|error| error.to_string())?;
    Ok(made.chain.unwrap())
}

fn report(epoch_id: u64) -> ChainMessage {
    ChainMessage::EpochReport(EpochReportMessage { epoch_id, ..EpochReportMessage::default() })
}

#[test]
fn each_epoch_is_as_it_is_written() {
    let scheduler = VirtualScheduler::new(1);
    let chain = chain(&scheduler, SCRIPT).unwrap();
    let account = chain.account_address().to_owned();
    scheduler.block_on(async {
        assert_eq!(chain.current_epoch().await.unwrap().epoch_id, 0);
        assert_eq!(chain.assigned_targets(&account, 0).await.unwrap().target_supernode_accounts, ["bob"]);
        assert!(chain.epoch_anchor(1).await.unwrap_err().is_not_found(), "it has not begun");
        let receipt = chain.submit(report(0)).await.unwrap();
        assert_eq!(chain.epoch_report(&account, 0).await.unwrap().report_height, receipt.height);
        scheduler.handle().sleep(Duration::from_secs(1)).await;
        let epoch = chain.current_epoch().await.unwrap();
        assert_eq!((epoch.epoch_id, epoch.epoch_start_height, epoch.epoch_end_height), (1, 11, 20));
        assert!(chain.assigned_targets(&account, 1).await.unwrap().target_supernode_accounts.is_empty());
        let lost = chain.submit(report(1)).await.unwrap_err();
        assert!(lost.is_transient() && lost.is_certainly_not_applied(), "{lost}");
        scheduler.handle().sleep(Duration::from_secs(60)).await;
        let refused = chain.submit(report(61)).await.unwrap_err();
        assert_eq!(refused.rejection(), Some(RejectionReason::ReporterNotFound));
        assert!(chain.epoch_report(&account, 1).await.unwrap_err().is_not_found());
    });
}

#[test]
fn a_script_that_contradicts_itself_is_refused() {
    let told = chain(&VirtualScheduler::new(1), r#"{"epochs": [{"targets": ["eve"]}]}"#).err().unwrap();
    assert_eq!(told, "plugin mock-chain: epochs: the target eve is not among `supernodes`");
}

#[test]
fn a_node_that_links_it_has_a_chain() {
    let registry = Registry::from_static().unwrap().with_host_seams([Seam::Scheduler]);
    let text = "[node]\nname = 'n1'\nnetwork = 'mock-1'\ndata_dir = 'data'\n[plugins.mock-chain.config]\n\
                block_ms = 50\n[[plugins.mock-chain.config.epochs]]\nsubmissions = 'reject'\n";
    let manifest = Manifest::parse(Path::new("node.toml"), text, &registry).unwrap();
    assert!(manifest.plan.node_grants.contains_key(&Seam::ChainSubmit), "{:?}", manifest.plan);
    let scheduler = VirtualScheduler::new(1);
    let mut host = NodeHost::new(Arc::new(TestSigner::new("n1")), TelemetryHub::new());
    host.seams.scheduler = Some(scheduler.handle());
    let node = scheduler.block_on(Node::start(&manifest, &registry, host)).unwrap();
    assert!(scheduler.block_on(node.drain()).is_clean());
}
