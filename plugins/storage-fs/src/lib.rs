//! Verified, atomic, crash-safe artifact store and heal staging on a file system.
