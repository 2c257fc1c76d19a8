//! The manifest: what an operator writes to say what a node is made of.
//!
//! Owns its shape, its schema for editors, and the list of everything that is wrong with one, each with its place and
//! what to write instead. Reading the file is the embedding program's business; what a plugin makes of its own
//! configuration, the plugin's. `docs/manifest.md` describes the shape for operators.

mod check;
mod describe;
mod grants;
mod inject;
mod native;
mod outline;
mod plan;
mod problem;
mod schema;
mod sections;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use native::native_plugins;

pub use describe::{ConfigKey, config_keys};
pub use inject::INJECTIONS_MAX;
pub use outline::{DeclaredPlugin, Outline};
pub use problem::Problem;
pub use schema::manifest_schema;
pub use sections::{
    IdentitySection, LogFormat, LogSection, MetricsSection, NodeSection, SupervisionSection, Tier,
};

use crate::inject::Injection;
use crate::native::NativePlugin;
use crate::registry::{RegisteredPlugin, Registry};
use crate::resolve::Plan;
use crate::suggest::closest;
use check::{Schema, check, joined};
use problem::Finding;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tree::{Entry, Node};

/// The longest manifest that is read, in bytes.
pub const MANIFEST_LEN_BYTES_MAX: usize = 256 * 1024;

/// A manifest without problems.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The file it was read from.
    pub path: PathBuf,
    /// The node itself; `data_dir` starts at the manifest's folder.
    pub node: NodeSection,
    /// The node's key; `key_file` starts at the manifest's folder.
    pub identity: IdentitySection,
    /// What is logged, and how.
    pub log: LogSection,
    /// Who can read the node's metrics.
    pub metrics: MetricsSection,
    /// Restarts and time limits.
    pub supervision: SupervisionSection,
    /// Every plugin that the manifest mentions, by id, also those that are turned off.
    pub plugins: BTreeMap<String, PluginSection>,
    /// Which plugin was chosen to provide a seam, by the seam's name.
    pub provide: BTreeMap<String, String>,
    /// What is put in front of seams, in the manifest's order.
    pub inject: Vec<Injection>,
    /// What to start, in order, and who is given what.
    pub plan: Plan,
}

/// What a manifest says about one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSection {
    /// Whether it runs.
    pub enabled: bool,
    /// Where its code comes from.
    pub tier: Tier,
    /// Its library, if it is native.
    pub native: Option<NativePlugin>,
    /// Its configuration, as it stands in the manifest.
    pub config: serde_json::Value,
    /// The line of its table.
    pub line: usize,
}

impl Manifest {
    /// Reads a manifest and resolves what its plugins need.
    ///
    /// `path` is shown in problems, and its folder is where relative paths start.
    ///
    /// ```
    /// use lampkeeper_api::plugin::Seam;
    /// use lampkeeper_core::{Manifest, Registry};
    ///
    /// let registry = Registry::new().with_host_seams([Seam::Scheduler]);
    /// let text = "[node]\nnetwork = 'devnet-1'\ndata_dir = 'data'\nnme = 'n1'";
    /// let problems = Manifest::parse("node.toml".as_ref(), text, &registry).unwrap_err();
    /// let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    /// assert_eq!(lines, [
    ///     "node.toml:1:2: node.name: missing; write `name = \"n1\"` (text of 1 to 64 characters)",
    ///     "node.toml:4:1: node.nme: unknown key; did you mean `name`?",
    /// ]);
    /// ```
    ///
    /// # Errors
    /// Every problem that can be seen, by ascending line. A text that is not TOML has only one.
    pub fn parse(path: &Path, text: &str, registry: &Registry) -> Result<Self, Vec<Problem>> {
        let located = |findings: Vec<Finding>| {
            let mut problems: Vec<Problem> =
                findings.into_iter().map(|finding| finding.located(path, text)).collect();
            problems.sort_by(|left, right| {
                (left.line, left.column, &left.key).cmp(&(right.line, right.column, &right.key))
            });
            problems.dedup();
            problems
        };
        let document = read_toml(text).map_err(|finding| located(vec![finding]))?;
        let mut reading = Reading { registry, document: &document, findings: Vec::new() };
        let sections = reading.sections();
        let enabled = reading.plugins();
        let plan = plan::plan(&mut reading, &enabled);
        inject::check(&mut reading, plan.as_ref());
        let findings = reading.findings;
        match (sections, plan, findings.is_empty()) {
            (Some(sections), Some(plan), true) => Ok(assemble(path, text, &document, sections, plan)),
            _ => Err(located(findings)),
        }
    }

