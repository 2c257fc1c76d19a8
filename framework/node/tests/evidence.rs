//! `challenges` and `evidence` from outside: reading a stopped and a running node, exporting, verifying, exit codes.
#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::disallowed_methods, reason = "a test lays out a node's directory")]

use lampkeeper_api::challenge::Observation;
use lampkeeper_api::history::{ChallengeEnd, ChallengeEntry, HistoryJournal, KeptEvidence};
use lampkeeper_plugin_sdk::evidence::EvidenceRecord;
use lampkeeper_plugin_sdk::testkit::VirtualScheduler;
use lampkeeper_plugin_sdk::testkit::evidence::{record, wrong_bytes};
use lampkeeper_protocol::words::{ArtifactClass, Bucket, ResultClass};
use serde_json::Value;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const MANIFEST: &str = r#"
[node]
name = "n1"
network = "lumera-test"
data_dir = "data"

[identity]
key_file = "key.json"

[plugins.scheduler-tokio]

[plugins.journal-sqlite]
"#;

/// The width of a terminal that nobody has made wider.
const COLUMNS: usize = 80;

fn lampkeeper(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lampkeeper")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a command prints; it has to end with this code.
fn told(expected: i32, arguments: &[&str]) -> String {
    let run = lampkeeper(arguments);
    let all = format!("{}{}", text(&run.stdout), text(&run.stderr));
    assert_eq!(run.status.code(), Some(expected), "{arguments:?}: {all}");
    text(&run.stdout)
}

/// A stopped node that remembers one challenge that passed, and two that failed.
struct Stopped {
    dir: tempfile::TempDir,
}

impl Stopped {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("node.toml"), MANIFEST).unwrap();
        std::fs::DirBuilder::new().mode(0o700).create(dir.path().join("data")).unwrap();
        let node = Self { dir };
        assert!(
            lampkeeper(&["keys", "create", "--keyring", "test", &node.path("key.json")]).status.success()
        );
        let proven = wrong_bytes();
        let silent = record(Observation::TimedOut, None, None);
        let evidence: Vec<_> = [&proven, &silent].into_iter().map(kept).collect();
        let entries = [
            entry(7, ChallengeEnd::Observed(Observation::Pass), None),
            entry(9, ChallengeEnd::Observed(Observation::WrongBytes), Some(&proven)),
            entry(9, ChallengeEnd::Observed(Observation::TimedOut), Some(&silent)),
        ];
        let scheduler = VirtualScheduler::new(1);
        scheduler.block_on(async {
            let path = node.dir.path().join("data/journal.db");
            let journal = lampkeeper_journal_sqlite::open(scheduler.handle(), &path).await.unwrap();
            journal.record_challenges(&entries, &evidence).await.unwrap();
            journal.close().await.unwrap();
        });
        node
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn ask(&self, expected: i32, arguments: &[&str]) -> String {
        let manifest = self.path("node.toml");
        told(expected, &[arguments, &["--manifest", &manifest]].concat())
    }

    fn ask_json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ask(0, &[arguments, &["--json"]].concat())).unwrap()
    }
}

fn kept(record: &EvidenceRecord) -> KeptEvidence {
    KeptEvidence {
        evidence_id: record.digest(),
        epoch_id: record.epoch_id,
        target_account: record.target.account.clone(),
        observation: Observation::from_name(&record.observation).unwrap(),
        is_proven: record.authentic_slice.is_some(),
        recorded_at_s: record.recorded_at_ms / 1000,
        record: record.to_json().unwrap(),
    }
}

fn entry(epoch_id: u64, end: ChallengeEnd, evidence: Option<&EvidenceRecord>) -> ChallengeEntry {
    ChallengeEntry {
        epoch_id,
        target_account: wrong_bytes().target.account,
        ticket_id: "41".to_owned(),
        bucket: Bucket::Probation,
        artifact_class: ArtifactClass::Symbol,
        artifact_key: wrong_bytes().artifact_key,
        end,
        result_class: ResultClass::HashMismatch,
        transcript_hash: "aa".repeat(32),
        details: "\u{1b}[2Jsays the peer".to_owned(),
        proof: "none".to_owned(),
        proof_bytes: 0,
        attempts: 2,
        duration_ms: 2500,
        ended_at_s: 1_750_000_000,
        evidence_id: evidence.map(EvidenceRecord::digest),
    }
}

fn fits_a_terminal(told: &str) {
    for line in told.lines() {
        assert!(line.chars().count() <= COLUMNS, "{} characters: {line}", line.chars().count());
    }
}

