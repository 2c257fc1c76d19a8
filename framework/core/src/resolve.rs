//! From what plugins need and provide to who is given what, and in which order they start.
//!
//! Owns the rules of resolution: one provider for each seam, chosen by name where there are several; nothing that the
//! manifest does not grant; no gaps; no cycles; a deterministic order. It sees ids and seams only: places in the manifest are added by [`crate::manifest`],
//! and handles are made by [`crate::node`].

use crate::registry::{HOST_PROVIDER, PluginRule, RegisteredPlugin, Registry};
use lampkeeper_api::plugin::{Need, Seam};
use std::collections::{BTreeMap, BTreeSet};

/// The name under which the node itself needs seams, in conflicts.
pub const NODE: &str = "node";

/// Who provides each seam that a plugin was granted: a plugin id, or [`HOST_PROVIDER`].
pub type Grants = BTreeMap<Seam, String>;

/// The seams that each plugin may be given at most, where the manifest lists them. Who has no list may be given what it
/// declares.
pub type Allowed = BTreeMap<String, BTreeSet<Seam>>;

/// A plugin and what it will be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPlugin {
    /// The plugin.
    pub plugin_id: String,
    /// The seams that it declared, that it is allowed, and that are there. Who declared `chain:submit` as optional and
    /// is allowed only `chain:read` has that.
    pub grants: Grants,
    /// Seams that it declared as optional and is not allowed.
    pub refused: BTreeSet<Seam>,
    /// Seams that it is allowed and did not declare: it is not given them.
    pub unused: BTreeSet<Seam>,
}

impl PlannedPlugin {
    /// What an operator should know of its grants, a sentence each; empty if it is given all that it declared.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let id = &self.plugin_id;
        let refused = self.refused.iter().map(|seam| {
            let is_reader = *seam == Seam::ChainSubmit && self.grants.contains_key(&Seam::ChainRead);
            let instead = if is_reader { " and is given `chain:read` only" } else { "" };
            format!("plugin {id} is refused `{seam}`, which its `grants` do not name{instead}")
        });
        let unused = self
            .unused
            .iter()
            .map(|seam| format!("plugin {id} does not use `{seam}`, which its `grants` name: remove it"));
        refused.chain(unused).collect()
    }
}

/// What to start, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Providers before those who need them. Among equals, what has to close last starts first: the scheduler, then
    /// the journal, store and staging; then by id.
    pub steps: Vec<PlannedPlugin>,
    /// What the node itself uses: the scheduler always, every other seam that is there.
    pub node_grants: Grants,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Several providers, and no choice.
    Ambiguous {
        /// The seam.
        seam: Seam,
        /// Who could provide it, ascending.
        provider_ids: Vec<String>,
    },
    /// A choice that can't be followed.
    InvalidChoice {
        /// The seam.
        seam: Seam,
        /// Who was chosen.
        chosen_id: String,
        /// Who could have been, ascending; may be empty.
        provider_ids: Vec<String>,
    },
    /// Nobody provides what a plugin can't work without.
    Missing {
        /// Who needs it; [`NODE`] for the node itself.
        plugin_id: String,
        /// The seam.
        seam: Seam,
        /// Plugins of the registry that would provide it, ascending.
        known_ids: Vec<String>,
    },
    /// A plugin is not allowed what it can't work without.
    NotGranted {
        /// The plugin.
        plugin_id: String,
        /// What it lacks, ascending.
        lacking: BTreeSet<Seam>,
        /// What it is allowed, ascending.
        allowed: BTreeSet<Seam>,
    },
    /// A rule of the embedding program is broken.
    Rule(PluginRule),
    /// Plugins that wait for each other, each for the next, the last for the first.
    Cycle {
        /// Who.
        plugin_ids: Vec<String>,
    },
}

/// Finds providers for the needs of the enabled plugins, and the order in which to start them.
///
/// Enabled ids that the registry does not know are skipped: whoever reads them has to report them.
///
/// # Errors
/// Every conflict there is; cycles only if there is no other.
pub fn resolve(
    registry: &Registry,
    enabled: &BTreeSet<String>,
    choices: &BTreeMap<Seam, String>,
    allowed: &Allowed,
) -> Result<Plan, Vec<Conflict>> {
    let resolver = Resolver {
        registry,
        enabled: enabled.iter().filter_map(|id| registry.find(id)).collect(),
        host: registry.host_seams().collect(),
        choices,
        allowed,
    };
    let mut conflicts = resolver.invalid_choices();
    conflicts.extend(resolver.broken_rules(enabled));
    let node_grants = resolver.grants_of_node(&mut conflicts);
    let mut planned: BTreeMap<String, PlannedPlugin> = resolver
        .enabled
        .iter()
        .map(|plugin| (plugin.descriptor().id.clone(), resolver.planned(plugin, &mut conflicts)))
        .collect();
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let order = start_order(registry, &planned)?;
    let steps = order.iter().filter_map(|plugin_id| planned.remove(plugin_id)).collect();
    Ok(Plan { steps, node_grants })
}

