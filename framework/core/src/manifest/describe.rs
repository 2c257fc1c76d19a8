//! Schemas and values in words, for problems and for `plugins show`.

use super::check::{Schema, integer_range};
use super::tree::Data;
use serde::Serialize;
use serde_json::Value;

/// One key of a plugin's configuration, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigKey {
    /// The key, with the tables it is in.
    pub key: String,
    /// What it takes, such as `a whole number from 1 to 64`.
    pub takes: String,
    /// Its value where the manifest says nothing; `None` if it must be given or may be absent.
    pub default: Option<Value>,
    /// Whether it must be given.
    pub required: bool,
    /// Its documentation.
    pub description: String,
}

/// The deepest table in a configuration that is described.
const TABLE_DEPTH_MAX: usize = 8;

/// The keys of a configuration schema, by name; those of a table follow it.
#[must_use]
pub fn config_keys(schema: &Value) -> Vec<ConfigKey> {
    let mut keys = Vec::new();
    collect(Schema::document(schema), "", 0, &mut keys);
    keys
}

fn collect(schema: Schema<'_>, within: &str, depth: usize, keys: &mut Vec<ConfigKey>) {
    let schema = schema.resolved();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    for (name, property) in properties {
        let property = schema.within(property);
        let key = super::check::joined(within, name);
        let description = [property, property.resolved()]
            .iter()
            .find_map(|schema| schema.get("description").and_then(Value::as_str))
            .unwrap_or_default();
        keys.push(ConfigKey {
            takes: expected(property),
            default: property.get("default").filter(|value| !value.is_null()).cloned(),
            required: required.contains(&name.as_str()),
            description: description.to_owned(),
            key: key.clone(),
        });
        if depth < TABLE_DEPTH_MAX {
            collect(property, &key, depth + 1, keys);
        }
    }
}

/// What a schema takes.
pub(super) fn expected(schema: Schema<'_>) -> String {
    let schema = schema.resolved();
    if let Some(Value::Array(allowed)) = schema.get("enum") {
        return one_of(&allowed.iter().collect::<Vec<_>>());
    }
    if let Some(allowed) = schema.get("const") {
        return one_of(&[allowed]);
    }
    if let Some(alternatives) = schema.alternatives() {
        let constants: Option<Vec<&Value>> =
            alternatives.iter().map(|alternative| alternative.resolved().get("const")).collect();
        if let Some(constants) = constants {
            return one_of(&constants);
        }
        let mut words: Vec<String> = alternatives.into_iter().map(expected).collect();
        words.retain(|word| word != NOTHING);
        words.dedup();
        return words.join(" or ");
    }
    match schema.get("type") {
        Some(Value::String(name)) => expected_type(name, schema),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.map(|name| expected_type(name, schema)).collect::<Vec<_>>().join(" or ")
        }
        _ => "a value".to_owned(),
    }
}

/// How null is described: TOML has no way to write it, so that it is never advised.
const NOTHING: &str = "nothing";

fn expected_type(name: &str, schema: Schema<'_>) -> String {
    match name {
        "integer" => {
            let (min, max) = integer_range(schema);
            with_range("a whole number", min.map(|min| min.to_string()), max.map(|max| max.to_string()))
        }
        "number" => {
            let bound = |keyword| schema.get(keyword).and_then(Value::as_f64).map(|bound| bound.to_string());
            with_range("a number", bound("minimum"), bound("maximum"))
        }
        "string" => {
            let bound = |keyword| schema.get(keyword).and_then(Value::as_u64);
            let range = match (bound("minLength"), bound("maxLength")) {
                (None | Some(0), None) => return "text".to_owned(),
                (Some(1), None) => return "text that is not empty".to_owned(),
                (None | Some(0), Some(max)) => format!("at most {max}"),
                (Some(min), None) => format!("at least {min}"),
                (Some(min), Some(max)) => format!("{min} to {max}"),
            };
            format!("text of {range} characters")
        }
        "boolean" => "true or false".to_owned(),
        "array" => match schema.get("items") {
            Some(items) => format!("a list, each {}", expected(schema.within(items))),
            None => "a list".to_owned(),
        },
        "object" => "a table".to_owned(),
        "null" => NOTHING.to_owned(),
        other => other.to_owned(),
    }
}

fn with_range(what: &str, min: Option<String>, max: Option<String>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{what} from {min} to {max}"),
        (Some(min), None) => format!("{what} from {min}"),
        (None, Some(max)) => format!("{what} up to {max}"),
        (None, None) => what.to_owned(),
    }
}

/// Advice to write `name`, with a value that fits.
pub(super) fn example(name: &str, schema: Schema<'_>) -> String {
    let target = schema.resolved();
    let is_table = target.get("type").and_then(Value::as_str) == Some("object");
    if is_table {
        return format!("write it as a table, `[{name}]`");
    }
    let value = schema
        .get("default")
        .filter(|value| !value.is_null())
        .map(ToString::to_string)
        .or_else(|| target.get("examples").and_then(|list| list.get(0)).map(ToString::to_string))
        .unwrap_or_else(|| placeholder(target));
    format!("write `{name} = {value}` ({})", expected(schema))
}

fn placeholder(schema: Schema<'_>) -> String {
    let first_allowed = schema.get("enum").and_then(|allowed| allowed.get(0));
    let first_alternative = schema.alternatives().and_then(|alternatives| alternatives.first().copied());
    let name = match schema.get("type") {
        Some(Value::String(name)) => name.as_str(),
        Some(Value::Array(names)) => names.first().and_then(Value::as_str).unwrap_or_default(),
        _ => "",
    };
    match (first_allowed.or_else(|| schema.get("const")), first_alternative, name) {
        (Some(value), _, _) => value.to_string(),
        (None, Some(alternative), _) => placeholder(alternative.resolved()),
        (None, None, "integer") => integer_range(schema).0.unwrap_or(0).max(0).to_string(),
        (None, None, "number") => "1.0".to_owned(),
        (None, None, "boolean") => "true".to_owned(),
        (None, None, "array") => "[]".to_owned(),
        _ => "\"...\"".to_owned(),
    }
}

/// The allowed values, as a choice.
pub(super) fn one_of(allowed: &[&Value]) -> String {
    let allowed: Vec<String> =
        allowed.iter().filter(|value| !value.is_null()).map(|value| format!("`{value}`")).collect();
    match allowed.as_slice() {
        [] => NOTHING.to_owned(),
        [only] => only.clone(),
        [first, second] => format!("{first} or {second}"),
        many => format!("one of {}", many.join(", ")),
    }
}

/// What a value is.
pub(super) const fn kind_name(data: &Data) -> &'static str {
    match data {
        Data::Table(_) => "a table",
        Data::Array(_) => "a list",
        Data::Text(_) => "text",
        Data::Integer(_) => "a whole number",
        Data::Float(_) => "a number with a fraction",
        Data::Bool(_) => "true or false",
        Data::Datetime(_) => "a date",
    }
}
