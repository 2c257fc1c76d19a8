//! The journal's statements on SQLite, which is compiled with the node.

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
// Nothing calls it; it is linked so that diesel uses the SQLite that comes with it.
use libsqlite3_sys as _;

#[path = "backend/mod.rs"]
mod backend;

pub use backend::{DieselJournal, NewerStep, Session, THIS_VERSION, is_current, newer_step, upgrade};

/// The connection that all statements use.
pub type Connection = diesel::SqliteConnection;

/// The steps from an empty file to the tables of this version.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("sqlite");

/// Runs statements of which some write, all or none.
///
/// It takes the write lock at once: a transaction that only wants to write after it has read fails without waiting when
/// another process has written in between.
fn write_transaction<T, E: From<diesel::result::Error>>(
    connection: &mut Connection,
    statements: impl FnOnce(&mut Connection) -> Result<T, E>,
) -> Result<T, E> {
    connection.immediate_transaction(statements)
}
