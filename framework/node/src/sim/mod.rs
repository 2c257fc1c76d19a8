//! A whole network, chain included, in one process under virtual time from one seed.
//!
//! Owns the command: one run or many, what is printed, and the command that replays a failure. A run depends on
//! nothing but its options, so the same options give the same trace.

mod disk;
mod invariants;
mod ledger;
mod options;
mod run;
mod storm;
mod watched;
mod world;

pub use options::Profile;

use crate::cli::SimArgs;
use crate::output::{self, Failure, Outcome};
use options::{EPOCHS_MIN, SimOptions};
use run::{Summary, run};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

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
    };
    match args.seeds {
        Some(seeds) => many(options, seeds, args.jobs),
        None => one(options, args.trace.as_deref()),
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

/// Results of many runs.
#[derive(Default)]
struct Tally {
    failed: u64,
    heals: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    rules: BTreeMap<&'static str, u64>,
}

fn many(options: SimOptions, seeds: Seeds, jobs: NonZeroUsize) -> Outcome {
    let next = AtomicU64::new(seeds.first);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds.last {
                        return;
                    }
                    let outcome = run_contained(SimOptions { seed, ..options });
                    tally.lock().unwrap_or_else(PoisonError::into_inner).add(outcome);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let runs = seeds.last - seeds.first + 1;
    output::line(format!(
        "{runs} runs · {} nodes · {} epochs · faults {} · {} failed · heals: {} · faults: {}",
        options.nodes,
        options.epochs,
        options.profile,
        tally.failed,
        counts(&tally.heals),
        counts(&tally.faults),
    ));
    if tally.failed == 0 {
        return Ok(());
    }
    output::line(format!("rules broken, by runs: {}", counts(&tally.rules)));
    Err(failed(tally.failed, runs))
}

impl Tally {
    fn add(&mut self, outcome: Result<Summary, Failure>) {
        let summary = match outcome {
            Ok(summary) => summary,
            Err(failure) => {
                self.failed += 1;
                *self.rules.entry("runs-end").or_default() += 1;
                return output::line(failure.message);
            }
        };
        for (status, count) in &summary.heals {
            *self.heals.entry(status).or_default() += count;
        }
        for (kind, count) in &summary.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        if let Some(first) = summary.violations.first() {
            self.failed += 1;
            *self.rules.entry(first.rule).or_default() += 1;
            output::line(line(&summary));
            tell_violations(&summary);
        }
    }
}

fn counts(of: &BTreeMap<&'static str, u64>) -> String {
    if of.is_empty() {
        return "none".to_owned();
    }
    of.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
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
