//! Evidence by message and by the action module (chain A.1).

use crate::address;
use crate::assignment::legacy_challengers;
use crate::message::{self, Response};
use crate::refusal::{Refusal, audit};
use crate::state::State;
use crate::state::bank::ACTION_MODULE;
use crate::state::evidence::{Evidence, EvidenceType};
use serde::Deserialize;

/// The longest action id, in bytes.
const ACTION_ID_LEN_BYTES_MAX: usize = 4096;

/// Metadata of the action module's types.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TopTenMetadata {
    #[serde(alias = "top10ValidatorAddresses")]
    top_10_validator_addresses: Vec<String>,
}

/// Metadata of [`EvidenceType::StorageChallengeFailure`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ChallengeFailureMetadata {
    #[serde(alias = "epochId", deserialize_with = "u64_or_text")]
    epoch_id: u64,
    #[serde(alias = "challengerSupernodeAccount")]
    challenger_supernode_account: String,
    #[serde(alias = "challengedSupernodeAccount")]
    challenged_supernode_account: String,
    #[serde(alias = "challengeId")]
    challenge_id: String,
    #[serde(alias = "fileKey")]
    file_key: String,
    #[serde(alias = "failureType")]
    failure_type: String,
    #[serde(alias = "transcriptHash")]
    transcript_hash: String,
}

/// Metadata of [`EvidenceType::CascadeClientFailure`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClientFailureMetadata {
    #[serde(alias = "reporterComponent")]
    reporter_component: serde_json::Value,
    #[serde(alias = "targetSupernodeAccounts")]
    target_supernode_accounts: Vec<String>,
    details: Option<ClientFailureDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClientFailureDetails {
    operation: String,
    iteration: String,
    #[serde(alias = "supernodeEndpoint")]
    supernode_endpoint: String,
    #[serde(alias = "supernodeAccount")]
    supernode_account: String,
    #[serde(alias = "taskId")]
    task_id: String,
    error: String,
    #[serde(alias = "actionId")]
    action_id: String,
}

/// Proto JSON writes 64-bit numbers as text, and reads both.
fn u64_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Plain(u64),
        Text(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Plain(number) => Ok(number),
        Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// A validated evidence, before it has an id.
struct Draft<'a> {
    reporter: &'a str,
    subject: &'a str,
    action_id: &'a str,
    evidence_type: EvidenceType,
    metadata: &'a str,
}

impl State {
    pub(crate) fn submit_evidence(
        &mut self,
        message: &message::Evidence,
        creator: &str,
    ) -> Result<Response, Refusal> {
        let reserved = matches!(message.evidence_type, EvidenceType::CascadeClientFailure)
            || message.evidence_type.belongs_to_action_module();
        if reserved {
            let words = "evidence type is reserved for the action module";
            return Err(audit::INVALID_EVIDENCE_TYPE.because(words));
        }
        let evidence_id = self.create_evidence(
            creator,
            &message.subject_address,
            &message.action_id,
            message.evidence_type,
            &message.metadata,
        )?;
        Ok(Response::Evidence { evidence_id })
    }

    /// Records evidence as a module does, without the restriction on messages. Answers its id.
    ///
    /// # Errors
    /// The chain's refusal; nothing is recorded then.
    pub fn create_evidence(
        &mut self,
        reporter: &str,
        subject: &str,
        action_id: &str,
        evidence_type: EvidenceType,
        metadata: &str,
    ) -> Result<u64, Refusal> {
        let metadata = metadata.trim();
        let draft = Draft { reporter, subject, action_id, evidence_type, metadata };
        self.evidence_is_valid(&draft)?;
        if evidence_type.belongs_to_action_module() {
            let epoch_id = self.current_epoch();
            self.audit.evidence.add_to_count(epoch_id, subject, evidence_type);
        }
        let store = &mut self.audit.evidence;
        let evidence_id = match store.next_evidence_id {
            0 => store.records.last_id().saturating_add(1),
            id => id,
        };
        store.next_evidence_id = evidence_id.saturating_add(1);
        store.records.insert(Evidence {
            evidence_id,
            subject_address: subject.to_owned(),
            reporter_address: reporter.to_owned(),
            action_id: action_id.to_owned(),
            evidence_type,
            metadata: metadata.to_owned(),
            reported_height: self.height.unsigned_abs(),
        });
        Ok(evidence_id)
    }

