//! Many runs, one after another on each of some threads.
//!
//! Owns their order and their sum: every seed of the range is run once, whatever becomes of the others, and every failure
//! comes with the command that replays it. Seeds are begun in order, so a campaign that was stopped goes on after the
//! last seed that its progress told.

use super::options::SimOptions;
use super::run::Summary;
use super::{Seeds, counts, failed, line, run_contained, tell_violations};
use crate::output::{self, Failure, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::{Mutex, PoisonError};

/// Results of many runs.
struct Campaign {
    options: SimOptions,
    seeds: Seeds,
    progress: Option<NonZeroU64>,
    /// The next seed to begin; none is left after the last.
    next: Option<u64>,
    /// Seeds that have ended although one before them has not.
    ahead: BTreeSet<u64>,
    /// Seeds that have ended without a gap.
    ended_count: u64,
    failures: Vec<SimOptions>,
    rules: BTreeMap<&'static str, u64>,
    heals: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    profiles: BTreeMap<String, u64>,
}

/// Runs every seed.
pub fn many(options: SimOptions, seeds: Seeds, jobs: NonZeroUsize, progress: Option<NonZeroU64>) -> Outcome {
    let campaign = Mutex::new(Campaign::new(options, seeds, progress));
    let lock = || campaign.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| {
                while let Some(options) = { lock().begin() } {
                    let outcome = run_contained(options);
                    lock().end(options, outcome);
                }
            });
        }
    });
    let campaign = campaign.into_inner().unwrap_or_else(PoisonError::into_inner);
    campaign.tell();
    match campaign.failures.len() as u64 {
        0 => Ok(()),
        count => Err(failed(count, campaign.ended_count)),
    }
}

impl Campaign {
    fn new(options: SimOptions, seeds: Seeds, progress: Option<NonZeroU64>) -> Self {
        Self {
            options,
            seeds,
            progress,
            next: Some(seeds.first),
            ahead: BTreeSet::new(),
            ended_count: 0,
            failures: Vec::new(),
            rules: BTreeMap::new(),
            heals: BTreeMap::new(),
            faults: BTreeMap::new(),
            profiles: BTreeMap::new(),
        }
    }

    /// The options of the next run, if any is left.
    fn begin(&mut self) -> Option<SimOptions> {
        let seed = self.next?;
        self.next = (seed < self.seeds.last).then(|| seed + 1);
        Some(self.options.of_seed(seed))
    }

    fn end(&mut self, options: SimOptions, outcome: Result<Summary, Failure>) {
        match outcome {
            Ok(summary) => self.add(&summary),
            Err(failure) => {
                self.failures.push(options);
                *self.rules.entry("runs-end").or_default() += 1;
                output::line(failure.message);
            }
        }
        *self.profiles.entry(options.profile.to_string()).or_default() += 1;
        self.ahead.insert(options.seed);
        while self.ahead.remove(&(self.seeds.first + self.ended_count)) {
            self.ended_count += 1;
            let is_due = self.progress.is_some_and(|every| self.ended_count.is_multiple_of(every.get()));
            if is_due {
                let last = self.seeds.first + self.ended_count - 1;
                output::line(format!("seeds {}..{last}: {} failed", self.seeds.first, self.failures.len()));
            }
        }
    }

    fn add(&mut self, summary: &Summary) {
        for (status, count) in &summary.heals {
            *self.heals.entry(status).or_default() += count;
        }
        for (kind, count) in &summary.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        if let Some(first) = summary.violations.first() {
            self.failures.push(summary.options);
            *self.rules.entry(first.rule).or_default() += 1;
            output::line(line(summary));
            tell_violations(summary);
        }
    }

    fn tell(&self) {
        let SimOptions { nodes, epochs, .. } = self.options;
        let (runs, count) = (self.ended_count, self.failures.len());
        output::line(format!("{runs} runs · {nodes} nodes · {epochs} epochs · {count} failed"));
        let profiles: Vec<String> =
            self.profiles.iter().map(|(profile, count)| format!("{count} {profile}")).collect();
        output::line(format!("profiles: {}", profiles.join(", ")));
        output::line(format!("heals: {}", counts(&self.heals)));
        output::line(format!("faults: {}", counts(&self.faults)));
        if self.failures.is_empty() {
            return;
        }
        output::line(format!("rules broken, by runs: {}", counts(&self.rules)));
        for options in &self.failures {
            output::line(format!("  {}", options.replay_command()));
        }
    }
}
