//! The JSON Schema of a whole manifest, for editors and for [`super::Manifest::parse`] itself.

use super::sections::Sections;
use crate::registry::Registry;
use lampkeeper_api::plugin::Seam;
use serde_json::{Map, Value, json};

/// The JSON Schema of manifests for these plugins, the configuration of each included.
///
/// Editors that know TOML take it for completion and for marking mistakes.
#[must_use]
pub fn manifest_schema(registry: &Registry) -> Value {
    let mut schema = schemars::SchemaGenerator::default().into_root_schema_for::<Sections>().to_value();
    let mut definitions = Map::new();
    let plugins: Map<String, Value> = registry
        .plugins()
        .map(|plugin| {
            let descriptor = plugin.descriptor();
            let config = adopt(&descriptor.id, plugin.config_schema(), &mut definitions);
            let table = json!({
                "description": descriptor.summary,
                "allOf": [{ "$ref": "#/$defs/PluginTable" }],
                "properties": { "config": config },
            });
            (descriptor.id.clone(), table)
        })
        .collect();
    let seams: Map<String, Value> = Seam::ALL
        .into_iter()
        .filter(|seam| *seam != Seam::Service)
        .map(|seam| {
            let able = registry.plugins().filter(|plugin| plugin.can_provide(seam));
            let mut ids: Vec<Value> = able.map(|plugin| json!(plugin.descriptor().id)).collect();
            if registry.host_seams().any(|provided| seam.is_satisfied_by(provided)) {
                ids.push(json!(crate::registry::HOST_PROVIDER));
            }
            (seam.name().to_owned(), json!({ "enum": ids }))
        })
        .filter(|(_, schema)| schema["enum"].as_array().is_some_and(|ids| !ids.is_empty()))
        .collect();
    schema["title"] = json!("A Lampkeeper manifest");
    if let Some(own) = schema["$defs"].as_object_mut() {
        own.extend(definitions);
    }
    replace_table(&mut schema["properties"]["plugins"], plugins);
    replace_table(&mut schema["properties"]["provide"], seams);
    schema
}

/// The schema of the tables that belong to core: plugins and choices are left open, and checked one by one.
pub(super) fn sections_schema() -> Value {
    let mut schema = schemars::SchemaGenerator::default().into_root_schema_for::<Sections>().to_value();
    for open in ["plugins", "provide"] {
        schema["properties"][open] = json!({ "type": "object" });
    }
    schema
}

/// The schema of a plugin's table, its configuration left open.
pub(super) fn plugin_table_schema() -> Value {
    let mut schema = schemars::SchemaGenerator::default()
        .into_root_schema_for::<super::sections::PluginTable>()
        .to_value();
    schema["properties"]["config"] = json!({ "type": "object" });
    schema
}

fn replace_table(table: &mut Value, properties: Map<String, Value>) {
    let description = table["description"].clone();
    *table = json!({
        "type": "object",
        "description": description,
        "properties": properties,
        "additionalProperties": false,
    });
}

/// Moves a plugin's schema into another document: its definitions get the plugin's id in front of their names and join
/// those of the document. (An `$id` of its own would do by the standard, but not every editor follows it.)
fn adopt(plugin_id: &str, schema: &Value, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = renamed(plugin_id, schema);
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        if let Some(Value::Object(own)) = object.remove("$defs") {
            definitions.extend(own.into_iter().map(|(name, value)| (format!("{plugin_id}.{name}"), value)));
        }
    }
    schema
}

/// The schema with the plugin's id in front of each definition that it refers to.
fn renamed(plugin_id: &str, schema: &Value) -> Value {
    match schema {
        Value::Object(object) => {
            let renamed_entry = |(keyword, value): (&String, &Value)| match (keyword.as_str(), value.as_str())
            {
                ("$ref", Some(reference)) => {
                    let target = reference.replacen("#/$defs/", &format!("#/$defs/{plugin_id}."), 1);
                    (keyword.clone(), Value::String(target))
                }
                _ => (keyword.clone(), renamed(plugin_id, value)),
            };
            Value::Object(object.iter().map(renamed_entry).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(|value| renamed(plugin_id, value)).collect()),
        other => other.clone(),
    }
}
