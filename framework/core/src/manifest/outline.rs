//! What a manifest says of its plugins, as far as it can be read: also from one that has problems.
//!
//! For those who explain a manifest, and for whoever has to load libraries before it can be checked. Nothing here is
//! checked: that is [`super::Manifest::parse`].

use super::problem::Problem;
use super::tree::{Data, Entry, Node};
use super::{Finding, native, read_toml};
use crate::native::NativePlugin;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The plugins of a manifest and the choices between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outline {
    /// Every plugin that has a table, in the manifest's order.
    pub plugins: Vec<DeclaredPlugin>,
    /// Who was chosen to provide a seam, by the seam's name.
    pub provide: BTreeMap<String, String>,
}

/// One plugin's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredPlugin {
    /// The table's name.
    pub plugin_id: String,
    /// The line of the table, from 1.
    pub line: usize,
    /// Whether it turns the plugin on.
    pub enabled: bool,
    /// Whether the plugin's code is in a library.
    pub is_native: bool,
    /// The library; a relative path was completed with the manifest's folder.
    pub path: Option<PathBuf>,
    /// The pin.
    pub blake3: Option<String>,
    /// The names of seams under `grants`; `None` if the table does not have the key.
    pub grants: Option<Vec<String>>,
}

impl DeclaredPlugin {
    /// The library and its pin, if the table names one.
    #[must_use]
    pub fn library(&self) -> Option<NativePlugin> {
        let path = self.path.clone().filter(|_| self.is_native)?;
        Some(NativePlugin { plugin_id: self.plugin_id.clone(), path, blake3: self.blake3.clone() })
    }
}

impl Outline {
    /// Reads what can be read. `path` is that of the manifest: relative paths in it start at its folder.
    ///
    /// # Errors
    /// If the text is not TOML, or too long.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Problem> {
        let document = read_toml(text).map_err(|finding| finding.located(path, text))?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let entries = |name: &str| document.at(&[name]).map(Node::entries).unwrap_or_default();
        let line = |entry: &Entry| Finding::new(&entry.key_span, "", "").located(path, text).line;
        let plugins = entries("plugins").iter().map(|entry| declared(entry, folder, line(entry))).collect();
        let choice = |entry: &Entry| Some((entry.key.clone(), entry.node.as_text()?.to_owned()));
        Ok(Self { plugins, provide: entries("provide").iter().filter_map(choice).collect() })
    }

    /// The table of a plugin.
    #[must_use]
    pub fn find(&self, plugin_id: &str) -> Option<&DeclaredPlugin> {
        self.plugins.iter().find(|plugin| plugin.plugin_id == plugin_id)
    }
}

fn declared(entry: &Entry, folder: &Path, line: usize) -> DeclaredPlugin {
    let text_at = |key: &str| entry.node.at(&[key]).and_then(Node::as_text);
    let grants = entry.node.at(&["grants"]).map(|node| match &node.data {
        Data::Array(names) => names.iter().filter_map(Node::as_text).map(str::to_owned).collect(),
        _ => Vec::new(),
    });
    DeclaredPlugin {
        plugin_id: entry.key.clone(),
        line,
        enabled: native::is_on(entry),
        is_native: native::is_native(entry),
        path: text_at("path").map(|path| folder.join(path)),
        blake3: text_at("blake3").map(str::to_owned),
        grants,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_with_problems_is_read_as_far_as_it_goes() {
        let text = "[nod]\n[plugins.a]\ntier = 'native'\npath = 'lib.so'\nblake3 = 7\ngrants = ['store', 1]\n\
                    [plugins.b]\nenabled = false\ngrants = 'all'\n[provide]\nstore = 'a'\njournal = 3\n";
        let outline = Outline::parse(Path::new("etc/node.toml"), text).unwrap();
        let a = outline.find("a").unwrap();
        assert_eq!((a.line, a.enabled, a.is_native), (2, true, true));
        assert_eq!(a.grants, Some(vec!["store".to_owned()]));
        assert_eq!(a.library().unwrap().path, Path::new("etc/lib.so"));
        let b = outline.find("b").unwrap();
        assert_eq!((b.line, b.enabled, b.is_native, b.library()), (7, false, false, None));
        assert_eq!(b.grants, Some(Vec::new()));
        assert_eq!(outline.provide, BTreeMap::from([("store".to_owned(), "a".to_owned())]));
        assert_eq!(Outline::parse(Path::new("node.toml"), "[plugins").unwrap_err().line, 1);
    }
}
