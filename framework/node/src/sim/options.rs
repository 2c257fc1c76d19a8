//! What a simulated network is, and what is to go wrong in it.
//!
//! Owns the profiles and the length of each phase. Carrying faults out is the storm's part.

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
}

impl Profile {
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

/// One run. The same options give the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimOptions {
    /// What everything is drawn from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: u16,
    /// How many epochs, at least [`EPOCHS_MIN`].
    pub epochs: u64,
    /// What goes wrong.
    pub profile: Profile,
    /// Whether to keep the trace.
    pub keeps_trace: bool,
}

impl SimOptions {
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
        format!("lampkeeper sim --seed {seed} --nodes {nodes} --epochs {epochs} --faults {profile}")
    }
}
