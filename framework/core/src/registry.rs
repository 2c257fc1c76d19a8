//! The plugins that a node may use.
//!
//! Owns the list of descriptors, what the embedding program adds to it (seams that it provides itself, plugins that
//! this build leaves out, rules between plugins) and the refusal of ids that are taken. Which plugins a node really
//! runs is the manifest's decision.

use crate::native::Refusal;
use lampkeeper_api::plugin::{PluginDescriptor, Seam, StaticPlugin};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The name under which seams of the embedding program are found; no plugin may have it.
pub const HOST_PROVIDER: &str = "host";
/// The longest id that a plugin may have.
pub const PLUGIN_ID_LEN_MAX: usize = 64;

/// A rule that seams can't express: one plugin is useless, or harmful, without another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRule {
    /// The plugin that the rule is about.
    pub plugin_id: String,
    /// The plugin that must be enabled with it.
    pub requires_id: String,
    /// Why, for people: completes the sentence "A requires B: ...".
    pub reason: String,
}

/// One plugin of the registry.
#[derive(Debug, Clone)]
pub struct RegisteredPlugin {
    descriptor: PluginDescriptor,
    schema: Value,
    origin: Origin,
}

/// Where a plugin's code comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// It is linked into this program.
    Linked,
    /// It is in a library that was loaded.
    Native {
        /// The file.
        path: PathBuf,
        /// Hex of the file's BLAKE3.
        blake3: String,
    },
}

impl RegisteredPlugin {
    /// What the plugin says of itself.
    #[must_use]
    pub const fn descriptor(&self) -> &PluginDescriptor {
        &self.descriptor
    }

    /// Where its code comes from.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether its code is in a library of its own.
    #[must_use]
    pub const fn is_native(&self) -> bool {
        match self.origin {
            Origin::Native { .. } => true,
            Origin::Linked => false,
        }
    }

    /// The JSON Schema of its configuration table.
    #[must_use]
    pub const fn config_schema(&self) -> &Value {
        &self.schema
    }

    /// Whether it can provide `seam`, or more than that.
    #[must_use]
    pub fn can_provide(&self, seam: Seam) -> bool {
        self.descriptor.provides.iter().any(|provided| seam.is_satisfied_by(*provided))
    }
}

/// All plugins that a node may use, by ascending id.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    plugins: BTreeMap<String, RegisteredPlugin>,
    left_out: BTreeMap<String, String>,
    refused: BTreeMap<String, Refusal>,
    host_seams: BTreeSet<Seam>,
    rules: Vec<PluginRule>,
}

impl Registry {
    /// A registry without plugins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The plugins that are linked into this image.
    ///
    /// # Errors
    /// If two plugins have the same id, or a descriptor is malformed.
    pub fn from_static() -> Result<Self, RegistryError> {
        let mut registry = Self::new();
        for descriptor in StaticPlugin::all() {
            registry.add(descriptor)?;
        }
        Ok(registry)
    }

    /// Adds a plugin.
    ///
    /// # Errors
    /// If its id is taken or not allowed, or its schema is no JSON.
    pub fn add(&mut self, descriptor: PluginDescriptor) -> Result<(), RegistryError> {
        if let Some(taken) = self.plugins.get(&descriptor.id) {
            return Err(duplicate(taken, &descriptor, &Origin::Linked));
        }
        self.insert(descriptor, Origin::Linked)
    }

    /// Adds a plugin from a library. It takes the place of a linked one with the same id: the manifest named its file.
    pub(crate) fn add_native(
        &mut self,
        descriptor: PluginDescriptor,
        origin: Origin,
    ) -> Result<(), RegistryError> {
        match self.plugins.get(&descriptor.id) {
            Some(taken) if taken.is_native() && taken.origin != origin => {
                Err(duplicate(taken, &descriptor, &origin))
            }
            _ => self.insert(descriptor, origin),
        }
    }

    fn insert(&mut self, descriptor: PluginDescriptor, origin: Origin) -> Result<(), RegistryError> {
        check_id(&descriptor.id)?;
        let schema = serde_json::from_str(&descriptor.config_schema).map_err(|error| {
            RegistryError::InvalidSchema { plugin_id: descriptor.id.clone(), reason: error.to_string() }
        })?;
        self.plugins.insert(descriptor.id.clone(), RegisteredPlugin { descriptor, schema, origin });
        Ok(())
    }

    /// The registry with the native plugins that a manifest turns on, as far as they may be loaded: see
    /// [`crate::native`]. What was refused is reported when the manifest is parsed with this registry.
    ///
    /// `path` is that of the manifest: relative paths in it start at its folder. A text that is no TOML has no plugins.
    #[must_use]
    pub fn with_native_of(mut self, path: &Path, text: &str) -> Self {
        let (declared, linked_ids) = crate::manifest::native_plugins(path, text);
        let refused = crate::native::admit_all(&mut self, declared, &linked_ids);
        self.refused.extend(refused);
        self
    }

    /// Why a native plugin was not loaded.
    #[must_use]
    pub fn refusal_of(&self, plugin_id: &str) -> Option<&Refusal> {
        self.refused.get(plugin_id)
    }

