//! Time, timers, randomness and spawned work on the tokio runtime.
