//! How far each ticket is from being lost: distinct symbols that some holder has, less those needed to get the file back.
//!
//! Owns what this node remembers of that, the pace at which it asks, and the order that follows for its own work. Holders are
//! asked what they have and do not hash it: a margin is a hint, and nothing is claimed or voted because of one.

use crate::chain::TimedChain;
use crate::node::Node;
use lampkeeper_plugin_sdk::api::TicketId;
use lampkeeper_plugin_sdk::api::chain::{HealOp, Ticket};
use lampkeeper_plugin_sdk::api::network::{ArtifactNetwork, KEYS_PER_CALL_MAX};
use lampkeeper_plugin_sdk::api::scheduler::{Moment, within};
use lampkeeper_plugin_sdk::cascade::DocumentsCache;
use lampkeeper_plugin_sdk::futures::future::join_all;
use lampkeeper_plugin_sdk::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Tickets whose margin is remembered; the one looked at longest ago goes first.
const TICKETS_REMEMBERED_MAX: usize = 1024;
/// How long one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// Scheduled operations whose tickets are looked at before an order is chosen.
const LOOKS_PER_ORDER_MAX: usize = 4;

#[derive(Debug, Default)]
struct Known {
    margins: BTreeMap<TicketId, (i64, Moment)>,
    /// Tickets of this node that are still to be looked at in this round.
    round: VecDeque<TicketId>,
    next_look: Option<Moment>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Margins {
    known: Mutex<Known>,
    documents: DocumentsCache,
}

impl Margins {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of a ticket.
    fn of(&self, ticket_id: &str) -> Option<(i64, Moment)> {
        self.lock().margins.get(ticket_id).copied()
    }

    fn remember(&self, ticket_id: &str, margin: i64, now: Moment) {
        let mut known = self.lock();
        known.margins.insert(ticket_id.to_owned(), (margin, now));
        if known.margins.len() > TICKETS_REMEMBERED_MAX {
            let oldest = known.margins.iter().min_by_key(|(_, (_, seen))| *seen).map(|(id, _)| id.clone());
            oldest.map(|ticket_id| known.margins.remove(&ticket_id));
        }
    }

    /// The smallest margin that is remembered.
    fn smallest(&self) -> Option<i64> {
        self.lock().margins.values().map(|(margin, _)| *margin).min()
    }
}

/// Where an operation stands among those that wait: the closest to being lost first. What is lost already can't be
/// healed before holders come back, so it comes last; among equals the deadline decides.
fn urgency(margin: Option<i64>, heal_op: &HealOp) -> (u8, i64, bool, u64, u64) {
    let (class, margin) = match margin {
        Some(margin @ 0..) => (0, margin),
        None => (1, 0),
        Some(_) => (2, 0),
    };
    (class, margin, heal_op.deadline_epoch_id == 0, heal_op.deadline_epoch_id, heal_op.heal_op_id)
}

/// Distinct symbols of the ticket that some holder has, less those needed.
async fn measure(
    chain: &TimedChain,
    network: &dyn ArtifactNetwork,
    documents: &DocumentsCache,
    ticket: &Ticket,
) -> Result<i64, String> {
    let documents =
        documents.load(&*chain.client, network, ticket).await.map_err(|error| error.to_string())?;
    let mut live = 0_i64;
    for keys in documents.symbol_keys().chunks(KEYS_PER_CALL_MAX) {
        let surveys = network.survey(keys, false).await.map_err(|error| error.to_string())?;
        live += surveys.iter().filter(|survey| survey.holding().next().is_some()).count() as i64;
    }
    Ok(live - i64::from(documents.parameters().needed_symbols()))
}

impl Node {
    /// Looks at one ticket and remembers what it finds (gauge `ticket_margin_symbols`).
    async fn look_at_margin(&self, ticket_id: &str) {
        let looked = async {
            let ticket = self.chain.ticket(ticket_id).await.map_err(|error| error.to_string())?;
            measure(&self.chain, &*self.network, &self.margins.documents, &ticket).await
        };
        let margin = match within(&*self.scheduler, LOOK_TIMEOUT, looked).await {
            Some(Ok(margin)) => margin,
            Some(Err(reason)) => return self.margin_unknown(ticket_id, &reason),
            None => return self.margin_unknown(ticket_id, "the holders took too long to say"),
        };
        self.count("self_healing_margin_looks_total", "result", "ok");
        self.margins.remember(ticket_id, margin, self.scheduler.now());
        self.telemetry.gauge("ticket_margin_symbols", &[("ticket_id", ticket_id)], margin as f64);
        if let Some(smallest) = self.margins.smallest() {
            self.telemetry.gauge("ticket_margin_symbols_min", &[], smallest as f64);
        }
    }

