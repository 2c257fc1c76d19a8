//! Keeps services running: restarts with growing pauses, quarantine, and an end in time.
//!
//! Owns one task for each service, what is known of the service's state, and the pauses between its runs. What a
//! service is and when it is made is the node's business; time, chance and tasks are the scheduler's.

use crate::manifest::SupervisionSection;
use crate::panics::{contained, contained_future};
use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::scheduler::{
    Scheduler, TaskFailure, TaskHandle, random_u64, sleep_unless_cancelled, within,
};
use lampkeeper_api::service::{Health, Service};
use lampkeeper_api::telemetry::{Event, Level, Telemetry, Value};
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ServiceState {
    /// At work.
    Running,
    /// Failed, and waiting to be started again.
    BackingOff,
    /// Failed too often in a row; it stays stopped until the node restarts.
    Quarantined,
    /// Failed in a way that only an operator can mend; it stays stopped until the node restarts.
    Failed,
    /// Ended because the node stops.
    Stopped,
    /// Did not end in time when the node stopped, and was cut off.
    Aborted,
}

impl ServiceState {
    /// Whether the service will do nothing more.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Running | Self::BackingOff => false,
            Self::Quarantined | Self::Failed | Self::Stopped | Self::Aborted => true,
        }
    }
}

/// How something is doing, for displays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "level", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HealthStatus {
    /// Working.
    Ok,
    /// Working, but something needs attention.
    Degraded {
        /// What.
        reason: String,
    },
    /// Not working.
    Failed {
        /// Why.
        reason: String,
    },
}

impl HealthStatus {
    const fn rank(&self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Degraded { .. } => 1,
            Self::Failed { .. } => 2,
        }
    }

    /// The worst of several, the first among equals; fine if there are none.
    #[must_use]
    pub fn worst<'a>(of: impl IntoIterator<Item = &'a Self>) -> Self {
        of.into_iter()
            .fold(Self::Ok, |worst, next| if next.rank() > worst.rank() { next.clone() } else { worst })
    }
}

impl From<Health> for HealthStatus {
    fn from(health: Health) -> Self {
        match health {
            Health::Ok => Self::Ok,
            Health::Degraded { reason } => Self::Degraded { reason },
            Health::Failed { reason } => Self::Failed { reason },
        }
    }
}

/// What is known of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: ServiceState,
    /// How it is doing: what it says while it runs, else why it does not.
    pub health: HealthStatus,
    /// How often it was started again.
    pub restarts: u64,
    /// Failures in a row, the latest included.
    pub failures_in_a_row: u32,
    /// Since when it is in this state, in milliseconds since 1970.
    pub since_ms: i64,
    /// What its latest failure said.
    pub last_failure: Option<String>,
}

/// How failures are dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// The pause before the first restart; doubles with each failure in a row.
    pub backoff_min: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// Failures in a row after which a service stays stopped.
    pub quarantine_after_failures: u32,
    /// A run this long makes earlier failures forgotten.
    pub healthy_after: Duration,
}

impl From<SupervisionSection> for RestartPolicy {
    fn from(section: SupervisionSection) -> Self {
        Self {
            backoff_min: Duration::from_millis(section.restart_backoff_min_ms),
            backoff_max: Duration::from_millis(section.restart_backoff_max_ms),
            quarantine_after_failures: section.quarantine_after_failures,
            healthy_after: Duration::from_millis(section.healthy_after_ms),
        }
    }
}

impl RestartPolicy {
    /// The pause after this many failures in a row, 1 or more. `chance` moves it within the upper half of its length,
    /// so that what failed together does not come back together.
    #[must_use]
    pub fn pause(&self, failures_in_a_row: u32, chance: u64) -> Duration {
        let doublings = failures_in_a_row.saturating_sub(1).min(31);
        let longest = self.backoff_min.saturating_mul(1 << doublings).min(self.backoff_max);
        let half_ms = u64::try_from(longest.as_millis() / 2).unwrap_or(u64::MAX / 2);
        longest.saturating_sub(Duration::from_millis(chance % (half_ms + 1)))
    }
}

/// Why a run ended that was not asked to.
enum Failure {
    Retry(String),
    Fatal(String),
}

