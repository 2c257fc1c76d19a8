//! The roster, kept current.
//!
//! Owns when the chain is asked and what is believed when it can't be: an old list stays until a newer one that is not
//! empty replaces it as a whole (wire 12.9).

use crate::limits::SUPERNODES_MAX;
use crate::roster::Roster;
use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::chain::{ChainError, ChainReader, PAGE_LIMIT_MAX, PageRequest, Supernode};
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Permits, Scheduler, within};
use lampkeeper_plugin_sdk::api::telemetry::{Event, Level, Telemetry};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the chain is left alone after an attempt that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How long reading the whole list may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The roster and when it was last asked for.
pub(crate) struct Membership {
    chain: Arc<dyn ChainReader>,
    scheduler: Arc<dyn Scheduler>,
    telemetry: Arc<dyn Telemetry>,
    own_account: Account,
    cached: Mutex<Cached>,
    /// One reader at a time; the others use what it read.
    reading: Arc<dyn Permits>,
}

#[derive(Default)]
struct Cached {
    roster: Option<Arc<Roster>>,
    failure: Option<(Moment, ChainError)>,
}

impl Membership {
    pub(crate) fn new(
        chain: Arc<dyn ChainReader>,
        scheduler: Arc<dyn Scheduler>,
        telemetry: Arc<dyn Telemetry>,
        own_account: Account,
    ) -> Self {
        let reading = scheduler.permits(1);
        Self { chain, scheduler, telemetry, own_account, cached: Mutex::default(), reading }
    }

    /// A roster that is no older than `age`, or the last one if the chain can't be asked.
    ///
    /// # Errors
    /// If there never was a roster, and the chain can't be asked.
    pub(crate) async fn not_older_than(&self, age: Duration) -> Result<Arc<Roster>, ChainError> {
        if let Some(outcome) = self.without_asking(age) {
            return outcome;
        }
        let _turn = self.reading.acquire().await;
        if let Some(outcome) = self.without_asking(age) {
            return outcome;
        }
        self.refresh().await
    }

    /// How old the roster is; `None` if there is none.
    pub(crate) fn age(&self) -> Option<Duration> {
        let now = self.scheduler.now();
        self.lock().roster.as_ref().map(|roster| now.since(roster.read_at))
    }

    /// The last failure that no success followed.
    pub(crate) fn failure(&self) -> Option<ChainError> {
        self.lock().failure.as_ref().map(|(_, error)| error.clone())
    }

    /// What is known if it is new enough, or if the chain failed a moment ago.
    fn without_asking(&self, age: Duration) -> Option<Result<Arc<Roster>, ChainError>> {
        let now = self.scheduler.now();
        let cached = self.lock();
        let recent_failure = cached.failure.as_ref().filter(|(at, _)| now.since(*at) < PAUSE_AFTER_FAILURE);
        match (&cached.roster, recent_failure) {
            (Some(roster), None) if now.since(roster.read_at) < age => Some(Ok(Arc::clone(roster))),
            (Some(roster), Some(_)) => Some(Ok(Arc::clone(roster))),
            (None, Some((_, error))) => Some(Err(error.clone())),
            (_, None) => None,
        }
    }

    async fn refresh(&self) -> Result<Arc<Roster>, ChainError> {
        let read = within(&*self.scheduler, READ_TIMEOUT, self.read_supernodes()).await;
        let read = read.unwrap_or_else(|| Err(transient("the chain did not answer in time")));
        let now = self.scheduler.now();
        let read = read.map(|supernodes| Roster::new(&supernodes, &self.own_account, now));
        let outcome = self.replace(read, now);
        let label = if outcome.is_ok() { "ok" } else { "failed" };
        self.telemetry.count("network_membership_reads_total", &[("outcome", label)], 1);
        match outcome {
            Ok(roster) => Ok(roster),
            Err((error, kept)) => {
                let text = error.to_string();
                self.telemetry.log(
                    Level::Warn,
                    "the membership was not refreshed",
                    &[("error", text.into())],
                );
                kept.ok_or(error)
            }
        }
    }

    /// Puts what was read in the place of what is known, unless that would forget everybody. An error comes with what
    /// stays valid in spite of it.
    fn replace(
        &self,
        read: Result<Roster, ChainError>,
        now: Moment,
    ) -> Result<Arc<Roster>, (ChainError, Option<Arc<Roster>>)> {
        let mut cached = self.lock();
        let read = match read {
            Ok(roster) if roster.members.is_empty() && cached.roster.is_some() => {
                Err(transient("the chain listed no routed supernode"))
            }
            read => read,
        };
        match read {
            Err(error) => {
                cached.failure = Some((now, error.clone()));
                Err((error, cached.roster.clone()))
            }
            Ok(roster) => {
                let roster = Arc::new(roster);
                let before = cached.roster.replace(Arc::clone(&roster));
                cached.failure = None;
                drop(cached);
                self.tell(before.as_deref(), &roster);
                Ok(roster)
            }
        }
    }

    fn tell(&self, before: Option<&Roster>, roster: &Roster) {
        let (routed, storing) = (roster.members.len(), roster.storing_count());
        self.telemetry.gauge("network_members", &[("kind", "routed")], routed as f64);
        self.telemetry.gauge("network_members", &[("kind", "storing")], storing as f64);
        if before.is_none_or(|before| before.members != roster.members) {
            let event = Event::new("network.membership").with("routed", routed).with("storing", storing);
            self.telemetry.event(event);
        }
    }

    /// Every supernode of the chain, page by page.
    async fn read_supernodes(&self) -> Result<Vec<Supernode>, ChainError> {
        let mut supernodes = Vec::new();
        let mut request = Some(PageRequest { key: None, limit: PAGE_LIMIT_MAX });
        while let Some(wanted) = request {
            let page = self.chain.supernodes(wanted.clone()).await?;
            request = wanted.after(&page);
            // A key that does not move would go round for ever.
            let is_stuck = page.items.is_empty() || request.as_ref() == Some(&wanted);
            supernodes.extend(page.items);
            if supernodes.len() > SUPERNODES_MAX {
                return Err(transient("the chain lists more supernodes than this node can follow"));
            }
            if is_stuck && request.is_some() {
                return Err(transient("the chain's list of supernodes does not end"));
            }
        }
        Ok(supernodes)
    }

    fn lock(&self) -> MutexGuard<'_, Cached> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn transient(source: &str) -> ChainError {
    ChainError::Transient {
        attempted: "list the supernodes".to_owned(),
        source: source.to_owned(),
        outcome_unknown: false,
    }
}
