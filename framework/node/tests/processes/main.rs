//! `devnet --processes` from outside: a network of real processes on sockets, whose processes are killed with SIGKILL while
//! it stores, damages, finds and heals a file.
//!
//! `LAMPKEEPER_STORIES` says how many stories the long test tells; 5 by default:
//!
//!     cargo test -p lampkeeper --test processes -- --ignored --nocapture
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test of processes"
)]

mod devnet;

use devnet::{Devnet, FILE_LEN_BYTES, lampkeeper};
use std::path::Path;
use std::process::{Command, Stdio};

const STORIES: &str = "LAMPKEEPER_STORIES";
const STORIES_BY_DEFAULT: u64 = 5;

/// Numbers that look random and are the same every time.
fn draw(story: u64, what: &str, below: u64) -> u64 {
    let hash = blake3::derive_key("lampkeeper processes test", format!("{what} {story}").as_bytes());
    u64::from_le_bytes(hash[..8].try_into().unwrap()) % below
}

/// What the story has to end with, whatever was killed.
fn assert_ended_well(devnet: &Devnet, dir: &Path) {
    assert!(devnet.told("healed"), "the story did not end well:\n{}", devnet.story());
    let fetched = std::fs::read(dir.join("net/fetched-file.bin")).unwrap();
    assert_eq!(fetched.len(), FILE_LEN_BYTES);
    assert_eq!(fetched, std::fs::read(dir.join("file.bin")).unwrap());
}

#[test]
fn whatever_is_killed_comes_back_and_the_story_ends_well() {
    let dir = tempfile::tempdir().unwrap();
    let mut devnet = Devnet::start(dir.path(), &["--nodes", "4", "--epoch-seconds", "4"]);
    // The first that is asked to store, while it does; then the chain; then those who heal.
    devnet.until(|line| line["event"] == "nodes");
    devnet.kill("n1");
    devnet.until(|line| line["event"] == "damage");
    devnet.kill("devchain");
    let scheduled = devnet.until(|line| line["event"] == "storage_truth_heal_op_scheduled");
    let healer = scheduled["fields"]["healer_supernode_account"].as_str().unwrap();
    let healer = devnet.name_of(healer);
    devnet.kill(&healer);
    devnet.until(|line| line["event"] == "heal.claimed");
    devnet.kill("devchain");
    let processes = devnet.end();
    assert_ended_well(&devnet, dir.path());
    for (name, least) in [("n1", 2), ("devchain", 3), (healer.as_str(), 2)] {
        let count = processes.iter().filter(|(of, _)| of == name).count();
        assert!(count >= least, "{name} was started {count} times:\n{}", devnet.story());
    }
    devnet::wait_until_gone(&processes);
    what_is_left_runs_one_by_one(&devnet, &dir.path().join("net"));
}

/// The chain goes on, and a node runs by itself with the manifest that was left.
fn what_is_left_runs_one_by_one(devnet: &Devnet, net: &Path) {
    for number in 1..=4 {
        let manifest = net.join(format!("n{number}/node.toml"));
        assert!(lampkeeper().arg("check").arg("--manifest").arg(manifest).status().unwrap().success());
    }
    let arguments = devnet.chain_arguments();
    let mut chain = lampkeeper().args(arguments).stdout(Stdio::null()).spawn().unwrap();
    let manifest = net.join("n2/node.toml");
    let mut node = lampkeeper().arg("run").arg("--manifest").arg(manifest).spawn().unwrap();
    let data_dir = net.join("n2");
    let status = || lampkeeper().arg("status").arg("--data-dir").arg(&data_dir).output().unwrap();
    let mut answer = status();
    while !answer.status.success() {
        assert!(node.try_wait().unwrap().is_none(), "the node ended");
        std::thread::sleep(devnet::LOOK_EVERY);
        answer = status();
    }
    let told = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(told.contains("n2"), "{told}");
    let stopped = lampkeeper().arg("stop").arg("--data-dir").arg(&data_dir).status().unwrap();
    assert!(stopped.success() && node.wait().unwrap().success());
    chain.kill().unwrap();
    chain.wait().unwrap();
}

#[test]
fn nothing_is_left_behind_when_the_devnet_itself_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut devnet = Devnet::start(dir.path(), &["--nodes", "3", "--epoch-seconds", "4"]);
    devnet.until(|line| line["event"] == "nodes");
    let processes = devnet.kill_itself();
    assert_eq!(processes.len(), 4, "three nodes and a chain");
    devnet::wait_until_gone(&processes);
}

#[test]
#[ignore = "takes minutes: tells many stories, each with kills at random times"]
fn many_stories_end_well() {
    let stories = std::env::var(STORIES).map_or(STORIES_BY_DEFAULT, |count| count.parse().unwrap());
    for story in 0..stories {
        let dir = tempfile::tempdir().unwrap();
        let mut devnet = Devnet::start(dir.path(), &["--nodes", "5", "--epoch-seconds", "5"]);
        let mut lines = 0;
        let mut kills = Vec::new();
        let mut next = draw(story, "first", 30);
        while let Some(line) = devnet.next() {
            lines += 1;
            // Events come closer together where more happens, and so do kills.
            let is_over = ["fetch", "healed", "left"].iter().any(|event| line["event"] == *event);
            let may_kill = !is_over && kills.len() < 12;
            if may_kill && lines >= next {
                let of = draw(story, &format!("who {lines}"), 6);
                let name = if of == 0 { "devchain".to_owned() } else { format!("n{of}") };
                if devnet.kill_if_running(&name) {
                    kills.push(format!("{name} at line {lines}, {}", line["event"]));
                }
                next = lines + 8 + draw(story, &format!("when {lines}"), 30);
            }
        }
        println!("story {story}: killed {kills:?}");
        let processes = devnet.end();
        assert_ended_well(&devnet, dir.path());
        devnet::wait_until_gone(&processes);
    }
}

#[test]
fn a_process_that_is_started_by_hand_does_not_mind_the_end_of_its_input() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command: Command = lampkeeper();
        command.current_dir(dir.path()).args(["devchain", "--listen", "127.0.0.1:0", "--block-ms", "20"]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let mut with_starter = run(&["--until-stdin-ends", "--data-dir", "one"]);
    assert!(with_starter.wait().unwrap().success());
    let mut by_hand = run(&["--data-dir", "two", "--events"]);
    // It lives long enough for blocks.
    let output = by_hand.stdout.take().unwrap();
    let blocks = std::io::BufRead::lines(std::io::BufReader::new(output));
    assert_eq!(blocks.filter(|line| line.as_ref().unwrap().contains("\"block\"")).take(3).count(), 3);
    by_hand.kill().unwrap();
    by_hand.wait().unwrap();
}
