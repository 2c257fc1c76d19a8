//! Opening stores and staging areas in directories of a test.

use lampkeeper_plugin_sdk::testkit::{RecordingTelemetry, VirtualScheduler};
use lampkeeper_storage_fs::{DataDirError, DataDirOwner, FsStaging, FsStore};
use std::path::Path;
use std::sync::Arc;

#[allow(dead_code, reason = "not every test file looks at owners")]
pub(crate) fn owner() -> DataDirOwner {
    DataDirOwner { chain_id: "devnet-1".to_owned(), account: "lumera1alice".to_owned() }
}

#[allow(dead_code, reason = "not every test file stores")]
pub(crate) async fn open_store(scheduler: &VirtualScheduler, dir: &Path) -> Result<FsStore, DataDirError> {
    let telemetry = Arc::new(RecordingTelemetry::new());
    FsStore::open(scheduler.handle(), dir, &owner(), telemetry).await.map(|(store, _)| store)
}

#[allow(dead_code, reason = "not every test file stages")]
pub(crate) async fn open_staging(
    scheduler: &VirtualScheduler,
    dir: &Path,
) -> Result<FsStaging, DataDirError> {
    FsStaging::open(scheduler.handle(), dir, &owner()).await
}
