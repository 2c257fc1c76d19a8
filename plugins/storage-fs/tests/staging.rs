//! The staging area on a real file system: the seam's suite, and what a crash, a bad disk or a person can leave behind.
#![expect(clippy::disallowed_methods, reason = "a test does to files what a crash or a person might")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::open_staging;
use lampkeeper_plugin_sdk::api::staging::{StagedArtifact, Staging, StagingManifest, StagingState};
use lampkeeper_plugin_sdk::api::store::StoreError;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::testkit::{VirtualScheduler, conformance};
use lampkeeper_storage_fs::FsStaging;
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

const HEAL_OP_ID: u64 = 42;

#[test]
fn conforms() {
    let (scheduler, root) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let next = Cell::new(0);
    let make = async || {
        let dir = root.path().join(next.replace(next.get() + 1).to_string());
        Arc::new(open_staging(&scheduler, &dir).await.unwrap()) as Arc<dyn Staging>
    };
    scheduler.block_on(conformance::staging(make)).assert_passed();

    let dir = root.path().join("kept");
    let open = async || Arc::new(open_staging(&scheduler, &dir).await.unwrap()) as Arc<dyn Staging>;
    scheduler.block_on(conformance::staging_survives_reopening(open)).assert_passed();
}

fn manifest() -> StagingManifest {
    StagingManifest {
        heal_op_id: HEAL_OP_ID,
        ticket_id: "7".to_owned(),
        manifest_hash: "c29tZSBoYXNo".to_owned(),
        file_len_bytes: 4,
        artifacts: vec![StagedArtifact {
            key: ArtifactKey::of(b"artifact"),
            len_bytes: 8,
            missing_on: vec!["lumera1bob".to_owned()],
        }],
        strategy: "heal-minimal".to_owned(),
    }
}

async fn seal_one(staging: &FsStaging) {
    staging.begin(HEAL_OP_ID).await.unwrap();
    staging.write_file_at(HEAL_OP_ID, 0, b"file".to_vec()).await.unwrap();
    staging.put_artifact(HEAL_OP_ID, &ArtifactKey::of(b"artifact"), b"artifact".to_vec()).await.unwrap();
    staging.seal(&manifest()).await.unwrap();
}

fn artifact_path(dir: &Path) -> std::path::PathBuf {
    dir.join("artifacts").join(ArtifactKey::of(b"artifact").to_string())
}

/// Changes a sealed directory.
type Happening = fn(&Path);

/// What a crash, a disk or a person did to a sealed directory, and what is then said of it.
#[test]
fn states_after_a_crash_or_damage() {
    let table: [(&str, Happening, &str); 13] = [
        ("nothing", |_| {}, "sealed"),
        (
            "crash before the manifest's rename",
            |dir| {
                fs::rename(dir.join("manifest.json"), dir.join("incoming-9")).unwrap();
            },
            "unsealed",
        ),
        (
            "crash within begin",
            |dir| {
                fs::remove_dir_all(dir).unwrap();
                fs::create_dir(dir).unwrap();
            },
            "unsealed",
        ),
        (
            "crash within remove, manifest first",
            |dir| {
                fs::remove_file(dir.join("manifest.json")).unwrap();
                fs::remove_dir_all(dir.join("artifacts")).unwrap();
            },
            "unsealed",
        ),
        ("no directory", |dir| fs::remove_dir_all(dir).unwrap(), "absent"),
        (
            "an empty manifest",
            |dir| fs::write(dir.join("manifest.json"), b"").unwrap(),
            "damaged: the manifest can't be read: EOF",
        ),
        (
            "a huge manifest",
            |dir| {
                let file = fs::File::options().write(true).open(dir.join("manifest.json")).unwrap();
                file.set_len(1 << 40).unwrap(); // sparse
            },
            "damaged: the manifest has 1099511627776 bytes",
        ),
        (
            "a manifest with a key that nobody knows",
            |dir| {
                let text = fs::read_to_string(dir.join("manifest.json")).unwrap();
                fs::write(dir.join("manifest.json"), text.replacen('{', "{\"more\":1,", 1)).unwrap();
            },
            "damaged: the manifest can't be read: unknown field `more`",
        ),
        (
            "the manifest of another operation",
            |dir| {
                let text = fs::read_to_string(dir.join("manifest.json")).unwrap();
                fs::write(dir.join("manifest.json"), text.replace(":42,", ":43,")).unwrap();
            },
            "damaged: the manifest is about heal operation 43",
        ),
        (
            "a shorter file",
            |dir| fs::write(dir.join("reconstructed.bin"), b"fil").unwrap(),
            "damaged: reconstructed.bin has 3 bytes, not the 4",
        ),
        (
            "a link for the file",
            |dir| {
                fs::rename(dir.join("reconstructed.bin"), dir.join("elsewhere")).unwrap();
                symlink("elsewhere", dir.join("reconstructed.bin")).unwrap();
            },
            "damaged: reconstructed.bin: it is not a regular",
        ),
        ("a missing artifact", |dir| fs::remove_file(artifact_path(dir)).unwrap(), "damaged: artifact "),
        (
            "a link for the artifacts",
            |dir| {
                fs::rename(dir.join("artifacts"), dir.join("elsewhere")).unwrap();
                symlink("elsewhere", dir.join("artifacts")).unwrap();
            },
            "damaged: something that is not a directory has the name of its artifacts",
        ),
    ];
    for (what, happen, expected) in table {
        let (scheduler, root) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
        scheduler.block_on(async {
            let staging = open_staging(&scheduler, root.path()).await.unwrap();
            seal_one(&staging).await;
            drop(staging);
            happen(&root.path().join(HEAL_OP_ID.to_string()));
            let staging = open_staging(&scheduler, root.path()).await.unwrap();
            let found = match staging.state(HEAL_OP_ID).await.unwrap() {
                StagingState::Absent => "absent".to_owned(),
                StagingState::Unsealed => "unsealed".to_owned(),
                StagingState::Sealed(found) => {
                    assert_eq!(*found, manifest());
                    "sealed".to_owned()
                }
                StagingState::Damaged { reason } => format!("damaged: {reason}"),
            };
            assert!(found.starts_with(expected), "{what}: {found}");
            // Whatever it is, it can be begun again or removed, unless a link stands in the way.
            if !what.contains("link for the artifacts") {
                seal_one(&staging).await;
                staging.remove(HEAL_OP_ID).await.unwrap();
                assert_eq!(staging.list().await.unwrap(), Vec::<u64>::new(), "{what}");
            }
        });
    }
}

