//! The page about metrics and events names all of them, and nothing else.
#![expect(clippy::expect_used, reason = "these tests fail when the repository can't be read")]

use lampkeeper_tests::{documented_metrics, repository};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where a name stands, and what it is the name of.
const CALLS: [(&str, &str); 5] = [
    (".count(", "counter"),
    (".gauge(", "gauge"),
    (".observe(", "distribution"),
    ("Event::new(", "event"),
    (".event(", "event"),
];
/// Named by a constant, not at a call.
const BY_CONSTANT: [(&str, &str); 1] = [("metrics_dropped_total", "counter")];
/// The events of the simulated chain are the chain's, and the simulator counts for itself: neither is a node's.
const APART: [&str; 2] = ["plugins/chain-sim", "framework/node/src/sim"];

/// The sources of the node, without tests.
fn sources() -> Vec<PathBuf> {
    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("a readable directory").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_apart = ["target", "tests", "benches", "testkit"].contains(&name.as_str());
            if path.is_dir() && !is_apart && !APART.iter().any(|apart| path.ends_with(apart)) {
                walk(&path, files);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    for part in ["framework", "plugins", "plugin-sdk/src"] {
        walk(&repository().join(part), &mut files);
    }
    files
}

/// The names in a source, with their kinds; what follows the tests at its end is not looked at, nor are comments.
fn names_in(source: &str) -> BTreeMap<String, &'static str> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut names = BTreeMap::new();
    for (call, kind) in CALLS {
        for after in code.split(call).skip(1) {
            let Some(literal) = after.trim_start().strip_prefix('"') else { continue };
            let name = literal.split('"').next().unwrap_or_default();
            names.insert(name.to_owned(), kind);
        }
    }
    names
}

#[test]
fn the_page_lists_what_the_sources_name() {
    let mut named: BTreeMap<String, &str> =
        BY_CONSTANT.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    for path in sources() {
        let source = fs::read_to_string(&path).expect("a readable file");
        named.extend(names_in(&source));
    }
    assert!(named.len() > 80, "the scan found only {} names", named.len());
    let documented = documented_metrics();
    let missing: BTreeSet<_> = named
        .iter()
        .filter(|(name, kind)| documented.get(*name).map(String::as_str) != Some(**kind))
        .collect();
    assert!(missing.is_empty(), "list these in docs/metrics.md, with their kind: {missing:?}");
    let gone: BTreeSet<_> = documented.keys().filter(|name| !named.contains_key(*name)).collect();
    assert!(gone.is_empty(), "docs/metrics.md lists what no source names: {gone:?}");
}

/// Names are `snake_case` with the unit last; counters, and nothing else, end in `_total`; events are `subject.what`.
#[test]
fn names_are_in_one_style() {
    for (name, kind) in documented_metrics() {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        match kind.as_str() {
            "event" => {
                let parts: Vec<_> = name.split('.').collect();
                assert!(parts.len() == 2 && parts.into_iter().all(is_word), "{name}");
            }
            "counter" | "gauge" | "distribution" => {
                assert!(is_word(&name), "{name}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            }
            other => panic!("{name} is of no kind that there is: {other}"),
        }
    }
}

#[test]
fn the_scan_finds_names_where_they_stand() {
    let source = "self.telemetry.count(\n    \"a_total\", &[], 1);\n// .count(\"comment_total\")\n\
        Event::new(\"a.b\").with(\"x\", 1); t.gauge(\"g\", &[], 1.0); names.iter().count();\n\
        #[cfg(test)]\nmod tests { fn f() { t.count(\"in_tests_total\", &[], 1) } }";
    let expected = [("a.b", "event"), ("a_total", "counter"), ("g", "gauge")];
    let expected: BTreeMap<_, _> = expected.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    assert_eq!(names_in(source), expected);
}
