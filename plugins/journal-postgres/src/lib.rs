//! The journal of durable decisions in a PostgreSQL database.
//!
//! Owns the plugin `journal-postgres`: reaching the server, keeping the journal to one node, refusing what is not ours,
//! and coming back after the server was away. The tables and the statements are those of `lampkeeper-migrations`, which
//! journals in other databases share. What the rows mean is the services' business.
//!
//! Events: `journal.connection_lost` (`server`, `schema`), `journal.reconnect_failed` (the same, `attempts`, `reason`),
//! `journal.reconnected` (the same, `attempts`). Gauge: `journal_connected`, 1 or 0.
#![forbid(unsafe_code)]

mod config;
mod database;
mod session;
mod url;

pub use config::{Config, ConfigError, Place, SCHEMA_LEN_BYTES_MAX, SchemaName, Secret};
pub use database::OpenJournalError;
pub use lampkeeper_migrations::postgres::DieselJournal as PostgresJournal;
pub use url::{ServerUrl, URL_LEN_BYTES_MAX, UrlError};

use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::plugin::Close;
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, blocking};
use lampkeeper_plugin_sdk::prelude::*;
use session::PostgresSession;
use std::sync::Arc;

/// Opens the journal in `place`, making its schema if it is not there, upgrading it if it is of an older version.
///
/// # Errors
/// If the server can't be reached or would lose what it has committed, if another node has the journal, or if the schema
/// is of something else or of a newer version.
pub async fn open(
    scheduler: Arc<dyn Scheduler>,
    telemetry: Arc<dyn Telemetry>,
    place: Place,
) -> Result<PostgresJournal, OpenJournalError> {
    let server = place.url.server();
    let timer = Arc::clone(&scheduler);
    let open = move || PostgresSession::open(timer, telemetry, place);
    let opened = blocking(&*scheduler, "journal-open", open).await;
    let session = opened.unwrap_or_else(|failure| {
        let attempted = "opening it".to_owned();
        Err(OpenJournalError::Database { server, attempted, reason: failure.to_string() })
    })?;
    Ok(PostgresJournal::new(scheduler, session))
}

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let plugin_id = context.plugin_id.clone();
    let scheduler = context.scheduler()?;
    let data_dir = context.node.data_dir.clone();
    let place = blocking(&*scheduler, "journal-config", move || config.place(&data_dir)).await;
    let place = match place {
        Ok(Ok(place)) => place,
        Ok(Err(ConfigError { key, reason })) => {
            return Err(PluginError::InvalidConfig { plugin_id, key: key.to_owned(), reason });
        }
        Err(failure) => return Err(PluginError::CannotStart { plugin_id, reason: failure.to_string() }),
    };
    let journal = open(scheduler, Arc::clone(&context.telemetry), place)
        .await
        .map_err(|error| PluginError::CannotStart { plugin_id, reason: error.to_string() })?;
    let journal = Arc::new(journal);
    Ok(Provided {
        close: Some(Arc::new(Closing(Arc::clone(&journal)))),
        journal: Some(journal),
        ..Provided::default()
    })
}

struct Closing(Arc<PostgresJournal>);

impl Close for Closing {
    fn close(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { self.0.close().await.map_err(|error| error.to_string()) })
    }
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "journal-postgres",
    summary: "Keeps the node's durable decisions in a PostgreSQL database.",
    provides: [Journal],
    needs: [required Scheduler],
    config: Config,
    construct: construct,
}
