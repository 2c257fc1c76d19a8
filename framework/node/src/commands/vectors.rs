//! `vectors check`: known answers, for this implementation's authors and for those of others.
//!
//! Owns the walk over a folder. What a set means is the protocol's (`vectors`).

use crate::output::{self, Failure, Outcome};
use lampkeeper_protocol::vectors::check_set;
use std::path::{Path, PathBuf};

/// The largest vector file that is read.
const FILE_LEN_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Failed cases of a set that are printed.
const FAILURES_SHOWN_MAX: usize = 10;

/// Checks every `.json` file of a folder.
pub fn check(dir: &Path) -> Outcome {
    let files = vector_files(dir)?;
    if files.is_empty() {
        return Err(Failure::invalid(format!("{} has no .json files", dir.display())));
    }
    let (mut passed, mut failed) = (0, 0);
    for file in &files {
        let (set_passed, set_failed) = check_file(file)?;
        passed += set_passed;
        failed += set_failed;
    }
    output::line(format!("{} sets: {passed} passed, {failed} failed", files.len()));
    if failed == 0 { Ok(()) } else { Err(Failure::failed(format!("{failed} known answers are not met"))) }
}

fn vector_files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(dir)
        .map_err(|error| Failure::invalid(format!("reading the folder {}: {error}", dir.display())))?;
    let mut files: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    Ok(files)
}

fn check_file(file: &Path) -> Result<(usize, usize), Failure> {
    let unreadable =
        |error: &dyn std::fmt::Display| Failure::invalid(format!("reading {}: {error}", file.display()));
    let len_bytes = std::fs::metadata(file).map_err(|error| unreadable(&error))?.len();
    if len_bytes > FILE_LEN_BYTES_MAX {
        return Err(unreadable(&format!("{len_bytes} bytes are more than a vector file may have")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(&error))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let report = check_set(&name, &text);
    output::line(format!("{name:<28} {:>5} passed {:>5} failed", report.passed, report.failed.len()));
    for failure in report.failed.iter().take(FAILURES_SHOWN_MAX) {
        output::line(format!("  {}", failure.name));
        output::line(format!("    expected {}", failure.expected));
        output::line(format!("    actual   {}", failure.actual));
    }
    if report.failed.len() > FAILURES_SHOWN_MAX {
        output::line(format!("  and {} more", report.failed.len() - FAILURES_SHOWN_MAX));
    }
    Ok((report.passed, report.failed.len()))
}
