//! The tables `[[inject]]`: what is put in front of seams, checked as far as a manifest can tell.

use super::Reading;
use super::problem::Finding;
use super::tree::{Data, Node, Span};
use crate::inject::{Injection, InjectionKind, When, fault_words, injectable, methods};
use crate::resolve::Plan;
use crate::suggest::closest;
use lampkeeper_api::plugin::Seam;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most tables `[[inject]]` of a manifest.
pub const INJECTIONS_MAX: usize = 64;

/// One thing that is put in front of a seam, for tests: a recording, its replay, a fault or a delay.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InjectTable {
    /// In front of which seam.
    #[schemars(schema_with = "seam_schema")]
    seam: String,
    /// What happens to calls.
    kind: KindWord,
    /// Whose use of the seam: a plugin's id. Without it, that of all plugins.
    #[serde(default)]
    plugin: Option<String>,
    /// Which method. Without it all, but for those that say who somebody is.
    #[serde(default)]
    method: Option<String>,
    /// Only the call with this number, from 1, since the node started.
    #[serde(default)]
    #[schemars(range(min = 1))]
    nth: Option<u64>,
    /// Only one call in so many, by chance.
    #[serde(default)]
    #[schemars(range(min = 1))]
    one_in: Option<u64>,
    /// The error of a fault, `unavailable` without the key.
    #[serde(default)]
    error: Option<String>,
    /// How much later a delayed call is made, in milliseconds.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86_400_000))]
    delay_ms: Option<u64>,
    /// How much more by chance at most, in milliseconds.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86_400_000))]
    jitter_ms: Option<u64>,
    /// The recording; a relative path starts at the manifest's folder.
    #[serde(default)]
    #[schemars(length(min = 1))]
    file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum KindWord {
    /// Writes calls and answers to a file.
    Record,
    /// Answers calls from a file.
    Replay,
    /// Answers calls with an error.
    Fault,
    /// Makes calls later.
    Delay,
}

impl KindWord {
    const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Replay => "replay",
            Self::Fault => "fault",
            Self::Delay => "delay",
        }
    }
}

fn seam_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let names: Vec<&str> = injectable().map(Seam::name).collect();
    schemars::json_schema!({ "type": "string", "enum": names })
}

impl InjectTable {
    /// What the table says; only for one in which [`check`] found nothing.
    pub(super) fn injection(self, folder: &Path, line: usize) -> Option<Injection> {
        let seam = injectable().find(|seam| seam.name() == self.seam)?;
        let milliseconds = |value: Option<u64>| Duration::from_millis(value.unwrap_or(0));
        let file = self.file.map(|file| folder.join(file));
        let kind = match self.kind {
            KindWord::Record => InjectionKind::Record { file: file? },
            KindWord::Replay => InjectionKind::Replay { file: file? },
            KindWord::Fault => {
                let first = fault_words(seam).first().copied().unwrap_or_default();
                InjectionKind::Fault { error: self.error.unwrap_or_else(|| first.to_owned()) }
            }
            KindWord::Delay => InjectionKind::Delay {
                delay: milliseconds(self.delay_ms),
                jitter: milliseconds(self.jitter_ms),
            },
        };
        let when = match (self.nth, self.one_in) {
            (Some(nth), _) => When::Nth(nth),
            (None, Some(count)) => When::OneIn(count),
            (None, None) => When::Always,
        };
        Some(Injection { seam, plugin_id: self.plugin, method: self.method, when, kind, line })
    }
}

/// Where the tables stand.
pub(super) fn places(document: &Node) -> Vec<Span> {
    tables(document).iter().map(|table| table.span.clone()).collect()
}

fn tables(document: &Node) -> &[Node] {
    match document.at(&["inject"]).map(|node| &node.data) {
        Some(Data::Array(tables)) => tables,
        _ => &[],
    }
}

/// Reports what a schema can't say of the tables.
pub(super) fn check(reading: &mut Reading<'_>, plan: Option<&Plan>) {
    let document = reading.document;
    let tables = tables(document);
    if let Some(excess) = tables.get(INJECTIONS_MAX) {
        let what = format!("{} tables are more than the {INJECTIONS_MAX} that are allowed", tables.len());
        reading.findings.push(Finding::new(&excess.span, "inject", what));
    }
    for (index, table) in tables.iter().enumerate() {
        let Ok(parsed) = serde_json::from_value::<InjectTable>(table.to_json()) else { continue };
        let Some(seam) = injectable().find(|seam| seam.name() == parsed.seam) else { continue };
        let mut checked = Checked { table, key: format!("inject[{index}]"), findings: Vec::new() };
        checked.check_keys(&parsed);
        checked.check_words(&parsed, seam);
        checked.check_users(&parsed, seam, plan);
        let findings = checked.findings;
        reading.findings.extend(findings);
        check_file(reading, tables, index, &parsed);
    }
}

