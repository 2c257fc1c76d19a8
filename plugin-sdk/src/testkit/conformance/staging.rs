//! What every [`Staging`] area has to do.

use super::{CheckResult, Report, equal, holds, pattern, refused};
use crate::protocol::artifact_key::ArtifactKey;
use lampkeeper_api::staging::{
    STAGED_IO_LEN_BYTES_MAX, StagedArtifact, Staging, StagingManifest, StagingState,
};
use lampkeeper_api::store::StoreError;
use std::sync::Arc;

/// The operation that most checks work on.
const HEAL_OP_ID: u64 = 7;

/// The suite. `make` returns an empty staging area each time.
pub async fn staging(make: impl AsyncFn() -> Arc<dyn Staging>) -> Report {
    let mut report = Report::new("staging");
    let staging = make().await;
    report.check("a directory goes from absent to unsealed to sealed to absent", life(&*staging)).await;
    let staging = make().await;
    report.check("parts of the file may come in any order and be read in any", file_parts(&*staging)).await;
    let staging = make().await;
    report.check("one call moves no more than the maximum", io_maximum(&*staging)).await;
    let staging = make().await;
    report.check("artifacts are checked against their keys", artifact_keys(&*staging)).await;
    let staging = make().await;
    report.check("nothing is written into what is sealed", sealed_is_final(&*staging)).await;
    let staging = make().await;
    report.check("nothing is written into what was not begun", not_begun(&*staging)).await;
    let staging = make().await;
    report.check("a manifest that does not fit is refused", misfits(&*staging)).await;
    let staging = make().await;
    report.check("begin starts over, sealed or not", begin_again(&*staging)).await;
    let staging = make().await;
    report.check("operations do not touch each other; list ascends", independence(&*staging)).await;
    let staging = make().await;
    report.check("usage counts what is staged", usage(&*staging)).await;
    report
}

/// The part of the suite for areas that outlive their process. `open` opens the same, at first empty, area each time.
pub async fn staging_survives_reopening(open: impl AsyncFn() -> Arc<dyn Staging>) -> Report {
    let mut report = Report::new("staging after reopening");
    let check = async {
        let staging = open().await;
        let manifest = stage(&*staging, HEAL_OP_ID).await?;
        staging.seal(&manifest).await?;
        stage(&*staging, 8).await?;
        drop(staging);
        let staging = open().await;
        equal("operations", staging.list().await?, vec![HEAL_OP_ID, 8])?;
        equal("sealed", staging.state(HEAL_OP_ID).await?, StagingState::Sealed(Box::new(manifest.clone())))?;
        equal("file", staging.read_file_at(HEAL_OP_ID, 0, 10_000).await?, pattern(5000, 1))?;
        for artifact in &manifest.artifacts {
            staging.get_artifact(HEAL_OP_ID, &artifact.key).await?;
        }
        equal("never sealed", staging.state(8).await?, StagingState::Unsealed)
    };
    report.check("what is sealed stays so, and nothing else becomes so", check).await;
    report
}

/// Stages a file and two artifacts, and makes the manifest that fits.
async fn stage(staging: &dyn Staging, heal_op_id: u64) -> Result<StagingManifest, StoreError> {
    let file = pattern(5000, 1);
    staging.begin(heal_op_id).await?;
    staging.write_file_at(heal_op_id, 0, file.clone()).await?;
    let mut artifacts = Vec::new();
    for (bytes, missing_on) in
        [(pattern(100, 2), vec!["lumera1holder".to_owned()]), (pattern(200, 3), vec![])]
    {
        let key = ArtifactKey::of(&bytes);
        artifacts.push(StagedArtifact { key, len_bytes: bytes.len() as u64, missing_on });
        staging.put_artifact(heal_op_id, &key, bytes).await?;
    }
    Ok(StagingManifest {
        heal_op_id,
        ticket_id: "12".to_owned(),
        manifest_hash: "c29tZSBoYXNo".to_owned(),
        file_len_bytes: file.len() as u64,
        artifacts,
        strategy: "conformance".to_owned(),
    })
}

fn is_wrong_state(error: &StoreError) -> bool {
    matches!(error, StoreError::WrongState { .. })
}

