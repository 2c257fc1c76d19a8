//! Each kind of injection on a whole node, in virtual time; recordings that are replayed; manifests that are refused.

use super::*;
use crate::manifest::{LogFormat, LogSection, Manifest};
use crate::node::{Node, NodeHost, StartError};
use crate::registry::Registry;
use crate::telemetry::TelemetryHub;
use crate::testing::{Lines, REQUIRED, made_by, plugin, registry};
use lampkeeper_api::BoxFuture;
use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::chain::{HealOp, Ticket};
use lampkeeper_api::heal::{HealCost, HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_api::plugin::{PluginContext, PluginError};
use lampkeeper_api::scheduler::Scheduler as _;
use lampkeeper_api::store::{ArtifactStore, StoreUsage};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::testkit::{MemoryStore, Recording, TestSigner, VirtualScheduler};
use std::path::Path;
use tempfile::TempDir;

/// Uses its store as the ticket's id says, and answers what came of it.
struct User(Arc<dyn ArtifactStore>);

#[async_trait]
impl HealStrategy for User {
    fn name(&self) -> &str {
        "user"
    }

    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError> {
        let key = ArtifactKey::of(b"a lamp");
        let said = match job.ticket.ticket_id.as_str() {
            "put" => format!("{:?}", self.0.put(&key, b"a lamp".to_vec()).await),
            "get" => format!("{:?}", self.0.get(&key).await),
            _ => format!("{:?}", self.0.usage().await),
        };
        Ok(Reconstruction { manifest_hash: said, cost: HealCost::default() })
    }
}

fn make_user(context: PluginContext) -> BoxFuture<'static, Result<Provided, PluginError>> {
    Box::pin(async move {
        let user = User(context.store()?);
        Ok(Provided { heal_strategy: Some(Arc::new(user)), ..Provided::default() })
    })
}

fn make_store(_: PluginContext) -> BoxFuture<'static, Result<Provided, PluginError>> {
    Box::pin(async { Ok(Provided { store: Some(Arc::new(MemoryStore::new())), ..Provided::default() }) })
}

fn plugins() -> Registry {
    let user = plugin("user", &[Seam::HealStrategy], &[(Seam::Store, REQUIRED)]);
    let disk = plugin("disk", &[Seam::Store], &[]);
    registry([made_by(make_user, user), made_by(make_store, disk)])
}

fn parsed(folder: &Path, tables: &str) -> Result<Manifest, Vec<String>> {
    let text = format!(
        "[node]\nname = 'n1'\nnetwork = 'devnet-1'\ndata_dir = 'data'\n[plugins.user]\n[plugins.disk]\n{tables}"
    );
    let parsed = Manifest::parse(&folder.join("node.toml"), &text, &plugins());
    parsed.map_err(|problems| {
        let folder = format!("{}/", folder.display());
        problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
    })
}

/// A node of a store and its user, with something between the two.
struct Running {
    node: Node,
    scheduler: VirtualScheduler,
}

impl Running {
    fn start(folder: &Path, tables: &str, seed: u64) -> Result<Self, StartError> {
        let manifest = parsed(folder, tables).unwrap();
        let scheduler = VirtualScheduler::new(seed);
        let mut host = NodeHost::new(Arc::new(TestSigner::new("n1")), TelemetryHub::new());
        host.seams.scheduler = Some(scheduler.handle());
        let node = scheduler.block_on(Node::start(&manifest, &plugins(), host))?;
        Ok(Self { node, scheduler })
    }

    fn new(tables: &str) -> Self {
        Self::start(Path::new("."), tables, 1).unwrap()
    }

    fn ask(&self, what: &str) -> String {
        let strategy = self.node.seams().heal_strategy.clone().unwrap();
        let ticket = Ticket { ticket_id: what.to_owned(), ..Ticket::default() };
        let job = HealJob { heal_op: HealOp::default(), ticket, cancel: Cancel::new() };
        self.scheduler.block_on(strategy.reconstruct(job)).unwrap().manifest_hash
    }

