//! The state as JSON text: equal states give equal text.

use super::State;

/// A state could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateFileError {
    /// Not the JSON of a state.
    #[error("reading a chain state from JSON failed; export it again with this version")]
    Read(#[source] serde_json::Error),
    /// The state holds something that JSON can't express.
    #[error("writing a chain state as JSON failed")]
    Write(#[source] serde_json::Error),
}

impl State {
    /// The whole state as indented JSON. The same state always gives the same text.
    ///
    /// # Errors
    /// If a planted number has no JSON form.
    pub fn to_json(&self) -> Result<String, StateFileError> {
        serde_json::to_string_pretty(self).map_err(StateFileError::Write)
    }

    /// The state that [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// If the text is not such a state.
    pub fn from_json(text: &str) -> Result<Self, StateFileError> {
        serde_json::from_str(text).map_err(StateFileError::Read)
    }
}
