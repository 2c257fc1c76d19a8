//! Plugins for tests: declared by a few words, made by the constructor that a test gives.

use crate::registry::Registry;
use lampkeeper_api::plugin::{Constructor, Need, PluginDescriptor, Provided, Seam};

/// Marks a need that a plugin works without.
pub(crate) const OPTIONAL: bool = true;
/// Marks a need that a plugin does not work without.
pub(crate) const REQUIRED: bool = false;

/// A plugin that takes any configuration and is made of nothing.
pub(crate) fn plugin(id: &str, provides: &[Seam], needs: &[(Seam, bool)]) -> PluginDescriptor {
    PluginDescriptor {
        id: id.to_owned(),
        version: "1.2.3".to_owned(),
        summary: format!("Stands for {id}."),
        provides: provides.to_vec(),
        needs: needs.iter().map(|(seam, optional)| Need { seam: *seam, optional: *optional }).collect(),
        config_schema: "{}".to_owned(),
        construct: |_| Box::pin(async { Ok(Provided::default()) }),
    }
}

/// The same, made by `construct`.
pub(crate) fn made_by(construct: Constructor, descriptor: PluginDescriptor) -> PluginDescriptor {
    PluginDescriptor { construct, ..descriptor }
}

/// The same, with this configuration schema.
pub(crate) fn configured_by(config_schema: &str, descriptor: PluginDescriptor) -> PluginDescriptor {
    PluginDescriptor { config_schema: config_schema.to_owned(), ..descriptor }
}

/// A registry of these plugins, in a program that provides a scheduler.
pub(crate) fn registry(plugins: impl IntoIterator<Item = PluginDescriptor>) -> Registry {
    let mut registry = Registry::new().with_host_seams([Seam::Scheduler]);
    for plugin in plugins {
        registry.add(plugin).unwrap();
    }
    registry
}