#[test]
fn the_journal_of_a_stopped_node_is_read() {
    let node = Stopped::new();
    let before = std::fs::read(node.path("data/journal.db")).unwrap();
    let list = node.ask(0, &["challenges", "list"]);
    fits_a_terminal(&list);
    assert_eq!(list.lines().count(), 4, "{list}");
    // Options, and the numbers of the challenges that they leave.
    let target = wrong_bytes().target.account;
    let table: [(&[&str], &[u64]); 6] = [
        (&[], &[3, 2, 1]),
        (&["--failed"], &[3, 2]),
        (&["--epoch", "7"], &[1]),
        (&["--limit", "1"], &[3]),
        (&["--target", &target, "--epoch", "9"], &[3, 2]),
        (&["--target", "lumera1nobody"], &[]),
    ];
    for (options, expected) in table {
        let answer = node.ask_json(&[&["challenges", "list"], options].concat());
        let listed = answer["challenges"].as_array().unwrap();
        let numbers: Vec<_> = listed.iter().map(|challenge| challenge["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, expected, "{options:?}");
        assert_eq!(answer["source"]["kind"], "file");
    }
    let shown = node.ask(0, &["challenges", "show", "2"]);
    assert!(shown.contains("wrong_bytes") && shown.contains(&wrong_bytes().digest()), "{shown}");
    assert!(!shown.contains('\u{1b}'), "what a peer says does not change the terminal");
    node.ask(1, &["challenges", "show", "99"]);
    let evidence = node.ask(0, &["evidence", "list"]);
    fits_a_terminal(&evidence);
    assert!(evidence.contains("target's signature") && evidence.contains("this node's word"), "{evidence}");
    assert_eq!(std::fs::read(node.path("data/journal.db")).unwrap(), before, "it was only read");
}

#[test]
fn evidence_is_exported_and_verified_elsewhere() {
    let node = Stopped::new();
    let (proven, file) = (wrong_bytes(), node.path("proof.json"));
    let id = &proven.digest()[..12];
    let shown = node.ask(0, &["evidence", "show", id]);
    assert!(shown.contains("PROVEN"), "{shown}");
    node.ask(0, &["evidence", "show", id, "--output", &file]);
    node.ask(1, &["evidence", "show", id, "--output", &file]);
    node.ask(1, &["evidence", "show", "ffffff"]);
    node.ask(1, &["evidence", "show", "ff"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), proven.to_json().unwrap());
    let verified = told(0, &["evidence", "verify", &file]);
    assert!(verified.contains(": PROVEN"), "{verified}");

    let word = node.path("word.json");
    node.ask(0, &["evidence", "show", &record(Observation::TimedOut, None, None).digest(), "-o", &word]);
    assert!(told(0, &["evidence", "verify", &file, &word]).contains("THE CHALLENGER'S WORD"));

    let forged = node.path("forged.json");
    let text = proven.to_json().unwrap().replace("\"epoch_id\": 9", "\"epoch_id\": 8");
    std::fs::write(&forged, text).unwrap();
    let told_of_it = told(1, &["evidence", "verify", &file, &forged]);
    assert!(told_of_it.contains("DOES NOT HOLD") && told_of_it.contains("it was changed"), "{told_of_it}");
    let json: Value =
        serde_json::from_str(&told(1, &["evidence", "verify", &file, &forged, "--json"])).unwrap();
    assert_eq!(json[0]["verification"]["verdict"], "proven");
    assert_eq!(json[1]["verification"]["verdict"], "broken");
    let noise = node.path("noise");
    std::fs::write(&noise, vec![0xff; 2_000_000]).unwrap();
    told(1, &["evidence", "verify", &noise]);
    told(3, &["evidence", "verify", &node.path("absent.json")]);
}

/// A node that is stopped again however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_running_node_is_asked_itself() {
    let node = Stopped::new();
    let mut run = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
    let child =
        run.args(["run", "--manifest", &node.path("node.toml")]).stdout(Stdio::null()).spawn().unwrap();
    let mut running = Running(child);
    let socket: PathBuf = Path::new(&node.path("data")).join("control.sock");
    while !socket.exists() {
        assert_eq!(running.0.try_wait().unwrap(), None, "the node ended");
        std::thread::yield_now();
    }
    let answer = node.ask_json(&["challenges", "list", "--failed"]);
    assert_eq!(answer["source"]["kind"], "running");
    assert_eq!(answer["challenges"].as_array().unwrap().len(), 2);
    let data_dir = node.path("data");
    let listed = told(0, &["evidence", "list", "--json", "--data-dir", &data_dir, "--node", "n1"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["evidence"].as_array().unwrap().len(), 2);
    told(1, &["challenges", "list", "--data-dir", &data_dir, "--node", "n2"]);
    drop(running);
    told(4, &["challenges", "list", "--data-dir", &data_dir]);
}

#[test]
fn what_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("node.toml").display().to_string();
    told(3, &["challenges", "list", "--manifest", &manifest]);
    std::fs::write(&manifest, MANIFEST).unwrap();
    told(3, &["evidence", "list", "--manifest", &manifest]);
}