async fn life(staging: &dyn Staging) -> CheckResult {
    equal("at first", staging.state(HEAL_OP_ID).await?, StagingState::Absent)?;
    staging.begin(HEAL_OP_ID).await?;
    equal("begun", staging.state(HEAL_OP_ID).await?, StagingState::Unsealed)?;
    let manifest = stage(staging, HEAL_OP_ID).await?;
    equal("staged", staging.state(HEAL_OP_ID).await?, StagingState::Unsealed)?;
    staging.seal(&manifest).await?;
    equal("sealed", staging.state(HEAL_OP_ID).await?, StagingState::Sealed(Box::new(manifest)))?;
    staging.remove(HEAL_OP_ID).await?;
    equal("removed", staging.state(HEAL_OP_ID).await?, StagingState::Absent)?;
    staging.remove(HEAL_OP_ID).await?;
    equal("operations", staging.list().await?, Vec::new())
}

async fn file_parts(staging: &dyn Staging) -> CheckResult {
    let file = pattern(100_000, 1);
    staging.begin(HEAL_OP_ID).await?;
    for start in [70_000, 0, 30_000, 90_000, 60_000] {
        let end = (start + 30_000).min(file.len()); // parts overlap
        staging.write_file_at(HEAL_OP_ID, start as u64, file[start..end].to_vec()).await?;
    }
    let manifest = StagingManifest { artifacts: vec![], file_len_bytes: 100_000, ..stage_nothing() };
    staging.seal(&manifest).await?;
    for (offset, len_bytes) in [(0, 100_000), (0, 1), (99_999, 1), (50_000, 30_000), (99_990, 100)] {
        let found = staging.read_file_at(HEAL_OP_ID, offset as u64, len_bytes).await?;
        let end = (offset + len_bytes).min(file.len());
        holds(&format!("{len_bytes} bytes at {offset}"), found == file[offset..end])?;
    }
    for offset in [100_000, 100_001, u64::MAX] {
        equal("at and past the end", staging.read_file_at(HEAL_OP_ID, offset, 10).await?, Vec::new())?;
    }
    Ok(())
}

/// The manifest of an operation with neither file nor artifacts.
fn stage_nothing() -> StagingManifest {
    StagingManifest {
        heal_op_id: HEAL_OP_ID,
        ticket_id: "12".to_owned(),
        manifest_hash: "c29tZSBoYXNo".to_owned(),
        file_len_bytes: 0,
        artifacts: vec![],
        strategy: "conformance".to_owned(),
    }
}

async fn io_maximum(staging: &dyn Staging) -> CheckResult {
    staging.begin(HEAL_OP_ID).await?;
    staging.write_file_at(HEAL_OP_ID, 0, vec![1; STAGED_IO_LEN_BYTES_MAX]).await?;
    let outcome = staging.write_file_at(HEAL_OP_ID, 0, vec![1; STAGED_IO_LEN_BYTES_MAX + 1]).await;
    refused("TooLarge", outcome, |error| matches!(error, StoreError::TooLarge { .. }))?;
    let found = staging.read_file_at(HEAL_OP_ID, 0, STAGED_IO_LEN_BYTES_MAX).await?;
    equal("the largest read", found.len(), STAGED_IO_LEN_BYTES_MAX)?;
    let outcome = staging.read_file_at(HEAL_OP_ID, 0, usize::MAX).await;
    refused("TooLarge", outcome, |error| matches!(error, StoreError::TooLarge { .. }))?;
    let outcome = staging.write_file_at(HEAL_OP_ID, u64::MAX, vec![1]).await;
    holds("no file reaches to the end of numbers", outcome.is_err())
}

async fn artifact_keys(staging: &dyn Staging) -> CheckResult {
    staging.begin(HEAL_OP_ID).await?;
    let key = ArtifactKey::of(b"expected");
    let outcome = staging.put_artifact(HEAL_OP_ID, &key, b"offered".to_vec()).await;
    refused("KeyMismatch", outcome, |error| matches!(error, StoreError::KeyMismatch { .. }))?;
    refused("no artifact", staging.get_artifact(HEAL_OP_ID, &key).await, is_wrong_state)?;
    staging.put_artifact(HEAL_OP_ID, &key, b"expected".to_vec()).await?;
    staging.put_artifact(HEAL_OP_ID, &key, b"expected".to_vec()).await?;
    equal("get_artifact", staging.get_artifact(HEAL_OP_ID, &key).await?, b"expected".to_vec())
}