    fn ask_all(&self, what: &[&str]) -> Vec<String> {
        what.iter().map(|what| self.ask(what)).collect()
    }
}

const FAULT: &str = "[[inject]]\nseam = 'store'\nkind = 'fault'\n";
const DELAY: &str = "[[inject]]\nseam = 'store'\nkind = 'delay'\n";

#[test]
fn a_fault_is_the_error_of_its_seam_at_the_call_that_was_named() {
    let unavailable =
        "Err(Unavailable { reason: \"plugin disk is not available: injected by the manifest\" })";
    let transient = "Err(Io { attempted: \"put\", reason: \"injected by the manifest\" })";
    // (keys of the fault, calls, which of them fail, what they say)
    type Row<'a> = (&'a str, &'a [&'a str], &'a [usize], &'a str);
    let table: [Row<'_>; 5] = [
        ("", &["put", "get", "usage"], &[0, 1, 2], unavailable),
        ("method = 'put'\nerror = 'transient'", &["get", "put", "usage"], &[1], transient),
        ("method = 'put'\nnth = 2\nerror = 'transient'", &["put", "get", "put", "put"], &[2], transient),
        ("nth = 3", &["put", "get", "usage", "usage"], &[2], unavailable),
        ("plugin = 'user'\nmethod = 'usage'", &["put", "usage"], &[1], unavailable),
    ];
    for (keys, calls, failing, words) in table {
        let said = Running::new(&format!("{FAULT}{keys}\n")).ask_all(calls);
        for (index, said) in said.iter().enumerate() {
            if failing.contains(&index) {
                assert_eq!(said, words, "{keys}: call {index}");
            } else {
                assert!(said.starts_with("Ok("), "{keys}: call {index}: {said}");
            }
        }
    }
}

#[test]
fn every_word_of_a_fault_is_an_error_that_its_seam_can_read() {
    use lampkeeper_api::guard::{Answer as _, Decision, Method};
    use lampkeeper_api::{chain, challenge, journal, network, signer, staging, transport};
    static METHOD: Method = Method::new("any", "method");
    fn is_readable<E: serde::de::DeserializeOwned>(text: &str) -> bool {
        matches!(serde_json::from_str::<Result<(), E>>(text), Ok(Err(_)))
    }
    let _: Option<Box<dyn staging::Staging>> = None;
    for seam in injectable() {
        for word in fault_words(seam) {
            let readable = match fault::decide(seam, word, "p", &METHOD) {
                Decision::Refuse(why) => {
                    Result::<(), chain::ChainError>::unavailable(&why).is_failure() && *word == "unavailable"
                }
                Decision::Answer(text) => match seam {
                    Seam::ChainRead | Seam::ChainSubmit => is_readable::<chain::ChainError>(&text),
                    Seam::Store | Seam::Staging => is_readable::<lampkeeper_api::store::StoreError>(&text),
                    Seam::Journal => is_readable::<journal::JournalError>(&text),
                    Seam::Transport => is_readable::<transport::CallError>(&text),
                    Seam::Network => is_readable::<network::NetworkError>(&text),
                    Seam::Signer => is_readable::<signer::SignError>(&text),
                    Seam::Challenger => is_readable::<challenge::ChallengeError>(&text),
                    _ => is_readable::<HealError>(&text),
                },
                _ => false,
            };
            assert!(readable, "{seam}: {word}");
        }
    }
}

#[test]
fn one_call_in_so_many_fails_by_the_schedulers_chance() {
    let tables = format!("{FAULT}one_in = 4\n");
    let run = |seed: u64| {
        let running = Running::start(Path::new("."), &tables, seed).unwrap();
        let failed: Vec<bool> = (0..400).map(|_| running.ask("usage").starts_with("Err")).collect();
        failed
    };
    let failed = run(7);
    let count = failed.iter().filter(|failed| **failed).count();
    assert!((60..140).contains(&count), "seed 7: {count} of 400");
    assert_eq!(run(7), failed, "the same seed fails at the same calls");
}

