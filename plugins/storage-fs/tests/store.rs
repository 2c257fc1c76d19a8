//! The artifact store on a real file system: the seam's suite, and what a crash, a bad disk or a person can leave behind.
#![expect(clippy::disallowed_methods, reason = "a test does to files what a crash or a person might")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{open_store, owner};
use lampkeeper_plugin_sdk::api::store::{ArtifactStore, ByteRange, PutOutcome, StoreError};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::testkit::conformance::{self, Damageable};
use lampkeeper_plugin_sdk::testkit::{RecordingTelemetry, VirtualScheduler};
use lampkeeper_storage_fs::{FsStore, OpenedStore};
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the store keeps an artifact. Its users' disks have this layout, so it may not change silently.
fn path_of(dir: &Path, key: &ArtifactKey) -> PathBuf {
    dir.join(format!("{:02x}", key.as_bytes()[0])).join(key.to_string())
}

fn flip_byte(path: &Path) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    let middle = file.metadata().unwrap().len() / 2;
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], middle).unwrap();
}

/// Directories that are made one after another in one that goes at the end.
struct Directories(tempfile::TempDir, Cell<u32>);

impl Directories {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), Cell::new(0))
    }

    fn next(&self) -> PathBuf {
        self.0.path().join(self.1.replace(self.1.get() + 1).to_string())
    }
}

#[test]
fn conforms() {
    let (scheduler, directories) = (VirtualScheduler::new(1), Directories::new());
    let make = async || {
        Arc::new(open_store(&scheduler, &directories.next()).await.unwrap()) as Arc<dyn ArtifactStore>
    };
    scheduler.block_on(conformance::store(make)).assert_passed();

    let make_damageable = async || {
        let dir = directories.next();
        let store = Arc::new(open_store(&scheduler, &dir).await.unwrap());
        Damageable { store, damage: Box::new(move |key| flip_byte(&path_of(&dir, key))) }
    };
    scheduler.block_on(conformance::store_with_damage(make_damageable)).assert_passed();

    let dir = directories.next();
    let open = async || Arc::new(open_store(&scheduler, &dir).await.unwrap()) as Arc<dyn ArtifactStore>;
    scheduler.block_on(conformance::store_survives_reopening(open)).assert_passed();
}

/// Damages a file.
type Damage = fn(&Path);

#[test]
fn damage_of_every_kind_is_noticed_and_mended() {
    let bytes = vec![7; 5000];
    let key = ArtifactKey::of(&bytes);
    // What happened to the file.
    let table: [(&str, Damage); 5] = [
        ("a flipped bit", flip_byte),
        ("truncated", |path| fs::File::options().write(true).open(path).unwrap().set_len(4999).unwrap()),
        ("emptied", |path| fs::write(path, b"").unwrap()),
        ("one byte longer", |path| fs::write(path, [7; 5001]).unwrap()),
        ("longer than any artifact", |path| {
            fs::File::options().write(true).open(path).unwrap().set_len(1 << 40).unwrap(); // sparse
        }),
    ];
    for (what, damage) in table {
        let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
        scheduler.block_on(async {
            let telemetry = RecordingTelemetry::new();
            let (store, _) =
                FsStore::open(scheduler.handle(), dir.path(), &owner(), Arc::new(telemetry.clone()))
                    .await
                    .unwrap();
            store.put(&key, bytes.clone()).await.unwrap();
            damage(&path_of(dir.path(), &key));
            let corrupt = StoreError::Corrupt { key };
            let range = ByteRange { start: 0, end: 1 };
            assert_eq!(store.get(&key).await, Err(corrupt.clone()), "{what}");
            assert_eq!(store.read_range(&key, range).await, Err(corrupt.clone()), "{what}");
            assert_eq!(store.prove_ranges(&key, &[range]).await, Err(corrupt), "{what}");
            assert_eq!(telemetry.counter("store_damaged_reads_total", &[]), 3, "{what}");
            assert!(path_of(dir.path(), &key).exists(), "{what}: it stays");
            assert_eq!(store.put(&key, bytes.clone()).await, Ok(PutOutcome::Replaced), "{what}");
            assert_eq!(store.get(&key).await, Ok(Some(bytes.clone())), "{what}");
            let usage = store.usage().await.unwrap();
            assert_eq!((usage.artifact_count, usage.artifact_bytes), (1, 5000), "{what}");
            damage(&path_of(dir.path(), &key));
            assert_eq!(store.delete(&key).await, Ok(true), "{what}");
            let usage = store.usage().await.unwrap();
            assert!(usage.artifact_count == 0 && usage.artifact_bytes <= 5000, "{what}: {usage:?}");
        });
    }
}

