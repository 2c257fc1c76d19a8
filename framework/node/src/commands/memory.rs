//! Where `challenges` and `evidence` read: the running node, or the journal of a stopped one.
//!
//! Owns the choice between both, and how texts that a peer may have written are shown.

use super::check;
use crate::cli::{MemoryArgs, exit};
use crate::control::{ControlError, Request, ask};
use crate::history::{self, NamedJournal, Query};
use crate::output::{self, Failure};
use lampkeeper_core::Manifest;
use serde_json::{Value, json};
use std::path::Path;

/// The answer to a question, from wherever it can be had. Where that was is told on standard error, and is in the answer as
/// `source`.
pub async fn asked(args: &MemoryArgs, query: Query) -> Result<Value, Failure> {
    if let Some(data_dir) = &args.data_dir {
        return over_socket(data_dir, args, query).await.map_err(|error| control_failure(&error));
    }
    let (manifest, _) = check::load(&args.manifest)?;
    match over_socket(&manifest.node.data_dir, args, query.clone()).await {
        Err(ControlError::NotRunning(_)) => from_file(&manifest, &query).await,
        answer => answer.map_err(|error| control_failure(&error)),
    }
}

fn control_failure(error: &ControlError) -> Failure {
    let code = match error {
        ControlError::NotRunning(_) => exit::NOT_RUNNING,
        _ => exit::FAILED,
    };
    Failure { message: error.to_string(), code }
}

async fn over_socket(data_dir: &Path, args: &MemoryArgs, query: Query) -> Result<Value, ControlError> {
    let request = Request::History { node: args.node.clone(), query };
    let mut answer = ask(data_dir, &request, output::remark).await?;
    output::remark(&format!("asked what runs with {}", data_dir.display()));
    answer["source"] = json!({ "kind": "running", "path": data_dir });
    Ok(answer)
}

async fn from_file(manifest: &Manifest, query: &Query) -> Result<Value, Failure> {
    let (path, journal) = journal_of(manifest).await?;
    let mut answer = history::answer(&[journal], query).await.map_err(Failure::failed)?;
    output::remark(&format!("the node is not running; read {}", path.display()));
    answer["source"] = json!({ "kind": "file", "path": path });
    Ok(answer)
}

#[cfg(feature = "journal-sqlite")]
async fn journal_of(manifest: &Manifest) -> Result<(std::path::PathBuf, NamedJournal), Failure> {
    use std::sync::Arc;
    let section = manifest.plugins.get("journal-sqlite").filter(|section| section.enabled);
    let Some(section) = section else { return Err(no_file()) };
    let config: lampkeeper_journal_sqlite::Config = match section.config.is_null() {
        true => Default::default(),
        false => serde_json::from_value(section.config.clone()).map_err(Failure::invalid)?,
    };
    let path = manifest.node.data_dir.join(&config.file);
    if !path.is_file() {
        let hint = "the node has never run, or keeps its journal elsewhere";
        return Err(Failure::invalid(format!("there is no journal {}: {hint}", path.display())));
    }
    let scheduler = crate::devnet::scheduler()?;
    let journal = lampkeeper_journal_sqlite::open_read_only(scheduler, &path).await;
    let journal = journal.map_err(Failure::failed)?;
    Ok((path, (manifest.node.name.clone(), Arc::new(journal))))
}

#[cfg(not(feature = "journal-sqlite"))]
async fn journal_of(_: &Manifest) -> Result<(std::path::PathBuf, NamedJournal), Failure> {
    Err(no_file())
}

fn no_file() -> Failure {
    Failure {
        message:
            "the node is not running, and only the journals of journal-sqlite are read without it: start it"
                .to_owned(),
        code: exit::NOT_RUNNING,
    }
}

/// A field's text; what would change the terminal is made visible, since a peer may have written it.
pub fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// An account that fits into a column; lists show enough to tell two apart.
pub fn short_account(value: &Value) -> String {
    let text = shown(value);
    let chars: Vec<char> = text.chars().collect();
    match chars.len() {
        0..=18 => text,
        len => {
            let (head, tail) = (&chars[..12], &chars[len - 5..]);
            format!("{}\u{2026}{}", head.iter().collect::<String>(), tail.iter().collect::<String>())
        }
    }
}

/// Whether an answer is of more than one node, so that lists have to say of which each line is.
pub fn has_several_nodes(listed: &[Value]) -> bool {
    listed.windows(2).any(|pair| pair[0]["node"] != pair[1]["node"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_peers_stay_on_their_line() {
        let table = [
            (json!("plain"), "plain", "plain"),
            (json!("\u{1b}[2Jgone\n"), "\u{FFFD}[2Jgone\u{FFFD}", "\u{FFFD}[2Jgone\u{FFFD}"),
            (
                json!("lumera1qqqqqqqqqqqqqqqqqqqqqqqqqabcde"),
                "lumera1qqqqqqqqqqqqqqqqqqqqqqqqqabcde",
                "lumera1qqqqq\u{2026}abcde",
            ),
            (json!(7), "7", "7"),
        ];
        for (value, whole, short) in table {
            assert_eq!((shown(&value).as_str(), short_account(&value).as_str()), (whole, short));
        }
    }
}
