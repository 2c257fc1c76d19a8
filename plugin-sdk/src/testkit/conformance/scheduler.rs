//! What every [`Scheduler`] has to do.
//!
//! The checks sleep, so a production scheduler runs them on a clock that can be paused. They say in which order things
//! happen, never how long they take.

use super::{CheckResult, Report, equal, holds};
use crate::testkit::conformance::Failure;
use futures::channel::oneshot;
use futures::future::{join, join_all};
use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::scheduler::{Scheduler, TaskFailure, random_u64, sleep_unless_cancelled, within};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Long enough for anything that is to happen.
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(10);

/// The suite. `make` returns a scheduler; it may be the same each time.
pub async fn scheduler(make: impl AsyncFn() -> Arc<dyn Scheduler>) -> Report {
    let mut report = Report::new("scheduler");
    let scheduler = make().await;
    let seam = &*scheduler;
    report.check("time passes while it sleeps, and never goes back", time_passes(seam)).await;
    report.check("timers fire in the order of their deadlines", timer_order(seam)).await;
    report
        .check("a sleep counts from the call, not from the first poll", sleep_counts_from_the_call(seam))
        .await;
    report.check("a time limit drops what exceeds it, and nothing else", time_limits(seam)).await;
    report.check("a sleep can be cancelled", cancelled_sleep(seam)).await;
    report.check("a spawned task runs without being joined", spawn_runs(seam)).await;
    report.check("join waits for the end, as often as it is asked", join_waits(seam)).await;
    report.check("join reports a panic with its message", join_reports_panics(seam)).await;
    report.check("abort drops a task, and join says so", abort_drops(seam)).await;
    report.check("abort after the end changes nothing", late_abort(seam)).await;
    report.check("blocking work runs, and its panics are reported", blocking_work(seam)).await;
    report.check("there are as many permits as asked for, at least one", permit_count(seam)).await;
    report.check("permits are given in order", permits_are_fair(seam)).await;
    report.check("who stops waiting for a permit does not keep it", abandoned_permits(seam)).await;
    report.check("randomness fills every length and does not repeat itself", randomness(seam)).await;
    report
        .check("there is at least one thread for blocking work", async {
            holds("parallelism of at least 1", seam.parallelism() >= 1)
        })
        .await;
    report
}

/// Sets a flag when it is dropped.
struct DropFlag(Arc<AtomicBool>);

impl Drop for DropFlag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A future's outcome, or a failure if it takes forever.
async fn soon<T>(
    scheduler: &dyn Scheduler,
    what: &str,
    future: impl Future<Output = T> + Send,
) -> Result<T, Failure> {
    let outcome = within(scheduler, PATIENCE, future).await;
    outcome.ok_or_else(|| Failure { expected: what.to_owned(), found: "nothing happened".to_owned() })
}

async fn time_passes(scheduler: &dyn Scheduler) -> CheckResult {
    let mut before = scheduler.now();
    for duration in [Duration::ZERO, TICK, TICK] {
        scheduler.sleep(duration).await;
        let now = scheduler.now();
        holds("at least the time slept", now.since(before) >= duration && now >= before)?;
        before = now;
    }
    Ok(())
}

async fn timer_order(scheduler: &dyn Scheduler) -> CheckResult {
    let order = Mutex::new(Vec::new());
    let sleeps = [3, 1, 2, 5, 4].map(|ticks| {
        let (sleep, order) = (scheduler.sleep(TICK * ticks), &order);
        async move {
            sleep.await;
            order.lock().unwrap_or_else(PoisonError::into_inner).push(ticks);
        }
    });
    join_all(sleeps).await;
    equal("order", order.into_inner().unwrap_or_else(PoisonError::into_inner), vec![1, 2, 3, 4, 5])
}

async fn sleep_counts_from_the_call(scheduler: &dyn Scheduler) -> CheckResult {
    let early = scheduler.sleep(TICK);
    scheduler.sleep(TICK * 2).await;
    let immediately = within(scheduler, Duration::ZERO, early).await;
    equal("a sleep whose time is over", immediately, Some(()))
}

async fn time_limits(scheduler: &dyn Scheduler) -> CheckResult {
    equal("in time", within(scheduler, TICK * 2, async { 7 }).await, Some(7))?;
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = DropFlag(Arc::clone(&dropped));
    let endless = async move {
        let _flag = flag;
        std::future::pending::<()>().await;
    };
    equal("too late", within(scheduler, TICK, endless).await, None)?;
    holds("what is too late is dropped", dropped.load(Ordering::Acquire))
}

async fn cancelled_sleep(scheduler: &dyn Scheduler) -> CheckResult {
    let cancel = Cancel::new();
    equal("not cancelled", sleep_unless_cancelled(scheduler, TICK, &cancel).await, true)?;
    let canceller = cancel.clone();
    let sleep = scheduler.sleep(TICK);
    let sleeping = sleep_unless_cancelled(scheduler, PATIENCE * 1000, &cancel);
    let cancelling = async move {
        sleep.await;
        canceller.cancel();
    };
    let (whole, ()) = join(sleeping, cancelling).await;
    equal("cancelled", whole, false)
}

async fn spawn_runs(scheduler: &dyn Scheduler) -> CheckResult {
    let (sender, receiver) = oneshot::channel();
    let task = async move {
        sender.send(7).ok();
    };
    let handle = scheduler.spawn("conformance", Box::pin(task));
    drop(handle);
    equal("its word", soon(scheduler, "a task runs", receiver).await?, Ok(7))
}

