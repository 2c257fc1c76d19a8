//! A whole network, chain included, in one process under virtual time from one seed.
//!
//! Owns the command: one run or many, what is printed of a run, and the command that replays a failure. A run depends
//! on nothing but its options, so the same options give the same trace.

mod campaign;
mod defect;
mod disk;
mod excuses;
mod invariants;
mod ledger;
mod options;
mod run;
mod storm;
mod submissions;
mod watched;
mod world;

pub use defect::Defect;
pub use options::Profile;

use crate::cli::SimArgs;
use crate::output::{self, Failure, Outcome};
use options::{EPOCHS_MIN, SimOptions};
use run::{Summary, run};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;

/// Seeds, the last one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds {
    first: u64,
    last: u64,
}

impl std::str::FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
        let (first, last) = text.split_once("..").ok_or("write FROM..TO, such as 1..200")?;
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("{first} is above {last}"));
        }
        Ok(Self { first, last })
    }
}

/// Runs what the arguments ask for.
pub fn simulate(args: &SimArgs) -> Outcome {
    let options = SimOptions {
        seed: args.seed,
        nodes: args.nodes,
        epochs: args.epochs.max(EPOCHS_MIN),
        profile: args.faults,
        keeps_trace: args.trace.is_some(),
        defect: args.defect,
    };
    match args.seeds {
        Some(seeds) => campaign::many(options, seeds, args.jobs, args.progress),
        None => one(options.of_seed(args.seed), args.trace.as_deref()),
    }
}

fn one(options: SimOptions, trace: Option<&Path>) -> Outcome {
    let summary = run_contained(options)?;
    if let Some(path) = trace {
        write_trace(path, &summary.trace)?;
    }
    output::line(line(&summary));
    tell_violations(&summary);
    if summary.violations.is_empty() { Ok(()) } else { Err(failed(1, 1)) }
}

fn failed(count: u64, runs: u64) -> Failure {
    Failure::failed(format!("{count} of {runs} runs broke a rule"))
}

fn counts(of: &BTreeMap<&'static str, u64>) -> String {
    if of.is_empty() {
        return "none".to_owned();
    }
    of.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

/// A panic ends the run, not the program.
fn run_contained(options: SimOptions) -> Result<Summary, Failure> {
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(options)));
    let reason = match outcome {
        Ok(Ok(summary)) => return Ok(summary),
        Ok(Err(reason)) => reason,
        Err(payload) => lampkeeper_api::scheduler::TaskFailure::of_panic(&*payload).to_string(),
    };
    Err(Failure::failed(format!("{reason}\nreplay it with: {}", options.replay_command())))
}

#[expect(clippy::disallowed_methods, reason = "the trace is a file of the person who asked for it")]
fn write_trace(path: &Path, lines: &[String]) -> Outcome {
    let mut text = lines.join("\n");
    text.push('\n');
    std::fs::write(path, text).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

/// The one line of a run.
fn line(summary: &Summary) -> String {
    let SimOptions { seed, nodes, epochs, profile, .. } = summary.options;
    let outcome = if summary.violations.is_empty() { "ok" } else { "FAILED" };
    format!(
        "seed {seed} · {nodes} nodes · {epochs} epochs · faults {profile} · heals: {} · faults: {} · {} submissions · \
         trace {:016x} · {outcome}",
        counts(&summary.heals),
        counts(&summary.faults),
        summary.submissions,
        summary.trace_hash,
    )
}

fn tell_violations(summary: &Summary) {
    for violation in &summary.violations {
        let node = if violation.node.is_empty() { "the network" } else { &violation.node };
        let (rule, height, details) = (violation.rule, violation.height, &violation.details);
        output::line(format!("  {rule}: {node} after block {height}: {details}"));
    }
    if !summary.violations.is_empty() {
        output::line(format!("  replay it with: {}", summary.options.replay_command()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_written_as_a_range() {
        assert_eq!("3..7".parse(), Ok(Seeds { first: 3, last: 7 }));
        for wrong in ["", "3", "7..3", "a..b", "1..-2"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
    }
}
