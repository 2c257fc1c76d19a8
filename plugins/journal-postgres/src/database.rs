//! The PostgreSQL server: reaching it, taking the journal, upgrading it, refusing what is not ours.
//!
//! Owns everything that is particular to PostgreSQL. The statements and the steps of an upgrade are shared with other
//! databases, in `lampkeeper-migrations`. Everything here blocks.
//!
//! One node has the journal: it holds an advisory lock on the very connection that its statements use. Whoever loses the
//! connection loses the lock and the right to write together, and there is no moment at which two nodes can write.

use crate::config::Place;
use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use lampkeeper_migrations::postgres::{Connection, NewerStep, THIS_VERSION, newer_step, upgrade};

/// How long a statement of the journal may take. The largest, 4096 rows of proof, takes less than a second.
const STATEMENT_TIMEOUT_MS: u32 = 30_000;

/// - client_min_messages: what is not a warning is for nobody.
/// - tcp_keepalives: the server notices within half a minute that a node is gone, and gives its lock free.
/// - synchronous_commit: a commit that has returned is on disk. Stronger values, which wait for standbys too, stay.
const SETTINGS: &str = "
    SET client_min_messages = warning;
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';";

/// The lock of a schema's journal. Advisory locks belong to a database, so the schema's name tells journals apart.
const LOCK_KEY: &str = "hashtextextended('lampkeeper journal ' || $1, 0)";

/// Why a journal can't be opened. No message quotes a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenJournalError {
    /// The server does not answer, or does not let us in.
    #[error("the journal's server {server} can't be reached: {reason}")]
    Unreachable {
        /// The server and the database.
        server: String,
        /// What the client library says.
        reason: String,
    },
    /// Somebody else has it.
    #[error(
        "the journal in the schema `{schema}` of {server} is in use by another node: stop that one, or give this node a \
         schema of its own"
    )]
    InUse {
        /// The server and the database.
        server: String,
        /// The schema.
        schema: String,
    },
    /// What the server confirms may be lost.
    #[error(
        "the server {server} runs with {setting} off, so a crash may lose or damage what it has confirmed, and this node \
         would act twice: turn {setting} on"
    )]
    NotDurable {
        /// The server and the database.
        server: String,
        /// The server's setting.
        setting: String,
    },
    /// The schema has tables of something else.
    #[error(
        "the schema `{schema}` of {server} is not a journal, but holds tables of something else: choose another schema"
    )]
    NotAJournal {
        /// The server and the database.
        server: String,
        /// The schema.
        schema: String,
    },
    /// A newer version has been there.
    #[error(
        "the journal in the schema `{schema}` of {server} was written by {}, which is newer than this one \
         ({THIS_VERSION}): it has the step `{unknown}`; run that version, or a later one",
        written_by.as_ref().map_or_else(|| "a version".to_owned(), |version| format!("version {version}"))
    )]
    Newer {
        /// The server and the database.
        server: String,
        /// The schema.
        schema: String,
        /// A migration that this version does not know.
        unknown: String,
        /// The version that last changed the tables, where it says so.
        written_by: Option<String>,
    },
    /// The server answered and then failed, or refused a statement.
    #[error("the journal on {server} can't be opened: {attempted}: {reason}")]
    Database {
        /// The server and the database.
        server: String,
        /// What was attempted.
        attempted: String,
        /// What went wrong.
        reason: String,
    },
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    answer: bool,
}

#[derive(QueryableByName)]
struct TableCounts {
    #[diesel(sql_type = BigInt)]
    tables: i64,
    #[diesel(sql_type = BigInt)]
    ours: i64,
}

/// Connects, takes the journal for this node, and makes or upgrades its tables.
pub(crate) fn open(place: &Place) -> Result<Connection, OpenJournalError> {
    let mut connection = connect(place)?;
    let mut opening = Opening { place, connection: &mut connection };
    opening.set_up()?;
    opening.lock()?;
    opening.inspect()?;
    opening.upgrade()?;
    Ok(connection)
}

fn connect(place: &Place) -> Result<Connection, OpenJournalError> {
    Connection::establish(&place.url.with_defaults(place.connect_timeout_s)).map_err(|error| {
        let reason = error.to_string();
        let lines: Vec<_> = reason.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        OpenJournalError::Unreachable { server: place.url.server(), reason: lines.join("; ") }
    })
}

/// A connection on the way to being a journal.
struct Opening<'a> {
    place: &'a Place,
    connection: &'a mut Connection,
}

