//! `plugins inspect`: a library's headers, read from the file, compared with this program. Nothing of it is loaded.

use super::{harmless, joined, native_table};
use crate::output::{self, Failure, Outcome};
use lampkeeper_api::native::{Header, Mismatch};
use lampkeeper_api::plugin::Seam;
use lampkeeper_core::native::{LibraryFile, host_header, rebuild_command};
use serde::Serialize;
use serde_json::json;
use std::path::Path;

/// What a header says of one plugin.
#[derive(Debug, Serialize)]
struct Described {
    id: String,
    version: String,
    provides: Vec<&'static str>,
    needs: Vec<&'static str>,
    uses_if_there: Vec<&'static str>,
    rustc: String,
    target: String,
    debug_assertions: bool,
    compatible: bool,
    mismatches: Vec<Difference>,
    /// Its table for a manifest in the same folder; `None` for an id that no manifest takes.
    table: Option<String>,
}

/// A field in which it differs from this program.
#[derive(Debug, Serialize)]
struct Difference {
    field: String,
    plugin: String,
    host: String,
}

/// Reads and compares; fails if a plugin in it can't be loaded here.
pub fn inspect(path: &Path, as_json: bool) -> Outcome {
    let read = LibraryFile::open(path).and_then(|mut file| {
        let headers = file.headers()?;
        Ok((file.blake3().to_owned(), headers))
    });
    let (blake3, headers) = match read {
        Ok(read) => read,
        Err(refusal) => {
            if as_json {
                output::json(&json!({ "file": path, "refused": refusal.to_string(), "plugins": [] }));
            }
            return Err(Failure::failed(refusal));
        }
    };
    let plugins: Vec<Described> = headers.iter().map(|header| describe(header, path, &blake3)).collect();
    if as_json {
        let rebuild = rebuild_command();
        output::json(&json!({ "file": path, "blake3": blake3, "rebuild": rebuild, "plugins": plugins }));
    } else {
        show(path, &blake3, &plugins);
    }
    let refused = plugins.iter().filter(|plugin| !plugin.compatible);
    let refused: Vec<String> = refused.map(|plugin| harmless(&plugin.id)).collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!("this program can't load {} from {}", refused.join(", "), path.display())))
}

fn describe(header: &Header, path: &Path, blake3: &str) -> Described {
    let mismatches = host_header().mismatches(header);
    let file = Path::new(path.file_name().unwrap_or_default());
    Described {
        id: header.plugin_id(),
        version: header.plugin_version(),
        provides: names(&header.provides()),
        needs: names(&header.needs()),
        uses_if_there: names(&header.optional()),
        rustc: header.rustc_release(),
        target: header.target(),
        debug_assertions: header.has_debug_assertions(),
        compatible: mismatches.is_empty(),
        mismatches: mismatches.into_iter().map(Difference::from).collect(),
        table: native_table(header, file, blake3),
    }
}

impl From<Mismatch> for Difference {
    fn from(mismatch: Mismatch) -> Self {
        Self { field: mismatch.field, plugin: mismatch.plugin, host: mismatch.host }
    }
}

fn names(seams: &[Seam]) -> Vec<&'static str> {
    seams.iter().map(|seam| seam.name()).collect()
}

fn show(path: &Path, blake3: &str, plugins: &[Described]) {
    output::line(path.display().to_string());
    output::line(format!("blake3 = \"{blake3}\""));
    for plugin in plugins {
        let optional = plugin.uses_if_there.iter().map(|seam| format!("{seam} (optional)"));
        let needs = plugin.needs.iter().map(|seam| (*seam).to_owned()).chain(optional);
        let assertions = if plugin.debug_assertions { "with" } else { "without" };
        output::line(format!("\n{} {}", harmless(&plugin.id), harmless(&plugin.version)));
        output::line(format!(
            "  provides  {}",
            joined(plugin.provides.iter().map(|seam| (*seam).to_owned()))
        ));
        output::line(format!("  needs     {}", joined(needs)));
        output::line(format!(
            "  built by  rustc {} for {}, {assertions} debug assertions",
            harmless(&plugin.rustc),
            harmless(&plugin.target)
        ));
        show_verdict(plugin);
    }
}

fn show_verdict(plugin: &Described) {
    if plugin.compatible {
        output::line("  verdict   compatible with this program");
        for line in plugin.table.iter().flat_map(|table| table.lines()) {
            output::line(format!("    {line}"));
        }
        return;
    }
    output::line("  verdict   not compatible with this program");
    for Difference { field, plugin, host } in &plugin.mismatches {
        output::line(format!("    {field}\n      plugin  {plugin}\n      here    {host}"));
    }
    output::line(format!("  rebuild   {}", rebuild_command()));
}
