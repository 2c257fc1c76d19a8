//! What is wrong with a scenario file, and in which line.

use serde::de;
use std::fmt;

/// A mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Counts from 1; 0 if it is not known.
    pub(super) line: usize,
    /// What is wrong and what to write instead.
    pub(super) message: String,
    /// Whether the message begins with the key that it is about.
    has_key: bool,
}

impl Problem {
    pub(super) fn at(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into(), has_key: false }
    }

    /// The same, about this key if it is about none.
    pub(super) fn or_key(mut self, key: &str) -> Self {
        if !self.has_key {
            self.has_key = true;
            self.message = format!("`{key}`: {}", self.message);
        }
        self
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

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::at(0, message.to_string())
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::at(0, format!("this is {found}; write {}", words_for(&expected.to_string())))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::at(0, format!("{found} does not fit here; write {}", words_for(&expected.to_string())))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        unknown(0, "value", variant, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        unknown(0, "key", field, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        let message = format!("`{field}` is missing here; add `{field} = ...`");
        Self { line: 0, message, has_key: true }
    }
}

/// What to write where a type of the program is expected.
fn words_for(expected: &str) -> &str {
    match expected {
        "i8" | "i16" | "i32" | "i64" | "i128" => "a whole number in its range",
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number in its range, not below 0",
        "f32" | "f64" => "a number with a point, such as 1.0",
        "a string" | "str" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list such as [ ... ]",
        "a map" => "a table such as { key = value }",
        other => other,
    }
}

/// That a name is none of those that are known, with the closest of them.
pub(super) fn unknown(line: usize, what: &str, name: &str, known: &[&str]) -> Problem {
    let closest = known.iter().min_by_key(|candidate| distance(name, candidate));
    let hint = match closest {
        Some(closest) if distance(name, closest) <= 3 => format!("did you mean `{closest}`? "),
        _ => String::new(),
    };
    let message = format!("unknown {what} `{name}`; {hint}known are {}", known.join(", "));
    Problem { line, message, has_key: what == "key" }
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
