//! Authenticated calls between the nodes of one process.
