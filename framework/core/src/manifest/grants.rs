//! The seams that a manifest grants to plugins, and what it should say where it grants too little.

use super::check::joined;
use super::plan::place_of_plugin;
use super::problem::Finding;
use super::tree::{Data, Entry, Node};
use super::{Enabled, Reading};
use crate::resolve::Allowed;
use crate::suggest::closest;
use lampkeeper_api::plugin::Seam;
use std::collections::BTreeSet;

/// The key, in a plugin's table.
const GRANTS: &str = "grants";

/// The schema of the key: a list of the names of seams.
pub(super) fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let names: Vec<&str> = grantable().map(Seam::name).collect();
    schemars::json_schema!({ "type": "array", "items": { "enum": names } })
}

fn grantable() -> impl Iterator<Item = Seam> {
    Seam::ALL.into_iter().filter(|seam| *seam != Seam::Service)
}

/// What the manifest allows each enabled plugin that has the key. A native plugin without it is reported, and then
/// counts as if it were allowed everything, so that one mistake is reported once.
pub(super) fn allowed(reading: &mut Reading<'_>, enabled: &Enabled) -> Allowed {
    let mut allowed = Allowed::new();
    let entries = reading.document.at(&["plugins"]).map(Node::entries).unwrap_or_default();
    for entry in entries.iter().filter(|entry| enabled.ids.contains(&entry.key)) {
        match entry.node.at(&[GRANTS]) {
            Some(node) => allowed.extend(listed(node).map(|seams| (entry.key.clone(), seams))),
            None => {
                let finding = absent(reading, entry);
                reading.findings.extend(finding);
            }
        }
    }
    allowed
}

/// The seams of a list; a misspelt name counts as the one that was meant. `None` if one can't be understood, which the
/// check against the schema has reported.
fn listed(node: &Node) -> Option<BTreeSet<Seam>> {
    let Data::Array(names) = &node.data else { return None };
    names.iter().map(|name| meant(name.as_text()?)).collect()
}

fn meant(word: &str) -> Option<Seam> {
    let named = |name: &str| grantable().find(|seam| seam.name() == name);
    named(word).or_else(|| named(closest(word, grantable().map(Seam::name).collect::<Vec<_>>())?))
}

/// Reports that a native plugin, whose code an operator brought from elsewhere, is not granted anything.
fn absent(reading: &Reading<'_>, entry: &Entry) -> Option<Finding> {
    let is_native = entry.node.at(&["tier"]).and_then(Node::as_text) == Some("native");
    let needs = &reading.registry.find(&entry.key)?.descriptor().needs;
    let declared: BTreeSet<Seam> = needs.iter().map(|need| need.seam).collect();
    (is_native && !declared.is_empty()).then(|| {
        let key = joined(&joined("plugins", &entry.key), GRANTS);
        let what = "missing; a native plugin is given only what the manifest grants";
        Finding::new(&entry.key_span, key, what).instead(advice(&declared))
    })
}

/// Reports that a plugin is not granted what it can't work without.
pub(super) fn not_granted(
    reading: &Reading<'_>,
    plugin_id: &str,
    lacking: &BTreeSet<Seam>,
    allowed: &BTreeSet<Seam>,
) -> Finding {
    let names: Vec<String> = lacking.iter().map(|seam| format!("`{seam}`")).collect();
    let what = format!("the plugin can't work without {}", names.join(", "));
    let list = reading.document.at(&["plugins", plugin_id, GRANTS]).map(|node| node.span.clone());
    let span = list.unwrap_or_else(|| place_of_plugin(reading.document, plugin_id));
    let key = joined(&joined("plugins", plugin_id), GRANTS);
    Finding::new(&span, key, what).instead(advice(&lacking.union(allowed).copied().collect()))
}

/// The line to paste.
fn advice(seams: &BTreeSet<Seam>) -> String {
    let names: Vec<String> = seams.iter().map(|seam| format!("\"{seam}\"")).collect();
    format!("write `{GRANTS} = [{}]`", names.join(", "))
}
