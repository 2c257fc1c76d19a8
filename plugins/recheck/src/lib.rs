//! Repeats disputed challenges of other nodes and submits the evidence.
