//! What is remembered of each challenge, and the evidence of those that failed.
//!
//! Owns the way from an outcome to the journal's memory. It changes no outcome: what can't be remembered is counted and
//! told, and the challenge counts all the same. The format of evidence is the SDK's.

use crate::ask::{Asker, Finding, Outcome, Question};
use crate::epoch_view::EpochView;
use lampkeeper_plugin_sdk::api::challenge::{ChallengeError, Observation};
use lampkeeper_plugin_sdk::api::history::{ChallengeEnd, ChallengeEntry, HistoryLimits, KeptEvidence};
use lampkeeper_plugin_sdk::api::journal::Journal;
use lampkeeper_plugin_sdk::api::scheduler::{Moment, within};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::evidence::{
    Base64, Basis, EVIDENCE_FORMAT, EvidenceRecord, Party, RESPONSE_LEN_BYTES_MAX, Verdict, check_signature,
    verify,
};
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::account::{KeyType, PublicKey};
use lampkeeper_plugin_sdk::protocol::verified_slice;
use lampkeeper_plugin_sdk::protocol::words::ResultClass;
use lampkeeper_proto::supernode::{GetCompoundProofRequest, GetCompoundProofResponse};
use prost::Message;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Challenges of one target that wait to be written; the latest stay.
const ENTRIES_WAITING_MAX: usize = 4096;
/// Pieces of evidence against one target that wait to be written; the first stay, since more prove nothing more.
const EVIDENCE_WAITING_MAX: usize = 8;
/// The longest text about an end.
const DETAILS_LEN_CHARS_MAX: usize = 300;

/// The last request of a question and what came back.
#[derive(Default)]
pub(crate) struct Seen {
    exchange: Mutex<Exchange>,
}

#[derive(Clone, Default)]
struct Exchange {
    request: GetCompoundProofRequest,
    response: Option<Vec<u8>>,
    /// The artifact from elsewhere, if it was needed to decide.
    copy: Option<Vec<u8>>,
    attempts: u32,
}

impl Seen {
    pub(crate) fn asked(&self, request: &GetCompoundProofRequest) {
        let mut exchange = self.lock();
        let attempts = exchange.attempts + 1;
        *exchange = Exchange { request: request.clone(), attempts, ..Exchange::default() };
    }

    pub(crate) fn answered(&self, response: &[u8]) {
        self.lock().response = Some(response.to_vec());
    }

    pub(crate) fn compared(&self, copy: &[u8]) {
        self.lock().copy = Some(copy.to_vec());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Exchange> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<ChallengeEntry>,
    evidence: Vec<KeptEvidence>,
}

/// Collects what is to be remembered, target by target, and writes it.
pub(crate) struct Recorder {
    journal: Arc<dyn Journal>,
    telemetry: Arc<dyn Telemetry>,
    chain_id: String,
    waiting: Mutex<BTreeMap<String, Waiting>>,
}

impl Recorder {
    pub(crate) fn new(journal: Arc<dyn Journal>, telemetry: Arc<dyn Telemetry>, chain_id: String) -> Self {
        Self { journal, telemetry, chain_id, waiting: Mutex::default() }
    }

    fn add(&self, mut entry: ChallengeEntry, evidence: Option<KeptEvidence>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_target = waiting.entry(entry.target_account.clone()).or_default();
        if of_target.entries.len() >= ENTRIES_WAITING_MAX {
            of_target.entries.pop_front();
        }
        if let Some(evidence) = evidence
            && of_target.evidence.len() < EVIDENCE_WAITING_MAX
        {
            entry.evidence_id = Some(evidence.evidence_id.clone());
            of_target.evidence.push(evidence);
        }
        of_target.entries.push_back(entry);
    }

