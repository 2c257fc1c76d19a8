//! Compares a table of the manifest with the JSON Schema that describes it.
//!
//! Owns the part of JSON Schema that config structs are described with: types, properties, enums, ranges, formats,
//! arrays, references and alternatives. A keyword it does not know is passed over, never a false alarm: what it can't
//! see the plugin's own deserialization still refuses.

use super::describe::{example, expected, kind_name, one_of};
use super::problem::Finding;
use super::tree::{Data, Entry, Node, Span};
use crate::suggest::closest;
use serde_json::{Map, Value};

/// References that are followed in a row before a schema counts as circular.
const REFERENCE_DEPTH_MAX: usize = 32;

/// A schema, and the document that its references point into.
#[derive(Clone, Copy)]
pub(super) struct Schema<'a> {
    pub(super) root: &'a Value,
    pub(super) value: &'a Value,
}

impl<'a> Schema<'a> {
    /// A whole document.
    pub(super) const fn document(root: &'a Value) -> Self {
        Self { root, value: root }
    }

    pub(super) const fn within(self, value: &'a Value) -> Self {
        Self { root: self.root, value }
    }

    pub(super) fn get(self, keyword: &str) -> Option<&'a Value> {
        self.value.get(keyword)
    }

    /// The schema that this one refers to; itself, if it refers to none that can be found.
    pub(super) fn resolved(self) -> Self {
        let mut schema = self;
        for _ in 0..REFERENCE_DEPTH_MAX {
            let target = schema
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|reference| self.root.pointer(reference.strip_prefix('#')?));
            match target {
                Some(target) => schema = self.within(target),
                None => break,
            }
        }
        schema
    }

    /// The alternatives of `oneOf` or `anyOf`.
    pub(super) fn alternatives(self) -> Option<Vec<Self>> {
        let list = self.get("oneOf").or_else(|| self.get("anyOf"))?.as_array()?;
        Some(list.iter().map(|alternative| self.within(alternative)).collect())
    }
}

/// Everything that is wrong with `node`, which stands under `key`.
pub(super) fn check(node: &Node, key: &str, schema: Schema<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    Checker { findings: &mut findings }.check(node, key, schema);
    findings
}

struct Checker<'a> {
    findings: &'a mut Vec<Finding>,
}

