//! The scheduler keeps the contract of its seam, on a clock that is paused: tokio lets it jump when nothing can run.

use lampkeeper_plugin_sdk::api::plugin::Seam;
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, TaskFailure};
use lampkeeper_plugin_sdk::testkit::{VirtualScheduler, conformance, context};
use lampkeeper_scheduler_tokio::{TokioScheduler, descriptor};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

#[expect(clippy::unwrap_used, reason = "a test without a runtime has failed")]
fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

#[test]
fn it_conforms() {
    let runtime = paused();
    let scheduler = Arc::new(TokioScheduler::new(runtime.handle().clone()).unwrap());
    let make = async || Arc::clone(&scheduler) as Arc<dyn Scheduler>;
    runtime.block_on(conformance::scheduler(make)).assert_passed();
}

#[test]
fn the_plugin_provides_a_scheduler_and_needs_nothing() {
    let plugin = descriptor();
    assert_eq!((plugin.id.as_str(), plugin.needs.len()), ("scheduler-tokio", 0));
    let construct = || (plugin.construct)(context("scheduler-tokio").build());
    let provided = paused().block_on(construct()).unwrap();
    assert_eq!(provided.seams(), [Seam::Scheduler]);
    assert_eq!(provided.seams(), plugin.provides);
}

#[test]
fn without_a_runtime_the_plugin_says_what_is_missing() {
    let constructed = (descriptor().construct)(context("scheduler-tokio").build());
    let outcome = VirtualScheduler::new(0).block_on(constructed);
    let text = outcome.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(text.contains("has to construct its plugins on a tokio runtime"), "{text}");
}

#[test]
fn it_works_from_threads_outside_the_runtime_and_on_several_inside() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let scheduler = TokioScheduler::new(runtime.handle().clone()).unwrap();
    let outside = Builder::new_current_thread().build().unwrap();
    let task = scheduler.spawn("outside", scheduler.sleep(Duration::from_millis(1)));
    assert_eq!(outside.block_on(task.join()), Ok(()));
    let work = scheduler.run_blocking("outside", Box::new(|| ()));
    assert_eq!(outside.block_on(work), Ok(()));
}

#[test]
fn a_runtime_that_ends_aborts_its_tasks() {
    let runtime = paused();
    let scheduler = TokioScheduler::new(runtime.handle().clone()).unwrap();
    let task = scheduler.spawn("endless", Box::pin(std::future::pending()));
    drop(runtime);
    assert_eq!(paused().block_on(task.join()), Err(TaskFailure::Aborted));
}
