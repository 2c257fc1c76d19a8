//! Every set of known answers that the repository holds agrees with this crate.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lampkeeper_protocol::vectors::{check_set, set_names};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

#[test]
fn every_set_agrees() {
    let mut problems = Vec::new();
    for name in set_names() {
        let path = folder().join(format!("{name}.json"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let report = check_set(name, &text);
        for failure in &report.failed {
            problems.push(format!(
                "{name} {}: expected {}, got {}",
                failure.name, failure.expected, failure.actual
            ));
        }
        assert!(report.passed + report.failed.len() > 0, "{name} is empty");
    }
    assert!(problems.is_empty(), "{} answers differ:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn every_file_is_a_set() {
    let files: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files, set_names().map(str::to_owned).collect());
}
