//! A connection that comes back.
//!
//! Owns what happens when the server goes away: calls fail at once with an error that is transient, and the next call
//! that comes when a pause has passed tries to connect. The pause doubles with each attempt that fails. No call is
//! repeated here: whether a commit whose answer was lost has happened, only its caller can find out.

use crate::config::Place;
use crate::database::{self, OpenJournalError};
use diesel::connection::SimpleConnection;
use lampkeeper_migrations::postgres::{Connection, Session};
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Scheduler};
use lampkeeper_plugin_sdk::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// The pause after the first attempt that fails. There is none before the first attempt.
const RECONNECT_WAIT_MIN: Duration = Duration::from_millis(250);

/// Attempts in a row that have failed.
struct Outage {
    attempts: u32,
    /// The latest failure.
    reason: String,
    /// When the next attempt may be made.
    next_at: Moment,
}

/// The journal's connection to its server.
pub(crate) struct PostgresSession {
    scheduler: Arc<dyn Scheduler>,
    telemetry: Arc<dyn Telemetry>,
    place: Place,
    /// `None` while the server is away.
    connection: Option<Connection>,
    outage: Option<Outage>,
}

impl PostgresSession {
    pub(crate) fn open(
        scheduler: Arc<dyn Scheduler>,
        telemetry: Arc<dyn Telemetry>,
        place: Place,
    ) -> Result<Self, OpenJournalError> {
        let connection = Some(database::open(&place)?);
        telemetry.gauge("journal_connected", &[], 1.0);
        Ok(Self { scheduler, telemetry, place, connection, outage: None })
    }

    fn reconnect(&mut self) -> Result<Connection, String> {
        let now = self.scheduler.now();
        if let Some(outage) = &self.outage
            && now < outage.next_at
        {
            let wait_ms = outage.next_at.since(now).as_millis();
            return Err(format!("{}; the next attempt is in {wait_ms} ms", outage.reason));
        }
        let attempts = self.outage.as_ref().map_or(0, |outage| outage.attempts).saturating_add(1);
        match database::open(&self.place) {
            Ok(connection) => {
                self.outage = None;
                self.telemetry.gauge("journal_connected", &[], 1.0);
                self.telemetry.event(self.event("journal.reconnected").with("attempts", attempts));
                Ok(connection)
            }
            Err(error) => {
                let reason = error.to_string();
                let event = self.event("journal.reconnect_failed").with("attempts", attempts);
                self.telemetry.event(event.with("reason", &reason));
                let next_at = self.scheduler.now().plus(self.pause_after(attempts));
                self.outage = Some(Outage { attempts, reason: reason.clone(), next_at });
                Err(reason)
            }
        }
    }

    fn pause_after(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(16);
        RECONNECT_WAIT_MIN.saturating_mul(1 << doublings).min(self.place.reconnect_wait_max)
    }

    fn event(&self, name: &str) -> Event {
        Event::new(name).with("server", self.place.url.server()).with("schema", self.place.schema.as_str())
    }
}

impl Session for PostgresSession {
    fn connection(&mut self) -> Result<&mut Connection, String> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.reconnect()?,
        };
        Ok(self.connection.insert(connection))
    }

    fn after_failure(&mut self) {
        // Asking is surer than telling from an error what it leaves behind, and failures are rare.
        let is_alive =
            self.connection.as_mut().is_some_and(|connection| connection.batch_execute("SELECT 1").is_ok());
        if !is_alive {
            self.connection = None;
            self.telemetry.gauge("journal_connected", &[], 0.0);
            self.telemetry.event(self.event("journal.connection_lost"));
        }
    }

    fn close(self: Box<Self>) -> Result<(), String> {
        Ok(()) // The connection ends with its value, and the lock with the connection.
    }
}