/// A service under supervision. Dropping it asks the service to stop, and does not wait.
pub struct Supervised {
    shared: Arc<Shared>,
    shutdown: Cancel,
    task: Arc<dyn TaskHandle>,
}

struct Shared {
    service: Arc<dyn Service>,
    scheduler: Arc<dyn Scheduler>,
    telemetry: Arc<dyn Telemetry>,
    policy: RestartPolicy,
    record: Mutex<Record>,
}

struct Record {
    name: String,
    state: ServiceState,
    restarts: u64,
    failures_in_a_row: u32,
    since_ms: i64,
    last_failure: Option<String>,
}

impl Supervised {
    /// Starts a service on a task of its own.
    #[must_use]
    pub fn start(
        service: Arc<dyn Service>,
        scheduler: Arc<dyn Scheduler>,
        telemetry: Arc<dyn Telemetry>,
        policy: RestartPolicy,
    ) -> Self {
        let name = contained(|| service.name().to_owned()).unwrap_or_else(|_| "unnamed".to_owned());
        let record = Record {
            name: name.clone(),
            state: ServiceState::Running,
            restarts: 0,
            failures_in_a_row: 0,
            since_ms: scheduler.wall_clock_ms(),
            last_failure: None,
        };
        let shared = Arc::new(Shared { service, scheduler, telemetry, policy, record: Mutex::new(record) });
        let shutdown = Cancel::new();
        let work = supervise(Arc::clone(&shared), shutdown.clone());
        let task = shared.scheduler.spawn(&format!("service {name}"), Box::pin(work));
        Self { shared, shutdown, task }
    }

    /// What is known of it now.
    #[must_use]
    pub fn status(&self) -> ServiceStatus {
        // Asked before the record is locked: it is foreign code.
        let said = contained(|| self.shared.service.health());
        let record = self.shared.lock();
        let health = match record.state {
            ServiceState::Running => match said {
                Ok(health) => health.into(),
                Err(words) => HealthStatus::Failed { reason: format!("its health check panicked: {words}") },
            },
            ServiceState::BackingOff => HealthStatus::Degraded { reason: record.failure_text() },
            ServiceState::Quarantined | ServiceState::Failed | ServiceState::Aborted => {
                HealthStatus::Failed { reason: record.failure_text() }
            }
            ServiceState::Stopped => HealthStatus::Ok,
        };
        ServiceStatus {
            name: record.name.clone(),
            state: record.state,
            health,
            restarts: record.restarts,
            failures_in_a_row: record.failures_in_a_row,
            since_ms: record.since_ms,
            last_failure: record.last_failure.clone(),
        }
    }

    /// Asks the service to stop, without waiting.
    pub fn ask_to_stop(&self) {
        self.shutdown.cancel();
    }

