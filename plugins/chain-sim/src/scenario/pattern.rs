//! Patterns: what a value has to look like.
//!
//! A table matches if each of its keys does; a list matches element by element; a table of operators says more. A
//! mismatch is told with the path to it.

use super::problem::{Problem, unknown};
use super::value::{Kind, Table, Value};
use std::cmp::Ordering;

/// Tables that have only these keys are operators.
const OPERATORS: [&str; 8] =
    ["at_least", "at_most", "not", "one_of", "contains", "length", "absent", "equals"];

/// Why a value does not match; `None` if it does.
pub(super) fn mismatch(pattern: &Value, found: &Value) -> Result<Option<String>, Problem> {
    compare(pattern, Some(found), "")
}

fn compare(pattern: &Value, found: Option<&Value>, path: &str) -> Result<Option<String>, Problem> {
    if let Kind::Table(table) = &pattern.kind
        && !table.is_empty()
        && table.keys().all(|key| OPERATORS.contains(&key.as_str()))
    {
        for (operator, operand) in table {
            if let Some(why) = apply(operator, operand, found, path)? {
                return Ok(Some(why));
            }
        }
        return Ok(None);
    }
    let Some(found) = found else { return Ok(Some(format!("{} is absent", place(path)))) };
    match (&pattern.kind, &found.kind) {
        (Kind::Table(pattern), Kind::Table(found)) => {
            for (key, pattern) in pattern {
                let child = format!("{path}/{key}");
                if let Some(why) = compare(pattern, found.get(key), &child)? {
                    return Ok(Some(why));
                }
            }
            Ok(None)
        }
        (Kind::List(patterns), Kind::List(list)) => {
            if patterns.len() != list.len() {
                return Ok(Some(format!(
                    "{} has {} elements, not {}",
                    place(path),
                    list.len(),
                    patterns.len()
                )));
            }
            for (index, (pattern, found)) in patterns.iter().zip(list).enumerate() {
                if let Some(why) = compare(pattern, Some(found), &format!("{path}/{index}"))? {
                    return Ok(Some(why));
                }
            }
            Ok(None)
        }
        _ if same(pattern, found) => Ok(None),
        _ => Ok(Some(format!("{} is {found}, not {pattern}", place(path)))),
    }
}

fn place(path: &str) -> String {
    if path.is_empty() { "it".to_owned() } else { format!("`{path}`") }
}

fn apply(
    operator: &str,
    operand: &Value,
    found: Option<&Value>,
    path: &str,
) -> Result<Option<String>, Problem> {
    let is_absent = found.is_none_or(|found| matches!(found.kind, Kind::Null));
    if operator == "absent" {
        let wanted = operand.as_bool()?;
        let words = if is_absent { "is absent" } else { "is there" };
        return Ok((wanted != is_absent).then(|| format!("{} {words}", place(path))));
    }
    let Some(found) = found else { return Ok(Some(format!("{} is absent", place(path)))) };
    let holds = match operator {
        "at_least" => order(found, operand)?.is_some_and(Ordering::is_ge),
        "at_most" => order(found, operand)?.is_some_and(Ordering::is_le),
        "not" => compare(operand, Some(found), path)?.is_some(),
        "equals" => same(operand, found),
        "length" => {
            let length = match &found.kind {
                Kind::List(list) => list.len(),
                Kind::Table(table) => table.len(),
                Kind::Text(text) => text.len(),
                _ => return Ok(Some(format!("{} is {} and has no length", place(path), found.name()))),
            };
            let length = Value::integer(i128::try_from(length).unwrap_or(i128::MAX));
            return compare(operand, Some(&length), &format!("{path} (length)"));
        }
        "one_of" => {
            let mut is_one = false;
            for pattern in operand.clone().into_list()? {
                is_one |= compare(&pattern, Some(found), path)?.is_none();
            }
            is_one
        }
        "contains" => contains(operand, found, path)?,
        other => return Err(unknown(operand.line, "operator", other, &OPERATORS)),
    };
    Ok((!holds).then(|| format!("{} is {found}, which is not `{operator} = {operand}`", place(path))))
}

fn contains(operand: &Value, found: &Value, path: &str) -> Result<bool, Problem> {
    match (&found.kind, &operand.kind) {
        (Kind::Text(text), Kind::Text(part)) => Ok(text.contains(part)),
        (Kind::Table(table), Kind::Text(key)) => Ok(table.contains_key(key)),
        (Kind::List(list), _) => {
            for element in list {
                if compare(operand, Some(element), path)?.is_none() {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}

fn order(found: &Value, bound: &Value) -> Result<Option<Ordering>, Problem> {
    let number = |value: &Value| match &value.kind {
        Kind::Integer(number) => Some(*number as f64),
        Kind::Float(number) => Some(*number),
        Kind::Text(text) => text.parse().ok(),
        _ => None,
    };
    if let (Kind::Integer(found), Kind::Integer(bound)) = (&found.kind, &bound.kind) {
        return Ok(Some(found.cmp(bound)));
    }
    let Some(bound_number) = number(bound) else {
        return Err(Problem::at(bound.line, format!("a bound is a number, not {}", bound.name())));
    };
    Ok(number(found).and_then(|found| found.partial_cmp(&bound_number)))
}

/// Whether two values are the same. Attributes of events are texts: a number or a boolean is compared with its text. A
/// list of bytes may be written as hex.
fn same(pattern: &Value, found: &Value) -> bool {
    match (&pattern.kind, &found.kind) {
        (Kind::Null, Kind::Null) => true,
        (Kind::Bool(pattern), Kind::Bool(found)) => pattern == found,
        (Kind::Integer(pattern), Kind::Integer(found)) => pattern == found,
        (Kind::Integer(integer), Kind::Float(float)) | (Kind::Float(float), Kind::Integer(integer)) => {
            *integer as f64 == *float
        }
        (Kind::Float(pattern), Kind::Float(found)) => {
            pattern == found || (pattern.is_nan() && found.is_nan())
        }
        (Kind::Text(pattern), Kind::Text(found)) => pattern == found,
        (Kind::Integer(pattern), Kind::Text(found)) => pattern.to_string() == *found,
        (Kind::Bool(pattern), Kind::Text(found)) => pattern.to_string() == *found,
        (Kind::Text(pattern), Kind::List(found)) => hex_of(found).is_some_and(|found| found == *pattern),
        (Kind::List(pattern), Kind::List(found)) => {
            pattern.len() == found.len()
                && pattern.iter().zip(found).all(|(pattern, found)| same(pattern, found))
        }
        (Kind::Table(pattern), Kind::Table(found)) => same_tables(pattern, found),
        _ => false,
    }
}

fn same_tables(pattern: &Table, found: &Table) -> bool {
    pattern.len() == found.len()
        && pattern.iter().all(|(key, pattern)| found.get(key).is_some_and(|found| same(pattern, found)))
}

fn hex_of(list: &[Value]) -> Option<String> {
    let bytes: Option<Vec<u8>> = list.iter().map(|value| value.as_integer().ok()).collect();
    bytes.filter(|bytes| !bytes.is_empty()).map(hex::encode)
}
