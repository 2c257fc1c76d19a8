//! What a block or a transaction tells the outside, besides its effect on the state.

use serde::{Deserialize, Serialize};

/// An event: a kind and its attributes in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Event {
    /// The kind, such as `storage_truth_score_updated`.
    pub kind: String,
    /// Names and values.
    pub attributes: Vec<(String, String)>,
}

impl Event {
    /// An event without attributes.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), attributes: Vec::new() }
    }

    /// An event of the audit module.
    #[must_use]
    pub fn audit(kind: &str) -> Self {
        Self::new(kind).with("module", "audit")
    }

    /// Appends an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.attributes.push((name.to_owned(), value.to_string()));
        self
    }

    /// The value of the first attribute with this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
