//! Manifests with problems, each beside the words that an operator reads.

use super::*;
use crate::registry::{Origin, PluginRule};
use crate::testing::{OPTIONAL, REQUIRED, configured_by, plugin, registry};
use lampkeeper_api::plugin::Seam;
use lampkeeper_plugin_sdk::{schemars, serde};

/// A configuration with one key of each kind that plugins use.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
#[derive(Default)]
struct StoreConfig {
    /// Where artifacts are kept.
    artifacts_dir: Option<String>,
    /// How many writers.
    #[schemars(range(min = 1, max = 64))]
    writers: u32,
    retries: u8,
    /// The share of the disk to leave free.
    #[schemars(range(min = 0.0, max = 0.9))]
    reserve: f64,
    sync: bool,
    /// How writes are flushed.
    mode: Mode,
    tags: Vec<String>,
    cache: Cache,
    backend: Backend,
    limits: Option<Limits>,
}

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
enum Mode {
    /// At once.
    #[default]
    Direct,
    /// Later.
    Buffered,
}

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
enum Cache {
    #[default]
    None,
    Small,
    Large,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
#[expect(dead_code, reason = "only its schema is used")]
enum Backend {
    Disk { folder: String },
    Bucket { url: String, region: Option<String> },
}

impl Default for Backend {
    fn default() -> Self {
        Self::Disk { folder: String::new() }
    }
}

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
#[expect(dead_code, reason = "only its schema is used")]
struct Limits {
    /// The most files.
    files_max: u16,
}

fn plugins() -> Registry {
    let store = plugin("storage-fs", &[Seam::Store, Seam::Staging], &[(Seam::Scheduler, REQUIRED)]);
    let mut config = schemars::SchemaGenerator::default().into_root_schema_for::<StoreConfig>().to_value();
    // The defaults of the test's struct are empty values; a real plugin's are not.
    config["properties"]["writers"]["default"] = serde_json::json!(4);
    let strict = configured_by(
        r##"{"type": "object", "properties": {"url": {"type": "string", "description": "The chain."}},
            "required": ["url"], "additionalProperties": false}"##,
        plugin("chain", &[Seam::ChainSubmit], &[]),
    );
    registry([
        configured_by(&config.to_string(), store),
        strict,
        plugin("storage-s3", &[Seam::Store], &[]),
        plugin("heal-minimal", &[Seam::HealStrategy], &[(Seam::Store, REQUIRED)]),
        plugin("heal-full", &[Seam::HealStrategy], &[(Seam::Store, REQUIRED)]),
        plugin("healer", &[Seam::Service], &[(Seam::HealStrategy, REQUIRED), (Seam::Journal, OPTIONAL)]),
        plugin("challenge", &[Seam::Service], &[]),
        plugin("recheck", &[Seam::Service], &[]),
        plugin("network", &[Seam::Network], &[(Seam::Transport, REQUIRED)]),
        plugin("sockets", &[Seam::Transport], &[(Seam::Network, REQUIRED)]),
    ])
    .with_left_out([("journal-postgres", "postgres")])
    .with_rule(PluginRule {
        plugin_id: "recheck".to_owned(),
        requires_id: "challenge".to_owned(),
        reason: "it repeats what that plugin does".to_owned(),
    })
}

const NODE: &str = "[node]\nname = 'n1'\nnetwork = 'devnet-1'\ndata_dir = 'data'\n";

/// The problems of a manifest, one a line; empty if there are none.
fn problems(text: &str) -> String {
    match Manifest::parse(Path::new("node.toml"), text, &plugins()) {
        Ok(_) => String::new(),
        Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
    }
}

/// Compares the problems of a manifest, which follows a good `[node]` of four lines, with what is expected.
#[track_caller]
fn check_after_node(text: &str, expected: &[&str]) {
    let found = problems(&format!("{NODE}{text}"));
    assert_eq!(found.lines().collect::<Vec<_>>(), expected, "\n{text}\n{found}");
}

