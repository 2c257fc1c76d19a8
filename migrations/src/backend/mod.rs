//! What is done with a journal's connection, whichever database it leads to.
//!
//! This folder is compiled once for each database, inside the module that defines `Connection`, `MIGRATIONS` and
//! `write_transaction`; nothing in it names a database.

use super::{Connection, MIGRATIONS, write_transaction};

mod history;
mod journal;
mod queries;
mod upgrade;

pub use journal::{DieselJournal, Session};
pub use upgrade::{NewerStep, THIS_VERSION, is_current, newer_step, upgrade};
