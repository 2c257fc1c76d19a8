//! The stores of the chain's state as lists of flat records, whatever their shape in the state is.
//!
//! Owns the names under which a file plants, removes and reads records. The shapes are those of the state's JSON.

use super::problem::{Problem, unknown};
use super::value::{Kind, Table, Value};
use crate::State;
use crate::api::chain::{EpochAnchor, EpochReport};
use crate::protocol::epoch::set_commitment;

/// How a store is kept in the state's JSON.
#[derive(Clone, Copy)]
enum Shape {
    /// A list of records.
    List,
    /// Maps of maps by the key fields; the records repeat their keys.
    Records,
    /// Maps of maps by the key fields, which the records don't repeat.
    Keyed,
    /// Maps of maps by the key fields; each leaf is one value with this name.
    Leaf(&'static str),
    /// Maps of maps by the first key fields (that many); each leaf is a set of the others.
    Set(usize),
}

/// A store.
pub(super) struct Store {
    pub(super) name: &'static str,
    pointer: &'static str,
    keys: &'static [&'static str],
    shape: Shape,
}

const fn store(
    name: &'static str,
    pointer: &'static str,
    keys: &'static [&'static str],
    shape: Shape,
) -> Store {
    Store { name, pointer, keys, shape }
}

/// All stores.
pub(super) const STORES: &[Store] = &[
    store("anchors", "/audit/anchors", &["epoch_id"], Shape::Records),
    store("params_snapshots", "/audit/params_snapshots", &["epoch_id"], Shape::Keyed),
    store("reports", "/audit/reports/by_epoch", &["epoch_id", "supernode_account"], Shape::Records),
    store("observers", "/audit/reports/observers", &["epoch_id", "target", "reporter"], Shape::Set(2)),
    store("transcripts", "/audit/transcripts", &["transcript_hash"], Shape::List),
    store(
        "node_failures",
        "/audit/node_failures",
        &["target", "epoch_id", "ticket_id", "reporter"],
        Shape::List,
    ),
    store(
        "reporter_results",
        "/audit/reporter_results",
        &["reporter", "epoch_id", "ticket_id", "target"],
        Shape::List,
    ),
    store("suspicion", "/audit/suspicion", &["supernode_account"], Shape::Records),
    store("reliability", "/audit/reliability", &["reporter_supernode_account"], Shape::Records),
    store("tickets", "/audit/tickets", &["ticket_id"], Shape::List),
    store("artifact_counts", "/audit/artifact_counts", &["ticket_id"], Shape::Keyed),
    store("heal_ops", "/audit/heal_ops", &["heal_op_id"], Shape::List),
    store("heal_votes", "/audit/heal_votes", &["heal_op_id", "verifier"], Shape::Leaf("verified")),
    store("failed_heals", "/audit/failed_heals", &["epoch_id", "healer", "ticket_id"], Shape::Set(1)),
    store(
        "recheck_submissions",
        "/audit/recheck_submissions",
        &["epoch_id", "ticket_id", "creator"],
        Shape::Set(1),
    ),
    store("evidence", "/audit/evidence/records", &["evidence_id"], Shape::List),
    store(
        "evidence_counts",
        "/audit/evidence/counts",
        &["epoch_id", "subject", "evidence_type"],
        Shape::Leaf("count"),
    ),
    store("storage_truth_postponements", "/audit/storage_truth_postponements", &["account"], Shape::Keyed),
    store("action_postponements", "/audit/action_postponements", &["account"], Shape::Leaf("epoch_id")),
    store("supernodes", "/supernode/supernodes", &["validator_address"], Shape::List),
    store("metrics", "/supernode/metrics", &["validator_address"], Shape::Records),
    store("validators", "/supernode/validators", &["validator_address"], Shape::Keyed),
    store("actions", "/action/actions", &["action_id"], Shape::List),
    store("accounts", "/bank/accounts", &["address"], Shape::Keyed),
];

/// The store with a name.
pub(super) fn find(name: &str, line: usize) -> Result<&'static Store, Problem> {
    STORES.iter().find(|store| store.name == name).ok_or_else(|| {
        let mut known: Vec<&str> = STORES.iter().map(|store| store.name).collect();
        known.extend(["nodes", "params"]);
        unknown(line, "store", name, &known)
    })
}

