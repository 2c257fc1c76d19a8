//! Heals what is missing and nothing else.
