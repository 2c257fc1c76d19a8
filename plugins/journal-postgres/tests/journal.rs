//! The journal on a real server: the seam's suite, crashes of the server, two nodes, older and newer tables, and tables
//! of others.
#![expect(clippy::disallowed_methods, reason = "a test starts a server and does to it what a crash might")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use diesel_migrations::MigrationHarness;
use lampkeeper_journal_postgres::{
    OpenJournalError, Place, PostgresJournal, SchemaName, ServerUrl, descriptor, open,
};
use lampkeeper_migrations::postgres::{MIGRATIONS, upgrade};
use lampkeeper_plugin_sdk::api::chain::StorageProofResult;
use lampkeeper_plugin_sdk::api::journal::{
    HealClaim, HealJournal, HealVerification, Journal, JournalError, ProofJournal, RecheckFailures,
    RecheckJournal, Recorded, SubmissionStatus,
};
use lampkeeper_plugin_sdk::testkit::conformance::{sample_claim as claim, sample_proof_row as proof_row};
use lampkeeper_plugin_sdk::testkit::{RecordingTelemetry, VirtualScheduler, conformance, context};
use server::{Server, USER_WITH_PASSWORD};
use std::cell::Cell;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// One node's way to a journal.
struct Node {
    scheduler: VirtualScheduler,
    telemetry: RecordingTelemetry,
    place: Place,
}

impl Node {
    fn new(url: &str, schema: &str) -> Self {
        let place = Place {
            url: ServerUrl::parse(url).unwrap(),
            schema: SchemaName::parse(schema).unwrap(),
            connect_timeout_s: 60,
            // Real time, on the server; what has to come free in a test is free at once or never.
            lock_wait_ms: 2000,
            reconnect_wait_max: Duration::from_secs(1),
        };
        Self { scheduler: VirtualScheduler::new(1), telemetry: RecordingTelemetry::new(), place }
    }

    fn of(server: &Server, schema: &str) -> Self {
        Self::new(&server.url(), schema)
    }

    async fn open(&self) -> Result<PostgresJournal, OpenJournalError> {
        open(self.scheduler.handle(), Arc::new(self.telemetry.clone()), self.place.clone()).await
    }

    /// Why the journal can't be opened.
    fn refusal(&self) -> OpenJournalError {
        self.scheduler.block_on(self.open()).map(drop).unwrap_err()
    }
}

/// A connection as somebody else would have it.
fn connect(server: &Server) -> PgConnection {
    PgConnection::establish(&server.url()).unwrap()
}

fn execute(server: &Server, statements: &str) {
    connect(server).batch_execute(statements).unwrap();
}

#[derive(QueryableByName)]
struct OneText {
    #[diesel(sql_type = Nullable<Text>)]
    text: Option<String>,
}

/// The answer to a query for one column, `text`.
fn ask(server: &Server, query: &str) -> String {
    let answer: OneText = diesel::sql_query(query).get_result(&mut connect(server)).unwrap();
    answer.text.unwrap_or_default()
}

/// The tables, columns and definitions of all schemas but the server's own.
fn everything(server: &Server) -> String {
    ask(
        server,
        "SELECT string_agg(concat_ws(' ', table_schema, table_name, column_name, data_type, is_nullable), E'\\n' \
         ORDER BY table_schema, table_name, ordinal_position) AS text FROM information_schema.columns \
         WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
    )
}

#[test]
fn conforms() {
    let Some(server) = server::shared() else { return };
    let node = Node::of(&server, "conforms");
    let next = Cell::new(0);
    let make = async || {
        let schema = format!("conforms_{}", next.replace(next.get() + 1));
        let place = Place { schema: SchemaName::parse(&schema).unwrap(), ..node.place.clone() };
        let telemetry = Arc::new(node.telemetry.clone());
        Arc::new(open(node.scheduler.handle(), telemetry, place).await.unwrap()) as Arc<dyn Journal>
    };
    node.scheduler.block_on(conformance::journal(make)).assert_passed();

    let reopen = async || Arc::new(node.open().await.unwrap()) as Arc<dyn Journal>;
    node.scheduler.block_on(conformance::journal_survives_reopening(reopen)).assert_passed();
}