    fn margin_unknown(&self, ticket_id: &str, reason: &str) {
        self.count("self_healing_margin_looks_total", "result", "failed");
        let fields = [("ticket_id", Value::from(ticket_id)), ("reason", Value::from(reason))];
        self.telemetry.log(Level::Debug, "the margin of a ticket can't be told at present", &fields);
    }

    /// Whether it is time to look at the next ticket of this node. The first look comes one interval after the start.
    pub(crate) fn is_margin_due(&self) -> bool {
        let now = self.scheduler.now();
        let mut known = self.margins.lock();
        let is_due = known.next_look.is_some_and(|at| at <= now);
        if is_due || known.next_look.is_none() {
            known.next_look = Some(now.plus(self.config.margin_interval()));
        }
        is_due
    }

    /// Looks at the next ticket that this node holds; begins anew when all have been looked at.
    pub(crate) async fn look_at_next_margin(&self) {
        let is_round_over = self.margins.lock().round.is_empty();
        if is_round_over {
            match self.chain.own_tickets(&self.account).await {
                Ok(ticket_ids) => self.margins.lock().round = ticket_ids.into(),
                Err(error) => self.margin_unknown("", &error.to_string()),
            }
        }
        let next = self.margins.lock().round.pop_front();
        if let Some(ticket_id) = next {
            self.look_at_margin(&ticket_id).await;
        }
    }

    /// Puts operations into the order in which they are to be begun. Where more wait than may run at once, the holders of
    /// some tickets are asked first, those whose operations end soonest.
    pub(crate) async fn by_urgency(&self, mut heal_ops: Vec<HealOp>) -> Vec<HealOp> {
        if heal_ops.len() > self.config.max_concurrent_reconstructs {
            let now = self.scheduler.now();
            let is_stale = |heal_op: &&HealOp| {
                let known = self.margins.of(&heal_op.ticket_id);
                known.is_none_or(|(_, seen)| now.since(seen) > self.config.margin_interval())
            };
            let stale: Vec<TicketId> =
                heal_ops.iter().filter(is_stale).map(|op| op.ticket_id.clone()).collect();
            join_all(stale.iter().take(LOOKS_PER_ORDER_MAX).map(|id| self.look_at_margin(id))).await;
        }
        heal_ops.sort_by_key(|heal_op| {
            urgency(self.margins.of(&heal_op.ticket_id).map(|(margin, _)| margin), heal_op)
        });
        heal_ops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closest_to_being_lost_comes_first() {
        // Margin, deadline epoch; in the order in which they have to come.
        let table = [
            (Some(0), 9),
            (Some(2), 4),
            (Some(2), 5),
            (Some(2), 0), // no deadline
            (Some(700), 1),
            (None, 3),
            (None, 4),
            (Some(-1), 1),
            (Some(-9), 2),
        ];
        let operations: Vec<(Option<i64>, HealOp)> = (1..)
            .zip(table)
            .map(|(heal_op_id, (margin, deadline_epoch_id))| {
                (margin, HealOp { heal_op_id, deadline_epoch_id, ..HealOp::default() })
            })
            .collect();
        let mut sorted = operations.clone();
        sorted.reverse();
        sorted.sort_by_key(|(margin, heal_op)| urgency(*margin, heal_op));
        assert_eq!(sorted, operations);
    }

    #[test]
    fn no_more_tickets_are_remembered_than_allowed() {
        let margins = Margins::default();
        for second in 0..=TICKETS_REMEMBERED_MAX as u64 {
            margins.remember(&second.to_string(), 5, Moment::from_start(Duration::from_secs(second)));
        }
        assert_eq!(margins.lock().margins.len(), TICKETS_REMEMBERED_MAX);
        assert_eq!((margins.of("0"), margins.of("1").is_some()), (None, true), "the oldest went");
    }
}
