//! `plugins why`: where a plugin comes from, what keeps it from running, who waits for whom.
//!
//! Works on manifests that have problems, and runs nothing of a library: of a native plugin it knows what the header in
//! the file says. What only its code can tell (whether it loads, whether its configuration fits) `lampkeeper check` tells.

mod facts;
mod market;

use super::{harmless, joined};
use crate::commands::check::read;
use crate::output::{self, Failure, Outcome};
use crate::plugins::registry;
use facts::{Found, Grants, Pin, Why};
use std::path::Path;

/// Explains; fails if the plugin would not run.
pub fn why(id: &str, manifest: &Path, as_json: bool) -> Outcome {
    let registry = registry().map_err(Failure::failed)?;
    let text = read(manifest)?;
    let why = Why::gather(id, manifest, &text, &registry);
    if as_json {
        output::json(&serde_json::to_value(&why).map_err(Failure::failed)?);
    } else {
        show(&why);
    }
    match why.obstacles.as_slice() {
        [] => Ok(()),
        obstacles => Err(Failure::failed(format!("{} does not run: {}", harmless(id), obstacles.join("\n")))),
    }
}

fn show(why: &Why) {
    let field = |name: &str, value: String| output::line(format!("  {name:<10} {value}"));
    output::line(harmless(&why.id));
    field("found", found(&why.found));
    if let Some(version) = &why.version {
        field("version", harmless(version));
    }
    field("manifest", table(why));
    if let Some(pin) = &why.pin {
        field("pinned", pinned(pin));
    }
    if let Some(refused) = &why.refused {
        field("refused", refused.clone());
    }
    field("provides", joined(why.provides.iter().map(|seam| (*seam).to_owned())));
    let needed = why.needed_by.iter().map(|asker| {
        let instead = asker.given_by.as_ref().map(|other| format!(", which [provide] gives from {other}"));
        let optional = if asker.optional { ", optional" } else { "" };
        format!("{} ({}{optional}{})", asker.plugin_id, asker.seam, instead.unwrap_or_default())
    });
    field("needed by", joined(needed));
    if why.waits_for.is_empty() {
        field("waits for", "nothing".to_owned());
    }
    for wait in &why.waits_for {
        let optional = if wait.optional { " (optional)" } else { "" };
        field("waits for", format!("{}{optional}: {}", wait.seam, wait.in_words()));
    }
    field("grants", granted(why));
    for problem in &why.problems {
        field("problem", problem.clone());
    }
}

fn found(found: &Found) -> String {
    match found {
        Found::Linked => "linked into this program".to_owned(),
        Found::Library { path } => format!(
            "in {} (nothing of it was run: `lampkeeper check` loads it, and checks its configuration)",
            path.display()
        ),
        Found::NoLibrary => "nowhere: the table names no library".to_owned(),
        Found::LeftOut { feature } => format!("left out of this build; its feature is `{feature}`"),
        Found::Unknown => "nowhere: no plugin of this build has the id".to_owned(),
    }
}

fn table(why: &Why) -> String {
    match (why.line, why.enabled) {
        (None, _) => "has no table for it".to_owned(),
        (Some(line), true) => format!("turns it on in line {line}"),
        (Some(line), false) => format!("turns it off in line {line}"),
    }
}

fn pinned(pin: &Pin) -> String {
    match pin {
        Pin::Agrees => "the file is the one that the manifest pins".to_owned(),
        Pin::Absent { actual } => format!("not yet: `blake3 = \"{actual}\"` pins the file as it is"),
        Pin::Differs { pinned, actual } => {
            format!("the manifest pins {}, the file has {actual}", harmless(pinned))
        }
        Pin::Unreadable => "can't be compared: the file can't be read".to_owned(),
    }
}

fn granted(why: &Why) -> String {
    let Grants { listed, refused, unused } = &why.grants;
    let Some(listed) = listed else {
        return match &why.found {
            Found::Library { .. } | Found::NoLibrary => {
                "no list: a native plugin is given nothing".to_owned()
            }
            _ => "no list: a linked plugin is given what it declares".to_owned(),
        };
    };
    let mut words = vec![joined(listed.iter().map(|name| harmless(name)))];
    if !refused.is_empty() {
        words.push(format!("refused: {}", refused.join(", ")));
    }
    if !unused.is_empty() {
        words.push(format!("unused: {}", joined(unused.iter().map(|name| harmless(name)))));
    }
    words.join("; ")
}
