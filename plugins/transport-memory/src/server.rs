//! The answering side of a node: its routes, the calls that run, and their end.
//!
//! Owns the count of running calls and the containment of handlers' panics. Carrying messages is the transport's part.

use crate::fabric::{Membership, lock};
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, TaskHandle, within};
use lampkeeper_plugin_sdk::api::telemetry::{Level, Telemetry};
use lampkeeper_plugin_sdk::api::transport::{Router, ServerHandle, Status, StatusCode};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::futures::FutureExt;
use lampkeeper_plugin_sdk::futures::future::{Either, select};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The most calls that a node answers at once; further ones are told to come back later.
pub(crate) const RUNNING_CALLS_MAX: usize = 4096;

/// What a node serves at present.
pub(crate) struct Server {
    pub(crate) router: Router,
    scheduler: Arc<dyn Scheduler>,
    telemetry: Arc<dyn Telemetry>,
    load: Mutex<Load>,
    /// Given when the last call has ended and no new one is taken.
    idle: Cancel,
    /// Given when running calls have to end.
    end: Cancel,
}

#[derive(Default)]
struct Load {
    is_draining: bool,
    running: usize,
}

/// Why a call is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    /// The node takes no new calls.
    Away,
    /// Too many calls run.
    Back,
}

/// A call that counts as running until this is dropped.
struct RunningCall {
    server: Arc<Server>,
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        let mut load = lock(&self.server.load);
        load.running -= 1;
        let is_idle = load.is_draining && load.running == 0;
        drop(load);
        if is_idle {
            self.server.idle.cancel();
        }
    }
}

/// A handler's task, which ends when this is dropped.
pub(crate) struct HandlerTask {
    task: Arc<dyn TaskHandle>,
}

impl Drop for HandlerTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) fn new(router: Router, scheduler: Arc<dyn Scheduler>, telemetry: Arc<dyn Telemetry>) -> Self {
        let load = Mutex::new(Load::default());
        Self { router, scheduler, telemetry, load, idle: Cancel::new(), end: Cancel::new() }
    }

    /// Runs the work of one call on this node's own scheduler, so that it ends when the node does.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        path: &str,
        work: BoxFuture<'static, ()>,
    ) -> Result<Arc<dyn TaskHandle>, Turned> {
        let call = self.begin()?;
        let end = self.end.cancelled();
        let task = async move {
            let _call = call;
            // Whichever comes first: dropping the work closes its channels, which the caller notices.
            drop(select(work, end).await);
        };
        Ok(self.scheduler.spawn(path, Box::pin(task)))
    }

    /// Like [`Self::spawn`], for work that ends with its caller.
    pub(crate) fn spawn_for_caller(
        self: &Arc<Self>,
        path: &str,
        work: BoxFuture<'static, ()>,
    ) -> Result<HandlerTask, Turned> {
        self.spawn(path, work).map(|task| HandlerTask { task })
    }

    /// What the handler's code says; a panic is `Internal`.
    pub(crate) async fn contained<T>(
        &self,
        path: &str,
        work: impl Future<Output = Result<T, Status>> + Send,
    ) -> Result<T, Status> {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.telemetry.count("transport_handler_panics_total", &[("path", path)], 1);
                self.telemetry.log(Level::Error, "a handler panicked", &[("path", path.into())]);
                Err(Status::new(StatusCode::Internal, "the handler failed"))
            }
        }
    }

    pub(crate) fn is_taking_calls(&self) -> bool {
        !lock(&self.load).is_draining
    }

    fn begin(self: &Arc<Self>) -> Result<RunningCall, Turned> {
        let mut load = lock(&self.load);
        if load.is_draining {
            return Err(Turned::Away);
        }
        if load.running >= RUNNING_CALLS_MAX {
            return Err(Turned::Back);
        }
        load.running += 1;
        Ok(RunningCall { server: Arc::clone(self) })
    }

    async fn drain(&self, grace: Duration) {
        let is_idle = {
            let mut load = lock(&self.load);
            load.is_draining = true;
            load.running == 0
        };
        if !is_idle {
            // Whether they finished or not, what is left ends now.
            let _ = within(&*self.scheduler, grace, self.idle.cancelled()).await;
        }
        self.end.cancel();
    }

    fn end_now(&self) {
        lock(&self.load).is_draining = true;
        self.end.cancel();
    }
}

/// Serves until it is drained or dropped.
pub(crate) struct MemoryServer {
    pub(crate) server: Arc<Server>,
    pub(crate) membership: Arc<Membership>,
}

#[async_trait]
impl ServerHandle for MemoryServer {
    fn local_address(&self) -> String {
        self.membership.address().to_owned()
    }

    async fn drain(&self, grace: Duration) {
        self.server.drain(grace).await;
        self.membership.stop_serving(&self.server);
    }
}

impl Drop for MemoryServer {
    fn drop(&mut self) {
        self.server.end_now();
        self.membership.stop_serving(&self.server);
    }
}

/// The outcome, or `None` when the signal came first.
pub(crate) async fn unless<T>(cut: &Cancel, work: impl Future<Output = T> + Send) -> Option<T> {
    match select(Box::pin(work), cut.cancelled()).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    }
}
