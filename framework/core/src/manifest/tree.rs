//! The manifest as a tree of values, each with its place in the text.
//!
//! Owns the translation from TOML. Which values are right is decided elsewhere.

use serde_json::Value as Json;
use std::ops::Range;
use toml_edit::{Item, TableLike, Value};

/// Places in the text, in bytes.
pub(super) type Span = Range<usize>;

/// A value.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where it stands; for a table, its header or its key.
    pub(super) span: Span,
    pub(super) data: Data,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Data {
    Table(Vec<Entry>),
    Array(Vec<Node>),
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Datetime(String),
}

/// A key of a table and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
}

impl Node {
    /// The tree of a document.
    pub(super) fn of_document(document: &toml_edit::Document<&str>) -> Self {
        Self { span: 0..0, data: Data::Table(entries(document.as_table())) }
    }

    /// The entries of a table; none for anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of a table under `key`.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value under a path of keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.entry(key).map(|entry| &entry.node))
    }

    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same as JSON. Dates become text, and numbers that JSON does not know become null.
    pub(super) fn to_json(&self) -> Json {
        match &self.data {
            Data::Table(entries) => {
                Json::Object(entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect())
            }
            Data::Array(nodes) => Json::Array(nodes.iter().map(Self::to_json).collect()),
            Data::Text(text) | Data::Datetime(text) => Json::String(text.clone()),
            Data::Integer(number) => Json::from(*number),
            Data::Float(number) => Json::from(*number),
            Data::Bool(flag) => Json::Bool(*flag),
        }
    }
}

fn entries(table: &dyn TableLike) -> Vec<Entry> {
    table
        .iter()
        .map(|(key, item)| {
            let key_span = table.key(key).and_then(toml_edit::Key::span).unwrap_or_default();
            Entry { key: key.to_owned(), node: node(item, &key_span), key_span }
        })
        .collect()
}

fn node(item: &Item, key_span: &Span) -> Node {
    match item {
        Item::Table(table) => Node { span: key_span.clone(), data: Data::Table(entries(table)) },
        Item::ArrayOfTables(tables) => {
            let element = |table: &toml_edit::Table| Node {
                span: table.span().unwrap_or_else(|| key_span.clone()),
                data: Data::Table(entries(table)),
            };
            Node { span: key_span.clone(), data: Data::Array(tables.iter().map(element).collect()) }
        }
        Item::Value(value) => value_node(value, key_span),
        Item::None => Node { span: key_span.clone(), data: Data::Table(Vec::new()) },
    }
}

fn value_node(value: &Value, key_span: &Span) -> Node {
    let data = match value {
        Value::String(text) => Data::Text(text.value().clone()),
        Value::Integer(number) => Data::Integer(*number.value()),
        Value::Float(number) => Data::Float(*number.value()),
        Value::Boolean(flag) => Data::Bool(*flag.value()),
        Value::Datetime(datetime) => Data::Datetime(datetime.value().to_string()),
        Value::Array(values) => {
            Data::Array(values.iter().map(|element| value_node(element, key_span)).collect())
        }
        Value::InlineTable(table) => Data::Table(entries(table)),
    };
    Node { span: value.span().unwrap_or_else(|| key_span.clone()), data }
}
