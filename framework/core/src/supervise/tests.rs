//! Services that fail in every way, in virtual time.

use super::*;
use lampkeeper_api::scheduler::Moment;
use lampkeeper_api::service::ServiceError;
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::testkit::{RecordingTelemetry, VirtualScheduler};
use std::collections::VecDeque;

const POLICY: RestartPolicy = RestartPolicy {
    backoff_min: Duration::from_millis(100),
    backoff_max: Duration::from_millis(1000),
    quarantine_after_failures: 6,
    healthy_after: Duration::from_secs(60),
};

/// What one run of a scripted service does.
#[derive(Clone, Copy)]
enum Run {
    Retry,
    Fatal,
    Panic,
    /// Ends well, without having been asked to.
    End,
    /// Works for a while, then fails.
    FailAfter(Duration),
    /// Ignores the request to stop.
    Hang,
}

/// Does one scripted thing a run, then works until it is asked to stop.
struct Scripted {
    scheduler: Arc<dyn Scheduler>,
    script: Mutex<VecDeque<Run>>,
    started: Mutex<Vec<Moment>>,
    health_panics: bool,
}

#[async_trait]
impl Service for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn run(&self, shutdown: Cancel) -> Result<(), ServiceError> {
        self.started.lock().unwrap().push(self.scheduler.now());
        let next = self.script.lock().unwrap().pop_front();
        match next {
            None => {
                shutdown.cancelled().await;
                Ok(())
            }
            Some(Run::Retry) => Err(ServiceError::Retry("busy".to_owned())),
            Some(Run::Fatal) => Err(ServiceError::Fatal("no such key".to_owned())),
            Some(Run::Panic) => panic!("out of luck"),
            Some(Run::End) => Ok(()),
            Some(Run::FailAfter(duration)) => {
                self.scheduler.sleep(duration).await;
                Err(ServiceError::Retry("worn out".to_owned()))
            }
            Some(Run::Hang) => std::future::pending().await,
        }
    }

    fn health(&self) -> Health {
        assert!(!self.health_panics, "no pulse");
        Health::Degraded { reason: "a little slow".to_owned() }
    }
}

/// A scripted service under supervision.
struct Case {
    scheduler: VirtualScheduler,
    telemetry: RecordingTelemetry,
    service: Arc<Scripted>,
    supervised: Supervised,
}

impl Case {
    fn new(script: &[Run]) -> Self {
        Self::with_seed(1, script, false)
    }

    fn with_seed(seed: u64, script: &[Run], health_panics: bool) -> Self {
        let scheduler = VirtualScheduler::new(seed);
        let telemetry = RecordingTelemetry::new();
        let service = Arc::new(Scripted {
            scheduler: scheduler.handle(),
            script: Mutex::new(script.iter().copied().collect()),
            started: Mutex::default(),
            health_panics,
        });
        let supervised = Supervised::start(
            Arc::clone(&service) as Arc<dyn Service>,
            scheduler.handle(),
            Arc::new(telemetry.clone()),
            POLICY,
        );
        Self { scheduler, telemetry, service, supervised }
    }

    fn run_for(&self, duration: Duration) -> ServiceStatus {
        self.scheduler.run_for(duration);
        self.supervised.status()
    }

    fn runs(&self) -> usize {
        self.service.started.lock().unwrap().len()
    }

    fn pauses_ms(&self) -> Vec<u128> {
        let started = self.service.started.lock().unwrap();
        started.windows(2).map(|pair| pair[1].since(pair[0]).as_millis()).collect()
    }
}

#[test]
fn failures_are_followed_by_growing_pauses_that_a_seed_repeats() {
    let script = [Run::Retry, Run::Panic, Run::End, Run::Retry, Run::Retry];
    let case = Case::new(&script);
    let status = case.run_for(Duration::from_secs(10));
    assert_eq!(status.state, ServiceState::Running);
    assert_eq!((status.restarts, status.failures_in_a_row), (5, 5));
    assert_eq!(status.health, HealthStatus::Degraded { reason: "a little slow".to_owned() });
    let pauses = case.pauses_ms();
    for (pause, longest) in pauses.iter().zip([100, 200, 400, 800, 1000]) {
        assert!((longest / 2..=longest).contains(pause), "{pause} of {longest}: {pauses:?}");
    }
    assert_eq!(pauses.len(), 5);
    let again = Case::new(&script);
    again.run_for(Duration::from_secs(10));
    assert_eq!(again.pauses_ms(), pauses, "the same seed");
    let other = Case::with_seed(2, &script, false);
    other.run_for(Duration::from_secs(10));
    assert_ne!(other.pauses_ms(), pauses, "another seed");
    assert_eq!(case.telemetry.counter_sum("service_restarts_total"), 5);
    assert_eq!(case.telemetry.events_named("service.failed").len(), 5);
}

