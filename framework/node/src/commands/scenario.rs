//! `scenario run`: scenario files of the simulated chain, with what was expected and what was found.
//!
//! Owns the reading of files and the printing. The format and the running are the chain's (`chain_sim::scenario`).

use crate::output::{self, Failure, Outcome};
use lampkeeper_chain_sim::scenario::{self, SCENARIO_LEN_BYTES_MAX, ScenarioReport};
use std::path::{Path, PathBuf};

/// Runs every file. Failed checks are always printed, the others only if `verbose`.
///
/// # Errors
/// Exit code 3 for a file that can't be read, before any is run; 1 for a scenario that fails.
pub fn run(files: &[PathBuf], verbose: bool) -> Outcome {
    if files.is_empty() {
        return Err(Failure::invalid("no scenario file was named; try tests/scenarios/*.toml"));
    }
    let texts = files.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
    let (mut failed, mut check_count) = (0, 0);
    for (file, text) in files.iter().zip(&texts) {
        let report = scenario::run(&file.to_string_lossy(), text);
        print(&report, verbose);
        check_count += report.checks.len();
        failed += usize::from(!report.passed());
    }
    output::line(format!(
        "{} scenarios, {check_count} checks: {} passed, {failed} failed",
        files.len(),
        files.len() - failed
    ));
    if failed == 0 { Ok(()) } else { Err(Failure::failed(format!("{failed} scenarios failed"))) }
}

fn read(file: &Path) -> Result<String, Failure> {
    let unreadable = |reason: String| Failure::invalid(format!("reading {}: {reason}", file.display()));
    let len_bytes = std::fs::metadata(file).map_err(|error| unreadable(error.to_string()))?.len();
    if len_bytes > SCENARIO_LEN_BYTES_MAX as u64 {
        return Err(unreadable(format!("{len_bytes} bytes are more than a scenario may have")));
    }
    std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))
}

fn print(report: &ScenarioReport, verbose: bool) {
    let verdict = if report.passed() { "ok" } else { "FAILED" };
    output::line(format!("{verdict:<6} {} ({} checks)", report.name, report.checks.len()));
    for check in report.checks.iter().filter(|check| verbose || !check.passed) {
        let mark = if check.passed { "ok    " } else { "FAILED" };
        output::line(format!("  {mark} {}: {}", check.step, check.what));
        output::line(format!("         expected {}", check.expected));
        output::line(format!("         found    {}", check.found));
    }
    if let Some(error) = &report.error {
        output::line(format!("  {error}"));
    }
}