    /// The path of something in the data directory.
    #[must_use]
    pub fn in_data_dir(&self, name: &str) -> PathBuf {
        self.node.data_dir.join(name)
    }

    /// Whether a plugin is mentioned and runs.
    #[must_use]
    pub fn is_enabled(&self, plugin_id: &str) -> bool {
        self.plugins.get(plugin_id).is_some_and(|plugin| plugin.enabled)
    }
}

fn read_toml(text: &str) -> Result<Node, Finding> {
    if text.len() > MANIFEST_LEN_BYTES_MAX {
        let what =
            format!("{} bytes are more than a manifest may have ({MANIFEST_LEN_BYTES_MAX})", text.len());
        return Err(Finding::new(&(0..0), "", what));
    }
    match toml_edit::Document::parse(text) {
        Ok(document) => Ok(Node::of_document(&document)),
        Err(error) => {
            let what = error.message().trim().replace('\n', ", ");
            Err(Finding::new(&error.span().unwrap_or_default(), "", format!("not TOML: {what}")))
        }
    }
}

fn assemble(path: &Path, text: &str, document: &Node, sections: sections::Sections, plan: Plan) -> Manifest {
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let mut node = sections.node;
    node.data_dir = folder.join(node.data_dir);
    let mut identity = sections.identity;
    identity.key_file = folder.join(identity.key_file);
    identity.passphrase_file = identity.passphrase_file.map(|file| folder.join(file));
    let plugins = sections.plugins.into_iter().map(|(id, table)| {
        let span = document.at(&["plugins", &id]).map(|node| node.span.clone()).unwrap_or_default();
        let line = Finding::new(&span, "", "").located(path, text).line;
        let config = serde_json::Value::Object(table.config);
        let native = native::declared(&id, folder, table.path, table.blake3);
        (id, PluginSection { enabled: table.enabled, tier: table.tier, native, config, line })
    });
    let places = inject::places(document);
    let inject = sections.inject.into_iter().zip(places).filter_map(|(table, span)| {
        let line = Finding::new(&span, "", "").located(path, text).line;
        table.injection(folder, line)
    });
    Manifest {
        path: path.to_owned(),
        node,
        identity,
        log: sections.log,
        metrics: sections.metrics,
        supervision: sections.supervision,
        plugins: plugins.collect(),
        provide: sections.provide,
        inject: inject.collect(),
        plan,
    }
}

/// A manifest while it is read.
struct Reading<'a> {
    registry: &'a Registry,
    document: &'a Node,
    findings: Vec<Finding>,
}

/// The plugins that a manifest turns on.
#[derive(Default)]
struct Enabled {
    /// Their ids. Where an unknown id has a likely meaning it is counted as that, so that one mistake is reported once.
    ids: BTreeSet<String>,
    /// Whether some are missing because nobody can say what they would provide.
    incomplete: bool,
}