    /// The native plugins that were not loaded, by ascending id.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &Refusal)> {
        self.refused.iter().map(|(id, refusal)| (id.as_str(), refusal))
    }

    /// Says which known plugins this build lacks, and the cargo feature that brings each: `(id, feature)`. Ids that are
    /// there all the same are skipped.
    #[must_use]
    pub fn with_left_out<'a>(mut self, left_out: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        for (id, feature) in left_out {
            if !self.plugins.contains_key(id) {
                self.left_out.insert(id.to_owned(), feature.to_owned());
            }
        }
        self
    }

    /// Says which seams the embedding program provides itself, under the name `host`. The signer always is one.
    #[must_use]
    pub fn with_host_seams(mut self, seams: impl IntoIterator<Item = Seam>) -> Self {
        self.host_seams.extend(seams);
        self
    }

    /// Adds a rule between two plugins.
    #[must_use]
    pub fn with_rule(mut self, rule: PluginRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// A plugin by its id.
    #[must_use]
    pub fn find(&self, plugin_id: &str) -> Option<&RegisteredPlugin> {
        self.plugins.get(plugin_id)
    }

    /// All plugins, by ascending id.
    pub fn plugins(&self) -> impl Iterator<Item = &RegisteredPlugin> {
        self.plugins.values()
    }

    /// The cargo feature that brings a plugin which this build lacks.
    #[must_use]
    pub fn feature_of(&self, plugin_id: &str) -> Option<&str> {
        self.left_out.get(plugin_id).map(String::as_str)
    }

    /// The seams that the embedding program provides, by ascending seam; the signer always is one.
    pub fn host_seams(&self) -> impl Iterator<Item = Seam> {
        let mut seams = self.host_seams.clone();
        seams.insert(Seam::Signer);
        seams.into_iter()
    }

    /// The rules between plugins, in the order in which they were added.
    #[must_use]
    pub fn rules(&self) -> &[PluginRule] {
        &self.rules
    }
}

/// Whether a plugin may have this id.
///
/// # Errors
/// If not, with what is allowed.
pub fn check_id(plugin_id: &str) -> Result<(), RegistryError> {
    let well_formed = plugin_id.len() <= PLUGIN_ID_LEN_MAX
        && plugin_id.starts_with(|first: char| first.is_ascii_lowercase())
        && plugin_id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if well_formed && plugin_id != HOST_PROVIDER {
        Ok(())
    } else {
        Err(RegistryError::InvalidId { plugin_id: plugin_id.chars().take(PLUGIN_ID_LEN_MAX).collect() })
    }
}

fn duplicate(taken: &RegisteredPlugin, second: &PluginDescriptor, origin: &Origin) -> RegistryError {
    RegistryError::Duplicate {
        plugin_id: second.id.clone(),
        first: describe(&taken.descriptor, &taken.origin),
        second: describe(second, origin),
    }
}

fn describe(descriptor: &PluginDescriptor, origin: &Origin) -> String {
    let what = format!("version {} ({})", descriptor.version, descriptor.summary);
    match origin {
        Origin::Linked => what,
        Origin::Native { path, .. } => format!("{what} from {}", path.display()),
    }
}

/// Why a plugin could not be registered. All of these are mistakes in a build, not in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two plugins have the same id.
    #[error("plugin id `{plugin_id}` is registered twice: by {first} and by {second}; rename one of them")]
    Duplicate {
        /// The id.
        plugin_id: String,
        /// The plugin that has it.
        first: String,
        /// The plugin that wants it too.
        second: String,
    },
    /// The id is not allowed.
    #[error(
        "plugin id `{plugin_id}` is not allowed: use at most 64 lower-case letters, digits and hyphens, a letter \
         first, and not `host`"
    )]
    InvalidId {
        /// The id, shortened if it was too long.
        plugin_id: String,
    },
    /// The configuration's schema can't be read.
    #[error("the configuration schema of plugin `{plugin_id}` is not JSON: {reason}")]
    InvalidSchema {
        /// The plugin.
        plugin_id: String,
        /// What is wrong.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{configured_by, plugin};

    #[test]
    fn an_id_that_is_taken_names_both_sides() {
        let mut registry = Registry::new();
        registry.add(plugin("store-a", &[Seam::Store], &[])).unwrap();
        let mut second = plugin("store-a", &[Seam::Store], &[]);
        second.version = "2.0.0".to_owned();
        second.summary = "Another store.".to_owned();
        assert_eq!(
            registry.add(second).unwrap_err().to_string(),
            "plugin id `store-a` is registered twice: by version 1.2.3 (Stands for store-a.) and by version 2.0.0 \
             (Another store.); rename one of them"
        );
        assert_eq!(registry.find("store-a").unwrap().descriptor().version, "1.2.3", "the first stays");
    }

    #[test]
    fn malformed_descriptors_are_refused() {
        let long = "a".repeat(PLUGIN_ID_LEN_MAX + 1);
        for id in ["", "host", "Store", "store_a", "-a", "1a", "a b", &long] {
            let refused = Registry::new().add(plugin(id, &[], &[])).unwrap_err();
            assert!(matches!(refused, RegistryError::InvalidId { .. }), "{id}: {refused}");
        }
        let refused = Registry::new().add(configured_by("{", plugin("a", &[], &[]))).unwrap_err();
        assert!(matches!(refused, RegistryError::InvalidSchema { .. }), "{refused}");
    }

    #[test]
    fn plugins_are_listed_by_id_and_those_left_out_by_feature() {
        let mut registry = Registry::new();
        for id in ["b", "c", "a"] {
            registry.add(plugin(id, &[], &[])).unwrap();
        }
        let registry = registry.with_left_out([("a", "plugin-a"), ("d", "plugin-d")]);
        let ids: Vec<&str> = registry.plugins().map(|plugin| plugin.descriptor().id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert_eq!(registry.feature_of("a"), None, "it is there");
        assert_eq!(registry.feature_of("d"), Some("plugin-d"));
    }
}
