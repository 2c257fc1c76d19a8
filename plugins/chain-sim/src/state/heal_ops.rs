//! Heal operations with their indexes by ticket and by status.

use super::rows::Rows;
use crate::api::TicketId;
use crate::api::chain::{HealOp, HealOpStatus};
use std::collections::{BTreeMap, BTreeSet};

/// All heal operations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealOps {
    operations: BTreeMap<u64, HealOp>,
    by_ticket: BTreeMap<TicketId, BTreeSet<u64>>,
    by_status: BTreeMap<i32, BTreeSet<u64>>,
}

impl HealOps {
    /// One operation.
    #[must_use]
    pub fn get(&self, heal_op_id: u64) -> Option<&HealOp> {
        self.operations.get(&heal_op_id)
    }

    /// Writes an operation, replacing the one with the same id.
    pub fn insert(&mut self, operation: HealOp) {
        let id = operation.heal_op_id;
        self.remove(id);
        self.by_ticket.entry(operation.ticket_id.clone()).or_default().insert(id);
        self.by_status.entry(operation.status.number()).or_default().insert(id);
        self.operations.insert(id, operation);
    }

    /// Removes an operation.
    pub fn remove(&mut self, heal_op_id: u64) -> Option<HealOp> {
        let operation = self.operations.remove(&heal_op_id)?;
        if let Some(ids) = self.by_ticket.get_mut(&operation.ticket_id) {
            ids.remove(&heal_op_id);
            if ids.is_empty() {
                self.by_ticket.remove(&operation.ticket_id);
            }
        }
        let status = operation.status.number();
        if let Some(ids) = self.by_status.get_mut(&status) {
            ids.remove(&heal_op_id);
            if ids.is_empty() {
                self.by_status.remove(&status);
            }
        }
        Some(operation)
    }

    /// Changes an operation, if there is one.
    pub fn update(&mut self, heal_op_id: u64, change: impl FnOnce(&mut HealOp)) {
        if let Some(mut operation) = self.remove(heal_op_id) {
            change(&mut operation);
            self.insert(operation);
        }
    }

    /// All operations, by id.
    pub fn iter(&self) -> impl Iterator<Item = &HealOp> {
        self.operations.values()
    }

    /// The ids of a ticket's operations.
    pub fn ids_of_ticket(&self, ticket_id: &str) -> impl DoubleEndedIterator<Item = u64> {
        self.by_ticket.get(ticket_id).into_iter().flatten().copied()
    }

    /// The ids of the operations in a status.
    pub fn ids_in_status(&self, status: HealOpStatus) -> impl DoubleEndedIterator<Item = u64> {
        self.by_status.get(&status.number()).into_iter().flatten().copied()
    }

    /// The ids of the operations that are, or are not, final; ascending.
    #[must_use]
    pub fn ids_by_finality(&self, is_final: bool) -> BTreeSet<u64> {
        let statuses = HealOpStatus::ALL.into_iter().filter(|status| status.is_final() == is_final);
        statuses.flat_map(|status| self.ids_in_status(status)).collect()
    }

    /// Whether a ticket has an operation that is not final.
    #[must_use]
    pub fn is_open_for(&self, ticket_id: &str) -> bool {
        self.ids_of_ticket(ticket_id)
            .filter_map(|id| self.get(id))
            .any(|operation| !operation.status.is_final())
    }

    /// The largest id; 0 if there is none.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.operations.last_key_value().map_or(0, |(id, _)| *id)
    }
}

impl Rows for HealOps {
    type Row = HealOp;

    fn rows(&self) -> impl Iterator<Item = &HealOp> {
        self.iter()
    }

    fn insert_row(&mut self, row: HealOp) {
        self.insert(row);
    }
}