#[test]
fn a_whole_manifest_is_read() {
    let text = format!(
        "{NODE}[identity]\nkey_file = '/keys/n1.json'\n[log]\nfilter = 'debug'\nformat = 'json'\n\
         [metrics]\nlisten = '[::1]:9464'\n\
         [plugins.storage-fs]\n[plugins.storage-fs.config]\nwriters = 8\nmode = 'buffered'\n\
         [plugins.heal-full]\n[plugins.heal-minimal]\ntier = 'static'\n[plugins.challenge]\nenabled = false\n\
         [provide]\nheal-strategy = 'heal-minimal'\n[supervision]\ndrain_timeout_ms = 1\n"
    );
    let manifest = Manifest::parse(Path::new("etc/node.toml"), &text, &plugins()).unwrap();
    assert_eq!(manifest.node.data_dir, Path::new("etc/data"), "relative to the manifest");
    assert_eq!(manifest.in_data_dir("control"), Path::new("etc/data/control"));
    assert_eq!(manifest.identity.key_file, Path::new("/keys/n1.json"));
    assert_eq!(manifest.log, LogSection { filter: "debug".to_owned(), format: LogFormat::Json });
    assert_eq!(manifest.metrics.listen, Some("[::1]:9464".parse().unwrap()));
    assert_eq!(manifest.supervision.drain_timeout_ms, 1);
    assert_eq!(manifest.supervision.restart_backoff_min_ms, 500, "the rest has its defaults");
    let store = &manifest.plugins["storage-fs"];
    assert_eq!(store.config, serde_json::json!({ "writers": 8, "mode": "buffered" }));
    assert_eq!((store.line, store.enabled, store.tier), (12, true, Tier::Static));
    assert!(!manifest.is_enabled("challenge") && !manifest.is_enabled("recheck"));
    let order: Vec<&str> = manifest.plan.steps.iter().map(|step| step.plugin_id.as_str()).collect();
    assert_eq!(order, ["storage-fs", "heal-full", "heal-minimal"]);
}

#[test]
fn the_documented_manifest_is_accepted() {
    let page = include_str!("../../../../docs/manifest.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let descriptors = [
        plugin("scheduler-tokio", &[Seam::Scheduler], &[]),
        plugin("storage-fs", &[Seam::Store, Seam::Staging], &[(Seam::Scheduler, REQUIRED)]),
        plugin("heal-minimal", &[Seam::HealStrategy], &[(Seam::Store, REQUIRED)]),
        plugin("heal-full", &[Seam::HealStrategy], &[(Seam::Store, REQUIRED)]),
        plugin("self-healing", &[Seam::Service], &[(Seam::HealStrategy, REQUIRED)]),
    ];
    let mut registry = Registry::new();
    descriptors.into_iter().for_each(|descriptor| registry.add(descriptor).unwrap());
    let manifest = Manifest::parse(Path::new("node.toml"), example, &registry).unwrap();
    // The page shows each default, except for those that can't have one.
    assert_eq!(manifest.supervision, SupervisionSection::default());
    assert_eq!(manifest.log, LogSection::default());
    assert_eq!(manifest.identity, IdentitySection::default());
    let keys = serde_json::to_value(schemars::schema_for!(SupervisionSection)).unwrap();
    for key in keys["properties"].as_object().unwrap().keys() {
        assert!(example.contains(&format!("\n{key} = ")), "{key} is not documented");
    }
}

#[test]
fn the_least_manifest_is_enough() {
    assert_eq!(problems(NODE), "");
}

