//! Who provides and who needs what among the plugins that a manifest turns on, as far as it can be told without
//! running any.

use lampkeeper_api::plugin::{Need, Seam};
use lampkeeper_core::manifest::Outline;
use lampkeeper_core::native::inspect;
use lampkeeper_core::registry::{HOST_PROVIDER, Registry};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a plugin offers and asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Trader {
    pub(super) provides: Vec<Seam>,
    pub(super) needs: Vec<Need>,
}

impl Trader {
    /// Of a plugin that is linked into this program.
    pub(super) fn linked(registry: &Registry, plugin_id: &str) -> Option<Self> {
        let descriptor = registry.find(plugin_id)?.descriptor();
        Some(Self { provides: descriptor.provides.clone(), needs: descriptor.needs.clone() })
    }

    /// Of a header.
    pub(super) fn of_header(header: &lampkeeper_api::native::Header) -> Self {
        let needs = header.needs().into_iter().map(Need::required);
        let needs = needs.chain(header.optional().into_iter().map(Need::optional)).collect();
        Self { provides: header.provides(), needs }
    }

    fn can_provide(&self, seam: Seam) -> bool {
        self.provides.iter().any(|provided| seam.is_satisfied_by(*provided))
    }
}

/// The plugins that a manifest turns on.
pub(super) struct Market<'a> {
    registry: &'a Registry,
    outline: &'a Outline,
    traders: BTreeMap<&'a str, Trader>,
    /// Those of which nothing can be told, because their library is refused.
    silent: Vec<&'a str>,
}

/// A plugin that needs a seam which the one in question provides.
#[derive(Debug, Serialize)]
pub(super) struct Asker {
    pub(super) plugin_id: String,
    pub(super) seam: &'static str,
    pub(super) optional: bool,
    /// Whom the manifest chose instead.
    pub(super) given_by: Option<String>,
}

/// A seam that the plugin in question needs.
#[derive(Debug, Serialize)]
pub(super) struct Wait {
    pub(super) seam: &'static str,
    pub(super) optional: bool,
    /// Who could give it.
    pub(super) providers: Vec<String>,
    /// Whom the manifest chose.
    pub(super) chosen: Option<String>,
    /// Plugins of this build that are not turned on and would provide it.
    pub(super) could_enable: Vec<String>,
    /// Refused plugins, of which nobody can tell what they provide.
    pub(super) maybe: Vec<String>,
    /// Whether somebody gives it: one, or the one that was chosen.
    pub(super) is_met: bool,
}

impl Wait {
    pub(super) fn in_words(&self) -> String {
        match (self.providers.as_slice(), &self.chosen) {
            (_, Some(chosen)) if self.is_met => format!("from {chosen}, which [provide] chose"),
            (_, Some(chosen)) => format!("[provide] chose {chosen}, which does not provide it here"),
            ([], None) => {
                let enable = hint("; enable ", &self.could_enable, " or ");
                let maybe = hint("; perhaps from what is refused: ", &self.maybe, ", ");
                format!("nobody provides it{enable}{maybe}")
            }
            ([provider], None) => format!("from {provider}"),
            (several, None) => format!("{} could provide it: choose one under [provide]", several.join(", ")),
        }
    }
}

fn hint(lead: &str, ids: &[String], between: &str) -> String {
    if ids.is_empty() { String::new() } else { format!("{lead}{}", ids.join(between)) }
}

impl<'a> Market<'a> {
    pub(super) fn new(registry: &'a Registry, outline: &'a Outline) -> Self {
        let mut market = Self { registry, outline, traders: BTreeMap::new(), silent: Vec::new() };
        for declared in outline.plugins.iter().filter(|declared| declared.enabled) {
            let id = declared.plugin_id.as_str();
            let trader = if declared.is_native {
                let inspected = declared.library().and_then(|library| inspect(&library).ok());
                inspected.map(|inspected| Trader::of_header(&inspected.header))
            } else {
                Trader::linked(registry, id)
            };
            match trader {
                Some(trader) => drop(market.traders.insert(id, trader)),
                None => market.silent.push(id),
            }
        }
        market
    }

    /// Who needs what `trader` provides.
    pub(super) fn askers(&self, id: &str, trader: &Trader) -> Vec<Asker> {
        let others = self.traders.iter().filter(|(other, _)| **other != id);
        let wants = others.flat_map(|(other, theirs)| theirs.needs.iter().map(move |need| (*other, need)));
        wants
            .filter(|(_, need)| trader.can_provide(need.seam))
            .filter(|(_, need)| !need.seam.is_there_by_choice_only() || self.choice(need.seam) == Some(id))
            .map(|(other, need)| Asker {
                plugin_id: other.to_owned(),
                seam: need.seam.name(),
                optional: need.optional,
                given_by: self.choice(need.seam).filter(|chosen| *chosen != id).map(str::to_owned),
            })
            .collect()
    }

    /// What `trader` needs, and from whom.
    pub(super) fn waits(&self, id: &str, trader: &Trader) -> Vec<Wait> {
        trader.needs.iter().map(|need| self.wait(id, need)).collect()
    }

    fn wait(&self, id: &str, need: &Need) -> Wait {
        let seam = need.seam;
        let others = self.traders.iter().filter(|(other, theirs)| **other != id && theirs.can_provide(seam));
        let mut providers: Vec<String> = others.map(|(other, _)| (*other).to_owned()).collect();
        if self.registry.host_seams().any(|provided| seam.is_satisfied_by(provided)) {
            providers.push(HOST_PROVIDER.to_owned());
        }
        let chosen = self.choice(seam).filter(|chosen| *chosen != id).map(str::to_owned);
        let is_met = match &chosen {
            Some(chosen) => providers.contains(chosen),
            None => providers.len() == 1 && !seam.is_there_by_choice_only(),
        };
        let known = self.registry.plugins().filter(|plugin| plugin.can_provide(seam));
        let known = known.map(|plugin| plugin.descriptor().id.clone());
        let could_enable = known.filter(|other| other != id && !providers.contains(other)).collect();
        let maybe = self.silent.iter().filter(|other| **other != id).map(|other| (*other).to_owned());
        Wait {
            seam: seam.name(),
            optional: need.optional,
            maybe: maybe.collect(),
            providers,
            chosen,
            could_enable,
            is_met,
        }
    }

    /// Whoever was chosen to submit to the chain also reads from it, unless another was chosen.
    fn choice(&self, seam: Seam) -> Option<&str> {
        let named = |seam: Seam| self.outline.provide.get(seam.name()).map(String::as_str);
        named(seam).or_else(|| if seam == Seam::ChainRead { named(Seam::ChainSubmit) } else { None })
    }
}
