//! Whole networks in virtual time: many seeds in each kind of trouble, known defects that the rules have to notice, and
//! the same run twice.
//!
//! A seed that fails prints the command that replays it. The number of seeds is small enough for every change; a
//! long campaign is `lampkeeper sim --faults mix --seeds FROM..TO --progress 1000`.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::process::{Command, Output};

/// Networks small enough to run many.
const SIZE: [&str; 4] = ["--nodes", "6", "--epochs", "8"];

/// Runs the simulator.
fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lampkeeper")).arg("sim").args(arguments).output().unwrap()
}

fn told(run: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr))
}

/// Seeds of one profile, and the faults that have to have happened in them.
struct Campaign {
    faults: &'static str,
    nodes: &'static str,
    seeds: &'static str,
    kinds: &'static [&'static str],
}

/// 200 seeds in all. Each profile has its own, so that they are different networks.
const CAMPAIGNS: [Campaign; 7] = [
    Campaign { faults: "none", nodes: "5", seeds: "1..15", kinds: &["artifacts lost", "artifacts spoilt"] },
    Campaign {
        faults: "crashes",
        nodes: "6",
        seeds: "1001..1045",
        kinds: &["crashes", "writes made in a crash", "writes lost in a crash", "writes torn in a crash"],
    },
    Campaign {
        faults: "network",
        nodes: "6",
        seeds: "2001..2020",
        kinds: &[
            "partitions",
            "slow networks",
            "unreachable nodes",
            "lossy links",
            "messages cut off",
            "messages lost",
            "messages repeated",
            "clocks off",
            "clock jumps",
        ],
    },
    Campaign {
        faults: "disk",
        nodes: "5",
        seeds: "3001..3025",
        kinds: &[
            "slow disk calls",
            "failed disk calls",
            "disk calls that failed after their effect",
            "calls to a full disk",
        ],
    },
    Campaign {
        faults: "chain",
        nodes: "6",
        seeds: "4001..4030",
        kinds: &[
            "chain errors of unknown outcome",
            "chain errors after acceptance",
            "transient chain errors",
            "chain not available",
            "requests called invalid",
            "records denied",
            "submissions rejected for their sequence",
            "late chain calls",
            "late chain answers",
            "chain calls without an answer",
            "answers from replicas that are behind",
            "mempool delays",
            "deadline races",
            "blocks not made",
            "blocks in reverse order",
            "shuffled blocks",
            "blocks that lost their transactions",
            "submissions of unknown outcome",
        ],
    },
    Campaign {
        faults: "liars",
        nodes: "5",
        seeds: "5001..5035",
        kinds: &[
            "wrong hashes claimed",
            "wrong bytes served",
            "files ended early",
            "votes withheld",
            "false votes",
        ],
    },
    Campaign { faults: "all", nodes: "7", seeds: "6001..6030", kinds: &["crashes", "partitions", "liars"] },
];

#[test]
fn two_hundred_networks_keep_every_rule() {
    for Campaign { faults, nodes, seeds, kinds } in CAMPAIGNS {
        let arguments = ["--faults", faults, "--nodes", nodes, "--seeds", seeds, "--jobs", "2"];
        let run = sim(&[&arguments[..], &["--epochs", "8"]].concat());
        let told = told(&run);
        assert!(run.status.success(), "{told}");
        assert!(told.contains(" 0 failed"), "{told}");
        assert!(told.contains(" VERIFIED"), "no heal was finished, so nothing was shown: {told}");
        for kind in kinds {
            assert!(told.contains(&format!(" {kind}")), "{faults}: {kind} never happened: {told}");
        }
    }
}

/// Options of runs that once broke a rule, and what was wrong.
const REGRESSIONS: [(&str, &str); 9] = [
    (
        "--seed 50037 --nodes 6 --epochs 8 --faults none",
        "a ticket that had just been healed left a report without its row",
    ),
    ("--seed 100785 --nodes 6 --epochs 8 --faults crashes", "the same, among crashes"),
    ("--seed 101613 --nodes 6 --epochs 8 --faults chain", "the same, with a chain that fails"),
    (
        "--seed 200782 --nodes 6 --epochs 10 --faults all",
        "the storm denied an operation more often than it had announced, and the node believed it",
    ),
    (
        "--seed 202214 --nodes 6 --epochs 10 --faults disk",
        "a healer's disk that failed for a moment cost it a vote",
    ),
    (
        "--seed 507601 --nodes 5 --epochs 8 --faults all",
        "a full disk and a replica that was behind: an executed claim was submitted again",
    ),
    (
        "--seed 572536 --nodes 5 --epochs 8 --faults all",
        "a claim was resumed that had been executed since the claims were listed",
    ),
    (
        "--seed 642262 --nodes 5 --epochs 8 --faults all",
        "the node that fetched a file crashed over it, and the file was taken for lost",
    ),
    (
        "--seed 649877 --nodes 5 --epochs 8 --faults chain",
        "a claim that was executed after its deadline had lost its reconstruction",
    ),
];

