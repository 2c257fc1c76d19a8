//! Native plugins that the nodes of a devnet load besides their own.
//!
//! Owns the text in the nodes' manifests: a table for each plugin, and the choice of it for what it provides. Letting the
//! libraries in is core's.

use crate::commands::plugins::native_table;
use crate::output::Failure;
use lampkeeper_api::plugin::Seam;
use lampkeeper_core::native::LibraryFile;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The text for these libraries; empty for none.
///
/// # Errors
/// If one can't be read, holds no plugin, or provides what another one provides, too.
pub fn tables(paths: &[PathBuf]) -> Result<String, Failure> {
    let mut tables = String::new();
    let mut chosen: BTreeMap<Seam, String> = BTreeMap::new();
    for path in paths {
        let told = |reason: String| Failure::invalid(format!("--plugin {}: {reason}", path.display()));
        let absolute = std::path::absolute(path).map_err(|error| told(error.to_string()))?;
        let mut file = LibraryFile::open(&absolute).map_err(Failure::invalid)?;
        for header in file.headers().map_err(Failure::invalid)? {
            let table = native_table(&header, &absolute, file.blake3());
            tables += &table.ok_or_else(|| told("the plugin in it has no proper id".to_owned()))?;
            tables.push('\n');
            for seam in header.provides().into_iter().filter(|seam| *seam != Seam::Service) {
                if let Some(other) = chosen.insert(seam, header.plugin_id()) {
                    return Err(told(format!("{other} provides {seam}, too: choose one of them")));
                }
            }
        }
    }
    if !chosen.is_empty() {
        tables += "[provide]\n";
    }
    for (seam, plugin_id) in chosen {
        tables += &format!("\"{seam}\" = \"{plugin_id}\"\n");
    }
    Ok(tables)
}
