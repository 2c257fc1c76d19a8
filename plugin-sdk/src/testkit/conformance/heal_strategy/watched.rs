//! The seams that a strategy under test works through: in memory, watched, and slow, failing or lying on demand.
//!
//! Every call has an await point before and after it, so that a strategy can be stopped between any two.

use crate::cascade::fixture::MemoryNetwork;
use crate::protocol::artifact_key::ArtifactKey;
use crate::testkit::MemoryStaging;
use async_trait::async_trait;
use lampkeeper_api::Account;
use lampkeeper_api::network::{Artifact, ArtifactNetwork, NetworkError, Possession, Published, Survey};
use lampkeeper_api::staging::{Staging, StagingManifest, StagingState};
use lampkeeper_api::store::StoreError;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

/// An await point.
async fn pause() {
    let mut was_polled = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut was_polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the network behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Manner {
    /// As it should.
    #[default]
    Honest,
    /// Calls never end.
    Silent,
    /// Calls fail.
    Failing,
    /// Surveys say this of every holder, whatever is true.
    Saying(Possession),
    /// Symbols come with a flipped bit under the right key, which no network may do.
    Forging,
}

/// What was seen of the strategy's calls.
#[derive(Debug, Default)]
struct NetworkSeen {
    manner: Manner,
    calls: usize,
    calls_max: usize,
    fetching: usize,
    fetching_max: usize,
    publishes: usize,
}

/// A network in memory that is watched. Clones share everything.
#[derive(Clone)]
pub(super) struct WatchedNetwork {
    pub(super) holders: MemoryNetwork,
    seen: Arc<Mutex<NetworkSeen>>,
}

/// A call that is under way; it is over when this is dropped.
struct NetworkCall {
    seen: Arc<Mutex<NetworkSeen>>,
    fetching: usize,
}

impl Drop for NetworkCall {
    fn drop(&mut self) {
        let mut seen = lock(&self.seen);
        seen.calls -= 1;
        seen.fetching -= self.fetching;
    }
}

impl WatchedNetwork {
    pub(super) fn new(holders: MemoryNetwork, manner: Manner) -> Self {
        let seen = NetworkSeen { manner, ..NetworkSeen::default() };
        Self { holders, seen: Arc::new(Mutex::new(seen)) }
    }

    pub(super) fn set_manner(&self, manner: Manner) {
        lock(&self.seen).manner = manner;
    }

    /// The most calls, and the most artifacts being fetched, at once so far.
    pub(super) fn most_at_once(&self) -> (usize, usize) {
        let seen = lock(&self.seen);
        (seen.calls_max, seen.fetching_max)
    }

    pub(super) fn publishes(&self) -> usize {
        lock(&self.seen).publishes
    }

    fn manner(&self) -> Manner {
        lock(&self.seen).manner
    }

    async fn call(&self, fetching: usize) -> Result<NetworkCall, NetworkError> {
        let call = {
            let mut seen = lock(&self.seen);
            seen.calls += 1;
            seen.fetching += fetching;
            seen.calls_max = seen.calls_max.max(seen.calls);
            seen.fetching_max = seen.fetching_max.max(seen.fetching);
            NetworkCall { seen: Arc::clone(&self.seen), fetching }
        };
        pause().await;
        match self.manner() {
            Manner::Silent => std::future::pending().await,
            Manner::Failing => Err(NetworkError::NoMembers),
            Manner::Honest | Manner::Saying(_) | Manner::Forging => Ok(call),
        }
    }
}

#[async_trait]
impl ArtifactNetwork for WatchedNetwork {
    async fn replica_set(&self, key: &ArtifactKey) -> Result<Vec<Account>, NetworkError> {
        let _call = self.call(0).await?;
        self.holders.replica_set(key).await
    }

    async fn publish(&self, artifacts: Vec<Artifact>) -> Result<Vec<Published>, NetworkError> {
        lock(&self.seen).publishes += 1;
        self.holders.publish(artifacts).await
    }

    async fn publish_to(
        &self,
        artifacts: Vec<Artifact>,
        accounts: &[Account],
    ) -> Result<Vec<Published>, NetworkError> {
        lock(&self.seen).publishes += 1;
        self.holders.publish_to(artifacts, accounts).await
    }

    async fn fetch(&self, keys: &[ArtifactKey]) -> Result<Vec<Option<Artifact>>, NetworkError> {
        let _call = self.call(keys.len()).await?;
        let mut found = self.holders.fetch(keys).await?;
        pause().await;
        if self.manner() == Manner::Forging {
            // The last byte of a symbol: id files are shorter, and are what the strategy needs to get this far.
            let symbols = found.iter_mut().flatten().filter(|artifact| artifact.bytes.len() > 60_000);
            symbols.for_each(|symbol| *symbol.bytes.iter_mut().rev().nth(40_000).unwrap_or(&mut 0) ^= 1);
        }
        Ok(found)
    }

    async fn survey(&self, keys: &[ArtifactKey], verify: bool) -> Result<Vec<Survey>, NetworkError> {
        let _call = self.call(0).await?;
        let mut surveys = self.holders.survey(keys, verify).await?;
        pause().await;
        if let Manner::Saying(word) = self.manner() {
            let holders = surveys.iter_mut().flat_map(|survey| &mut survey.holders);
            holders.for_each(|(_, possession)| *possession = word);
        }
        Ok(surveys)
    }
}

#[derive(Debug, Default)]
struct StagingSeen {
    calls: usize,
    calls_max: usize,
    /// Calls that write, so far.
    writes: usize,
    /// The writing call from which on the disk is full.
    full_from: Option<usize>,
    touched: BTreeSet<u64>,
    /// Operations whose directory was changed after it had been sealed, other than by beginning anew.
    changed_when_sealed: BTreeSet<u64>,
    sealed: BTreeSet<u64>,
}

/// A staging area in memory that is watched. Clones share everything.
#[derive(Clone)]
pub(super) struct WatchedStaging {
    pub(super) area: MemoryStaging,
    seen: Arc<Mutex<StagingSeen>>,
}

struct StagingCall(Arc<Mutex<StagingSeen>>);

impl Drop for StagingCall {
    fn drop(&mut self) {
        lock(&self.0).calls -= 1;
    }
}

impl WatchedStaging {
    pub(super) fn new() -> Self {
        Self { area: MemoryStaging::new(), seen: Arc::default() }
    }

    /// From this writing call on the disk is full; `None` for room again.
    pub(super) fn fill_up_from(&self, call: Option<usize>) {
        let mut seen = lock(&self.seen);
        seen.full_from = call;
        seen.writes = 0;
    }

    pub(super) fn calls_max(&self) -> usize {
        lock(&self.seen).calls_max
    }

    /// Operations whose directory was written to.
    pub(super) fn touched(&self) -> BTreeSet<u64> {
        lock(&self.seen).touched.clone()
    }

    /// Operations whose directory somebody tried to change after it was sealed.
    pub(super) fn changed_when_sealed(&self) -> BTreeSet<u64> {
        lock(&self.seen).changed_when_sealed.clone()
    }

    async fn call(&self) -> StagingCall {
        let call = {
            let mut seen = lock(&self.seen);
            seen.calls += 1;
            seen.calls_max = seen.calls_max.max(seen.calls);
            StagingCall(Arc::clone(&self.seen))
        };
        pause().await;
        call
    }

    async fn write(&self, heal_op_id: u64) -> Result<StagingCall, StoreError> {
        let call = self.call().await;
        let mut seen = lock(&self.seen);
        seen.touched.insert(heal_op_id);
        if seen.sealed.contains(&heal_op_id) {
            seen.changed_when_sealed.insert(heal_op_id);
        }
        let position = seen.writes;
        seen.writes += 1;
        if seen.full_from.is_some_and(|from| from <= position) {
            return Err(StoreError::Full { attempted: "a part of a reconstruction".to_owned() });
        }
        Ok(call)
    }
}

#[async_trait]
impl Staging for WatchedStaging {
    async fn begin(&self, heal_op_id: u64) -> Result<(), StoreError> {
        lock(&self.seen).sealed.remove(&heal_op_id);
        let _call = self.write(heal_op_id).await?;
        self.area.begin(heal_op_id).await
    }

    async fn write_file_at(&self, heal_op_id: u64, offset: u64, bytes: Vec<u8>) -> Result<(), StoreError> {
        let _call = self.write(heal_op_id).await?;
        self.area.write_file_at(heal_op_id, offset, bytes).await
    }

    async fn put_artifact(
        &self,
        heal_op_id: u64,
        key: &ArtifactKey,
        bytes: Vec<u8>,
    ) -> Result<(), StoreError> {
        let _call = self.write(heal_op_id).await?;
        self.area.put_artifact(heal_op_id, key, bytes).await
    }

    async fn seal(&self, manifest: &StagingManifest) -> Result<(), StoreError> {
        let _call = self.write(manifest.heal_op_id).await?;
        self.area.seal(manifest).await?;
        lock(&self.seen).sealed.insert(manifest.heal_op_id);
        // Durable, but the caller does not know it yet.
        pause().await;
        Ok(())
    }

    async fn state(&self, heal_op_id: u64) -> Result<StagingState, StoreError> {
        let _call = self.call().await;
        self.area.state(heal_op_id).await
    }

    async fn read_file_at(
        &self,
        heal_op_id: u64,
        offset: u64,
        len_bytes: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let _call = self.call().await;
        self.area.read_file_at(heal_op_id, offset, len_bytes).await
    }

    async fn get_artifact(&self, heal_op_id: u64, key: &ArtifactKey) -> Result<Vec<u8>, StoreError> {
        let _call = self.call().await;
        self.area.get_artifact(heal_op_id, key).await
    }

    async fn remove(&self, heal_op_id: u64) -> Result<(), StoreError> {
        {
            let mut seen = lock(&self.seen);
            seen.touched.insert(heal_op_id);
            seen.sealed.remove(&heal_op_id);
        }
        let _call = self.call().await;
        self.area.remove(heal_op_id).await
    }

    async fn list(&self) -> Result<Vec<u64>, StoreError> {
        self.area.list().await
    }

    async fn usage_bytes(&self) -> Result<u64, StoreError> {
        self.area.usage_bytes().await
    }
}
