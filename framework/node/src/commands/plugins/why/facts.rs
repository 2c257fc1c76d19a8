//! What there is to know of one plugin of a manifest without running it, and what follows from that.

use super::market::{Asker, Market, Trader, Wait};
use lampkeeper_api::native::Header;
use lampkeeper_core::manifest::{DeclaredPlugin, Outline};
use lampkeeper_core::native::{LibraryFile, NativePlugin, Refusal, inspect};
use lampkeeper_core::{Manifest, Problem, Registry};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Everything about one plugin.
#[derive(Debug, Serialize)]
pub(super) struct Why {
    pub(super) id: String,
    /// What keeps it from running, a sentence each; none if a node would start it, as far as can be seen.
    pub(super) obstacles: Vec<String>,
    pub(super) found: Found,
    pub(super) version: Option<String>,
    /// The line of its table.
    pub(super) line: Option<usize>,
    pub(super) enabled: bool,
    /// Of a native plugin.
    pub(super) pin: Option<Pin>,
    /// Why its library is not let in: the first reason, which names the field if it is one.
    pub(super) refused: Option<String>,
    pub(super) provides: Vec<&'static str>,
    pub(super) needed_by: Vec<Asker>,
    pub(super) waits_for: Vec<Wait>,
    pub(super) grants: Grants,
    /// The manifest's problems in the plugin's table.
    pub(super) problems: Vec<String>,
    /// Its problems elsewhere, as far as they can be told without loading libraries.
    pub(super) problems_elsewhere: Vec<String>,
}

/// Where its code is.
#[derive(Debug, Serialize)]
#[serde(tag = "where", rename_all = "snake_case")]
pub(super) enum Found {
    Linked,
    Library { path: PathBuf },
    NoLibrary,
    LeftOut { feature: String },
    Unknown,
}

/// How the library's bytes compare with those that the manifest means.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Pin {
    Agrees,
    Absent { actual: String },
    Differs { pinned: String, actual: String },
    Unreadable,
}

/// What the manifest lets it have.
#[derive(Debug, Default, Serialize)]
pub(super) struct Grants {
    /// The list; a linked plugin without one is given what it declares.
    pub(super) listed: Option<Vec<String>>,
    /// What it declared and the list does not name.
    pub(super) refused: Vec<&'static str>,
    /// What the list names and it did not declare.
    pub(super) unused: Vec<String>,
}

impl Why {
    pub(super) fn gather(id: &str, path: &Path, text: &str, registry: &Registry) -> Self {
        let (outline, unreadable) = match Outline::parse(path, text) {
            Ok(outline) => (outline, None),
            Err(problem) => (Outline::default(), Some(problem.to_string())),
        };
        let declared = outline.find(id);
        let library = declared.and_then(DeclaredPlugin::library);
        let header = library.as_ref().map(header_of);
        let (header, refused) = match header {
            Some(Ok((header, refused))) => (Some(header), refused),
            Some(Err(refused)) => (None, Some(refused)),
            None => (None, None),
        };
        let is_native = declared.is_some_and(|declared| declared.is_native);
        let trader =
            if is_native { header.as_ref().map(Trader::of_header) } else { Trader::linked(registry, id) };
        let trader = trader.unwrap_or_default();
        let market = Market::new(registry, &outline);
        let (mut problems, mut elsewhere) = problems(id, path, text, registry, &outline);
        let is_readable = unreadable.is_none();
        if let Some(unreadable) = unreadable {
            (problems, elsewhere) = (vec![unreadable], Vec::new());
        }
        let linked_version = || registry.find(id).map(|plugin| plugin.descriptor().version.clone());
        let mut why = Self {
            id: id.to_owned(),
            obstacles: Vec::new(),
            found: found(id, declared, registry),
            version: header.map(|header| header.plugin_version()).or_else(linked_version),
            line: declared.map(|declared| declared.line),
            enabled: declared.is_some_and(|declared| declared.enabled),
            pin: library.as_ref().map(pin),
            refused: refused.map(|refusal| refusal.to_string()),
            provides: trader.provides.iter().map(|seam| seam.name()).collect(),
            needed_by: market.askers(id, &trader),
            waits_for: market.waits(id, &trader),
            grants: grants(declared, &trader),
            problems,
            problems_elsewhere: elsewhere,
        };
        // Of a manifest that can't be read at all nothing else is known.
        why.obstacles = if is_readable { why.obstacles(&trader, is_native) } else { why.problems.clone() };
        why
    }

