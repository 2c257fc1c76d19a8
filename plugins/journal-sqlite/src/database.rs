//! The SQLite file: opening it, upgrading it, refusing what is not ours.
//!
//! Owns everything that is particular to SQLite. The statements and the steps of an upgrade are shared with other
//! databases, in `lampkeeper-migrations`. Everything here blocks.
//!
//! A file that exists is first looked at through a read-only connection, so that a damaged one, or one of a newer
//! version, is left as it is for whoever has to deal with it.

use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use lampkeeper_migrations::sqlite::{
    Connection, NewerStep, Session, THIS_VERSION, is_current, newer_step, upgrade,
};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What every SQLite file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Only the node's user reads and writes its files. SQLite gives its other files the same mode.
const FILE_MODE: u32 = 0o600;

/// - WAL: a commit is one sequential write, and readers do not wait for the writer.
/// - synchronous FULL: each commit is synced. NORMAL, which is common with WAL, may lose the latest commits in a power
///   loss, and a node that forgot a claim or a vote would submit it twice.
/// - busy_timeout: another process, such as a person with `sqlite3`, may hold the file for a moment.
const PRAGMAS: &str = "
    PRAGMA busy_timeout = 10000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;";

/// The open file. SQLite does not lose it, so there is nothing to make anew.
pub(crate) struct SqliteSession {
    connection: Connection,
}

impl Session for SqliteSession {
    fn connection(&mut self) -> Result<&mut Connection, String> {
        Ok(&mut self.connection)
    }

    fn after_failure(&mut self) {}

    /// Moves everything from the write-ahead log into the file.
    fn close(mut self: Box<Self>) -> Result<(), String> {
        let moved = self.connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)");
        moved.map_err(|error| error.to_string())
    }
}

/// A file that is only read, maybe while a node writes to it.
pub(crate) struct ReadOnlySession {
    connection: Connection,
}

impl Session for ReadOnlySession {
    fn connection(&mut self) -> Result<&mut Connection, String> {
        Ok(&mut self.connection)
    }

    fn after_failure(&mut self) {}

    fn close(self: Box<Self>) -> Result<(), String> {
        Ok(())
    }
}

/// Why a journal can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenJournalError {
    /// The file is damaged, or never was a database.
    #[error(
        "the journal {} is damaged and was left as it is: {reason}; restore it from a backup, or move it away to start \
         with an empty one",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is a database of something else.
    #[error("{} is not a journal, but a database of something else: choose another file", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// An older version has been there, and it may not be upgraded now.
    #[error(
        "the journal {} was written by an older version: start the node once, which upgrades it, and ask again",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// A newer version has been there.
    #[error(
        "the journal {} was written by {}, which is newer than this one ({THIS_VERSION}): it has the step `{unknown}`; \
         run that version, or a later one",
        path.display(),
        written_by.as_ref().map_or_else(|| "a version".to_owned(), |version| format!("version {version}"))
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// A migration that this version does not know.
        unknown: String,
        /// The version that last changed the tables, where it says so.
        written_by: Option<String>,
    },
    /// The disk, the permissions or SQLite failed.
    #[error("the journal {} can't be opened: {attempted}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        attempted: String,
        /// What went wrong.
        reason: String,
    },
}

/// Opens a journal, making or upgrading its tables.
pub(crate) fn open(path: &Path) -> Result<SqliteSession, OpenJournalError> {
    let failed = |attempted: &'static str| {
        move |error: &dyn std::fmt::Display| OpenJournalError::Io {
            path: path.to_owned(),
            attempted: attempted.to_owned(),
            reason: error.to_string(),
        }
    };
    let path = &std::path::absolute(path).map_err(|error| failed("finding it")(&error))?;
    let is_empty = create_or_measure(path).map_err(|error| failed("creating it")(&error))? == 0;
    if !is_empty {
        inspect(path)?;
    }
    let mut connection = connect(path, "rw").map_err(|error| failed("connecting to it")(&error))?;
    connection.batch_execute(PRAGMAS).map_err(|error| failed("setting it up")(&error))?;
    let mode: JournalMode = diesel::sql_query("PRAGMA journal_mode")
        .get_result(&mut connection)
        .map_err(|error| failed("setting it up")(&error))?;
    if mode.journal_mode != "wal" {
        let reason = "its file system does not support SQLite's write-ahead log; choose a local one";
        return Err(failed("setting it up")(&reason));
    }
    upgrade(&mut connection).map_err(|error| failed("upgrading it")(&error))?;
    Ok(SqliteSession { connection })
}

/// Opens a journal for reading alone. The file is neither made nor changed, and may be in use by a node.
pub(crate) fn open_read_only(path: &Path) -> Result<ReadOnlySession, OpenJournalError> {
    let failed = |attempted: &'static str, error: &dyn std::fmt::Display| OpenJournalError::Io {
        path: path.to_owned(),
        attempted: attempted.to_owned(),
        reason: error.to_string(),
    };
    inspect(path)?;
    let mut connection = connect(path, "ro").map_err(|error| failed("connecting to it", &error))?;
    connection
        .batch_execute("PRAGMA busy_timeout = 10000; PRAGMA query_only = ON")
        .map_err(|error| failed("setting it up", &error))?;
    match is_current(&mut connection) {
        Ok(true) => Ok(ReadOnlySession { connection }),
        Ok(false) => Err(OpenJournalError::Older { path: path.to_owned() }),
        Err(error) => Err(failed("looking at its tables", &error)),
    }
}

