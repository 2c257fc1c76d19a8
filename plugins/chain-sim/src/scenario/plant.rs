//! Writing state past all messages: records, nodes, parameters and whatever a JSON pointer names.

use super::decode::decode;
use super::problem::{Problem, unknown};
use super::reference::operator_of;
use super::stores;
use super::value::{Kind, Table, Value};
use crate::State;
use crate::api::chain::SupernodeState;
use crate::state::supernodes::{AccountRecord, AddressRecord, StateRecord, SupernodeRecord};
use serde::Deserialize;

/// What `chain` can set of the state itself.
const CHAIN_FIELDS: [&str; 4] = ["chain_id", "seed", "height", "block_time_ms"];

/// The greatest height, and the latest time in milliseconds, that a file can ask for.
const HEIGHT_AND_TIME_MAX: i64 = 1 << 53;

/// A supernode as a file describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    account: String,
    /// Drawn from the account if it is left out.
    operator: Option<String>,
    /// One state since `height`; excludes `states`.
    #[serde(default)]
    state: Option<SupernodeState>,
    #[serde(default)]
    height: i64,
    #[serde(default)]
    reason: String,
    /// The whole history, oldest first; may be empty.
    #[serde(default)]
    states: Option<Vec<StateRecord>>,
    #[serde(default)]
    addresses: Vec<AddressRecord>,
    #[serde(default)]
    previous_accounts: Vec<AccountRecord>,
    note: Option<String>,
    p2p_port: Option<String>,
}

impl Node {
    fn into_record(self, line: usize) -> Result<SupernodeRecord, Problem> {
        let states = match (self.state, self.states) {
            (Some(_), Some(_)) => {
                return Err(Problem::at(
                    line,
                    "`state` and `states` exclude each other; write the history alone",
                ));
            }
            (None, Some(states)) => states,
            (state, None) => {
                let state = state.unwrap_or(SupernodeState::Active);
                vec![StateRecord { state, height: self.height, reason: self.reason }]
            }
        };
        Ok(SupernodeRecord {
            validator_address: self.operator.unwrap_or_else(|| operator_of(&self.account)),
            supernode_account: self.account,
            states,
            prev_ip_addresses: self.addresses,
            prev_supernode_accounts: self.previous_accounts,
            note: self.note.unwrap_or_else(|| "1.0.0".to_owned()),
            p2p_port: self.p2p_port.unwrap_or_else(|| "4445".to_owned()),
        })
    }
}

/// Plants a table of stores: each key names a store and holds a list of records.
pub(super) fn plant(chain: &mut State, what: Value) -> Result<(), Problem> {
    let mut image = Image::of(chain)?;
    let mut table = what.into_table()?;
    if let Some(fields) = table.remove("chain") {
        let line = fields.line;
        for (name, value) in fields.into_table()? {
            if !CHAIN_FIELDS.contains(&name.as_str()) {
                return Err(unknown(value.line, "field of `chain`", &name, &CHAIN_FIELDS));
            }
            image.value.set_pointer(&format!("/{name}"), value);
        }
        image.write(chain, line)?;
    }
    // Parameters first: the heights of anchors and the snapshots follow them.
    for name in ["params", "supernode_params", "action_params"] {
        if let Some(values) = table.remove(name) {
            let line = values.line;
            let pointer = match name {
                "params" => "/audit/params",
                "supernode_params" => "/supernode/params",
                _ => "/action/params",
            };
            let mut merged =
                image.value.pointer(pointer).cloned().unwrap_or_else(|| Kind::Table(Table::new()).into());
            merged.merge(values);
            image.value.set_pointer(pointer, merged);
            image.write(chain, line)?;
        }
    }
    for (name, rows) in table {
        let line = rows.line;
        if name == "nodes" {
            for row in rows.into_list()? {
                let node = decode::<Node>(&row)?.into_record(row.line)?;
                stores::find("supernodes", line)?.plant(
                    chain,
                    &mut image.value,
                    Value::of(&node)?.at(row.line),
                )?;
            }
            continue;
        }
        let store = stores::find(&name, line)?;
        for row in rows.into_list()? {
            if name == "reports" {
                plant_observers(chain, &mut image.value, &row)?;
            }
            store.plant(chain, &mut image.value, row)?;
        }
        image.write(chain, line)?;
    }
    image.write(chain, 0)
}

