//! What a devnet is going to do, after the command line was checked against the world.
//!
//! Owns the checks that need no network: names in `--damage`, the file, the room on the disk.
#![expect(clippy::disallowed_methods, reason = "the devnet reads the file that it was given")]

use super::damage::{ArtifactKind, Damage};
use super::libraries;
use super::story::bytes;
use crate::cli::{DevnetArgs, Strategy};
use crate::output::Failure;
use lampkeeper_protocol::cascade::codec::Parameters;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The largest file that a devnet stores.
pub const FILE_LEN_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Size of the file that is generated when none is given.
const GENERATED_LEN_BYTES: usize = 10_000_000;
/// Copies of every symbol.
const REPLICAS: u64 = 6;
/// Bytes of a packet.
const PACKET_LEN_BYTES: u64 = 65_532;

/// Without `--damage`, one symbol in so many is lost: enough for a sample of probes to find it soon, whatever the file.
const DEFAULT_DAMAGE_ONE_IN: u32 = 300;
/// The fewest symbols that are lost without `--damage`.
const DEFAULT_DAMAGE_MIN: u32 = 3;

/// What a devnet is going to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The network's name.
    pub chain_id: String,
    /// Nodes.
    pub nodes: u16,
    /// What everything is drawn from.
    pub seed: u64,
    /// Length of an epoch.
    pub epoch_ms: u64,
    /// How nodes heal.
    pub strategy: Strategy,
    /// What the nodes load besides their own plugins, as text of their manifests.
    pub libraries: String,
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// Where everything is kept, absolute.
    pub data_dir: PathBuf,
    /// Whether to go on running.
    pub keep: bool,
    /// When to give up.
    pub epochs_max: u64,
}

impl Plan {
    /// Checks the options.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(args: &DevnetArgs) -> Result<Self, Failure> {
        let data_dir = std::path::absolute(&args.data_dir)
            .map_err(|error| Failure::invalid(format!("{}: {error}", args.data_dir.display())))?;
        let plan = Self {
            // The process-local registries know networks by name, and the directory makes it unique.
            chain_id: format!("devnet-{}", args.seed),
            nodes: args.nodes,
            seed: args.seed,
            epoch_ms: u64::from(args.epoch_seconds) * 1000,
            strategy: args.strategy,
            libraries: libraries::tables(&args.plugin)?,
            damage: args.damage.clone(),
            data_dir,
            keep: args.keep,
            epochs_max: args.epochs_max,
        };
        plan.check_damage()?;
        Ok(plan)
    }

    /// Settles the damage where none was asked for, now that the file is known.
    ///
    /// # Errors
    /// If the file can't be read, or has a length that no ticket holds.
    pub fn with_default_damage(mut self, file: &Path) -> Result<Self, Failure> {
        if self.damage.is_empty() {
            let len_bytes = std::fs::metadata(file).map_err(Failure::invalid)?.len();
            let symbols = Parameters::for_file_len(len_bytes).map_err(Failure::invalid)?.total_symbols();
            let count = (symbols / DEFAULT_DAMAGE_ONE_IN).max(DEFAULT_DAMAGE_MIN);
            let nodes = vec![format!("n{}", self.nodes.min(4))];
            self.damage.push(Damage::Delete { kind: ArtifactKind::Symbol, count, nodes });
        }
        Ok(self)
    }

    fn check_damage(&self) -> Result<(), Failure> {
        for damage in &self.damage {
            for node in damage.nodes() {
                let number = node.strip_prefix('n').and_then(|number| number.parse::<u16>().ok());
                if !number.is_some_and(|number| (1..=self.nodes).contains(&number)) {
                    let nodes = self.nodes;
                    return Err(Failure::invalid(format!(
                        "--damage {damage}: there is no node {node}; the nodes are n1 to n{nodes}"
                    )));
                }
            }
        }
        if self.damage.len() > 1 && self.damage.contains(&Damage::None) {
            return Err(Failure::invalid("--damage none does not go together with other damage"));
        }
        Ok(())
    }
}

/// Checks the file that was given, and the room for its artifacts, before anything is made or replaced.
///
/// # Errors
/// If the file is missing, unreadable, empty, too large or no file, or the disk has no room for its artifacts.
pub fn check_file(args: &DevnetArgs, plan: &Plan) -> Result<(), Failure> {
    let len_bytes = match &args.file {
        Some(path) => len_of_file(path)?,
        None => GENERATED_LEN_BYTES as u64,
    };
    check_room(len_bytes, u64::from(args.nodes), &plan.data_dir)
}

fn len_of_file(path: &Path) -> Result<u64, Failure> {
    let problem = |reason: String| Failure::invalid(format!("{}: {reason}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?;
    if !metadata.is_file() {
        return Err(problem("is not a file; give a regular file of 1 byte to 1 GiB".to_owned()));
    }
    let len_bytes = metadata.len();
    if len_bytes == 0 {
        return Err(problem("is empty; a ticket needs at least 1 byte".to_owned()));
    }
    if len_bytes > FILE_LEN_BYTES_MAX {
        return Err(problem(format!("has {len_bytes} bytes; a devnet stores at most {FILE_LEN_BYTES_MAX}")));
    }
    let mut first = [0];
    let readable = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    readable.map_err(|error| problem(format!("can't be read: {error}")))?;
    Ok(len_bytes)
}

/// The file to store: the one that was given, or one that is generated in `dir`.
///
/// # Errors
/// If the file can't be generated.
pub fn file_to_store(args: &DevnetArgs, dir: &Path) -> Result<PathBuf, Failure> {
    let path = match &args.file {
        Some(path) => path.clone(),
        None => generate(args.seed, dir)?,
    };
    std::path::absolute(&path).map_err(|error| Failure::invalid(format!("{}: {error}", path.display())))
}

fn generate(seed: u64, dir: &Path) -> Result<PathBuf, Failure> {
    let path = dir.join("generated.bin");
    let failed = |error: std::io::Error| Failure::failed(format!("writing {}: {error}", path.display()));
    let mut stream =
        blake3::Hasher::new().update(b"lampkeeper devnet file").update(&seed.to_le_bytes()).finalize_xof();
    let mut content = vec![0; GENERATED_LEN_BYTES];
    stream.fill(&mut content);
    File::create(&path).and_then(|mut file| file.write_all(&content)).map_err(failed)?;
    Ok(path)
}

/// Every node keeps its replicas on the same disk here, so a file takes about 36 times its size.
fn check_room(len_bytes: u64, nodes: u64, dir: &Path) -> Result<(), Failure> {
    let symbols = Parameters::for_file_len(len_bytes).map_err(Failure::invalid)?.total_symbols();
    let needed = u64::from(symbols) * PACKET_LEN_BYTES * REPLICAS.min(nodes) + 3 * len_bytes + 64_000_000;
    // The directory itself may not exist yet.
    let there = dir.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/"));
    let volume = rustix::fs::statvfs(there)
        .map_err(|error| Failure::failed(format!("{}: {error}", there.display())))?;
    let free = volume.f_bavail.saturating_mul(volume.f_frsize);
    if free < needed {
        return Err(Failure::invalid(format!(
            "{} has {} free and the network needs about {}: choose a smaller file, or another --data-dir",
            dir.display(),
            bytes(free),
            bytes(needed)
        )));
    }
    Ok(())
}