/// Two that write, or one that writes and one that reads, one file: neither would do what is meant.
fn check_file(reading: &mut Reading<'_>, tables: &[Node], index: usize, parsed: &InjectTable) {
    let file_of = |table: &Node| table.at(&["file"]).and_then(Node::as_text).map(PathBuf::from);
    let records = |table: &Node| table.at(&["kind"]).and_then(Node::as_text) == Some("record");
    let Some(file) = &parsed.file else { return };
    let earlier = tables.iter().take(index).find(|table| file_of(table).as_ref() == Some(file));
    if let (Some(earlier), Some(table)) = (earlier, tables.get(index))
        && (records(earlier) || records(table))
    {
        let span = table.at(&["file"]).map_or(table.span.clone(), |node| node.span.clone());
        let what = format!("{} is used by another injection", file.display());
        let finding = Finding::new(&span, format!("inject[{index}].file"), what);
        reading.findings.push(finding.instead("write a file of its own"));
    }
}

struct Checked<'a> {
    table: &'a Node,
    key: String,
    findings: Vec<Finding>,
}

impl Checked<'_> {
    fn report(&mut self, name: &str, what: impl Into<String>, instead: impl Into<String>) {
        let span = self.table.at(&[name]).map_or(&self.table.span, |node| &node.span);
        let finding = Finding::new(span, format!("{}.{name}", self.key), what);
        self.findings.push(finding.instead(instead));
    }

    /// Each kind has its own keys.
    fn check_keys(&mut self, parsed: &InjectTable) {
        use KindWord::{Delay, Fault, Record, Replay};
        let table = self.table;
        let keys: [(&str, &[KindWord]); 6] = [
            ("error", &[Fault]),
            ("delay_ms", &[Delay]),
            ("jitter_ms", &[Delay]),
            ("file", &[Record, Replay]),
            ("nth", &[Fault, Delay]),
            ("one_in", &[Fault, Delay]),
        ];
        for (name, kinds) in keys {
            if table.entry(name).is_some() && !kinds.contains(&parsed.kind) {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                self.report(name, format!("only {} has this key", names.join(" and ")), "remove the key");
            }
        }
        let required = match parsed.kind {
            Record | Replay => Some(("file", "write `file = \"calls.jsonl\"`")),
            Delay => Some(("delay_ms", "write `delay_ms = 200`")),
            Fault => None,
        };
        if let Some((name, instead)) = required.filter(|(name, _)| table.entry(name).is_none()) {
            self.report(name, "missing", instead);
        }
        if parsed.nth.is_some() && parsed.one_in.is_some() {
            self.report("one_in", "`nth` says already which call", "remove one of the two keys");
        }
    }

    fn check_words(&mut self, parsed: &InjectTable, seam: Seam) {
        let known = methods(seam);
        if let Some(method) = parsed.method.as_deref().filter(|method| !known.contains(method)) {
            let what = format!("`{seam}` has no method `{method}`");
            self.report("method", what, advice("methods", method, &known));
        }
        let words = fault_words(seam);
        if let Some(error) = parsed.error.as_deref().filter(|error| !words.contains(error)) {
            let what = format!("`{error}` is not an error that can be injected into `{seam}`");
            self.report("error", what, advice("errors", error, words));
        }
    }

    /// Somebody has to use the seam, or nothing would ever be injected.
    fn check_users(&mut self, parsed: &InjectTable, seam: Seam, plan: Option<&Plan>) {
        let Some(plan) = plan else { return };
        let uses = |grants: &crate::resolve::Grants| {
            grants.contains_key(&seam) || (seam == Seam::ChainRead && grants.contains_key(&Seam::ChainSubmit))
        };
        let users: Vec<&str> =
            plan.steps.iter().filter(|step| uses(&step.grants)).map(|step| step.plugin_id.as_str()).collect();
        let instead = match users.as_slice() {
            [] => "no plugin of this manifest is given it; remove the table".to_owned(),
            users => format!("plugins that are given it: {}", users.join(", ")),
        };
        match parsed.plugin.as_deref() {
            Some(plugin) if !users.contains(&plugin) => {
                self.report("plugin", format!("`{plugin}` is not given the seam `{seam}`"), instead);
            }
            None if users.is_empty() => {
                self.report("seam", format!("nobody is given the seam `{seam}`"), instead);
            }
            Some(_) | None => {}
        }
    }
}

fn advice(of: &str, word: &str, known: &[&'static str]) -> String {
    match closest(word, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("{of}: {}", known.join(", ")),
    }
}