    fn evidence_is_valid(&self, draft: &Draft<'_>) -> Result<(), Refusal> {
        let is_modules = draft.evidence_type.belongs_to_action_module();
        if !address::is_account(draft.reporter) {
            return Err(audit::INVALID_REPORTER.because(format!("{:?} is not an account", draft.reporter)));
        }
        if !address::is_account(draft.subject) {
            return Err(audit::INVALID_SUBJECT.because(format!("{:?} is not an account", draft.subject)));
        }
        if draft.evidence_type == EvidenceType::Unspecified {
            return Err(audit::INVALID_EVIDENCE_TYPE.because(""));
        }
        if is_modules && draft.reporter != address::module_account(ACTION_MODULE) {
            return Err(audit::INVALID_REPORTER.because("reporter must be the action module account"));
        }
        if draft.metadata.is_empty() {
            return Err(audit::INVALID_EVIDENCE_METADATA.because(""));
        }
        if is_modules && draft.action_id.is_empty() {
            return Err(audit::INVALID_ACTION_ID.because(""));
        }
        if draft.action_id.len() > ACTION_ID_LEN_BYTES_MAX {
            return Err(audit::INVALID_ACTION_ID.because("action_id is too large"));
        }
        match draft.evidence_type {
            EvidenceType::ActionFinalizationSignatureFailure
            | EvidenceType::ActionFinalizationNotInTop10
            | EvidenceType::ActionExpired => decode::<TopTenMetadata>(draft.metadata).map(drop),
            EvidenceType::CascadeClientFailure => decode::<ClientFailureMetadata>(draft.metadata).map(drop),
            EvidenceType::StorageChallengeFailure => self.challenge_failure_is_valid(draft),
            EvidenceType::Unspecified => Ok(()),
        }
    }

    fn challenge_failure_is_valid(&self, draft: &Draft<'_>) -> Result<(), Refusal> {
        let metadata: ChallengeFailureMetadata = decode(draft.metadata)?;
        let (challenger, challenged) =
            (&metadata.challenger_supernode_account, &metadata.challenged_supernode_account);
        if challenger.trim().is_empty() {
            return Err(audit::INVALID_EVIDENCE_METADATA.because("challenger_supernode_account is required"));
        }
        if draft.reporter != challenger {
            return Err(audit::INVALID_REPORTER.because("reporter must match challenger_supernode_account"));
        }
        if challenged.trim().is_empty() {
            return Err(audit::INVALID_EVIDENCE_METADATA.because("challenged_supernode_account is required"));
        }
        if draft.subject != challenged {
            return Err(
                audit::INVALID_SUBJECT.because("subject_address must match challenged_supernode_account")
            );
        }
        let Some(anchor) = self.audit.anchors.get(&metadata.epoch_id) else {
            let words = format!("epoch anchor not found for epoch_id {}", metadata.epoch_id);
            return Err(audit::INVALID_EVIDENCE_METADATA.because(words));
        };
        let params = self.params();
        if !params.sc_enabled {
            return Err(audit::INVALID_EVIDENCE_TYPE.because("storage challenge evidence is disabled"));
        }
        if !legacy_challengers(anchor, &params).contains(&draft.reporter) {
            return Err(audit::INVALID_REPORTER.because("reporter is not an authorized challenger for epoch"));
        }
        if !anchor.target_supernode_accounts.iter().any(|target| target == draft.subject) {
            return Err(audit::INVALID_SUBJECT.because("subject is not an eligible target for epoch"));
        }
        Ok(())
    }
}

fn decode<'a, T: Deserialize<'a>>(metadata: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(metadata)
        .map_err(|error| audit::INVALID_EVIDENCE_METADATA.because(error.to_string()))
}