impl Checker<'_> {
    fn check(&mut self, node: &Node, key: &str, schema: Schema<'_>) {
        let target = schema.resolved();
        if !std::ptr::eq(target.value, schema.value) {
            self.check(node, key, target);
        }
        if !self.has_right_type(node, key, schema) || !self.is_one_of(node, key, schema) {
            return;
        }
        match &node.data {
            Data::Table(entries) => self.check_table(node, entries, key, schema),
            Data::Array(nodes) => self.check_array(node, nodes, key, schema),
            Data::Integer(number) => self.check_integer(node, *number, key, schema),
            Data::Float(number) => self.check_float(node, *number, key, schema),
            Data::Text(text) => self.check_text(node, text, key, schema),
            Data::Bool(_) | Data::Datetime(_) => {}
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.check(node, key, schema.within(part));
        }
        if let Some(alternatives) = schema.alternatives() {
            self.check_alternatives(node, key, schema, &alternatives);
        }
    }

    fn report(&mut self, span: &Span, key: &str, what: impl Into<String>, instead: impl Into<String>) {
        self.findings.push(Finding::new(span, key, what).instead(instead));
    }

    fn has_right_type(&mut self, node: &Node, key: &str, schema: Schema<'_>) -> bool {
        let names: Vec<&str> = match schema.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => return true,
        };
        let right = names.iter().any(|name| has_type(&node.data, name));
        if !right {
            let what = format!("expected {}, found {}", expected(schema), kind_name(&node.data));
            self.findings.push(Finding::new(&node.span, key, what).instead(example(last_part(key), schema)));
        }
        right
    }

    fn is_one_of(&mut self, node: &Node, key: &str, schema: Schema<'_>) -> bool {
        let allowed: Vec<&Value> = match (schema.get("enum"), schema.get("const")) {
            (Some(Value::Array(allowed)), _) => allowed.iter().collect(),
            (_, Some(allowed)) => vec![allowed],
            _ => return true,
        };
        self.is_among(node, key, &allowed)
    }

    fn is_among(&mut self, node: &Node, key: &str, allowed: &[&Value]) -> bool {
        let found = node.to_json();
        if allowed.iter().any(|value| **value == found) {
            return true;
        }
        let words = allowed.iter().filter_map(|value| value.as_str());
        let meant = found.as_str().and_then(|word| closest(word, words));
        let instead = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("write {}", one_of(allowed)),
        };
        self.report(&node.span, key, format!("{found} is not a value of this key"), instead);
        false
    }

    fn check_table(&mut self, node: &Node, entries: &[Entry], key: &str, schema: Schema<'_>) {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let open = schema.get("patternProperties").is_some();
        for entry in entries {
            let path = joined(key, &entry.key);
            match (properties.get(&entry.key), schema.get("additionalProperties")) {
                (Some(property), _) => self.check(&entry.node, &path, schema.within(property)),
                (None, Some(Value::Bool(false))) if !open => {
                    let instead = unknown_key_advice(&entry.key, properties.keys().map(String::as_str));
                    self.report(&entry.key_span, &path, "unknown key", instead);
                }
                (None, Some(other @ Value::Object(_))) if !open => {
                    self.check(&entry.node, &path, schema.within(other));
                }
                (None, _) => {}
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str).filter(|name| node.entry(name).is_none()) {
            let property = properties.get(name).map(|property| schema.within(property));
            let instead =
                property.map_or_else(|| format!("add `{name}`"), |property| example(name, property));
            self.report(&node.span, &joined(key, name), "missing", instead);
        }
    }

    fn check_array(&mut self, node: &Node, nodes: &[Node], key: &str, schema: Schema<'_>) {
        let bound = |keyword| schema.get(keyword).and_then(Value::as_u64);
        let count = nodes.len() as u64;
        if bound("minItems").is_some_and(|min| count < min)
            || bound("maxItems").is_some_and(|max| count > max)
        {
            let what = format!("{count} values are too few or too many");
            self.report(&node.span, key, what, format!("write {}", expected(schema)));
        }
        if let Some(items) = schema.get("items") {
            for (index, element) in nodes.iter().enumerate() {
                self.check(element, &format!("{key}[{index}]"), schema.within(items));
            }
        }
    }

    fn check_integer(&mut self, node: &Node, number: i64, key: &str, schema: Schema<'_>) {
        let (min, max) = integer_range(schema);
        if min.is_some_and(|min| i128::from(number) < min) || max.is_some_and(|max| i128::from(number) > max)
        {
            self.report(
                &node.span,
                key,
                format!("{number} is out of range"),
                format!("write {}", expected(schema)),
            );
        }
    }

    fn check_float(&mut self, node: &Node, number: f64, key: &str, schema: Schema<'_>) {
        let bound = |keyword| schema.get(keyword).and_then(Value::as_f64);
        let out_of_range = bound("minimum").is_some_and(|min| number < min)
            || bound("maximum").is_some_and(|max| number > max)
            || bound("exclusiveMinimum").is_some_and(|min| number <= min)
            || bound("exclusiveMaximum").is_some_and(|max| number >= max);
        // JSON, in which a plugin gets its configuration, has neither infinities nor NaN.
        if out_of_range || !number.is_finite() {
            self.report(
                &node.span,
                key,
                format!("{number} is out of range"),
                format!("write {}", expected(schema)),
            );
        }
    }

    fn check_text(&mut self, node: &Node, text: &str, key: &str, schema: Schema<'_>) {
        let letters = text.chars().count() as u64;
        let bound = |keyword| schema.get(keyword).and_then(Value::as_u64);
        if bound("minLength").is_some_and(|min| letters < min) {
            let what = if text.is_empty() {
                "empty".to_owned()
            } else {
                format!("{letters} characters are too few")
            };
            self.report(&node.span, key, what, format!("write {}", expected(schema)));
        } else if bound("maxLength").is_some_and(|max| letters > max) {
            let what = format!("{letters} characters are too many");
            self.report(&node.span, key, what, format!("write {}", expected(schema)));
        }
    }

    /// Reports nothing if one alternative fits, else what is wrong with the one that was most likely meant.
    fn check_alternatives(
        &mut self,
        node: &Node,
        key: &str,
        schema: Schema<'_>,
        alternatives: &[Schema<'_>],
    ) {
        let constants: Option<Vec<&Value>> =
            alternatives.iter().map(|alternative| alternative.resolved().get("const")).collect();
        if let Some(constants) = constants.filter(|constants| !constants.is_empty()) {
            self.is_among(node, key, &constants);
            return;
        }
        let verdicts: Vec<Vec<Finding>> =
            alternatives.iter().map(|alternative| check(node, key, *alternative)).collect();
        if verdicts.iter().any(Vec::is_empty) {
            return;
        }
        // A finding about the value itself means that another kind of value was meant; deeper ones, that this
        // alternative was meant and has mistakes in it.
        let distance = |findings: &Vec<Finding>| {
            (findings.iter().any(|finding| finding.key == key), wrong_tags(findings), findings.len())
        };
        let Some(nearest) = verdicts.into_iter().min_by_key(distance) else { return };
        if nearest.iter().any(|finding| finding.key == key) {
            let what = format!("expected {}, found {}", expected(schema), kind_name(&node.data));
            self.findings.push(Finding::new(&node.span, key, what));
        } else {
            self.findings.extend(nearest);
        }
    }
}

/// How many of the findings say that a constant, such as the tag of a variant, is another one.
fn wrong_tags(findings: &[Finding]) -> usize {
    findings.iter().filter(|finding| finding.what.ends_with("is not a value of this key")).count()
}

fn unknown_key_advice<'a>(key: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match closest(key, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            let known: Vec<String> = known.map(|key| format!("`{key}`")).collect();
            if known.is_empty() {
                "remove it: there is nothing to set here".to_owned()
            } else {
                format!("known here: {}", known.join(", "))
            }
        }
    }
}

