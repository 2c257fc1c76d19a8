//! The background half: keeps the roster current and carries the routes.

use crate::replicas::Replicas;
use crate::serve;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::scheduler::sleep_unless_cancelled;
use lampkeeper_plugin_sdk::api::service::{Health, Service, ServiceError};
use lampkeeper_plugin_sdk::api::transport::Route;
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::futures::future::select;
use std::sync::Arc;

/// How many refreshes may be missed before it is worth a word.
const MISSED_REFRESHES_MAX: u32 = 4;

/// Refreshes the membership, and answers peers.
pub(crate) struct ReplicaService(pub(crate) Arc<Replicas>);

#[async_trait]
impl Service for ReplicaService {
    fn name(&self) -> &str {
        "network-replicas"
    }

    fn routes(&self) -> Vec<Route> {
        serve::routes(&self.0)
    }

    async fn run(&self, shutdown: Cancel) -> Result<(), ServiceError> {
        let replicas = &*self.0;
        let interval = replicas.config.refresh_interval();
        while !shutdown.is_cancelled() {
            // A failure was told where it happened, and the next round tries again.
            let refresh = Box::pin(replicas.membership.not_older_than(interval));
            drop(select(refresh, shutdown.cancelled()).await);
            sleep_unless_cancelled(&*replicas.scheduler, interval, &shutdown).await;
        }
        Ok(())
    }

    fn health(&self) -> Health {
        let membership = &self.0.membership;
        let too_old = self.0.config.refresh_interval().saturating_mul(MISSED_REFRESHES_MAX);
        let because = || membership.failure().map_or_else(String::new, |error| format!(": {error}"));
        match membership.age() {
            None if membership.failure().is_some() => {
                Health::Degraded { reason: format!("the membership is not known{}", because()) }
            }
            Some(age) if age > too_old => {
                let reason = format!("the membership is {} s old{}", age.as_secs(), because());
                Health::Degraded { reason }
            }
            _ => Health::Ok,
        }
    }
}