#[test]
fn a_text_that_is_not_toml_says_where() {
    let table = [
        ("[node\n", "node.toml:1:6: not TOML: "),
        ("a = 1\na = 2\n", "node.toml:2:1: not TOML: duplicate key"),
        ("[node]\nname = \n", "node.toml:2:"),
    ];
    for (text, expected) in table {
        let found = problems(text);
        assert!(found.starts_with(expected) && found.lines().count() == 1, "{found}");
    }
    let long = "#".repeat(MANIFEST_LEN_BYTES_MAX + 1);
    assert_eq!(problems(&long), "node.toml:1:1: 262145 bytes are more than a manifest may have (262144)\n");
    assert!(
        problems(&format!("a = {}", "[".repeat(10_000))).starts_with("node.toml:1:"),
        "no stack overflow"
    );
}

#[test]
fn everything_is_reported_in_one_go_and_in_order() {
    let text =
        "[nod]\nx = 1\n[node]\nname = 7\ndata-dir = 'x'\n[plugins.storage-sf]\n[log]\nformat = 'xml'\n";
    assert_eq!(
        problems(text).lines().collect::<Vec<_>>(),
        [
            "node.toml:1:2: nod: unknown key; did you mean `node`?",
            "node.toml:3:2: node.data_dir: missing; write `data_dir = \"./data\"` (text that is not empty)",
            "node.toml:3:2: node.network: missing; write `network = \"devnet-1\"` (text of 1 to 64 characters)",
            "node.toml:4:8: node.name: expected text of 1 to 64 characters, found a whole number; \
             write `name = \"n1\"` (text of 1 to 64 characters)",
            "node.toml:5:1: node.data-dir: unknown key; did you mean `data_dir`?",
            "node.toml:6:10: plugins.storage-sf: unknown plugin; did you mean `storage-fs`?",
            "node.toml:8:10: log.format: \"xml\" is not a value of this key; write `\"text\"` or `\"json\"`",
        ]
    );
}

#[test]
fn tables_of_core_are_checked() {
    check_after_node("[node2]\n", &["node.toml:5:2: node2: unknown key; did you mean `node`?"]);
    check_after_node(
        "log = 'debug'\n",
        &["node.toml:5:1: node.log: unknown key; known here: `data_dir`, `name`, `network`"],
    );
    check_after_node(
        "[log]\nfilter = 'a=b=c'\n",
        &["node.toml:6:10: log.filter: not a log filter; \
         write a level, such as \"info\", or \"info,lampkeeper_core=debug\""],
    );
    check_after_node(
        "[metrics]\nlisten = 'localhost'\n",
        &["node.toml:6:10: metrics.listen: not an address and a port; \
         write them as numbers, such as \"127.0.0.1:9464\""],
    );
    check_after_node(
        "[supervision]\nrestart_backoff_max_ms = 400\nquarantine_after_failures = 0\n",
        &[
            "node.toml:5:2: supervision.restart_backoff_min_ms: the shortest pause (500 ms) is longer than the longest \
         (400 ms); lower it, or raise `restart_backoff_max_ms`",
            "node.toml:7:29: supervision.quarantine_after_failures: 0 is out of range; \
         write a whole number from 1 to 1000000",
        ],
    );
    check_after_node(
        "[plugins]\nchallenge = true\n",
        &["node.toml:6:13: plugins.challenge: expected a table, found true or false; \
         write it as a table, `[challenge]`"],
    );
    assert_eq!(
        problems("plugins = 3\n").lines().next().unwrap(),
        "node.toml:1:1: node: missing; write it as a table, `[node]`"
    );
    let empty_name = NODE.replace("n1", "");
    assert_eq!(problems(&empty_name), "node.toml:2:8: node.name: empty; write text of 1 to 64 characters\n");
}

