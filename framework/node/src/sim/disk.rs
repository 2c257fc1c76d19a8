//! A node's disk: store, staging area and journal in memory, with a model of what a crash leaves of them.
//!
//! Owns the model. A call that changes something takes time; it happens somewhere in between, and is durable when it has
//! returned. When the caller is dropped before, a draw decides whether it had happened, had not, or, for an artifact
//! that was not there before, had been torn: it is then found damaged, never valid. What is staged and not sealed is
//! durable only by chance. What takes effect is counted.

use super::defect::Defect;
use super::ledger::Ledger;
use futures_now::now;
use lampkeeper_api::BoxFuture;
use lampkeeper_api::scheduler::{Scheduler, random_u64};
use lampkeeper_api::staging::{Staging, StagingState};
use lampkeeper_api::store::ArtifactStore;
use lampkeeper_plugin_sdk::testkit::{MemoryJournal, MemoryStaging, MemoryStore, VirtualScheduler};
use lampkeeper_protocol::artifact_key::ArtifactKey;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

mod journal;
mod staging;
mod store;

pub use journal::DiskJournal;
pub use staging::DiskStaging;
pub use store::DiskStore;

/// Seams in memory never wait.
pub mod futures_now {
    use lampkeeper_plugin_sdk::futures::FutureExt;

    /// The outcome of a future that is ready at once.
    #[expect(clippy::expect_used, reason = "seams in memory never wait")]
    pub fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("seams in memory never wait")
    }
}

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskCondition {
    /// The longest time that one call takes.
    pub latency_ms_max: u64,
    /// How many of a thousand calls fail.
    pub failures_per_mille: u64,
    /// Whether nothing can be added.
    pub is_full: bool,
}

impl DiskCondition {
    /// A disk that works.
    pub const GOOD: Self = Self { latency_ms_max: 4, failures_per_mille: 0, is_full: false };
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The disk failed.
    Io,
    /// There is no room.
    Full,
}

/// Whose disk it is, and who is told of what happens to it.
#[derive(Clone)]
pub struct DiskOwner {
    /// The node's name.
    pub name: String,
    /// Its account.
    pub account: String,
    /// The record.
    pub ledger: Ledger,
    /// What is wrong with it on purpose.
    pub defect: Option<Defect>,
}

impl DiskOwner {
    /// Whether the disk has this defect by now.
    fn suffers(&self, defect: Defect) -> bool {
        self.defect == Some(defect) && self.ledger.is_stormy()
    }
}

/// What all parts of a disk share.
struct Shared {
    scheduler: VirtualScheduler,
    condition: Mutex<DiskCondition>,
    owner: DiskOwner,
    /// Writes until the node crashes in the middle of one; 0 for never.
    crash_in_writes: AtomicU64,
}

/// What a crash may do to a change, besides making it whole or not at all.
type Tear<'a> = Box<dyn FnOnce() + Send + 'a>;

/// A node's disk; it outlives the node's lives.
#[derive(Clone)]
pub struct NodeDisk {
    /// What is durable of the store.
    pub store: MemoryStore,
    /// What is in the staging area.
    pub staging: MemoryStaging,
    /// What is durable of the journal.
    pub journal: MemoryJournal,
    shared: Arc<Shared>,
}

impl NodeDisk {
    /// An empty disk; time and draws are `scheduler`'s, a view that belongs to no node.
    pub fn new(scheduler: VirtualScheduler, owner: DiskOwner) -> Self {
        let condition = Mutex::new(DiskCondition::GOOD);
        Self {
            store: MemoryStore::new(),
            staging: MemoryStaging::new(),
            journal: MemoryJournal::new(),
            shared: Arc::new(Shared { scheduler, condition, owner, crash_in_writes: AtomicU64::new(0) }),
        }
    }

    fn owner(&self) -> &DiskOwner {
        &self.shared.owner
    }

    fn fault(&self, kind: &'static str) {
        self.owner().ledger.fault(kind);
    }

    /// Loses every artifact.
    pub fn wipe(&self) {
        for key in self.store.keys() {
            let _ = now(self.store.delete(&key));
        }
    }

    /// Makes the disk better or worse.
    pub fn set_condition(&self, condition: DiskCondition) {
        *self.shared.condition.lock().unwrap_or_else(PoisonError::into_inner) = condition;
    }

    fn condition(&self) -> DiskCondition {
        *self.shared.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, below: u64) -> u64 {
        random_u64(&self.shared.scheduler) % below.max(1)
    }

    async fn wait(&self, condition: DiskCondition) {
        let latency = Duration::from_millis(self.draw(condition.latency_ms_max + 1));
        if condition.latency_ms_max > DiskCondition::GOOD.latency_ms_max {
            self.fault("slow disk calls");
        }
        self.shared.scheduler.sleep(latency).await;
    }

    fn trouble(&self, condition: DiskCondition, adds: bool) -> Option<Trouble> {
        if condition.failures_per_mille > 0 && self.draw(1000) < condition.failures_per_mille {
            self.fault("failed disk calls");
            return Some(Trouble::Io);
        }
        if adds && condition.is_full {
            self.fault("calls to a full disk");
            return Some(Trouble::Full);
        }
        None
    }

    /// Does what changes nothing.
    pub async fn read<T>(&self, work: impl Future<Output = T> + Send) -> Result<T, Trouble> {
        let condition = self.condition();
        if condition != DiskCondition::GOOD {
            self.wait(condition).await;
        }
        match self.trouble(condition, false) {
            Some(trouble) => Err(trouble),
            None => Ok(now(work)),
        }
    }

