//! The service: a look at the chain every poll interval, and a task for each operation (wire 5.3).

use crate::in_flight::Side;
use crate::node::{LocalError, Node, is_verifier};
use crate::serve::ServeFile;
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::chain::{EnforcementMode, HealOp, HealOpStatus};
use lampkeeper_plugin_sdk::api::journal::SubmissionStatus;
use lampkeeper_plugin_sdk::api::scheduler::{TaskHandle, sleep_unless_cancelled};
use lampkeeper_plugin_sdk::api::service::{Health, Service, ServiceError};
use lampkeeper_plugin_sdk::api::transport::Route;
use lampkeeper_plugin_sdk::futures::future::select;
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_proto::methods::SERVE_RECONSTRUCTED_ARTEFACTS;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

/// The supervised part of the plugin.
pub(crate) struct SelfHealing {
    node: Arc<Node>,
    /// What is wrong at present, for `health`.
    problem: Mutex<Option<String>>,
}

/// The tasks that one run of the service has started.
#[derive(Default)]
struct Tasks(Mutex<Vec<Arc<dyn TaskHandle>>>);

#[async_trait]
impl Service for SelfHealing {
    fn name(&self) -> &str {
        "self-healing"
    }

    fn routes(&self) -> Vec<Route> {
        let handler = Arc::new(ServeFile { node: Arc::clone(&self.node) });
        vec![Route::server_stream(SERVE_RECONSTRUCTED_ARTEFACTS, handler)]
    }

    async fn run(&self, shutdown: Cancel) -> Result<(), ServiceError> {
        if let Err(error) = self.node.remove_orphans().await {
            self.node.warn("leftovers in the staging area were not removed", 0, &error);
        }
        let tasks = Tasks::default();
        while sleep_unless_cancelled(&*self.node.scheduler, self.node.config.poll_interval(), &shutdown).await
        {
            self.tick(&tasks, &shutdown).await;
            tasks.forget_ended();
        }
        // What has begun ends by itself: reconstructions and fetches listen to the signal, submissions are completed.
        tasks.join_all().await;
        Ok(())
    }

    fn health(&self) -> Health {
        match &*self.problem.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Health::Ok,
            Some(reason) => Health::Degraded { reason: reason.clone() },
        }
    }
}

