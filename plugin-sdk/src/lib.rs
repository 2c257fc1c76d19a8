//! What a plugin author depends on: re-exports, macros, test kit and conformance suites.
