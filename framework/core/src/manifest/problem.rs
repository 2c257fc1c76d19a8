//! What is wrong with a manifest, where, and what to write instead.

use super::tree::Span;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// One thing to change in a manifest.
///
/// Shown as a compiler would, so that editors and terminals can jump to it:
/// `node.toml:12:1: plugins.storage-fs.config.artifact_dir: unknown key; did you mean `artifacts_dir`?`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The manifest.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The key that it is about, with the tables it is in; empty for the text as a whole.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead, if that can be said.
    pub instead: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}: ", self.file.display(), self.line, self.column)?;
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.what)?;
        match &self.instead {
            Some(instead) => write!(formatter, "; {instead}"),
            None => Ok(()),
        }
    }
}

/// A problem whose place is not yet a line and a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) span: Span,
    pub(super) key: String,
    pub(super) what: String,
    pub(super) instead: Option<String>,
}

impl Finding {
    pub(super) fn new(span: &Span, key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { span: span.clone(), key: key.into(), what: what.into(), instead: None }
    }

    pub(super) fn instead(mut self, instead: impl Into<String>) -> Self {
        self.instead = Some(instead.into());
        self
    }

    /// The problem at this place of `text`.
    pub(super) fn located(self, file: &Path, text: &str) -> Problem {
        let (line, column) = line_and_column(text, self.span.start);
        Problem { file: file.to_owned(), line, column, key: self.key, what: self.what, instead: self.instead }
    }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
    (line, column)
}
