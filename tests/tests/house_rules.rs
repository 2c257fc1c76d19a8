//! The rules of the house that a compiler does not check: the direction of dependencies, what a file opens with, where
//! clocks and sockets may be, what documents name.
#![expect(clippy::expect_used, reason = "these tests fail when the repository can't be read")]

use lampkeeper_tests::repository;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file of the workspace, build output aside.
fn rust_files() -> Vec<PathBuf> {
    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("a readable directory").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && name != ".git" {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(&repository(), &mut files);
    files.sort();
    assert!(files.len() > 50, "the walk found only {} Rust files", files.len());
    files
}

/// A workspace member's direct dependencies inside the workspace: (all, those that are not for tests only).
fn workspace_dependencies() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let mut members = BTreeMap::new();
    for dir in ["framework", "plugins", "."] {
        for entry in fs::read_dir(repository().join(dir)).expect("a readable directory").flatten() {
            let Ok(text) = fs::read_to_string(entry.path().join("Cargo.toml")) else { continue };
            let manifest: toml_edit::DocumentMut = text.parse().expect("a valid Cargo.toml");
            let Some(name) = manifest.get("package").and_then(|package| package.get("name")?.as_str()) else {
                continue;
            };
            let section = |key: &str| -> BTreeSet<String> {
                manifest
                    .get(key)
                    .and_then(|table| table.as_table_like())
                    .map(|table| table.iter().map(|(name, _)| name.to_owned()))
                    .into_iter()
                    .flatten()
                    .filter(|name| name.starts_with("lampkeeper"))
                    .collect()
            };
            let normal: BTreeSet<_> =
                section("dependencies").union(&section("build-dependencies")).cloned().collect();
            let all = normal.union(&section("dev-dependencies")).cloned().collect();
            members.insert(name.to_owned(), (all, normal));
        }
    }
    members
}

/// The binary, its one part that is a crate of its own (the chain that it serves), the tests of all together, and the
/// fuzz targets.
const KNOWS_PLUGINS: [&str; 4] = ["lampkeeper", "lampkeeper-devchain", "lampkeeper-fuzz", "lampkeeper-tests"];

fn plugin_crates() -> BTreeSet<String> {
    fs::read_dir(repository().join("plugins"))
        .expect("plugins")
        .flatten()
        .map(|entry| format!("lampkeeper-{}", entry.file_name().to_string_lossy()))
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let members = workspace_dependencies();
    let plugins = plugin_crates();
    let allowed = |name: &str| -> Vec<&str> {
        match name {
            "lampkeeper-protocol" | "lampkeeper-proto" | "lampkeeper-api-macros" => vec![],
            "lampkeeper-api" => vec!["lampkeeper-protocol", "lampkeeper-api-macros"],
            "lampkeeper-core" => vec!["lampkeeper-protocol", "lampkeeper-api"],
            // Evidence holds messages as they were on the wire.
            "lampkeeper-plugin-sdk" => vec!["lampkeeper-protocol", "lampkeeper-api", "lampkeeper-proto"],
            // The journals differ in their database and share their tables and statements, which are nobody else's.
            "lampkeeper-migrations" => vec!["lampkeeper-plugin-sdk"],
            "lampkeeper-journal-sqlite" | "lampkeeper-journal-postgres" => {
                vec!["lampkeeper-plugin-sdk", "lampkeeper-migrations"]
            }
            _ => vec!["lampkeeper-plugin-sdk", "lampkeeper-proto"],
        }
    };
    for (name, (all, normal)) in &members {
        if KNOWS_PLUGINS.contains(&name.as_str()) {
            continue;
        }
        let wrong: Vec<_> =
            normal.iter().filter(|dependency| !allowed(name).contains(&dependency.as_str())).collect();
        assert!(
            wrong.is_empty(),
            "{name} must not depend on {wrong:?}; it may depend on {:?}",
            allowed(name)
        );
        let wrong: Vec<_> = all.intersection(&plugins).collect();
        assert!(wrong.is_empty(), "{name} must not depend on the plugins {wrong:?}, not even in its tests");
    }
    for plugin in &plugins {
        assert!(members.contains_key(plugin), "the folder of {plugin} has no Cargo.toml of that name");
    }
}

#[test]
fn nothing_but_the_binary_and_the_whole_node_tests_knows_a_plugin() {
    let plugins = plugin_crates();
    for (name, (all, _)) in workspace_dependencies() {
        let knows: Vec<_> = all.intersection(&plugins).cloned().collect();
        if !knows.is_empty() {
            assert!(KNOWS_PLUGINS.contains(&name.as_str()), "{name} depends on {knows:?}");
        }
    }
}

#[test]
fn every_source_file_opens_with_its_purpose() {
    let missing: Vec<_> = rust_files()
        .into_iter()
        .filter(|path| {
            let text = fs::read_to_string(path).expect("UTF-8");
            !text.starts_with("//! ")
        })
        .collect();
    assert!(
        missing.is_empty(),
        "these files do not open with a `//! ` line that says what they are for: {missing:#?}"
    );
}