#[test]
fn tables_of_plugins_are_checked() {
    check_after_node(
        "[plugins.challenge]\nenabld = false\ntier = 'remote'\n",
        &[
            "node.toml:6:1: plugins.challenge.enabld: unknown key; did you mean `enabled`?",
            "node.toml:7:8: plugins.challenge.tier: \"remote\" is not a value of this key; \
         write one of `\"static\"`, `\"native\"`, `\"process\"`",
        ],
    );
    check_after_node(
        "[plugins.challenge]\ntier = 'process'\n",
        &[
            "node.toml:6:8: plugins.challenge.tier: this version of the node can't run plugins in the process tier; \
         write `tier = \"static\"`, or leave the key out",
        ],
    );
    check_after_node(
        "[plugins.challenge]\ntier = 'native'\n",
        &["node.toml:5:10: plugins.challenge: a native plugin needs the file of its library: write \
         `path = \"libchallenge.so\"`"],
    );
    check_after_node(
        "[plugins.challenge]\npath = 'libchallenge.so'\n",
        &[
            "node.toml:6:8: plugins.challenge.path: only a native plugin has this key; add `tier = \"native\"`, or \
         remove the key",
        ],
    );
    check_after_node(
        "[plugins.journal-postgres]\n",
        &["node.toml:5:10: plugins.journal-postgres: this build of the node was made without the plugin; \
         build it with `--features postgres`, or remove the table"],
    );
    check_after_node("[plugins.journal-postgres]\nenabled = false\n", &[]);
    check_after_node(
        "[plugins.chain]\n",
        &["node.toml:5:10: plugins.chain.config.url: missing; write `url = \"...\"` (text)"],
    );
    check_after_node(
        "[plugins.chain]\nenabled = false\nconfig.url = 7\n",
        &["node.toml:7:14: plugins.chain.config.url: expected text, found a whole number; \
         write `url = \"...\"` (text)"],
    );
    let found = problems(&format!("{NODE}[plugins.xyz]\n"));
    assert!(
        found.starts_with("node.toml:5:10: plugins.xyz: unknown plugin; known plugins: chain, "),
        "{found}"
    );
}

