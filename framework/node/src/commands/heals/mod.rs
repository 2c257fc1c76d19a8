//! `heals list` and `heals show`: what this node has staged and claimed, and what will become of it.
//!
//! Owns asking a running node over its control socket, and looking at the disk of a stopped one. The explanation is the
//! healing service's own (`self_healing::explain`), made from the tables that it acts by.

mod look;
mod print;
mod stopped;

pub use look::answer;

use crate::cli::{HealsArgs, HealsCommand, exit};
use crate::control::{ControlError, Request, ask};
use crate::output::{self, Failure, Outcome};
use look::NodeHeals;

/// Carries a command out.
pub async fn heals(command: &HealsCommand) -> Outcome {
    let (args, heal_op_id) = command.parts();
    let nodes = match &args.manifest {
        Some(manifest) => vec![stopped::look(manifest, heal_op_id).await?],
        None => running(args, heal_op_id).await?,
    };
    let found = nodes.iter().map(|node| node.heals.len()).sum::<usize>();
    if let (Some(heal_op_id), 0) = (heal_op_id, found) {
        let hint = "`lampkeeper heals list` shows those there are";
        return Err(Failure::failed(format!(
            "nothing is staged or claimed for heal operation {heal_op_id}; {hint}"
        )));
    }
    if args.control.json {
        output::json(&serde_json::to_value(&nodes).map_err(Failure::failed)?);
        return Ok(());
    }
    let lines = match heal_op_id {
        Some(_) => print::show(&nodes),
        None => print::list(&nodes),
    };
    lines.iter().for_each(output::line);
    Ok(())
}

async fn running(args: &HealsArgs, heal_op_id: Option<u64>) -> Result<Vec<NodeHeals>, Failure> {
    let request = Request::Heals { heal_op_id };
    let answer =
        ask(&args.control.data_dir, &request, output::remark).await.map_err(|error| match error {
            ControlError::NotRunning(_) => Failure {
                message: format!("{error}; or look at a stopped node with --manifest"),
                code: exit::NOT_RUNNING,
            },
            _ => Failure::failed(error),
        })?;
    serde_json::from_value(answer).map_err(|error| Failure::failed(format!("reading the answer: {error}")))
}
