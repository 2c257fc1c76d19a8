//! A plugin's configuration: its JSON Schema and its values.
//!
//! Owns the translation between a config struct and the text that crosses the boundary. Positions in the manifest and
//! the list of all problems in it are core's business.

use lampkeeper_api::plugin::{PluginContext, PluginError};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// The JSON Schema of a config struct, as text.
#[must_use]
pub fn schema_json<T: JsonSchema>() -> String {
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
    schema.as_value().to_string()
}

/// The configuration that the host checked and passed on; an empty text stands for an empty table.
///
/// # Errors
/// If a value does not fit, with the key that it stands under.
pub fn parse<T: DeserializeOwned>(context: &PluginContext) -> Result<T, PluginError> {
    let text = if context.config_json.is_empty() { "{}" } else { &context.config_json };
    serde_json::from_str(text).map_err(|error| PluginError::InvalidConfig {
        plugin_id: context.plugin_id.clone(),
        key: "config".to_owned(),
        reason: error.to_string(),
    })
}
