//! What every [`ArtifactStore`] has to do.

use super::{CheckResult, Report, equal, holds, pattern, refused};
use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::verified_slice;
use lampkeeper_api::store::{
    ARTIFACT_LEN_BYTES_MAX, ArtifactEntry, ArtifactStore, ByteRange, LIST_LIMIT_MAX, PutOutcome, StoreError,
};
use std::sync::Arc;

/// Lengths at which stores go wrong: nothing, one byte, around a BLAKE3 chunk, a RaptorQ packet, the largest.
const LENGTHS: [usize; 8] = [0, 1, 1023, 1024, 1025, 65_532, 65_536, ARTIFACT_LEN_BYTES_MAX as usize];

/// A store whose contents can be damaged behind its back.
pub struct Damageable {
    /// The store.
    pub store: Arc<dyn ArtifactStore>,
    /// Changes a byte of a stored artifact, where the store keeps it.
    pub damage: Box<dyn Fn(&ArtifactKey) + Send + Sync>,
}

/// The suite. `make` returns an empty store each time.
pub async fn store(make: impl AsyncFn() -> Arc<dyn ArtifactStore>) -> Report {
    let mut report = Report::new("store");
    let store = make().await;
    report.check("what was put is got, at every length", round_trip(&*store)).await;
    let store = make().await;
    report.check("bytes of another key are refused and leave nothing", put_verifies(&*store)).await;
    let store = make().await;
    report.check("an artifact above the maximum is refused", put_has_a_maximum(&*store)).await;
    let store = make().await;
    report.check("an abandoned put leaves all or nothing", put_is_atomic(&*store)).await;
    let store = make().await;
    report.check("what is not here is None, not an error", absent(&*store)).await;
    let store = make().await;
    report.check("ranges: empty, first, last, all, and past the end", ranges(&*store)).await;
    let store = make().await;
    report.check("proven ranges verify against the key", proofs(&*store)).await;
    let store = make().await;
    report.check("ranges that can't be proven are refused", unprovable(&*store)).await;
    let store = make().await;
    report.check("delete removes, and says whether there was something", delete(&*store)).await;
    let store = make().await;
    report.check("list ascends, pages without gaps, and keeps to its limit", list(&*store)).await;
    let store = make().await;
    report.check("usage counts artifacts and their bytes", usage(&*store)).await;
    report
}

/// The part of the suite that needs a store with damage; every store of files runs it.
pub async fn store_with_damage(make: impl AsyncFn() -> Damageable) -> Report {
    let mut report = Report::new("store with damage");
    let damaged = make().await;
    report.check("damaged bytes are never returned", damage_is_reported(&damaged)).await;
    let damaged = make().await;
    report.check("a damaged artifact stays until it is replaced", damage_is_replaced(&damaged)).await;
    let damaged = make().await;
    report.check("a damaged artifact can be deleted", damage_is_deleted(&damaged)).await;
    report
}

/// The part of the suite for stores that outlive their process. `open` opens the same, at first empty, store each time.
pub async fn store_survives_reopening(open: impl AsyncFn() -> Arc<dyn ArtifactStore>) -> Report {
    let mut report = Report::new("store after reopening");
    let check = async {
        let (kept, deleted) = (pattern(5000, 1), pattern(100, 2));
        let store = open().await;
        store.put(&ArtifactKey::of(&kept), kept.clone()).await?;
        store.put(&ArtifactKey::of(&deleted), deleted.clone()).await?;
        store.delete(&ArtifactKey::of(&deleted)).await?;
        drop(store);
        let store = open().await;
        equal("the deleted artifact", store.get(&ArtifactKey::of(&deleted)).await?, None)?;
        equal("its neighbour", store.get(&ArtifactKey::of(&kept)).await?, Some(kept))?;
        equal("artifacts", store.usage().await?.artifact_count, 1)
    };
    report.check("what was put and deleted stays so", check).await;
    report
}

/// Puts bytes under their own key.
async fn put(store: &dyn ArtifactStore, bytes: &[u8]) -> Result<ArtifactKey, StoreError> {
    let key = ArtifactKey::of(bytes);
    store.put(&key, bytes.to_vec()).await?;
    Ok(key)
}

async fn round_trip(store: &dyn ArtifactStore) -> CheckResult {
    for len_bytes in LENGTHS {
        let bytes = pattern(len_bytes, 1);
        let key = ArtifactKey::of(&bytes);
        let what = format!("{len_bytes} bytes");
        equal(&what, store.put(&key, bytes.clone()).await?, PutOutcome::Stored)?;
        equal(&what, store.put(&key, bytes.clone()).await?, PutOutcome::AlreadyPresent)?;
        equal(&what, store.size(&key).await?, Some(len_bytes as u64))?;
        holds(&format!("{what} come back"), store.get(&key).await? == Some(bytes))?;
    }
    Ok(())
}

