//! The outcome of a suite: named checks, each passed or with what was expected and what was found.

use futures::FutureExt;
use lampkeeper_api::scheduler::TaskFailure;
use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::panic::AssertUnwindSafe;

/// Why a check failed, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the contract says.
    pub expected: String,
    /// What the implementation did.
    pub found: String,
}

/// What a check returns. `?` on any error makes it a failure.
pub type CheckResult = Result<(), Failure>;

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { expected: "no error".to_owned(), found: error.to_string() }
    }
}

/// One rule of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The rule.
    pub name: String,
    /// Why it does not hold; `None` if it does.
    pub failure: Option<Failure>,
}

/// All checks of a suite, in the order in which they ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seam.
    pub suite: String,
    /// The checks.
    pub checks: Vec<Check>,
}

impl Report {
    /// A report without checks.
    #[must_use]
    pub fn new(suite: &str) -> Self {
        Self { suite: suite.to_owned(), checks: Vec::new() }
    }

    /// Runs a check. A panic is a failure of this check only.
    pub async fn check(&mut self, name: &str, check: impl Future<Output = CheckResult>) {
        let failure = match AssertUnwindSafe(check).catch_unwind().await {
            Ok(outcome) => outcome.err(),
            Err(payload) => Some(Failure {
                expected: "no panic".to_owned(),
                found: TaskFailure::of_panic(&*payload).to_string(),
            }),
        };
        self.checks.push(Check { name: name.to_owned(), failure });
    }

    /// Whether every rule holds, and there was one.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.failures().next().is_none()
    }

    /// The rules that don't hold.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.failure.is_some())
    }

    /// For tests.
    ///
    /// # Panics
    /// If a rule does not hold, with the whole report.
    pub fn assert_passed(&self) {
        assert!(self.passed(), "{self}");
    }
}

impl Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failures().count();
        writeln!(formatter, "{}: {} of {} checks failed", self.suite, failed, self.checks.len())?;
        for check in &self.checks {
            match &check.failure {
                None => writeln!(formatter, "  ok      {}", check.name)?,
                Some(failure) => {
                    writeln!(formatter, "  FAILED  {}", check.name)?;
                    writeln!(formatter, "          expected: {}", failure.expected)?;
                    writeln!(formatter, "          found:    {}", failure.found)?;
                }
            }
        }
        Ok(())
    }
}

/// `found` is `expected`.
///
/// # Errors
/// If it is not.
pub fn equal<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> CheckResult {
    if found == expected {
        return Ok(());
    }
    Err(Failure { expected: format!("{what}: {}", short(&expected)), found: short(&found) })
}

/// Something that must be true is.
///
/// # Errors
/// If it is not.
pub fn holds(what: &str, is_so: bool) -> CheckResult {
    if is_so { Ok(()) } else { Err(Failure { expected: what.to_owned(), found: "it is not so".to_owned() }) }
}

/// The call was refused with an error of the right kind.
///
/// # Errors
/// If it was not.
pub fn refused<T: Debug, E: Debug>(
    what: &str,
    found: Result<T, E>,
    is_right_kind: impl FnOnce(&E) -> bool,
) -> CheckResult {
    match &found {
        Err(error) if is_right_kind(error) => Ok(()),
        _ => Err(Failure { expected: what.to_owned(), found: short(&found) }),
    }
}

/// Debug text without megabytes of it.
fn short(value: &impl Debug) -> String {
    const LEN_CHARS_MAX: usize = 400;
    let text = format!("{value:?}");
    match text.char_indices().nth(LEN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::VirtualScheduler;

    #[test]
    fn a_report_says_what_was_expected_and_what_was_found() {
        let mut report = Report::new("lamp");
        VirtualScheduler::new(0).block_on(async {
            report.check("burns", async { Ok(()) }).await;
            report.check("is bright", async { equal("lumens", 3, 800) }).await;
            report.check("holds together", async { panic!("glass") }).await;
        });
        assert!(!report.passed());
        let text = report.to_string();
        for part in [
            "2 of 3",
            "ok      burns",
            "FAILED  is bright",
            "lumens: 800",
            "found:    3",
            "it panicked: glass",
        ] {
            assert!(text.contains(part), "`{part}` is missing in:\n{text}");
        }
        assert!(!Report::new("nothing").passed(), "a suite without checks proves nothing");
    }
}
