//! `evidence list`, `evidence show` and `evidence verify`: what can be shown to others about a failed challenge.
//!
//! Owns how it is printed and exported. What a record proves is the SDK's, the format is described in docs/evidence.md.
#![expect(clippy::disallowed_methods, reason = "these commands read and write files of the person who asks")]

use super::memory::{asked, has_several_nodes, short_account, shown};
use crate::cli::{EvidenceCommand, MemoryArgs};
use crate::history::{EVIDENCE_NAME_LEN, Query};
use crate::output::{self, Failure, Outcome};
use lampkeeper_api::history::EVIDENCE_RECORD_LEN_BYTES_MAX;
use lampkeeper_plugin_sdk::evidence::{EvidenceRecord, Finding, Verdict, Verification, verify};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Carries out one of the commands that read a node's memory.
pub async fn evidence(command: &EvidenceCommand) -> Outcome {
    match command {
        EvidenceCommand::List { epoch, target, limit, memory } => {
            let query = Query::EvidenceList { epoch_id: *epoch, target: target.clone(), limit: *limit };
            list(memory, query).await
        }
        EvidenceCommand::Show { id, output, memory } => show(memory, id, output.as_deref()).await,
        EvidenceCommand::Verify { files, json } => verify_files(files, *json),
    }
}

async fn list(memory: &MemoryArgs, query: Query) -> Outcome {
    let answer = asked(memory, query).await?;
    if memory.json {
        output::json(&answer);
        return Ok(());
    }
    let listed = answer["evidence"].as_array().map(Vec::as_slice).unwrap_or_default();
    if listed.is_empty() {
        output::line("no such evidence is kept");
        return Ok(());
    }
    let several = has_several_nodes(listed);
    let node = |text: &str| if several { format!("{text:<5} ") } else { String::new() };
    output::line(format!(
        "{}{:<EVIDENCE_NAME_LEN$} {:>6}  {:<18} {:<12} {}",
        node("NODE"),
        "ID",
        "EPOCH",
        "TARGET",
        "OBSERVED",
        "RESTS ON"
    ));
    for evidence in listed {
        let id: String = shown(&evidence["evidence_id"]).chars().take(EVIDENCE_NAME_LEN).collect();
        output::line(format!(
            "{}{id} {:>6}  {:<18} {:<12} {}",
            node(&shown(&evidence["node"])),
            evidence["epoch_id"],
            short_account(&evidence["target"]),
            shown(&evidence["observation"]),
            basis_text(&evidence["basis"]),
        ));
    }
    Ok(())
}

fn basis_text(basis: &Value) -> &'static str {
    match basis.as_str() {
        Some("target_signature") => "target's signature",
        _ => "this node's word",
    }
}

async fn show(memory: &MemoryArgs, id: &str, path: Option<&Path>) -> Outcome {
    let answer = asked(memory, Query::Evidence { id: id.to_owned() }).await?;
    let record = answer["record"].as_str().unwrap_or_default();
    if let Some(path) = path {
        write_new(path, record)?;
        output::remark(&format!("check it anywhere with `lampkeeper evidence verify {}`", path.display()));
    }
    if memory.json {
        output::json(&answer);
        return Ok(());
    }
    if path.is_none() {
        let name = format!("evidence {}", shown(&answer["evidence_id"]));
        print(&name, &check(record), &serde_json::from_str(record).unwrap_or_default());
    }
    Ok(())
}

/// Nothing is overwritten.
fn write_new(path: &Path, record: &str) -> Outcome {
    let failed = |error: std::io::Error| Failure::failed(format!("writing {}: {error}", path.display()));
    let mut file = std::fs::File::options().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(record.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// What became of a file.
type Checked = Result<Verification, String>;

fn check(record: &str) -> Checked {
    EvidenceRecord::from_json(record).map(|record| verify(&record)).map_err(|error| error.to_string())
}

fn verify_files(files: &[PathBuf], as_json: bool) -> Outcome {
    let mut told = Vec::new();
    let mut broken = 0;
    for path in files {
        let record = read(path)?;
        let checked = check(&record);
        let holds = checked.as_ref().is_ok_and(|verification| verification.verdict != Verdict::Broken);
        broken += usize::from(!holds);
        if as_json {
            told.push(match &checked {
                Ok(verification) => json!({ "file": path, "verification": verification }),
                Err(error) => json!({ "file": path, "error": error }),
            });
        } else {
            let fields = serde_json::from_str(&record).unwrap_or_default();
            print(&path.display().to_string(), &checked, &fields);
        }
    }
    if as_json {
        output::json(&Value::Array(told));
    }
    match broken {
        0 => Ok(()),
        _ => Err(Failure::failed(format!("{broken} of {} records do not hold", files.len()))),
    }
}

/// The text of a file that is no longer than a record may be, and a byte more, so that the reader sees it is too long.
fn read(path: &Path) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| Failure::invalid(format!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(EVIDENCE_RECORD_LEN_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a record says about itself, in the order in which it is shown.
const FIELDS: [(&str, &str); 7] = [
    ("network", "/chain_id"),
    ("epoch", "/epoch_id"),
    ("challenger", "/challenger/account"),
    ("target", "/target/account"),
    ("ticket", "/ticket_id"),
    ("artifact", "/artifact_key"),
    ("observed", "/observation"),
];

fn print(name: &str, checked: &Checked, record: &Value) {
    let verification = match checked {
        Ok(verification) => verification,
        Err(error) => return output::line(format!("{name}: DOES NOT HOLD\n  {error}")),
    };
    let verdict = match verification.verdict {
        Verdict::Proven => "PROVEN",
        Verdict::WordOnly => "THE CHALLENGER'S WORD",
        Verdict::Broken => "DOES NOT HOLD",
    };
    output::line(format!("{name}: {verdict}"));
    for (name, pointer) in FIELDS {
        output::line(format!("  {name:<10} {}", shown(record.pointer(pointer).unwrap_or(&Value::Null))));
    }
    for statement in &verification.statements {
        let finding = match statement.finding {
            Finding::Holds => "ok",
            Finding::Fails if statement.is_required => "FAIL",
            Finding::Fails => "no",
            Finding::Absent => "-",
        };
        output::line(format!("  {finding:<4} {:<18} {}", statement.subject, shown(&json!(statement.text))));
    }
    output::line(format!("  {}", shown(&json!(verification.conclusion))));
}
