//! Asks a target for one artifact, twice if need be, and looks at the chain again before it blames.
//!
//! Owns the way from a draw to an observation. Weighing one answer is `answer`'s part, choosing what to ask is
//! `draw`'s, and looking at this node itself is `self_check`'s.

use crate::answer::{Asked, Weighed, weigh};
use crate::caps::Caps;
use crate::config::{Config, ProbeShape};
use crate::draw::Draw;
use crate::epoch_view::{EpochView, Target, chain_fault, is_challengeable};
use crate::record::{Recorder, Seen};
use crate::rows::{Subject, challenge_row};
use lampkeeper_plugin_sdk::api::chain::{ChainReader, HealOpStatus, PageRequest, StorageProofResult};
use lampkeeper_plugin_sdk::api::challenge::{ChallengeError, Observation};
use lampkeeper_plugin_sdk::api::network::ArtifactNetwork;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::store::ArtifactStore;
use lampkeeper_plugin_sdk::api::transport::{CallError, Peer, Transport};
use lampkeeper_plugin_sdk::protocol::transcript::{ChallengedArtifact, TranscriptError};
use lampkeeper_plugin_sdk::protocol::words::Bucket;
use lampkeeper_proto::methods::GET_COMPOUND_PROOF;
use lampkeeper_proto::supernode::{ByteRange, GetCompoundProofRequest, GetCompoundProofResponse};
use prost::Message;
use std::sync::Arc;

/// The longest artifact that is asked for as a whole: a RaptorQ symbol, and what is no longer.
const WHOLE_ARTIFACT_LEN_BYTES_MAX: u64 = 65_536;
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
    pub(crate) recorder: Recorder,
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
    /// Which bytes of the artifact are asked for.
    pub(crate) shape: ProbeShape,
}

/// The outcome of asking for one artifact.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// A row and what led to it.
    Row(Box<Finding>),
    /// Nothing can be said: the ticket or the target does not qualify, or no longer.
    NotEligible(Ineligible),
    /// Nothing could be found out about this artifact, and the target may not even be at fault: the rest of the network
    /// has no copy to compare with. Another ticket may do.
    Undecided(ChallengeError),
}

/// Why nothing can be said about a ticket and a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ineligible {
    /// A short name for metrics.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) detail: String,
}

