//! What can be asked of any [`Service`], whatever it does.

use super::{CheckResult, Failure, Report, equal, holds};
use futures::channel::oneshot;
use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::scheduler::{Scheduler, within};
use lampkeeper_api::service::{Service, ServiceError};
use std::sync::Arc;
use std::time::Duration;

/// How long a service is left at work.
const AT_WORK: Duration = Duration::from_secs(120);
/// How long a service may take to end: the supervisor's default.
const PATIENCE: Duration = Duration::from_secs(30);

/// The suite. `make` returns a service that has not run; `tasks_left` closes the plugins that were made, and names the tasks
/// that then still run on `scheduler`, without those of the suite's caller.
pub async fn service(
    scheduler: Arc<dyn Scheduler>,
    tasks_left: impl AsyncFn() -> Vec<String>,
    make: impl AsyncFn() -> Arc<dyn Service>,
) -> Report {
    let one = make().await;
    let mut report = Report::new(&format!("service {}", one.name()));
    let scheduler = &*scheduler;
    report.check("it has a name, and says how it is before it runs", named(&*one)).await;
    report.check("it answers each path once", async { routes(&*one) }).await;
    report.check("it works until it is asked to stop, and then stops soon", one_run(scheduler, &one)).await;
    report.check("it runs again after it was stopped", one_run(scheduler, &one)).await;
    let asked_before = async {
        let shutdown = Cancel::new();
        shutdown.cancel();
        ended(scheduler, &one, shutdown).await
    };
    report.check("it ends at once if it was asked to stop before it began", asked_before).await;
    let fresh = make().await;
    report.check("a run that was cut off can be repeated", cut_off(scheduler, &fresh)).await;
    drop((one, fresh));
    let none_left = async {
        drop(tasks_left().await);
        scheduler.sleep(PATIENCE).await;
        equal("tasks that are left", tasks_left().await, Vec::new())
    };
    report.check("no task outlives it", none_left).await;
    report
}

async fn named(service: &dyn Service) -> CheckResult {
    holds("a name", !service.name().trim().is_empty())?;
    drop(service.health());
    Ok(())
}

fn routes(service: &dyn Service) -> CheckResult {
    let mut paths: Vec<String> = service.routes().into_iter().map(|route| route.path).collect();
    holds("paths begin with a slash", paths.iter().all(|path| path.starts_with('/')))?;
    let count = paths.len();
    paths.sort();
    paths.dedup();
    equal("paths, each once", paths.len(), count)
}

/// A run on a task of its own, as the supervisor has it; completes with what the run returned.
fn start(
    scheduler: &dyn Scheduler,
    service: &Arc<dyn Service>,
    shutdown: Cancel,
) -> (Arc<dyn lampkeeper_api::scheduler::TaskHandle>, oneshot::Receiver<Result<(), ServiceError>>) {
    let (sender, receiver) = oneshot::channel();
    let service = Arc::clone(service);
    let run = async move {
        // Nobody listens once the run was cut off.
        let _ = sender.send(service.run(shutdown).await);
    };
    (scheduler.spawn("conformance", Box::pin(run)), receiver)
}

async fn one_run(scheduler: &dyn Scheduler, service: &Arc<dyn Service>) -> CheckResult {
    let shutdown = Cancel::new();
    let (_, mut outcome) = start(scheduler, service, shutdown.clone());
    match within(scheduler, AT_WORK, &mut outcome).await {
        // It may find that it can't work here, and say so.
        Some(Ok(Err(error))) => {
            return holds(&format!("an error says why: {error}"), !error.to_string().is_empty());
        }
        Some(found) => {
            return Err(Failure {
                expected: "it works until it is asked to stop".to_owned(),
                found: format!("it ended: {found:?}"),
            });
        }
        None => {}
    }
    drop(service.health());
    shutdown.cancel();
    soon(scheduler, outcome).await
}

async fn ended(scheduler: &dyn Scheduler, service: &Arc<dyn Service>, shutdown: Cancel) -> CheckResult {
    let (_, outcome) = start(scheduler, service, shutdown);
    soon(scheduler, outcome).await
}

async fn soon(
    scheduler: &dyn Scheduler,
    outcome: oneshot::Receiver<Result<(), ServiceError>>,
) -> CheckResult {
    match within(scheduler, PATIENCE, outcome).await {
        Some(Ok(Ok(()))) => Ok(()),
        found => Err(Failure {
            expected: format!("Ok within {} s of being asked to stop", PATIENCE.as_secs()),
            found: match found {
                None => "it goes on".to_owned(),
                Some(Ok(outcome)) => format!("{outcome:?}"),
                Some(Err(_)) => "it panicked".to_owned(),
            },
        }),
    }
}

/// The node crashes, or the supervisor loses patience: the run is dropped where it is.
async fn cut_off(scheduler: &dyn Scheduler, service: &Arc<dyn Service>) -> CheckResult {
    for at_work in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(1), AT_WORK] {
        let (task, _) = start(scheduler, service, Cancel::new());
        scheduler.sleep(at_work).await;
        task.abort();
        drop(task.join().await);
    }
    one_run(scheduler, service).await
}