impl Reading<'_> {
    /// The tables that belong to core; `None` if they are not as they should be.
    fn sections(&mut self) -> Option<sections::Sections> {
        let schema = schema::sections_schema();
        let findings = check(self.document, "", Schema::document(&schema));
        self.findings.extend(findings);
        self.check_values();
        serde_json::from_value(self.document.to_json()).ok()
    }

    /// What a schema can't say of core's tables.
    fn check_values(&mut self) {
        if let Some(node) = self.document.at(&["log", "filter"])
            && let Some(filter) = node.as_text()
            && !crate::telemetry::logging::is_filter(filter)
        {
            let finding = Finding::new(&node.span, "log.filter", "not a log filter");
            self.findings
                .push(finding.instead("write a level, such as \"info\", or \"info,lampkeeper_core=debug\""));
        }
        if let Some(node) = self.document.at(&["metrics", "listen"])
            && node.as_text().is_some_and(|text| text.parse::<std::net::SocketAddr>().is_err())
        {
            let finding = Finding::new(&node.span, "metrics.listen", "not an address and a port");
            self.findings.push(finding.instead("write them as numbers, such as \"127.0.0.1:9464\""));
        }
        let milliseconds = |key: &str| match &self.document.at(&["supervision", key])?.data {
            tree::Data::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        let defaults = SupervisionSection::default();
        let min = milliseconds("restart_backoff_min_ms").unwrap_or(defaults.restart_backoff_min_ms);
        let max = milliseconds("restart_backoff_max_ms").unwrap_or(defaults.restart_backoff_max_ms);
        if min > max
            && let Some(node) = self.document.at(&["supervision"])
        {
            let what = format!("the shortest pause ({min} ms) is longer than the longest ({max} ms)");
            let finding = Finding::new(&node.span, "supervision.restart_backoff_min_ms", what);
            self.findings.push(finding.instead("lower it, or raise `restart_backoff_max_ms`"));
        }
    }

    /// Checks each plugin's table; the plugins that are turned on.
    fn plugins(&mut self) -> Enabled {
        let mut enabled = Enabled::default();
        let entries = self.document.at(&["plugins"]).map(Node::entries).unwrap_or_default();
        for entry in entries {
            let is_on = native::is_on(entry);
            let found = self.registry.find(&entry.key);
            let known_id = match found.filter(|plugin| plugin.is_native() == native::is_native(entry)) {
                Some(plugin) => {
                    self.check_plugin(entry, plugin);
                    Some(entry.key.clone())
                }
                // A library that is turned off is not looked at: nobody can say more about its table.
                None if native::is_native(entry) && !is_on => continue,
                None if native::is_native(entry) => {
                    self.report_not_loaded(entry);
                    None
                }
                None if !is_on && self.registry.feature_of(&entry.key).is_some() => continue,
                None => self.report_unknown_plugin(entry),
            };
            match known_id {
                Some(id) if is_on => {
                    enabled.ids.insert(id);
                }
                None if is_on => enabled.incomplete = true,
                Some(_) | None => {}
            }
        }
        enabled
    }

    fn check_plugin(&mut self, entry: &Entry, plugin: &RegisteredPlugin) {
        let key = joined("plugins", &entry.key);
        let table_schema = schema::plugin_table_schema();
        self.findings.extend(check(&entry.node, &key, Schema::document(&table_schema)));
        self.check_tier(entry, &key);
        self.check_native_keys(entry, &key);
        // A configuration that is not there still lacks the keys that it must have.
        let absent = Node { span: entry.node.span.clone(), data: tree::Data::Table(Vec::new()) };
        let config = entry.node.at(&["config"]).unwrap_or(&absent);
        if matches!(config.data, tree::Data::Table(_)) {
            let schema = Schema::document(plugin.config_schema());
            self.findings.extend(check(config, &joined(&key, "config"), schema));
        }
    }

    fn check_tier(&mut self, entry: &Entry, key: &str) {
        let Some(node) = entry.node.at(&["tier"]) else { return };
        if node.as_text() == Some("process") {
            let what = "this version of the node can't run plugins in the process tier";
            let finding = Finding::new(&node.span, joined(key, "tier"), what);
            self.findings.push(finding.instead("write `tier = \"static\"`, or leave the key out"));
        }
    }

    /// Reports an id that no plugin has; the id that was probably meant.
    fn report_unknown_plugin(&mut self, entry: &Entry) -> Option<String> {
        let key = joined("plugins", &entry.key);
        if let Some(feature) = self.registry.feature_of(&entry.key) {
            let finding =
                Finding::new(&entry.key_span, key, "this build of the node was made without the plugin");
            let instead = format!("build it with `--features {feature}`, or remove the table");
            self.findings.push(finding.instead(instead));
            return None;
        }
        let known: Vec<&str> =
            self.registry.plugins().map(|plugin| plugin.descriptor().id.as_str()).collect();
        let meant = closest(&entry.key, known.iter().copied());
        let instead = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if known.is_empty() => "this build of the node has no plugins".to_owned(),
            None => format!("known plugins: {}", known.join(", ")),
        };
        self.findings.push(Finding::new(&entry.key_span, key, "unknown plugin").instead(instead));
        meant.map(str::to_owned)
    }
}