#[test]
fn no_source_file_is_a_heap_of_everything() {
    const LINES_MAX: usize = 1000;
    let long: Vec<_> = rust_files()
        .into_iter()
        .map(|path| (fs::read_to_string(&path).expect("UTF-8").lines().count(), path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "these files have more than {LINES_MAX} lines, split them: {long:#?}");
}

#[test]
fn unsafe_stays_in_the_loader_and_its_sdk() {
    let mut found = Vec::new();
    for path in rust_files() {
        let relative = path.strip_prefix(repository()).expect("inside").to_string_lossy().into_owned();
        if relative.starts_with("framework/core/src/native") || relative.starts_with("plugin-sdk/src/native")
        {
            continue;
        }
        for (number, line) in fs::read_to_string(&path).expect("UTF-8").lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains(concat!("unsafe", " {")) || code.contains(concat!("unsafe", " fn")) {
                found.push(format!("{relative}:{}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "unsafe code outside the plugin loader: {found:#?}");
}

#[test]
fn an_exception_from_the_seams_is_taken_only_by_those_who_own_them() {
    // Folder prefixes whose crates own a clock, a thread, a file or a socket; everybody else asks a seam.
    const OWNERS: [&str; 16] = [
        "framework/core/",
        "framework/devchain/",
        "framework/node/",
        "framework/protocol/benches/",
        "framework/protocol/tests/",
        "framework/protocol/src/cascade/codec/",
        "plugin-sdk/src/testkit/",
        "plugins/journal-postgres/",
        "plugins/journal-sqlite/",
        "plugins/scheduler-tokio/",
        "plugins/storage-fs/",
        "plugins/chain-lumera/src/ledger.rs",
        "plugins/transport-grpc/",
        "plugins/chain-sim/benches/",
        "tests/",
        "examples/",
    ];
    let mut found = Vec::new();
    for path in rust_files() {
        let relative = path.strip_prefix(repository()).expect("inside").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("UTF-8");
        // Tests of real threads and files may stand beside the code that they test.
        let outside_of_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
        let takes_exception = outside_of_tests.contains("clippy::disallowed_methods");
        let in_tests =
            relative.contains("/tests/") || relative.contains("/benches/") || relative.ends_with("build.rs");
        if takes_exception && !in_tests && !OWNERS.iter().any(|owner| relative.starts_with(owner)) {
            found.push(relative);
        }
    }
    assert!(found.is_empty(), "these files opt out of the seams without owning one: {found:#?}");
}

#[test]
fn every_dependency_is_named_once_and_explained() {
    let text = fs::read_to_string(repository().join("Cargo.toml")).expect("the workspace manifest");
    let dependencies = text.split("[workspace.dependencies]").nth(1).expect("the table");
    let dependencies = dependencies.split("\n[").next().expect("its end");
    let self_evident = ["serde", "serde_json"];
    for line in dependencies.lines().filter(|line| line.contains('=')) {
        let name = line.split('=').next().unwrap_or_default().trim();
        let explained = line.contains('#') || line.contains("path =") || self_evident.contains(&name);
        assert!(explained, "`{name}` in [workspace.dependencies] has no comment that says what it is for");
    }
    for (name, manifest) in member_manifests() {
        for line in manifest.lines() {
            let pinned_elsewhere = line.contains("version = \"") && line.contains("= {");
            assert!(!pinned_elsewhere, "{name}: `{line}` names a version; use the workspace's");
        }
    }
}

fn member_manifests() -> Vec<(String, String)> {
    let mut manifests = Vec::new();
    for dir in ["framework", "plugins"] {
        for entry in fs::read_dir(repository().join(dir)).expect("a readable directory").flatten() {
            if let Ok(text) = fs::read_to_string(entry.path().join("Cargo.toml")) {
                manifests.push((entry.file_name().to_string_lossy().into_owned(), text));
            }
        }
    }
    manifests
}

#[test]
fn tokio_never_gets_its_parking_lot() {
    let lock = fs::read_to_string(repository().join("Cargo.lock")).expect("the lock file");
    let tokio = lock
        .split("[[package]]")
        .find(|package| package.contains("name = \"tokio\"\n"))
        .expect("tokio is a dependency");
    assert!(
        !tokio.contains("\"parking_lot\""),
        "tokio is built with parking_lot; two of them lose each other's wake-ups"
    );
}

#[test]
fn paths_in_documents_exist() {
    let root = repository();
    let mut documents = vec![root.join("README.md"), root.join("ARCHITECTURE.md"), root.join("CHANGELOG.md")];
    documents.extend(fs::read_dir(root.join("docs")).expect("docs").flatten().map(|entry| entry.path()));
    let mut missing = Vec::new();
    for document in
        documents.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    {
        let text =
            fs::read_to_string(document).unwrap_or_else(|_| panic!("{} is missing", document.display()));
        let base = document.parent().expect("a folder");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            if !base.join(target).exists() {
                missing.push(format!("{}: {target}", document.display()));
            }
        }
        for quoted in text.split('`').skip(1).step_by(2) {
            let in_repository =
                ["framework/", "plugins/", "plugin-sdk/", "proto/", "tests/", "examples/", "docs/"]
                    .iter()
                    .any(|folder| quoted.starts_with(folder));
            let is_path = in_repository && !quoted.contains(['*', ' ', '<', '{']);
            if is_path && !root.join(quoted).exists() {
                missing.push(format!("{}: {quoted}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "documents name what is not there: {missing:#?}");
}
