//! What a simulated network is, and what is to go wrong in it.
//!
//! Owns the profiles and the length of each phase. Carrying faults out is the storm's part.

use super::defect::Defect;
use clap::ValueEnum;
use std::fmt;

/// Blocks in an epoch.
pub const EPOCH_LENGTH_BLOCKS: u64 = 20;
/// Virtual time between two blocks.
pub const BLOCK_INTERVAL_MS: u64 = 1000;
/// Epochs without faults at the end, in which everything that can be mended has to be.
pub const CALM_EPOCHS: u64 = 4;
/// The fewest epochs of a run: one to store the files, two with faults, and the calm.
pub const EPOCHS_MIN: u64 = CALM_EPOCHS + 3;

/// Which faults are injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Damage to stored artifacts and nothing else.
    None,
    /// Nodes crash at any await point and restart from what was durable.
    Crashes,
    /// Partitions, slow links, lost and repeated messages, unreachable nodes, clocks that differ.
    Network,
    /// Slow, failing and full disks.
    Disk,
    /// The chain answers late, wrongly or not at all, and loses, delays and reorders transactions.
    Chain,
    /// One node lies: as a healer, or as a verifier.
    Liars,
    /// All of it.
    All,
    /// One of the others, drawn from the seed.
    Mix,
}

/// What `mix` draws from. Those in which faults meet come more often.
const MIXED: [Profile; 8] = [
    Profile::None,
    Profile::Crashes,
    Profile::Crashes,
    Profile::Network,
    Profile::Disk,
    Profile::Chain,
    Profile::Liars,
    Profile::All,
];

impl Profile {
    /// The profile of one run: `mix` has become another one.
    pub fn of_seed(self, seed: u64) -> Self {
        if self != Self::Mix {
            return self;
        }
        let hash = blake3::derive_key("lampkeeper simulated profile", &seed.to_le_bytes());
        MIXED[usize::from(hash[0]) % MIXED.len()]
    }

    /// Whether nodes crash.
    pub const fn has_crashes(self) -> bool {
        matches!(self, Self::Crashes | Self::All)
    }

    /// Whether the network breaks.
    pub const fn has_network_faults(self) -> bool {
        matches!(self, Self::Network | Self::All)
    }

    /// Whether disks fail.
    pub const fn has_disk_faults(self) -> bool {
        matches!(self, Self::Disk | Self::All)
    }

    /// Whether the chain fails.
    pub const fn has_chain_faults(self) -> bool {
        matches!(self, Self::Chain | Self::All)
    }

    /// Whether a node lies.
    pub const fn has_liars(self) -> bool {
        matches!(self, Self::Liars | Self::All)
    }

    /// Whether every heal between honest nodes has to succeed: the faults are short compared with its deadline.
    pub const fn lets_every_heal_succeed(self) -> bool {
        matches!(self, Self::None | Self::Crashes)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

/// What is drawn for a run besides its faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How the nodes heal.
    pub strategy: &'static str,
    /// Epochs that a heal may take.
    pub heal_deadline_epochs: u32,
    /// One node in so many is challenged in each epoch.
    pub challenge_divisor: u32,
    /// Id files of each kind that a ticket has.
    pub id_files: u32,
    /// Artifacts of each target that are probed in an epoch.
    pub probes_per_target: u32,
    /// Files that are stored.
    pub files: u64,
    /// The longest of them, in bytes.
    pub file_len_bytes_max: u64,
}

impl Shape {
    /// Draws it; `draw` gives a number below another one.
    pub fn draw(profile: Profile, draw: impl Fn(u64) -> u64) -> Self {
        // A heal that has to succeed is given the default time; others race against shorter deadlines.
        let heal_deadline_epochs = if profile.lets_every_heal_succeed() || draw(2) == 0 { 3 } else { 2 };
        let strategy = if draw(4) == 0 { "heal-full" } else { "heal-minimal" };
        // Many artifacts and many challenges cost much and show little more; so they are rare.
        let is_rare = |one_in| draw(one_in) == 0;
        let number = |below| u32::try_from(draw(below)).unwrap_or_default();
        Self {
            strategy,
            heal_deadline_epochs,
            challenge_divisor: if is_rare(8) { 1 } else { 2 + number(2) },
            id_files: if is_rare(32) { 50 } else { 2 + number(4) },
            probes_per_target: if is_rare(16) { 16 } else { number(3) },
            files: if is_rare(8) { 3 } else { 1 + draw(2) },
            file_len_bytes_max: if is_rare(16) { 300_000 } else { 100_000 },
        }
    }
}

/// One run. The same options give the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimOptions {
    /// What everything is drawn from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: u16,
    /// How many epochs, at least [`EPOCHS_MIN`].
    pub epochs: u64,
    /// What goes wrong; not `mix`.
    pub profile: Profile,
    /// Whether to keep the trace.
    pub keeps_trace: bool,
    /// What is wrong with every node, to see that the rules notice it.
    pub defect: Option<Defect>,
}

impl SimOptions {
    /// The options of one of many runs.
    pub fn of_seed(self, seed: u64) -> Self {
        Self { seed, profile: self.profile.of_seed(seed), ..self }
    }

    /// The last height at which faults begin.
    pub const fn storm_end_height(&self) -> i64 {
        ((self.epochs - CALM_EPOCHS) * EPOCH_LENGTH_BLOCKS).cast_signed()
    }

    /// The last height.
    pub const fn end_height(&self) -> i64 {
        (self.epochs * EPOCH_LENGTH_BLOCKS).cast_signed()
    }

    /// The command that repeats this run.
    pub fn replay_command(&self) -> String {
        let Self { seed, nodes, epochs, profile, .. } = self;
        let defect = self.defect.map_or_else(String::new, |defect| format!(" --defect {defect}"));
        format!("lampkeeper sim --seed {seed} --nodes {nodes} --epochs {epochs} --faults {profile}{defect}")
    }
}
