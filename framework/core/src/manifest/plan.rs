//! Choices between providers, and conflicts between plugins, as problems of a manifest.

use super::check::joined;
use super::grants;
use super::problem::Finding;
use super::tree::{Node, Span};
use super::{Enabled, Reading};
use crate::registry::HOST_PROVIDER;
use crate::resolve::{Conflict, NODE, Plan, resolve};
use crate::suggest::closest;
use lampkeeper_api::plugin::Seam;
use std::collections::BTreeMap;

/// Resolves the enabled plugins and reports what stands against it.
pub(super) fn plan(reading: &mut Reading<'_>, enabled: &Enabled) -> Option<Plan> {
    let choices = choices(reading);
    let allowed = grants::allowed(reading, enabled);
    match resolve(reading.registry, &enabled.ids, &choices, &allowed) {
        Ok(plan) => Some(plan),
        Err(conflicts) => {
            for conflict in conflicts {
                // What a plugin would provide that this build lacks is not known: a gap may be its doing.
                let is_certain = !enabled.incomplete || !may_come_from_a_gap(&conflict);
                if is_certain {
                    let finding = finding(reading, conflict);
                    reading.findings.push(finding);
                }
            }
            None
        }
    }
}

const fn may_come_from_a_gap(conflict: &Conflict) -> bool {
    match conflict {
        Conflict::Missing { .. } | Conflict::InvalidChoice { .. } | Conflict::Rule(_) => true,
        Conflict::Ambiguous { .. } | Conflict::NotGranted { .. } | Conflict::Cycle { .. } => false,
    }
}

/// The table `provide`, as far as it can be understood.
fn choices(reading: &mut Reading<'_>) -> BTreeMap<Seam, String> {
    let mut choices = BTreeMap::new();
    for entry in reading.document.at(&["provide"]).map(Node::entries).unwrap_or_default() {
        let key = joined("provide", &entry.key);
        let seam = Seam::ALL.into_iter().find(|seam| seam.name() == entry.key && *seam != Seam::Service);
        match (seam, entry.node.as_text()) {
            (Some(seam), Some(plugin_id)) => {
                choices.insert(seam, plugin_id.to_owned());
            }
            (Some(_), None) => {
                let finding = Finding::new(&entry.node.span, key, "expected the id of a plugin as text");
                reading.findings.push(finding);
            }
            (None, _) => {
                let finding = Finding::new(&entry.key_span, key, "no such seam");
                reading.findings.push(finding.instead(seam_advice(&entry.key)));
            }
        }
    }
    choices
}

fn seam_advice(word: &str) -> String {
    let names: Vec<&str> =
        Seam::ALL.into_iter().filter(|seam| *seam != Seam::Service).map(Seam::name).collect();
    match closest(word, names.iter().copied()) {
        Some(meant) => format!("did you mean `{}`?", as_key(meant)),
        None => format!("seams: {}", names.join(", ")),
    }
}

/// A seam's name as a TOML key; a colon has to be quoted.
fn as_key(seam_name: &str) -> String {
    if seam_name.contains(':') { format!("\"{seam_name}\"") } else { seam_name.to_owned() }
}

fn finding(reading: &Reading<'_>, conflict: Conflict) -> Finding {
    let place = |id: &str| place_of_plugin(reading.document, id);
    match conflict {
        Conflict::Ambiguous { seam, provider_ids } => {
            // The last one that stands in the manifest is most likely the one that was added.
            let added =
                provider_ids.iter().filter(|id| *id != HOST_PROVIDER).max_by_key(|id| place(id).start);
            let id = added.map_or(HOST_PROVIDER, String::as_str);
            let what = format!("the seam `{seam}` has several providers: {}", provider_ids.join(", "));
            let instead =
                format!("write `{} = \"{id}\"` (or another of them) under [provide]", as_key(seam.name()));
            Finding::new(&place(id), joined("plugins", id), what).instead(instead)
        }
        Conflict::InvalidChoice { seam, chosen_id, provider_ids } => {
            let key = joined("provide", seam.name());
            let span = reading.document.at(&["provide", seam.name()]).map(|node| node.span.clone());
            let what = format!("`{chosen_id}` is not an enabled plugin that provides `{seam}`");
            let finding = Finding::new(&span.unwrap_or_default(), key, what);
            finding.instead(choice_advice(reading, seam, &chosen_id, &provider_ids))
        }
        Conflict::Missing { plugin_id, seam, known_ids } => {
            let instead = match known_ids.as_slice() {
                [] => "no plugin of this build provides it".to_owned(),
                known => format!("enable a plugin that does: {}", tables(known)),
            };
            missing(reading, &plugin_id, seam).instead(instead)
        }
        Conflict::NotGranted { plugin_id, lacking, allowed } => {
            grants::not_granted(reading, &plugin_id, &lacking, &allowed)
        }
        Conflict::Rule(rule) => {
            let what = format!("requires `{}`: {}", rule.requires_id, rule.reason);
            let instead = format!("enable [plugins.{}], or turn this one off", rule.requires_id);
            Finding::new(&place(&rule.plugin_id), joined("plugins", &rule.plugin_id), what).instead(instead)
        }
        Conflict::Cycle { plugin_ids } => {
            let first = plugin_ids.first().cloned().unwrap_or_default();
            let circle = format!("{} -> {first}", plugin_ids.join(" -> "));
            let what = format!("these plugins need each other, so that none can start first: {circle}");
            let finding = Finding::new(&place(&first), joined("plugins", &first), what);
            finding.instead("turn one of them off, or choose another provider under [provide]")
        }
    }
}

fn missing(reading: &Reading<'_>, plugin_id: &str, seam: Seam) -> Finding {
    if plugin_id == NODE {
        let what = format!("a node can't run without the seam `{seam}`, and no enabled plugin provides it");
        return Finding::new(&(0..0), "plugins", what);
    }
    let what = format!("needs the seam `{seam}`, and no enabled plugin provides it");
    Finding::new(&place_of_plugin(reading.document, plugin_id), joined("plugins", plugin_id), what)
}

fn choice_advice(reading: &Reading<'_>, seam: Seam, chosen_id: &str, provider_ids: &[String]) -> String {
    let could_provide = reading.registry.find(chosen_id).is_some_and(|plugin| plugin.can_provide(seam));
    if could_provide {
        return format!("enable [plugins.{chosen_id}]");
    }
    match provider_ids {
        [] => "remove the line".to_owned(),
        providers => format!("enabled providers: {}", providers.join(", ")),
    }
}

fn tables(plugin_ids: &[String]) -> String {
    let tables: Vec<String> = plugin_ids.iter().map(|id| format!("[plugins.{id}]")).collect();
    tables.join(" or ")
}

/// The table of a plugin. One that an unknown id was taken for has none: its place is that of all plugins.
pub(super) fn place_of_plugin(document: &Node, plugin_id: &str) -> Span {
    let plugins = document.entry("plugins");
    let own = plugins.and_then(|plugins| plugins.node.entry(plugin_id)).map(|entry| entry.key_span.clone());
    own.or_else(|| plugins.map(|plugins| plugins.key_span.clone())).unwrap_or_default()
}
