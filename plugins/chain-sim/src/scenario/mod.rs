//! Scenario files: a chain is set up, steps are taken, and what comes of them is compared with what is expected.
//!
//! Owns the format, which `docs/scenarios.md` describes, and running it. It has no rule of the chain and no list of what
//! a scenario may be about: records, messages, queries and functions are reached by name, everything else by JSON
//! pointers into the state. A run reads no clock and draws nothing: the same text gives the same report.
//!
//! ```
//! let text = r#"
//! [setup]
//! chain.height = 1
//! suspicion = [{ supernode_account = "sn-a", suspicion_score = 7 }]
//!
//! [[step]]
//! expect = [{ query = { name = "NodeSuspicionState", supernode_account = "sn-a" }, is = { suspicion_score = 7 } }]
//! "#;
//! let report = lampkeeper_chain_sim::scenario::run("example.toml", text);
//! assert!(report.passed(), "{report}");
//! ```

mod arguments;
mod base;
mod decode;
mod expect;
mod functions;
mod messages;
mod network;
mod numbers;
mod outcome;
mod pattern;
mod plant;
mod problem;
mod questions;
mod reference;
mod run;
mod stores;
mod value;

use std::fmt;

/// The longest scenario file, in bytes.
pub const SCENARIO_LEN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The step and its line.
    pub step: String,
    /// What was looked at.
    pub what: String,
    /// What the file expects.
    pub expected: String,
    /// What was there.
    pub found: String,
    /// Whether it is what was expected.
    pub passed: bool,
}

/// What running a file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioReport {
    /// The name that the file gives itself, or else that of the file.
    pub name: String,
    /// The comparisons, in order.
    pub checks: Vec<Check>,
    /// What is wrong with the file, as `file:line: what`; the run ended there.
    pub error: Option<String>,
}

impl ScenarioReport {
    /// Whether the file is sound, compares something, and everything is as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.error.is_none() && !self.checks.is_empty() && self.failures().next().is_none()
    }

    /// The comparisons that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.passed)
    }
}

impl fmt::Display for ScenarioReport {
    /// The failures, each with what was expected and found.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failures().count();
        writeln!(formatter, "{}: {} checks, {failed} failed", self.name, self.checks.len())?;
        for check in self.failures() {
            writeln!(formatter, "  {}: {}", check.step, check.what)?;
            writeln!(formatter, "    expected {}", check.expected)?;
            writeln!(formatter, "    found    {}", check.found)?;
        }
        match &self.error {
            Some(error) => writeln!(formatter, "  {error}"),
            None => Ok(()),
        }
    }
}

/// Runs the text of a scenario file. `path_name` is only used to name the file.
#[must_use]
pub fn run(path_name: &str, text: &str) -> ScenarioReport {
    let mut report = ScenarioReport { name: path_name.to_owned(), checks: Vec::new(), error: None };
    if text.len() > SCENARIO_LEN_BYTES_MAX {
        let length = text.len();
        report.error = Some(format!("{path_name}: {length} bytes are more than {SCENARIO_LEN_BYTES_MAX}"));
        return report;
    }
    match run::run(text, &mut report) {
        Ok(()) if report.checks.is_empty() => {
            report.error = Some(format!("{path_name}: nothing is expected here; add `expect` to a step"));
        }
        Ok(()) => {}
        Err(problem) => report.error = Some(format!("{path_name}:{}: {}", problem.line, problem.message)),
    }
    report
}