impl Opening<'_> {
    fn schema(&self) -> &str {
        self.place.schema.as_str()
    }

    /// Turns an error of the database into one of opening.
    fn failed<E: std::fmt::Display>(&self, attempted: &str) -> impl Fn(E) -> OpenJournalError + use<E> {
        let (server, attempted) = (self.place.url.server(), attempted.to_owned());
        move |error| OpenJournalError::Database {
            server: server.clone(),
            attempted: attempted.clone(),
            reason: error.to_string(),
        }
    }

    /// Asks a question about the schema, which is its only parameter.
    fn ask(&mut self, attempted: &str, question: &str) -> Result<bool, OpenJournalError> {
        let failed = self.failed(attempted);
        let query = diesel::sql_query(format!("SELECT {question} AS answer"));
        let answer = query.bind::<Text, _>(self.place.schema.as_str()).get_result::<Answer>(self.connection);
        answer.map(|row| row.answer).map_err(failed)
    }

    fn set_up(&mut self) -> Result<(), OpenJournalError> {
        // No quotation mark is in the name, see `config::SchemaName`. Nothing but this schema is on the path.
        let settings = format!(
            "{SETTINGS} SET lock_timeout = {}; SET search_path TO \"{}\";",
            self.place.lock_wait_ms,
            self.schema()
        );
        let failed = self.failed("setting up the connection");
        self.connection.batch_execute(&settings).map_err(failed)?;
        let is_durable: Answer = diesel::sql_query("SELECT current_setting('fsync')::bool AS answer")
            .get_result(self.connection)
            .map_err(self.failed("looking at the server's settings"))?;
        if !is_durable.answer {
            let (server, setting) = (self.place.url.server(), "fsync".to_owned());
            return Err(OpenJournalError::NotDurable { server, setting });
        }
        Ok(())
    }

    /// Takes the journal's lock, which the connection holds until it ends.
    fn lock(&mut self) -> Result<(), OpenJournalError> {
        // Waits for as long as `lock_timeout`: the server may need a moment to notice that an earlier run has ended.
        let wait = format!("pg_advisory_lock({LOCK_KEY}) IS NOT NULL");
        if self.ask("waiting for the journal's lock", &wait).is_ok() {
            return Ok(());
        }
        // Whether the wait or the connection ended is asked for, and not read from a message.
        if self.ask("taking the journal's lock", &format!("pg_try_advisory_lock({LOCK_KEY})"))? {
            return Ok(());
        }
        let (server, schema) = (self.place.url.server(), self.schema().to_owned());
        Err(OpenJournalError::InUse { server, schema })
    }

    /// Refuses a schema that is of something else or of a newer version, without changing it.
    fn inspect(&mut self) -> Result<(), OpenJournalError> {
        let (server, schema) = (self.place.url.server(), self.schema().to_owned());
        let query = "SELECT COUNT(*) AS tables, COUNT(*) FILTER (WHERE relname IN ('__diesel_schema_migrations', \
                     'journal_info') AND relkind = 'r') AS ours FROM pg_class JOIN pg_namespace ON \
                     pg_namespace.oid = relnamespace WHERE nspname = $1 AND relkind IN ('r', 'p', 'v', 'm', 'f')";
        let counts = diesel::sql_query(query).bind::<Text, _>(&schema).get_result(self.connection);
        let TableCounts { tables, ours } = counts.map_err(self.failed("looking at its tables"))?;
        if tables == 0 {
            return Ok(()); // no such schema, or an empty one, which an administrator may have made for us
        }
        if ours != 2 {
            return Err(OpenJournalError::NotAJournal { server, schema });
        }
        let failed = self.failed("looking at its tables");
        match newer_step(self.connection).map_err(failed)? {
            None => Ok(()),
            Some(NewerStep { step: unknown, written_by }) => {
                Err(OpenJournalError::Newer { server, schema, unknown, written_by })
            }
        }
    }

    fn upgrade(&mut self) -> Result<(), OpenJournalError> {
        // Asked for first: `IF NOT EXISTS` needs the right to create schemas even where there is nothing to create.
        let exists = "EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
        if !self.ask("looking for its schema", exists)? {
            let failed = self.failed("creating its schema");
            self.connection
                .batch_execute(&format!("CREATE SCHEMA \"{}\"", self.place.schema.as_str()))
                .map_err(failed)?;
        }
        let failed = self.failed("upgrading it");
        upgrade(self.connection).map_err(failed)?;
        // From now on: an upgrade may take its time.
        let failed = self.failed("setting up the connection");
        self.connection
            .batch_execute(&format!("SET statement_timeout = {STATEMENT_TIMEOUT_MS}"))
            .map_err(failed)
    }
}
