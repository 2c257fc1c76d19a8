//! Deterioration scores of tickets, with the two indexes that keep an epoch close cheap, and anchored counts.

use super::rows::Rows;
use crate::api::chain::TicketDeterioration;
use crate::api::{EpochId, TicketId};
use crate::protocol::words::ArtifactClass;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The raw scores of all tickets.
///
/// Scheduling asks for high scores and pruning for idle tickets; with an index for each, neither walks all tickets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TicketScores {
    states: BTreeMap<TicketId, TicketDeterioration>,
    by_score: BTreeSet<(i64, TicketId)>,
    idle: BTreeSet<(EpochId, TicketId)>,
}

impl TicketScores {
    /// The state of a ticket.
    #[must_use]
    pub fn get(&self, ticket_id: &str) -> Option<&TicketDeterioration> {
        self.states.get(ticket_id)
    }

    /// Writes a state, replacing the ticket's earlier one.
    pub fn insert(&mut self, state: TicketDeterioration) {
        self.remove(&state.ticket_id.clone());
        if state.deterioration_score > 0 {
            self.by_score.insert((state.deterioration_score, state.ticket_id.clone()));
        }
        if is_idle(&state) {
            self.idle.insert((state.last_updated_epoch, state.ticket_id.clone()));
        }
        self.states.insert(state.ticket_id.clone(), state);
    }

    /// Removes a state.
    pub fn remove(&mut self, ticket_id: &str) -> Option<TicketDeterioration> {
        let state = self.states.remove(ticket_id)?;
        self.by_score.remove(&(state.deterioration_score, state.ticket_id.clone()));
        self.idle.remove(&(state.last_updated_epoch, state.ticket_id.clone()));
        Some(state)
    }

    /// Changes a state; nothing for an unknown ticket.
    pub fn update(&mut self, ticket_id: &str, change: impl FnOnce(&mut TicketDeterioration)) {
        if let Some(mut state) = self.remove(ticket_id) {
            change(&mut state);
            self.insert(state);
        }
    }

    /// All states, by ticket.
    pub fn iter(&self) -> impl Iterator<Item = &TicketDeterioration> {
        self.states.values()
    }

    /// How many tickets have a state.
    #[must_use]
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether no ticket has a state.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The states with at least this raw score, which is positive.
    pub fn with_score_from(&self, threshold: i64) -> impl Iterator<Item = &TicketDeterioration> {
        self.by_score
            .range((threshold.max(1), TicketId::new())..)
            .filter_map(|(_, ticket_id)| self.states.get(ticket_id))
    }

    /// The tickets with raw score 0, no active heal operation and no update since `epoch_id`.
    #[must_use]
    pub fn idle_before(&self, epoch_id: EpochId) -> Vec<TicketId> {
        self.idle.range(..(epoch_id, TicketId::new())).map(|(_, ticket_id)| ticket_id.clone()).collect()
    }
}

fn is_idle(state: &TicketDeterioration) -> bool {
    state.deterioration_score == 0 && state.active_heal_op_id == 0
}

impl Rows for TicketScores {
    type Row = TicketDeterioration;

    fn rows(&self) -> impl Iterator<Item = &TicketDeterioration> {
        self.iter()
    }

    fn insert_row(&mut self, row: TicketDeterioration) {
        self.insert(row);
    }
}

/// The canonical artifact counts of a ticket (chain A.2); 0 means not anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArtifactCounts {
    /// Index artifacts.
    pub index: u32,
    /// Symbol artifacts.
    pub symbol: u32,
}

impl ArtifactCounts {
    /// The count for a class; 0 if it is not anchored.
    #[must_use]
    pub const fn of(self, class: ArtifactClass) -> u32 {
        match class {
            ArtifactClass::Unspecified => 0,
            ArtifactClass::Index => self.index,
            ArtifactClass::Symbol => self.symbol,
        }
    }
}
