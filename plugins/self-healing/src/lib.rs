//! Runs heal operations: reconstruct and stage, verify, publish.