#[test]
fn a_delay_takes_the_schedulers_time() {
    for (keys, least_ms, most_ms) in
        [("delay_ms = 200", 200, 200), ("delay_ms = 200\njitter_ms = 50", 200, 250)]
    {
        let running = Running::new(&format!("{DELAY}{keys}\n"));
        for _ in 0..20 {
            let before = running.scheduler.now();
            assert!(running.ask("usage").starts_with("Ok("));
            let took_ms = running.scheduler.now().since(before).as_millis();
            assert!((least_ms..=most_ms).contains(&took_ms), "{keys}: {took_ms} ms");
        }
    }
}

#[test]
fn of_several_in_front_of_one_seam_the_first_is_asked_first() {
    let tables = format!("{DELAY}delay_ms = 100\n{FAULT}nth = 2\n{DELAY}delay_ms = 10\n");
    let running = Running::new(&tables);
    let took: Vec<u128> = (0..3)
        .map(|_| {
            let before = running.scheduler.now();
            running.ask("usage");
            running.scheduler.now().since(before).as_millis()
        })
        .collect();
    assert_eq!(took, [110, 100, 110], "the call that fails does not come to the second delay");
}

#[test]
fn what_was_recorded_is_replayed_by_a_node_and_by_the_test_kit() {
    let folder = TempDir::new().unwrap();
    let table = |kind: &str| format!("[[inject]]\nseam = 'store'\nkind = '{kind}'\nfile = 'store.jsonl'\n");
    let calls = ["get", "usage", "put", "get", "put", "usage"];
    let recording = Running::start(folder.path(), &table("record"), 1).unwrap();
    let said = recording.ask_all(&calls);
    drop(recording);
    assert_eq!(said[0], "Ok(None)");
    assert!(said[3].starts_with("Ok(Some("), "{said:?}");

    // The store behind it is empty, and is not asked.
    let replaying = Running::start(folder.path(), &table("replay"), 2).unwrap();
    assert_eq!(replaying.ask_all(&calls), said);
    let account = replaying.node.account("disk").unwrap();
    assert!(account.methods().iter().all(|method| method.method != "put"), "it was called");
    drop(replaying);

    let loaded = Recording::load(folder.path().join("store.jsonl")).unwrap();
    assert_eq!((loaded.seam(), loaded.call_count()), ("store", calls.len()));
    let (store, key) = (loaded.store(), ArtifactKey::of(b"a lamp"));
    let scheduler = VirtualScheduler::new(3);
    assert_eq!(scheduler.block_on(store.get(&key)), Ok(None));
    assert_eq!(scheduler.block_on(store.get(&key)), Ok(Some(b"a lamp".to_vec())));
    let other = scheduler.block_on(store.get(&ArtifactKey::of(b"another"))).unwrap_err().to_string();
    assert!(other.contains("the recording does not have the call store.get(key: "), "{other}");
    let usage: StoreUsage = scheduler.block_on(store.usage()).unwrap();
    assert_eq!(usage.artifact_count, 0, "the first answer");
}

#[test]
fn a_second_run_adds_to_a_recording_even_behind_a_line_that_a_crash_cut_off() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.jsonl");
    let tables = "[[inject]]\nseam = 'store'\nkind = 'record'\nfile = 'store.jsonl'\n";
    Running::start(folder.path(), tables, 1).unwrap().ask("usage");
    let whole = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(whole - 5).unwrap();
    Running::start(folder.path(), tables, 1).unwrap().ask_all(&["usage", "put"]);
    assert_eq!(Recording::load(&path).unwrap().call_count(), 2, "the cut one is gone");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn files_that_are_no_recording_of_the_seam_stop_the_start() {
    let folder = TempDir::new().unwrap();
    let header = |seam: &str| format!("{{\"lampkeeper_recording\":1,\"seam\":\"{seam}\",\"plugin\":null}}\n");
    let table = [
        (None, "No such file"),
        (Some("hello\n".to_owned()), "line 1: not the header of a recording"),
        (Some(header("journal")), "it is a recording of `journal`, not of `store`"),
    ];
    for (content, words) in table {
        let path = folder.path().join("calls.jsonl");
        if let Some(content) = content {
            std::io::Write::write_all(
                &mut std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(&path).unwrap(),
                content.as_bytes(),
            )
            .unwrap();
        }
        let tables = "[[inject]]\nseam = 'store'\nkind = 'replay'\nfile = 'calls.jsonl'\n";
        let refused = Running::start(folder.path(), tables, 1).err().unwrap().to_string();
        assert!(
            refused.starts_with("[[inject]] in line 7: replaying ") && refused.contains(words),
            "{refused}"
        );
    }
}

