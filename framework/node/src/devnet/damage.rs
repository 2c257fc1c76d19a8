//! What a devnet damages: the `--damage` option and what it means.
//!
//! Owns the option's grammar. Doing the damage is the cluster's part.

use std::fmt;
use std::str::FromStr;

/// The most artifacts that one option may damage.
const ARTIFACTS_MAX: u32 = 1_000_000;

/// Which artifacts are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactKind {
    /// RaptorQ symbols.
    Symbol,
    /// Index id files.
    Index,
    /// Layout id files.
    Layout,
}

/// One kind of damage and the nodes that it happens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// Nothing.
    None,
    /// Some artifacts are deleted.
    Delete {
        /// Of which kind.
        kind: ArtifactKind,
        /// How many on each node.
        count: u32,
        /// Where.
        nodes: Vec<String>,
    },
    /// Bytes of some artifacts are flipped.
    Corrupt {
        /// How many on each node.
        count: u32,
        /// Where.
        nodes: Vec<String>,
    },
    /// Everything that a node holds is deleted.
    Wipe {
        /// The node.
        node: String,
    },
    /// A node is taken down.
    Down {
        /// The node.
        node: String,
    },
}

/// A `--damage` value that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; write for instance symbols=3@n4, corrupt=2@n2,n5, index=1@n3, layout=1@n3, wipe@n4, down@n6 or none"
)]
pub struct InvalidDamage(String);

impl Damage {
    /// The nodes that are named.
    #[must_use]
    pub fn nodes(&self) -> Vec<&str> {
        match self {
            Self::None => Vec::new(),
            Self::Delete { nodes, .. } | Self::Corrupt { nodes, .. } => {
                nodes.iter().map(String::as_str).collect()
            }
            Self::Wipe { node } | Self::Down { node } => vec![node],
        }
    }
}

impl FromStr for Damage {
    type Err = InvalidDamage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::None);
        }
        let (what, nodes) =
            text.split_once('@').ok_or_else(|| InvalidDamage(format!("`{text}` names no node")))?;
        let nodes: Vec<String> = nodes.split(',').map(str::to_owned).collect();
        if nodes.iter().any(String::is_empty) {
            return Err(InvalidDamage(format!("`{text}` has an empty node name")));
        }
        let (what, count) = match what.split_once('=') {
            None => (what, None),
            Some((what, count)) => (what, Some(parse_count(text, count)?)),
        };
        match (what, count) {
            ("symbols", Some(count)) => Ok(Self::Delete { kind: ArtifactKind::Symbol, count, nodes }),
            ("index", Some(count)) => Ok(Self::Delete { kind: ArtifactKind::Index, count, nodes }),
            ("layout", Some(count)) => Ok(Self::Delete { kind: ArtifactKind::Layout, count, nodes }),
            ("corrupt", Some(count)) => Ok(Self::Corrupt { count, nodes }),
            ("wipe", None) => Ok(Self::Wipe { node: single(text, nodes)? }),
            ("down", None) => Ok(Self::Down { node: single(text, nodes)? }),
            ("symbols" | "index" | "layout" | "corrupt", None) => {
                Err(InvalidDamage(format!("`{text}` says not how many")))
            }
            _ => Err(InvalidDamage(format!("`{what}` is no kind of damage"))),
        }
    }
}

fn parse_count(text: &str, count: &str) -> Result<u32, InvalidDamage> {
    match count.parse() {
        Ok(count @ 1..=ARTIFACTS_MAX) => Ok(count),
        _ => Err(InvalidDamage(format!("in `{text}`, `{count}` is not a number from 1 to {ARTIFACTS_MAX}"))),
    }
}

fn single(text: &str, nodes: Vec<String>) -> Result<String, InvalidDamage> {
    <[String; 1]>::try_from(nodes)
        .map(|[node]| node)
        .map_err(|_| InvalidDamage(format!("`{text}` takes one node; repeat the option for another")))
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::Delete { kind, count, nodes } => {
                let kind = match kind {
                    ArtifactKind::Symbol => "symbols",
                    ArtifactKind::Index => "index",
                    ArtifactKind::Layout => "layout",
                };
                write!(formatter, "{kind}={count}@{}", nodes.join(","))
            }
            Self::Corrupt { count, nodes } => write!(formatter, "corrupt={count}@{}", nodes.join(",")),
            Self::Wipe { node } => write!(formatter, "wipe@{node}"),
            Self::Down { node } => write!(formatter, "down@{node}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_every_kind() {
        for text in
            ["none", "symbols=3@n4", "corrupt=2@n2,n5", "index=1@n3", "layout=7@n3,n1", "wipe@n4", "down@n6"]
        {
            assert_eq!(text.parse::<Damage>().map(|damage| damage.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, problem) in [
            ("symbols=3", "names no node"),
            ("symbols=0@n1", "is not a number from 1"),
            ("symbols=x@n1", "is not a number from 1"),
            ("symbols@n1", "says not how many"),
            ("burn=1@n1", "is no kind of damage"),
            ("wipe@n1,n2", "takes one node"),
            ("symbols=1@n1,", "an empty node name"),
        ] {
            let error = text.parse::<Damage>().expect_err(text).to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
