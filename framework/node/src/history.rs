//! What can be asked of a node's memory of challenges, and the answers as JSON.
//!
//! Owns the questions and the answers' shape, which are the same over the control socket of a running node and from the
//! journal of a stopped one. Printing them is the commands' part.

use lampkeeper_api::history::{EvidenceSummary, HistoryFilter, KeptEvidence, RecordedChallenge};
use lampkeeper_api::journal::Journal;
use lampkeeper_core::Node;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Characters of a piece of evidence's name that lists show, and that suffice to name it.
pub const EVIDENCE_NAME_LEN: usize = 12;
/// The shortest beginning of a name that is looked up.
const EVIDENCE_NAME_LEN_MIN: usize = 4;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case", deny_unknown_fields)]
pub enum Query {
    /// Which challenges are remembered?
    Challenges {
        /// Of this epoch alone.
        epoch_id: Option<u64>,
        /// About this account alone.
        target: Option<String>,
        /// Only those that count against their target.
        failed_only: bool,
        /// How many at most, of each node.
        limit: usize,
    },
    /// What is remembered of one challenge?
    Challenge {
        /// Its number.
        number: u64,
    },
    /// Which evidence is kept?
    EvidenceList {
        /// Of this epoch alone.
        epoch_id: Option<u64>,
        /// Against this account alone.
        target: Option<String>,
        /// How many at most, of each node.
        limit: usize,
    },
    /// One piece of evidence with its record.
    Evidence {
        /// Its name, or the beginning of it.
        id: String,
    },
}

/// A node's journal, and the node's name.
pub type NamedJournal = (String, Arc<dyn Journal>);

/// The journals of running nodes; of one of them, if it is named.
///
/// # Errors
/// If no node has that name, or it has no journal.
pub fn journals_of(nodes: &[Arc<Node>], name: Option<&str>) -> Result<Vec<NamedJournal>, String> {
    let named = nodes.iter().filter(|node| name.is_none_or(|name| node.info().name == name));
    let journals: Vec<_> =
        named.filter_map(|node| Some((node.info().name.clone(), node.seams().journal.clone()?))).collect();
    match (journals.is_empty(), name) {
        (false, _) => Ok(journals),
        (true, Some(name)) => {
            Err(format!("there is no node {name} with a journal; `status` lists the nodes"))
        }
        (true, None) => Err("no node has a journal".to_owned()),
    }
}

/// Answers a question from these journals.
///
/// # Errors
/// If a journal can't be read, or what is asked for is not there.
pub async fn answer(journals: &[NamedJournal], query: &Query) -> Result<Value, String> {
    match query {
        Query::Challenges { epoch_id, target, failed_only, limit } => {
            let filter = HistoryFilter {
                epoch_id: *epoch_id,
                target_account: target.clone(),
                failed_only: *failed_only,
                limit: *limit,
            };
            let mut listed = Vec::new();
            for (node, journal) in journals {
                let challenges = journal.challenges(&filter).await.map_err(|error| error.to_string())?;
                listed.extend(challenges.iter().map(|challenge| challenge_json(node, challenge)));
            }
            Ok(json!({ "challenges": listed }))
        }
        Query::Challenge { number } => {
            let [(node, journal)] = journals else {
                return Err("each node numbers its own challenges: name one with --node".to_owned());
            };
            let found = journal.recorded_challenge(*number).await.map_err(|error| error.to_string())?;
            let missing = || format!("challenge {number} is not remembered; `challenges list` shows what is");
            Ok(json!({ "challenge": challenge_json(node, &found.ok_or_else(missing)?) }))
        }
        Query::EvidenceList { epoch_id, target, limit } => {
            let filter = HistoryFilter {
                epoch_id: *epoch_id,
                target_account: target.clone(),
                failed_only: false,
                limit: *limit,
            };
            let mut listed = Vec::new();
            for (node, journal) in journals {
                let evidence = journal.evidence_list(&filter).await.map_err(|error| error.to_string())?;
                listed.extend(evidence.iter().map(|summary| summary_json(node, summary)));
            }
            Ok(json!({ "evidence": listed }))
        }
        Query::Evidence { id } => {
            let (node, evidence) = find_evidence(journals, id).await?;
            let mut value = summary_json(&node, &evidence.summary());
            value["record"] = json!(evidence.record);
            Ok(value)
        }
    }
}

async fn find_evidence(journals: &[NamedJournal], id: &str) -> Result<(String, KeptEvidence), String> {
    let is_name = id.len() >= EVIDENCE_NAME_LEN_MIN && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_name {
        return Err(format!(
            "`{id}` names no evidence: give at least {EVIDENCE_NAME_LEN_MIN} digits of its name"
        ));
    }
    let id = id.to_ascii_lowercase();
    let mut found = Vec::new();
    for (node, journal) in journals {
        let all =
            journal.evidence_list(&HistoryFilter::default()).await.map_err(|error| error.to_string())?;
        let matching = all.into_iter().filter(|summary| summary.evidence_id.starts_with(&id));
        found.extend(matching.map(|summary| (node, journal, summary.evidence_id)));
    }
    let (node, journal, id) = match found.as_slice() {
        [] => return Err(format!("there is no evidence {id}; `evidence list` shows what is kept")),
        [(node, journal, id)] => ((*node).clone(), journal, id),
        more => return Err(format!("{} pieces of evidence begin with {id}: give more digits", more.len())),
    };
    let evidence = journal.evidence(id).await.map_err(|error| error.to_string())?;
    evidence.map(|evidence| (node, evidence)).ok_or_else(|| format!("evidence {id} was removed meanwhile"))
}

fn challenge_json(node: &str, challenge: &RecordedChallenge) -> Value {
    let entry = &challenge.entry;
    json!({
        "node": node,
        "number": challenge.challenge_number,
        "epoch_id": entry.epoch_id,
        "target": entry.target_account,
        "ticket_id": entry.ticket_id,
        "bucket": entry.bucket.name(),
        "artifact_class": entry.artifact_class.name(),
        "artifact_key": entry.artifact_key,
        "end": entry.end.name(),
        "is_failure": entry.end.is_failure(),
        "result_class": entry.result_class.name(),
        "transcript_hash": entry.transcript_hash,
        "details": entry.details,
        "proof": entry.proof,
        "proof_bytes": entry.proof_bytes,
        "attempts": entry.attempts,
        "duration_ms": entry.duration_ms,
        "ended_at_s": entry.ended_at_s,
        "row": challenge.row.name(),
        "evidence_id": entry.evidence_id,
    })
}

fn summary_json(node: &str, summary: &EvidenceSummary) -> Value {
    json!({
        "node": node,
        "evidence_id": summary.evidence_id,
        "epoch_id": summary.epoch_id,
        "target": summary.target_account,
        "observation": summary.observation.name(),
        "basis": if summary.is_proven { "target_signature" } else { "challenger_word" },
        "recorded_at_s": summary.recorded_at_s,
        "len_bytes": summary.len_bytes,
    })
}
