//! Whole networks in virtual time: many seeds in each kind of trouble, and the same run twice.
//!
//! A seed that fails prints the command that replays it. The number of seeds is small enough for every change; a
//! long campaign is `lampkeeper sim --seeds FROM..TO`.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::process::{Command, Output};

/// Runs the simulator.
fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lampkeeper")).arg("sim").args(arguments).output().unwrap()
}

/// Runs many seeds with these faults; all of them have to keep every rule.
fn every_seed_holds(faults: &str, nodes: &str, seeds: &str) {
    let run = sim(&["--faults", faults, "--nodes", nodes, "--seeds", seeds, "--jobs", "2"]);
    let told = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{told}");
    assert!(told.contains(" 0 failed "), "{told}");
    assert!(told.contains(" VERIFIED"), "no heal was finished, so nothing was shown: {told}");
}

/// Profile, nodes, seeds: 200 in all. Each profile has its own, so that they are different networks.
const CAMPAIGNS: [(&str, &str, &str); 7] = [
    ("none", "5", "1..20"),
    ("crashes", "6", "1001..1040"),
    ("network", "6", "2001..2030"),
    ("disk", "5", "3001..3030"),
    ("chain", "6", "4001..4030"),
    ("liars", "7", "5001..5020"),
    ("all", "7", "6001..6030"),
];

#[test]
fn two_hundred_networks_keep_every_rule() {
    for (faults, nodes, seeds) in CAMPAIGNS {
        every_seed_holds(faults, nodes, seeds);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let dir = tempfile::tempdir().unwrap();
    let run = |file: &str, seed: &str| {
        let path = dir.path().join(file);
        let run = sim(&["--seed", seed, "--faults", "all", "--trace", path.to_str().unwrap()]);
        let trace = std::fs::read_to_string(&path).unwrap();
        (String::from_utf8(run.stdout).unwrap(), trace)
    };
    let (first, second, other) = (run("first", "17"), run("second", "17"), run("other", "18"));
    assert_eq!(first, second);
    assert_ne!(first.1, other.1);
    assert!(first.0.contains("trace "), "{}", first.0);
}

#[test]
fn a_wrong_command_line_is_refused() {
    for arguments in [&["--seeds", "9..3"][..], &["--nodes", "2"], &["--faults", "rain"], &["--epochs", "1"]]
    {
        assert_eq!(sim(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