impl Store {
    /// All records, each with its keys, in the store's order.
    pub(super) fn records(&self, state: &Value) -> Vec<Table> {
        let Some(value) = state.pointer(self.pointer) else { return Vec::new() };
        let mut records = Vec::new();
        match self.shape {
            Shape::List => {
                if let Kind::List(list) = &value.kind {
                    records.extend(list.iter().filter_map(|record| record.clone().into_table().ok()));
                }
            }
            Shape::Set(depth) => flatten(value, &self.keys[..depth], &Table::new(), &mut |keys, leaf| {
                let Kind::List(members) = &leaf.kind else { return };
                for member in members {
                    let parts = match &member.kind {
                        Kind::List(parts) => parts.clone(),
                        _ => vec![member.clone()],
                    };
                    let mut record = keys.clone();
                    record.extend(self.keys[depth..].iter().map(|key| (*key).to_owned()).zip(parts));
                    records.push(record);
                }
            }),
            Shape::Leaf(name) => flatten(value, self.keys, &Table::new(), &mut |keys, leaf| {
                let mut record = keys.clone();
                record.insert(name.to_owned(), leaf.clone());
                records.push(record);
            }),
            Shape::Records | Shape::Keyed => flatten(value, self.keys, &Table::new(), &mut |keys, leaf| {
                let mut record = keys.clone();
                record.extend(leaf.clone().into_table().unwrap_or_default());
                records.push(record);
            }),
        }
        records
    }

    /// The key of a record, as text.
    pub(super) fn key_of(&self, record: &Table, line: usize) -> Result<Vec<String>, Problem> {
        let part = |key: &&str| match record.get(*key) {
            Some(value) => value.as_key(),
            None => Err(Problem::at(
                line,
                format!("a record of `{}` needs `{key}`, which is part of its key", self.name),
            )),
        };
        self.keys.iter().map(part).collect()
    }

    /// The record with these parts of a key; fewer parts than the key has match the first such record.
    pub(super) fn find_record(&self, state: &Value, key: &[String]) -> Option<Table> {
        let is_it = |record: &Table| self.key_of(record, 0).is_ok_and(|found| found.starts_with(key));
        // Of several records under one key the last is in force.
        self.records(state).into_iter().rev().find(is_it)
    }

    /// Writes a record. Fields that it leaves out keep their values, or take their defaults in a new record.
    pub(super) fn plant(&self, chain: &State, state: &mut Value, row: Value) -> Result<(), Problem> {
        let line = row.line;
        let row_table = row.clone().into_table()?;
        let key = self.key_of(&row_table, line)?;
        let mut records = self.records(state);
        let position =
            records.iter().rposition(|record| self.key_of(record, 0).is_ok_and(|found| found == key));
        let mut record = Value {
            line,
            kind: Kind::Table(match position {
                Some(position) => records.remove(position),
                None => template(self.name, chain, &row_table)?,
            }),
        };
        record.merge(row);
        let record = record.into_table()?;
        records.insert(position.unwrap_or(records.len()), record);
        self.write(state, records, line)
    }

    /// Removes the records whose key begins with these parts; how many there were.
    pub(super) fn remove(&self, state: &mut Value, key: &[String], line: usize) -> Result<usize, Problem> {
        let mut records = self.records(state);
        let before = records.len();
        records.retain(|record| !self.key_of(record, 0).is_ok_and(|found| found.starts_with(key)));
        let removed = before - records.len();
        self.write(state, records, line)?;
        Ok(removed)
    }

