//! Nodes that want to pass challenges without keeping what they were paid for.

use crate::network::ANSWER_TIMEOUT;
use lampkeeper_plugin_sdk::api::network::ArtifactNetwork;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::store::ArtifactStore;
use lampkeeper_plugin_sdk::api::transport::{Caller, Status, UnaryHandler};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::evidence::transcript_hash;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::transcript::hash_ranges;
use lampkeeper_plugin_sdk::protocol::verified_slice;
use lampkeeper_plugin_sdk::testkit::{MemoryStore, TestSigner};
use lampkeeper_proto::supernode::{
    ByteRange, CompoundProofFailure, GetCompoundProofRequest, GetCompoundProofResponse,
};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// Length of a chunk of BLAKE3's tree.
const CHUNK_LEN_BYTES: u64 = 1024;

/// What a node does instead of keeping everything and answering truthfully.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Stores nothing and invents bytes with a matching hash.
    Invents,
    /// Stores only index and layout files.
    OnlyIdFiles,
    /// Has dropped a share of its symbols, in percent.
    Dropped(usize),
    /// Keeps each artifact's first half, and all hashes of its tree.
    FirstHalf,
    /// Keeps the last chunk as well.
    FirstHalfAndEnd,
    /// Proves another artifact.
    OtherArtifact,
    /// Lies about the length.
    FalseLength,
    /// Replays the answer to an older challenge.
    Replays,
    /// Signs with another key.
    OtherKey,
    /// Answers after the deadline.
    Late,
    /// Says that the request is wrong.
    BlamesRequest,
    /// Stores nothing and fetches what it is asked for from others.
    FetchesOnDemand,
    /// Answers only some challengers.
    Selective,
}

/// A lie in front of an honest handler.
pub(crate) struct Liar {
    pub(crate) lie: Lie,
    pub(crate) honest: Arc<dyn UnaryHandler>,
    pub(crate) signer: TestSigner,
    pub(crate) store: MemoryStore,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) network: Arc<dyn ArtifactNetwork>,
}

/// Whether the selective liar answers this challenger.
pub(crate) fn is_favoured(account: &str) -> bool {
    ArtifactKey::of(account.as_bytes()).as_bytes()[0].is_multiple_of(2)
}

#[async_trait]
impl UnaryHandler for Liar {
    async fn call(&self, caller: Caller, bytes: Vec<u8>) -> Result<Vec<u8>, Status> {
        let request = GetCompoundProofRequest::decode(bytes.as_slice()).unwrap();
        let failure = |failure: CompoundProofFailure| GetCompoundProofResponse {
            failure: failure.into(),
            ..GetCompoundProofResponse::default()
        };
        match self.lie {
            Lie::OnlyIdFiles | Lie::Dropped(_) => return self.honest.call(caller, bytes).await,
            Lie::Late => {
                self.scheduler.sleep(ANSWER_TIMEOUT + Duration::from_secs(1)).await;
                return self.honest.call(caller, bytes).await;
            }
            Lie::FetchesOnDemand => return self.fetch_and_answer(caller, &request, bytes).await,
            Lie::Selective if is_favoured(caller.account()) => return self.honest.call(caller, bytes).await,
            Lie::Selective => return Ok(failure(CompoundProofFailure::Missing).encode_to_vec()),
            Lie::BlamesRequest => return Ok(failure(CompoundProofFailure::InvalidRequest).encode_to_vec()),
            _ => {}
        }
        let response = match self.lie {
            Lie::Invents => self.without_proof(&request, |len| vec![0xAB; len]),
            Lie::FirstHalf => self.half(&request).await,
            Lie::FirstHalfAndEnd if asks_first_half(&request) => {
                return self.honest.call(caller, bytes).await;
            }
            Lie::FirstHalfAndEnd => self.half(&request).await,
            Lie::OtherArtifact => self.other(&request).await,
            _ => return self.twist(caller, &request).await,
        };
        Ok(response.encode_to_vec())
    }
}