    /// Writes what was collected about a target, in one commit, and forgets what is too old.
    pub(crate) async fn write(&self, target: &str, limits: HistoryLimits) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(target);
        let Some(Waiting { entries, evidence }) = waiting else { return };
        let entries: Vec<_> = entries.into();
        if let Err(error) = self.journal.record_challenges(&entries, &evidence).await {
            return self.tell_lost("remembering challenges", &error.to_string());
        }
        for evidence in &evidence {
            let basis = if evidence.is_proven { Basis::TargetSignature } else { Basis::ChallengerWord };
            self.telemetry.count("evidence_kept_total", &[("basis", basis.name())], 1);
            self.telemetry.event(
                Event::new("evidence.kept")
                    .with("evidence_id", &evidence.evidence_id)
                    .with("epoch_id", evidence.epoch_id)
                    .with("target", &evidence.target_account)
                    .with("observation", evidence.observation.name())
                    .with("basis", basis.name()),
            );
        }
        if let Err(error) = self.journal.trim_history(&limits).await {
            self.tell_lost("forgetting old challenges", &error.to_string());
        }
    }

    fn tell_lost(&self, attempted: &str, reason: &str) {
        self.telemetry.count("challenge_history_faults_total", &[], 1);
        let fields = [("attempted", attempted.into()), ("reason", reason.into())];
        self.telemetry.log(Level::Warn, "a challenge or its evidence is not remembered", &fields);
    }
}

impl Asker {
    /// Asks for what was drawn, and remembers what came of it.
    pub(crate) async fn ask(
        &self,
        view: &EpochView,
        question: Question<'_>,
    ) -> Result<Outcome, ChallengeError> {
        let seen = Seen::default();
        let begun = self.scheduler.now();
        let outcome = self.decide(view, question, &seen).await;
        let exchange = seen.lock().clone();
        let entry = self.entry(view, question, &exchange, begun, &outcome);
        let evidence = match &outcome {
            Ok(Outcome::Row(finding)) if finding.observation != Observation::Pass => {
                self.evidence(view, question, exchange, finding).await
            }
            _ => None,
        };
        self.recorder.add(entry, evidence);
        outcome
    }

    /// Writes what was collected about a target.
    pub(crate) async fn write_history(&self, target: &str, epoch_id: u64) {
        let limits = HistoryLimits {
            oldest_epoch_id: epoch_id.saturating_sub(self.config.history_epochs),
            challenges_max: self.config.history_challenges_max,
            evidence_max: self.config.evidence_max,
        };
        self.recorder.write(target, limits).await;
    }

    fn entry(
        &self,
        view: &EpochView,
        question: Question<'_>,
        exchange: &Exchange,
        begun: Moment,
        outcome: &Result<Outcome, ChallengeError>,
    ) -> ChallengeEntry {
        let artifact = question.draw.artifact;
        let mut entry = ChallengeEntry {
            epoch_id: view.anchor.epoch_id,
            target_account: question.target.account.clone(),
            ticket_id: question.ticket_id.to_owned(),
            bucket: question.bucket,
            artifact_class: artifact.class,
            artifact_key: artifact.key.to_string(),
            end: ChallengeEnd::Undecided,
            result_class: ResultClass::Unspecified,
            transcript_hash: String::new(),
            details: String::new(),
            proof: "none".to_owned(),
            proof_bytes: 0,
            attempts: exchange.attempts,
            duration_ms: u64::try_from(self.scheduler.now().since(begun).as_millis()).unwrap_or(u64::MAX),
            ended_at_s: self.scheduler.wall_clock_ms() / 1000,
            evidence_id: None,
        };
        match outcome {
            Ok(Outcome::Row(finding)) => {
                entry.end = ChallengeEnd::Observed(finding.observation);
                entry.result_class = finding.row.result_class;
                entry.transcript_hash.clone_from(&finding.row.transcript_hash);
                entry.details.clone_from(&finding.row.details);
                entry.proof = finding.proof.to_owned();
                entry.proof_bytes = finding.proof_bytes;
                entry.attempts = finding.attempts;
            }
            Ok(Outcome::NotEligible(ineligible)) => {
                entry.end = ChallengeEnd::NotEligible;
                entry.details = shortened(&ineligible.detail);
            }
            Ok(Outcome::Undecided(error)) | Err(error) => entry.details = shortened(&error.to_string()),
        }
        entry
    }

