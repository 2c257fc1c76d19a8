//! `plugins conform`: what a plugin has to do for the seams that it provides, tried with the plugin itself.
//!
//! Owns where the plugin comes from: this build, or a library that is let in as a node would let it in. The rules are
//! the SDK's conformance suites.

use crate::devnet;
use crate::output::{self, Failure, Outcome};
use crate::plugins::registry;
use clap::Args;
use lampkeeper_api::plugin::{PluginDescriptor, Seam};
use lampkeeper_core::Registry;
use lampkeeper_core::native::LibraryFile;
use lampkeeper_plugin_sdk::testkit::VirtualScheduler;
use lampkeeper_plugin_sdk::testkit::conformance::{
    self, PluginReport, PluginUnderTest, Time, needs_real_time,
};
use std::path::{Path, PathBuf};

/// Which plugin, and how it is configured.
#[derive(Debug, Args)]
pub struct Conform {
    /// The library with the plugin.
    #[arg(required_unless_present = "id")]
    file: Option<PathBuf>,
    /// A plugin of this build instead; or which one of a library that has several.
    #[arg(long)]
    id: Option<String>,
    /// A TOML file with the plugin's configuration: what a manifest has below [plugins.ID.config]. In its texts,
    /// `{instance}` stands for the number of the instance that is made, and `{account}` for the account that it signs as.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Run in real time, as for schedulers, transports and chains: for a plugin that waits for sockets, or has a runtime of
    /// its own.
    #[arg(long)]
    real_time: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the suites, and fails if a rule does not hold.
pub fn conform(args: &Conform) -> Outcome {
    let config_json = config(args.config.as_deref())?;
    let descriptor = match &args.file {
        Some(file) => of_library(file, args.id.as_deref())?,
        None => of_this_build(args.id.as_deref().unwrap_or_default())?,
    };
    let folder = tempfile::tempdir().map_err(|error| Failure::failed(format!("a folder: {error}")))?;
    let under_test = PluginUnderTest {
        is_loaded: args.file.is_some(),
        descriptor: &descriptor,
        config_json: &config_json,
        folder: folder.path().to_owned(),
    };
    let report = run(&under_test, args.real_time)?;
    if args.json {
        output::json(&as_json(&report));
    } else {
        output::line(report.to_string().trim_end());
    }
    if report.passed() {
        return Ok(());
    }
    Err(Failure::failed(format!("plugin {} does not conform", report.plugin_id)))
}

/// In virtual time, unless the plugin can't be waited for there.
fn run(under_test: &PluginUnderTest<'_>, real_time: bool) -> Result<PluginReport, Failure> {
    if !real_time && !under_test.descriptor.provides.iter().any(|seam| needs_real_time(*seam)) {
        let scheduler = VirtualScheduler::new(1);
        return Ok(scheduler.block_on(conformance::plugin(Time::Virtual(scheduler.clone()), under_test)));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("starting the runtime: {error}")))?;
    runtime.block_on(async {
        let scheduler = devnet::scheduler()?;
        Ok(conformance::plugin(Time::Real(scheduler), under_test).await)
    })
}

fn of_this_build(id: &str) -> Result<PluginDescriptor, Failure> {
    let registry = registry().map_err(Failure::failed)?;
    match registry.find(id) {
        Some(plugin) => Ok(plugin.descriptor().clone()),
        None => Err(Failure::failed(match registry.feature_of(id) {
            Some(feature) => format!("the plugin {id} is left out of this build; its feature is `{feature}`"),
            None => format!("there is no plugin {id}; `lampkeeper plugins list` names them"),
        })),
    }
}

/// A plugin of a library, let in by the rules of a manifest that pins the file as it is.
fn of_library(file: &Path, id: Option<&str>) -> Result<PluginDescriptor, Failure> {
    let file = std::path::absolute(file).map_err(Failure::failed)?;
    let mut library = LibraryFile::open(&file).map_err(Failure::invalid)?;
    let ids: Vec<String> =
        library.headers().map_err(Failure::invalid)?.iter().map(|header| header.plugin_id()).collect();
    let id = match (id, ids.as_slice()) {
        (Some(id), _) => id.to_owned(),
        (None, [only]) => only.clone(),
        (None, several) => {
            return Err(Failure::invalid(format!("name one with --id: {}", several.join(", "))));
        }
    };
    let mut table = toml_edit::DocumentMut::new();
    for (key, value) in
        [("tier", "native"), ("path", file.to_str().unwrap_or_default()), ("blake3", library.blake3())]
    {
        table["plugins"][id.as_str()][key] = toml_edit::value(value);
    }
    let every_seam = Registry::new().with_host_seams(Seam::ALL);
    let registry = every_seam.with_native_of(Path::new("node.toml"), &table.to_string());
    match (registry.find(&id), registry.refusal_of(&id)) {
        (Some(plugin), _) => Ok(plugin.descriptor().clone()),
        (None, Some(refusal)) => Err(Failure::invalid(refusal.to_string())),
        (None, None) => Err(Failure::invalid(format!("{} holds no plugin {id}", file.display()))),
    }
}

fn config(path: Option<&Path>) -> Result<String, Failure> {
    let Some(path) = path else { return Ok("{}".to_owned()) };
    let unreadable = |reason: String| Failure::invalid(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let table: serde_json::Value =
        toml_edit::de::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    Ok(table.to_string())
}

fn as_json(report: &PluginReport) -> serde_json::Value {
    let suites = report.reports.iter().map(|suite| {
        let rules = suite.checks.iter().map(|check| {
            let failure = check.failure.as_ref();
            serde_json::json!({
                "rule": check.name,
                "passed": failure.is_none(),
                "expected": failure.map(|failure| &failure.expected),
                "found": failure.map(|failure| &failure.found),
            })
        });
        serde_json::json!({ "suite": suite.suite, "rules": rules.collect::<Vec<_>>() })
    });
    let left_out =
        report.left_out.iter().map(|(seam, why)| serde_json::json!({ "seam": seam.name(), "why": why }));
    serde_json::json!({
        "plugin": report.plugin_id,
        "passed": report.passed(),
        "suites": suites.collect::<Vec<_>>(),
        "not_tested": left_out.collect::<Vec<_>>(),
    })
}
