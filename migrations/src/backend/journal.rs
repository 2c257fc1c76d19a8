//! The journal as a seam.
//!
//! Owns the way from async callers to the one connection. One writer at a time is what a journal has, calls are short,
//! and most of one is its sync; so readers share the connection with the writers.

use super::{Connection, queries};
use crate::error::QueryError;
use lampkeeper_plugin_sdk::api::EpochId;
use lampkeeper_plugin_sdk::api::chain::StorageProofResult;
use lampkeeper_plugin_sdk::api::journal::{
    HealClaim, HealJournal, HealVerification, JournalError, PendingProofRow, ProofJournal, RecheckFailures,
    RecheckJournal, RecheckSubmission, Recorded,
};
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, blocking};
use lampkeeper_plugin_sdk::async_trait;
use std::sync::{Arc, Mutex, PoisonError};

/// What a plugin does about its connection: it makes it, makes it anew, and ends it. All of it may block.
pub trait Session: Send + 'static {
    /// The connection, made anew where it was lost.
    ///
    /// # Errors
    /// Why there is none now, for people. The call that needed it fails, and may be repeated.
    fn connection(&mut self) -> Result<&mut Connection, String>;

    /// Told after the database has failed a statement: the moment to see whether the connection is still good.
    fn after_failure(&mut self);

    /// Ends the connection.
    ///
    /// # Errors
    /// What could not be done, for people. What calls have returned is durable all the same.
    fn close(self: Box<Self>) -> Result<(), String>;
}

/// A journal behind one connection.
pub struct DieselJournal {
    scheduler: Arc<dyn Scheduler>,
    /// `None` once the journal is closed.
    session: Arc<Mutex<Option<Box<dyn Session>>>>,
}

impl DieselJournal {
    /// The journal of an open session, whose tables are those of this version.
    pub fn new(scheduler: Arc<dyn Scheduler>, session: impl Session) -> Self {
        Self { scheduler, session: Arc::new(Mutex::new(Some(Box::new(session)))) }
    }

    /// Ends the session; calls fail from now on. What calls have returned is durable without this too.
    ///
    /// # Errors
    /// If the session could not tidy up; nothing is lost.
    pub async fn close(&self) -> Result<(), JournalError> {
        let session = Arc::clone(&self.session);
        let closed = blocking(&*self.scheduler, "journal-close", move || {
            let session = session.lock().unwrap_or_else(PoisonError::into_inner).take();
            session.map_or(Ok(()), Session::close)
        });
        let closed = closed.await.unwrap_or_else(|failure| Err(failure.to_string()));
        closed.map_err(|reason| JournalError::Io { attempted: "closing the journal".to_owned(), reason })
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        attempted: String,
        query: impl FnOnce(&mut Connection) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let session = Arc::clone(&self.session);
        let outcome = blocking(&*self.scheduler, "journal", move || {
            // After a panic within a transaction nobody knows what the connection would commit next.
            let mut session = session.lock().map_err(|_| unavailable("a call panicked: restart the node"))?;
            let session = session.as_mut().ok_or_else(|| unavailable("it was closed"))?;
            let answer = match session.connection() {
                Ok(connection) => query(connection),
                Err(reason) => return Err(JournalError::Io { attempted, reason }),
            };
            if let Err(QueryError::Database(_)) = &answer {
                session.after_failure();
            }
            answer.map_err(|error| error.of_attempt(attempted))
        });
        outcome.await.unwrap_or_else(|failure| Err(unavailable(&failure.to_string())))
    }
}

fn unavailable(reason: &str) -> JournalError {
    JournalError::Unavailable { reason: reason.to_owned() }
}

fn of_heal(what: &str, heal_op_id: u64) -> String {
    format!("{what} of heal operation {heal_op_id}")
}

fn of_recheck(what: &str, epoch_id: EpochId, ticket_id: &str) -> String {
    format!("{what} of epoch {epoch_id} and ticket `{ticket_id}`")
}

