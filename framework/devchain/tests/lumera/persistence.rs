//! A chain that was killed comes back at its height, with everything that it had told.

use crate::support::{self, Served, at_once, by_timer, claimable, client_of, config};
use lampkeeper_chain_sim::State;
use lampkeeper_devchain::{DevChain, NoIntercept, StoreError};
use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, ChainMessage, ChainReader, HealClaimMessage, HealOpStatus,
};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::testkit::TestSigner;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

fn genesis() -> Result<State, String> {
    let signer = TestSigner::new("healer");
    let mut state = support::state(&[signer.account().to_owned()]);
    for id in 1..=3 {
        state.audit.heal_ops.insert(claimable(id, signer.account()));
    }
    Ok(state)
}

fn open(dir: &Path) -> Arc<DevChain> {
    DevChain::open(dir, genesis, at_once(), support::scheduler()).expect("a chain")
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
async fn a_killed_chain_comes_back_at_its_height_and_knows_its_transactions() {
    let dir = tempfile::tempdir().expect("a directory");
    let signer = TestSigner::new("healer");
    let mut before: Option<(String, String)> = None;
    for round in 1..=3 {
        let chain = open(dir.path());
        if let Some((state, tx_hash)) = &before {
            assert_eq!(&chain.read(|state| state.to_json().expect("JSON")), state, "round {round}");
            assert!(chain.transaction(tx_hash).is_some_and(|tx| tx.code == 0), "round {round}");
        }
        let served = Served::new(Arc::clone(&chain), Arc::new(NoIntercept));
        let (client, _) = client_of(&signer, &config(vec![served.endpoint()]));
        let receipt = client.submit(claim(round)).await.expect("a claim");
        chain.produce_block().expect("an empty block");
        assert_eq!(client.heal_op(round).await.expect("it").status, HealOpStatus::HealerReported);
        before = Some((chain.read(|state| state.to_json().expect("JSON")), receipt.tx_hash));
        // Nothing is closed or flushed: the process is gone.
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_was_half_written_was_never_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = open(dir.path());
    for _ in 0..5 {
        chain.produce_block().expect("a block");
    }
    let height = chain.read(|state| state.height);
    drop(chain);
    let path = dir.path().join("blocks.jsonl");
    let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("the file of blocks");
    file.write_all(b"{\"height\":9,\"time_").expect("half a block");
    let chain = open(dir.path());
    assert_eq!(chain.read(|state| state.height), height);
    chain.produce_block().expect("it goes on");
    drop(chain);
    assert_eq!(open(dir.path()).read(|state| state.height), height + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_blocks_don_t_make_the_files_grow_without_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = DevChain::open(dir.path(), genesis, by_timer(), support::scheduler()).expect("a chain");
    for _ in 0..1200 {
        chain.produce_block().expect("a block");
    }
    let lines = std::fs::read_to_string(dir.path().join("blocks.jsonl")).expect("the file").lines().count();
    assert!(lines < 500, "{lines} blocks wait for the next snapshot");
    let height = chain.read(|state| state.height);
    drop(chain);
    assert_eq!(open(dir.path()).read(|state| state.height), height);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_chain_is_refused_and_not_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("chain.json"), "{}").expect("a file");
    let refused = DevChain::open(dir.path(), genesis, at_once(), support::scheduler());
    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    assert_eq!(std::fs::read_to_string(dir.path().join("chain.json")).expect("the file"), "{}");
}