#[test]
fn runs_that_broke_a_rule_once_keep_all_of_them() {
    for (options, reason) in REGRESSIONS {
        let run = sim(&options.split(' ').collect::<Vec<_>>());
        assert!(run.status.success(), "{reason}: {}", told(&run));
    }
}

/// A defect, trouble in which it shows, the rule that it breaks, and the seeds in which it is looked for.
const DEFECTS: [(&str, &str, &str, &str); 18] = [
    ("submits-twice", "none", "submitted-once", "1..3"),
    ("forgets-execution", "all", "submitted-once", "1..24"),
    ("never-asks", "crashes", "asked-first", "1..12"),
    ("publishes-early", "none", "published-after-verified", "1..3"),
    ("loses-staging", "crashes", "staged-heals-stay", "1..24"),
    ("believes-silence", "all", "open-claims-stay", "1..50"),
    ("serves-damage", "none", "served-bytes-match", "1..3"),
    ("agrees-to-anything", "none", "verified-means-right", "1..3"),
    ("votes-the-opposite", "none", "votes-are-deserved", "1..3"),
    ("keeps-nothing", "none", "published-means-stored", "1..3"),
    ("accuses-others", "none", "honest-not-accused", "1..3"),
    ("never-reports", "none", "everybody-reports", "1..2"),
    ("never-claims", "none", "heals-succeed", "1..3"),
    ("keeps-claims", "none", "final-heals-finish", "1..3"),
    ("loses-files", "none", "files-stay", "1..2"),
    ("panics", "none", "services-run", "1..2"),
    ("panics-in-tasks", "none", "no-panics", "1..2"),
    ("never-starts", "crashes", "nodes-start", "1..4"),
];

#[test]
fn every_rule_notices_the_defect_that_breaks_it() {
    for (defect, faults, rule, seeds) in DEFECTS {
        let arguments = ["--defect", defect, "--faults", faults, "--seeds", seeds, "--jobs", "2"];
        let run = sim(&[&arguments[..], &SIZE].concat());
        let told = told(&run);
        assert_eq!(run.status.code(), Some(1), "{defect} was not noticed: {told}");
        assert!(told.contains(&format!("  {rule}: ")), "{defect} did not break {rule}: {told}");
        assert!(told.contains(&format!("--faults {faults} --defect {defect}")), "no way to replay: {told}");
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
fn a_campaign_can_be_taken_up_again_and_a_failure_replayed() {
    let arguments = ["--faults", "mix", "--seeds", "3..8", "--progress", "2", "--jobs", "2"];
    let run = sim(&arguments);
    let told = told(&run);
    assert!(told.contains("seeds 3..4: ") && told.contains("seeds 3..8: "), "{told}");
    let run = sim(&["--defect", "never-claims", "--faults", "none", "--seeds", "1..2"]);
    let lines = String::from_utf8(run.stdout).unwrap();
    let command = lines.lines().rev().find(|line| line.contains("lampkeeper sim")).unwrap();
    let replay: Vec<&str> = command.trim().split(' ').skip(2).collect();
    let again = sim(&replay);
    assert_eq!(again.status.code(), Some(1), "{command}");
    let of_this_seed = format!("seed {} ", replay[1]);
    let line = |text: &str| text.lines().find(|line| line.starts_with(&of_this_seed)).map(str::to_owned);
    assert_eq!(line(&String::from_utf8(again.stdout).unwrap()), line(&lines));
}

#[test]
fn a_wrong_command_line_is_refused() {
    let table: [&[&str]; 6] = [
        &["--seeds", "9..3"],
        &["--nodes", "2"],
        &["--faults", "rain"],
        &["--epochs", "1"],
        &["--defect", "laziness"],
        &["--progress", "2"],
    ];
    for arguments in table {
        assert_eq!(sim(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