#[async_trait]
impl HealJournal for DieselJournal {
    async fn insert_claim(&self, claim: &HealClaim) -> Result<Recorded, JournalError> {
        let claim = claim.clone();
        let attempted = of_heal("recording the claim", claim.heal_op_id);
        self.run(attempted, move |connection| queries::insert_claim(connection, &claim)).await
    }

    async fn mark_claim_submitted(&self, heal_op_id: u64, now_s: i64) -> Result<bool, JournalError> {
        let attempted = of_heal("noting the submission of the claim", heal_op_id);
        self.run(attempted, move |connection| queries::mark_claim_submitted(connection, heal_op_id, now_s))
            .await
    }

    async fn delete_claim(&self, heal_op_id: u64) -> Result<bool, JournalError> {
        let attempted = of_heal("forgetting the claim", heal_op_id);
        self.run(attempted, move |connection| queries::delete_claim(connection, heal_op_id)).await
    }

    async fn claim(&self, heal_op_id: u64) -> Result<Option<HealClaim>, JournalError> {
        let attempted = of_heal("reading the claim", heal_op_id);
        self.run(attempted, move |connection| queries::claim(connection, heal_op_id)).await
    }

    async fn claims(&self) -> Result<Vec<HealClaim>, JournalError> {
        self.run("reading all claims".to_owned(), queries::claims).await
    }

    async fn insert_verification(&self, verification: &HealVerification) -> Result<Recorded, JournalError> {
        let verification = verification.clone();
        let attempted = of_heal("recording the vote", verification.heal_op_id);
        self.run(attempted, move |connection| queries::insert_verification(connection, &verification)).await
    }

    async fn mark_verification_submitted(
        &self,
        heal_op_id: u64,
        verifier: &str,
        now_s: i64,
    ) -> Result<bool, JournalError> {
        let verifier = verifier.to_owned();
        let attempted = of_heal("noting the submission of the vote", heal_op_id);
        self.run(attempted, move |connection| {
            queries::mark_verification_submitted(connection, heal_op_id, &verifier, now_s)
        })
        .await
    }

    async fn delete_verification(&self, heal_op_id: u64, verifier: &str) -> Result<bool, JournalError> {
        let verifier = verifier.to_owned();
        let attempted = of_heal("forgetting the vote", heal_op_id);
        self.run(attempted, move |connection| queries::delete_verification(connection, heal_op_id, &verifier))
            .await
    }

    async fn verification(
        &self,
        heal_op_id: u64,
        verifier: &str,
    ) -> Result<Option<HealVerification>, JournalError> {
        let verifier = verifier.to_owned();
        let attempted = of_heal("reading the vote", heal_op_id);
        self.run(attempted, move |connection| queries::verification(connection, heal_op_id, &verifier)).await
    }

    async fn verifications(&self) -> Result<Vec<HealVerification>, JournalError> {
        self.run("reading all votes".to_owned(), queries::verifications).await
    }
}

#[async_trait]
impl RecheckJournal for DieselJournal {
    async fn insert_recheck(&self, submission: &RecheckSubmission) -> Result<Recorded, JournalError> {
        let submission = submission.clone();
        let attempted = of_recheck("recording the recheck", submission.epoch_id, &submission.ticket_id);
        self.run(attempted, move |connection| queries::insert_recheck(connection, &submission)).await
    }

    async fn mark_recheck_submitted(
        &self,
        epoch_id: EpochId,
        ticket_id: &str,
        now_s: i64,
    ) -> Result<bool, JournalError> {
        let attempted = of_recheck("noting the submission of the recheck", epoch_id, ticket_id);
        let ticket_id = ticket_id.to_owned();
        self.run(attempted, move |connection| {
            queries::mark_recheck_submitted(connection, epoch_id, &ticket_id, now_s)
        })
        .await
    }