impl Liar {
    /// The honest answer to this or an older challenge, twisted.
    async fn twist(&self, caller: Caller, request: &GetCompoundProofRequest) -> Result<Vec<u8>, Status> {
        let mut asked = request.clone();
        if self.lie == Lie::Replays {
            asked.epoch_id -= 1;
            asked.ranges.iter_mut().for_each(|range| {
                *range =
                    ByteRange { start: range.start / 2, end: range.start / 2 + (range.end - range.start) };
            });
        }
        let answer = self.honest.call(caller, asked.encode_to_vec()).await?;
        let mut response = GetCompoundProofResponse::decode(answer.as_slice()).unwrap();
        match self.lie {
            Lie::FalseLength => {
                response.artifact_size += 1000;
                response.verified_slices[..8].copy_from_slice(&response.artifact_size.to_le_bytes());
            }
            Lie::OtherKey => {
                let other = TestSigner::new("somebody else");
                response.recipient_signature = sign(&other, request, &response.proof_hash_hex);
            }
            _ => response.epoch_id = request.epoch_id,
        }
        Ok(response.encode_to_vec())
    }

    async fn fetch_and_answer(
        &self,
        caller: Caller,
        request: &GetCompoundProofRequest,
        bytes: Vec<u8>,
    ) -> Result<Vec<u8>, Status> {
        let key: ArtifactKey = request.artifact_key.parse().unwrap();
        let fetched = self.network.fetch(&[key]).await.unwrap().remove(0);
        if let Some(artifact) = fetched {
            self.store.put(&key, artifact.bytes).await.unwrap();
        }
        let answer = self.honest.call(caller, bytes).await;
        self.store.delete(&key).await.unwrap();
        answer
    }

    /// The bytes of the first half, and zeroes.
    async fn half(&self, request: &GetCompoundProofRequest) -> GetCompoundProofResponse {
        let key: ArtifactKey = request.artifact_key.parse().unwrap();
        let mut bytes = self.store.get(&key).await.unwrap().unwrap();
        let half = bytes.len() / 2;
        bytes[half..].fill(0);
        self.proven(request, &bytes)
    }

    async fn other(&self, request: &GetCompoundProofRequest) -> GetCompoundProofResponse {
        let mut other = None;
        for entry in self.store.list(None, 1000).await.unwrap() {
            if entry.len_bytes == request.artifact_size && entry.key.to_string() != request.artifact_key {
                other = self.store.get(&entry.key).await.unwrap();
                break;
            }
        }
        match other {
            Some(bytes) => self.proven(request, &bytes),
            None => self.without_proof(request, |len| vec![1; len]),
        }
    }

    fn proven(&self, request: &GetCompoundProofRequest, bytes: &[u8]) -> GetCompoundProofResponse {
        let ranges: Vec<_> = request.ranges.iter().map(|range| range.start..range.end).collect();
        let mut next = ranges.iter().map(|range| bytes[range.start as usize..range.end as usize].to_vec());
        let mut response = self.without_proof(request, |_| next.next().unwrap());
        response.verified_slices = verified_slice::prove(bytes, &ranges).unwrap();
        response
    }

    /// A signed answer with these bytes, as older peers send it.
    fn without_proof(
        &self,
        request: &GetCompoundProofRequest,
        mut bytes: impl FnMut(usize) -> Vec<u8>,
    ) -> GetCompoundProofResponse {
        let range_bytes: Vec<_> =
            request.ranges.iter().map(|range| bytes((range.end - range.start) as usize)).collect();
        let proof_hash_hex = hash_ranges(range_bytes.iter().map(Vec::as_slice));
        GetCompoundProofResponse {
            challenge_id: request.challenge_id.clone(),
            epoch_id: request.epoch_id,
            ticket_id: request.ticket_id.clone(),
            artifact_key: request.artifact_key.clone(),
            recipient_signature: sign(&self.signer, request, &proof_hash_hex),
            range_bytes,
            proof_hash_hex,
            ok: true,
            ..GetCompoundProofResponse::default()
        }
    }
}

/// Whether a node with the first half and the last chunk has all that is asked for.
fn asks_first_half(request: &GetCompoundProofRequest) -> bool {
    request.ranges.iter().all(|range| chunk_end(range.end) <= request.artifact_size / 2)
}

fn chunk_end(byte: u64) -> u64 {
    byte.div_ceil(CHUNK_LEN_BYTES) * CHUNK_LEN_BYTES
}

fn sign(signer: &TestSigner, request: &GetCompoundProofRequest, proof_hash: &str) -> String {
    hex::encode(signer.sign(transcript_hash(request, proof_hash).unwrap().as_bytes()).unwrap())
}