/// Whoever goes on with an unsealed directory after a crash meets no half-written file of the run before.
#[test]
fn an_unsealed_directory_can_be_continued_after_a_crash() {
    let (scheduler, root) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    scheduler.block_on(async {
        let staging = open_staging(&scheduler, root.path()).await.unwrap();
        staging.begin(HEAL_OP_ID).await.unwrap();
        staging.write_file_at(HEAL_OP_ID, 0, b"file".to_vec()).await.unwrap();
        drop(staging);
        for number in 0..500 {
            fs::write(root.path().join(format!("42/incoming-{number}")), b"arti").unwrap();
        }
        let staging = open_staging(&scheduler, root.path()).await.unwrap();
        let key = ArtifactKey::of(b"artifact");
        staging.put_artifact(HEAL_OP_ID, &key, b"artifact".to_vec()).await.unwrap();
        staging.seal(&manifest()).await.unwrap();
        assert_eq!(staging.state(HEAL_OP_ID).await, Ok(StagingState::Sealed(Box::new(manifest()))));
        assert_eq!(fs::read_dir(root.path().join("42")).unwrap().count(), 3);
    });
}

#[test]
fn a_damaged_artifact_is_never_returned() {
    let (scheduler, root) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    scheduler.block_on(async {
        let staging = open_staging(&scheduler, root.path()).await.unwrap();
        seal_one(&staging).await;
        let key = ArtifactKey::of(b"artifact");
        for bytes in [&b"artifacT"[..], b"", b"artifact+"] {
            fs::write(artifact_path(&root.path().join("42")), bytes).unwrap();
            assert_eq!(staging.get_artifact(HEAL_OP_ID, &key).await, Err(StoreError::Corrupt { key }));
        }
    });
}

/// Only decimal numbers in their one spelling are operations; links are neither followed nor removed.
#[test]
fn what_is_not_an_operation_is_left_alone() {
    let (scheduler, root) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), b"precious").unwrap();
    for name in ["007", "+7", "notes", "-1", "18446744073709551616", "1a"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    symlink(outside.path(), root.path().join("9")).unwrap();
    scheduler.block_on(async {
        let staging = open_staging(&scheduler, root.path()).await.unwrap();
        seal_one(&staging).await;
        assert_eq!(staging.list().await.unwrap(), [9, HEAL_OP_ID]);
        assert!(matches!(staging.state(9).await, Ok(StagingState::Damaged { .. })));
        let failed = "of heal operation 9: something that is not a directory has its name; look at it and move it away";
        for outcome in [
            staging.begin(9).await,
            staging.remove(9).await,
            staging.write_file_at(9, 0, vec![0]).await,
            staging.put_artifact(9, &ArtifactKey::of(b"x"), b"x".to_vec()).await,
            staging.seal(&StagingManifest { heal_op_id: 9, ..manifest() }).await,
            staging.get_artifact(9, &ArtifactKey::of(b"x")).await.map(drop),
            staging.read_file_at(9, 0, 1).await.map(drop),
        ] {
            assert!(outcome.unwrap_err().to_string().ends_with(failed));
        }
        assert!(staging.usage_bytes().await.unwrap() >= 12);
    });
    assert_eq!(fs::read(outside.path().join("precious")).unwrap(), b"precious");
    for name in ["007", "+7", "notes", "-1", "18446744073709551616", "1a", "9"] {
        assert!(fs::symlink_metadata(root.path().join(name)).is_ok(), "{name}");
    }
}

#[test]
fn files_are_for_the_nodes_user_only() {
    let (scheduler, root) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    scheduler.block_on(async { seal_one(&open_staging(&scheduler, root.path()).await.unwrap()).await });
    let dir = root.path().join("42");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("artifacts"))), (0o700, 0o700));
    for file in [dir.join("reconstructed.bin"), dir.join("manifest.json"), artifact_path(&dir)] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// A file of the longest length is sparse until it is written; nothing may reach past it.
#[test]
fn the_file_has_a_maximum() {
    let (scheduler, root) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    const MAX: u64 = 1280 * 1024 * 1024;
    scheduler.block_on(async {
        let staging = open_staging(&scheduler, root.path()).await.unwrap();
        staging.begin(1).await.unwrap();
        staging.write_file_at(1, MAX - 1, vec![7]).await.unwrap();
        for offset in [MAX, MAX - 1, u64::MAX] {
            let outcome = staging.write_file_at(1, offset, vec![7, 7]).await;
            assert!(matches!(outcome, Err(StoreError::TooLarge { .. })), "{offset}");
        }
        assert_eq!(staging.read_file_at(1, MAX - 2, 10).await.unwrap(), [0, 7]);
    });
}
