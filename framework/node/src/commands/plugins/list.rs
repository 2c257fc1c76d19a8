//! `plugins list`, `plugins show` and `manifest schema`: what there is to put into a manifest.

use super::joined;
use crate::commands::check::read;
use crate::output::{self, Failure, Outcome};
use crate::plugins::registry;
use lampkeeper_core::Registry;
use lampkeeper_core::manifest::{config_keys, manifest_schema};
use lampkeeper_core::registry::{Origin, RegisteredPlugin};
use serde_json::json;
use std::path::Path;

fn all() -> Result<Registry, Failure> {
    registry().map_err(Failure::failed)
}

/// One line for each plugin. With a manifest its libraries are let in as when a node starts, and what was refused is
/// listed with the reason.
pub fn list(manifest: Option<&Path>, as_json: bool) -> Outcome {
    let registry = match manifest {
        Some(path) => all()?.with_native_of(path, &read(path)?),
        None => all()?,
    };
    if as_json {
        let refused = registry
            .refused()
            .map(|(id, refusal)| json!({ "id": id, "tier": "native", "refused": refusal.to_string() }));
        output::json(&registry.plugins().map(describe).chain(refused).collect());
        return Ok(());
    }
    for plugin in registry.plugins() {
        let descriptor = plugin.descriptor();
        let from = match plugin.origin() {
            Origin::Native { path, .. } => format!(" (native: {})", path.display()),
            _ => String::new(),
        };
        output::line(format!("{:<18} {:<8} {}{from}", descriptor.id, descriptor.version, descriptor.summary));
    }
    for (id, refusal) in registry.refused() {
        output::line(format!("{id:<18} refused: {refusal}"));
    }
    Ok(())
}

/// Everything about one plugin.
pub fn show(id: &str, as_json: bool) -> Outcome {
    let registry = all()?;
    let Some(plugin) = registry.find(id) else { return Err(unknown(&registry, id)) };
    if as_json {
        output::json(&describe(plugin));
        return Ok(());
    }
    let descriptor = plugin.descriptor();
    output::line(format!("{} {}", descriptor.id, descriptor.version));
    output::line(format!("  {}", descriptor.summary));
    output::line(format!(
        "  provides  {}",
        joined(descriptor.provides.iter().map(|seam| seam.name().to_owned()))
    ));
    let needs = descriptor.needs.iter().map(|need| {
        let optional = if need.optional { " (optional)" } else { "" };
        format!("{}{optional}", need.seam)
    });
    output::line(format!("  needs     {}", joined(needs)));
    let keys = config_keys(plugin.config_schema());
    output::line(format!(
        "\n[plugins.{}.config]{}",
        descriptor.id,
        if keys.is_empty() { "  # takes no keys" } else { "" }
    ));
    for key in keys {
        for line in key.description.lines() {
            output::line(format!("# {}", line.trim()));
        }
        let default = match (&key.default, key.required) {
            (Some(default), _) => format!("{} = {default}", key.key),
            (None, true) => format!("{} =   # must be given", key.key),
            (None, false) => format!("# {} =", key.key),
        };
        output::line(format!("{default}   # {}", key.takes));
    }
    Ok(())
}

/// The JSON Schema of manifests.
pub fn schema() -> Outcome {
    output::json(&manifest_schema(&all()?));
    Ok(())
}

fn describe(plugin: &RegisteredPlugin) -> serde_json::Value {
    let descriptor = plugin.descriptor();
    let needs: Vec<_> = descriptor
        .needs
        .iter()
        .map(|need| json!({ "seam": need.seam.name(), "optional": need.optional }))
        .collect();
    json!({
        "id": descriptor.id,
        "version": descriptor.version,
        "summary": descriptor.summary,
        "tier": if plugin.is_native() { "native" } else { "static" },
        "provides": descriptor.provides.iter().map(|seam| seam.name()).collect::<Vec<_>>(),
        "needs": needs,
        "config": config_keys(plugin.config_schema()),
    })
}

fn unknown(registry: &Registry, id: &str) -> Failure {
    if let Some(feature) = registry.feature_of(id) {
        return Failure::failed(format!(
            "plugin {id} is left out of this build: build with the cargo feature `{feature}`"
        ));
    }
    let ids: Vec<_> = registry.plugins().map(|plugin| plugin.descriptor().id.clone()).collect();
    Failure::failed(format!("there is no plugin {id}; there are {}", ids.join(", ")))
}
