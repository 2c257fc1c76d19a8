//! What commands print, and with which code they end.
//!
//! Owns standard output and standard error for commands other than `devnet`.
#![expect(clippy::print_stderr, reason = "this module is what prints for the commands")]

use crate::cli::exit;
use std::io::Write as _;
use std::process::ExitCode;

/// Why a command failed: what to tell, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// For people; one problem a line.
    pub message: String,
    /// One of [`exit`].
    pub code: u8,
}

impl Failure {
    /// It was tried and failed.
    pub fn failed(message: impl ToString) -> Self {
        Self { message: message.to_string(), code: exit::FAILED }
    }

    /// The input is wrong, and nothing was started.
    pub fn invalid(message: impl ToString) -> Self {
        Self { message: message.to_string(), code: exit::INVALID_INPUT }
    }
}

/// A command's end.
pub type Outcome = Result<(), Failure>;

/// Prints a line of the answer. A reader that has closed its end, as `head` does, has seen what it wanted.
pub fn line(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
}

/// Prints an answer as JSON.
pub fn json(value: &serde_json::Value) {
    let _ = writeln!(std::io::stdout(), "{value:#}");
}

/// Prints something that happened, for the program that reads standard output. Whether that is still there is not this
/// one's business.
pub fn event(value: &serde_json::Value) {
    let _ = writeln!(std::io::stdout(), "{value}");
}

/// Prints a remark that is not part of the answer.
pub fn remark(text: &str) {
    eprintln!("{text}");
}

/// The exit code, after a failure was told.
#[must_use]
pub fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::from(exit::OK),
        Err(failure) => {
            for line in failure.message.lines() {
                eprintln!("lampkeeper: {line}");
            }
            ExitCode::from(failure.code)
        }
    }
}