#[test]
fn each_way_to_fail_is_told_in_its_words() {
    let table = [
        (Run::Retry, ServiceState::BackingOff, "busy"),
        (Run::Panic, ServiceState::BackingOff, "it panicked: out of luck"),
        (Run::End, ServiceState::BackingOff, "it ended without having been asked to"),
        (Run::Fatal, ServiceState::Failed, "no such key"),
    ];
    for (run, state, words) in table {
        let case = Case::new(&[run]);
        case.scheduler.run_until_stalled();
        let status = case.supervised.status();
        assert_eq!((status.state, status.last_failure.as_deref()), (state, Some(words)));
        assert_eq!(case.runs(), 1);
    }
}

#[test]
fn a_fatal_failure_is_not_tried_again() {
    let case = Case::new(&[Run::Fatal]);
    let status = case.run_for(Duration::from_secs(3600));
    assert_eq!((status.state, status.restarts, case.runs()), (ServiceState::Failed, 0, 1));
    assert_eq!(status.health, HealthStatus::Failed { reason: "no such key".to_owned() });
}

#[test]
fn too_many_failures_in_a_row_end_in_quarantine() {
    let case = Case::new(&[Run::Panic; 20]);
    let status = case.run_for(Duration::from_secs(3600));
    assert_eq!(status.state, ServiceState::Quarantined);
    assert_eq!((status.failures_in_a_row, case.runs()), (6, 6));
    assert!(status.state.is_over());
    let errors = case.telemetry.logs_from(Level::Error);
    assert!(errors[0].message.contains("failed 6 times in a row"), "{errors:?}");
    case.scheduler.block_on(case.supervised.stop(Duration::from_secs(1)));
    assert_eq!(case.supervised.status().state, ServiceState::Quarantined, "stopping does not hide it");
}

#[test]
fn a_long_run_makes_earlier_failures_forgotten() {
    let case = Case::new(&[Run::Retry, Run::Retry, Run::FailAfter(POLICY.healthy_after), Run::Retry]);
    let status = case.run_for(Duration::from_secs(3600));
    assert_eq!((status.restarts, status.failures_in_a_row), (4, 2));
}

#[test]
fn stopping_ends_a_run_and_a_pause_at_once() {
    for (script, state_before) in
        [(&[][..], ServiceState::Running), (&[Run::Retry], ServiceState::BackingOff)]
    {
        let case = Case::new(script);
        case.scheduler.run_until_stalled();
        assert_eq!(case.supervised.status().state, state_before);
        let before = case.scheduler.now();
        case.scheduler.block_on(case.supervised.stop(Duration::from_secs(30)));
        assert_eq!(case.scheduler.now(), before);
        assert_eq!(case.supervised.status().state, ServiceState::Stopped);
        assert_eq!(case.runs(), 1);
    }
}

#[test]
fn a_service_that_does_not_stop_is_cut_off() {
    let case = Case::new(&[Run::Hang]);
    case.scheduler.run_until_stalled();
    case.scheduler.block_on(case.supervised.stop(Duration::from_secs(30)));
    let status = case.supervised.status();
    assert_eq!(status.state, ServiceState::Aborted);
    assert_eq!(status.last_failure.as_deref(), Some("did not stop within 30000 ms"));
    case.scheduler.run_until_stalled();
    assert!(case.scheduler.task_names().is_empty(), "its task is gone");
}

#[test]
fn a_dropped_handle_asks_the_service_to_stop() {
    let Case { scheduler, supervised, .. } = Case::new(&[]);
    scheduler.run_until_stalled();
    assert_eq!(scheduler.task_names().len(), 1);
    drop(supervised);
    scheduler.run_until_stalled();
    assert!(scheduler.task_names().is_empty());
}

#[test]
fn a_health_check_that_panics_is_contained() {
    let case = Case::with_seed(1, &[], true);
    let status = case.run_for(Duration::from_secs(1));
    assert_eq!(status.state, ServiceState::Running);
    assert_eq!(
        status.health,
        HealthStatus::Failed { reason: "its health check panicked: no pulse".to_owned() }
    );
}

#[test]
fn pauses_never_leave_their_bounds() {
    for failures in [1, 2, 5, 31, 32, 33, u32::MAX] {
        for chance in [0, 1, u64::MAX / 2, u64::MAX] {
            let pause = POLICY.pause(failures, chance);
            assert!(
                pause >= POLICY.backoff_min / 2 && pause <= POLICY.backoff_max,
                "{failures} {chance}: {pause:?}"
            );
        }
    }
    assert_eq!(POLICY.pause(1, 0), POLICY.backoff_min);
    assert_eq!(POLICY.pause(u32::MAX, 0), POLICY.backoff_max);
}

#[test]
fn the_worst_health_counts() {
    let degraded = HealthStatus::Degraded { reason: "slow".to_owned() };
    let failed = HealthStatus::Failed { reason: "dead".to_owned() };
    assert_eq!(HealthStatus::worst([]), HealthStatus::Ok);
    assert_eq!(HealthStatus::worst([&HealthStatus::Ok, &degraded]), degraded);
    assert_eq!(HealthStatus::worst([&degraded, &failed, &HealthStatus::Ok]), failed);
}