async fn sealed_is_final(staging: &dyn Staging) -> CheckResult {
    let manifest = stage(staging, HEAL_OP_ID).await?;
    staging.seal(&manifest).await?;
    let write = staging.write_file_at(HEAL_OP_ID, 0, vec![9]).await;
    refused("WrongState for a write", write, is_wrong_state)?;
    let put = staging.put_artifact(HEAL_OP_ID, &ArtifactKey::of(b"late"), b"late".to_vec()).await;
    refused("WrongState for an artifact", put, is_wrong_state)?;
    refused("WrongState for a second seal", staging.seal(&manifest).await, is_wrong_state)?;
    equal("the file", staging.read_file_at(HEAL_OP_ID, 0, 10_000).await?, pattern(5000, 1))
}

async fn not_begun(staging: &dyn Staging) -> CheckResult {
    let write = staging.write_file_at(HEAL_OP_ID, 0, vec![9]).await;
    refused("WrongState for a write", write, is_wrong_state)?;
    let put = staging.put_artifact(HEAL_OP_ID, &ArtifactKey::of(b"early"), b"early".to_vec()).await;
    refused("WrongState for an artifact", put, is_wrong_state)?;
    refused("WrongState for a seal", staging.seal(&stage_nothing()).await, is_wrong_state)?;
    refused("WrongState for a read", staging.read_file_at(HEAL_OP_ID, 0, 1).await, is_wrong_state)?;
    equal("state", staging.state(HEAL_OP_ID).await?, StagingState::Absent)
}

async fn misfits(staging: &dyn Staging) -> CheckResult {
    let fitting = stage(staging, HEAL_OP_ID).await?;
    let mut unknown = fitting.clone();
    unknown.artifacts[0].key = ArtifactKey::of(b"never staged");
    let mut longer = fitting.clone();
    longer.artifacts[1].len_bytes += 1;
    let other_file = StagingManifest { file_len_bytes: 4999, ..fitting.clone() };
    for (what, manifest) in [
        ("an artifact that is not there", unknown),
        ("another artifact length", longer),
        ("another file length", other_file),
    ] {
        refused(&format!("WrongState for {what}"), staging.seal(&manifest).await, is_wrong_state)?;
        equal(what, staging.state(HEAL_OP_ID).await?, StagingState::Unsealed)?;
    }
    Ok(staging.seal(&fitting).await?)
}

async fn begin_again(staging: &dyn Staging) -> CheckResult {
    for seal in [false, true] {
        let manifest = stage(staging, HEAL_OP_ID).await?;
        if seal {
            staging.seal(&manifest).await?;
        }
        staging.begin(HEAL_OP_ID).await?;
        equal("state", staging.state(HEAL_OP_ID).await?, StagingState::Unsealed)?;
        let artifact = staging.get_artifact(HEAL_OP_ID, &manifest.artifacts[0].key).await;
        refused("the old artifacts are gone", artifact, is_wrong_state)?;
        refused("so is the old file", staging.seal(&manifest).await, is_wrong_state)?;
    }
    Ok(())
}

async fn independence(staging: &dyn Staging) -> CheckResult {
    for heal_op_id in [300, 2, 10] {
        let manifest = stage(staging, heal_op_id).await?;
        staging.seal(&manifest).await?;
    }
    equal("operations", staging.list().await?, vec![2, 10, 300])?;
    staging.remove(10).await?;
    equal("operations", staging.list().await?, vec![2, 300])?;
    equal("a neighbour's file", staging.read_file_at(2, 0, 10_000).await?, pattern(5000, 1))
}

async fn usage(staging: &dyn Staging) -> CheckResult {
    equal("empty", staging.usage_bytes().await?, 0)?;
    let manifest = stage(staging, HEAL_OP_ID).await?;
    staging.seal(&manifest).await?;
    holds("at least the file and its artifacts", staging.usage_bytes().await? >= 5300)?;
    staging.remove(HEAL_OP_ID).await?;
    equal("empty again", staging.usage_bytes().await?, 0)
}