    fn write(&self, state: &mut Value, records: Vec<Table>, line: usize) -> Result<(), Problem> {
        let mut root = match self.shape {
            Shape::List => Value::from(Kind::List(Vec::new())),
            _ => Value::from(Kind::Table(Table::new())),
        };
        for mut record in records {
            let key = self.key_of(&record, line)?;
            let row_line = record.values().map(|value| value.line).max().unwrap_or(line);
            match (self.shape, &mut root.kind) {
                (Shape::List, Kind::List(list)) => list.push(Value::from(Kind::Table(record)).at(row_line)),
                (Shape::Set(depth), _) => {
                    let parts: Vec<Value> =
                        self.keys[depth..].iter().filter_map(|key| record.remove(*key)).collect();
                    let member = match <[Value; 1]>::try_from(parts) {
                        Ok([only]) => only,
                        Err(parts) => Value::from(Kind::List(parts)).at(row_line),
                    };
                    let pointer = pointer_of(&key[..depth]);
                    if root.pointer(&pointer).is_none() {
                        root.set_pointer(&pointer, Kind::List(Vec::new()).into());
                    }
                    root.set_pointer(&format!("{pointer}/-"), member);
                }
                (Shape::Leaf(name), _) => {
                    let leaf = record.remove(name).ok_or_else(|| {
                        Problem::at(line, format!("a record of `{}` needs `{name}`", self.name))
                    })?;
                    root.set_pointer(&pointer_of(&key), leaf);
                }
                (Shape::Keyed, _) => {
                    record.retain(|field, _| !self.keys.contains(&field.as_str()));
                    root.set_pointer(&pointer_of(&key), Value::from(Kind::Table(record)).at(row_line));
                }
                (Shape::Records | Shape::List, _) => {
                    root.set_pointer(&pointer_of(&key), Value::from(Kind::Table(record)).at(row_line));
                }
            }
        }
        state.set_pointer(self.pointer, root);
        Ok(())
    }
}

fn pointer_of(key: &[String]) -> String {
    key.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

/// Walks nested maps and calls `found` with the keys on the way and each leaf.
fn flatten(value: &Value, keys: &[&str], path: &Table, found: &mut dyn FnMut(&Table, &Value)) {
    let Some((key, rest)) = keys.split_first() else { return found(path, value) };
    let Kind::Table(table) = &value.kind else { return };
    let mut children: Vec<(&String, &Value)> = table.iter().collect();
    if key.ends_with("_id") && *key != "ticket_id" && *key != "action_id" {
        // The state orders numbers as numbers; as keys of JSON they are texts.
        children.sort_by_key(|(name, _)| name.parse::<u64>().unwrap_or(u64::MAX));
    }
    for (name, child) in children {
        let part = match name.parse::<i128>() {
            Ok(number) if key.ends_with("epoch_id") || *key == "heal_op_id" => Value::integer(number),
            _ => Value::from(name.as_str()),
        };
        let mut path = path.clone();
        path.insert((*key).to_owned(), part);
        flatten(child, rest, &path, found);
    }
}

/// What a new record has in the fields that a file leaves out, where that is not the type's own default.
fn template(name: &str, chain: &State, row: &Table) -> Result<Table, Problem> {
    let number = |key: &str| row.get(key).map_or(Ok(0), Value::as_integer::<u64>);
    let value = match name {
        "anchors" => {
            let epoch_id = number("epoch_id")?;
            let schedule = chain.schedule();
            let accounts =
                |key: &str| row.get(key).map_or_else(|| Ok(Vec::new()), super::decode::decode::<Vec<String>>);
            let commitment = |accounts: &[String]| {
                set_commitment(&accounts.iter().map(String::as_str).collect::<Vec<_>>())
            };
            Value::of(&EpochAnchor {
                epoch_id,
                epoch_start_height: schedule.start_height(epoch_id),
                epoch_end_height: schedule.end_height(epoch_id),
                epoch_length_blocks: chain.params().epoch_length_blocks,
                params_commitment: crate::params::commitment(&chain.audit.params),
                active_set_commitment: commitment(&accounts("active_supernode_accounts")?),
                targets_set_commitment: commitment(&accounts("target_supernode_accounts")?),
                ..EpochAnchor::default()
            })?
        }
        "params_snapshots" => Value::of(&chain.params())?,
        "reports" => Value::of(&EpochReport { report_height: chain.height, ..EpochReport::default() })?,
        "transcripts" => {
            let class = row.get("result_class").and_then(|value| match &value.kind {
                Kind::Text(text) => crate::protocol::words::ResultClass::from_name(text),
                _ => None,
            });
            let eligible = class.is_some_and(|class| class.is_recheck_eligible());
            return Ok(Table::from([("recheck_eligible".to_owned(), Kind::Bool(eligible).into())]));
        }
        _ => return Ok(Table::new()),
    };
    value.into_table()
}
