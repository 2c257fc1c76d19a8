//! The values of a scenario file: TOML with the line of every value, and room for what only JSON has.
//!
//! Owns the conversions from TOML, from and to JSON, and JSON pointers. Reading typed data from a value is `decode`.

use super::problem::Problem;
use std::collections::BTreeMap;
use std::fmt;
use toml_edit::{Item, TableLike};

/// How deep a file may nest.
const DEPTH_MAX: usize = 64;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// Counts from 1; 0 for a value that stands in no file.
    pub(super) line: usize,
    pub(super) kind: Kind,
}

pub(super) type Table = BTreeMap<String, Value>;

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Table(Table),
}

impl From<Kind> for Value {
    fn from(kind: Kind) -> Self {
        Self { line: 0, kind }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Kind::Text(text.to_owned()).into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Kind::Text(text).into()
    }
}

impl Value {
    pub(super) const fn at(mut self, line: usize) -> Self {
        self.line = line;
        self
    }

    pub(super) fn integer(number: impl Into<i128>) -> Self {
        Kind::Integer(number.into()).into()
    }

    pub(super) fn bytes(bytes: &[u8]) -> Self {
        Kind::List(bytes.iter().map(|byte| Self::integer(*byte)).collect()).into()
    }

    /// What it is, for people.
    pub(super) const fn name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nil",
            Kind::Bool(_) => "a boolean",
            Kind::Integer(_) => "an integer",
            Kind::Float(_) => "a float",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }

    fn must_be(&self, what: &str) -> Problem {
        Problem::at(self.line, format!("this is {}; write {what}", self.name()))
    }

    pub(super) fn into_table(self) -> Result<Table, Problem> {
        match self.kind {
            Kind::Table(table) => Ok(table),
            _ => Err(self.must_be("a table such as { key = value }")),
        }
    }

    pub(super) fn into_list(self) -> Result<Vec<Self>, Problem> {
        match self.kind {
            Kind::List(list) => Ok(list),
            _ => Err(self.must_be("a list such as [ ... ]")),
        }
    }

    pub(super) fn into_text(self) -> Result<String, Problem> {
        match self.kind {
            Kind::Text(text) => Ok(text),
            _ => Err(self.must_be("a text in quotes")),
        }
    }

    pub(super) fn as_integer<T: TryFrom<i128>>(&self) -> Result<T, Problem> {
        match self.kind {
            Kind::Integer(number) => T::try_from(number)
                .map_err(|_| Problem::at(self.line, format!("{number} is out of the range of this value"))),
            _ => Err(self.must_be("a whole number")),
        }
    }

    pub(super) fn as_bool(&self) -> Result<bool, Problem> {
        match self.kind {
            Kind::Bool(value) => Ok(value),
            _ => Err(self.must_be("true or false")),
        }
    }

    /// The text that this value has as a key of a JSON map.
    pub(super) fn as_key(&self) -> Result<String, Problem> {
        match &self.kind {
            Kind::Text(text) => Ok(text.clone()),
            Kind::Integer(number) => Ok(number.to_string()),
            _ => Err(self.must_be("a text or a whole number")),
        }
    }

    /// The value under a JSON pointer.
    pub(super) fn pointer(&self, pointer: &str) -> Option<&Self> {
        pointer_parts(pointer)?.iter().try_fold(self, |value, part| match &value.kind {
            Kind::Table(table) => table.get(part),
            Kind::List(list) => list.get(part.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Writes under a JSON pointer. Missing tables are made; `-` appends to a list. `false` if it leads nowhere.
    pub(super) fn set_pointer(&mut self, pointer: &str, new: Self) -> bool {
        let Some(parts) = pointer_parts(pointer) else { return false };
        let mut value = self;
        for part in parts {
            value = match &mut value.kind {
                Kind::Table(table) => table.entry(part).or_insert_with(|| Kind::Table(Table::new()).into()),
                Kind::List(list) => {
                    if part == "-" {
                        list.push(Kind::Table(Table::new()).into());
                    }
                    let index = if part == "-" { list.len().checked_sub(1) } else { part.parse().ok() };
                    match index.and_then(|index| list.get_mut(index)) {
                        Some(element) => element,
                        None => return false,
                    }
                }
                _ => return false,
            };
        }
        *value = new;
        true
    }

    /// Lays another value over this one: tables are merged key by key, everything else is replaced.
    pub(super) fn merge(&mut self, over: Self) {
        match (&mut self.kind, over.kind) {
            (Kind::Table(table), Kind::Table(over_table)) => {
                for (key, value) in over_table {
                    match table.get_mut(&key) {
                        Some(earlier) => earlier.merge(value),
                        None => {
                            table.insert(key, value);
                        }
                    }
                }
                self.line = over.line;
            }
            (_, kind) => *self = Self { line: over.line, kind },
        }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.kind {
            Kind::Null => serde_json::Value::Null,
            Kind::Bool(value) => (*value).into(),
            Kind::Integer(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                _ => number.to_string().into(),
            },
            Kind::Float(number) => serde_json::Number::from_f64(*number)
                .map_or_else(|| number.to_string().into(), serde_json::Value::Number),
            Kind::Text(text) => text.as_str().into(),
            Kind::List(list) => list.iter().map(Self::to_json).collect(),
            Kind::Table(table) => serde_json::Value::Object(
                table.iter().map(|(key, value)| (key.clone(), value.to_json())).collect(),
            ),
        }
    }

    pub(super) fn from_json(json: serde_json::Value) -> Self {
        let kind = match json {
            serde_json::Value::Null => Kind::Null,
            serde_json::Value::Bool(value) => Kind::Bool(value),
            serde_json::Value::Number(number) => match number.as_i128() {
                Some(integer) => Kind::Integer(integer),
                None => Kind::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Kind::Text(text),
            serde_json::Value::Array(list) => Kind::List(list.into_iter().map(Self::from_json).collect()),
            serde_json::Value::Object(table) => {
                Kind::Table(table.into_iter().map(|(key, value)| (key, Self::from_json(value))).collect())
            }
        };
        kind.into()
    }

    /// The value of anything that serde can write. Numbers that JSON can't express become nil, which reads as NaN.
    pub(super) fn of(data: &impl serde::Serialize) -> Result<Self, Problem> {
        let json = serde_json::to_value(data)
            .map_err(|error| Problem::at(0, format!("this has no JSON form: {error}")))?;
        Ok(Self::from_json(json))
    }
}

impl fmt::Display for Value {
    /// As JSON; lists that can only be hashes or keys as hex, which is how a pattern may write them.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.with_hex().to_json())
    }
}

/// A list of numbers from this length on, all of which are bytes, is shown as hex.
const HEX_LEN_MIN: usize = 8;

impl Value {
    fn with_hex(&self) -> Self {
        let kind = match &self.kind {
            Kind::List(list) => {
                let bytes: Option<Vec<u8>> = list.iter().map(|element| element.as_integer().ok()).collect();
                match bytes {
                    Some(bytes) if bytes.len() >= HEX_LEN_MIN => Kind::Text(hex::encode(bytes)),
                    _ => Kind::List(list.iter().map(Self::with_hex).collect()),
                }
            }
            Kind::Table(table) => {
                Kind::Table(table.iter().map(|(key, value)| (key.clone(), value.with_hex())).collect())
            }
            kind => kind.clone(),
        };
        Self { line: self.line, kind }
    }
}

fn pointer_parts(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let parts = pointer.strip_prefix('/')?.split('/');
    Some(parts.map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

/// Parses a TOML text.
pub(super) fn parse(text: &str) -> Result<Table, Problem> {
    let lines = Lines::of(text);
    let document = toml_edit::Document::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| lines.line_of(span.start));
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        Problem::at(line, format!("this is not TOML: {what}"))
    })?;
    lines.table(document.as_table(), 1, 0)
}

/// Where the lines of a text begin.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { starts: std::iter::once(0).chain(breaks.map(|(index, _)| index + 1)).collect() }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    fn table(&self, table: &dyn TableLike, line: usize, depth: usize) -> Result<Table, Problem> {
        if depth > DEPTH_MAX {
            return Err(Problem::at(line, format!("tables and lists nest deeper than {DEPTH_MAX} here")));
        }
        let mut values = Table::new();
        for (name, item) in table.iter() {
            let span = item.span().or_else(|| table.key(name).and_then(toml_edit::Key::span));
            let line = span.map_or(line, |span| self.line_of(span.start));
            values.insert(name.to_owned(), self.item(item, line, depth + 1)?);
        }
        Ok(values)
    }

    fn item(&self, item: &Item, line: usize, depth: usize) -> Result<Value, Problem> {
        let kind = match item {
            Item::None => Kind::Null,
            Item::Value(value) => return self.value(value, line, depth),
            Item::Table(table) => Kind::Table(self.table(table, line, depth)?),
            Item::ArrayOfTables(tables) => {
                let mut list = Vec::new();
                for table in tables {
                    let line = table.span().map_or(line, |span| self.line_of(span.start));
                    list.push(Value::from(Kind::Table(self.table(table, line, depth + 1)?)).at(line));
                }
                Kind::List(list)
            }
        };
        Ok(Value { line, kind })
    }

    fn value(&self, value: &toml_edit::Value, line: usize, depth: usize) -> Result<Value, Problem> {
        let line = value.span().map_or(line, |span| self.line_of(span.start));
        if depth > DEPTH_MAX {
            return Err(Problem::at(line, format!("tables and lists nest deeper than {DEPTH_MAX} here")));
        }
        let kind = match value {
            toml_edit::Value::String(text) => Kind::Text(text.value().clone()),
            toml_edit::Value::Integer(number) => Kind::Integer((*number.value()).into()),
            toml_edit::Value::Float(number) => Kind::Float(*number.value()),
            toml_edit::Value::Boolean(value) => Kind::Bool(*value.value()),
            toml_edit::Value::Datetime(_) => {
                return Err(Problem::at(line, "dates have no meaning here; write milliseconds or a text"));
            }
            toml_edit::Value::Array(array) => Kind::List(
                array.iter().map(|value| self.value(value, line, depth + 1)).collect::<Result<_, _>>()?,
            ),
            toml_edit::Value::InlineTable(table) => Kind::Table(self.table(table, line, depth + 1)?),
        };
        Ok(Value { line, kind })
    }
}
