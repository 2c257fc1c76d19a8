//! Challenges assigned peers for byte ranges of artifacts, and answers such challenges.