/// Accounts are ordered byte by byte, in a database too whose language puts `a` before `B`.
#[test]
fn order_does_not_depend_on_the_language() {
    let Some(server) = server::shared() else { return };
    // Older servers take a language for a database only from the operating system, which may have none.
    let has_languages =
        ask(&server, "SELECT (current_setting('server_version_num')::int >= 150000)::text AS text");
    let language = if has_languages == "true" { "LOCALE_PROVIDER icu ICU_LOCALE 'en'" } else { "" };
    execute(&server, &format!("CREATE DATABASE english TEMPLATE template0 {language}"));
    let node = Node::new(&server.url().replace("/postgres?", "/english?"), "language");
    node.scheduler.block_on(async {
        let journal = node.open().await.unwrap();
        for verifier in ["b", "A", "a", "B"] {
            let vote = HealVerification {
                heal_op_id: 1,
                verifier_account: verifier.to_owned(),
                verified: true,
                verification_hash: "aGFzaA==".to_owned(),
                status: SubmissionStatus::Pending,
                recorded_at_s: 1_750_000_000,
            };
            journal.insert_verification(&vote).await.unwrap();
        }
        let votes = journal.verifications().await.unwrap();
        let order: Vec<_> = votes.iter().map(|vote| vote.verifier_account.as_str()).collect();
        assert_eq!(order, ["A", "B", "a", "b"]);
    });
}

#[test]
fn a_server_that_crashes_and_comes_back_has_everything_that_was_returned() {
    let Some(server) = server::private() else { return };
    let node = Node::of(&server, "journal");
    node.scheduler.block_on(async {
        let journal = node.open().await.unwrap();
        for round in 0..3 {
            assert_eq!(journal.insert_claim(&claim(round)).await.unwrap(), Recorded::New);
            server.crash();
            // The first call finds the connection broken, the second that nobody answers, the third does not try.
            for expected in ["", "can't be reached", "the next attempt is in 250 ms"] {
                let error = journal.claims().await.unwrap_err();
                assert!(matches!(&error, JournalError::Io { .. }) && error.is_transient(), "{error}");
                assert!(error.to_string().contains(expected), "{error}");
            }
            assert_eq!(node.telemetry.gauge_value("journal_connected", &[]), Some(0.0));
            server.start();
            let error = journal.claims().await.unwrap_err();
            assert!(error.to_string().contains("the next attempt is in 250 ms"), "{error}");
            node.scheduler.handle().sleep(Duration::from_millis(250)).await;
            let expected: Vec<_> = (0..=round).map(claim).collect();
            assert_eq!(journal.claims().await.unwrap(), expected);
            assert_eq!(node.telemetry.gauge_value("journal_connected", &[]), Some(1.0));
        }
        assert_eq!(node.telemetry.events_named("journal.connection_lost").len(), 3);
        assert_eq!(node.telemetry.events_named("journal.reconnected").len(), 3);

        // Pauses double up to the longest, of a second.
        server.crash();
        assert!(journal.claims().await.is_err());
        for wait_ms in [250, 500, 1000, 1000] {
            assert!(journal.claims().await.is_err());
            let error = journal.claims().await.unwrap_err().to_string();
            assert!(error.contains(&format!("the next attempt is in {wait_ms} ms")), "{error}");
            node.scheduler.handle().sleep(Duration::from_millis(wait_ms)).await;
        }
        server.start();

        // A server that confirms what it may lose is none for a journal.
        execute(&server, "ALTER SYSTEM SET fsync = off");
        execute(&server, "SELECT pg_reload_conf()");
        server.crash();
        server.start();
        drop(journal);
        let error = node.open().await.map(drop).unwrap_err();
        assert!(
            matches!(&error, OpenJournalError::NotDurable { setting, .. } if setting == "fsync"),
            "{error}"
        );
    });
}

/// The server dies while rows are appended: all of a call's rows are there or none, and all of those that returned.
#[test]
fn a_crash_in_the_middle_of_a_call_leaves_all_of_it_or_nothing() {
    let Some(server) = server::private() else { return };
    const ROWS_PER_CALL: usize = 40;
    let (returned, returns) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Moved, so that the channel ends with this thread.
            let returned = returned;
            let node = Node::of(&server, "journal");
            let rows: Vec<_> = (0..ROWS_PER_CALL as u32).map(proof_row).collect();
            node.scheduler.block_on(async {
                let journal = node.open().await.unwrap();
                for epoch_id in 1.. {
                    match journal.append_proof_rows(epoch_id, &rows).await {
                        Ok(()) => returned.send(epoch_id).unwrap(),
                        Err(error) => {
                            assert!(error.is_transient(), "{error}");
                            break;
                        }
                    }
                }
            });
        });
        // Some calls are through and another is under way.
        assert_eq!(returns.iter().take(20).count(), 20);
        server.crash();
    });
    let last = returns.iter().last().unwrap_or(20);
    server.start();
    let node = Node::of(&server, "journal");
    node.scheduler.block_on(async {
        let journal = node.open().await.unwrap();
        let epochs = journal.epochs_with_proof_rows().await.unwrap();
        // The call after the last may have been committed without its answer getting through.
        let expected: Vec<_> = (1..=epochs.len() as u64).collect();
        assert!(
            epochs == expected && (last..=last + 1).contains(&(epochs.len() as u64)),
            "{last}: {epochs:?}"
        );
        for epoch_id in epochs {
            assert_eq!(journal.proof_rows(epoch_id).await.unwrap().len(), ROWS_PER_CALL, "{epoch_id}");
        }
    });
}

