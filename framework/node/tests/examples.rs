//! The plugins in `examples/` and those that `plugins new` writes: each is built in a workspace of its own, tested there,
//! inspected, and loaded by a node.
//!
//! Ignored in ordinary runs because of what it builds; CI has a step for it:
//!
//! ```text
//! cargo test -p lampkeeper --test examples -- --ignored
//! ```
//!
//! They share one target directory, so that what they have in common is built once: `LAMPKEEPER_EXAMPLES_TARGET`, or
//! `examples` in the workspace's. Of the templates two are built, or those that `LAMPKEEPER_TEMPLATES` lists, with commas. Of
//! our own plugins those are tried as libraries that a devnet loads here anyhow; with `LAMPKEEPER_OWN_PLUGINS=all` every one, each
//! of which builds its dependencies with features of its own.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::disallowed_methods, reason = "a test builds crates and lays out files")]

mod conformable;

use conformable::{ALONE, Chain, conform};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Whether the libraries have to be release builds, as this program is.
const RELEASE: bool = cfg!(not(debug_assertions));

fn target_dir() -> PathBuf {
    let named = std::env::var_os("LAMPKEEPER_EXAMPLES_TARGET").map(PathBuf::from);
    // target/PROFILE/deps/this-test
    named.unwrap_or_else(|| std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("examples"))
}

/// Runs a cargo command in the workspace of a folder.
fn cargo(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).arg("--quiet").arg("--manifest-path").arg(folder.join("Cargo.toml"));
    command.arg("--target-dir").arg(target_dir()).args(RELEASE.then_some("--release"));
    assert!(command.status().unwrap().success(), "{}: cargo {arguments:?} failed", folder.display());
}

