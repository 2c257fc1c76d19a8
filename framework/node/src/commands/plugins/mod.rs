//! `plugins ...`: what plugins there are, what is in a library, and why one of them does not run.
//!
//! Owns the commands' arguments. What a library's header says and whether it is let in is core's.

mod inspect;
mod list;
mod new;
mod why;

pub use list::schema;

use super::conform::{Conform, conform};
use crate::cli::ManifestArgs;
use crate::output::Outcome;
use clap::Subcommand;
use lampkeeper_api::native::Header;
use lampkeeper_core::registry::check_id;
use std::path::{Path, PathBuf};

/// About plugins.
#[derive(Debug, Subcommand)]
pub enum PluginsCommand {
    /// One line for each plugin of this build; with a manifest, those in its libraries too.
    List {
        /// Also list the native plugins of this manifest: those that it loads, as a node does, and those that it refuses,
        /// with the reason.
        #[arg(long, short, value_name = "PATH")]
        manifest: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// What a plugin provides and needs, and its configuration with types, defaults and meaning.
    Show {
        /// The plugin's id.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// What plugins a library holds, and whether this program could load them; nothing of the library is run.
    Inspect {
        /// The library.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a crate for a plugin of your own, which builds, tests and loads as it stands; its README is a tutorial.
    New(new::NewPlugin),
    /// Try whether a plugin does what the seams that it provides ask for, rule by rule.
    Conform(Conform),
    /// Why a plugin runs or does not: where it comes from, its pin, what it waits for, who needs it. Nothing is run, and
    /// the manifest may have problems.
    Why {
        /// The plugin's id.
        id: String,
        /// The manifest.
        #[command(flatten)]
        manifest: ManifestArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Does what was asked.
pub fn carry_out(command: &PluginsCommand) -> Outcome {
    match command {
        PluginsCommand::List { manifest, json } => list::list(manifest.as_deref(), *json),
        PluginsCommand::Show { id, json } => list::show(id, *json),
        PluginsCommand::Inspect { file, json } => inspect::inspect(file, *json),
        PluginsCommand::New(args) => new::new(args),
        PluginsCommand::Conform(args) => conform(args),
        PluginsCommand::Why { id, manifest, json } => why::why(id, &manifest.manifest, *json),
    }
}

/// Words that nobody vouches for, such as those in a file's header, without what could confuse a terminal.
fn harmless(text: &str) -> String {
    text.escape_debug().to_string()
}

/// Names, or the word `nothing`.
fn joined(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<_> = items.into_iter().collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

/// A manifest's table for a plugin in a library, with all the grants that it can use; `None` for an id that no manifest
/// takes.
pub fn native_table(header: &Header, path: &Path, blake3: &str) -> Option<String> {
    let id = header.plugin_id();
    check_id(&id).ok()?;
    let grants = header.needs().into_iter().chain(header.optional());
    let grants: Vec<String> = grants.map(|seam| format!("\"{seam}\"")).collect();
    let path = serde_json::Value::from(path.to_string_lossy());
    Some(format!(
        "[plugins.{id}]\ntier = \"native\"\npath = {path}\nblake3 = \"{blake3}\"\ngrants = [{}]\n",
        grants.join(", ")
    ))
}