struct Resolver<'a> {
    registry: &'a Registry,
    enabled: Vec<&'a RegisteredPlugin>,
    host: BTreeSet<Seam>,
    choices: &'a BTreeMap<Seam, String>,
    allowed: &'a Allowed,
}

/// What was found for one need.
enum Found {
    One(String),
    None,
    Several(Vec<String>),
}

impl Resolver<'_> {
    /// Everybody who could provide `seam`, ascending.
    fn providers(&self, seam: Seam) -> Vec<String> {
        let host = self.host.iter().any(|provided| seam.is_satisfied_by(*provided));
        let plugins = self.enabled.iter().filter(|plugin| plugin.can_provide(seam));
        let mut providers: Vec<String> = plugins.map(|plugin| plugin.descriptor().id.clone()).collect();
        providers.extend(host.then(|| HOST_PROVIDER.to_owned()));
        providers.sort();
        providers
    }

    /// The choice for `seam`. Whoever was chosen to submit to the chain also reads from it, unless another was chosen.
    fn choice(&self, seam: Seam) -> Option<&String> {
        self.choices.get(&seam).or_else(|| match seam {
            Seam::ChainRead => self.choices.get(&Seam::ChainSubmit),
            _ => None,
        })
    }

    /// The provider of `seam` for `asker`. A plugin never provides for itself, so that one that wraps a seam can be
    /// chosen as its provider and is given what it wraps.
    fn find(&self, seam: Seam, asker: &str) -> Found {
        let mut providers = self.providers(seam);
        providers.retain(|provider| provider != asker);
        match (self.choice(seam), providers.len()) {
            (Some(chosen), _) if providers.contains(chosen) => Found::One(chosen.clone()),
            (None, _) if seam.is_there_by_choice_only() => Found::None,
            (_, 0) => Found::None,
            (_, 1) => Found::One(providers.swap_remove(0)),
            _ => Found::Several(providers),
        }
    }

    fn grants_of_node(&self, conflicts: &mut Vec<Conflict>) -> Grants {
        let mut grants = Grants::new();
        for seam in Seam::ALL.into_iter().filter(|seam| *seam != Seam::Service) {
            match self.find(seam, NODE) {
                Found::One(provider) => {
                    grants.insert(seam, provider);
                }
                // Reported for the seam once, here: every plugin that needs it would say the same.
                Found::Several(provider_ids) if self.choices.get(&seam).is_none() => {
                    let same_as_submit =
                        seam == Seam::ChainRead && self.providers(Seam::ChainSubmit) == provider_ids;
                    if !same_as_submit {
                        conflicts.push(Conflict::Ambiguous { seam, provider_ids });
                    }
                }
                Found::None if seam == Seam::Scheduler => conflicts.push(self.missing(NODE, seam)),
                Found::Several(_) | Found::None => {}
            }
        }
        grants
    }

    /// What a plugin may be given for a need: the seam, of the chain perhaps only the reading; `None` if it is refused.
    fn allowed(&self, plugin_id: &str, need: &Need) -> Option<Seam> {
        let Some(allowed) = self.allowed.get(plugin_id) else { return Some(need.seam) };
        let reads_instead =
            need.optional && need.seam == Seam::ChainSubmit && allowed.contains(&Seam::ChainRead);
        if allowed.contains(&need.seam) { Some(need.seam) } else { reads_instead.then_some(Seam::ChainRead) }
    }

    fn planned(&self, plugin: &RegisteredPlugin, conflicts: &mut Vec<Conflict>) -> PlannedPlugin {
        let id = &plugin.descriptor().id;
        let mut unused = self.allowed.get(id).cloned().unwrap_or_default();
        let (mut refused, mut lacking) = (BTreeSet::new(), BTreeSet::new());
        let mut given = Vec::new();
        for need in &plugin.descriptor().needs {
            let allowed = self.allowed(id, need);
            if let Some(seam) = allowed {
                unused.remove(&seam);
                given.push(Need { seam, optional: need.optional });
            }
            if allowed != Some(need.seam) {
                (if need.optional { &mut refused } else { &mut lacking }).insert(need.seam);
            }
        }
        if !lacking.is_empty() {
            let allowed = self.allowed.get(id).cloned().unwrap_or_default();
            conflicts.push(Conflict::NotGranted { plugin_id: id.clone(), lacking, allowed });
        }
        let grants = self.grants_of(plugin, &given, conflicts);
        PlannedPlugin { plugin_id: id.clone(), grants, refused, unused }
    }

    fn grants_of(&self, plugin: &RegisteredPlugin, needs: &[Need], conflicts: &mut Vec<Conflict>) -> Grants {
        let id = &plugin.descriptor().id;
        let mut grants = Grants::new();
        for need in needs {
            match self.find(need.seam, id) {
                Found::One(provider) => {
                    grants.insert(need.seam, provider);
                }
                Found::None if !need.optional => conflicts.push(self.missing(id, need.seam)),
                // Several without a choice were reported for the node. Only a wrapper that was itself chosen, above
                // several others, is left to report.
                Found::Several(provider_ids)
                    if self.choice(need.seam) == Some(id) && plugin.can_provide(need.seam) =>
                {
                    conflicts.push(Conflict::Ambiguous { seam: need.seam, provider_ids });
                }
                Found::Several(_) | Found::None => {}
            }
        }
        grants
    }

    fn missing(&self, plugin_id: &str, seam: Seam) -> Conflict {
        let known = self.registry.plugins().filter(|plugin| plugin.can_provide(seam));
        let known_ids =
            known.map(|plugin| plugin.descriptor().id.clone()).filter(|id| id != plugin_id).collect();
        Conflict::Missing { plugin_id: plugin_id.to_owned(), seam, known_ids }
    }

    fn invalid_choices(&self) -> Vec<Conflict> {
        self.choices
            .iter()
            .map(|(seam, chosen_id)| (*seam, chosen_id, self.providers(*seam)))
            .filter(|(_, chosen_id, provider_ids)| !provider_ids.contains(chosen_id))
            .map(|(seam, chosen_id, provider_ids)| Conflict::InvalidChoice {
                seam,
                chosen_id: chosen_id.clone(),
                provider_ids,
            })
            .collect()
    }

    fn broken_rules(&self, enabled: &BTreeSet<String>) -> Vec<Conflict> {
        self.registry
            .rules()
            .iter()
            .filter(|rule| enabled.contains(&rule.plugin_id) && !enabled.contains(&rule.requires_id))
            .map(|rule| Conflict::Rule(rule.clone()))
            .collect()
    }
}

