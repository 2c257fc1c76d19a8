//! The native plugins of a manifest, as far as they can be seen before it is checked: their libraries have to be loaded
//! before anybody knows what they provide and how they are configured.

use super::check::joined;
use super::problem::Finding;
use super::tree::{Data, Entry, Node};
use super::{DeclaredPlugin, Outline, Reading};
use crate::native::{NativePlugin, Refusal};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The native plugins that a manifest turns on, and the ids of the others that it turns on. Nothing if it is not TOML.
pub(crate) fn native_plugins(path: &Path, text: &str) -> (Vec<NativePlugin>, BTreeSet<String>) {
    let outline = Outline::parse(path, text).unwrap_or_default();
    let (native, linked): (Vec<DeclaredPlugin>, Vec<DeclaredPlugin>) =
        outline.plugins.into_iter().filter(|plugin| plugin.enabled).partition(|plugin| plugin.is_native);
    // Without a file there is nothing to load; the manifest's check says so.
    let native = native.iter().filter_map(DeclaredPlugin::library).collect();
    (native, linked.into_iter().map(|plugin| plugin.plugin_id).collect())
}

/// Whether a plugin's table turns it on.
pub(super) fn is_on(entry: &Entry) -> bool {
    !matches!(entry.node.at(&["enabled"]).map(|node| &node.data), Some(Data::Bool(false)))
}

/// Whether a plugin's table says that its code is in a library.
pub(super) fn is_native(entry: &Entry) -> bool {
    entry.node.at(&["tier"]).and_then(Node::as_text) == Some("native")
}

impl Reading<'_> {
    /// Reports why a native plugin is not there.
    pub(super) fn report_not_loaded(&mut self, entry: &Entry) {
        let key = joined("plugins", &entry.key);
        let finding = match self.registry.refusal_of(&entry.key) {
            Some(refusal) => Finding::new(&entry.key_span, key, refusal.to_string()),
            None if entry.node.at(&["path"]).is_none() => {
                let refusal = Refusal::NoPath { plugin_id: entry.key.clone() };
                Finding::new(&entry.key_span, key, refusal.to_string())
            }
            None => Finding::new(&entry.key_span, key, "its library was not loaded: this program loads none"),
        };
        self.findings.push(finding);
    }

    /// Reports keys of native plugins in the table of one that is none.
    pub(super) fn check_native_keys(&mut self, entry: &Entry, key: &str) {
        for name in ["path", "blake3"] {
            if let Some(node) = entry.node.at(&[name])
                && !is_native(entry)
            {
                let finding =
                    Finding::new(&node.span, joined(key, name), "only a native plugin has this key");
                self.findings.push(finding.instead("add `tier = \"native\"`, or remove the key"));
            }
        }
    }
}

/// What the manifest says of a library, for those who show it.
pub(super) fn declared(
    plugin_id: &str,
    folder: &Path,
    path: Option<PathBuf>,
    blake3: Option<String>,
) -> Option<NativePlugin> {
    path.map(|path| NativePlugin { plugin_id: plugin_id.to_owned(), path: folder.join(path), blake3 })
}
