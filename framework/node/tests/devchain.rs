//! `devchain` from outside: a process that is asked, killed, and started again.
#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::disallowed_methods, reason = "a test lays out files")]

use lampkeeper_chain_lumera::{ChainLumeraConfig, LumeraClient, connect};
use lampkeeper_chain_sim::address::labelled_account;
use lampkeeper_plugin_sdk::api::chain::{ChainClient, ChainMessage, ChainReader, EpochReportMessage};
use lampkeeper_plugin_sdk::api::plugin::NodeInfo;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::testkit::{TestSigner, context};
use lampkeeper_scheduler_tokio::TokioScheduler;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const CHAIN_ID: &str = "local-1";

/// A running devchain; dropping it kills it.
struct Process {
    child: Child,
    endpoint: String,
}

impl Process {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
        command.current_dir(dir).args(["devchain", "--listen", "127.0.0.1:0", "--genesis", "genesis.toml"]);
        command.args(["--block-ms", "20"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut endpoint = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut endpoint).unwrap();
        Self { child, endpoint: endpoint.trim().to_owned() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL: nothing is flushed or closed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client(dir: &Path, signer: &TestSigner, endpoint: &str) -> LumeraClient {
    let scheduler = TokioScheduler::new(tokio::runtime::Handle::current()).unwrap();
    let node = NodeInfo {
        name: "test".to_owned(),
        account: signer.account().to_owned(),
        chain_id: CHAIN_ID.to_owned(),
        data_dir: dir.to_owned(),
    };
    let context = context("chain-lumera")
        .node(node)
        .signer(signer.clone())
        .seams(|seams| seams.scheduler = Some(Arc::new(scheduler)))
        .build();
    let config = ChainLumeraConfig {
        endpoints: vec![endpoint.to_owned()],
        inclusion_poll_interval_ms: 10,
        ..ChainLumeraConfig::default()
    };
    connect(&context, &config).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_devchain_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let signer = TestSigner::new("reporter");
    let supernode = |account: &str| {
        format!(
            "[[supernodes]]\naccount = \"{account}\"\naddress = \"127.0.0.1:4444\"\nbalance_ulume = 1000000\n"
        )
    };
    let genesis = format!(
        "chain_id = \"{CHAIN_ID}\"\n[params]\nepoch_length_blocks = 100000\n{}{}",
        supernode(signer.account()),
        supernode(&labelled_account("other")),
    );
    std::fs::write(dir.path().join("genesis.toml"), genesis).unwrap();

    let process = Process::start(dir.path());
    let before = client(dir.path(), &signer, &process.endpoint);
    // Nothing is accepted before the first block.
    while before.status().await.unwrap().latest_height == 0 {}
    let receipt = before.submit(ChainMessage::EpochReport(EpochReportMessage::default())).await.unwrap();
    let height = before.status().await.unwrap().latest_height;
    drop(process);
    assert!(before.status().await.unwrap_err().is_transient());

    // What the genesis file says is no longer read.
    std::fs::write(dir.path().join("genesis.toml"), "nonsense").unwrap();
    let process = Process::start(dir.path());
    let after = client(dir.path(), &signer, &process.endpoint);
    assert!(after.status().await.unwrap().latest_height >= height);
    assert_eq!(after.epoch_report(signer.account(), 0).await.unwrap().report_height, receipt.height);
    assert_eq!(after.account(signer.account()).await.unwrap().sequence, 1);
    assert_eq!(after.supernode(&labelled_account("other")).await.unwrap().latest_address, "127.0.0.1:4444");
}
