//! A running `devnet --processes`: what it tells, its processes, and their end.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// How often something that ends by itself is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a process may take to end.
const GONE_WITHIN: u32 = 600;
/// Length of the file that is stored: a few symbols.
pub(crate) const FILE_LEN_BYTES: usize = 400_000;

/// The binary under test.
pub(crate) fn lampkeeper() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lampkeeper"))
}

/// A devnet, and all that it told.
pub(crate) struct Devnet {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    told: Vec<Value>,
    /// Name and number of every process, in the order of their starts.
    processes: Vec<(String, u32)>,
    is_running: BTreeMap<String, u32>,
}

impl Devnet {
    /// Starts one in `dir`, with a file of its own.
    pub(crate) fn start(dir: &Path, options: &[&str]) -> Self {
        let mut file = vec![0; FILE_LEN_BYTES];
        blake3::Hasher::new().update(b"a file of the processes test").finalize_xof().fill(&mut file);
        std::fs::write(dir.join("file.bin"), file).unwrap();
        let mut command = lampkeeper();
        command.args(["devnet", "--processes", "--json", "--file"]).arg(dir.join("file.bin"));
        command.arg("--data-dir").arg(dir.join("net")).args(options);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, told: Vec::new(), processes: Vec::new(), is_running: BTreeMap::new() }
    }

    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let line: Value = serde_json::from_str(&self.lines.next()?.unwrap()).unwrap();
        if line["event"] == "process" {
            let words: Vec<_> = line["text"].as_str().unwrap().split(' ').collect();
            match words[..] {
                [name, "is", "process", number] => {
                    let number = number.parse().unwrap();
                    self.processes.push((name.to_owned(), number));
                    self.is_running.insert(name.to_owned(), number);
                }
                _ => drop(self.is_running.remove(words[0])),
            }
        }
        self.told.push(line.clone());
        Some(line)
    }

    /// Reads until a line of this kind.
    pub(crate) fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        while let Some(line) = self.next() {
            if is_it(&line) {
                return line;
            }
        }
        panic!("the story ended before it came to that:\n{}", self.story())
    }

    /// Kills a process, which must be running.
    pub(crate) fn kill(&mut self, name: &str) {
        while !self.kill_if_running(name) {
            assert!(self.next().is_some(), "{name} was not started again:\n{}", self.story());
        }
    }

    /// Kills a process if it runs, as far as the story tells.
    pub(crate) fn kill_if_running(&mut self, name: &str) -> bool {
        let Some(number) = self.is_running.remove(name) else { return false };
        let number = Pid::from_raw(number.try_into().unwrap()).unwrap();
        kill_process(number, Signal::KILL).is_ok()
    }

    /// Reads to the end, which has to be a good one; every process that there ever was.
    pub(crate) fn end(&mut self) -> Vec<(String, u32)> {
        while self.next().is_some() {}
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}:\n{}", self.story());
        self.processes.clone()
    }

    /// Kills the devnet, and not its children; every process that there ever was.
    pub(crate) fn kill_itself(&mut self) -> Vec<(String, u32)> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.processes.clone()
    }

    /// Whether something of this kind was told.
    pub(crate) fn told(&self, event: &str) -> bool {
        self.told.iter().any(|line| line["event"] == event)
    }

    /// The node of an account: the devnet's manifests are named after its nodes, and it says who is who.
    pub(crate) fn name_of(&self, account: &str) -> String {
        let is_its = |line: &&Value| line["event"] == "node.started" && line["fields"]["account"] == account;
        let line = self.told.iter().find(is_its).unwrap_or_else(|| panic!("nobody is {account}"));
        line["node"].as_str().unwrap().to_owned()
    }

    /// The arguments with which the chain goes on, as the devnet says at its end.
    pub(crate) fn chain_arguments(&self) -> Vec<String> {
        let left = self.told.iter().filter(|line| line["event"] == "left");
        let words =
            left.filter_map(|line| line["text"].as_str()).find(|text| text.contains("lampkeeper devchain"));
        let command = words.unwrap().split('`').nth(1).unwrap();
        command.split(' ').skip(1).map(str::to_owned).collect()
    }

    /// Everything that was told, for a failed test; the end of it if it is long.
    pub(crate) fn story(&self) -> String {
        let skipped = self.told.len().saturating_sub(150);
        self.told.iter().skip(skipped).map(|line| format!("{line}\n")).collect()
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until these processes have ended. A number may be somebody else's by then: only this binary counts, also when a
/// build has replaced its file.
pub(crate) fn wait_until_gone(processes: &[(String, u32)]) {
    let binary = env!("CARGO_BIN_EXE_lampkeeper");
    for (name, number) in processes {
        let program = || std::fs::read_link(format!("/proc/{number}/exe"));
        let runs = || program().is_ok_and(|exe| exe.to_string_lossy().starts_with(binary));
        let mut looks = 0;
        while runs() {
            looks += 1;
            assert!(looks < GONE_WITHIN, "{name}, process {number}, is still there");
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
