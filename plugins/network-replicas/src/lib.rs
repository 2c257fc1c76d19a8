//! Publishes artifacts to, and fetches them from, the replica set of their key.
