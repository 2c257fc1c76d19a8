//! Submits one report an epoch with host metrics, port observations and proof results.