/// A file that was already shorter when the store counted it counts with its right length once it is replaced.
#[test]
fn damage_before_the_start_does_not_spoil_the_count() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let bytes = vec![7; 5000];
    let key = ArtifactKey::of(&bytes);
    scheduler.block_on(async {
        open_store(&scheduler, dir.path()).await.unwrap().put(&key, bytes.clone()).await.unwrap();
        fs::write(path_of(dir.path(), &key), b"short").unwrap();
        let store = open_store(&scheduler, dir.path()).await.unwrap();
        assert_eq!(store.usage().await.unwrap().artifact_bytes, 5);
        assert_eq!(store.put(&key, bytes).await, Ok(PutOutcome::Replaced));
        let usage = store.usage().await.unwrap();
        assert_eq!((usage.artifact_count, usage.artifact_bytes), (1, 5000));
    });
}

/// The states in which a crash can leave a put: before the rename there is only a temporary file, whole or not; after
/// it the artifact is whole. What is not the store's is left alone.
#[test]
fn leftovers_of_a_crash_go_and_foreign_files_stay() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let (bytes, unfinished) = (vec![1; 100], vec![2; 100]);
    scheduler.block_on(async {
        let store = open_store(&scheduler, dir.path()).await.unwrap();
        store.put(&ArtifactKey::of(&bytes), bytes.clone()).await.unwrap();
        drop(store);
        fs::write(dir.path().join("tmp/incoming-0"), &unfinished).unwrap();
        fs::write(dir.path().join("tmp/incoming-77"), &unfinished[..10]).unwrap();
        fs::write(dir.path().join("tmp/README"), b"mine").unwrap();
        let shard = path_of(dir.path(), &ArtifactKey::of(&bytes)).parent().unwrap().to_owned();
        fs::write(shard.join("README"), b"mine").unwrap();
        symlink("README", shard.join(ArtifactKey::of(b"link").to_string())).unwrap();

        let telemetry = Arc::new(RecordingTelemetry::new());
        let (store, opened) =
            FsStore::open(scheduler.handle(), dir.path(), &owner(), telemetry).await.unwrap();
        assert_eq!(opened, OpenedStore { artifact_count: 1, artifact_bytes: 100, leftovers_removed: 2 });
        assert_eq!(store.get(&ArtifactKey::of(&unfinished)).await, Ok(None));
        let listed = store.list(None, 10).await.unwrap();
        assert_eq!(listed.iter().map(|entry| entry.key).collect::<Vec<_>>(), [ArtifactKey::of(&bytes)]);
        assert!(dir.path().join("tmp/README").exists() && shard.join("README").exists());
        // The name of the leftover is free again.
        store.put(&ArtifactKey::of(&unfinished), unfinished.clone()).await.unwrap();
    });
}

#[test]
fn files_are_for_the_nodes_user_only() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let root = dir.path().join("deep/artifacts");
    let key = ArtifactKey::of(b"secret");
    scheduler.block_on(async {
        let store = open_store(&scheduler, &root).await.unwrap();
        store.put(&key, b"secret".to_vec()).await.unwrap();
    });
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let artifact = path_of(&root, &key);
    for directory in [&dir.path().join("deep"), &root, artifact.parent().unwrap(), &root.join("tmp")] {
        assert_eq!(mode(directory), 0o700, "{}", directory.display());
    }
    for file in [&artifact, &root.join("lock"), &root.join("network.json")] {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_closed_store_answers_unavailable_and_lets_another_open() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    scheduler.block_on(async {
        let store = open_store(&scheduler, dir.path()).await.unwrap();
        store.close();
        let again = open_store(&scheduler, dir.path()).await.unwrap();
        let key = ArtifactKey::of(b"x");
        assert!(matches!(store.put(&key, b"x".to_vec()).await, Err(StoreError::Unavailable { .. })));
        assert_eq!(again.put(&key, b"x".to_vec()).await, Ok(PutOutcome::Stored));
    });
}

#[test]
fn usage_knows_the_volume() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let usage = scheduler
        .block_on(async { open_store(&scheduler, dir.path()).await.unwrap().usage().await })
        .unwrap();
    assert!(usage.volume_total_bytes > usage.volume_free_bytes && usage.volume_free_bytes > 0, "{usage:?}");
}

/// Threads as production has them: the same artifact and different ones of one directory at once.
#[test]
fn parallel_puts_count_each_artifact_once() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let store = scheduler.block_on(open_store(&scheduler, dir.path())).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // A scheduler is one thread's, so each has its own; the store's work runs in place on each.
                let own = VirtualScheduler::new(2);
                own.block_on(async {
                    for number in 0..40_u8 {
                        store.put(&ArtifactKey::of(&[number]), vec![number]).await.unwrap();
                    }
                });
            });
        }
    });
    let usage = scheduler.block_on(store.usage()).unwrap();
    assert_eq!((usage.artifact_count, usage.artifact_bytes), (40, 40));
    assert_eq!(scheduler.block_on(store.list(None, 100)).unwrap().len(), 40);
}
