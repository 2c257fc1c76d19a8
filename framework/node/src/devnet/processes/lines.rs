//! What the processes of a devnet print, one JSON object a line, as happenings.
//!
//! Owns the reading. What `lampkeeper run --events` prints is core's record of an event; what `lampkeeper devchain
//! --events` prints is made in `devchain`.

use super::super::story::Happening;
use lampkeeper_api::telemetry::{Event, Value};
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The event of a devchain that tells of a block.
pub const BLOCK: &str = "block";

/// A line of a node.
#[derive(Deserialize)]
struct NodeLine {
    node: String,
    event: String,
    fields: BTreeMap<String, Json>,
}

/// What a node told; `None` for a line that is something else.
pub fn of_node(line: &str) -> Option<Happening> {
    let read: NodeLine = serde_json::from_str(line).ok()?;
    let mut event = Event::new(read.event);
    for (name, value) in read.fields {
        if let Some(value) = value_of(&value) {
            event.fields.insert(name, value);
        }
    }
    Some(Happening::Node { name: read.node, event })
}

fn value_of(value: &Json) -> Option<Value> {
    match value {
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Bool(flag) => Some(Value::Bool(*flag)),
        Json::Number(number) => {
            number.as_i64().map(Value::Integer).or_else(|| number.as_f64().map(Value::Float))
        }
        Json::Array(items) => {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>().map(Value::List)
        }
        Json::Null | Json::Object(_) => None,
    }
}

/// What a devchain tells.
pub enum ChainLine {
    /// It has made a block.
    Block {
        /// The block's epoch.
        epoch_id: u64,
        /// Blocks of the epoch, with this one.
        blocks_done: u64,
    },
    /// Something happened in a block.
    Event(Happening),
}

/// A line of a devchain.
#[derive(Deserialize)]
struct ReadChainLine {
    event: String,
    height: i64,
    #[serde(default)]
    epoch_id: u64,
    #[serde(default)]
    epoch_start_height: i64,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

/// What a devchain told; `None` for a line that is something else, such as the first, its endpoint.
pub fn of_chain(line: &str) -> Option<ChainLine> {
    let read: ReadChainLine = serde_json::from_str(line).ok()?;
    if read.event == BLOCK {
        let blocks_done = u64::try_from(read.height - read.epoch_start_height + 1).unwrap_or_default();
        return Some(ChainLine::Block { epoch_id: read.epoch_id, blocks_done });
    }
    let ReadChainLine { event: kind, height, fields: attributes, .. } = read;
    Some(ChainLine::Event(Happening::Chain { height, kind, attributes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_nodes_become_events_with_their_types() {
        let line = r#"{"sequence":1,"time_ms":5,"node":"n2","plugin":"recheck","event":"recheck.submitted",
            "fields":{"epoch_id":7,"class":"PASS","ok":true,"share":0.5,"nodes":["a","b"],"none":null}}"#;
        let Some(Happening::Node { name, event }) = of_node(line) else { panic!("it is a node's") };
        let expected = Event::new("recheck.submitted")
            .with("epoch_id", 7_u64)
            .with("class", "PASS")
            .with("ok", true)
            .with("share", 0.5)
            .with("nodes", vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!((name.as_str(), event), ("n2", expected));
        assert!(of_node("http://127.0.0.1:1").is_none());
    }

    #[test]
    fn lines_of_the_chain_are_blocks_or_events() {
        let block = r#"{"event":"block","height":25,"epoch_id":1,"epoch_start_height":21}"#;
        assert!(matches!(of_chain(block), Some(ChainLine::Block { epoch_id: 1, blocks_done: 5 })));
        let event = r#"{"event":"x","height":25,"fields":{"a":"b"}}"#;
        let Some(ChainLine::Event(Happening::Chain { height: 25, kind, attributes })) = of_chain(event)
        else {
            panic!("it is an event")
        };
        assert_eq!((kind.as_str(), attributes["a"].as_str()), ("x", "b"));
        assert!(of_chain("http://127.0.0.1:1").is_none());
    }
}
