//! References in texts: `${kind:argument}` for addresses and bytes, `${name}` for what an earlier step captured.
//!
//! A text that is nothing but one reference becomes the value itself, whatever its type; within a longer text only texts
//! and numbers can be put in.

use super::problem::{Problem, unknown};
use super::value::{Kind, Table, Value};
use crate::address;
use crate::protocol::account::{KeyType, SecretKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The kinds of references, for error messages and the reference page.
const KINDS: [&str; 11] = [
    "account",
    "operator",
    "signer",
    "public_key",
    "module",
    "hex",
    "ascii",
    "base64",
    "integer",
    "blake3",
    "nil",
];

/// Replaces every reference in a value.
pub(super) fn resolve(value: &mut Value, captured: &Table) -> Result<(), Problem> {
    let line = value.line;
    match &mut value.kind {
        Kind::Text(text) if text.contains("${") => {
            value.kind = resolve_text(text, captured).map_err(|problem| problem.or_at(line))?;
            Ok(())
        }
        Kind::List(list) => list.iter_mut().try_for_each(|element| resolve(element, captured)),
        Kind::Table(table) => {
            for (key, mut element) in std::mem::take(table) {
                resolve(&mut element, captured)?;
                let key = if key.contains("${") {
                    match resolve_text(&key, captured).map_err(|problem| problem.or_at(element.line))? {
                        Kind::Text(key) => key,
                        kind => Value::from(kind).as_key()?,
                    }
                } else {
                    key
                };
                table.insert(key, element);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn resolve_text(text: &str, captured: &Table) -> Result<Kind, Problem> {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else {
            return Err(Problem::at(0, format!("the reference in {text:?} has no closing brace")));
        };
        let kind = referenced(name, captured)?;
        if before.is_empty() && behind.is_empty() && result.is_empty() {
            return Ok(kind);
        }
        result.push_str(before);
        match kind {
            Kind::Text(text) => result.push_str(&text),
            Kind::Integer(number) => result.push_str(&number.to_string()),
            kind => {
                let what = Value::from(kind).name();
                let message = format!("`${{{name}}}` is {what} and can only stand alone, as \"${{{name}}}\"");
                return Err(Problem::at(0, message));
            }
        }
        rest = behind;
    }
    result.push_str(rest);
    Ok(Kind::Text(result))
}

fn referenced(name: &str, captured: &Table) -> Result<Kind, Problem> {
    if let Some(value) = captured.get(name) {
        return Ok(value.kind.clone());
    }
    let (kind, argument) = name.split_once(':').unwrap_or((name, ""));
    let wrong = |what: &str| Problem::at(0, format!("`${{{name}}}`: {argument:?} is not {what}"));
    Ok(match kind {
        "account" => Kind::Text(address::labelled_account(argument)),
        "operator" => Kind::Text(operator_of(argument)),
        "signer" => Kind::Text(named_key(argument).public_key().account()),
        "public_key" => Kind::Text(hex::encode(named_key(argument).public_key().to_bytes())),
        "module" => Kind::Text(address::module_account(argument)),
        "hex" => Value::bytes(&hex::decode(argument).map_err(|_| wrong("hex"))?).kind,
        "ascii" => Value::bytes(argument.as_bytes()).kind,
        "base64" => Kind::Text(STANDARD.encode(argument)),
        "integer" => Kind::Integer(argument.parse().map_err(|_| wrong("a whole number"))?),
        "blake3" => Value::bytes(blake3::hash(argument.as_bytes()).as_bytes()).kind,
        "nil" => Kind::Null,
        _ => {
            let mut known: Vec<&str> = captured.keys().map(String::as_str).collect();
            known.extend(KINDS);
            return Err(unknown(0, "reference", name, &known));
        }
    })
}

/// A secp256k1 key that is drawn from a name; nothing about it is secret.
#[expect(clippy::expect_used, reason = "one hash in 2^127 is no secret key")]
pub(super) fn named_key(name: &str) -> SecretKey {
    let hash = blake3::derive_key("lampkeeper scenario key", name.as_bytes());
    SecretKey::from_bytes(KeyType::Secp256k1, &hash).expect("a hash is a key")
}

/// The operator of an account; of any other text, the one that is drawn from it.
pub(super) fn operator_of(account: &str) -> String {
    address::operator_of_account(account).unwrap_or_else(|| {
        let drawn = address::labelled_account(account);
        address::operator_of_account(&drawn).unwrap_or_default()
    })
}