    /// Asks the service to stop, and cuts it off if it has not within `timeout`.
    pub async fn stop(&self, timeout: Duration) {
        self.ask_to_stop();
        let outcome = within(self.shared.scheduler.as_ref(), timeout, self.task.join()).await;
        match outcome {
            Some(Ok(())) => {}
            Some(Err(TaskFailure::Panicked(words))) => {
                // A run's panics are contained: this one came from what the run left to be dropped.
                self.shared.note_end(ServiceState::Failed, &format!("panicked while being dropped: {words}"));
            }
            Some(Err(TaskFailure::Aborted)) => {
                self.shared.note_end(ServiceState::Aborted, "its task was aborted");
            }
            None => {
                self.task.abort();
                let reason = format!("did not stop within {} ms", timeout.as_millis());
                self.shared.note_end(ServiceState::Aborted, &reason);
            }
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Record {
    fn failure_text(&self) -> String {
        self.last_failure.clone().unwrap_or_else(|| "no reason given".to_owned())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, state: ServiceState) {
        let since_ms = self.scheduler.wall_clock_ms();
        let mut record = self.lock();
        record.state = state;
        record.since_ms = since_ms;
    }

    /// Notes an end that the service's own task could not.
    fn note_end(&self, state: ServiceState, reason: &str) {
        self.enter(state);
        let name = {
            let mut record = self.lock();
            record.last_failure = Some(reason.to_owned());
            record.name.clone()
        };
        let fields = [("service", Value::from(name)), ("reason", Value::from(reason))];
        self.telemetry.log(Level::Error, "a service did not end properly", &fields);
    }

    /// One run, from start to end; `None` if it ended because it was asked to.
    async fn run_once(&self, shutdown: &Cancel) -> Option<Failure> {
        match contained_future(async { self.service.run(shutdown.clone()).await }).await {
            Ok(Ok(())) if shutdown.is_cancelled() => None,
            Ok(Ok(())) => Some(Failure::Retry("it ended without having been asked to".to_owned())),
            Ok(Err(error)) if error.is_worth_a_restart() => Some(Failure::Retry(error.to_string())),
            Ok(Err(error)) => Some(Failure::Fatal(error.to_string())),
            Err(words) => Some(Failure::Retry(format!("it panicked: {words}"))),
        }
    }

    /// Notes a failure, tells of it, and says how long to wait; `None` if the service is not started again.
    fn note_failure(&self, failure: Failure, ran_for: Duration) -> Option<Duration> {
        let (reason, is_fatal) = match failure {
            Failure::Retry(reason) => (reason, false),
            Failure::Fatal(reason) => (reason, true),
        };
        let (name, failures) = {
            let mut record = self.lock();
            let earlier = if ran_for >= self.policy.healthy_after { 0 } else { record.failures_in_a_row };
            record.failures_in_a_row = earlier.saturating_add(1);
            record.last_failure = Some(reason.clone());
            (record.name.clone(), record.failures_in_a_row)
        };
        let state = if is_fatal {
            ServiceState::Failed
        } else if failures >= self.policy.quarantine_after_failures {
            ServiceState::Quarantined
        } else {
            ServiceState::BackingOff
        };
        self.enter(state);
        let pause = (state == ServiceState::BackingOff)
            .then(|| self.policy.pause(failures, random_u64(self.scheduler.as_ref())));
        self.tell_failure(&name, &reason, failures, state, pause);
        pause
    }

    fn tell_failure(
        &self,
        name: &str,
        reason: &str,
        failures: u32,
        state: ServiceState,
        pause: Option<Duration>,
    ) {
        self.telemetry.count("service_failures_total", &[("service", name)], 1);
        let event = Event::new("service.failed")
            .with("service", name)
            .with("reason", reason)
            .with("failures_in_a_row", failures);
        let (level, event, message) = match (state, pause) {
            (_, Some(pause)) => {
                let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                let event = event.with("restart_in_ms", pause_ms);
                (Level::Warn, event, format!("service {name} failed and will be restarted: {reason}"))
            }
            (ServiceState::Quarantined, None) => {
                let event = event.with("quarantined", true);
                let message = format!(
                    "service {name} failed {failures} times in a row and stays stopped until the node restarts: \
                     {reason}"
                );
                (Level::Error, event, message)
            }
            (_, None) => {
                let event = event.with("fatal", true);
                let message = format!("service {name} stays stopped until an operator mends it: {reason}");
                (Level::Error, event, message)
            }
        };
        self.telemetry.log(level, &message, &[]);
        self.telemetry.event(event);
    }
}

/// The task of a service: runs it, again and again, until it is asked to stop or is given up.
async fn supervise(shared: Arc<Shared>, shutdown: Cancel) {
    loop {
        let started = shared.scheduler.now();
        let Some(failure) = shared.run_once(&shutdown).await else { break };
        let ran_for = shared.scheduler.now().since(started);
        if shutdown.is_cancelled() {
            // It failed while stopping; that is noted, and changes nothing.
            let (Failure::Retry(reason) | Failure::Fatal(reason)) = failure;
            shared.note_end(ServiceState::Stopped, &reason);
            return;
        }
        let Some(pause) = shared.note_failure(failure, ran_for) else { return };
        if !sleep_unless_cancelled(shared.scheduler.as_ref(), pause, &shutdown).await {
            break;
        }
        let name = {
            let mut record = shared.lock();
            record.restarts += 1;
            record.name.clone()
        };
        shared.enter(ServiceState::Running);
        shared.telemetry.count("service_restarts_total", &[("service", &name)], 1);
    }
    shared.enter(ServiceState::Stopped);
}

#[cfg(test)]
mod tests;