    async fn delete_recheck(&self, epoch_id: EpochId, ticket_id: &str) -> Result<bool, JournalError> {
        let attempted = of_recheck("forgetting the recheck", epoch_id, ticket_id);
        let ticket_id = ticket_id.to_owned();
        self.run(attempted, move |connection| queries::delete_recheck(connection, epoch_id, &ticket_id)).await
    }

    async fn recheck(
        &self,
        epoch_id: EpochId,
        ticket_id: &str,
    ) -> Result<Option<RecheckSubmission>, JournalError> {
        let attempted = of_recheck("reading the recheck", epoch_id, ticket_id);
        let ticket_id = ticket_id.to_owned();
        self.run(attempted, move |connection| queries::recheck(connection, epoch_id, &ticket_id)).await
    }

    async fn rechecks(&self) -> Result<Vec<RecheckSubmission>, JournalError> {
        self.run("reading all rechecks".to_owned(), queries::rechecks).await
    }

    async fn record_recheck_failure(&self, failure: &RecheckFailures) -> Result<u32, JournalError> {
        let failure = failure.clone();
        let attempted = of_recheck("recording a failed recheck", failure.epoch_id, &failure.ticket_id);
        self.run(attempted, move |connection| queries::record_recheck_failure(connection, &failure)).await
    }

    async fn recheck_failures(
        &self,
        epoch_id: EpochId,
        ticket_id: &str,
        now_s: i64,
    ) -> Result<Option<RecheckFailures>, JournalError> {
        let attempted = of_recheck("reading the failed rechecks", epoch_id, ticket_id);
        let ticket_id = ticket_id.to_owned();
        self.run(attempted, move |connection| {
            queries::recheck_failures(connection, epoch_id, &ticket_id, now_s)
        })
        .await
    }

    async fn delete_expired_recheck_failures(&self, now_s: i64) -> Result<u64, JournalError> {
        let attempted = "forgetting lapsed failures of rechecks".to_owned();
        self.run(attempted, move |connection| queries::delete_expired_recheck_failures(connection, now_s))
            .await
    }
}

#[async_trait]
impl ProofJournal for DieselJournal {
    async fn append_proof_rows(
        &self,
        epoch_id: EpochId,
        rows: &[StorageProofResult],
    ) -> Result<(), JournalError> {
        let rows = rows.to_vec();
        let attempted = format!("appending proof rows of epoch {epoch_id}");
        self.run(attempted, move |connection| queries::append_proof_rows(connection, epoch_id, &rows)).await
    }

    async fn proof_rows(&self, epoch_id: EpochId) -> Result<Vec<PendingProofRow>, JournalError> {
        let attempted = format!("reading the proof rows of epoch {epoch_id}");
        self.run(attempted, move |connection| queries::proof_rows(connection, epoch_id)).await
    }

    async fn epochs_with_proof_rows(&self) -> Result<Vec<EpochId>, JournalError> {
        self.run("reading which epochs have proof rows".to_owned(), queries::epochs_with_proof_rows).await
    }

    async fn delete_proof_rows(&self, epoch_id: EpochId) -> Result<u64, JournalError> {
        let attempted = format!("deleting the proof rows of epoch {epoch_id}");
        self.run(attempted, move |connection| queries::delete_proof_rows(connection, epoch_id)).await
    }

    async fn epoch_marker(&self, name: &str) -> Result<Option<EpochId>, JournalError> {
        let attempted = format!("reading the marker `{name}`");
        let name = name.to_owned();
        self.run(attempted, move |connection| queries::epoch_marker(connection, &name)).await
    }

    async fn raise_epoch_marker(
        &self,
        name: &str,
        epoch_id: EpochId,
        now_s: i64,
    ) -> Result<(), JournalError> {
        let attempted = format!("raising the marker `{name}` to epoch {epoch_id}");
        let name = name.to_owned();
        self.run(attempted, move |connection| queries::raise_epoch_marker(connection, &name, epoch_id, now_s))
            .await
    }
}
