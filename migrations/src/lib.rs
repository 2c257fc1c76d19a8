//! The journal's tables, the steps that upgrade them, and the statements on them.
//!
//! Owns what a journal in SQLite and one in PostgreSQL have in common, which is nearly everything: the tables as diesel
//! sees them, the rows, the queries, and the seam on top. The plugins `journal-sqlite` and `journal-postgres` own what
//! is particular to their database: finding it, opening it, refusing what is not theirs, and not losing it. The steps
//! themselves are SQL in the folders `sqlite/` and `postgres/`.
//!
//! Diesel checks a statement against one connection type. To be generic over it, each statement would have to list
//! diesel's traits for each of its parts, and diesel's own connection to either database knows no upserts. So the files
//! in `src/backend` are compiled once for each database that is enabled: as the modules `sqlite` and `postgres`.
#![forbid(unsafe_code)]
// Both are the folder `backend`; only a build with both features sees it twice.
#![allow(clippy::duplicate_mod, reason = "compiled once for each database, as said above")]

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod error;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod rows;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod schema;
#[cfg(feature = "sqlite")]
pub mod sqlite;
