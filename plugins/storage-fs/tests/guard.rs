//! Directories that are not this node's to use, in the words that an operator reads.
#![expect(clippy::disallowed_methods, reason = "a test does to files what a crash or a person might")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{open_staging, open_store, owner};
use lampkeeper_plugin_sdk::api::plugin::NodeInfo;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::testkit::{VirtualScheduler, context};
use lampkeeper_storage_fs::{DataDirGuard, DataDirOwner};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The names in a directory and what the files hold, to see that nothing was touched.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default())
    };
    let mut contents: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| read(entry.unwrap())).collect();
    contents.sort();
    contents
}

#[test]
fn a_directory_has_one_user() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    scheduler.block_on(async {
        let first = open_store(&scheduler, dir.path()).await.unwrap();
        let second = open_store(&scheduler, dir.path()).await.map(drop).unwrap_err();
        let expected = format!(
            "the directory {} is in use by another process (pid {}): stop it, or choose another directory",
            dir.path().display(),
            std::process::id()
        );
        assert_eq!(second.to_string(), expected);
        assert!(open_staging(&scheduler, dir.path()).await.is_err());
        drop(first);
        open_store(&scheduler, dir.path()).await.unwrap();
    });
}

#[test]
fn a_directory_of_another_node_or_network_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(DataDirGuard::acquire(dir.path(), &owner()).unwrap());
    let before = contents(dir.path());
    let other_network = DataDirOwner { chain_id: "mainnet".to_owned(), ..owner() };
    let other_node = DataDirOwner { account: "lumera1bob".to_owned(), ..owner() };
    // Who comes, and what it is told.
    let table = [
        (
            other_network,
            "belongs to the network `devnet-1`, and this node to `mainnet`: choose another directory",
        ),
        (
            other_node,
            "belongs to the node `lumera1alice`, and this node is `lumera1bob`: choose another directory",
        ),
    ];
    for (owner, expected) in table {
        let error = DataDirGuard::acquire(dir.path(), &owner).unwrap_err().to_string();
        assert_eq!(error, format!("the directory {} {expected}", dir.path().display()));
        assert_eq!(contents(dir.path()), before);
    }
    DataDirGuard::acquire(dir.path(), &owner()).unwrap();
}

#[test]
fn a_marker_that_makes_no_sense_is_not_replaced() {
    let long = vec![b' '; 5000];
    for marker in [&b""[..], b"{", b"[]", b"{\"chain_id\":\"devnet-1\"}", b"\xff\xfe", &long] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("network.json"), marker).unwrap();
        let error = DataDirGuard::acquire(dir.path(), &owner()).unwrap_err().to_string();
        assert!(error.contains("network.json can't be read"), "{error}");
        assert_eq!(contents(dir.path()), [("network.json".to_owned(), marker.to_vec())]);
    }
}

/// A crash between the lock and the marker leaves a directory that is taken as new.
#[test]
fn a_half_marked_directory_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lock"), b"4294967295999999999999999\n").unwrap();
    fs::write(dir.path().join("incoming-0"), b"{\"chain").unwrap();
    fs::write(dir.path().join("node.toml"), b"kept").unwrap();
    drop(DataDirGuard::acquire(dir.path(), &owner()).unwrap());
    let names: Vec<_> = contents(dir.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["lock", "network.json", "node.toml"]);
    assert_eq!(fs::read_to_string(dir.path().join("lock")).unwrap(), format!("{}\n", std::process::id()));
}

#[test]
fn a_file_in_the_way_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = DataDirGuard::acquire(&file.join("data"), &owner()).unwrap_err().to_string();
    let expected = format!(
        "the directory {} can't be used: creating it: Not a directory (os error 20); a file stands where a directory \
         is needed",
        file.join("data").display()
    );
    assert_eq!(error, expected);
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn a_read_only_directory_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(data.join("probe"), b"").is_ok() {
        eprintln!("SKIPPED a_read_only_directory_says_what_to_do: this user may write everywhere");
        return;
    }
    let error = DataDirGuard::acquire(&data, &owner()).unwrap_err().to_string();
    let expected = format!(
        "the directory {} can't be used: locking it: Permission denied (os error 13); give the user that runs the \
         node the right to read and write it",
        data.display()
    );
    assert_eq!(error, expected);
}

/// The plugin as a host makes it: both seams work, closing gives the directories back.
#[test]
fn the_plugin_starts_and_closes() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let node = NodeInfo {
        name: "alice".to_owned(),
        account: owner().account,
        chain_id: owner().chain_id,
        data_dir: dir.path().to_owned(),
    };
    let make = |config: &str| {
        let context = context("storage-fs")
            .node(node.clone())
            .config(config)
            .seams(|seams| seams.scheduler = Some(scheduler.handle()));
        (lampkeeper_storage_fs::descriptor().construct)(context.build())
    };
    scheduler.block_on(async {
        let provided = make("{}").await.map_err(|error| error.to_string()).unwrap();
        let store = provided.store.clone().unwrap();
        store.put(&ArtifactKey::of(b"x"), b"x".to_vec()).await.unwrap();
        provided.staging.clone().unwrap().begin(1).await.unwrap();
        assert!(dir.path().join("artifacts").is_dir() && dir.path().join("heal-staging/1").is_dir());
        let error = make("{}").await.map(drop).unwrap_err().to_string();
        assert!(
            error.contains("plugin storage-fs can't start: the directory") && error.contains("in use"),
            "{error}"
        );
        provided.close.clone().unwrap().close().await.unwrap();
        make("{}").await.map(drop).unwrap();
        let nested = make(r#"{"staging_dir": "artifacts/staging"}"#).await.map(drop).unwrap_err().to_string();
        assert!(
            nested.starts_with("plugin storage-fs: staging_dir: artifacts_dir and staging_dir"),
            "{nested}"
        );
        assert!(make(r#"{"artifact_dir": "x"}"#).await.is_err(), "unknown keys are refused");
    });
}
