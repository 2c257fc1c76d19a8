//! `plugins inspect`, `why` and `list` from outside, with a real library and with damaged copies of it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::disallowed_methods, reason = "a test builds and damages a library")]

use lampkeeper_api::native::Header;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The library of core's test guest, built once for all tests of this process.
fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/guest/Cargo.toml");
        // target/PROFILE/deps/this-test
        let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
        let release = if cfg!(debug_assertions) { [].as_slice() } else { ["--release"].as_slice() };
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--manifest-path"]).arg(manifest);
        build.arg("--target-dir").arg(&target).args(release);
        assert!(build.status().unwrap().success(), "the guest does not build");
        let profile = if release.is_empty() { "debug" } else { "release" };
        target.join(profile).join("liblampkeeper_native_guest.so")
    })
}

/// A folder with a copy of the guest and a manifest.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::copy(guest(), bench.library()).unwrap();
        bench
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("guest.so")
    }

    /// Writes a value into a field of every header in the copy.
    fn damage(&self, field: &str, value: &[u8]) {
        let mut bytes = std::fs::read(self.library()).unwrap();
        let magic = b"LAMPKEEPER-PLUG\x01";
        let range = Header::range_of(field).unwrap();
        let starts: Vec<usize> =
            (0..bytes.len() - magic.len()).filter(|at| &bytes[*at..at + magic.len()] == magic).collect();
        assert!(!starts.is_empty());
        for start in starts {
            if let Some(place) = bytes.get_mut(start + range.start..start + range.end) {
                place.fill(0);
                place[..value.len()].copy_from_slice(value);
            }
        }
        std::fs::write(self.library(), bytes).unwrap();
    }

    /// A manifest that turns the guest on, with this text in its table and that text around it.
    fn manifest(&self, table: &str, others: &str) {
        let node = "[node]\nname = 'n1'\nnetwork = 'devnet-1'\ndata_dir = 'data'\n";
        let guest = "[plugins.native-guest]\ntier = 'native'\npath = 'guest.so'\n";
        let text = format!("{node}{guest}{table}\n{others}\n");
        std::fs::write(self.folder.path().join("node.toml"), text).unwrap();
    }

    fn pin(&self) -> String {
        let blake3 = blake3::hash(&std::fs::read(self.library()).unwrap()).to_hex();
        format!("blake3 = '{blake3}'")
    }

    fn plugins(&self, arguments: &[&str]) -> Told {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
        let output = command.current_dir(self.folder.path()).arg("plugins").args(arguments).output().unwrap();
        Told::of(&output)
    }
}

/// What a command said.
struct Told {
    code: i32,
    answer: String,
    complaint: String,
}

impl Told {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (answer, complaint) = (text(&output.stdout), text(&output.stderr));
        Self { code: output.status.code().unwrap(), answer, complaint }
    }

    fn says(&self, code: i32, answer: &[&str], complaint: &[&str]) {
        let all = format!("{}\n---\n{}", self.answer, self.complaint);
        assert_eq!(self.code, code, "{all}");
        for (words, place) in [(answer, &self.answer), (complaint, &self.complaint)] {
            for words in words {
                assert!(place.contains(words), "lacks `{words}`:\n{all}");
            }
        }
        if complaint.is_empty() {
            assert_eq!(self.complaint, "", "{all}");
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.answer).unwrap()
    }
}

#[test]
fn a_good_library_is_described_with_the_table_to_paste() {
    let bench = Bench::new();
    let pin = bench.pin().replace('\'', "\"");
    bench.plugins(&["inspect", "guest.so"]).says(
        0,
        &[
            "native-guest 0.3.1",
            "provides  heal-strategy, service",
            "needs     scheduler, store (optional)",
            "verdict   compatible",
            "[plugins.native-guest]\n    tier = \"native\"\n    path = \"guest.so\"\n",
            &pin,
            "grants = [\"scheduler\", \"store\"]",
        ],
        &[],
    );
    let json = bench.plugins(&["inspect", "guest.so", "--json"]).json();
    assert_eq!(json["plugins"][0]["compatible"], true);
    assert_eq!(json["plugins"][0]["needs"], serde_json::json!(["scheduler"]));
    // The table is one that a node takes.
    let table = format!("{pin}\ngrants = ['scheduler', 'store']");
    bench.manifest(&table, "[plugins.scheduler-tokio]");
    bench.plugins(&["why", "native-guest"]).says(0, &["from scheduler-tokio"], &[]);
    bench.plugins(&["list", "-m", "node.toml"]).says(0, &["(native: guest.so)"], &[]);
}

#[test]
fn a_library_of_another_build_is_told_field_by_field() {
    for (field, value) in
        [("rustc commit", &b"0123456789"[..]), ("layout digest", b"77"), ("panic strategy", b"abort")]
    {
        let bench = Bench::new();
        bench.damage(field, value);
        let value = std::str::from_utf8(value).unwrap();
        let told = bench.plugins(&["inspect", "guest.so"]);
        let (plugin, rebuild) = (format!("{field}\n      plugin  {value}\n      here    "), "rebuild   ");
        told.says(1, &["not compatible", &plugin, rebuild, "cargo +1."], &["can't load native-guest"]);
        let json = bench.plugins(&["inspect", "guest.so", "--json"]).json();
        let plugin = &json["plugins"][0];
        assert_eq!(
            (&plugin["compatible"], &plugin["mismatches"][0]["plugin"]),
            (&false.into(), &value.into())
        );

        bench.manifest(&format!("{}\ngrants = ['scheduler']", bench.pin()), "[plugins.scheduler-tokio]");
        let reason = format!("{field} is `{value}`, here `");
        bench.plugins(&["why", "native-guest"]).says(
            1,
            &["provides   heal-strategy, service", "waits for  scheduler: from scheduler-tokio", &reason],
            &[&reason],
        );
        let reasons = ["native-guest       refused: ", reason.as_str()];
        bench.plugins(&["list", "--manifest", "node.toml"]).says(0, &reasons, &[]);
    }
}

