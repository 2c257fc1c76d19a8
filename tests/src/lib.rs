//! Whole-node tests: the rules of the house, vectors, networks, crashes.
//!
//! Owns what several test files share. The tests are in `tests/`, one file a subject; what one crate promises by
//! itself is tested in that crate.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap_or_else(|_| PathBuf::from(".."))
}

/// The names on the page about metrics: those of the tables with their kinds, and events.
///
/// # Panics
/// If the page can't be read, or lists a name twice.
#[must_use]
#[expect(clippy::expect_used, reason = "a test that can't read the repository fails")]
pub fn documented_metrics() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(repository().join("docs/metrics.md")).expect("the page");
    let mut names = BTreeMap::new();
    let mut is_events = false;
    for line in page.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        if let (Some(name), Some(kind)) = (cells.next(), cells.next())
            && let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'))
        {
            assert!(names.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is listed once");
        }
        is_events = line.starts_with("Events:") || (is_events && !line.is_empty());
        if is_events {
            let words = line.split('`').skip(1).step_by(2).filter(|word| word.contains('.'));
            names.extend(words.map(|word| (word.to_owned(), "event".to_owned())));
        }
    }
    names
}
