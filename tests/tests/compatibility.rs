//! What the page about compatibility says is shown by a test is shown by one that there is.
#![expect(clippy::expect_used, reason = "these tests fail when the repository can't be read")]

use lampkeeper_tests::repository;
use std::fs;
use std::path::Path;

/// Every Rust file below a folder, one after the other.
fn sources_below(dir: &Path, text: &mut String) {
    for entry in fs::read_dir(dir).expect("a readable directory").flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            sources_below(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("a readable file"));
        }
    }
}

#[test]
fn every_known_weakness_names_tests_that_exist() {
    let page = fs::read_to_string(repository().join("docs/compatibility.md")).expect("the page");
    let mut sources = String::new();
    for folder in ["framework", "plugins", "plugin-sdk", "tests"] {
        sources_below(&repository().join(folder), &mut sources);
    }
    let (mut rows, mut gone) = (0, Vec::new());
    let tables = page.lines().skip_while(|line| !line.starts_with("## Known weaknesses"));
    for row in tables.filter(|line| line.starts_with("| ")) {
        let Some(shown_by) = row.trim_end_matches([' ', '|']).rsplit('|').next() else { continue };
        let words = shown_by.split('`').skip(1).step_by(2);
        let is_test = |word: &&str| word.contains('_') && !word.contains(['/', '.', ' ']);
        let tests: Vec<_> = words.filter(is_test).collect();
        rows += usize::from(!tests.is_empty());
        gone.extend(
            tests.into_iter().filter(|test| !sources.contains(&format!("fn {test}("))).map(str::to_owned),
        );
    }
    assert!(rows >= 25, "only {rows} weaknesses name a test");
    assert!(gone.is_empty(), "docs/compatibility.md names tests that are gone: {gone:?}");
}