/// Where a plugin stands among those that could start at the same time.
fn start_rank(registry: &Registry, plugin_id: &str) -> u8 {
    let Some(plugin) = registry.find(plugin_id) else { return u8::MAX };
    let rank = |seam: &Seam| match seam {
        Seam::Scheduler => 0,
        Seam::Journal | Seam::Store | Seam::Staging => 1,
        _ => 2,
    };
    plugin.descriptor().provides.iter().map(rank).min().unwrap_or(2)
}

/// Orders plugins so that providers come first.
fn start_order(
    registry: &Registry,
    planned: &BTreeMap<String, PlannedPlugin>,
) -> Result<Vec<String>, Vec<Conflict>> {
    let mut waiting: BTreeMap<&str, BTreeSet<&str>> = planned
        .iter()
        .map(|(id, plugin)| {
            let providers = plugin.grants.values().map(String::as_str);
            let providers = providers.filter(|provider| *provider != HOST_PROVIDER);
            (id.as_str(), providers.collect())
        })
        .collect();
    let mut order = Vec::new();
    let mut cycles = Vec::new();
    while !waiting.is_empty() {
        let ready = waiting.iter().filter(|(_, providers)| providers.is_empty()).map(|(id, _)| *id);
        let gone = match ready.min_by_key(|id| (start_rank(registry, id), *id)) {
            Some(next) => {
                order.push(next.to_owned());
                vec![next]
            }
            None => {
                let cycle = find_cycle(&waiting);
                let plugin_ids = cycle.iter().map(|id| (*id).to_owned()).collect();
                cycles.push(Conflict::Cycle { plugin_ids });
                cycle
            }
        };
        for id in gone {
            waiting.remove(id);
            waiting.values_mut().for_each(|providers| {
                providers.remove(id);
            });
        }
    }
    if cycles.is_empty() { Ok(order) } else { Err(cycles) }
}

/// A cycle among plugins that all wait for one of each other, starting with the smallest id in it.
fn find_cycle<'a>(waiting: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<&'a str> {
    let mut path: Vec<&str> = waiting.keys().next().copied().into_iter().collect();
    while let Some(next) =
        path.last().and_then(|id| waiting.get(id)).and_then(|providers| providers.first().copied())
    {
        if let Some(start) = path.iter().position(|id| *id == next) {
            let mut cycle = path.split_off(start);
            let smallest = (0..cycle.len()).min_by_key(|index| cycle[*index]).unwrap_or(0);
            cycle.rotate_left(smallest);
            return cycle;
        }
        path.push(next);
    }
    path
}

#[cfg(test)]
mod tests;