fn library(crate_name: &str) -> PathBuf {
    let file = format!("lib{}.so", crate_name.replace('-', "_"));
    target_dir().join(if RELEASE { "release" } else { "debug" }).join(file)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// An example's library, tested and built.
fn built(example: &str) -> PathBuf {
    let folder = repository().join("examples").join(example);
    cargo(&folder, &["test", "--locked"]);
    // All targets: what the tests made is used as it is, where the library alone would be built with other features.
    cargo(&folder, &["build", "--all-targets", "--locked"]);
    library(&format!("example-{example}"))
}

fn lampkeeper(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn answer(output: &Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Inspects a library that has to be compatible; its table for a manifest in its folder.
fn table_of(library: &Path) -> String {
    let folder = library.parent().unwrap();
    let told = answer(&lampkeeper(folder, &["plugins", "inspect", "--json", library.to_str().unwrap()]));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["plugins"][0]["compatible"], true, "{told}");
    told["plugins"][0]["table"].as_str().unwrap().to_owned()
}

#[test]
#[ignore = "builds two workspaces"]
fn a_devnet_heals_with_a_strategy_and_a_transport_from_outside() {
    let libraries = ["heal-strategy", "transport-decorator"].map(built);
    let folder = tempfile::tempdir().unwrap();
    let mut file = vec![0; 400_000];
    blake3::Hasher::new().update(b"a file of the examples").finalize_xof().fill(&mut file);
    std::fs::write(folder.path().join("file.bin"), file).unwrap();
    let mut arguments =
        vec!["devnet", "--json", "--nodes", "5", "--epoch-seconds", "3", "--file", "file.bin"];
    for library in &libraries {
        table_of(library);
        arguments.extend(["--plugin", library.to_str().unwrap()]);
    }
    let story = answer(&lampkeeper(folder.path(), &arguments));
    let healed: Vec<&str> = story.lines().filter(|line| line.contains("\"heal.reconstructed\"")).collect();
    assert!(!healed.is_empty(), "{story}");
    assert!(healed.iter().all(|line| line.contains("\"heal-rare-first\"")), "{healed:?}");
    let manifest = std::fs::read_to_string(folder.path().join("devnet/n1/node.toml")).unwrap();
    for words in [
        "tier = \"native\"",
        "\"transport\" = \"transport-limit\"",
        "\"heal-strategy\" = \"heal-rare-first\"",
    ] {
        assert!(manifest.contains(words), "{words}: {manifest}");
    }
}

/// A plugin of this repository as a library.
fn own_library(plugin: &str) -> PathBuf {
    let package = format!("lampkeeper-{plugin}");
    cargo(&repository(), &["rustc", "--locked", "-p", &package, "--lib", "--crate-type", "cdylib"]);
    library(&package)
}

#[test]
#[ignore = "builds all of our own plugins once more"]
fn our_plugins_conform_when_they_are_loaded_too() {
    let folder = tempfile::tempdir().unwrap();
    let conform = |library: &Path, config: &str| conform(folder.path(), &[library.to_str().unwrap()], config);
    let are_all_wanted = std::env::var_os("LAMPKEEPER_OWN_PLUGINS").is_some_and(|wanted| wanted == "all");
    for plugin in ALONE.iter().filter(|plugin| are_all_wanted || OWN_PLUGINS.contains(&plugin.id)) {
        conform(&own_library(plugin.id), plugin.config).assert_passed(plugin.id, plugin.suites);
    }
    if !are_all_wanted {
        return;
    }
    let library = own_library("chain-lumera");
    // Not earlier: a chain that goes on without reports postpones its supernodes.
    let chain = Chain::start(folder.path());
    conform(&library, &chain.config()).assert_passed("chain-lumera", &["chain"]);
    match Postgres::start() {
        Some(server) => {
            let library = own_library("journal-postgres");
            let config = format!("url = '{}'\nschema = 'conform_{{instance}}'\n", server.url());
            conform(&library, &config).assert_passed("journal-postgres", &["journal"]);
        }
        None => {
            let text = "SKIPPED: no PostgreSQL server (Debian's package `postgresql`); journal-postgres was NOT tried\n";
            assert!(std::env::var_os("LAMPKEEPER_REQUIRE_POSTGRES").is_none(), "{text}");
            // Past the test harness, which keeps what passing tests print to itself.
            std::io::stderr().write_all(text.as_bytes()).unwrap();
        }
    }
}

/// A private PostgreSQL server on a unix socket; dropping it stops it.
struct Postgres {
    programs: PathBuf,
    folder: tempfile::TempDir,
}

impl Postgres {
    /// `None` if none is installed.
    fn start() -> Option<Self> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
        let mut programs = versions.map(|version| version.path().join("bin"));
        let programs = programs.find(|programs| programs.join("initdb").is_file())?;
        // Short, because the path of a socket has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("lk-pg").tempdir_in("/tmp").unwrap();
        let server = Self { programs, folder };
        if Self::runs_as_root() {
            let owner = Command::new("chown").arg("nobody").arg(server.folder.path()).status().unwrap();
            assert!(owner.success());
        }
        let socket = format!("-k {} -c listen_addresses=''", server.folder.path().display());
        server.run("initdb", &["-U", "lampkeeper", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
        server.run("pg_ctl", &["-l", "/dev/null", "-o", &socket, "-w", "-t", "60", "start"]);
        Some(server)
    }

    fn url(&self) -> String {
        format!("postgresql://lampkeeper@/postgres?host={}", self.folder.path().display())
    }

    fn runs_as_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    /// Runs one of the server's programs; it refuses to run as root.
    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.programs.join(program);
        let mut command = match Self::runs_as_root() {
            true => Command::new("runuser"),
            false => Command::new(&program),
        };
        if Self::runs_as_root() {
            command.args(["-u", "nobody", "--"]).arg(&program);
        }
        command.current_dir(self.folder.path()).arg("-D").arg(self.folder.path().join("data"));
        // To nowhere: a server that goes on would keep a pipe open.
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().unwrap().success(), "{} {arguments:?}", program.display());
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-m", "immediate", "-w", "stop"]);
    }
}

/// The plugins of this repository that do a node's work, and the scheduler that it runs on.
const OWN_PLUGINS: [&str; 7] = [
    "epoch-reporter",
    "heal-minimal",
    "network-replicas",
    "recheck",
    "scheduler-tokio",
    "self-healing",
    "storage-challenge",
];

#[test]
#[ignore = "builds our own plugins once more"]
fn a_devnet_whose_own_plugins_are_all_loaded_heals_as_the_linked_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = vec![0; 400_000];
    blake3::Hasher::new().update(b"a file for loaded plugins").finalize_xof().fill(&mut file);
    std::fs::write(folder.path().join("file.bin"), file).unwrap();
    let devnet = ["devnet", "--json", "--nodes", "5", "--epoch-seconds", "3", "--file", "file.bin"];
    let linked = answer(&lampkeeper(folder.path(), &devnet));
    let libraries = OWN_PLUGINS.map(own_library);
    let mut arguments = devnet.to_vec();
    for library in &libraries {
        arguments.extend(["--plugin", library.to_str().unwrap()]);
    }
    let loaded = answer(&lampkeeper(folder.path(), &arguments));
    // What was damaged was healed, by the same steps; who does them when is the epoch's draw.
    for step in ["heal.reconstructed", "heal.claimed", "heal.voted", "heal.published", "report.submitted"] {
        let told = |story: &str| story.lines().any(|line| line.contains(&format!("\"{step}\"")));
        assert!(told(&linked) && told(&loaded), "{step}: {loaded}");
    }
    let listed =
        answer(&lampkeeper(folder.path(), &["plugins", "list", "--manifest", "devnet/n1/node.toml"]));
    for plugin in OWN_PLUGINS {
        let file = format!("/liblampkeeper_{}.so)", plugin.replace('-', "_"));
        let is_it = |line: &str| line.contains("(native: ") && line.ends_with(&file);
        assert!(listed.lines().any(is_it), "{plugin}: {listed}");
    }
}