    /// The evidence of a failed challenge; `None`, counted and told, if none could be made that holds.
    async fn evidence(
        &self,
        view: &EpochView,
        question: Question<'_>,
        exchange: Exchange,
        finding: &Finding,
    ) -> Option<KeptEvidence> {
        match self.make_evidence(view, question, exchange, finding).await {
            Ok(evidence) => Some(evidence),
            Err(reason) => {
                self.recorder.tell_lost("making evidence", &reason);
                None
            }
        }
    }

    async fn make_evidence(
        &self,
        view: &EpochView,
        question: Question<'_>,
        exchange: Exchange,
        finding: &Finding,
    ) -> Result<KeptEvidence, String> {
        let authentic_slice = self.authentic_slice(question, &exchange, finding.observation).await;
        // Only names the documents that list the artifact; the record holds without it.
        let ticket = self.chain.ticket(question.ticket_id).await;
        let artifact = question.draw.artifact;
        let Exchange { request, response, .. } = exchange;
        let record = EvidenceRecord {
            format: EVIDENCE_FORMAT.to_owned(),
            chain_id: self.recorder.chain_id.clone(),
            epoch_id: view.anchor.epoch_id,
            recorded_at_ms: self.scheduler.wall_clock_ms(),
            challenger: own_party(self.signer.as_ref())?,
            target: Party::of(&question.target.public_key),
            ticket_id: question.ticket_id.to_owned(),
            ticket_data_hash: ticket.map(|ticket| ticket.data_hash).unwrap_or_default(),
            bucket: question.bucket,
            artifact_class: artifact.class,
            artifact_ordinal: question.draw.ordinal,
            artifact_key: artifact.key.to_string(),
            artifact_len_bytes: artifact.len_bytes,
            observation: finding.observation.name().to_owned(),
            details: finding.row.details.clone(),
            attempts: finding.attempts,
            basis: Basis::ChallengerWord,
            row_transcript_hash: finding.row.transcript_hash.clone(),
            request: Base64(request.encode_to_vec()),
            response: response.filter(|bytes| bytes.len() <= RESPONSE_LEN_BYTES_MAX).map(Base64),
            authentic_slice: authentic_slice.map(Base64),
            challenger_signature: String::new(),
        };
        let record = record.with_basis().signed(self.signer.as_ref()).map_err(|error| error.to_string())?;
        let verification = verify(&record);
        if verification.verdict == Verdict::Broken {
            return Err(verification.conclusion);
        }
        Ok(KeptEvidence {
            evidence_id: record.digest(),
            epoch_id: record.epoch_id,
            target_account: record.target.account.clone(),
            observation: finding.observation,
            is_proven: verification.verdict == Verdict::Proven,
            recorded_at_s: record.recorded_at_ms / 1000,
            record: record.to_json().map_err(|error| error.to_string())?,
        })
    }

    /// A slice of the true artifact, if it can make proof of what the target has signed.
    async fn authentic_slice(
        &self,
        question: Question<'_>,
        exchange: &Exchange,
        observation: Observation,
    ) -> Option<Vec<u8>> {
        if observation != Observation::WrongBytes {
            return None;
        }
        let response = GetCompoundProofResponse::decode(exchange.response.as_deref()?).ok()?;
        let proof_hash = response.proof_hash_hex.to_ascii_lowercase();
        check_signature(&exchange.request, &response, &proof_hash, &question.target.public_key).ok()?;
        let copy = match &exchange.copy {
            Some(copy) => copy.clone(),
            None => {
                let fetch = self.copy_of(question.draw);
                within(self.scheduler.as_ref(), self.config.answer_timeout(), fetch).await?.ok()?
            }
        };
        let ranges: Vec<Range<u64>> =
            exchange.request.ranges.iter().map(|range| range.start..range.end).collect();
        verified_slice::prove(&copy, &ranges).ok()
    }
}

fn own_party(signer: &dyn Signer) -> Result<Party, String> {
    let key_type = KeyType::from_type_url(signer.public_key_type_url())
        .ok_or_else(|| format!("`{}` is not a type of key", signer.public_key_type_url()))?;
    let key = PublicKey::from_bytes(key_type, &signer.public_key()).map_err(|error| error.to_string())?;
    Ok(Party::of(&key))
}

fn shortened(text: &str) -> String {
    text.chars().take(DETAILS_LEN_CHARS_MAX).collect()
}
