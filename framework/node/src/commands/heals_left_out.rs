//! `heals` in a build without the healing service.

use crate::cli::HealsCommand;
use crate::output::{Failure, Outcome};
use lampkeeper_core::Node;
use serde_json::Value;
use std::sync::Arc;

const LEFT_OUT: &str = "self-healing was left out of this build; build with --features self-healing";

/// Says what is missing.
pub async fn heals(_: &HealsCommand) -> Outcome {
    Err(Failure::failed(LEFT_OUT))
}

/// As [`heals`], over the control socket.
pub async fn answer(_: &[Arc<Node>], _: Option<u64>) -> Result<Value, String> {
    Err(LEFT_OUT.to_owned())
}