#[test]
#[ignore = "builds two workspaces"]
fn a_node_reports_to_a_chain_from_outside_and_keeps_artifacts_in_a_store_from_outside() {
    let libraries = ["mock-chain", "storage-object-store"].map(built);
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| answer(&lampkeeper(folder.path(), arguments));
    run(&["keys", "create", "key.json", "--keyring", "test"]);
    let account = run(&["keys", "show", "key.json"]);
    let account = account.split_whitespace().find(|word| word.starts_with("lumera1")).unwrap().to_owned();
    std::fs::create_dir(folder.path().join("artifacts")).unwrap();
    let mut tables = String::new();
    for library in &libraries {
        tables += &table_of(library);
        // The manifest names its libraries as those beside it.
        std::fs::copy(library, folder.path().join(library.file_name().unwrap())).unwrap();
    }
    let manifest = format!(
        "[node]\nname = 'n1'\nnetwork = 'mock-1'\ndata_dir = 'data'\n\
         [plugins.scheduler-tokio]\n[plugins.journal-sqlite]\n\
         [plugins.transport-grpc.config]\nlisten = '127.0.0.1:0'\n\
         [plugins.epoch-reporter.config]\npoll_interval_ms = 50\n\
         {tables}\n\
         [plugins.mock-chain.config]\nblock_ms = 50\nepoch_blocks = 20\n\
         supernodes = [{{ account = '{account}', address = '127.0.0.1:4444' }}]\n\
         [plugins.storage-object-store.config]\nurl = 'file://{}/artifacts'\n",
        folder.path().display()
    );
    std::fs::write(folder.path().join("node.toml"), manifest).unwrap();
    run(&["check"]);
    let why = run(&["plugins", "why", "mock-chain"]);
    assert!(why.contains("epoch-reporter (chain:submit)"), "{why}");
    let listed = run(&["plugins", "list", "--manifest", "node.toml"]);
    assert!(listed.contains("(native: libexample_storage_object_store.so)"), "{listed}");
    let submitted = first_event(folder.path(), "mock_chain.submitted");
    assert!(submitted.contains("epoch_report"), "{submitted}");
}

/// Runs the node until it tells an event of this name, then lets it end.
fn first_event(folder: &Path, name: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
    command.current_dir(folder).args(["run", "--events", "--until-stdin-ends"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found = lines.map(Result::unwrap).find(|line| line.contains(name));
    drop(child.stdin.take());
    let status = child.wait().unwrap();
    assert!(status.success(), "the node ended with {status}");
    found.unwrap_or_else(|| panic!("the node ended before it told {name}"))
}

#[test]
#[ignore = "builds a workspace for each template"]
fn what_plugins_new_writes_passes_its_tests_and_runs_in_a_devnet() {
    let templates = std::env::var("LAMPKEEPER_TEMPLATES").unwrap_or_else(|_| "service,store".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let sdk = repository().join("plugin-sdk");
    std::fs::write(folder.path().join("file.bin"), vec![7; 200_000]).unwrap();
    let devnet = [
        "devnet",
        "--json",
        "--nodes",
        "4",
        "--epoch-seconds",
        "3",
        "--damage",
        "none",
        "--file",
        "file.bin",
    ];
    let mut devnet: Vec<String> = devnet.map(str::to_owned).into();
    for template in templates.split(',') {
        let name = format!("my-{template}");
        let new = ["plugins", "new", template, &name, "--sdk", sdk.to_str().unwrap()];
        answer(&lampkeeper(folder.path(), &new));
        let again = lampkeeper(folder.path(), &new);
        assert_eq!(again.status.code(), Some(1), "nothing is overwritten");
        let folder = folder.path().join(&name);
        // The versions that are built already.
        std::fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        cargo(&folder, &["test"]);
        cargo(&folder, &["build", "--all-targets"]);
        table_of(&library(&name));
        devnet.extend(["--plugin".to_owned(), library(&name).to_str().unwrap().to_owned()]);
    }
    let devnet: Vec<&str> = devnet.iter().map(String::as_str).collect();
    answer(&lampkeeper(folder.path(), &devnet));
}

#[test]
fn plugins_new_refuses_names_that_are_none_and_folders_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let table: [(&[&str], i32, &str); 5] = [
        (&["store", "My_Store"], 3, "use at most 64 lower-case letters"),
        (&["store", "host"], 3, "and not `host`"),
        (&["store", "loop"], 3, "no crate can be called `loop`"),
        (&["store", "my-store", "--sdk", "."], 3, "is not the folder of `lampkeeper-plugin-sdk`"),
        (&["store", "my-store", "--dir", "."], 1, "nothing is overwritten"),
    ];
    for (arguments, code, words) in table {
        let told = lampkeeper(folder.path(), &[&["plugins", "new"], arguments].concat());
        let complaint = String::from_utf8_lossy(&told.stderr);
        assert_eq!(told.status.code(), Some(code), "{arguments:?}: {complaint}");
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?}");
    }
}
