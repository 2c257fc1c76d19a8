//! The journal on a real file: the seam's suite, crashes, older and newer files, damage, and several users.
#![expect(clippy::disallowed_methods, reason = "a test does to the file what a crash or a person might")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use lampkeeper_journal_sqlite::{OpenJournalError, SqliteJournal};
use lampkeeper_plugin_sdk::api::history::{HistoryFilter, HistoryJournal};
use lampkeeper_plugin_sdk::api::journal::{
    HealJournal, Journal, JournalError, ProofJournal, RecheckFailures, RecheckJournal, Recorded,
};
use lampkeeper_plugin_sdk::testkit::conformance::{sample_claim as claim, sample_proof_row as proof_row};
use lampkeeper_plugin_sdk::testkit::{VirtualScheduler, conformance, context};
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

async fn open(scheduler: &VirtualScheduler, path: &Path) -> Result<SqliteJournal, OpenJournalError> {
    lampkeeper_journal_sqlite::open(scheduler.handle(), path).await
}

/// Runs statements on a file as somebody else would.
fn execute(path: &Path, statements: &str) {
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    connection.batch_execute(statements).unwrap();
}

#[test]
fn conforms() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let next = Cell::new(0);
    let make = async || {
        let path = dir.path().join(format!("{}.db", next.replace(next.get() + 1)));
        Arc::new(open(&scheduler, &path).await.unwrap()) as Arc<dyn Journal>
    };
    scheduler.block_on(conformance::journal(make)).assert_passed();

    let path = dir.path().join("kept.db");
    let reopen = async || Arc::new(open(&scheduler, &path).await.unwrap()) as Arc<dyn Journal>;
    scheduler.block_on(conformance::journal_survives_reopening(reopen)).assert_passed();
}

/// What a kill leaves is the file and its write-ahead log at some moment between two calls: copies of both, taken while
/// the journal is open, must hold everything that was returned.
#[test]
fn what_was_returned_survives_a_kill() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let path = dir.path().join("journal.db");
    scheduler.block_on(async {
        let journal = open(&scheduler, &path).await.unwrap();
        for heal_op_id in 0..20 {
            journal.insert_claim(&claim(heal_op_id)).await.unwrap();
            journal.append_proof_rows(9, &[proof_row(heal_op_id as u32)]).await.unwrap();
            let copy = dir.path().join(format!("copy-{heal_op_id}.db"));
            for suffix in ["", "-wal"] {
                let name = |path: &Path| format!("{}{suffix}", path.display());
                fs::copy(name(&path), name(&copy)).unwrap();
            }
            let copy = open(&scheduler, &copy).await.unwrap();
            assert_eq!(copy.claims().await.unwrap().len() as u64, heal_op_id + 1);
            let rows = copy.proof_rows(9).await.unwrap();
            assert_eq!(rows.last().map(|row| row.row.clone()), Some(proof_row(heal_op_id as u32)));
        }
    });
}

#[test]
fn a_torn_log_loses_only_what_was_not_returned() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let (path, copy) = (dir.path().join("journal.db"), dir.path().join("copy.db"));
    scheduler.block_on(async {
        let journal = open(&scheduler, &path).await.unwrap();
        journal.insert_claim(&claim(1)).await.unwrap();
        let returned_len = fs::metadata(dir.path().join("journal.db-wal")).unwrap().len();
        journal.insert_claim(&claim(2)).await.unwrap();
        let log = fs::read(dir.path().join("journal.db-wal")).unwrap();
        // The power went while the second commit was being written: any part of it may be there.
        for torn_len in [returned_len, returned_len + 100, log.len() as u64 - 1] {
            fs::copy(&path, &copy).unwrap();
            fs::write(dir.path().join("copy.db-wal"), &log[..torn_len as usize]).unwrap();
            let torn = open(&scheduler, &copy).await.unwrap();
            assert_eq!(torn.claims().await.unwrap(), [claim(1)], "{torn_len}");
            torn.close().await.unwrap();
        }
    });
}

#[test]
fn closing_leaves_one_file_and_an_answer() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let path = dir.path().join("journal.db");
    scheduler.block_on(async {
        let journal = open(&scheduler, &path).await.unwrap();
        journal.insert_claim(&claim(1)).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let log = fs::metadata(dir.path().join("journal.db-wal")).unwrap();
        assert_eq!(log.permissions().mode() & 0o777, 0o600);
        journal.close().await.unwrap();
        journal.close().await.unwrap();
        assert!(matches!(journal.claims().await, Err(JournalError::Unavailable { .. })));
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["journal.db"]);
        assert_eq!(open(&scheduler, &path).await.unwrap().claims().await.unwrap(), [claim(1)]);
    });
}

#[test]
fn an_older_journal_is_upgraded() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let path = dir.path().join("journal.db");
    execute(&path, include_str!("golden/20261122000001.sql"));
    scheduler.block_on(async {
        for _ in 0..2 {
            let journal = open(&scheduler, &path).await.unwrap();
            conformance::journal_of_first_version(&journal).await.assert_passed();
        }
    });
}

