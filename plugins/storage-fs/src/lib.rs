//! Verified, atomic, crash-safe artifact store and heal staging on a file system.
//!
//! Owns the plugin `storage-fs`, which provides both seams, and [`DataDirGuard`], which keeps a directory to one process
//! and one node. What belongs into the store and when a staging directory is published is decided by others.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "this crate owns the files behind the store and staging seams"
)]

mod blobs;
mod files;
mod guard;
mod staging;
mod staging_area;
mod store;

pub use blobs::OpenedStore;
pub use guard::{DataDirError, DataDirGuard, DataDirOwner};
pub use staging::FsStaging;
pub use store::FsStore;

use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::plugin::Close;
use lampkeeper_plugin_sdk::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

/// What an operator may set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// Where artifacts are kept; a relative path starts at the node's data directory. May be a volume of its own.
    pub artifacts_dir: PathBuf,
    /// Where reconstructions wait for their verdict; a relative path starts at the node's data directory.
    pub staging_dir: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self { artifacts_dir: "artifacts".into(), staging_dir: "heal-staging".into() }
    }
}

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let artifacts_dir = context.node.data_dir.join(&config.artifacts_dir);
    let staging_dir = context.node.data_dir.join(&config.staging_dir);
    if artifacts_dir.starts_with(&staging_dir) || staging_dir.starts_with(&artifacts_dir) {
        return Err(PluginError::InvalidConfig {
            plugin_id: context.plugin_id,
            key: "staging_dir".to_owned(),
            reason: "artifacts_dir and staging_dir are inside each other: choose two separate directories"
                .to_owned(),
        });
    }
    let owner = DataDirOwner::from(&context.node);
    let scheduler = context.scheduler()?;
    let cannot_start =
        |reason: String| PluginError::CannotStart { plugin_id: context.plugin_id.clone(), reason };

    let (store, opened) =
        FsStore::open(Arc::clone(&scheduler), &artifacts_dir, &owner, Arc::clone(&context.telemetry))
            .await
            .map_err(|error| cannot_start(error.to_string()))?;
    let staging = FsStaging::open(scheduler, &staging_dir, &owner)
        .await
        .map_err(|error| cannot_start(error.to_string()))?;
    context.telemetry.log(
        Level::Info,
        "the artifact store is open",
        &[
            ("dir", Value::from(artifacts_dir.display().to_string())),
            ("artifact_count", Value::from(opened.artifact_count)),
            ("artifact_bytes", Value::from(opened.artifact_bytes)),
            ("leftovers_removed", Value::from(opened.leftovers_removed)),
        ],
    );

    let (store, staging) = (Arc::new(store), Arc::new(staging));
    Ok(Provided {
        close: Some(Arc::new(Closing { store: Arc::clone(&store), staging: Arc::clone(&staging) })),
        store: Some(store),
        staging: Some(staging),
        ..Provided::default()
    })
}

/// Everything is durable when a call returns, so closing only gives the directories back.
struct Closing {
    store: Arc<FsStore>,
    staging: Arc<FsStaging>,
}

impl Close for Closing {
    fn close(&self) -> BoxFuture<'_, Result<(), String>> {
        self.store.close();
        self.staging.close();
        Box::pin(async { Ok(()) })
    }
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "storage-fs",
    summary: "Keeps artifacts and heal reconstructions as files: verified, atomic, crash-safe.",
    provides: [Store, Staging],
    needs: [required Scheduler],
    config: Config,
    construct: construct,
}