async fn put_verifies(store: &dyn ArtifactStore) -> CheckResult {
    let (key, other) = (ArtifactKey::of(b"expected"), ArtifactKey::of(b"offered"));
    let outcome = store.put(&key, b"offered".to_vec()).await;
    refused(
        "KeyMismatch with both keys",
        outcome,
        |error| matches!(error, StoreError::KeyMismatch { expected, actual } if *expected == key && *actual == other),
    )?;
    equal("under the claimed key", store.get(&key).await?, None)?;
    equal("under the true key", store.get(&other).await?, None)?;
    equal("artifacts", store.usage().await?.artifact_count, 0)
}

async fn put_has_a_maximum(store: &dyn ArtifactStore) -> CheckResult {
    let bytes = vec![0; ARTIFACT_LEN_BYTES_MAX as usize + 1];
    let key = ArtifactKey::of(&bytes);
    let outcome = store.put(&key, bytes).await;
    refused("TooLarge", outcome, |error| matches!(error, StoreError::TooLarge { .. }))?;
    equal("artifacts", store.usage().await?.artifact_count, 0)
}

/// Drops a put after ever more polls.
async fn put_is_atomic(store: &dyn ArtifactStore) -> CheckResult {
    for polls in 0..12_u8 {
        let bytes = pattern(200_000, polls);
        let key = ArtifactKey::of(&bytes);
        let mut putting = store.put(&key, bytes.clone());
        for _ in 0..polls {
            if futures::poll!(&mut putting).is_ready() {
                break;
            }
        }
        drop(putting);
        if let Some(found) = store.get(&key).await? {
            holds(&format!("all bytes after {polls} polls"), found == bytes)?;
        }
        store.put(&key, bytes.clone()).await?;
        holds("a later put succeeds", store.get(&key).await? == Some(bytes))?;
    }
    Ok(())
}

async fn absent(store: &dyn ArtifactStore) -> CheckResult {
    let key = ArtifactKey::of(b"absent");
    let range = ByteRange { start: 0, end: 1 };
    equal("get", store.get(&key).await?, None)?;
    equal("size", store.size(&key).await?, None)?;
    equal("read_range", store.read_range(&key, range).await?, None)?;
    equal("prove_ranges", store.prove_ranges(&key, &[range]).await?, None)?;
    equal("delete", store.delete(&key).await?, false)?;
    equal("list", store.list(None, 10).await?, Vec::new())
}

async fn ranges(store: &dyn ArtifactStore) -> CheckResult {
    let bytes = pattern(3000, 1);
    let key = put(store, &bytes).await?;
    for (start, end) in [(0, 0), (0, 1), (1000, 1050), (1024, 2048), (2999, 3000), (0, 3000), (3000, 3000)] {
        let found = store.read_range(&key, ByteRange { start, end }).await?;
        equal(&format!("{start}..{end}"), found, Some(bytes[start as usize..end as usize].to_vec()))?;
    }
    for (start, end) in
        [(0, 3001), (2999, 3001), (3001, 3001), (2, 1), (u64::MAX - 1, u64::MAX), (0, u64::MAX)]
    {
        let found = store.read_range(&key, ByteRange { start, end }).await;
        refused(&format!("OutOfRange for {start}..{end}"), found, |error| {
            matches!(error, StoreError::OutOfRange { len_bytes: 3000, .. })
        })?;
    }
    let empty = put(store, b"").await?;
    let all_of_nothing = store.read_range(&empty, ByteRange { start: 0, end: 0 }).await?;
    equal("all of an empty artifact", all_of_nothing, Some(Vec::new()))
}

async fn proofs(store: &dyn ArtifactStore) -> CheckResult {
    for (len_bytes, ranges) in [
        (1_usize, vec![0..1_u64, 0..1]),
        (1024, vec![1000..1024, 0..24]),
        (65_532, vec![65_500..65_532, 0..100, 30_000..32_048, 50..150]),
        (70_000, vec![]),
    ] {
        let bytes = pattern(len_bytes, 1);
        let key = put(store, &bytes).await?;
        let asked: Vec<_> =
            ranges.iter().map(|range| ByteRange { start: range.start, end: range.end }).collect();
        let proven = store.prove_ranges(&key, &asked).await?;
        let Some(proven) = proven else { return holds("a proof of an artifact that is here", false) };
        let verified = verified_slice::verify(&key, &proven.slice, &ranges)?;
        equal("length", proven.len_bytes, len_bytes as u64)?;
        equal("authenticated length", verified.len_bytes, len_bytes as u64)?;
        let expected: Vec<_> =
            ranges.iter().map(|range| bytes[range.start as usize..range.end as usize].to_vec()).collect();
        equal("authenticated ranges", &verified.ranges, &expected)?;
        equal("ranges", proven.ranges, expected)?;
    }
    Ok(())
}

