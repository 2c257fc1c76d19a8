//! Heals by encoding the whole file again, for comparison.