/// The length of the file, which is made if it is not there.
fn create_or_measure(path: &Path) -> std::io::Result<u64> {
    let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path);
    match created {
        Ok(_) => {
            // The name is durable before anything is durable under it.
            if let Some(dir) = path.parent() {
                std::fs::File::open(dir)?.sync_all()?;
            }
            Ok(0)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(std::fs::metadata(path)?.len()),
        Err(error) => Err(error),
    }
}

fn connect(path: &Path, mode: &str) -> ConnectionResult<Connection> {
    Connection::establish(&format!("file:{}?mode={mode}", percent_encoded(path)))
}

/// A path as a part of a URI, byte for byte.
fn percent_encoded(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                text.push(char::from(*byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[derive(QueryableByName)]
struct JournalMode {
    #[diesel(sql_type = Text)]
    journal_mode: String,
}

#[derive(QueryableByName)]
struct QuickCheck {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

#[derive(QueryableByName)]
struct TableCount {
    #[diesel(sql_type = BigInt)]
    tables: i64,
}

/// Refuses a file that is damaged, of something else, or of a newer version, without changing it.
fn inspect(path: &Path) -> Result<(), OpenJournalError> {
    let io = |error: &dyn std::fmt::Display| OpenJournalError::Io {
        path: path.to_owned(),
        attempted: "looking at it".to_owned(),
        reason: error.to_string(),
    };
    let damaged = |reason: String| OpenJournalError::Damaged { path: path.to_owned(), reason };
    let mut magic = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| io(&error))?;
    file.take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(|error| io(&error))?;
    if magic != MAGIC {
        return Err(damaged("it does not begin like a SQLite database".to_owned()));
    }
    let mut connection = connect(path, "ro").map_err(|error| io(&error))?;
    connection.batch_execute("PRAGMA busy_timeout = 10000").map_err(|error| io(&error))?;
    match diesel::sql_query("PRAGMA quick_check(1)").get_result::<QuickCheck>(&mut connection) {
        Ok(check) if check.quick_check == "ok" => {}
        Ok(check) => return Err(damaged(check.quick_check)),
        Err(error) => return Err(damaged(error.to_string())),
    }
    inspect_tables(path, &mut connection)
}

fn inspect_tables(path: &Path, connection: &mut Connection) -> Result<(), OpenJournalError> {
    let io = |error: &dyn std::fmt::Display| OpenJournalError::Io {
        path: path.to_owned(),
        attempted: "looking at its tables".to_owned(),
        reason: error.to_string(),
    };
    let mut count = |condition: &str| -> Result<i64, OpenJournalError> {
        let query = format!("SELECT COUNT(*) AS tables FROM sqlite_master WHERE type = 'table' {condition}");
        let count: TableCount =
            diesel::sql_query(query).get_result(connection).map_err(|error| io(&error))?;
        Ok(count.tables)
    };
    if count("")? == 0 {
        return Ok(()); // a crash came between creating the file and its tables
    }
    if count("AND name IN ('__diesel_schema_migrations', 'journal_info')")? != 2 {
        return Err(OpenJournalError::NotAJournal { path: path.to_owned() });
    }
    match newer_step(connection).map_err(|error| io(&error))? {
        None => Ok(()),
        Some(NewerStep { step: unknown, written_by }) => {
            Err(OpenJournalError::Newer { path: path.to_owned(), unknown, written_by })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel_migrations::MigrationHarness;
    use lampkeeper_migrations::sqlite::MIGRATIONS;

    /// The SQLite that answers is the one that was built with the node, not the system's.
    #[test]
    fn pragmas_hold() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = open(&dir.path().join("a%20? #journal.db")).unwrap().connection;
        // PRAGMA, and the value that durability rests on; FULL is 2.
        for (pragma, expected) in [("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 10_000)] {
            let column = if pragma == "busy_timeout" { "timeout" } else { pragma };
            let query = format!("SELECT {column} AS tables FROM pragma_{pragma}");
            let value: TableCount = diesel::sql_query(query).get_result(&mut connection).unwrap();
            assert_eq!(value.tables, expected, "{pragma}");
        }
        assert!(dir.path().join("a%20? #journal.db").is_file());
        assert!(dir.path().join("a%20? #journal.db-wal").is_file());
    }

    /// Each step back undoes its step, so that a test or a person may go both ways.
    #[test]
    fn migrations_go_back_and_forth() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = open(&dir.path().join("journal.db")).unwrap().connection;
        assert_eq!(connection.revert_all_migrations(MIGRATIONS).unwrap().len(), 3);
        let tables = "SELECT COUNT(*) AS tables FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' \
                      AND tbl_name <> '__diesel_schema_migrations'";
        let left: TableCount = diesel::sql_query(tables).get_result(&mut connection).unwrap();
        assert_eq!(left.tables, 0);
        upgrade(&mut connection).unwrap();
    }
}