async fn unprovable(store: &dyn ArtifactStore) -> CheckResult {
    let key = put(store, &pattern(65_532, 1)).await?;
    let outside = store.prove_ranges(&key, &[ByteRange { start: 65_500, end: 65_533 }]).await;
    refused("OutOfRange", outside, |error| {
        matches!(error, StoreError::OutOfRange { len_bytes: 65_532, .. })
    })?;
    for (what, ranges) in [
        ("a range without a byte", vec![ByteRange { start: 5, end: 5 }]),
        ("too many ranges", vec![ByteRange { start: 0, end: 1 }; verified_slice::SLICE_RANGE_COUNT_MAX + 1]),
        ("too many bytes", vec![ByteRange { start: 0, end: verified_slice::SLICE_LEN_BYTES_MAX + 1 }]),
    ] {
        let outcome = store.prove_ranges(&key, &ranges).await;
        refused(&format!("Unprovable for {what}"), outcome, |error| {
            matches!(error, StoreError::Unprovable { .. })
        })?;
    }
    Ok(())
}

async fn delete(store: &dyn ArtifactStore) -> CheckResult {
    let key = put(store, b"short-lived").await?;
    equal("first", store.delete(&key).await?, true)?;
    equal("second", store.delete(&key).await?, false)?;
    equal("get", store.get(&key).await?, None)?;
    equal("put again", store.put(&key, b"short-lived".to_vec()).await?, PutOutcome::Stored)
}

async fn list(store: &dyn ArtifactStore) -> CheckResult {
    let mut expected = Vec::new();
    for number in 0..25_u8 {
        let bytes = pattern(usize::from(number) * 10, number);
        let key = put(store, &bytes).await?;
        expected.push(ArtifactEntry { key, len_bytes: bytes.len() as u64 });
    }
    expected.sort_by_key(|entry| *entry.key.as_bytes());
    for limit in [1, 7, 25, 26, LIST_LIMIT_MAX, usize::MAX] {
        let mut found: Vec<ArtifactEntry> = Vec::new();
        loop {
            let page = store.list(found.last().map(|entry| entry.key), limit).await?;
            holds(&format!("a page of at most {limit}"), page.len() <= limit)?;
            if page.is_empty() {
                break;
            }
            found.extend(page);
            holds("an end", found.len() <= expected.len())?;
        }
        equal(&format!("pages of {limit}"), &found, &expected)?;
    }
    let beyond = store.list(Some(ArtifactKey::from_bytes([255; 32])), 10).await?;
    equal("after the greatest key", beyond, Vec::new())?;
    equal("a page of none", store.list(None, 0).await?, Vec::new())
}

async fn usage(store: &dyn ArtifactStore) -> CheckResult {
    let counts = async || store.usage().await.map(|usage| (usage.artifact_count, usage.artifact_bytes));
    equal("empty", counts().await?, (0, 0))?;
    let key = put(store, &pattern(1000, 1)).await?;
    put(store, &pattern(500, 2)).await?;
    put(store, &pattern(500, 2)).await?;
    equal("two artifacts, one put twice", counts().await?, (2, 1500))?;
    store.delete(&key).await?;
    equal("after a delete", counts().await?, (1, 500))
}

async fn damage_is_reported(damageable: &Damageable) -> CheckResult {
    let store = &*damageable.store;
    for len_bytes in [1, 1024, 65_532] {
        let key = put(store, &pattern(len_bytes, 1)).await?;
        (damageable.damage)(&key);
        let what = format!("Corrupt after damage to {len_bytes} bytes");
        refused(&what, store.get(&key).await, StoreError::is_damage)?;
        let range = ByteRange { start: 0, end: 1 };
        refused(&what, store.read_range(&key, range).await, StoreError::is_damage)?;
        refused(&what, store.prove_ranges(&key, &[range]).await, StoreError::is_damage)?;
    }
    Ok(())
}

async fn damage_is_replaced(damageable: &Damageable) -> CheckResult {
    let store = &*damageable.store;
    let bytes = pattern(2000, 1);
    let key = put(store, &bytes).await?;
    (damageable.damage)(&key);
    refused("Corrupt", store.get(&key).await, StoreError::is_damage)?;
    refused("Corrupt again", store.get(&key).await, StoreError::is_damage)?;
    equal("put", store.put(&key, bytes.clone()).await?, PutOutcome::Replaced)?;
    equal("get", store.get(&key).await?, Some(bytes))
}

async fn damage_is_deleted(damageable: &Damageable) -> CheckResult {
    let store = &*damageable.store;
    let key = put(store, &pattern(2000, 1)).await?;
    (damageable.damage)(&key);
    equal("delete", store.delete(&key).await?, true)?;
    equal("get", store.get(&key).await?, None)
}