#[test]
fn two_nodes_do_not_share_a_journal() {
    let Some(server) = server::shared() else { return };
    let (first, second) = (Node::of(&server, "contended"), Node::of(&server, "contended"));
    let journal = first.scheduler.block_on(first.open()).unwrap();
    let expected =
        OpenJournalError::InUse { server: "localhost/postgres".to_owned(), schema: "contended".to_owned() };
    assert_eq!(second.refusal(), expected);
    // A node beside it, in a schema of its own.
    let beside = Node::of(&server, "beside");
    drop(beside.scheduler.block_on(beside.open()).unwrap());

    first.scheduler.block_on(journal.insert_claim(&claim(1))).unwrap();
    first.scheduler.block_on(journal.close()).unwrap();
    first.scheduler.block_on(journal.close()).unwrap();
    let outcome = first.scheduler.block_on(journal.claims());
    assert!(matches!(outcome, Err(JournalError::Unavailable { .. })), "{outcome:?}");
    let journal = second.scheduler.block_on(second.open()).unwrap();
    assert_eq!(second.scheduler.block_on(journal.claims()).unwrap(), [claim(1)]);
}

/// Who loses the connection loses the journal to whoever takes it next, and gets it back when it is free.
#[test]
fn a_node_that_was_cut_off_cannot_write_behind_its_successor() {
    let Some(server) = server::shared() else { return };
    let (first, second) = (Node::of(&server, "fenced"), Node::of(&server, "fenced"));
    let cut_off = first.scheduler.block_on(first.open()).unwrap();
    let terminate = "SELECT pg_terminate_backend(pid, 5000)::text AS text FROM pg_locks JOIN pg_stat_activity USING (pid) \
                     WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint = \
                     hashtextextended('lampkeeper journal fenced', 0)";
    assert_eq!(ask(&server, terminate), "true");
    let successor = second.scheduler.block_on(second.open()).unwrap();
    second.scheduler.block_on(successor.insert_claim(&claim(1))).unwrap();

    let write = || first.scheduler.block_on(cut_off.insert_claim(&claim(2)));
    assert!(write().unwrap_err().is_transient());
    let error = write().unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("is in use by another node"), "{error}");
    assert_eq!(second.scheduler.block_on(successor.claims()).unwrap(), [claim(1)]);

    second.scheduler.block_on(successor.close()).unwrap();
    first.scheduler.run_for(Duration::from_secs(1));
    assert_eq!(write().unwrap(), Recorded::New);
    assert_eq!(first.scheduler.block_on(cut_off.claims()).unwrap(), [claim(1), claim(2)]);
}

#[test]
fn an_older_journal_is_upgraded() {
    let Some(server) = server::shared() else { return };
    let golden = include_str!("golden/20261122000001.sql");
    execute(&server, &format!("CREATE SCHEMA older; SET search_path TO older; {golden}"));
    let node = Node::of(&server, "older");
    node.scheduler.block_on(async {
        for _ in 0..2 {
            let journal = node.open().await.unwrap();
            conformance::journal_of_first_version(&journal).await.assert_passed();
        }
    });
    // An upgrade ends where a new journal begins.
    let new = Node::of(&server, "new");
    drop(new.scheduler.block_on(new.open()).unwrap());
    let of_schema = |schema: &str| -> Vec<String> {
        let all = everything(&server);
        all.lines().filter_map(|line| line.strip_prefix(&format!("{schema} "))).map(str::to_owned).collect()
    };
    assert_eq!(of_schema("older"), of_schema("new"));
    let written_by = ask(&server, "SELECT value AS text FROM older.journal_info WHERE name = 'written_by'");
    assert_eq!(written_by, env!("CARGO_PKG_VERSION"));
}