#[test]
fn a_plugins_own_configuration_is_checked() {
    // (a line of the table, the problem after its place and its table; empty for none)
    let table = [
        ("artifacts_dir = './a'", ""),
        ("artifact_dir = './a'", "6:1: artifact_dir: unknown key; did you mean `artifacts_dir`?"),
        (
            "artifacts_dir = 1",
            "6:17: artifacts_dir: expected text, found a whole number; write `artifacts_dir = \"...\"` (text)",
        ),
        ("writers = 64", ""),
        ("writers = 65", "6:11: writers: 65 is out of range; write a whole number from 1 to 64"),
        (
            "writers = 'many'",
            "6:11: writers: expected a whole number from 1 to 64, found text; write `writers = 4` (a whole number from 1 to 64)",
        ),
        (
            "writers = 1.0",
            "6:11: writers: expected a whole number from 1 to 64, found a number with a fraction; write `writers = 4` (a whole number from 1 to 64)",
        ),
        ("retries = 255", ""),
        ("retries = 256", "6:11: retries: 256 is out of range; write a whole number from 0 to 255"),
        ("retries = -1", "6:11: retries: -1 is out of range; write a whole number from 0 to 255"),
        ("reserve = 0", ""),
        ("reserve = 0.25", ""),
        ("reserve = 1.5", "6:11: reserve: 1.5 is out of range; write a number from 0 to 0.9"),
        ("reserve = nan", "6:11: reserve: NaN is out of range; write a number from 0 to 0.9"),
        (
            "sync = 'yes'",
            "6:8: sync: expected true or false, found text; write `sync = false` (true or false)",
        ),
        ("mode = 'buffered'", ""),
        ("mode = 'bufferd'", "6:8: mode: \"bufferd\" is not a value of this key; did you mean `buffered`?"),
        (
            "cache = 'huge'",
            "6:9: cache: \"huge\" is not a value of this key; write one of `\"none\"`, `\"small\"`, `\"large\"`",
        ),
        ("tags = ['a', 'b']", ""),
        (
            "tags = ['a', 7]",
            "6:14: tags[1]: expected text, found a whole number; write `tags[1] = \"...\"` (text)",
        ),
        (
            "tags = 'a'",
            "6:8: tags: expected a list, each text, found text; write `tags = []` (a list, each text)",
        ),
        ("backend = { kind = 'disk', folder = '/x' }", ""),
        ("backend = { kind = 'bucket', url = 'x', region = 'y' }", ""),
        ("backend = { kind = 'bucket' }", "6:11: backend.url: missing; write `url = \"...\"` (text)"),
        (
            "backend = { kind = 'bucket', url = 'x', regoin = 'y' }",
            "6:41: backend.regoin: unknown key; did you mean `region`?",
        ),
        ("limits.files_max = 3", ""),
        (
            "limits = {}",
            "6:10: limits.files_max: missing; write `files_max = 0` (a whole number from 0 to 65535)",
        ),
        ("artifacts_dir = 2020-01-01", ""),
    ];
    for (line, expected) in table {
        let found = problems(&format!("{NODE}[plugins.storage-fs.config]\n{line}\n"));
        let found = found.trim_end().replace("node.toml:", "").replace("plugins.storage-fs.config.", "");
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn unknown_words_of_a_schema_raise_no_alarm() {
    let schema = r##"{"type": "object", "not": {"required": ["x"]}, "if": {}, "patternProperties": {"^x": {}},
        "additionalProperties": false, "properties": {"a": {"type": ["string", "null"], "pattern": "^z",
        "format": "uri"}, "b": {"$ref": "#/$defs/Gone"}, "c": {"$ref": "#/$defs/Loop"}, "d": true},
        "$defs": {"Loop": {"$ref": "#/$defs/Loop"}}}"##;
    let registry = registry([configured_by(schema, plugin("odd", &[], &[]))]);
    let text = format!("{NODE}[plugins.odd.config]\na = 'y'\nb = 1\nc = 2\nd = 3\nxyz = 4\n");
    assert!(Manifest::parse(Path::new("node.toml"), &text, &registry).is_ok());
}

#[test]
fn conflicts_between_plugins_name_the_line_to_change() {
    check_after_node(
        "[plugins.storage-fs]\n[plugins.heal-full]\n[plugins.heal-minimal]\n[plugins.healer]\n",
        &["node.toml:7:10: plugins.heal-minimal: the seam `heal-strategy` has several providers: \
         heal-full, heal-minimal; write `heal-strategy = \"heal-minimal\"` (or another of them) under [provide]"],
    );
    check_after_node(
        "[plugins.healer]\n",
        &[
            "node.toml:5:10: plugins.healer: needs the seam `heal-strategy`, and no enabled plugin provides it; \
         enable a plugin that does: [plugins.heal-full] or [plugins.heal-minimal]",
        ],
    );
    check_after_node(
        "[plugins.recheck]\n[plugins.challenge]\nenabled = false\n",
        &["node.toml:5:10: plugins.recheck: requires `challenge`: it repeats what that plugin does; \
         enable [plugins.challenge], or turn this one off"],
    );
    check_after_node(
        "[plugins.sockets]\n[plugins.network]\n",
        &["node.toml:6:10: plugins.network: these plugins need each other, so that none can start first: \
         network -> sockets -> network; turn one of them off, or choose another provider under [provide]"],
    );
}

#[test]
fn choices_that_can_not_be_followed_are_refused() {
    let store = "[plugins.storage-fs]\n[provide]\n";
    let table = [
        ("store = 'storage-fs'", ""),
        ("stor = 'storage-fs'", "7:1: provide.stor: no such seam; did you mean `store`?"),
        (
            "service = 'storage-fs'",
            "7:1: provide.service: no such seam; seams: chain:read, chain:submit, store, staging, \
          journal, transport, network, scheduler, signer, heal-strategy, heal-shadow, challenger",
        ),
        (
            "chain-read = 'storage-fs'",
            "7:1: provide.chain-read: no such seam; did you mean `\"chain:read\"`?",
        ),
        ("store = 3", "7:9: provide.store: expected the id of a plugin as text"),
        (
            "store = 'storage-s3'",
            "7:9: provide.store: `storage-s3` is not an enabled plugin that provides `store`; \
          enable [plugins.storage-s3]",
        ),
        (
            "store = 'healer'",
            "7:9: provide.store: `healer` is not an enabled plugin that provides `store`; \
          enabled providers: storage-fs",
        ),
        (
            "journal = 'healer'",
            "7:11: provide.journal: `healer` is not an enabled plugin that provides `journal`; \
          remove the line",
        ),
    ];
    for (line, expected) in table {
        let found = problems(&format!("{NODE}{store}{line}\n")).trim_end().replace("node.toml:", "");
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn grants_that_can_not_be_followed_are_refused() {
    let store = "[plugins.storage-fs]\n[plugins.heal-full]\n[plugins.healer]\n";
    // (a line of the last table, the problem after its place)
    let table = [
        ("grants = ['heal-strategy', 'journal']", ""),
        ("grants = ['heal-strategy']", ""),
        ("grants = ['heal-strategy', 'store']", ""),
        (
            "grants = []",
            "8:10: grants: the plugin can't work without `heal-strategy`; write `grants = [\"heal-strategy\"]`",
        ),
        (
            "grants = ['journal', 'chain:read']",
            "8:10: grants: the plugin can't work without `heal-strategy`; \
             write `grants = [\"chain:read\", \"journal\", \"heal-strategy\"]`",
        ),
        (
            "grants = ['heal-strategi']",
            "8:11: grants[0]: \"heal-strategi\" is not a value of this key; did you mean `heal-strategy`?",
        ),
        (
            "grants = ['xyz']",
            "8:11: grants[0]: \"xyz\" is not a value of this key; write one of `\"chain:read\"`, \
             `\"chain:submit\"`, `\"store\"`, `\"staging\"`, `\"journal\"`, `\"transport\"`, `\"network\"`, \
             `\"scheduler\"`, `\"signer\"`, `\"heal-strategy\"`, `\"heal-shadow\"`, `\"challenger\"`",
        ),
    ];
    for (line, expected) in table {
        let found = problems(&format!("{NODE}{store}{line}\n"));
        let found = found.trim_end().replace("node.toml:", "").replace("plugins.healer.", "");
        assert_eq!(found, expected, "{line}");
    }
    let found = problems(&format!("{NODE}{store}grants = 'store'\n"));
    assert!(
        found.starts_with("node.toml:8:10: plugins.healer.grants: expected a list, each one of"),
        "{found}"
    );
    assert_eq!(found.lines().count(), 1, "{found}");
}

#[test]
fn a_native_plugin_needs_grants_unless_it_needs_nothing() {
    let mut with_native = plugins();
    let origin = Origin::Native { path: "loaded.so".into(), blake3: String::new() };
    for id in ["healer", "challenge"] {
        let descriptor = with_native.find(id).unwrap().descriptor().clone();
        with_native.add_native(descriptor, origin.clone()).unwrap();
    }
    let advice = |id: &str| {
        let text = format!(
            "{NODE}[plugins.storage-fs]\n[plugins.heal-full]\n[plugins.{id}]\ntier = 'native'\npath = 'loaded.so'\n"
        );
        let parsed = Manifest::parse(Path::new("node.toml"), &text, &with_native);
        let problems = parsed.err().unwrap_or_default();
        problems.iter().map(ToString::to_string).filter(|line| line.contains("grants")).collect::<Vec<_>>()
    };
    assert_eq!(
        advice("healer"),
        [
            "node.toml:7:10: plugins.healer.grants: missing; a native plugin is given only what the manifest grants; \
          write `grants = [\"journal\", \"heal-strategy\"]`"
        ]
    );
    assert!(advice("challenge").is_empty(), "it needs nothing");
}

#[test]
fn one_mistake_is_reported_once() {
    // A misspelt store counts as the store that was meant; what a missing build would provide is not known.
    check_after_node(
        "[plugins.storage-f]\n[plugins.heal-full]\n",
        &["node.toml:5:10: plugins.storage-f: unknown plugin; did you mean `storage-fs`?"],
    );
    check_after_node(
        "[plugins.journal-postgres]\n[plugins.heal-full]\n",
        &["node.toml:5:10: plugins.journal-postgres: this build of the node was made without the plugin; \
         build it with `--features postgres`, or remove the table"],
    );
}

#[test]
fn a_node_without_a_scheduler_is_refused() {
    let mut registry = Registry::new();
    registry.add(plugin("clock", &[Seam::Scheduler], &[])).unwrap();
    let problems = Manifest::parse(Path::new("node.toml"), NODE, &registry).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "node.toml:1:1: plugins: a node can't run without the seam `scheduler`, and no enabled plugin provides it; \
         enable a plugin that does: [plugins.clock]"
    );
    assert!(Manifest::parse(Path::new("n"), &format!("{NODE}[plugins.clock]"), &registry).is_ok());
}

#[test]
fn columns_count_characters() {
    let found = problems(&format!("{NODE}[plugins.storage-fs.config]\ntags = ['ä€😀', 7]\n"));
    assert!(found.starts_with("node.toml:6:16: plugins.storage-fs.config.tags[1]: "), "{found}");
}

#[test]
fn the_schema_for_editors_agrees_with_the_checks() {
    let registry = plugins();
    let schema = manifest_schema(&registry);
    // (text after a good node, whether it is accepted)
    let table = [
        ("", true),
        ("[plugins.storage-fs]\nconfig.writers = 3\n[provide]\nstore = 'storage-fs'\n", true),
        ("[plugins.storage-fs]\nconfig.writers = 0\n", false),
        ("[plugins.storage-fs]\nconfig.limits.files_max = 70000\n", false),
        ("[plugins.storage-fs]\nconfig.mode = 'none'\n", false),
        ("[plugins.storage-xy]\n", false),
        ("[plugins.storage-fs]\nenabld = true\n", false),
        ("[plugins.storage-fs]\ngrants = ['scheduler', 'chain:read']\n", true),
        ("[plugins.storage-fs]\ngrants = ['service', 'scheduler']\n", false),
        ("[plugins.storage-fs]\n[provide]\nstore = 'healer'\n", false),
        ("[log]\nformat = 'xml'\n", false),
    ];
    for (text, accepted) in table {
        let text = format!("{NODE}{text}");
        let document = toml_edit::Document::parse(text.as_str()).unwrap();
        let findings = check(&Node::of_document(&document), "", Schema::document(&schema));
        assert_eq!(findings.is_empty(), accepted, "{text}\n{findings:?}");
        assert_eq!(Manifest::parse(Path::new("n"), &text, &registry).is_ok(), accepted, "{text}");
    }
}

#[test]
fn a_configuration_is_described_for_people() {
    let registry = plugins();
    let keys = config_keys(registry.find("storage-fs").unwrap().config_schema());
    let find =
        |key: &str| keys.iter().find(|found| found.key == key).unwrap_or_else(|| panic!("{key}: {keys:?}"));
    let writers = find("writers");
    assert_eq!(writers.takes, "a whole number from 1 to 64");
    assert_eq!((&writers.default, writers.required), (&Some(serde_json::json!(4)), false));
    assert_eq!(writers.description, "How many writers.");
    assert_eq!(find("mode").takes, "`\"direct\"` or `\"buffered\"`");
    assert_eq!(find("artifacts_dir").takes, "text");
    assert_eq!(find("artifacts_dir").default, None);
    let chain = config_keys(registry.find("chain").unwrap().config_schema());
    assert_eq!((chain.len(), chain[0].required), (1, true));
}
