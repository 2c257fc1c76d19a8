//! Splitting one call's work over threads that end with it.
//!
//! Scoped threads keep the codec a pure function: nothing runs on after the call, and the result does not depend on
//! which thread did what.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

/// Runs `work` on all items, `items_per_job` (not 0) at a time, on at most `workers` threads, the caller's among them.
/// Each thread makes its own scratch space with `scratch`. A panic in `work` is passed on.
pub(super) fn for_each<T: Send, S>(
    workers: NonZeroUsize,
    items: &mut [T],
    items_per_job: usize,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &mut [T]) + Sync,
) {
    let helpers = workers.get().min(items.len().div_ceil(items_per_job)).saturating_sub(1);
    let jobs = Mutex::new(items.chunks_mut(items_per_job));
    let next_job = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take_jobs = || {
        let mut space = scratch();
        while let Some(job) = next_job() {
            work(&mut space, job);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(take_jobs);
        }
        take_jobs();
    });
}
