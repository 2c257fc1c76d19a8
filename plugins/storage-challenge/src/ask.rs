//! Asks a target for one artifact, twice if need be, and looks at itself and at the chain before it blames.
//!
//! Owns the way from a draw to an observation. Weighing one answer is `answer`'s part, choosing what to ask is
//! `draw`'s.

use crate::answer::{Asked, Weighed, weigh};
use crate::caps::Caps;
use crate::config::Config;
use crate::draw::Draw;
use crate::epoch_view::{EpochView, Target, chain_fault, is_challengeable};
use crate::rows::{Subject, challenge_row};
use lampkeeper_plugin_sdk::api::chain::{ChainReader, PortState, StorageProofResult};
use lampkeeper_plugin_sdk::api::challenge::{ChallengeError, Observation};
use lampkeeper_plugin_sdk::api::network::ArtifactNetwork;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::store::ArtifactStore;
use lampkeeper_plugin_sdk::api::transport::{Peer, Transport};
use lampkeeper_plugin_sdk::protocol::transcript::ChallengedArtifact;
use lampkeeper_plugin_sdk::protocol::words::Bucket;
use lampkeeper_proto::methods::GET_COMPOUND_PROOF;
use lampkeeper_proto::supernode::{ByteRange, GetCompoundProofRequest, GetCompoundProofResponse};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// How often a target is asked before something is said against it.
const ATTEMPTS_MAX: u32 = 2;
/// Other nodes that are tried when a target can't be reached, to tell its fault from ours.
const SELF_CHECK_PEERS_MAX: usize = 3;
/// How long each of them has.
const SELF_CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// The port of an address that names none (wire 9.1).
const GRPC_PORT_DEFAULT: u16 = 4444;

/// The seams that asking needs.
pub(crate) struct Asker {
    pub(crate) config: Config,
    pub(crate) chain: Arc<dyn ChainReader>,
    pub(crate) network: Arc<dyn ArtifactNetwork>,
    pub(crate) store: Arc<dyn ArtifactStore>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
}

/// What to ask, and of whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) target: &'a Target,
    pub(crate) ticket_id: &'a str,
    pub(crate) bucket: Bucket,
    pub(crate) draw: Draw,
    /// The seed of the ranges: the epoch's, or for a recheck that of the present epoch, so that a target can't have
    /// prepared just the ranges that it failed (closes wire 6.3).
    pub(crate) seed: &'a [u8],
}

/// The outcome of asking for one artifact.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// A row and what led to it.
    Row(Box<Finding>),
    /// Nothing can be said: the ticket or the target no longer qualifies.
    NotEligible(String),
}

/// What was found out about one artifact.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) observation: Observation,
    pub(crate) row: StorageProofResult,
    pub(crate) proof: &'static str,
    pub(crate) proof_bytes: u64,
    pub(crate) attempts: u32,
}

/// What one attempt came to.
enum Attempt {
    Proven { proof_hash: String, proof: &'static str, proof_bytes: u64 },
    Against(Observation, String),
}

struct Prepared {
    request: GetCompoundProofRequest,
    derivation_input_hash: String,
}

impl Asker {
    /// Asks for what was drawn.
    pub(crate) async fn ask(
        &self,
        view: &EpochView,
        question: Question<'_>,
    ) -> Result<Outcome, ChallengeError> {
        let Question { target, ticket_id, bucket, draw, .. } = question;
        let prepared = self.prepare(view, question)?;
        let mut attempts = 1;
        let mut attempt = self.attempt(target, bucket, draw, &prepared).await?;
        while let Attempt::Against(..) = attempt
            && attempts < ATTEMPTS_MAX
        {
            self.scheduler.sleep(self.config.retry_delay()).await;
            attempts += 1;
            attempt = self.attempt(target, bucket, draw, &prepared).await?;
        }
        let (observation, proof_hash, proof, proof_bytes, details) = match attempt {
            Attempt::Proven { proof_hash, proof, proof_bytes } => {
                (Observation::Pass, proof_hash, proof, proof_bytes, String::new())
            }
            Attempt::Against(observation, details) => {
                if let Some(reason) = self.no_longer_eligible(target, ticket_id).await? {
                    return Ok(Outcome::NotEligible(reason));
                }
                self.check_ourselves(view, target, observation).await?;
                (observation, String::new(), "none", 0, details)
            }
        };
        let subject = Subject {
            epoch_id: view.anchor.epoch_id,
            target: &target.account,
            ticket_id,
            bucket,
            draw,
            derivation_input_hash: &prepared.derivation_input_hash,
        };
        let row = challenge_row(self.signer.as_ref(), &subject, observation, &proof_hash, &details)?;
        Ok(Outcome::Row(Box::new(Finding { observation, row, proof, proof_bytes, attempts })))
    }

