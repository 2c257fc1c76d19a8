//! Reading the keys of a table one by one, so that what is left over is an error.

use super::decode::decode;
use super::problem::{Problem, unknown};
use super::value::{Table, Value};
use serde::de::DeserializeOwned;

/// The keys of one table that were not read yet.
pub(super) struct Arguments {
    line: usize,
    table: Table,
    known: Vec<&'static str>,
}

impl Arguments {
    pub(super) fn of(value: Value) -> Result<Self, Problem> {
        let line = value.line;
        Ok(Self { line, table: value.into_table()?, known: Vec::new() })
    }

    pub(super) const fn line(&self) -> usize {
        self.line
    }

    pub(super) fn optional(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    pub(super) fn required(&mut self, key: &'static str) -> Result<Value, Problem> {
        let line = self.line;
        self.optional(key)
            .ok_or_else(|| Problem::at(line, format!("`{key}` is missing here; add `{key} = ...`")))
    }

    /// A value of any type with a default.
    pub(super) fn read<T: DeserializeOwned + Default>(&mut self, key: &'static str) -> Result<T, Problem> {
        self.optional(key)
            .map_or_else(|| Ok(T::default()), |value| decode(&value).map_err(|problem| problem.or_key(key)))
    }

    /// A value of any type that has to be there.
    pub(super) fn read_required<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<T, Problem> {
        decode(&self.required(key)?).map_err(|problem| problem.or_key(key))
    }

    /// The one key of these that is there, if any.
    pub(super) fn one_of(
        &mut self,
        keys: &[&'static str],
        what: &str,
    ) -> Result<Option<(&'static str, Value)>, Problem> {
        self.known.extend(keys);
        let mut found = None;
        for key in keys {
            if let Some(value) = self.table.remove(*key) {
                if let Some((earlier, _)) = &found {
                    let message = format!("`{earlier}` and `{key}` stand in one {what}; make two of them");
                    return Err(Problem::at(value.line, message));
                }
                found = Some((*key, value));
            }
        }
        Ok(found)
    }

    /// Refuses what is left.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.table.iter().next() {
            None => Ok(()),
            Some((key, value)) => Err(unknown(value.line, "key", key, &self.known)),
        }
    }
}