impl Ineligible {
    pub(crate) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
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
    /// Asks for what was drawn, and leaves in `seen` the exchange that decided.
    pub(crate) async fn decide(
        &self,
        view: &EpochView,
        question: Question<'_>,
        seen: &Seen,
    ) -> Result<Outcome, ChallengeError> {
        let Question { target, ticket_id, bucket, draw, .. } = question;
        let requests = self.prepare(view, question)?;
        let mut attempts = 0;
        let mut bytes_before = 0;
        let mut answered = requests.iter();
        // Of several requests the first that is not proven decides; if there is none, the last one stands for all.
        let (prepared, attempt) = loop {
            let Some(prepared) = answered.next() else { return Err(no_request()) };
            let attempt = self.attempt_twice(view, question, prepared, &mut attempts, seen).await?;
            match attempt {
                Attempt::Proven { proof_bytes, .. } if answered.len() > 0 => bytes_before += proof_bytes,
                attempt => break (prepared, attempt),
            }
        };
        let (observation, proof_hash, proof, proof_bytes, details) = match attempt {
            Attempt::Unfit(detail) => return Ok(Outcome::NotEligible(Ineligible::new("unfit", detail))),
            Attempt::Undecided(error) => return Ok(Outcome::Undecided(error)),
            Attempt::Proven { proof_hash, proof, proof_bytes } => {
                (Observation::Pass, proof_hash, proof, bytes_before + proof_bytes, String::new())
            }
            Attempt::Against(observation, details) => {
                if let Some(ineligible) = self.no_longer_eligible(target, ticket_id).await? {
                    return Ok(Outcome::NotEligible(ineligible));
                }
                // Not "no eligible ticket", which the chain might refuse with the whole report: it is asked again later.
                if let Some(error) = self.healed_lately(view, ticket_id).await? {
                    return Ok(Outcome::Undecided(error));
                }
                self.check_ourselves(view, &target.account, observation).await?;
                (observation, String::new(), "none", bytes_before, details)
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

    /// Asks again, the same request, before an answer counts against the target.
    async fn attempt_twice(
        &self,
        view: &EpochView,
        question: Question<'_>,
        prepared: &Prepared,
        attempts: &mut u32,
        seen: &Seen,
    ) -> Result<Attempt, ChallengeError> {
        let Question { target, draw, .. } = question;
        let mut attempt = self.attempt(target, draw, prepared, seen).await?;
        *attempts += 1;
        for _ in 1..ATTEMPTS_MAX {
            let Attempt::Against(observation, _) = attempt else { break };
            // Now, and not only at the end: a fault of ours that lasts for both calls may have passed by then.
            self.check_reach(view, &target.account, observation).await?;
            self.scheduler.sleep(self.config.retry_delay()).await;
            attempt = self.attempt(target, draw, prepared, seen).await?;
            *attempts += 1;
        }
        Ok(attempt)
    }

    /// The requests of a question; at least one.
    fn prepare(&self, view: &EpochView, question: Question<'_>) -> Result<Vec<Prepared>, ChallengeError> {
        let Question { ticket_id, draw, seed, shape, .. } = question;
        let len_bytes = draw.artifact.len_bytes;
        let caps = Caps::of(&view.params);
        if shape == ProbeShape::WholeArtifact && (1..=WHOLE_ARTIFACT_LEN_BYTES_MAX).contains(&len_bytes) {
            let (cover, range_len_bytes) = caps.cover(len_bytes);
            let requests = cover.iter().map(|offsets| self.request(view, question, offsets, range_len_bytes));
            return requests.collect();
        }
        let (range_count, range_len_bytes) = caps.ranges_for(len_bytes);
        let range_count = if shape == ProbeShape::OneRange { 1 } else { range_count };
        let artifact = ChallengedArtifact {
            target: &question.target.account,
            ticket_id,
            class: draw.artifact.class,
            ordinal: draw.ordinal,
        };
        let offsets = artifact.range_offsets(seed, len_bytes, range_len_bytes, range_count);
        let offsets = offsets.map_err(|error| derivation_fault(&error))?;
        Ok(vec![self.request(view, question, &offsets, range_len_bytes)?])
    }

    fn request(
        &self,
        view: &EpochView,
        question: Question<'_>,
        offsets: &[u64],
        range_len_bytes: u64,
    ) -> Result<Prepared, ChallengeError> {
        let Question { target, ticket_id, bucket, draw, seed, .. } = question;
        let artifact = ChallengedArtifact {
            target: &target.account,
            ticket_id,
            class: draw.artifact.class,
            ordinal: draw.ordinal,
        };
        let derivation_input_hash = artifact
            .derivation_input_hash(seed, offsets, range_len_bytes)
            .map_err(|error| derivation_fault(&error))?;
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
            artifact_size: draw.artifact.len_bytes,
            ranges: offsets.iter().map(|&start| ByteRange { start, end: start + range_len_bytes }).collect(),
            want_verified_slices: true,
        };
        Ok(Prepared { request, derivation_input_hash })
    }

    async fn attempt(
        &self,
        target: &Target,
        draw: Draw,
        prepared: &Prepared,
        seen: &Seen,
    ) -> Result<Attempt, ChallengeError> {
        seen.asked(&prepared.request);
        let bytes = match self.call(target, &prepared.request).await? {
            Ok(bytes) => bytes,
            Err(against) => return Ok(against),
        };
        seen.answered(&bytes);
        let Ok(response) = GetCompoundProofResponse::decode(bytes.as_slice()) else {
            let problem = "the answer is not a proof message".to_owned();
            return Ok(Attempt::Against(Observation::Malformed, problem));
        };
        let asked = Asked {
            request: &prepared.request,
            key: draw.artifact.key,
            len_bytes: draw.artifact.len_bytes,
            target_key: &target.public_key,
        };
        let weighed = match weigh(&asked, &response, None) {
            Weighed::NeedsCopy => match self.copy_of(draw).await {
                Ok(copy) => {
                    seen.compared(&copy);
                    weigh(&asked, &response, Some(&copy))
                }
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
    pub(crate) async fn copy_of(&self, draw: Draw) -> Result<Vec<u8>, ChallengeError> {
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
    ) -> Result<Option<Ineligible>, ChallengeError> {
        let of_target = |detail: String| Ok(Some(Ineligible::new("target_changed", detail)));
        match self.chain.supernode(&target.account).await {
            Ok(node) if !node.state.is_routed() => {
                return of_target(format!("the target is {}", node.state.name()));
            }
            Ok(node) if node.latest_address != target.address => {
                return of_target("the target has moved to another address".to_owned());
            }
            Ok(_) => {}
            Err(error) if error.is_not_found() => {
                return of_target("the target is no longer registered".to_owned());
            }
            Err(error) => return Err(chain_fault(LOOKING_AGAIN, &error)),
        }
        let of_ticket = |detail: &str| Ok(Some(Ineligible::new("ticket_gone", detail)));
        match self.chain.ticket(ticket_id).await {
            Ok(ticket) if is_challengeable(&ticket) => Ok(None),
            Ok(_) => of_ticket("the ticket is no longer stored"),
            Err(error) if error.is_not_found() => of_ticket("the ticket is gone"),
            Err(error) => Err(chain_fault(LOOKING_AGAIN, &error)),
        }
    }

    /// Whether a heal of the ticket has ended within the grace or since: what was asked for may still be on its way, because
    /// a healer publishes when the heal is verified, and not before (wire 5.11).
    async fn healed_lately(
        &self,
        view: &EpochView,
        ticket_id: &str,
    ) -> Result<Option<ChallengeError>, ChallengeError> {
        let height = u64::try_from(view.height).unwrap_or(0);
        let settled_before = height.saturating_sub(self.config.grace_blocks);
        let mut next = Some(PageRequest::default());
        while let Some(request) = next {
            let page = self.chain.heal_ops_by_ticket(ticket_id, request.clone()).await;
            let page = page.map_err(|error| chain_fault(LOOKING_AGAIN, &error))?;
            next = request.after(&page);
            let healed = page
                .items
                .iter()
                .find(|op| op.status == HealOpStatus::Verified && op.updated_height > settled_before);
            if let Some(op) = healed {
                return Ok(Some(ChallengeError::Ours {
                    stage: format!("challenging ticket {ticket_id}"),
                    reason: format!("heal operation {} has mended it lately", op.heal_op_id),
                    transient: true,
                }));
            }
        }
        Ok(None)
    }
}

/// What is attempted before blame.
const LOOKING_AGAIN: &str = "looking at the chain again";

fn derivation_fault(error: &TranscriptError) -> ChallengeError {
    ChallengeError::Ours {
        stage: "deriving the ranges".to_owned(),
        reason: error.to_string(),
        transient: false,
    }
}

fn no_request() -> ChallengeError {
    ChallengeError::Ours {
        stage: "deriving the ranges".to_owned(),
        reason: "a challenge without a request".to_owned(),
        transient: false,
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