    fn prepare(&self, view: &EpochView, question: Question<'_>) -> Result<Prepared, ChallengeError> {
        let Question { target, ticket_id, bucket, draw, seed } = question;
        let artifact = ChallengedArtifact {
            target: &target.account,
            ticket_id,
            class: draw.artifact.class,
            ordinal: draw.ordinal,
        };
        let len_bytes = draw.artifact.len_bytes;
        let (range_count, range_len_bytes) = Caps::of(&view.params).ranges_for(len_bytes);
        let derive =
            |error: lampkeeper_plugin_sdk::protocol::transcript::TranscriptError| ChallengeError::Ours {
                stage: "deriving the ranges".to_owned(),
                reason: error.to_string(),
                transient: false,
            };
        let offsets =
            artifact.range_offsets(seed, len_bytes, range_len_bytes, range_count).map_err(derive)?;
        let derivation_input_hash =
            artifact.derivation_input_hash(seed, &offsets, range_len_bytes).map_err(derive)?;
        let request = GetCompoundProofRequest {
            challenge_id: artifact.challenge_id(seed, view.anchor.epoch_id),
            epoch_id: view.anchor.epoch_id,
            seed: seed.to_vec(),
            ticket_id: ticket_id.to_owned(),
            target_supernode_account: target.account.clone(),
            challenger_account: self.signer.account().to_owned(),
            observer_accounts: Vec::new(),
            artifact_class: draw.artifact.class.number().unsigned_abs(),
            artifact_ordinal: draw.ordinal,
            artifact_count: draw.count,
            bucket_type: bucket.number().unsigned_abs(),
            artifact_key: draw.artifact.key.to_string(),
            artifact_size: len_bytes,
            ranges: offsets.iter().map(|&start| ByteRange { start, end: start + range_len_bytes }).collect(),
            want_verified_slices: true,
        };
        Ok(Prepared { request, derivation_input_hash })
    }

    async fn attempt(
        &self,
        target: &Target,
        bucket: Bucket,
        draw: Draw,
        prepared: &Prepared,
    ) -> Result<Attempt, ChallengeError> {
        let peer = Peer { account: target.account.clone(), address: target.address.clone() };
        let bytes = prepared.request.encode_to_vec();
        let answer =
            self.transport.call(&peer, GET_COMPOUND_PROOF, bytes, self.config.answer_timeout()).await;
        let bytes = match answer {
            Ok(bytes) => bytes,
            Err(error) => return call_failed(&error),
        };
        let Ok(response) = GetCompoundProofResponse::decode(bytes.as_slice()) else {
            return Ok(Attempt::Against(
                Observation::Malformed,
                "the answer is not a proof message".to_owned(),
            ));
        };
        let asked = Asked {
            request: &prepared.request,
            class: draw.artifact.class,
            bucket,
            key: draw.artifact.key,
            len_bytes: draw.artifact.len_bytes,
            derivation_input_hash: &prepared.derivation_input_hash,
            target_key: &target.public_key,
        };
        let weighed = match weigh(&asked, &response, None) {
            Weighed::NeedsCopy => weigh(&asked, &response, Some(&self.copy_of(draw).await?)),
            weighed => weighed,
        };
        self.settle(weighed)
    }

    fn settle(&self, weighed: Weighed) -> Result<Attempt, ChallengeError> {
        match weighed {
            Weighed::Proven { proof_hash, proof, proof_bytes } => {
                Ok(Attempt::Proven { proof_hash, proof, proof_bytes })
            }
            Weighed::Against(observation, details) => Ok(Attempt::Against(observation, details)),
            Weighed::NoAnswer(details) => Ok(Attempt::Against(Observation::TimedOut, details)),
            Weighed::Ours(reason) => {
                Err(ChallengeError::Ours { stage: "asking the target".to_owned(), reason, transient: false })
            }
            Weighed::NeedsCopy => Err(ChallengeError::Ours {
                stage: "comparing with another holder's copy".to_owned(),
                reason: "no copy was compared".to_owned(),
                transient: true,
            }),
        }
    }