/// A second process looks at a journal while the node has it open, and after it was closed or killed.
#[test]
fn a_reader_sees_everything_and_changes_nothing() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let path = dir.path().join("journal.db");
    let read_only = || lampkeeper_journal_sqlite::open_read_only(scheduler.handle(), &path);
    scheduler.block_on(async {
        let error = read_only().await.map(drop).unwrap_err();
        assert!(matches!(error, OpenJournalError::Io { .. }) && !path.exists(), "{error}");

        let journal = open(&scheduler, &path).await.unwrap();
        journal.insert_claim(&claim(1)).await.unwrap();
        let reader = read_only().await.unwrap();
        assert_eq!(reader.claims().await.unwrap(), [claim(1)]);
        journal.insert_claim(&claim(2)).await.unwrap();
        assert_eq!(reader.claims().await.unwrap(), [claim(1), claim(2)]);
        assert_eq!(reader.challenges(&HistoryFilter::default()).await.unwrap(), []);
        assert!(matches!(reader.insert_claim(&claim(3)).await, Err(JournalError::Io { .. })));
        reader.close().await.unwrap();
        journal.close().await.unwrap();

        let before = fs::read(&path).unwrap();
        let reader = read_only().await.unwrap();
        assert_eq!(reader.claims().await.unwrap(), [claim(1), claim(2)]);
        reader.close().await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
    });
}

#[test]
fn a_reader_does_not_upgrade() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let path = dir.path().join("journal.db");
    execute(&path, include_str!("golden/20261122000001.sql"));
    let before = fs::read(&path).unwrap();
    let outcome = scheduler.block_on(lampkeeper_journal_sqlite::open_read_only(scheduler.handle(), &path));
    let error = outcome.map(drop).unwrap_err();
    assert_eq!(error, OpenJournalError::Older { path: path.clone() });
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// Makes a file what it may not be.
type Prepare = Box<dyn Fn(&Path)>;

/// A file that may not be opened, what is said of it, and that it is left byte for byte as it was.
#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000001');";
    let newer_by = format!("{newer} UPDATE journal_info SET value = '9.1.0' WHERE name = 'written_by';");
    let newer_by_nobody = format!("{newer} DELETE FROM journal_info;");
    let this = env!("CARGO_PKG_VERSION");
    let table: [(&str, Prepare, String); 7] = [
        (
            "a newer version",
            Box::new(move |path| execute(path, &newer_by)),
            format!(
                "was written by version 9.1.0, which is newer than this one ({this}): it has the step `20991231000001`"
            ),
        ),
        (
            "a newer version that does not say which",
            Box::new(move |path| execute(path, &newer_by_nobody)),
            format!("was written by a version, which is newer than this one ({this})"),
        ),
        (
            "another application",
            Box::new(|path| {
                fs::remove_file(path).unwrap();
                execute(path, "CREATE TABLE bookmarks (url TEXT)");
            }),
            "is not a journal, but a database of something else".to_owned(),
        ),
        (
            "not a database",
            Box::new(|path| fs::write(path, b"#!/bin/sh\n").unwrap()),
            "is damaged and was left as it is: it does not begin like a SQLite database".to_owned(),
        ),
        (
            "a database that was cut off",
            Box::new(|path| fs::File::options().write(true).open(path).unwrap().set_len(8192).unwrap()),
            "is damaged and was left as it is: ".to_owned(),
        ),
        (
            "a database with pages of garbage",
            Box::new(|path| {
                let file = fs::File::options().write(true).open(path).unwrap();
                let len = file.metadata().unwrap().len() as usize;
                file.write_all_at(&vec![0xa5; len - 4096], 4096).unwrap();
            }),
            "is damaged and was left as it is: ".to_owned(),
        ),
        (
            "a directory",
            Box::new(|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
            "can't be opened: looking at it: ".to_owned(),
        ),
    ];
    for (what, prepare, expected) in table {
        let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
        let path = dir.path().join("journal.db");
        scheduler.block_on(async {
            let journal = open(&scheduler, &path).await.unwrap();
            journal.insert_claim(&claim(1)).await.unwrap();
            journal.close().await.unwrap();
            prepare(&path);
            let before = fs::read(&path).ok();
            let error = open(&scheduler, &path).await.map(drop).unwrap_err().to_string();
            assert!(error.contains(&expected), "{what}: {error}");
            assert_eq!(fs::read(&path).ok(), before, "{what}");
        });
    }
}

