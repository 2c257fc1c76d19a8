//! `plugins new`: a crate to begin with.
//!
//! Owns where it is written and what it is called. The texts are in `templates`: one library and one test for each seam,
//! the rest in common.
#![expect(clippy::disallowed_methods, reason = "writes the files of a new crate")]

use crate::output::{self, Failure, Outcome};
use clap::{Args, ValueEnum};
use lampkeeper_core::registry::check_id;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the SDK is, seen from the new crate, if nobody says: beside it, as `docs/plugin-authors.md` has it.
const SDK: &str = "../lampkeeper/plugin-sdk";

/// Names that no crate can have, although a plugin could.
const RESERVED: [&str; 42] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "static",
    "std",
    "test",
    "true",
    "try",
    "type",
    "use",
];

/// A new crate.
#[derive(Debug, Args)]
pub struct NewPlugin {
    /// What it is to provide.
    #[arg(value_enum)]
    seam: Template,
    /// The plugin's id, and the crate's name: lower-case words with hyphens.
    name: String,
    /// The folder to make; by default one of the plugin's name, here.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The folder `plugin-sdk` of the node's sources; by default `lampkeeper/plugin-sdk` beside the new folder.
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

macro_rules! templates {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $seam:literal, $tests:literal;)+) => {
        /// A seam that there is a template for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
        pub enum Template {
            $($(#[$doc])* $variant,)+
        }

        impl Template {
            /// The seam, as manifests name it, and how the template's test looks at it.
            const fn seam(self) -> (&'static str, &'static str) {
                match self { $(Self::$variant => ($seam, $tests),)+ }
            }

            const fn library(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("../../templates/lib/", $name, ".rs.template")),)+ }
            }

            const fn test(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("../../templates/test/", $name, ".rs.template")),)+ }
            }
        }
    };
}

templates! {
    /// Artifacts of this node; begins in front of another store.
    Store = "store", "store", "against the contract of its seam";
    /// Where heals wait for their verdict; begins in front of another staging area.
    Staging = "staging", "staging", "against the contract of its seam";
    /// What the node has decided; begins in front of another journal.
    Journal = "journal", "journal", "against the contract of its seam";
    /// Time, tasks, randomness; begins in front of another scheduler.
    Scheduler = "scheduler", "scheduler", "against the contract of its seam";
    /// Calls between nodes; begins in front of another transport.
    Transport = "transport", "transport", "against the contract of its seam";
    /// Reading the chain; begins in front of another chain client.
    ChainRead = "chain-read", "chain:read", "in front of a chain that is scripted";
    /// Reading the chain and submitting to it; begins in front of another chain client.
    ChainSubmit = "chain-submit", "chain:submit", "in front of a chain that is scripted";
    /// The replica network; begins in front of another one.
    Network = "network", "network", "in front of a network in memory";
    /// From a heal operation to a staged reconstruction.
    HealStrategy = "heal-strategy", "heal-strategy", "against the contract of its seam";
    /// Making single challenges; begins in front of another challenger.
    Challenger = "challenger", "challenger", "in front of one that is made for the test";
    /// The node's key; begins in front of the key file.
    Signer = "signer", "signer", "in front of a key that is made for the test";
    /// A background task.
    Service = "service", "service", "with its configuration and a recorder of what it tells";
}

/// Writes the crate; nothing is overwritten.
pub fn new(args: &NewPlugin) -> Outcome {
    check_id(&args.name).map_err(Failure::invalid)?;
    if RESERVED.contains(&args.name.as_str()) {
        return Err(Failure::invalid(format!("no crate can be called `{}`: add a word", args.name)));
    }
    let sdk = args.sdk.as_deref().map_or_else(|| Ok(SDK.to_owned()), sdk_path)?;
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let told = |error: std::io::Error| Failure::failed(format!("{}: {error}", dir.display()));
    if dir.exists() {
        return Err(Failure::failed(format!(
            "{} is there already: nothing is overwritten; name another with --dir",
            dir.display()
        )));
    }
    for folder in ["src", "tests"] {
        fs::create_dir_all(dir.join(folder)).map_err(told)?;
    }
    for (file, text) in render(args.seam, &args.name, &sdk) {
        fs::write(dir.join(file), text).map_err(told)?;
    }
    output::line(format!(
        "{} is written: its README.md leads on, beginning with `cargo test`",
        dir.display()
    ));
    Ok(())
}

