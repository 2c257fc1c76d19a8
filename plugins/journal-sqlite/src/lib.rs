//! The journal of durable decisions in an embedded SQLite database.