impl SelfHealing {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node, problem: Mutex::default() }
    }

    /// One look. A phase that fails does not keep the next one from running, and the finalizer always runs.
    async fn tick(&self, tasks: &Tasks, shutdown: &Cancel) {
        let mut problems = Vec::new();
        let mut is_on = false;
        match self.node.chain.params().await {
            Ok(params) if params.storage_truth_enforcement_mode == EnforcementMode::Unspecified => {}
            Ok(_) => {
                is_on = true;
                problems.extend(self.healer_phase(tasks, shutdown).await.err());
                problems.extend(self.verifier_phase(tasks, shutdown).await.err());
            }
            Err(error) => problems.push(format!("reading the enforcement mode: {error}")),
        }
        problems.extend(self.finalizer_phase(tasks, is_on, shutdown).await.err());
        self.margin_phase(tasks, shutdown);
        for problem in &problems {
            self.node.telemetry.log(
                Level::Warn,
                "a healing phase failed",
                &[("reason", Value::from(problem))],
            );
        }
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problems.into_iter().next();
    }

    /// Starts on what is scheduled for this node and not claimed yet (wire 5.4).
    async fn healer_phase(&self, tasks: &Tasks, shutdown: &Cancel) -> Result<(), String> {
        let node = &self.node;
        let claims = node.journal.claims().await.map_err(|error| error.to_string())?;
        let mut waiting = self.list(HealOpStatus::Scheduled).await?;
        waiting.retain(|heal_op| {
            let heal_op_id = heal_op.heal_op_id;
            if heal_op.healer_supernode_account != node.account {
                return false;
            }
            let is_claimed = claims.iter().any(|claim| claim.heal_op_id == heal_op_id);
            let is_claimed = is_claimed || node.heard.is_claim_executed(heal_op_id);
            if is_claimed || node.in_flight.contains(heal_op_id, Side::Healing) {
                node.count("self_healing_deduplicated_total", "role", "healer");
                return false;
            }
            node.may_try(heal_op_id)
        });
        for heal_op in node.by_urgency(waiting).await {
            let heal_op_id = heal_op.heal_op_id;
            if let Some(guard) = node.in_flight.begin(heal_op_id, Side::Healing) {
                let (node, shutdown) = (Arc::clone(node), shutdown.clone());
                let work = async move {
                    let made = node.heal(&heal_op, &shutdown).await?;
                    // The finalizer may have the operation from here on; the comparison is nobody's hurry.
                    drop(guard);
                    match made {
                        Some(made) => node.shadow(&heal_op, &made, &shutdown).await,
                        None => Ok(()),
                    }
                };
                self.start(tasks, "heal", heal_op_id, Box::pin(work));
            }
        }
        Ok(())
    }

    /// Starts on what waits for this node's vote (wire 5.8).
    async fn verifier_phase(&self, tasks: &Tasks, shutdown: &Cancel) -> Result<(), String> {
        let node = &self.node;
        for heal_op in self.list(HealOpStatus::HealerReported).await? {
            let heal_op_id = heal_op.heal_op_id;
            if is_verifier(&heal_op, &node.account)
                && node.may_try(heal_op_id)
                && let Some(guard) = node.in_flight.begin(heal_op_id, Side::Verifying)
            {
                let (node, shutdown) = (Arc::clone(node), shutdown.clone());
                let work = async move {
                    let _guard = guard;
                    node.verify(&heal_op, &shutdown).await
                };
                self.start(tasks, "verify", heal_op_id, Box::pin(work));
            }
        }
        Ok(())
    }

    /// Starts on every claim that nobody works on: a pending one is resumed first, unless healing is switched off on the
    /// chain (wire 5.6, 5.11).
    async fn finalizer_phase(&self, tasks: &Tasks, resume: bool, shutdown: &Cancel) -> Result<(), String> {
        let node = &self.node;
        let claims = node.journal.claims().await.map_err(|error| error.to_string())?;
        let pending = claims.iter().filter(|claim| claim.status == SubmissionStatus::Pending).count();
        node.telemetry.gauge("self_healing_pending_claims", &[], pending as f64);
        if let Ok(bytes) = node.staging.usage_bytes().await {
            node.telemetry.gauge("self_healing_staging_bytes", &[], bytes as f64);
        }
        for claim in claims {
            let heal_op_id = claim.heal_op_id;
            if let Some(guard) = node.in_flight.begin(heal_op_id, Side::Healing) {
                let (node, shutdown) = (Arc::clone(node), shutdown.clone());
                let work = async move {
                    let _guard = guard;
                    // What was listed may have been claimed since, by whoever had the guard before.
                    if resume {
                        node.resume_claim(heal_op_id).await?;
                    }
                    node.finalize(heal_op_id, &shutdown).await
                };
                self.start(tasks, "finalize", heal_op_id, Box::pin(work));
            }
        }
        Ok(())
    }

    /// Looks at the margin of one of this node's tickets, now and then.
    fn margin_phase(&self, tasks: &Tasks, shutdown: &Cancel) {
        if self.node.is_margin_due()
            && let Some(guard) = self.node.in_flight.begin(0, Side::Looking)
        {
            let (node, shutdown) = (Arc::clone(&self.node), shutdown.clone());
            let work = async move {
                let _guard = guard;
                unless_stopped(&shutdown, node.look_at_next_margin()).await;
                Ok(())
            };
            self.start(tasks, "margin", 0, Box::pin(work));
        }
    }

    async fn list(&self, status: HealOpStatus) -> Result<Vec<HealOp>, String> {
        let list = self.node.chain.heal_ops(status).await;
        let list = list.map_err(|error| format!("listing heal operations in {}: {error}", status.name()))?;
        if list.truncated {
            let fields =
                [("status", Value::from(status.name())), ("read", Value::from(list.operations.len()))];
            self.node.telemetry.log(Level::Warn, "there are more heal operations than were read", &fields);
        }
        Ok(list.operations)
    }

    fn start(
        &self,
        tasks: &Tasks,
        what: &str,
        heal_op_id: u64,
        work: BoxFuture<'static, Result<(), LocalError>>,
    ) {
        let node = Arc::clone(&self.node);
        let task = async move {
            if let Err(error) = work.await {
                node.warn("work on a heal operation stopped; it is taken up again", heal_op_id, &error);
            }
        };
        let handle = self.node.scheduler.spawn(&format!("{what}-{heal_op_id}"), Box::pin(task));
        tasks.lock().push(handle);
    }
}

/// Does the work, or as much of it as comes before the signal.
async fn unless_stopped(shutdown: &Cancel, work: impl Future<Output = ()> + Send) {
    drop(select(shutdown.cancelled(), pin!(work)).await);
}

impl Tasks {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn TaskHandle>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of tasks that have ended.
    fn forget_ended(&self) {
        use lampkeeper_plugin_sdk::futures::FutureExt as _;
        self.lock().retain(|task| task.join().now_or_never().is_none());
    }

    async fn join_all(&self) {
        let tasks = std::mem::take(&mut *self.lock());
        for task in tasks {
            // Whether it panicked is the scheduler's to tell.
            drop(task.join().await);
        }
    }
}