async fn join_waits(scheduler: &dyn Scheduler) -> CheckResult {
    let (sender, receiver) = oneshot::channel::<()>();
    let task = scheduler.spawn(
        "conformance",
        Box::pin(async move {
            receiver.await.ok();
        }),
    );
    equal("before its end", within(scheduler, TICK, task.join()).await, None)?;
    let (first, second) = (task.join(), task.join());
    drop(sender);
    let both = soon(scheduler, "both joins complete", join(first, second)).await?;
    equal("at its end", both, (Ok(()), Ok(())))?;
    equal("after its end", soon(scheduler, "a late join completes", task.join()).await?, Ok(()))
}

async fn join_reports_panics(scheduler: &dyn Scheduler) -> CheckResult {
    let task = scheduler.spawn("conformance", Box::pin(async { panic!("out of oil {}", 7) }));
    let expected = Err(TaskFailure::Panicked("out of oil 7".to_owned()));
    equal("outcome", soon(scheduler, "join completes", task.join()).await?, expected)
}

async fn abort_drops(scheduler: &dyn Scheduler) -> CheckResult {
    let dropped = Arc::new(AtomicBool::new(false));
    let (flag, sleep) = (DropFlag(Arc::clone(&dropped)), scheduler.sleep(PATIENCE * 1000));
    let task = scheduler.spawn(
        "conformance",
        Box::pin(async move {
            let _flag = flag;
            sleep.await;
        }),
    );
    scheduler.sleep(TICK).await;
    holds("it lives before", !dropped.load(Ordering::Acquire))?;
    task.abort();
    let outcome = soon(scheduler, "join completes", task.join()).await?;
    equal("outcome", outcome, Err(TaskFailure::Aborted))?;
    holds("its future is dropped when join completes", dropped.load(Ordering::Acquire))
}

async fn late_abort(scheduler: &dyn Scheduler) -> CheckResult {
    let task = scheduler.spawn("conformance", Box::pin(async {}));
    equal("outcome", soon(scheduler, "join completes", task.join()).await?, Ok(()))?;
    task.abort();
    equal("outcome after abort", soon(scheduler, "join completes", task.join()).await?, Ok(()))
}

async fn blocking_work(scheduler: &dyn Scheduler) -> CheckResult {
    let done = Arc::new(AtomicUsize::new(0));
    let works = (0..3).map(|_| {
        let done = Arc::clone(&done);
        let work = move || {
            done.fetch_add(1, Ordering::AcqRel);
        };
        scheduler.run_blocking("conformance", Box::new(work))
    });
    let outcomes = soon(scheduler, "blocking work ends", join_all(works)).await?;
    equal("outcomes", outcomes, vec![Ok(()); 3])?;
    equal("work done", done.load(Ordering::Acquire), 3)?;
    let panicking = scheduler.run_blocking("conformance", Box::new(|| panic!("bad block")));
    let outcome = soon(scheduler, "panicking work ends", panicking).await?;
    equal("outcome", outcome, Err(TaskFailure::Panicked("bad block".to_owned())))
}

async fn permit_count(scheduler: &dyn Scheduler) -> CheckResult {
    for (asked, expected) in [(0, 1), (1, 1), (3, 3)] {
        let permits = scheduler.permits(asked);
        let held: Vec<_> = std::iter::from_fn(|| permits.try_acquire()).take(10).collect();
        equal(&format!("permits of {asked}"), held.len(), expected)?;
        equal("a wait for one more", within(scheduler, TICK, permits.acquire()).await.is_some(), false)?;
        drop(held);
        holds("a permit given back is free", permits.try_acquire().is_some())?;
    }
    Ok(())
}

async fn permits_are_fair(scheduler: &dyn Scheduler) -> CheckResult {
    let permits = scheduler.permits(1);
    let held = permits.acquire().await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..4 {
        let (acquire, order) = (permits.acquire(), Arc::clone(&order));
        tasks.push(scheduler.spawn(
            "conformance",
            Box::pin(async move {
                let _permit = acquire.await;
                order.lock().unwrap_or_else(PoisonError::into_inner).push(number);
            }),
        ));
        scheduler.sleep(TICK).await; // it waits now
    }
    holds("nobody is served while the permit is held", permits.try_acquire().is_none())?;
    drop(held);
    let joins = tasks.iter().map(|task| task.join());
    soon(scheduler, "all are served", join_all(joins)).await?;
    equal("order", order.lock().unwrap_or_else(PoisonError::into_inner).clone(), vec![0, 1, 2, 3])
}

async fn abandoned_permits(scheduler: &dyn Scheduler) -> CheckResult {
    let permits = scheduler.permits(1);
    let held = permits.acquire().await;
    let (mut first, mut second) = (permits.acquire(), permits.acquire());
    let waits = futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending();
    holds("both wait", waits)?;
    drop(held);
    drop(first); // it may have been given the permit already
    drop(soon(scheduler, "the permit passes to the next", second).await?);
    let unpolled = permits.acquire();
    drop(unpolled);
    holds("the permit is free again", permits.try_acquire().is_some())
}

async fn randomness(scheduler: &dyn Scheduler) -> CheckResult {
    let draws = (random_u64(scheduler), random_u64(scheduler), random_u64(scheduler));
    holds("three different numbers", draws.0 != draws.1 && draws.1 != draws.2 && draws.0 != draws.2)?;
    for len_bytes in [0, 1, 7, 64, 1000] {
        // One byte is zero once in 256 draws, and never in 40 of them.
        let mut seen = vec![0; len_bytes];
        for _ in 0..40 {
            let mut bytes = vec![0; len_bytes];
            scheduler.fill_random(&mut bytes);
            seen.iter_mut().zip(bytes).for_each(|(seen, byte)| *seen |= byte);
        }
        holds(&format!("all of {len_bytes} bytes are filled"), seen.iter().all(|byte| *byte != 0))?;
    }
    Ok(())
}
