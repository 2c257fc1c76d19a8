//! `challenges list` and `challenges show`: what a node's challenges came to.
//!
//! Owns how they are printed. What is remembered is the challenger's, where it is read `memory`'s.

use super::memory::{asked, has_several_nodes, short_account, shown};
use crate::cli::{ChallengesCommand, MemoryArgs};
use crate::history::Query;
use crate::output::{self, Outcome};
use serde_json::Value;

/// Carries out one of the commands.
pub async fn challenges(command: &ChallengesCommand) -> Outcome {
    match command {
        ChallengesCommand::List { epoch, target, failed, limit, memory } => {
            let query = Query::Challenges {
                epoch_id: *epoch,
                target: target.clone(),
                failed_only: *failed,
                limit: *limit,
            };
            list(memory, query).await
        }
        ChallengesCommand::Show { number, memory } => show(memory, *number).await,
    }
}

async fn list(memory: &MemoryArgs, query: Query) -> Outcome {
    let answer = asked(memory, query).await?;
    if memory.json {
        output::json(&answer);
        return Ok(());
    }
    let listed = answer["challenges"].as_array().map(Vec::as_slice).unwrap_or_default();
    if listed.is_empty() {
        output::line("no such challenges are remembered");
        return Ok(());
    }
    let several = has_several_nodes(listed);
    let node = |text: &str| if several { format!("{text:<5} ") } else { String::new() };
    output::line(format!(
        "{}{:>6} {:>6}  {:<18} {:<9} {:<6} {:<12} {}",
        node("NODE"),
        "NO",
        "EPOCH",
        "TARGET",
        "BUCKET",
        "CLASS",
        "RESULT",
        "ROW"
    ));
    for challenge in listed {
        output::line(format!(
            "{}{:>6} {:>6}  {:<18} {:<9} {:<6} {:<12} {}",
            node(&shown(&challenge["node"])),
            challenge["number"],
            challenge["epoch_id"],
            short_account(&challenge["target"]),
            shown(&challenge["bucket"]),
            shown(&challenge["artifact_class"]),
            shown(&challenge["end"]),
            shown(&challenge["row"]),
        ));
    }
    Ok(())
}

/// The fields of a challenge in the order in which they are shown, and what they are called.
const FIELDS: [(&str, &str); 17] = [
    ("node", "node"),
    ("epoch", "epoch_id"),
    ("target", "target"),
    ("ticket", "ticket_id"),
    ("bucket", "bucket"),
    ("class", "artifact_class"),
    ("artifact", "artifact_key"),
    ("result", "end"),
    ("details", "details"),
    ("row", "row"),
    ("row class", "result_class"),
    ("transcript", "transcript_hash"),
    ("proof", "proof"),
    ("proof bytes", "proof_bytes"),
    ("attempts", "attempts"),
    ("took (ms)", "duration_ms"),
    ("evidence", "evidence_id"),
];

async fn show(memory: &MemoryArgs, number: u64) -> Outcome {
    let answer = asked(memory, Query::Challenge { number }).await?;
    if memory.json {
        output::json(&answer);
        return Ok(());
    }
    let challenge = &answer["challenge"];
    output::line(format!("challenge {number}"));
    for (name, field) in FIELDS {
        let value = &challenge[field];
        if !matches!(value, Value::Null) && value != "" {
            output::line(format!("  {name:<12} {}", shown(value)));
        }
    }
    Ok(())
}