/// A schema that may not be a journal, what is said of it, and that nothing in it changes.
#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let Some(server) = server::private() else { return };
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000001');";
    let newer_by = format!("{newer} UPDATE journal_info SET value = '9.1.0' WHERE name = 'written_by';");
    let newer_by_nobody = format!("{newer} DELETE FROM journal_info;");
    let this = env!("CARGO_PKG_VERSION");
    let others = "DROP SCHEMA journal CASCADE; CREATE SCHEMA journal;";
    let table = [
        (
            "a newer version",
            newer_by,
            format!(
                "was written by version 9.1.0, which is newer than this one ({this}): it has the step `20991231000001`"
            ),
        ),
        (
            "a newer version that does not say which",
            newer_by_nobody,
            format!("was written by a version, which is newer than this one ({this})"),
        ),
        (
            "another application's",
            format!("{others} CREATE TABLE journal.bookmarks (url TEXT)"),
            "is not a journal, but holds tables of something else".to_owned(),
        ),
        (
            "another application's that uses diesel",
            format!("{others} CREATE TABLE journal.__diesel_schema_migrations (version TEXT)"),
            "is not a journal, but holds tables of something else".to_owned(),
        ),
        (
            "another application's views",
            format!("{others} CREATE VIEW journal.journal_info AS SELECT 1 AS one"),
            "is not a journal, but holds tables of something else".to_owned(),
        ),
    ];
    // Tables with the names of ours in a schema that is usually on the path.
    execute(
        &server,
        "CREATE TABLE public.proof_rows (theirs TEXT); INSERT INTO proof_rows VALUES ('theirs')",
    );
    let node = Node::of(&server, "journal");
    for (what, prepare, expected) in table {
        execute(&server, "DROP SCHEMA IF EXISTS journal CASCADE");
        node.scheduler.block_on(async {
            let journal = node.open().await.unwrap();
            journal.append_proof_rows(1, &[proof_row(1)]).await.unwrap();
        });
        execute(&server, &format!("SET search_path TO journal; {prepare}"));
        let before = everything(&server);
        let error = node.refusal().to_string();
        assert!(error.contains(&expected), "{what}: {error}");
        assert_eq!(everything(&server), before, "{what}");
    }
    assert_eq!(ask(&server, "SELECT string_agg(theirs, ' ') AS text FROM public.proof_rows"), "theirs");
}

/// A node needs no right but that to a schema, which an administrator has made.
#[test]
fn a_user_with_one_empty_schema_is_enough() {
    let Some(server) = server::shared() else { return };
    execute(&server, "CREATE ROLE modest LOGIN; CREATE SCHEMA modest AUTHORIZATION modest");
    let modest = Node::new(&server.url_of("modest"), "modest");
    modest.scheduler.block_on(async {
        let journal = modest.open().await.unwrap();
        assert_eq!(journal.insert_claim(&claim(1)).await.unwrap(), Recorded::New);
    });
    let immodest = Node::new(&server.url_of("modest"), "immodest");
    let error = immodest.refusal();
    assert!(
        matches!(&error, OpenJournalError::Database { attempted, .. } if attempted == "creating its schema"),
        "{error}"
    );
}

