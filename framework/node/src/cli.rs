//! The command line: what can be asked, in the words that `--help` prints.
//!
//! Owns the arguments and their checking. What the commands do is in `commands` and `devnet`.

use crate::commands::keys::KeysCommand;
use crate::commands::plugins::PluginsCommand;
use crate::devchain::DevchainArgs;
use crate::devnet::damage::Damage;
use crate::sim::{Defect, Profile, Seeds};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

/// The exit codes, which are the same for every command. 2 is the argument parser's: the command line is wrong.
pub mod exit {
    /// It was done.
    pub const OK: u8 = 0;
    /// It was tried and failed, or something was found wrong.
    pub const FAILED: u8 = 1;
    /// The manifest or another input is wrong; nothing was started.
    pub const INVALID_INPUT: u8 = 3;
    /// Nothing answers at the control socket.
    pub const NOT_RUNNING: u8 = 4;
    /// Stopped by Ctrl-C or a signal before it was done.
    pub const INTERRUPTED: u8 = 130;
}

/// A node for storage-truth networks: it challenges its peers, heals files and rechecks disputed verdicts.
#[derive(Debug, Parser)]
#[command(name = "lampkeeper", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done; 1 tried and failed, or something was found wrong; 2 wrong command line; \
    3 wrong manifest or input, nothing was started; 4 nothing is running there; 130 interrupted."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole network on this machine: store a file, damage it, watch it being found and healed.
    Devnet(Box<DevnetArgs>),
    /// Serve the simulated chain on a socket, as a real one is, for local networks and tests of chain clients.
    Devchain(Box<DevchainArgs>),
    /// Run whole networks under virtual time from a seed, with faults, and check what must hold.
    Sim(SimArgs),
    /// Run a node.
    Run(RunArgs),
    /// Check a manifest without starting anything; every problem is listed.
    Check(ManifestArgs),
    /// What plugins there are, and what each of them takes.
    #[command(subcommand)]
    Plugins(PluginsCommand),
    /// About manifests.
    #[command(subcommand)]
    Manifest(ManifestCommand),
    /// The file with a node's key.
    #[command(subcommand)]
    Keys(Box<KeysCommand>),
    /// Known answers of the protocol.
    #[command(subcommand)]
    Vectors(VectorsCommand),
    /// Scenarios of the simulated chain.
    #[command(subcommand)]
    Scenario(ScenarioCommand),
    /// How a running node, or a kept devnet, is doing.
    Status(ControlArgs),
    /// What a running node, or a kept devnet, has counted, in the text format of Prometheus.
    Metrics {
        /// The data directory of the running node or devnet; its control socket is in it.
        #[arg(long, value_name = "DIR", default_value = "devnet")]
        data_dir: PathBuf,
    },
    /// Store a file in the network; prints its ticket.
    Store {
        /// The file.
        file: PathBuf,
        /// Where the node runs.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Fetch a file from the network and compare it with its ticket.
    Fetch {
        /// The ticket.
        ticket: String,
        /// Where to write it; the ticket's file name in this directory if absent. Nothing is overwritten.
        #[arg(long, short, value_name = "PATH")]
        output: Option<PathBuf>,
        /// Where the node runs.
        #[command(flatten)]
        control: ControlArgs,
    },
    /// List the tickets that the node knows.
    Tickets(ControlArgs),
    /// Heals: what this node has staged and claimed, and what will become of it.
    #[command(subcommand)]
    Heals(HealsCommand),
    /// The scrub, which reads the node's whole store once in a cycle: how far it is; stand still; go on.
    #[command(subcommand)]
    Scrub(ScrubCommand),
    /// What this node's challenges came to; read from the running node, or from the journal of a stopped one.
    #[command(subcommand)]
    Challenges(ChallengesCommand),
    /// Evidence of failed challenges, which others can check: list it, export it, verify it.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Stop a running node or a kept devnet, and wait until it has.
    Stop(ControlArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Which manifest.
#[derive(Debug, Args)]
pub struct ManifestArgs {
    /// The manifest, a TOML file.
    #[arg(long, short, value_name = "PATH", default_value = "node.toml")]
    pub manifest: PathBuf,
}

/// Which node runs, and for whom.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Its manifest.
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Who started it.
    #[command(flatten)]
    pub starter: StarterArgs,
}

/// For programs that start this one.
#[derive(Debug, Clone, Copy, Args)]
pub struct StarterArgs {
    /// Print what happens on standard output, one JSON object a line.
    #[arg(long)]
    pub events: bool,
    /// Stop when standard input ends, as it does when the program that started this one is gone.
    #[arg(long)]
    pub until_stdin_ends: bool,
}

/// Where a running node is.
#[derive(Debug, Clone, Args)]
pub struct ControlArgs {
    /// The data directory of the running node or devnet; its control socket is in it.
    #[arg(long, value_name = "DIR", default_value = "devnet")]
    pub data_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Where a node's memory is.
#[derive(Debug, Clone, Args)]
pub struct MemoryArgs {
    /// The node's manifest: it names the data directory of a running node, and the journal of a stopped one.
    #[arg(long, short, value_name = "PATH", default_value = "node.toml")]
    pub manifest: PathBuf,
    /// Ask what runs with this data directory instead, such as a kept devnet.
    #[arg(long, value_name = "DIR", conflicts_with = "manifest")]
    pub data_dir: Option<PathBuf>,
    /// Of this node of a devnet alone.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What challenges came to.
#[derive(Debug, Subcommand)]
pub enum ChallengesCommand {
    /// List challenges, the latest first.
    List {
        /// Of this epoch alone.
        #[arg(long, value_name = "N")]
        epoch: Option<u64>,
        /// About this account alone.
        #[arg(long, value_name = "ACCOUNT")]
        target: Option<String>,
        /// Only those that count against their target.
        #[arg(long)]
        failed: bool,
        /// How many at most.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// Where to read.
        #[command(flatten)]
        memory: MemoryArgs,
    },
    /// Everything that is remembered of one challenge.
    Show {
        /// Its number in the list.
        number: u64,
        /// Where to read.
        #[command(flatten)]
        memory: MemoryArgs,
    },
}

/// Evidence of failed challenges.
#[derive(Debug, Subcommand)]
pub enum EvidenceCommand {
    /// List the evidence that is kept, the latest first.
    List {
        /// Of this epoch alone.
        #[arg(long, value_name = "N")]
        epoch: Option<u64>,
        /// Against this account alone.
        #[arg(long, value_name = "ACCOUNT")]
        target: Option<String>,
        /// How many at most.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// Where to read.
        #[command(flatten)]
        memory: MemoryArgs,
    },
    /// What a piece of evidence says and proves; or export its record.
    Show {
        /// Its id, or the beginning of it.
        id: String,
        /// Write the record to this file, which must not exist.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Where to read.
        #[command(flatten)]
        memory: MemoryArgs,
    },
    /// Check records without asking anybody: what is proven, what is the challenger's word, what does not hold.
    Verify {
        /// The records.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// About manifests.
#[derive(Debug, Subcommand)]
pub enum ManifestCommand {
    /// Print the JSON Schema of manifests, for editors.
    Schema,
}

/// What to tell of heals.
#[derive(Debug, Subcommand)]
pub enum HealsCommand {
    /// What is staged or claimed, two lines each.
    List(HealsArgs),
    /// Everything about one heal operation: what is on disk, what the chain says, what comes next and what goes.
    Show {
        /// The operation.
        heal_op_id: u64,
        /// Which node.
        #[command(flatten)]
        args: HealsArgs,
    },
}

impl HealsCommand {
    /// Which node, and the operation if only one is meant.
    #[must_use]
    pub const fn parts(&self) -> (&HealsArgs, Option<u64>) {
        match self {
            Self::List(args) => (args, None),
            Self::Show { heal_op_id, args } => (args, Some(*heal_op_id)),
        }
    }
}

/// Whose heals.
#[derive(Debug, Args)]
pub struct HealsArgs {
    /// Where the node runs.
    #[command(flatten)]
    pub control: ControlArgs,
    /// Look at the data of this manifest's node, which is stopped, instead of asking a running one.
    #[arg(long, short, value_name = "PATH", conflicts_with = "data_dir")]
    pub manifest: Option<PathBuf>,
}

/// What the scrub is to do.
#[derive(Debug, Subcommand)]
pub enum ScrubCommand {
    /// How far it is, and what it found.
    Status(ControlArgs),
    /// Stand still from the next artifact on, across restarts, until it is resumed.
    Pause(ControlArgs),
    /// Go on where it stopped.
    Resume(ControlArgs),
}

impl ScrubCommand {
    /// Where the node runs, and whether the scrub is to pause from now on.
    #[must_use]
    pub const fn parts(&self) -> (&ControlArgs, Option<bool>) {
        match self {
            Self::Status(control) => (control, None),
            Self::Pause(control) => (control, Some(true)),
            Self::Resume(control) => (control, Some(false)),
        }
    }
}

/// Known answers.
#[derive(Debug, Subcommand)]
pub enum VectorsCommand {
    /// Check every vector file of a folder against this implementation.
    Check {
        /// The folder with the `.json` files.
        dir: PathBuf,
    },
}

/// Scenarios of the simulated chain.
#[derive(Debug, Subcommand)]
pub enum ScenarioCommand {
    /// Run scenario files and print what was expected and what was found; the format is in docs/scenarios.md.
    Run {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print the checks that passed, too.
        #[arg(long, short)]
        verbose: bool,
    },
}

/// Which heal strategy the nodes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Strategy {
    /// Heal what is missing and nothing else.
    Minimal,
    /// Encode the whole file again, for comparison.
    Full,
}

impl Strategy {
    /// The plugin behind it.
    #[must_use]
    pub const fn plugin_id(self) -> &'static str {
        match self {
            Self::Minimal => "heal-minimal",
            Self::Full => "heal-full",
        }
    }
}

/// The options of simulated networks.
#[derive(Debug, Clone, Args)]
pub struct SimArgs {
    /// What everything is drawn from: the same options give the same run.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// How many nodes.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(4..=50))]
    pub nodes: u16,
    /// How many epochs; the first stores files, the last four are without faults.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(7..=10_000))]
    pub epochs: u64,
    /// What goes wrong.
    #[arg(long, value_enum, value_name = "PROFILE", default_value_t = Profile::All)]
    pub faults: Profile,
    /// Run many seeds, the last one included, instead of one.
    #[arg(long, value_name = "FROM..TO", conflicts_with_all = ["seed", "trace"])]
    pub seeds: Option<Seeds>,
    /// With `--seeds`: how many runs at once.
    #[arg(long, value_name = "N", default_value = "1")]
    pub jobs: NonZeroUsize,
    /// With `--seeds`: say after each so many seeds how it goes.
    #[arg(long, value_name = "N", requires = "seeds")]
    pub progress: Option<NonZeroU64>,
    /// Build a known defect into every node, to see that the rules notice it.
    #[arg(long, value_enum, value_name = "DEFECT")]
    pub defect: Option<Defect>,
    /// Write what happened to this file.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

/// The options of a local network.
#[derive(Debug, Clone, Args)]
pub struct DevnetArgs {
    /// How many nodes.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(3..=50))]
    pub nodes: u16,
    /// The file to store, 1 byte to 1 GiB; one of 10 MB is generated if absent.
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// What to damage, once or several times:
    /// `symbols=N@NODES` deletes N symbols, `corrupt=N@NODES` flips bytes in N symbols, `index=N@NODES` and
    /// `layout=N@NODES` delete id files, `wipe@NODE` deletes everything a node holds, `down@NODE` takes a node down.
    /// NODES is a list such as `n2,n4`. `none` damages nothing.
    /// If absent, the last of the first four nodes loses one symbol in 300, at least 3.
    #[arg(long, value_name = "KIND", verbatim_doc_comment)]
    pub damage: Vec<Damage>,
    /// How the nodes heal.
    #[arg(long, value_enum, default_value_t = Strategy::Minimal)]
    pub strategy: Strategy,
    /// Let every node load the native plugins of this library, and use them for what they provide; once or several times.
    #[arg(long, value_name = "FILE")]
    pub plugin: Vec<PathBuf>,
    /// Length of an epoch in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=3600))]
    pub epoch_seconds: u32,
    /// Seed of everything that is drawn: keys, the generated file, what is damaged.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Where the network keeps its data. It must not exist, be empty, or hold an earlier devnet, which is replaced.
    #[arg(long, value_name = "DIR", default_value = "devnet")]
    pub data_dir: PathBuf,
    /// Run the chain and each node as a process of its own, on loopback sockets, with the wires of a real network.
    /// Whatever dies is started again.
    #[arg(long)]
    pub processes: bool,
    /// Go on running afterwards, for `status`, `store`, `fetch`, `tickets` and `stop`.
    #[arg(long)]
    pub keep: bool,
    /// Give up when the file is not healed after this many epochs.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..=10_000))]
    pub epochs_max: u64,
    /// Print one JSON event a line instead of a story.
    #[arg(long)]
    pub json: bool,
    /// Print the nodes' logs too, with this filter (such as `info` or `lampkeeper=debug`); they go to standard error.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
