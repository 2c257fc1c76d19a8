//! `run`: one node, until it is asked to stop.
//!
//! Owns the process around a node: its identity, its logs, its control socket, its signals. The node is core's.

use super::check::load;
use super::passphrase;
use crate::cli::exit;
use crate::control::{Answer, Handler, Progress, Request, Server};
use crate::history;
use crate::host_runtime::HostRuntime;
use crate::operations;
use crate::output::{self, Failure, Outcome};
use crate::plugins::advisory;
use lampkeeper_core::node::{NodeHost, StartErrorKind};
use lampkeeper_core::telemetry::logging;
use lampkeeper_core::{Node, StartError, TelemetryHub};
use serde_json::json;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Runs the node of a manifest.
pub async fn run(path: &Path) -> Outcome {
    let (manifest, registry) = load(path)?;
    logging::install(&manifest.log).map_err(Failure::invalid)?;
    let signer = passphrase::open(&manifest.identity).map_err(Failure::invalid)?;
    private_dir(&manifest.node.data_dir)?;
    let mut host = NodeHost::new(Arc::new(signer), TelemetryHub::new());
    host.advisory = Some(advisory());
    host.runtime = Some(Arc::new(HostRuntime::current()));
    let node = Arc::new(Node::start(&manifest, &registry, host).await.map_err(start_failure)?);
    let (stop, stopping) = watch::channel(false);
    let handler = NodeControl { node: Arc::clone(&node), stop };
    let control = Server::open(&manifest.node.data_dir, Arc::new(handler)).await;
    let control = match control {
        Ok(control) => control,
        Err(error) => {
            node.drain().await;
            return Err(Failure::invalid(error));
        }
    };
    let interrupted = until_stopped(stopping).await;
    drop(control);
    let report = node.drain().await;
    if !report.is_clean() {
        return Err(Failure::failed(format!("the node did not stop cleanly: {report:?}")));
    }
    if interrupted {
        output::remark("stopped");
    }
    Ok(())
}

/// Makes a data directory that is not there yet, for its owner alone.
fn private_dir(dir: &Path) -> Outcome {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| Failure::invalid(format!("making the data directory {}: {error}", dir.display())))
}

/// The exit code follows the kind of trouble.
pub fn start_failure(error: StartError) -> Failure {
    let code = match error.kind() {
        StartErrorKind::Configuration => exit::INVALID_INPUT,
        _ => exit::FAILED,
    };
    Failure { message: error.to_string(), code }
}

/// Waits for a signal or for `stop`; whether it was a signal.
pub async fn until_stopped(mut stopping: watch::Receiver<bool>) -> bool {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(_) => return false,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => true,
        _ = terminate.recv() => true,
        _ = stopping.wait_for(|stop| *stop) => false,
    }
}

struct NodeControl {
    node: Arc<Node>,
    stop: watch::Sender<bool>,
}

impl Handler for NodeControl {
    fn handle(&self, request: Request, progress: Progress) -> Answer {
        let node = Arc::clone(&self.node);
        let stop = self.stop.clone();
        Box::pin(async move {
            match request {
                Request::Status => operations::status(&[node]).await,
                Request::Tickets => operations::tickets(&node).await,
                Request::Store { path } => operations::store(&node, &path, &progress).await,
                Request::Fetch { ticket_id, output } => {
                    operations::fetch(&node, &ticket_id, &output, &progress).await
                }
                Request::Heals { heal_op_id } => super::heals::answer(&[node], heal_op_id).await,
                Request::Scrub { pause } => operations::scrub(&[node], pause).await,
                Request::History { node: name, query } => {
                    let journals = history::journals_of(&[node], name.as_deref())?;
                    history::answer(&journals, &query).await
                }
                Request::Stop => {
                    let _ = stop.send(true);
                    Ok(json!({ "stopped": format!("{} is stopping", node.info().name) }))
                }
            }
        })
    }
}