/// The log that a killed newer version left stays too: the refusal does not write it into the file.
#[test]
fn a_newer_journal_keeps_its_log() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let (path, copy) = (dir.path().join("journal.db"), dir.path().join("copy.db"));
    scheduler.block_on(async {
        let journal = open(&scheduler, &path).await.unwrap();
        execute(&path, "INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000001')");
        fs::copy(&path, &copy).unwrap();
        fs::copy(dir.path().join("journal.db-wal"), dir.path().join("copy.db-wal")).unwrap();
        let before = (fs::read(&copy).unwrap(), fs::read(dir.path().join("copy.db-wal")).unwrap());
        let outcome = open(&scheduler, &copy).await.map(drop);
        assert!(matches!(outcome, Err(OpenJournalError::Newer { .. })), "{outcome:?}");
        let after = (fs::read(&copy).unwrap(), fs::read(dir.path().join("copy.db-wal")).unwrap());
        assert!(before == after);
        drop(journal);
    });
}

#[test]
fn an_empty_file_becomes_a_journal() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let path = dir.path().join("journal.db");
    fs::write(&path, b"").unwrap();
    scheduler.block_on(async {
        let journal = open(&scheduler, &path).await.unwrap();
        assert_eq!(journal.insert_claim(&claim(1)).await.unwrap(), Recorded::New);
    });
}

#[test]
fn two_handles_see_each_other_and_lose_nothing() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let path = dir.path().join("journal.db");
    let handles = scheduler
        .block_on(async { [open(&scheduler, &path).await.unwrap(), open(&scheduler, &path).await.unwrap()] });
    std::thread::scope(|scope| {
        for (number, journal) in handles.iter().enumerate() {
            scope.spawn(move || {
                // The journal's work runs in place, on the thread that asks.
                VirtualScheduler::new(2).block_on(async {
                    for ordinal in 0..25 {
                        journal.append_proof_rows(1, &[proof_row(ordinal)]).await.unwrap();
                        journal
                            .raise_epoch_marker("dispatched", (ordinal * 2) as u64 + number as u64, 0)
                            .await
                            .unwrap();
                        let failure = RecheckFailures {
                            epoch_id: 1,
                            ticket_id: "7".to_owned(),
                            target_account: "lumera1bob".to_owned(),
                            attempts: 0,
                            last_error: "no answer".to_owned(),
                            expires_at_s: 10,
                        };
                        journal.record_recheck_failure(&failure).await.unwrap();
                    }
                });
            });
        }
    });
    scheduler.block_on(async {
        for journal in &handles {
            let rows = journal.proof_rows(1).await.unwrap();
            assert_eq!(rows.len(), 50);
            assert!(rows.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
            assert_eq!(journal.epoch_marker("dispatched").await.unwrap(), Some(49));
            assert_eq!(
                journal.recheck_failures(1, "7", 0).await.unwrap().map(|found| found.attempts),
                Some(50)
            );
        }
    });
}

/// Numbers and words at the edges of what the columns hold.
#[test]
fn what_does_not_fit_is_an_error_not_a_wrong_row() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let path = dir.path().join("journal.db");
    scheduler.block_on(async {
        let journal = open(&scheduler, &path).await.unwrap();
        let largest = claim(i64::MAX as u64);
        journal.insert_claim(&largest).await.unwrap();
        assert_eq!(journal.claims().await.unwrap(), [largest]);
        let outcome = journal.insert_claim(&claim(1 << 63)).await;
        let expected = "recording the claim of heal operation 9223372036854775808: heal operation \
                        9223372036854775808 is larger than the journal can hold";
        assert_eq!(outcome.unwrap_err().to_string(), expected);

        journal.append_proof_rows(1, &[proof_row(u32::MAX)]).await.unwrap();
        assert_eq!(journal.proof_rows(1).await.unwrap()[0].row, proof_row(u32::MAX));
        execute(&path, "UPDATE proof_rows SET result_class = 99");
        let error = journal.proof_rows(1).await.unwrap_err();
        assert!(
            matches!(&error, JournalError::Corrupt { reason, .. } if reason == "99 is not a result class"),
            "{error}"
        );
        execute(&path, "UPDATE proof_rows SET result_class = 1, artifact_ordinal = -1");
        assert!(matches!(journal.proof_rows(1).await, Err(JournalError::Corrupt { .. })));
    });
}

/// The plugin as a host makes it.
#[test]
fn the_plugin_starts_and_closes() {
    let (scheduler, dir) = (VirtualScheduler::new(1), tempfile::tempdir().unwrap());
    let make = |config: &str| {
        let context = context("journal-sqlite")
            .data_dir(dir.path())
            .config(config)
            .seams(|seams| seams.scheduler = Some(scheduler.handle()));
        (lampkeeper_journal_sqlite::descriptor().construct)(context.build())
    };
    scheduler.block_on(async {
        let provided = make("{}").await.map_err(|error| error.to_string()).unwrap();
        provided.journal.clone().unwrap().insert_claim(&claim(1)).await.unwrap();
        provided.close.clone().unwrap().close().await.unwrap();
        assert!(dir.path().join("journal.db").is_file());
        assert!(!dir.path().join("journal.db-wal").exists());
        let error = make(r#"{"file": "missing/journal.db"}"#).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("plugin journal-sqlite can't start: the journal "), "{error}");
        assert!(make(r#"{"files": "x"}"#).await.is_err(), "unknown keys are refused");
    });
}
