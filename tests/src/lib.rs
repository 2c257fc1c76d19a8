//! Whole-node tests: the rules of the house, vectors, networks, crashes.