#[test]
fn a_password_opens_and_is_not_shown() {
    let Some(server) = server::shared() else { return };
    execute(
        &server,
        "CREATE ROLE guarded LOGIN PASSWORD 's3cret@'; CREATE SCHEMA guarded AUTHORIZATION guarded",
    );
    let node =
        |password: &str| Node::new(&server.url_of(&format!("{USER_WITH_PASSWORD}{password}")), "guarded");
    let welcome = node(":s3cret%40");
    drop(welcome.scheduler.block_on(welcome.open()).unwrap());
    for password in ["", ":s3cret", ":s3cret%2540"] {
        let error = node(password).refusal();
        assert!(matches!(&error, OpenJournalError::Unreachable { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}

/// Numbers, texts and words at the edges of what the columns hold.
#[test]
fn what_does_not_fit_is_an_error_not_a_wrong_row() {
    let Some(server) = server::shared() else { return };
    let node = Node::of(&server, "edges");
    node.scheduler.block_on(async {
        let journal = node.open().await.unwrap();
        let largest = claim(i64::MAX as u64);
        journal.insert_claim(&largest).await.unwrap();
        assert_eq!(journal.claims().await.unwrap(), [largest]);
        let outcome = journal.insert_claim(&claim(1 << 63)).await;
        let expected = "recording the claim of heal operation 9223372036854775808: heal operation \
                        9223372036854775808 is larger than the journal can hold";
        assert_eq!(outcome.unwrap_err().to_string(), expected);

        // PostgreSQL has no NUL in texts. In what a peer may have written it must not cost the row.
        let nul = HealClaim { ticket_id: "7\0".to_owned(), ..claim(2) };
        assert!(matches!(journal.insert_claim(&nul).await, Err(JournalError::InvalidRow { .. })));
        let failure = RecheckFailures {
            epoch_id: 1,
            ticket_id: "7".to_owned(),
            target_account: "lumera1bob".to_owned(),
            attempts: 0,
            last_error: "no\0answer".to_owned(),
            expires_at_s: 10,
        };
        assert_eq!(journal.record_recheck_failure(&failure).await.unwrap(), 1);
        let found = journal.recheck_failures(1, "7", 0).await.unwrap().unwrap();
        assert_eq!(found.last_error, "no\u{FFFD}answer");
        let row = StorageProofResult { details: "\0".to_owned(), ..proof_row(u32::MAX) };
        journal.append_proof_rows(1, &[row]).await.unwrap();
        let expected = StorageProofResult { details: "\u{FFFD}".to_owned(), ..proof_row(u32::MAX) };
        assert_eq!(journal.proof_rows(1).await.unwrap()[0].row, expected);

        execute(&server, "UPDATE edges.proof_rows SET result_class = 99");
        let error = journal.proof_rows(1).await.unwrap_err();
        assert!(
            matches!(&error, JournalError::Corrupt { reason, .. } if reason == "99 is not a result class"),
            "{error}"
        );
        execute(&server, "UPDATE edges.proof_rows SET result_class = 1, artifact_ordinal = -1");
        assert!(matches!(journal.proof_rows(1).await, Err(JournalError::Corrupt { .. })));
        // A statement that the server refuses leaves a connection that is still good.
        execute(&server, "DROP TABLE edges.storage_challenge_state");
        assert!(matches!(journal.epoch_marker("dispatched").await, Err(JournalError::Io { .. })));
        assert_eq!(journal.claims().await.unwrap().len(), 1);
        assert!(node.telemetry.events_named("journal.connection_lost").is_empty());
    });
}

/// Each step back undoes its step, so that a test or a person may go both ways.
#[test]
fn migrations_go_back_and_forth() {
    let Some(server) = server::shared() else { return };
    let mut connection = connect(&server);
    connection.batch_execute("CREATE SCHEMA steps; SET search_path TO steps").unwrap();
    for _ in 0..2 {
        upgrade(&mut connection).unwrap();
        assert_eq!(connection.revert_all_migrations(MIGRATIONS).unwrap().len(), 3);
        let left = ask(
            &server,
            "SELECT string_agg(relname, ' ') AS text FROM pg_class WHERE relnamespace = 'steps'::regnamespace \
             AND relkind IN ('r', 'S')",
        );
        assert_eq!(left, "__diesel_schema_migrations");
    }
}

/// The plugin as a host makes it.
#[test]
fn the_plugin_starts_and_closes() {
    let Some(server) = server::shared() else { return };
    let scheduler = VirtualScheduler::new(1);
    let make = |config: String| {
        let context = context("journal-postgres")
            .config(&config)
            .seams(|seams| seams.scheduler = Some(scheduler.handle()))
            .build();
        (descriptor().construct)(context)
    };
    scheduler.block_on(async {
        // A word that SQL has for itself is a schema like any other.
        let config = format!(r#"{{"url": "{}", "schema": "user"}}"#, server.url());
        for expected in [Recorded::New, Recorded::AlreadyRecorded] {
            let provided = make(config.clone()).await.map_err(|error| error.to_string()).unwrap();
            assert_eq!(provided.journal.clone().unwrap().insert_claim(&claim(1)).await.unwrap(), expected);
            provided.close.clone().unwrap().close().await.unwrap();
        }
        let bad = [
            (
                r#"{"url": "x"}"#.to_owned(),
                "plugin journal-postgres: url: the server's address is not usable: ",
            ),
            (
                r#"{"url": "postgresql://node:s3cret@/none?host=/nowhere"}"#.to_owned(),
                "plugin journal-postgres can't start: the journal's server localhost/none can't be reached: ",
            ),
            (r#"{"urls": "x"}"#.to_owned(), "plugin journal-postgres: config: unknown field `urls`"),
        ];
        for (config, expected) in bad {
            let error = make(config).await.map(drop).unwrap_err().to_string();
            assert!(error.starts_with(expected) && !error.contains("s3cret"), "{error}");
        }
    });
}

#[test]
fn the_secret_is_marked_as_one() {
    let schema = descriptor().config_schema;
    assert!(schema.contains(r#""writeOnly":true"#), "{schema}");
}
