//! Damage on the disk of a node of a devnet, behind its store's back, and how damage is drawn and told.
//!
//! Owns the choice of artifacts and what is done to their files. Which artifacts a ticket has is asked elsewhere.
#![expect(clippy::disallowed_methods, reason = "the devnet damages its own data directory on purpose")]

use super::damage::{ArtifactKind, Damage};
use super::story;
use crate::output::Failure;
use lampkeeper_plugin_sdk::cascade::ArtifactKind as Kind;
use lampkeeper_protocol::artifact_key::ArtifactKey;
use lampkeeper_protocol::hash::keyed_hash;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The directory of a node's artifacts.
const ARTIFACTS_DIR: &str = "artifacts";
/// What a store has not finished writing.
const TEMPORARY_DIR: &str = "tmp";

/// Whether an artifact is of the kind that is to be damaged.
#[must_use]
pub fn is_of(kind: ArtifactKind, of: Kind) -> bool {
    match kind {
        ArtifactKind::Symbol => matches!(of, Kind::Symbol { .. }),
        ArtifactKind::Index => matches!(of, Kind::IndexFile { .. }),
        ArtifactKind::Layout => matches!(of, Kind::LayoutFile { .. }),
    }
}

/// So many of the artifacts that a node holds, drawn from the seed.
///
/// # Errors
/// If it holds fewer.
pub fn drawn(
    name: &str,
    mut held: Vec<ArtifactKey>,
    count: u32,
    seed: u64,
) -> Result<Vec<ArtifactKey>, Failure> {
    let there = held.len();
    if there < count as usize {
        return Err(Failure::invalid(format!(
            "{name} holds only {there} of the {count} artifacts to damage"
        )));
    }
    held.sort_by_cached_key(|key| keyed_hash(&seed.to_be_bytes(), &[name.as_bytes(), key.as_bytes()]));
    held.truncate(count as usize);
    Ok(held)
}

/// What a node lost, for the story.
#[must_use]
pub fn lost(name: &str, what: &str, keys: &[ArtifactKey], kind: ArtifactKind, ticket_id: &str) -> String {
    let noun = match kind {
        ArtifactKind::Symbol => "symbol",
        ArtifactKind::Index => "index file",
        ArtifactKind::Layout => "layout file",
    };
    let mut named: Vec<_> = keys.iter().take(3).map(|key| story::short(&key.to_string())).collect();
    if keys.len() > named.len() {
        named.push("…".to_owned());
    }
    let count = story::plural(keys.len() as u64, noun);
    format!("{name} {what} {count} of ticket {ticket_id} ({})", named.join(", "))
}

/// Everything that a node lost, for the story.
#[must_use]
pub fn wiped(name: &str, count: u64) -> String {
    format!("{name} lost everything that it held: {}", story::plural(count, "artifact"))
}

/// The artifacts on a node's disk, and their files.
pub struct Disk {
    name: String,
    files: BTreeMap<String, PathBuf>,
}

