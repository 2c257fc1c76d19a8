//! Keeps a node's artifacts in an object store: in memory, in a folder, or in S3.
//!
//! Owns the plugin `storage-object-store`: where the URL of the configuration leads is in `place`, what the store seam asks
//! is answered in `store`. The crate `object_store` speaks with the backends; some of them want tokio, so that this
//! plugin asks for a runtime of its own where it is loaded as a library.
#![forbid(unsafe_code)]

mod place;
mod store;

pub use store::ObjectArtifacts;

use lampkeeper_plugin_sdk::prelude::*;
use std::sync::Arc;

/// What an operator may set.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// Where artifacts are kept: `memory:///`, `file:///absolute/folder`, or `s3://bucket/prefix`. The folder must exist.
    #[schemars(extend("examples" = ["file:///var/lib/lampkeeper/artifacts"]))]
    pub url: String,
    /// Options of the backend, such as `aws_region` and `aws_endpoint`, under the names that `object_store` has for them.
    #[serde(default)]
    pub options: std::collections::BTreeMap<String, String>,
}

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let (backend, prefix) = place::open(&config).map_err(|(key, reason)| PluginError::InvalidConfig {
        plugin_id: context.plugin_id.clone(),
        key: key.to_owned(),
        reason,
    })?;
    let store = ObjectArtifacts::new(backend, prefix);
    // Better told now than with the first artifact: a folder or bucket that is not there, a key that is not accepted.
    store.probe().await.map_err(|error| PluginError::CannotStart {
        plugin_id: context.plugin_id.clone(),
        reason: format!("{}: {error}", config.url),
    })?;
    Ok(Provided { store: Some(Arc::new(store)), ..Provided::default() })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "storage-object-store",
    summary: "Keeps artifacts in an object store: memory, a folder, or S3.",
    provides: [Store],
    needs: [],
    config: Config,
    construct: construct,
    runtime: small,
}