#[test]
fn a_node_with_an_injection_warns_when_it_starts() {
    let lines = Lines::default();
    let section = LogSection { filter: "warn".to_owned(), format: LogFormat::Text };
    lines.collect(&section, || drop(Running::new(&format!("{DELAY}delay_ms = 200\nmethod = 'put'\n"))));
    let expected = "this node is under test: store.put by all plugins wait 200 ms (line 7)";
    assert!(lines.text().contains(expected), "{}", lines.text());
}

#[test]
fn a_manifest_says_what_is_wrong_with_an_injection() {
    // (the table's keys, the problems)
    let table: [(&str, &[&str]); 9] = [
        ("seam = 'store'\nkind = 'delay'", &["7:1: inject[0].delay_ms: missing; write `delay_ms = 200`"]),
        (
            "seam = 'store'\nkind = 'record'",
            &["7:1: inject[0].file: missing; write `file = \"calls.jsonl\"`"],
        ),
        (
            "seam = 'stor'\nkind = 'fault'",
            &["8:8: inject[0].seam: \"stor\" is not a value of this key; did you mean `store`?"],
        ),
        (
            "seam = 'store'\nkind = 'fualt'",
            &["9:8: inject[0].kind: \"fualt\" is not a value of this key; did you mean `fault`?"],
        ),
        (
            "seam = 'store'\nkind = 'fault'\nmethod = 'pit'",
            &["10:10: inject[0].method: `store` has no method `pit`; did you mean `put`?"],
        ),
        (
            "seam = 'store'\nkind = 'fault'\nerror = 'not-found'\ndelay_ms = 5",
            &[
                "10:9: inject[0].error: `not-found` is not an error that can be injected into `store`; errors: \
                 unavailable, transient, full",
                "11:12: inject[0].delay_ms: only delay has this key; remove the key",
            ],
        ),
        (
            "seam = 'store'\nkind = 'fault'\nplugin = 'disk'",
            &[
                "10:10: inject[0].plugin: `disk` is not given the seam `store`; plugins that are given it: user",
            ],
        ),
        (
            "seam = 'journal'\nkind = 'fault'\nnth = 0",
            &[
                "8:8: inject[0].seam: nobody is given the seam `journal`; no plugin of this manifest is given it; \
                 remove the table",
                "10:7: inject[0].nth: 0 is out of range; write a whole number from 1",
            ],
        ),
        (
            "seam = 'store'\nkind = 'fault'\nnht = 1",
            &["10:1: inject[0].nht: unknown key; did you mean `nth`?"],
        ),
    ];
    for (keys, expected) in table {
        let problems = parsed(Path::new("."), &format!("[[inject]]\n{keys}\n")).unwrap_err();
        let expected: Vec<String> = expected.iter().map(|problem| format!("node.toml:{problem}")).collect();
        assert_eq!(problems, expected, "{keys}");
    }
    let twice = "[[inject]]\nseam = 'store'\nkind = 'record'\nfile = 'a'\n".repeat(2);
    let problems = parsed(Path::new("."), &twice).unwrap_err();
    assert_eq!(
        problems,
        ["node.toml:14:8: inject[1].file: a is used by another injection; write a file of its own"]
    );
}