/// The SDK's folder as it stands in the new crate, where a relative path of the command line would mean another place.
fn sdk_path(path: &Path) -> Result<String, Failure> {
    let wrong = |reason: &str| Failure::invalid(format!("--sdk {}: {reason}", path.display()));
    let absolute = path.canonicalize().map_err(|error| wrong(&error.to_string()))?;
    let manifest = fs::read_to_string(absolute.join("Cargo.toml")).unwrap_or_default();
    if !manifest.contains("name = \"lampkeeper-plugin-sdk\"") {
        return Err(wrong(
            "is not the folder of `lampkeeper-plugin-sdk`: name `plugin-sdk` in the node's sources",
        ));
    }
    absolute.to_str().map(str::to_owned).ok_or_else(|| wrong("is not valid UTF-8"))
}

/// The crate's files and their texts.
fn render(template: Template, name: &str, sdk: &str) -> Vec<(&'static str, String)> {
    let (seam, tests) = template.seam();
    let quoted = |path: &str| serde_json::Value::from(path).to_string();
    let sources = Path::new(sdk).parent().unwrap_or_else(|| Path::new("..")).display();
    let transport = format!(
        "lampkeeper-transport-memory = {{ path = {} }} # what the tests put behind it\n",
        quoted(&format!("{sources}/plugins/transport-memory"))
    );
    let choice = format!(
        "\nWhere another plugin provides the seam, too, choose yours:\n\n```toml\n[provide]\n\"{seam}\" = \"{name}\"\n```\n"
    );
    let values = [
        ("{{name}}", name.to_owned()),
        ("{{crate}}", name.replace('-', "_")),
        ("{{seam}}", seam.to_owned()),
        ("{{tests}}", tests.to_owned()),
        ("{{sdk}}", quoted(sdk)),
        ("{{dev-dependencies}}", if template == Template::Transport { transport } else { String::new() }),
        ("{{choice}}", if template == Template::Service { String::new() } else { choice }),
    ];
    let fill =
        |text: &str| values.iter().fold(text.to_owned(), |text, (key, value)| text.replace(key, value));
    vec![
        ("Cargo.toml", fill(include_str!("../../templates/Cargo.toml.template"))),
        ("README.md", fill(include_str!("../../templates/README.md.template"))),
        (".gitignore", fill(include_str!("../../templates/gitignore.template"))),
        // A plugin is built by the compiler that built the node.
        ("rust-toolchain.toml", include_str!("../../../../../rust-toolchain.toml").to_owned()),
        ("src/lib.rs", fill(template.library())),
        ("tests/plugin.rs", fill(template.test())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_api::plugin::Seam;

    #[test]
    fn every_template_is_well_formed() {
        for template in Template::value_variants() {
            let (seam, _) = template.seam();
            assert!(Seam::ALL.into_iter().any(|known| known.name() == seam), "{seam}");
            for (file, text) in render(*template, "a-name", "/sources/plugin-sdk") {
                assert!(
                    !text.contains("{{") || file.ends_with(".rs"),
                    "{seam}: {file} has a place that is not filled"
                );
                for place in ["{{name}}", "{{crate}}", "{{sdk}}", "{{seam}}"] {
                    assert!(!text.contains(place), "{seam}: {file} has {place}");
                }
                match file {
                    "Cargo.toml" => {
                        let manifest: toml_edit::DocumentMut = text.parse().expect("it is TOML");
                        assert_eq!(manifest["package"]["name"].as_str(), Some("a-name"));
                    }
                    "src/lib.rs" => assert!(text.contains("id: \"a-name\""), "{seam}: {text}"),
                    _ => assert!(!text.is_empty(), "{seam}: {file}"),
                }
            }
        }
    }

    /// Every seam but the one that only a manifest makes of another.
    #[test]
    fn every_seam_has_a_template() {
        for seam in Seam::ALL.into_iter().filter(|seam| *seam != Seam::HealShadow) {
            let templates = Template::value_variants();
            assert!(templates.iter().any(|template| template.seam().0 == seam.name()), "{seam}");
        }
    }
}