    /// Does what changes something. `tear` is what a crash may do to it besides doing it whole or not at all.
    pub async fn write<'a, T: Send>(
        &self,
        adds: bool,
        work: BoxFuture<'a, T>,
        tear: Option<Tear<'a>>,
    ) -> Result<T, Trouble> {
        let condition = self.condition();
        let mut under_way = UnderWay { disk: self, work: Some(work), tear };
        self.crash_if_due();
        self.wait(condition).await;
        match self.trouble(condition, adds) {
            // An error may come after the change was made.
            Some(Trouble::Io) if self.draw(2) == 0 => {
                self.fault("disk calls that failed after their effect");
                under_way.finish();
                return Err(Trouble::Io);
            }
            Some(trouble) => {
                under_way.work = None;
                return Err(trouble);
            }
            None => {}
        }
        let outcome = under_way.finish();
        self.wait(condition).await;
        outcome.ok_or(Trouble::Io)
    }

    /// The node crashes in the middle of its `writes`th write from now.
    pub fn crash_in_writes(&self, writes: u64) {
        self.shared.crash_in_writes.store(writes, Ordering::Relaxed);
    }

    fn crash_if_due(&self) {
        let left = self.shared.crash_in_writes.load(Ordering::Relaxed);
        if left == 0 {
            return;
        }
        self.shared.crash_in_writes.store(left - 1, Ordering::Relaxed);
        if left == 1 {
            self.shared.scheduler.kill_group(&self.owner().name);
        }
    }

    /// What a crash does to what was not sealed: it stays, is torn, is emptied, or is gone.
    pub fn crash(&self) {
        for heal_op_id in now(self.staging.list()).unwrap_or_default() {
            let is_sealed = !matches!(now(self.staging.state(heal_op_id)), Ok(StagingState::Unsealed));
            let outcome = match self.draw(4) {
                _ if is_sealed && !self.owner().suffers(Defect::LosesStaging) => Ok(()),
                0 => self.lost("stagings lost in a crash", now(self.staging.remove(heal_op_id))),
                1 => self.lost("stagings emptied in a crash", now(self.staging.begin(heal_op_id))),
                2 if !is_sealed => {
                    let zeros = now(self.staging.write_file_at(heal_op_id, 0, vec![0; 64]));
                    self.lost("stagings torn in a crash", zeros)
                }
                _ if is_sealed => now(self.staging.remove(heal_op_id)),
                _ => Ok(()),
            };
            debug_assert!(outcome.is_ok(), "memory does not fail");
        }
    }

    fn lost<T>(&self, kind: &'static str, outcome: T) -> T {
        self.fault(kind);
        outcome
    }

    /// An artifact that was being written is left in pieces.
    fn tear(&self, key: &ArtifactKey) {
        self.store.damage(key);
        self.owner().ledger.torn(&self.owner().name, *key);
    }
}

/// A change that is being made.
struct UnderWay<'d, 'a, T> {
    disk: &'d NodeDisk,
    work: Option<BoxFuture<'a, T>>,
    tear: Option<Tear<'a>>,
}

impl<T> UnderWay<'_, '_, T> {
    fn finish(&mut self) -> Option<T> {
        self.work.take().map(now)
    }
}

impl<T> Drop for UnderWay<'_, '_, T> {
    fn drop(&mut self) {
        if self.work.is_none() {
            return;
        }
        match self.disk.draw(4) {
            0 | 1 => {
                self.disk.fault("writes made in a crash");
                drop(self.finish());
            }
            2 if self.tear.is_some() => {
                self.disk.fault("writes torn in a crash");
                drop(self.finish());
                self.tear.take().into_iter().for_each(|tear| tear());
            }
            _ => self.disk.fault("writes lost in a crash"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(scheduler: &VirtualScheduler) -> NodeDisk {
        let (name, account) = ("n1".to_owned(), "a1".to_owned());
        let owner = DiskOwner { name, account, ledger: Ledger::default(), defect: None };
        NodeDisk::new(scheduler.for_node("disk", 0), owner)
    }

    /// Crashes a node in the middle of a write, with many seeds; how often the artifact was absent, whole, torn.
    #[test]
    fn a_crash_leaves_a_write_whole_torn_or_undone_and_never_valid_in_part() {
        let key = ArtifactKey::of(b"some bytes");
        let mut found = [0; 3];
        for seed in 0..200 {
            let scheduler = VirtualScheduler::new(seed);
            let disk = disk(&scheduler);
            disk.set_condition(DiskCondition { latency_ms_max: 50, ..DiskCondition::GOOD });
            let store = DiskStore(disk.clone());
            let write = async move {
                let _ = store.put(&key, b"some bytes".to_vec()).await;
            };
            scheduler.for_node("n1", 0).spawn("write", Box::pin(write));
            scheduler.run_for(Duration::from_millis(10));
            scheduler.kill_group("n1");
            match now(disk.store.get(&key)) {
                Ok(None) => found[0] += 1,
                Ok(Some(bytes)) => {
                    assert_eq!(bytes, b"some bytes");
                    found[1] += 1;
                }
                Err(error) => {
                    assert!(error.is_damage(), "seed {seed}: {error}");
                    found[2] += 1;
                }
            }
        }
        assert!(found.iter().all(|count| *count > 10), "{found:?}");
    }

    #[test]
    fn what_has_returned_survives() {
        for seed in 0..50 {
            let scheduler = VirtualScheduler::new(seed);
            let disk = disk(&scheduler);
            let key = ArtifactKey::of(b"some bytes");
            let store = DiskStore(disk.clone());
            scheduler.block_on(store.put(&key, b"some bytes".to_vec())).unwrap();
            scheduler.kill_group("n1");
            disk.crash();
            assert_eq!(
                now(disk.store.get(&key)).unwrap().as_deref(),
                Some(&b"some bytes"[..]),
                "seed {seed}"
            );
        }
    }
}
