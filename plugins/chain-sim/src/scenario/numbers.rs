//! Enumerations that a file writes as numbers, which the wire could carry whether the protocol names them or not.
//!
//! A number with a name becomes that name. One without is kept where a rule refuses it; elsewhere the file is wrong.

use super::problem::Problem;
use super::value::{Kind, Table, Value};
use crate::api::chain::{EnforcementMode, HealOpStatus, PortState};
use crate::protocol::words::{ArtifactClass, Bucket, ResultClass};

/// The name of a number, if it has one.
type NameOf = fn(i32) -> Option<&'static str>;

const ROW_FIELDS: [(&str, NameOf); 3] = [
    ("bucket_type", |number| Bucket::from_number(number).map(Bucket::name)),
    ("artifact_class", |number| ArtifactClass::from_number(number).map(ArtifactClass::name)),
    ("result_class", |number| ResultClass::from_number(number).map(ResultClass::name)),
];

/// The name of a heal operation's status.
pub(super) fn heal_op_status(number: i32) -> Option<&'static str> {
    HealOpStatus::from_number(number).map(HealOpStatus::name)
}

/// Replaces a number in a table by its name. `true` if the number has none; it is removed then.
pub(super) fn name_number(table: &mut Table, field: &str, name_of: NameOf) -> Result<bool, Problem> {
    let Some(value) = table.get_mut(field) else { return Ok(false) };
    if !matches!(value.kind, Kind::Integer(_)) {
        return Ok(false);
    }
    match name_of(value.as_integer()?) {
        Some(name) => {
            value.kind = Kind::Text(name.to_owned());
            Ok(false)
        }
        None => {
            table.remove(field);
            Ok(true)
        }
    }
}

/// Names the numbers of a message.
pub(super) fn name_numbers(kind: &str, body: &mut Value) -> Result<(), Problem> {
    let Kind::Table(table) = &mut body.kind else { return Ok(()) };
    match kind {
        "epoch_report" => {
            let mut unnamed = Vec::new();
            for_each_row(table, "storage_proof_results", |index, row| {
                for (field, name_of) in ROW_FIELDS {
                    if name_number(row, field, name_of)? {
                        let entry = [("row", Value::integer(index as u64)), ("field", field.into())];
                        let entry: Table = entry.map(|(key, value)| (key.to_owned(), value)).into();
                        unnamed.push(Kind::Table(entry).into());
                    }
                }
                Ok(())
            })?;
            for_each_row(table, "storage_challenge_observations", |_, row| name_ports(row, "port_states"))?;
            if let Some(Value { kind: Kind::Table(host), .. }) = table.get_mut("host_report") {
                name_ports(host, "inbound_port_states")?;
            }
            if !unnamed.is_empty() {
                table.insert("unnamed_enums".to_owned(), Kind::List(unnamed).into());
            }
        }
        // Both are refused like UNSPECIFIED (chain 8, check 10).
        "recheck_evidence" => {
            let is_unnamed = name_number(table, "recheck_result_class", ROW_FIELDS[2].1)?;
            if is_unnamed {
                table.insert("recheck_result_class".to_owned(), "UNSPECIFIED".into());
            }
        }
        _ => {}
    }
    Ok(())
}

/// Names an enforcement mode; `true` if it is a number without a name.
pub(super) fn name_mode(params: &mut Value) -> Result<bool, Problem> {
    let Kind::Table(table) = &mut params.kind else { return Ok(false) };
    name_number(table, "storage_truth_enforcement_mode", |number| {
        EnforcementMode::from_number(number).map(EnforcementMode::name)
    })
}

/// States of ports. One without a name is neither OPEN nor CLOSED, and therefore what UNKNOWN is (chain 6.5).
fn name_ports(table: &mut Table, field: &str) -> Result<(), Problem> {
    let Some(Value { kind: Kind::List(states), .. }) = table.get_mut(field) else { return Ok(()) };
    for state in states.iter_mut().filter(|state| matches!(state.kind, Kind::Integer(_))) {
        let named = match state.as_integer::<i32>()? {
            1 => PortState::Open,
            2 => PortState::Closed,
            _ => PortState::Unknown,
        };
        state.kind = Value::of(&named)?.kind;
    }
    Ok(())
}

fn for_each_row(
    table: &mut Table,
    name: &str,
    mut change: impl FnMut(usize, &mut Table) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let Some(Value { kind: Kind::List(rows), .. }) = table.get_mut(name) else { return Ok(()) };
    for (index, row) in rows.iter_mut().enumerate() {
        if let Kind::Table(row) = &mut row.kind {
            change(index, row)?;
        }
    }
    Ok(())
}
