//! Work that a scheduler is given: made by one side, run by another.
//!
//! A task that panics is contained by its maker's gate, so that its scheduler sees it end properly. Whoever joins it has
//! to hear of the panic all the same: that is why argument and result belong together here.

use super::passage::GatedFuture;
use super::{Border, Codec, Gate, Method};
use crate::BoxFuture;
use crate::scheduler::{Scheduler, TaskFailure, TaskHandle};
use std::sync::{Arc, OnceLock};

static TASK: Method = Method::new("scheduler", "task");
static WORK: Method = Method::new("scheduler", "work");

/// The words of a task's panic, once it has.
type Panicked = Arc<OnceLock<String>>;

/// Calls [`Scheduler::spawn`].
pub(crate) fn spawn<S: Scheduler + ?Sized>(
    inner: &S,
    border: &Border,
    method: &'static Method,
    name: &str,
    task: BoxFuture<'static, ()>,
) -> Arc<dyn TaskHandle> {
    let passage = border.begin(method, format_args!("name: {name:?}"));
    let Some(gate) = &border.arguments else {
        return border.result(passage.now(|| inner.spawn(name, task), Codec::none()));
    };
    let panicked = Panicked::default();
    let task = contained_task(gate, Arc::clone(&panicked), task);
    let handle = border.result(passage.now(|| inner.spawn(name, task), Codec::none()));
    Arc::new(Spawned { handle, panicked })
}

fn contained_task(
    gate: &Arc<dyn Gate>,
    panicked: Panicked,
    task: BoxFuture<'static, ()>,
) -> BoxFuture<'static, ()> {
    // The gate is asked about the task as about a call: tasks in flight are tasks that run.
    let passage = Border::giving(Arc::clone(gate)).begin(&TASK, format_args!(""));
    let task = GatedFuture::new(Arc::clone(gate), &TASK, task);
    Box::pin(async move {
        let outcome = task.await;
        passage.end(outcome.is_ok());
        if let Err(words) = outcome {
            let _ = panicked.set(words);
        }
    })
}

/// A task whose panic its scheduler did not see.
struct Spawned {
    handle: Arc<dyn TaskHandle>,
    panicked: Panicked,
}

impl TaskHandle for Spawned {
    fn abort(&self) {
        self.handle.abort();
    }

    fn join(&self) -> BoxFuture<'static, Result<(), TaskFailure>> {
        with_panic(self.handle.join(), Arc::clone(&self.panicked))
    }
}

fn with_panic(
    ended: BoxFuture<'static, Result<(), TaskFailure>>,
    panicked: Panicked,
) -> BoxFuture<'static, Result<(), TaskFailure>> {
    Box::pin(async move {
        let outcome = ended.await;
        match panicked.get() {
            Some(words) => Err(TaskFailure::Panicked(words.clone())),
            None => outcome,
        }
    })
}

/// Calls [`Scheduler::run_blocking`].
pub(crate) fn run_blocking<S: Scheduler + ?Sized>(
    inner: &S,
    border: &Border,
    method: &'static Method,
    name: &str,
    work: Box<dyn FnOnce() + Send>,
) -> BoxFuture<'static, Result<(), TaskFailure>> {
    let passage = border.begin(method, format_args!("name: {name:?}"));
    let Some(gate) = &border.arguments else {
        return passage.future(|| inner.run_blocking(name, work), Codec::none());
    };
    let panicked = Panicked::default();
    let contained = contained_work(gate, Arc::clone(&panicked), work);
    with_panic(passage.future(|| inner.run_blocking(name, contained), Codec::none()), panicked)
}

fn contained_work(
    gate: &Arc<dyn Gate>,
    panicked: Panicked,
    work: Box<dyn FnOnce() + Send>,
) -> Box<dyn FnOnce() + Send> {
    let mut work = GatedWork { gate: Arc::clone(gate), work: Some(work) };
    Box::new(move || {
        let passage = Border::giving(Arc::clone(&work.gate)).begin(&WORK, format_args!(""));
        let outcome = work.run();
        passage.end(outcome.is_ok());
        if let Err(words) = outcome {
            let _ = panicked.set(words);
        }
    })
}

/// Work that is run, or dropped without having been run, through its maker's gate.
struct GatedWork {
    gate: Arc<dyn Gate>,
    work: Option<Box<dyn FnOnce() + Send>>,
}

impl GatedWork {
    fn run(&mut self) -> Result<(), String> {
        let mut work = self.work.take();
        self.gate.step(&WORK, &mut || {
            if let Some(work) = work.take() {
                work();
            }
        })
    }
}

impl Drop for GatedWork {
    fn drop(&mut self) {
        if self.work.is_some() {
            let mut work = self.work.take();
            // Its gate has noted a panic; the scheduler that drops work unseen has nobody to tell.
            let _ = self.gate.step(&WORK, &mut || drop(work.take()));
        }
    }
}
