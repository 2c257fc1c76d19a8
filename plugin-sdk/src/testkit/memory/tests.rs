//! The kit's own implementations do what it demands of others.

use super::*;
use crate::api::journal::Journal;
use crate::api::staging::Staging;
use crate::api::store::{ArtifactStore, StoreError};
use crate::protocol::artifact_key::ArtifactKey;
use crate::testkit::{VirtualScheduler, conformance};
use std::sync::Arc;

fn run(suite: impl Future<Output = conformance::Report>) {
    VirtualScheduler::new(0).block_on(suite).assert_passed();
}

#[test]
fn the_store_conforms() {
    run(conformance::store(async || Arc::new(MemoryStore::new()) as Arc<dyn ArtifactStore>));
    run(conformance::store_with_damage(async || {
        let store = MemoryStore::new();
        let behind = store.clone();
        let damage = Box::new(move |key: &ArtifactKey| assert!(behind.damage(key), "{key} is stored"));
        conformance::Damageable { store: Arc::new(store), damage }
    }));
    let disk = MemoryStore::new();
    run(conformance::store_survives_reopening(async || Arc::new(disk.clone()) as Arc<dyn ArtifactStore>));
}

#[test]
fn the_staging_area_conforms() {
    run(conformance::staging(async || Arc::new(MemoryStaging::new()) as Arc<dyn Staging>));
    let disk = MemoryStaging::new();
    run(conformance::staging_survives_reopening(async || Arc::new(disk.clone()) as Arc<dyn Staging>));
}

#[test]
fn the_journal_conforms() {
    run(conformance::journal(async || Arc::new(MemoryJournal::new()) as Arc<dyn Journal>));
    let disk = MemoryJournal::new();
    run(conformance::journal_survives_reopening(async || Arc::new(disk.clone()) as Arc<dyn Journal>));
}

#[test]
fn a_full_store_says_so_and_takes_what_still_fits() {
    let store = MemoryStore::with_capacity_bytes(10);
    VirtualScheduler::new(0).block_on(async {
        let (large, small) = (vec![1; 11], vec![2; 10]);
        let outcome = store.put(&ArtifactKey::of(&large), large).await;
        assert!(matches!(outcome, Err(StoreError::Full { .. })), "{outcome:?}");
        store.put(&ArtifactKey::of(&small), small).await.unwrap();
        assert_eq!(store.usage().await.unwrap().volume_free_bytes, 0);
    });
}

/// A store with one mistake that the suite has to find.
struct Forgetful(MemoryStore);

#[async_trait::async_trait]
impl ArtifactStore for Forgetful {
    async fn put(
        &self,
        key: &ArtifactKey,
        bytes: Vec<u8>,
    ) -> Result<crate::api::store::PutOutcome, StoreError> {
        self.0.put(key, bytes).await
    }
    async fn get(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key).await
    }
    async fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StoreError> {
        self.0.size(key).await
    }
    async fn read_range(
        &self,
        key: &ArtifactKey,
        range: crate::api::store::ByteRange,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.read_range(key, range).await
    }
    async fn prove_ranges(
        &self,
        key: &ArtifactKey,
        ranges: &[crate::api::store::ByteRange],
    ) -> Result<Option<crate::api::store::ProvenRanges>, StoreError> {
        self.0.prove_ranges(key, ranges).await
    }
    async fn delete(&self, _key: &ArtifactKey) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn list(
        &self,
        after: Option<ArtifactKey>,
        limit: usize,
    ) -> Result<Vec<crate::api::store::ArtifactEntry>, StoreError> {
        self.0.list(after, limit).await
    }
    async fn usage(&self) -> Result<crate::api::store::StoreUsage, StoreError> {
        self.0.usage().await
    }
}

#[test]
fn the_suite_finds_a_store_that_does_not_delete() {
    let make = async || Arc::new(Forgetful(MemoryStore::new())) as Arc<dyn ArtifactStore>;
    let report = VirtualScheduler::new(0).block_on(conformance::store(make));
    let failed: Vec<_> = report.failures().map(|check| check.name.as_str()).collect();
    assert_eq!(
        failed,
        [
            "what is not here is None, not an error",
            "delete removes, and says whether there was something",
            "usage counts artifacts and their bytes"
        ]
    );
}
