//! What all parts of the plugin share, and the network seam that they make up.

use crate::config::Config;
use crate::membership::Membership;
use crate::remote::Remote;
use crate::roster::Roster;
use lampkeeper_plugin_sdk::api::network::{
    Artifact, ArtifactNetwork, KEYS_PER_CALL_MAX, NetworkError, Published, Survey,
};
use lampkeeper_plugin_sdk::api::plugin::{PluginContext, PluginError};
use lampkeeper_plugin_sdk::api::scheduler::{Permits, Scheduler};
use lampkeeper_plugin_sdk::api::store::ArtifactStore;
use lampkeeper_plugin_sdk::api::telemetry::Telemetry;
use lampkeeper_plugin_sdk::api::transport::CallError;
use lampkeeper_plugin_sdk::api::{Account, BoxFuture};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::futures::stream::{self, StreamExt};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::sync::Arc;
use std::time::Duration;

/// The network of replicas, as this node sees it.
pub(crate) struct Replicas {
    pub(crate) own_account: Account,
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn ArtifactStore>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) membership: Membership,
    pub(crate) remote: Remote,
    /// Requests of peers that wait or are worked on.
    pub(crate) admitted: Arc<dyn Permits>,
    /// Requests of peers that are worked on.
    pub(crate) working: Arc<dyn Permits>,
}

impl Replicas {
    pub(crate) fn new(context: &PluginContext, config: Config) -> Result<Self, PluginError> {
        let scheduler = context.scheduler()?;
        let telemetry = Arc::clone(&context.telemetry);
        let permits = |count: u32| scheduler.permits(usize::try_from(count).unwrap_or(1));
        let remote = Remote {
            transport: context.transport()?,
            scheduler: Arc::clone(&scheduler),
            telemetry: Arc::clone(&telemetry),
            permits: permits(config.calls_at_once),
            timeout: config.call_timeout(),
        };
        let working = permits(config.requests_at_once);
        let admitted =
            scheduler.permits(crate::limits::WAITING_REQUESTS_MAX.max(config.requests_at_once as usize));
        let own_account = context.node.account.clone();
        let membership = Membership::new(
            context.chain_reader()?,
            Arc::clone(&scheduler),
            Arc::clone(&telemetry),
            own_account.clone(),
        );
        let store = context.store()?;
        Ok(Self { own_account, config, store, scheduler, telemetry, membership, remote, admitted, working })
    }

    pub(crate) fn replica_count(&self) -> usize {
        self.config.replica_count as usize
    }

    pub(crate) async fn roster(&self) -> Result<Arc<Roster>, NetworkError> {
        self.membership.not_older_than(self.config.refresh_interval()).await.map_err(NetworkError::Chain)
    }

    /// The roster for a decision that places artifacts (wire 12.7).
    async fn roster_for_publishing(&self) -> Result<Arc<Roster>, NetworkError> {
        let age = Duration::from_millis(self.config.publish_refresh_ms);
        self.membership.not_older_than(age).await.map_err(NetworkError::Chain)
    }

    /// The outcomes of all work, of which no more than the permitted calls goes on at once, in the order of completion.
    pub(crate) async fn all<T: Send>(&self, work: Vec<BoxFuture<'_, T>>) -> Vec<T> {
        stream::iter(work).buffer_unordered(self.config.calls_at_once as usize).collect().await
    }
}

/// Whether a peer that failed like this would fail again at once, so that it is left alone for the rest of a task.
pub(crate) const fn is_lost(error: &CallError) -> bool {
    error.is_no_response() || (!error.is_ours() && !error.is_transient())
}

/// The replica set of a key by account, nearest first.
fn accounts(roster: &Roster, replica_set: &[usize]) -> Vec<Account> {
    replica_set.iter().map(|&index| roster.members[index].account.clone()).collect()
}

fn check_count(count: usize) -> Result<(), NetworkError> {
    if count > KEYS_PER_CALL_MAX {
        return Err(NetworkError::TooManyKeys { count, max: KEYS_PER_CALL_MAX });
    }
    Ok(())
}

/// The network seam.
pub(crate) struct ReplicaNetwork(pub(crate) Arc<Replicas>);

#[async_trait]
impl ArtifactNetwork for ReplicaNetwork {
    async fn replica_set(&self, key: &ArtifactKey) -> Result<Vec<Account>, NetworkError> {
        let roster = self.0.roster().await?;
        let replica_set = roster.replica_set(key, self.0.replica_count());
        if replica_set.is_empty() {
            Err(NetworkError::NoMembers)
        } else {
            Ok(accounts(&roster, &replica_set))
        }
    }

    async fn publish(&self, artifacts: Vec<Artifact>) -> Result<Vec<Published>, NetworkError> {
        check_count(artifacts.len())?;
        if artifacts.is_empty() {
            return Ok(Vec::new());
        }
        let roster = self.0.roster_for_publishing().await?;
        if roster.storing_count() == 0 {
            return Err(NetworkError::NoMembers);
        }
        let replica_set = |artifact: &Artifact| {
            accounts(&roster, &roster.replica_set(&artifact.key, self.0.replica_count()))
        };
        let targets = artifacts.iter().map(replica_set).collect();
        Ok(self.0.place(&roster, artifacts, targets).await)
    }

    async fn publish_to(
        &self,
        artifacts: Vec<Artifact>,
        accounts: &[Account],
    ) -> Result<Vec<Published>, NetworkError> {
        check_count(artifacts.len())?;
        if artifacts.is_empty() {
            return Ok(Vec::new());
        }
        let roster = self.0.roster_for_publishing().await?;
        let mut distinct: Vec<Account> = Vec::new();
        for account in accounts {
            if !distinct.contains(account) {
                distinct.push(account.clone());
            }
        }
        let targets = vec![distinct; artifacts.len()];
        Ok(self.0.place(&roster, artifacts, targets).await)
    }

    async fn fetch(&self, keys: &[ArtifactKey]) -> Result<Vec<Option<Artifact>>, NetworkError> {
        check_count(keys.len())?;
        self.0.fetch_all(keys).await
    }

    async fn survey(&self, keys: &[ArtifactKey], verify: bool) -> Result<Vec<Survey>, NetworkError> {
        check_count(keys.len())?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let roster = self.0.roster().await?;
        if roster.storing_count() == 0 {
            return Err(NetworkError::NoMembers);
        }
        Ok(self.0.survey_all(&roster, keys, verify).await)
    }
}
