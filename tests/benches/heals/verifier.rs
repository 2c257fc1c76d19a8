//! A verifier with the real service, which streams a file from a healer that reads it from disk.

use crate::network::PacketFile;
use crate::{Cost, HEAL_OP_ID, cpu_ms, peak_kib};
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::{
    ChainMessage, ChainStatus, EpochInfo, HealOp, HealOpStatus, Page, PageRequest, Params, PortState,
    Supernode, SupernodeState, TxReceipt,
};
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::transport::{
    CallError, MessageStream, Peer, Router, ServerHandle, Status, Transport,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::fixture::MemoryNetwork;
use lampkeeper_plugin_sdk::testkit::{MemoryJournal, MemoryStaging, MockChain, context};
use lampkeeper_proto::supernode::ServeReconstructedArtefactsResponse;
use prost::Message as _;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// Bytes in one message of the stream (wire 5.1).
const CHUNK_LEN_BYTES: usize = 1024 * 1024;

/// A transport to a healer that streams one file.
struct OneFile(PacketFile);

struct Chunks {
    file: File,
    len_bytes: u64,
    sent: u64,
}

#[async_trait]
impl MessageStream for Chunks {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        if self.sent == self.len_bytes {
            return None;
        }
        let left = usize::try_from(self.len_bytes - self.sent).unwrap();
        let mut chunk = vec![0; left.min(CHUNK_LEN_BYTES)];
        self.file.read_exact(&mut chunk).unwrap();
        self.sent += chunk.len() as u64;
        let is_last = self.sent == self.len_bytes;
        let total_size = self.len_bytes;
        Some(Ok(ServeReconstructedArtefactsResponse { chunk, total_size, is_last }.encode_to_vec()))
    }
}

#[async_trait]
impl Transport for OneFile {
    async fn call(&self, peer: &Peer, path: &str, _: Vec<u8>, _: Duration) -> Result<Vec<u8>, CallError> {
        panic!("unexpected call of {path} at {}", peer.account)
    }

    async fn call_stream(
        &self,
        _: &Peer,
        _: &str,
        _: Vec<u8>,
        _: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        let file = self.0.file();
        let len_bytes = file.metadata().unwrap().len();
        Ok(Box::new(Chunks { file, len_bytes, sent: 0 }))
    }

    async fn serve(&self, _: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        panic!("a service never serves by itself")
    }

    async fn probe_port(&self, _: &str, _: u16, _: Duration) -> PortState {
        PortState::Open
    }
}

/// Verifies one operation and votes.
pub(crate) async fn verify(scheduler: Arc<dyn Scheduler>, packets: PacketFile) -> Cost {
    let fixture = packets.ticket();
    let op = HealOp {
        heal_op_id: HEAL_OP_ID,
        ticket_id: fixture.ticket.ticket_id.clone(),
        healer_supernode_account: "bob".to_owned(),
        verifier_supernode_accounts: vec!["ann".to_owned()],
        status: HealOpStatus::HealerReported,
        deadline_epoch_id: 9,
        result_hash: fixture.ticket.data_hash.clone(),
        ..HealOp::default()
    };
    let page = || PageRequest { key: None, limit: 100 };
    let list = |items| Ok(Page { items, next_key: None });
    let healer = Supernode {
        supernode_account: "bob".to_owned(),
        latest_address: "bob:4444".to_owned(),
        state: SupernodeState::Active,
        ..Supernode::default()
    };
    let chain = fixture
        .known_to(MockChain::builder("ann"))
        .params(Ok(Params::default()))
        .always()
        .status(Ok(ChainStatus { chain_id: "bench".to_owned(), latest_height: 650, latest_block_time_ms: 0 }))
        .always()
        .current_epoch(Ok(EpochInfo { epoch_id: 6, epoch_start_height: 601, epoch_end_height: 700 }))
        .always()
        .supernode("bob", Ok(healer))
        .always()
        .heal_op(HEAL_OP_ID, Ok(op.clone()))
        .always()
        .heal_ops_by_status(HealOpStatus::Scheduled, page(), list(Vec::new()))
        .always()
        .heal_ops_by_status(HealOpStatus::HealerReported, page(), list(vec![op]))
        .always()
        .submit_where(
            "a yes",
            |message| matches!(message, ChainMessage::HealVerification(vote) if vote.verified),
            Ok(TxReceipt::default()),
        )
        .build();
    let staging = Arc::new(MemoryStaging::new());
    let strategy_context = context("heal-full").seams(|seams| {
        seams.chain_reader = Some(chain.clone());
        seams.network = Some(Arc::new(MemoryNetwork::new(&[])));
        seams.staging = Some(staging.clone());
        seams.scheduler = Some(Arc::clone(&scheduler));
    });
    let strategy = (lampkeeper_heal_full::descriptor().construct)(strategy_context.build()).await.unwrap();
    let service_context = context("self-healing").config(r#"{"poll_interval_ms": 50}"#).seams(|seams| {
        seams.chain = Some(chain.clone());
        seams.journal = Some(Arc::new(MemoryJournal::new()));
        seams.staging = Some(staging);
        seams.network = Some(Arc::new(MemoryNetwork::new(&[])));
        seams.transport = Some(Arc::new(OneFile(packets)));
        seams.scheduler = Some(Arc::clone(&scheduler));
        seams.heal_strategy = strategy.heal_strategy;
    });
    let provided = (lampkeeper_self_healing::descriptor().construct)(service_context.build()).await.unwrap();
    let service = Arc::clone(&provided.services[0]);
    let (shutdown, before_ms) = (Cancel::new(), cpu_ms());
    let signal = shutdown.clone();
    let running = scheduler.spawn("verifier", Box::pin(async move { service.run(signal).await.unwrap() }));
    while chain.submitted().is_empty() {
        scheduler.sleep(Duration::from_millis(20)).await;
    }
    shutdown.cancel();
    running.join().await.unwrap();
    Cost { cpu_ms: cpu_ms() - before_ms, peak_kib: peak_kib(), ..Cost::default() }
}
