//! Asks a target for one artifact, twice if need be, and looks at the chain again before it blames.
//!
//! Owns the way from a draw to an observation. Weighing one answer is `answer`'s part, choosing what to ask is
//! `draw`'s, and looking at this node itself is `self_check`'s.

use crate::answer::{Asked, Weighed, weigh};
use crate::caps::Caps;
use crate::config::Config;
use crate::draw::Draw;
use crate::epoch_view::{EpochView, Target, chain_fault, is_challengeable};
use crate::rows::{Subject, challenge_row};
use lampkeeper_plugin_sdk::api::chain::{ChainReader, StorageProofResult};
use lampkeeper_plugin_sdk::api::challenge::{ChallengeError, Observation};
use lampkeeper_plugin_sdk::api::network::ArtifactNetwork;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::store::ArtifactStore;
use lampkeeper_plugin_sdk::api::transport::{CallError, Peer, Transport};
use lampkeeper_plugin_sdk::protocol::transcript::ChallengedArtifact;
use lampkeeper_plugin_sdk::protocol::words::Bucket;
use lampkeeper_proto::methods::GET_COMPOUND_PROOF;
use lampkeeper_proto::supernode::{ByteRange, GetCompoundProofRequest, GetCompoundProofResponse};
use prost::Message;
use std::sync::Arc;

/// How often a target is asked before something is said against it.
const ATTEMPTS_MAX: u32 = 2;
/// A call that took this many times its timeout says that this process stood still, not that the target was slow.
const TIMEOUTS_STOOD_STILL: u32 = 2;

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
    /// Nothing can be said: the ticket or the target does not qualify, or no longer.
    NotEligible(String),
    /// Nothing could be found out about this artifact, and the target may not even be at fault: the rest of the network
    /// has no copy to compare with. Another ticket may do.
    Undecided(ChallengeError),
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
    Unfit(String),
    Undecided(ChallengeError),
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
        while let Attempt::Against(observation, _) = attempt
            && attempts < ATTEMPTS_MAX
        {
            // Now, and not only at the end: a fault of ours that lasts for both calls may have passed by then.
            self.check_reach(view, &target.account, observation).await?;
            self.scheduler.sleep(self.config.retry_delay()).await;
            attempts += 1;
            attempt = self.attempt(target, bucket, draw, &prepared).await?;
        }
        let (observation, proof_hash, proof, proof_bytes, details) = match attempt {
            Attempt::Unfit(reason) => return Ok(Outcome::NotEligible(reason)),
            Attempt::Undecided(error) => return Ok(Outcome::Undecided(error)),
            Attempt::Proven { proof_hash, proof, proof_bytes } => {
                (Observation::Pass, proof_hash, proof, proof_bytes, String::new())
            }
            Attempt::Against(observation, details) => {
                if let Some(reason) = self.no_longer_eligible(target, ticket_id).await? {
                    return Ok(Outcome::NotEligible(reason));
                }
                self.check_ourselves(view, &target.account, observation).await?;
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
        let bytes = match self.call(target, &prepared.request).await? {
            Ok(bytes) => bytes,
            Err(against) => return Ok(against),
        };
        let Ok(response) = GetCompoundProofResponse::decode(bytes.as_slice()) else {
            let problem = "the answer is not a proof message".to_owned();
            return Ok(Attempt::Against(Observation::Malformed, problem));
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
            Weighed::NeedsCopy => match self.copy_of(draw).await {
                Ok(copy) => weigh(&asked, &response, Some(&copy)),
                Err(error) => return Ok(Attempt::Undecided(error)),
            },
            weighed => weighed,
        };
        Ok(match weighed {
            Weighed::Proven { proof_hash, proof, proof_bytes } => {
                Attempt::Proven { proof_hash, proof, proof_bytes }
            }
            Weighed::Against(observation, details) => Attempt::Against(observation, details),
            Weighed::NoAnswer(details) => Attempt::Against(Observation::TimedOut, details),
            Weighed::Unfit(reason) => Attempt::Unfit(reason),
            Weighed::NeedsCopy => Attempt::Undecided(copy_fault("a copy decided nothing")),
        })
    }

    /// Calls the target; the inner error is what its silence or refusal amounts to.
    async fn call(
        &self,
        target: &Target,
        request: &GetCompoundProofRequest,
    ) -> Result<Result<Vec<u8>, Attempt>, ChallengeError> {
        let peer = Peer { account: target.account.clone(), address: target.address.clone() };
        let timeout = self.config.answer_timeout();
        let begun = self.scheduler.now();
        let answer = self.transport.call(&peer, GET_COMPOUND_PROOF, request.encode_to_vec(), timeout).await;
        let error = match answer {
            Ok(bytes) => return Ok(Ok(bytes)),
            Err(error) => error,
        };
        let took = self.scheduler.now().since(begun);
        let stood_still = error.is_no_response() && took >= timeout.saturating_mul(TIMEOUTS_STOOD_STILL);
        if error.is_ours() || stood_still {
            return Err(ChallengeError::Ours {
                stage: "calling the target".to_owned(),
                reason: format!("{error} (after {} ms)", took.as_millis()),
                transient: true,
            });
        }
        Ok(Err(Attempt::Against(observation_of(&error), error.to_string())))
    }

    /// The artifact from our own store or another holder, checked against its key.
    async fn copy_of(&self, draw: Draw) -> Result<Vec<u8>, ChallengeError> {
        let key = draw.artifact.key;
        if let Ok(Some(bytes)) = self.store.get(&key).await {
            return Ok(bytes);
        }
        let fetched = self.network.fetch(&[key]).await.map_err(|error| copy_fault(error.to_string()))?;
        let artifact = fetched.into_iter().next().flatten().filter(|artifact| artifact.key == key);
        artifact
            .map(|artifact| artifact.bytes)
            .ok_or_else(|| copy_fault(format!("no holder of {key} has intact bytes")))
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
}

fn copy_fault(reason: impl Into<String>) -> ChallengeError {
    ChallengeError::Ours {
        stage: "fetching a copy to compare with".to_owned(),
        reason: reason.into(),
        transient: true,
    }
}

/// What a failed call says about the target. One that is overloaded or shutting down says so with a status; that is
/// as good as no answer (wire 3.7).
fn observation_of(error: &CallError) -> Observation {
    match error {
        CallError::TimedOut { .. } => Observation::TimedOut,
        _ if error.is_no_response() => Observation::Unreachable,
        CallError::Refused { .. } if error.is_transient() => Observation::Unreachable,
        CallError::Refused { .. } => Observation::Refused,
        _ => Observation::Malformed,
    }
}