/// The observers of a planted report, as the chain would have indexed them.
fn plant_observers(chain: &State, image: &mut Value, report: &Value) -> Result<(), Problem> {
    let observations = report.pointer("/storage_challenge_observations").cloned();
    let Some(observations) = observations else { return Ok(()) };
    for observation in observations.into_list()? {
        let field = |value: Option<&Value>| value.cloned().unwrap_or_else(|| Value::from(""));
        let record = Table::from([
            (
                "epoch_id".to_owned(),
                report.pointer("/epoch_id").cloned().unwrap_or_else(|| Value::integer(0)),
            ),
            ("target".to_owned(), field(observation.pointer("/target_supernode_account"))),
            ("reporter".to_owned(), field(report.pointer("/supernode_account"))),
        ]);
        stores::find("observers", report.line)?.plant(
            chain,
            image,
            Value { line: report.line, kind: Kind::Table(record) },
        )?;
    }
    Ok(())
}

/// Removes records: each key names a store and holds a list of keys.
pub(super) fn remove(chain: &mut State, what: Value) -> Result<(), Problem> {
    let mut image = Image::of(chain)?;
    for (name, keys) in what.into_table()? {
        let line = keys.line;
        for key in keys.into_list()? {
            let line = key.line;
            let (store, parts) = match name.as_str() {
                "nodes" => ("supernodes", vec![operator_of(&key.into_text()?)]),
                name => (name, key_parts(key)?),
            };
            let removed = stores::find(store, line)?.remove(&mut image.value, &parts, line)?;
            if removed == 0 {
                return Err(Problem::at(line, format!("there is no record {parts:?} in `{name}` to remove")));
            }
        }
        image.write(chain, line)?;
    }
    Ok(())
}

/// Writes anything: each key is a JSON pointer into the state.
pub(super) fn set(chain: &mut State, what: Value) -> Result<(), Problem> {
    let mut image = Image::of(chain)?;
    let line = what.line;
    for (pointer, value) in what.into_table()? {
        let line = value.line;
        if !image.value.set_pointer(&pointer, value) {
            return Err(Problem::at(
                line,
                format!("{pointer:?} leads nowhere in the state; save it and look"),
            ));
        }
    }
    image.write(chain, line)
}

/// The parts of a record's key: one value, or a list of them.
pub(super) fn key_parts(key: Value) -> Result<Vec<String>, Problem> {
    match key.kind {
        Kind::List(parts) => parts.iter().map(Value::as_key).collect(),
        _ => Ok(vec![key.as_key()?]),
    }
}

/// The state as a value, to be changed and read back.
struct Image {
    value: Value,
}

impl Image {
    fn of(chain: &State) -> Result<Self, Problem> {
        Ok(Self { value: Value::of(chain)? })
    }

    fn write(&self, chain: &mut State, line: usize) -> Result<(), Problem> {
        let planted: State = decode(&self.value).map_err(|problem: Problem| problem.or_at(line))?;
        within_bounds(planted.height, line)?;
        within_bounds(planted.block_time_ms, line)?;
        *chain = planted;
        Ok(())
    }
}

/// Refuses heights and times from which the chain could not go on counting.
pub(super) fn within_bounds(number: i64, line: usize) -> Result<(), Problem> {
    if (0..=HEIGHT_AND_TIME_MAX).contains(&number) {
        return Ok(());
    }
    Err(Problem::at(line, format!("{number} is no height or time; write 0 to {HEIGHT_AND_TIME_MAX}")))
}
