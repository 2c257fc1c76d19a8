//! What is wrong with a scenario file, and in which line.

use std::fmt;

/// A mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Counts from 1; 0 if it is not known.
    pub(super) line: usize,
    /// What is wrong and what to write instead.
    pub(super) message: String,
}

impl Problem {
    pub(super) fn at(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }

    /// The same, in this line if none is known.
    pub(super) const fn or_at(mut self, line: usize) -> Self {
        if self.line == 0 {
            self.line = line;
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for Problem {}

impl serde::de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::at(0, message.to_string())
    }
}

/// That a name is none of those that are known, with the closest of them.
pub(super) fn unknown(line: usize, what: &str, name: &str, known: &[&str]) -> Problem {
    let closest = known.iter().min_by_key(|candidate| distance(name, candidate));
    let hint = match closest {
        Some(closest) if distance(name, closest) <= 3 => format!("did you mean `{closest}`? "),
        _ => String::new(),
    };
    Problem::at(line, format!("unknown {what} `{name}`; {hint}known are {}", known.join(", ")))
}

/// How many letters differ (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (index, left_char) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, right_char) in right.chars().enumerate() {
            let replaced = diagonal + usize::from(left_char != right_char);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
