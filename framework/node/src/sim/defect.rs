//! Defects that a simulated node can be built with, to see that the rules notice them.
//!
//! Owns their names and what each stands for. They are carried out where a node meets the world: in its chain client, its
//! transport and its disk; the plugins are always the real ones.

use clap::ValueEnum;
use std::fmt;

/// What is wrong with every node of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Defect {
    /// What the chain has executed is submitted again.
    SubmitsTwice,
    /// The journal forgets in a crash that a message was executed.
    ForgetsExecution,
    /// Publishes as soon as it has claimed.
    PublishesEarly,
    /// The disk forgets a sealed reconstruction in a crash.
    LosesStaging,
    /// Takes "the chain can't be asked" for "there is no such operation", for good.
    BelievesSilence,
    /// Serves bytes without looking at them.
    ServesDamage,
    /// Every healer claims a wrong hash, and every verifier agrees.
    AgreesToAnything,
    /// Votes the opposite of what it found.
    VotesTheOpposite,
    /// Acknowledges artifacts and does not keep them.
    KeepsNothing,
    /// Reports a failure instead of a proof.
    AccusesOthers,
    /// Never reports.
    NeverReports,
    /// Never claims what it has reconstructed.
    NeverClaims,
    /// Never forgets a claim.
    KeepsClaims,
    /// The store loses everything in the end.
    LosesFiles,
    /// Takes it that the chain has no report of its own, instead of asking.
    NeverAsks,
    /// The chain client panics in a service.
    Panics,
    /// The chain client panics in the tasks of a service.
    PanicsInTasks,
    /// The journal can't be opened.
    NeverStarts,
}

impl fmt::Display for Defect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}