#[test]
fn files_that_are_no_plugin_are_refused_in_words() {
    let bench = Bench::new();
    std::fs::write(bench.library(), b"#!/bin/sh\n").unwrap();
    bench.plugins(&["inspect", "guest.so"]).says(1, &[], &["is not a shared library"]);
    let json = bench.plugins(&["inspect", "guest.so", "--json"]).json();
    assert!(json["refused"].as_str().unwrap().contains("is not a shared library"), "{json}");
    bench.plugins(&["inspect", "absent.so"]).says(1, &[], &["absent.so can't be read"]);
    bench.manifest("", "");
    bench.plugins(&["why", "native-guest"]).says(1, &["provides   nothing"], &["is not pinned"]);
    // What a file says is not believed, nor printed raw.
    let bench = Bench::new();
    bench.damage("plugin id", b"\x1b[2Jx");
    let told = bench.plugins(&["inspect", "guest.so"]);
    assert!(told.answer.contains("\\u{1b}[2Jx 0.3.1") && !told.answer.contains('\x1b'), "{}", told.answer);
    assert!(!told.answer.contains("[plugins."), "no manifest takes the id: {}", told.answer);
}

#[test]
fn why_tells_what_keeps_a_plugin_from_running() {
    /// The guest's table, the rest of the manifest, whom to explain, what is answered and what is complained about.
    type Case<'a> = (&'a str, &'a str, &'a str, &'a [&'a str], &'a [&'a str]);
    let bench = Bench::new();
    let pin = bench.pin();
    let granted = format!("{pin}\ngrants = ['scheduler', 'journal']");
    let table: &[Case<'_>] = &[
        (
            &granted,
            "",
            "native-guest",
            &["nobody provides it; enable scheduler-tokio"],
            &["waits for `scheduler`"],
        ),
        (
            &granted,
            "",
            "native-guest",
            &["journal; refused: store; unused: journal"],
            &["waits for `scheduler`"],
        ),
        (
            &pin,
            "[plugins.scheduler-tokio]",
            "native-guest",
            &[],
            &["write `grants = [\"scheduler\", \"store\"]`"],
        ),
        (
            "grants = ['scheduler']",
            "[plugins.scheduler-tokio]",
            "native-guest",
            &["pinned     not yet: `blake3 = \""],
            &["is not pinned"],
        ),
        (
            "blake3 = 'ab'",
            "",
            "native-guest",
            &["pinned     the manifest pins ab, the file has"],
            &["pins ab"],
        ),
        ("enabled = false", "", "native-guest", &["turns it off in line 5"], &["line 5 turns it off"]),
        // A service that needs what the guest provides, in a manifest with problems.
        (
            &granted,
            "[plugins.scheduler-tokio]\n[plugins.self-healing]\n[nod]",
            "native-guest",
            &["needed by  self-healing (heal-strategy)"],
            &["problems elsewhere"],
        ),
        (
            &granted,
            "[plugins.self-healing]\n[plugins.heal-full]\n[provide]\nheal-strategy = 'heal-full'",
            "native-guest",
            &["which [provide] gives from heal-full"],
            &["waits for `scheduler`"],
        ),
        (
            "",
            "[plugins.heal-full]",
            "heal-full",
            &["linked into this program", "scheduler: nobody"],
            &["does not run"],
        ),
        (
            "",
            "[plugins.scheduler-tokio]\n[plugins.scheduler-tokio.config]\nthread = 1",
            "scheduler-tokio",
            &["problem    node.toml:11:"],
            &["unknown key"],
        ),
        ("", "", "heal-full", &["has no table for it"], &["no table [plugins.heal-full]"]),
        (
            "",
            "",
            "heel-full",
            &["no plugin of this build has the id"],
            &["neither this build nor the manifest"],
        ),
        ("", "[broken", "native-guest", &["problem    node.toml:9:"], &["not TOML"]),
    ];
    for (own, others, id, answer, complaint) in table {
        bench.manifest(own, others);
        bench.plugins(&["why", id]).says(1, answer, complaint);
        let json = bench.plugins(&["why", id, "--json"]).json();
        assert!(!json["obstacles"].as_array().unwrap().is_empty(), "{json}");
    }
}

#[cfg(not(feature = "journal-postgres"))]
#[test]
fn a_plugin_that_is_left_out_of_the_build_is_told_with_its_feature() {
    let bench = Bench::new();
    bench.manifest("", "[plugins.journal-postgres]");
    let told = bench.plugins(&["why", "journal-postgres"]);
    told.says(
        1,
        &["left out of this build; its feature is `journal-postgres`"],
        &["--features journal-postgres"],
    );
}
