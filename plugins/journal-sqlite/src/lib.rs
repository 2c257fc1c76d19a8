//! The journal of durable decisions in an embedded SQLite database.
//!
//! Owns the plugin `journal-sqlite`: diesel's models and queries, the steps that upgrade an older file, and the pragmas
//! by which a returned call survives a power loss. What the rows mean is the services' business.
//!
//! `schema`, `rows` and `queries` know no particular database; all that is SQLite's is in `database`.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "this crate owns the file behind the journal seam")]

mod database;
mod journal;
mod queries;
mod rows;
mod schema;

pub use database::OpenJournalError;
pub use journal::SqliteJournal;

use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::plugin::Close;
use lampkeeper_plugin_sdk::prelude::*;
// Nothing calls it; it is linked so that diesel uses the SQLite that is compiled with the node.
use libsqlite3_sys as _;
use std::path::PathBuf;
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

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let path = context.node.data_dir.join(&config.file);
    let journal = SqliteJournal::open(context.scheduler()?, &path).await.map_err(|error| {
        PluginError::CannotStart { plugin_id: context.plugin_id.clone(), reason: error.to_string() }
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