    /// What follows: the sentences that answer the question.
    fn obstacles(&self, trader: &Trader, is_native: bool) -> Vec<String> {
        let mut obstacles: Vec<String> = Vec::new();
        match &self.found {
            Found::LeftOut { feature } => {
                obstacles.push(format!("this build leaves it out: build with `--features {feature}`"));
            }
            Found::Unknown if self.line.is_none() => {
                obstacles.push("neither this build nor the manifest knows it".to_owned());
            }
            Found::NoLibrary => {
                obstacles.push(Refusal::NoPath { plugin_id: self.id.clone() }.to_string());
            }
            Found::Linked | Found::Library { .. } | Found::Unknown => {}
        }
        match (self.line, self.enabled) {
            (None, _) => obstacles.push(format!("the manifest has no table [plugins.{}]", self.id)),
            (Some(line), false) => obstacles.push(format!("line {line} turns it off")),
            (Some(_), true) => {}
        }
        obstacles.extend(self.refused.clone());
        obstacles.extend(self.problems.clone());
        if self.line.is_none() || !self.problems.is_empty() {
            return obstacles;
        }
        let unmet = self.waits_for.iter().filter(|wait| !wait.optional && !wait.is_met);
        obstacles.extend(unmet.map(|wait| format!("it waits for `{}`: {}", wait.seam, wait.in_words())));
        obstacles.extend(self.lacking_grants(trader, is_native));
        if !self.problems_elsewhere.is_empty() {
            obstacles.push("the manifest has problems elsewhere: `lampkeeper check` lists them".to_owned());
        }
        obstacles
    }

    fn lacking_grants(&self, trader: &Trader, is_native: bool) -> Option<String> {
        let required = trader.needs.iter().filter(|need| !need.optional).map(|need| need.seam.name());
        let lacking: Vec<&str> = required.filter(|seam| self.grants.refused.contains(seam)).collect();
        if !lacking.is_empty() {
            return Some(format!(
                "it can't work without {}, which `grants` does not name",
                lacking.join(", ")
            ));
        }
        let is_absent = is_native && self.grants.listed.is_none() && !trader.needs.is_empty();
        let names: Vec<String> = trader.needs.iter().map(|need| format!("\"{}\"", need.seam)).collect();
        is_absent.then(|| format!("its table grants nothing: write `grants = [{}]`", names.join(", ")))
    }
}

/// The plugin's header, and why it is not let in all the same; or why there is no header to be had.
fn header_of(library: &NativePlugin) -> Result<(Header, Option<Refusal>), Refusal> {
    let refusal = match inspect(library) {
        Ok(inspected) => return Ok((inspected.header, None)),
        Err(refusal) => refusal,
    };
    // A file with the wrong pin, or of another build, still says what it is.
    let headers = LibraryFile::open(&library.path).and_then(|mut file| file.headers()).unwrap_or_default();
    match headers.into_iter().find(|header| header.plugin_id() == library.plugin_id) {
        Some(header) => Ok((header, Some(refusal))),
        None => Err(refusal),
    }
}

fn pin(library: &NativePlugin) -> Pin {
    match (LibraryFile::open(&library.path), &library.blake3) {
        (Err(_), _) => Pin::Unreadable,
        (Ok(file), None) => Pin::Absent { actual: file.blake3().to_owned() },
        (Ok(file), Some(pinned)) if pinned.eq_ignore_ascii_case(file.blake3()) => Pin::Agrees,
        (Ok(file), Some(pinned)) => Pin::Differs { pinned: pinned.clone(), actual: file.blake3().to_owned() },
    }
}

fn found(id: &str, declared: Option<&DeclaredPlugin>, registry: &Registry) -> Found {
    match declared {
        Some(DeclaredPlugin { is_native: true, path: Some(path), .. }) => {
            Found::Library { path: path.clone() }
        }
        Some(DeclaredPlugin { is_native: true, path: None, .. }) => Found::NoLibrary,
        _ if registry.find(id).is_some() => Found::Linked,
        _ => match registry.feature_of(id) {
            Some(feature) => Found::LeftOut { feature: feature.to_owned() },
            None => Found::Unknown,
        },
    }
}

fn grants(declared: Option<&DeclaredPlugin>, trader: &Trader) -> Grants {
    let Some(listed) = declared.and_then(|declared| declared.grants.clone()) else {
        return Grants::default();
    };
    let needed: Vec<&'static str> = trader.needs.iter().map(|need| need.seam.name()).collect();
    let refused = needed.iter().copied().filter(|seam| !listed.iter().any(|name| name == seam)).collect();
    let unused = listed.iter().filter(|name| !needed.contains(&name.as_str())).cloned().collect();
    Grants { listed: Some(listed), refused, unused }
}

/// What a check of the manifest reports in the plugin's table, and elsewhere. Libraries are not loaded for it, so that
/// nothing is said of native plugins' tables.
fn problems(
    id: &str,
    path: &Path,
    text: &str,
    registry: &Registry,
    outline: &Outline,
) -> (Vec<String>, Vec<String>) {
    let is_in = |key: &str, plugin_id: &str| {
        let rest = key.strip_prefix("plugins.").and_then(|key| key.strip_prefix(plugin_id));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut problems = Manifest::parse(path, text, registry).err().unwrap_or_default();
    let native = || outline.plugins.iter().filter(|plugin| plugin.is_native);
    problems.retain(|problem| !native().any(|plugin| is_in(&problem.key, &plugin.plugin_id)));
    let (own, elsewhere): (Vec<_>, Vec<_>) =
        problems.into_iter().partition(|problem| is_in(&problem.key, id));
    let told = |problems: Vec<Problem>| problems.iter().map(Problem::to_string).collect();
    (told(own), told(elsewhere))
}