fn has_type(data: &Data, name: &str) -> bool {
    match data {
        Data::Table(_) => name == "object",
        Data::Array(_) => name == "array",
        Data::Text(_) | Data::Datetime(_) => name == "string",
        Data::Integer(_) => matches!(name, "integer" | "number"),
        Data::Float(_) => name == "number",
        Data::Bool(_) => name == "boolean",
    }
}

/// The smallest and largest whole number that a schema takes.
pub(super) fn integer_range(schema: Schema<'_>) -> (Option<i128>, Option<i128>) {
    let bound = |keyword| schema.get(keyword).and_then(whole_number);
    let min = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|min| min + 1));
    let max = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|max| max - 1));
    let (format_min, format_max) = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => (Some(0), Some(i128::from(u8::MAX))),
        Some("uint16") => (Some(0), Some(i128::from(u16::MAX))),
        Some("uint32") => (Some(0), Some(i128::from(u32::MAX))),
        Some("uint64" | "uint" | "uint128") => (Some(0), None),
        Some("int8") => (Some(i128::from(i8::MIN)), Some(i128::from(i8::MAX))),
        Some("int16") => (Some(i128::from(i16::MIN)), Some(i128::from(i16::MAX))),
        Some("int32") => (Some(i128::from(i32::MIN)), Some(i128::from(i32::MAX))),
        _ => (None, None),
    };
    (min.max(format_min), max.into_iter().chain(format_max).min())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a bound beyond any integer saturates, which keeps its meaning"
)]
fn whole_number(value: &Value) -> Option<i128> {
    let integer = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    integer.or_else(|| value.as_f64().map(|number| number as i128))
}

/// A key within the table `key`.
pub(super) fn joined(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}
