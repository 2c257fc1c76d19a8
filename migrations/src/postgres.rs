//! The journal's statements on PostgreSQL, whose client library is compiled with the node.

use diesel::Connection as _;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
// Nothing calls it; it is linked so that diesel uses the libpq that comes with it.
use pq_sys as _;

#[path = "backend/mod.rs"]
mod backend;

pub use backend::{DieselJournal, NewerStep, Session, THIS_VERSION, is_current, newer_step, upgrade};

/// The connection that all statements use. Its `search_path` says in which schema the tables are.
pub type Connection = diesel::PgConnection;

/// The steps from an empty schema to the tables of this version.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("postgres");

/// Runs statements of which some write, all or none.
///
/// A journal has one writer, which holds a lock for as long as it is connected; so nothing changes between what a
/// transaction reads and what it writes, at the lowest level of isolation too.
fn write_transaction<T, E: From<diesel::result::Error>>(
    connection: &mut Connection,
    statements: impl FnOnce(&mut Connection) -> Result<T, E>,
) -> Result<T, E> {
    connection.transaction(statements)
}
