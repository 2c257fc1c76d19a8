//! The journal of durable decisions in an embedded SQLite database.
//!
//! Owns the plugin `journal-sqlite`: the file, what is refused as one, and the pragmas by which a returned call survives
//! a power loss. The tables and the statements are those of `lampkeeper-migrations`, which journals in other databases
//! share. What the rows mean is the services' business.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "this crate owns the file behind the journal seam")]

mod database;

pub use database::OpenJournalError;
pub use lampkeeper_migrations::sqlite::DieselJournal as SqliteJournal;

use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::plugin::Close;
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, blocking};
use lampkeeper_plugin_sdk::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What an operator may set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// The database file; a relative path starts at the node's data directory. It needs a local file system.
    pub file: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self { file: "journal.db".into() }
    }
}

/// Opens the journal in the file `path`, creating it if it is not there, upgrading it if it is of an older version.
///
/// # Errors
/// If the file is damaged, of something else or of a newer version, or can't be written.
pub async fn open(scheduler: Arc<dyn Scheduler>, path: &Path) -> Result<SqliteJournal, OpenJournalError> {
    let own_path = path.to_owned();
    let opened = blocking(&*scheduler, "journal-open", move || database::open(&own_path)).await;
    let session = opened.unwrap_or_else(|failure| {
        Err(OpenJournalError::Io {
            path: path.to_owned(),
            attempted: "opening it".to_owned(),
            reason: failure.to_string(),
        })
    })?;
    Ok(SqliteJournal::new(scheduler, session))
}

/// Opens the journal in the file `path` for reading alone. Nothing is made, changed or upgraded; a node may be using it, and
/// whatever would write fails.
///
/// # Errors
/// If there is no such file, or it is damaged, of something else, or of another version.
pub async fn open_read_only(
    scheduler: Arc<dyn Scheduler>,
    path: &Path,
) -> Result<SqliteJournal, OpenJournalError> {
    let own_path = path.to_owned();
    let opened = blocking(&*scheduler, "journal-open", move || database::open_read_only(&own_path)).await;
    let session = opened.unwrap_or_else(|failure| {
        let attempted = "opening it".to_owned();
        Err(OpenJournalError::Io { path: path.to_owned(), attempted, reason: failure.to_string() })
    })?;
    Ok(SqliteJournal::new(scheduler, session))
}

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let path = context.node.data_dir.join(&config.file);
    let journal = open(context.scheduler()?, &path).await.map_err(|error| PluginError::CannotStart {
        plugin_id: context.plugin_id.clone(),
        reason: error.to_string(),
    })?;
    let journal = Arc::new(journal);
    Ok(Provided {
        close: Some(Arc::new(Closing(Arc::clone(&journal)))),
        journal: Some(journal),
        ..Provided::default()
    })
}

struct Closing(Arc<SqliteJournal>);

impl Close for Closing {
    fn close(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { self.0.close().await.map_err(|error| error.to_string()) })
    }
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "journal-sqlite",
    summary: "Keeps the node's durable decisions in an embedded SQLite database.",
    provides: [Journal],
    needs: [required Scheduler],
    config: Config,
    construct: construct,
}