impl Disk {
    /// Reads which artifacts there are in a node's directory.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn of(name: &str, node_dir: &Path) -> Result<Self, Failure> {
        let root = node_dir.join(ARTIFACTS_DIR);
        let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", root.display()));
        let mut files = BTreeMap::new();
        for shard in std::fs::read_dir(&root).map_err(failed)? {
            let shard = shard.map_err(failed)?;
            if !shard.path().is_dir() || shard.file_name() == TEMPORARY_DIR {
                continue;
            }
            for file in std::fs::read_dir(shard.path()).map_err(failed)? {
                let file = file.map_err(failed)?;
                files.insert(file.file_name().to_string_lossy().into_owned(), file.path());
            }
        }
        Ok(Self { name: name.to_owned(), files })
    }

    /// Does some damage to a ticket's artifacts; what was done. Nodes are not taken down here.
    ///
    /// # Errors
    /// If fewer artifacts are there than named, or the disk refuses.
    pub fn damage(
        &self,
        damage: &Damage,
        artifacts: &[(ArtifactKey, Kind)],
        ticket_id: &str,
        seed: u64,
    ) -> Result<String, Failure> {
        match damage {
            Damage::None | Damage::Down { .. } => Ok(String::new()),
            Damage::Wipe { .. } => {
                for path in self.files.values() {
                    std::fs::remove_file(path).map_err(|error| refused(path, &error))?;
                }
                Ok(wiped(&self.name, self.files.len() as u64))
            }
            Damage::Delete { kind, count, .. } => {
                let keys = self.chosen(*kind, *count, artifacts, seed)?;
                for key in &keys {
                    let path = self.file(key)?;
                    std::fs::remove_file(path).map_err(|error| refused(path, &error))?;
                }
                Ok(lost(&self.name, "lost", &keys, *kind, ticket_id))
            }
            Damage::Corrupt { count, .. } => {
                let keys = self.chosen(ArtifactKind::Symbol, *count, artifacts, seed)?;
                for key in &keys {
                    self.flip_a_byte(key)?;
                }
                Ok(lost(&self.name, "has flipped bytes in", &keys, ArtifactKind::Symbol, ticket_id))
            }
        }
    }

    fn chosen(
        &self,
        kind: ArtifactKind,
        count: u32,
        artifacts: &[(ArtifactKey, Kind)],
        seed: u64,
    ) -> Result<Vec<ArtifactKey>, Failure> {
        let wanted = artifacts.iter().filter(|(_, of)| is_of(kind, *of)).map(|(key, _)| *key);
        let held = wanted.filter(|key| self.files.contains_key(&key.to_string())).collect();
        drawn(&self.name, held, count, seed)
    }

    fn file(&self, key: &ArtifactKey) -> Result<&PathBuf, Failure> {
        let file = self.files.get(&key.to_string());
        file.ok_or_else(|| Failure::failed(format!("no file of {} holds artifact {key}", self.name)))
    }

    /// Damages an artifact as a failing disk would.
    ///
    /// # Errors
    /// If it is not there, or the disk refuses.
    pub fn flip_a_byte(&self, key: &ArtifactKey) -> Result<(), Failure> {
        let path = self.file(key)?;
        let failed = |error: std::io::Error| refused(path, &error);
        let file =
            std::fs::OpenOptions::new().read(true).write(true).mode(0o600).open(path).map_err(failed)?;
        let mut byte = [0];
        let middle = file.metadata().map_err(failed)?.len() / 2;
        file.read_exact_at(&mut byte, middle).map_err(failed)?;
        file.write_all_at(&[!byte[0]], middle).map_err(failed)
    }
}

fn refused(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("damaging {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_deleted_flipped_and_wiped() {
        let dir = tempfile::tempdir().expect("a directory");
        let keys: Vec<_> = (0_u8..4).map(|number| ArtifactKey::of(&[number; 9])).collect();
        for (number, key) in keys.iter().enumerate() {
            let shard = dir.path().join(ARTIFACTS_DIR).join(format!("{number:02x}"));
            std::fs::create_dir_all(&shard).expect("a directory");
            std::fs::write(shard.join(key.to_string()), [0; 9]).expect("a file");
        }
        let artifacts: Vec<_> = (0_u32..).zip(&keys).map(|(esi, key)| (*key, Kind::Symbol { esi })).collect();
        let damage = |text: &str| {
            let damage = text.parse().expect("a kind of damage");
            Disk::of("n1", dir.path()).and_then(|disk| disk.damage(&damage, &artifacts, "7", 1))
        };
        let there = || Disk::of("n1", dir.path()).expect("a readable disk").files;
        assert!(damage("symbols=1@n1").is_ok_and(|told| told.starts_with("n1 lost 1 symbol of ticket 7")));
        assert_eq!(there().len(), 3);
        assert!(damage("corrupt=2@n1").is_ok());
        let flipped =
            there().values().filter(|path| std::fs::read(path).is_ok_and(|all| all[4] == 0xff)).count();
        assert_eq!(flipped, 2);
        assert!(damage("symbols=4@n1").is_err_and(|failure| failure.message.contains("holds only 3")));
        assert!(damage("index=1@n1").is_err(), "it holds no index file");
        assert!(damage("wipe@n1").is_ok_and(|told| told.ends_with("3 artifacts")));
        assert_eq!(there().len(), 0);
    }
}
