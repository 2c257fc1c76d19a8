//! From an older version's tables to this version's.
//!
//! Owns which steps have been taken and which are known. Whether a database is a journal at all is the plugin's to see
//! before it asks here.

use super::{Connection, MIGRATIONS, write_transaction};
use crate::schema::journal_info;
use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::MigrationHarness;
use std::collections::BTreeSet;

/// This version of the journal, for messages and for [`NewerStep::written_by`] of others.
pub const THIS_VERSION: &str = env!("CARGO_PKG_VERSION");
/// Under which name the version that last changed the tables is remembered.
const WRITTEN_BY: &str = "written_by";

type AnyError = Box<dyn std::error::Error + Send + Sync>;
type Backend = <Connection as diesel::Connection>::Backend;

/// A step that was taken and that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewerStep {
    /// Its name.
    pub step: String,
    /// The version that last changed the tables, where it says so.
    pub written_by: Option<String>,
}

#[derive(QueryableByName)]
struct AppliedMigration {
    #[diesel(sql_type = Text)]
    version: String,
}

/// The first step that was taken and that this version does not know, if a newer version has been there. Only reads.
///
/// # Errors
/// If the tables that say so can't be read.
pub fn newer_step(connection: &mut Connection) -> Result<Option<NewerStep>, AnyError> {
    let applied: Vec<AppliedMigration> =
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations ORDER BY version")
            .load(connection)?;
    let known: Vec<Box<dyn Migration<Backend>>> = MIGRATIONS.migrations()?;
    let known: BTreeSet<String> =
        known.iter().map(|migration| migration.name().version().to_string()).collect();
    let Some(unknown) = applied.into_iter().find(|migration| !known.contains(&migration.version)) else {
        return Ok(None);
    };
    let written_by = journal_info::table.find(WRITTEN_BY).select(journal_info::value);
    Ok(Some(NewerStep { step: unknown.version, written_by: written_by.first(connection).optional()? }))
}

/// Whether all steps have been taken. Only reads.
///
/// # Errors
/// If the tables that say so can't be read.
pub fn is_current(connection: &mut Connection) -> Result<bool, AnyError> {
    let tables = diesel::sql_query("SELECT version FROM __diesel_schema_migrations ORDER BY version")
        .load::<AppliedMigration>(connection);
    let applied: BTreeSet<String> = tables?.into_iter().map(|migration| migration.version).collect();
    let known: Vec<Box<dyn Migration<Backend>>> = MIGRATIONS.migrations()?;
    Ok(known.iter().all(|migration| applied.contains(&migration.name().version().to_string())))
}

/// Takes all missing steps, all or none, so that a crash leaves the old version's tables.
///
/// # Errors
/// If the database fails; nothing has changed then.
pub fn upgrade(connection: &mut Connection) -> Result<(), AnyError> {
    write_transaction(connection, |connection| {
        if connection.run_pending_migrations(MIGRATIONS)?.is_empty() {
            return Ok(());
        }
        diesel::insert_into(journal_info::table)
            .values((journal_info::name.eq(WRITTEN_BY), journal_info::value.eq(THIS_VERSION)))
            .on_conflict(journal_info::name)
            .do_update()
            .set(journal_info::value.eq(THIS_VERSION))
            .execute(connection)?;
        Ok(())
    })
}
