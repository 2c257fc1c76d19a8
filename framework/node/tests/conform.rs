//! `lampkeeper plugins conform`: every plugin of this build that needs nothing outside of it passes the suites of its
//! seams, and what is no plugin is refused.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::{Command, Output};

fn conform(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
    command.args(["plugins", "conform"]).args(arguments).output().unwrap()
}

/// Whether the plugin conforms, and the suites that were run.
fn suites(id: &str) -> (Option<i32>, Vec<String>) {
    let output = conform(&["--id", id, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let suites = report["suites"].as_array().unwrap();
    let names = suites.iter().map(|suite| suite["suite"].as_str().unwrap().to_owned());
    (output.status.code(), names.collect())
}

#[test]
fn our_plugins_conform() {
    // (plugin, the suites beyond that of its making)
    let table: [(&str, &[&str]); 10] = [
        ("storage-fs", &["store", "staging"]),
        ("scheduler-tokio", &["scheduler"]),
        ("heal-minimal", &["heal strategy"]),
        ("heal-full", &["heal strategy"]),
        ("storage-challenge", &["challenger", "service storage-challenge"]),
        ("recheck", &["service recheck"]),
        ("epoch-reporter", &["service epoch-reporter"]),
        ("self-healing", &["service self-healing"]),
        ("scrub", &["service scrub"]),
        ("network-replicas", &["service network-replicas"]),
    ];
    for (id, expected) in table {
        let (code, suites) = suites(id);
        assert_eq!(code, Some(0), "{id} does not conform: try `lampkeeper plugins conform --id {id}`");
        assert_eq!(suites[0], format!("plugin {id}"));
        assert_eq!(suites[1..], *expected, "{id}");
    }
}

#[test]
fn what_is_no_plugin_is_refused() {
    let unknown = conform(&["--id", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("there is no plugin nobody"));
    let no_library = conform(&[env!("CARGO_BIN_EXE_lampkeeper")]);
    assert_eq!(no_library.status.code(), Some(3));
    assert!(String::from_utf8(no_library.stderr).unwrap().contains("no plugin header"));
}
