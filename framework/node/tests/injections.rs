//! What `[[inject]]` does to a node in a process: the example of `docs/testers.md` as it stands there, faults that are
//! overcome, and a recording that answers in place of a chain and a disk that are gone.
#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::disallowed_methods, reason = "a test lays out a node's directory")]

use lampkeeper_plugin_sdk::testkit::Recording;
use lampkeeper_protocol::artifact_key::ArtifactKey;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

const CHAIN_ID: &str = "local-1";
const ARTIFACT_COUNT: u64 = 3;
/// After which a node that does not do what is waited for is given up.
const PATIENCE: Duration = Duration::from_secs(120);

fn lampkeeper(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
    command.current_dir(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A chain in a process of its own; dropping it kills it.
struct Chain {
    process: Child,
    endpoint: String,
}

impl Chain {
    fn start(folder: &Path, account: &str) -> Self {
        // Alone, so that it is nobody's prober: it reports without having challenged anybody.
        let genesis = format!(
            "chain_id = '{CHAIN_ID}'\n[params]\nepoch_length_blocks = 100000\n[[supernodes]]\n\
             account = '{account}'\naddress = '127.0.0.1:4444'\nbalance_ulume = 1000000\n"
        );
        fs::write(folder.join("genesis.toml"), genesis).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
        command.current_dir(folder).args(["devchain", "--listen", "127.0.0.1:0", "--block-ms", "20"]);
        command.args(["--genesis", "genesis.toml"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut endpoint = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut endpoint).unwrap();
        Self { process, endpoint: endpoint.trim().to_owned() }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder with a key, a chain, and room for the data of several nodes.
struct Bench {
    folder: tempfile::TempDir,
    chain: Chain,
    /// By their keys, which are in an order of their own.
    artifacts: BTreeMap<String, Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            lampkeeper(folder.path(), &["keys", "create", "key.json", "--keyring", "test"]).status.success()
        );
        let account = text(&lampkeeper(folder.path(), &["keys", "show", "key.json"]).stdout);
        let account = account.split_whitespace().find(|word| word.starts_with("lumera1")).unwrap();
        let chain = Chain::start(folder.path(), account);
        let artifacts = (0..ARTIFACT_COUNT).map(|number| {
            let bytes = format!("artifact {number}").into_bytes();
            (ArtifactKey::of(&bytes).to_string(), bytes)
        });
        Self { artifacts: artifacts.collect(), folder, chain }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts the artifacts where the store keeps them.
    fn plant(&self, data_dir: &str) {
        fs::DirBuilder::new().mode(0o700).create(self.path().join(data_dir)).unwrap();
        for (key, bytes) in &self.artifacts {
            let shard = format!("{:02x}", ArtifactKey::of(bytes).as_bytes()[0]);
            let shard = self.path().join(data_dir).join("artifacts").join(shard);
            fs::create_dir_all(&shard).unwrap();
            fs::write(shard.join(key), bytes).unwrap();
        }
    }

    /// A node that reports, heals and scrubs, with this in front of its seams.
    fn manifest(&self, data_dir: &str, injections: &str) {
        let text = format!(
            "[node]\nname = 'n1'\nnetwork = '{CHAIN_ID}'\ndata_dir = '{data_dir}'\n\
             [identity]\nkey_file = 'key.json'\n\
             [plugins.scheduler-tokio]\n[plugins.journal-sqlite]\n[plugins.storage-fs]\n\
             [plugins.network-replicas]\n[plugins.self-healing]\n[plugins.heal-minimal]\n\
             [plugins.transport-grpc.config]\nlisten = '127.0.0.1:0'\n\
             [plugins.chain-lumera.config]\nendpoints = ['{}']\ninclusion_poll_interval_ms = 10\n\
             [plugins.epoch-reporter.config]\npoll_interval_ms = 20\n\
             [plugins.scrub.config]\ncycle_days = 0.000001\npause_per_read_time = 0.0\n{injections}",
            self.chain.endpoint
        );
        fs::write(self.path().join("node.toml"), text).unwrap();
    }

    fn run(&self) -> Running<'_> {
        Running::start(self.path())
    }

    fn recording(&self, file: &str) -> Recording {
        Recording::load(self.path().join(file)).unwrap()
    }

    /// The calls of a recording, without its header.
    fn calls(&self, file: &str) -> Vec<Value> {
        let lines = fs::read_to_string(self.path().join(file)).unwrap_or_default();
        // The last line may be only half written.
        let lines = lines.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.filter(|line: &Value| line["method"].is_string()).collect()
    }
}

/// A running node; ends with the test, however that ends.
struct Running<'a> {
    folder: &'a Path,
    process: Child,
    events: Receiver<String>,
}

impl<'a> Running<'a> {
    fn start(folder: &'a Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
        command
            .current_dir(folder)
            .args(["run", "--events", "--until-stdin-ends"])
            .env("RUST_BACKTRACE", "0");
        // To a file, so that nobody has to read along.
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let told = BufReader::new(process.stdout.take().unwrap());
        let (sender, events) = mpsc::channel();
        thread::spawn(move || told.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { folder, process, events }
    }

    /// Waits for an event of this name.
    fn until(&self, name: &str) {
        let (name, deadline) = (format!("\"{name}\""), Instant::now() + PATIENCE);
        let told = || self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok();
        let found = std::iter::from_fn(told).any(|line| line.contains(&name));
        assert!(found, "the node has not told {name}: {}", self.log());
    }

    /// Waits until calls of all these methods are in a recording.
    fn until_recorded(&self, bench: &Bench, data_dir: &str, file: &str, methods: &[&str]) {
        let is_there = |method: &&str| bench.calls(file).iter().any(|call| call["method"] == **method);
        let are_there = (0..2000).any(|_| {
            // So that time passes: a node that answers is at work.
            self.metrics(data_dir);
            methods.iter().all(is_there)
        });
        assert!(are_there, "{}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    fn metrics(&self, data_dir: &str) -> String {
        text(&lampkeeper(self.folder, &["metrics", "--data-dir", data_dir]).stdout)
    }

    /// Lets the node end; its log.
    fn end(mut self) -> String {
        drop(self.process.stdin.take());
        let status = self.process.wait().unwrap();
        assert!(status.success(), "the node ended with {status}: {}", self.log());
        self.log()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The example of the page for testers.
fn example() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/testers.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut examples = blocks.filter(|block| block.contains("[[inject]]"));
    examples.next().unwrap().to_owned()
}

/// A delay of 200 ms, as a wall clock that is being set right may show it.
const DELAY_MS_MIN: u64 = 190;

const RECORD_STORE: &str = "[[inject]]\nseam = 'store'\nkind = 'record'\nfile = 'store.jsonl'\n";

#[tokio::test]
async fn the_example_of_the_page_runs_and_a_recorded_store_answers_where_the_disk_is_empty() {
    let bench = Bench::new();
    bench.plant("full");
    bench.manifest("full", RECORD_STORE);
    let running = bench.run();
    running.until("scrub.cycle_done");
    running.end();

    // Without the file that it replays, the node says which is missing.
    fs::rename(bench.path().join("store.jsonl"), bench.path().join("elsewhere.jsonl")).unwrap();
    bench.manifest("empty", &example());
    let refused = lampkeeper(bench.path(), &["run"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("store.jsonl"), "{refused:?}");
    fs::rename(bench.path().join("elsewhere.jsonl"), bench.path().join("store.jsonl")).unwrap();

    let checked = lampkeeper(bench.path(), &["check"]);
    let told = text(&checked.stderr);
    assert!(checked.status.success(), "{told}");
    let running = bench.run();
    running.until("scrub.cycle_done");
    running.until_recorded(&bench, "empty", "chain.jsonl", &["current_epoch"]);
    let metrics = running.metrics("empty");
    let intact = r#"lampkeeper_scrub_artifacts_total{node="n1",plugin="scrub",result="intact"} "#;
    let intact = metrics.lines().find_map(|line| line.strip_prefix(intact)?.parse::<u64>().ok());
    assert!(intact.is_some_and(|count| count >= ARTIFACT_COUNT), "{metrics}");
    let on_disk = fs::read_dir(bench.path().join("empty/artifacts")).unwrap();
    let on_disk = on_disk.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(on_disk.filter(|name| name.len() == 2).count(), 0, "no shard of the store holds anything");
    let log = running.end();
    let injected: Vec<&str> =
        told.lines().filter_map(|line| line.split_once("under test: ").map(|(_, what)| what)).collect();
    assert_eq!(injected.len(), 4, "{told}");
    for what in injected {
        assert!(log.contains(&format!("this node is under test: {what}")), "{what}: {log}");
    }

    // What the page says of a unit test.
    let recording = bench.recording("store.jsonl");
    assert_eq!(recording.seam(), "store");
    let usage = recording.store().usage().await.unwrap();
    assert_eq!(usage.artifact_count, ARTIFACT_COUNT);
    let listed = recording.store().list(None, 1000).await;
    assert_eq!(listed.map(|entries| entries.len()).ok(), Some(ARTIFACT_COUNT as usize));
    // The chain was recorded too, behind the delay.
    let recording = bench.recording("chain.jsonl");
    assert_eq!(recording.seam(), "chain:read");
    assert_eq!(recording.chain().current_epoch().await.unwrap().epoch_id, 0);
}

#[test]
fn a_fault_is_overcome_and_a_delay_is_waited_for() {
    let bench = Bench::new();
    bench.manifest(
        "data",
        "[[inject]]\nseam = 'chain:submit'\nplugin = 'epoch-reporter'\nkind = 'fault'\nnth = 1\n\
         error = 'transient'\n\
         [[inject]]\nseam = 'chain:read'\nplugin = 'epoch-reporter'\nkind = 'delay'\ndelay_ms = 200\n\
         [[inject]]\nseam = 'chain:read'\nplugin = 'epoch-reporter'\nkind = 'record'\nfile = 'chain.jsonl'\n\
         [[inject]]\nseam = 'chain:submit'\nplugin = 'epoch-reporter'\nkind = 'record'\nfile = 'sent.jsonl'\n",
    );
    let running = bench.run();
    running.until("report.submitted");
    let log = running.end();
    assert!(log.contains("injected by the manifest"), "{log}");
    // The fault stands in front of the recording: what it refused did not get that far.
    let sent = bench.calls("sent.jsonl");
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0]["answer"]["Ok"].is_object(), "{sent:?}");
    // The reporter asks one thing after the other.
    let asked_at: Vec<u64> =
        bench.calls("chain.jsonl").iter().map(|call| call["at_ms"].as_u64().unwrap()).collect();
    assert!(asked_at.len() >= 4, "{asked_at:?}");
    assert!(asked_at.windows(2).all(|pair| pair[1] >= pair[0] + DELAY_MS_MIN), "{asked_at:?}");
}

#[test]
fn a_recorded_chain_gives_the_same_answers_when_the_chain_is_gone() {
    let mut bench = Bench::new();
    let record = |file: &str| format!("[[inject]]\nseam = 'chain:read'\nkind = 'record'\nfile = '{file}'\n");
    bench.manifest("first", &record("first.jsonl"));
    let running = bench.run();
    running.until("report.submitted");
    running.end();
    let first = bench.calls("first.jsonl");

    let _ = bench.chain.process.kill();
    bench.chain.process.wait().unwrap();
    let replay = "[[inject]]\nseam = 'chain:read'\nkind = 'replay'\nfile = 'first.jsonl'\n";
    bench.manifest("second", &format!("{}{replay}", record("second.jsonl")));
    let running = bench.run();
    // All that a report takes; it can't be submitted, and that is no event.
    let sought = ["current_epoch", "epoch_anchor", "assigned_targets", "params"];
    running.until_recorded(&bench, "second", "second.jsonl", &sought);
    running.end();

    let of = |call: &Value| (call["method"].to_string(), call["digest"].to_string());
    let known: BTreeSet<_> = first.iter().map(|call| (of(call), call["answer"].to_string())).collect();
    let asked: BTreeSet<_> = first.iter().map(of).collect();
    let mut methods = BTreeSet::new();
    for call in bench.calls("second.jsonl").iter().filter(|call| asked.contains(&of(call))) {
        assert!(known.contains(&(of(call), call["answer"].to_string())), "{call}");
        methods.insert(call["method"].as_str().unwrap().to_owned());
    }
    for method in sought {
        assert!(methods.contains(method), "{method} is not among {methods:?}");
    }
}