    /// The artifact from our own store or another holder, checked against its key.
    async fn copy_of(&self, draw: Draw) -> Result<Vec<u8>, ChallengeError> {
        let key = draw.artifact.key;
        if let Ok(Some(bytes)) = self.store.get(&key).await {
            return Ok(bytes);
        }
        let ours = |reason: String| ChallengeError::Ours {
            stage: "fetching a copy to compare with".to_owned(),
            reason,
            transient: true,
        };
        let fetched = self.network.fetch(&[key]).await.map_err(|error| ours(error.to_string()))?;
        let artifact = fetched.into_iter().next().flatten();
        artifact
            .map(|artifact| artifact.bytes)
            .ok_or_else(|| ours(format!("no holder of {key} has intact bytes")))
    }

    /// Looks at the chain again before anything is said against a target.
    async fn no_longer_eligible(
        &self,
        target: &Target,
        ticket_id: &str,
    ) -> Result<Option<String>, ChallengeError> {
        let stage = "looking at the chain again";
        match self.chain.supernode(&target.account).await {
            Ok(node) if !node.state.is_routed() => {
                return Ok(Some(format!("the target is {}", node.state.name())));
            }
            Ok(node) if node.latest_address != target.address => {
                return Ok(Some("the target has moved to another address".to_owned()));
            }
            Ok(_) => {}
            Err(error) if error.is_not_found() => {
                return Ok(Some("the target is no longer registered".to_owned()));
            }
            Err(error) => return Err(chain_fault(stage, &error)),
        }
        match self.chain.ticket(ticket_id).await {
            Ok(ticket) if is_challengeable(&ticket) => Ok(None),
            Ok(_) => Ok(Some("the ticket is no longer stored".to_owned())),
            Err(error) if error.is_not_found() => Ok(Some("the ticket is gone".to_owned())),
            Err(error) => Err(chain_fault(stage, &error)),
        }
    }

    /// Whether anybody else can be reached, when the target can't: if not, the fault is likely ours.
    async fn check_ourselves(
        &self,
        view: &EpochView,
        target: &Target,
        observation: Observation,
    ) -> Result<(), ChallengeError> {
        if !matches!(observation, Observation::Unreachable | Observation::TimedOut) {
            return Ok(());
        }
        let own = self.signer.account();
        let others: Vec<_> = view
            .supernodes
            .values()
            .filter(|node| node.supernode_account != target.account && node.supernode_account != own)
            .filter(|node| node.state.is_routed() && !node.latest_address.is_empty())
            .take(SELF_CHECK_PEERS_MAX)
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        for node in &others {
            let (_, port) = split_port(&node.latest_address);
            let state = self.transport.probe_port(&node.latest_address, port, SELF_CHECK_TIMEOUT).await;
            if state == PortState::Open {
                return Ok(());
            }
        }
        Err(ChallengeError::Ours {
            stage: "checking our own connection".to_owned(),
            reason: format!("neither the target nor any of {} other nodes can be reached", others.len()),
            transient: true,
        })
    }
}

/// Host and port of an address; the default port if it names none (wire 2.8).
fn split_port(address: &str) -> (&str, u16) {
    match address.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or(GRPC_PORT_DEFAULT)),
        None => (address, GRPC_PORT_DEFAULT),
    }
}

fn call_failed(error: &lampkeeper_plugin_sdk::api::transport::CallError) -> Result<Attempt, ChallengeError> {
    use lampkeeper_plugin_sdk::api::transport::CallError;
    if error.is_ours() {
        return Err(ChallengeError::Ours {
            stage: "calling the target".to_owned(),
            reason: error.to_string(),
            transient: true,
        });
    }
    let observation = match error {
        CallError::TimedOut { .. } => Observation::TimedOut,
        _ if error.is_no_response() => Observation::Unreachable,
        CallError::Refused { .. } => Observation::Refused,
        _ => Observation::Malformed,
    };
    Ok(Attempt::Against(observation, error.to_string()))
}
