//! The action module: cascade actions from request to approval or expiry (chain Appendix C).
//!
//! SENSE actions are not simulated; a message for one is refused as an invalid action type.

pub mod commitment;
mod expiry;
mod fees;
mod finalize;
pub mod merkle;
mod request;
mod settle;

use request::parse_metadata;

use crate::refusal::{Refusal, action};

/// The name of the action type in events.
const CASCADE_NAME: &str = "ACTION_TYPE_CASCADE";

/// Accepts the names of the simulated action type, in any case.
fn is_cascade(action_type: &str) -> Result<(), Refusal> {
    let name = action_type.to_ascii_uppercase();
    if name == "CASCADE" || name == CASCADE_NAME {
        return Ok(());
    }
    let words = format!("action type {action_type:?} is not simulated; use CASCADE");
    Err(action::INVALID_TYPE.because(words))
}

pub(crate) mod base64_bytes {
    //! Bytes as base64 text, as the proto JSON of the metadata has them.
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

pub(crate) mod base64_list {
    //! A list of byte strings as base64 texts.
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(list: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| STANDARD.encode(bytes)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.into_iter().map(|text| STANDARD.decode(text).map_err(D::Error::custom)).collect()
    }
}
