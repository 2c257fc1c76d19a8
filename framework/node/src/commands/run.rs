//! `run`: one node, until it is asked to stop.
//!
//! Owns the process around a node: its identity, its logs, its control socket, its signals. The node is core's.

use super::check::load;
use super::{passphrase, standing};
use crate::cli::{RunArgs, StarterArgs, exit};
use crate::control::{Answer, Handler, Progress, Request, Server};
use crate::history;
use crate::host_runtime::HostRuntime;
use crate::metrics_endpoint::MetricsEndpoint;
use crate::operations;
use crate::output::{self, Failure, Outcome};
use crate::plugins::advisory;
use lampkeeper_core::node::{NodeHost, StartErrorKind};
use lampkeeper_core::telemetry::logging;
use lampkeeper_core::telemetry::{Delivery, EventListener};
use lampkeeper_core::{Manifest, Node, StartError, TelemetryHub};
use serde_json::json;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Runs the node of a manifest.
pub async fn run(args: &RunArgs) -> Outcome {
    let (manifest, registry) = load(&args.manifest.manifest)?;
    logging::install(&manifest.log).map_err(Failure::invalid)?;
    let signer = passphrase::open(&manifest.identity).map_err(Failure::invalid)?;
    private_dir(&manifest.node.data_dir)?;
    let telemetry = TelemetryHub::new();
    let events = args.starter.events.then(|| telemetry.events.listen());
    let mut host = NodeHost::new(Arc::new(signer), telemetry);
    host.advisory = Some(advisory());
    host.runtime = Some(Arc::new(HostRuntime::current()));
    let node = Arc::new(Node::start(&manifest, &registry, host).await.map_err(start_failure)?);
    let printing =
        events.map(|events| node.scheduler().spawn("print events", Box::pin(print_events(events))));
    let outcome = run_until_stopped(&node, &manifest, args.starter).await;
    let report = node.drain().await;
    if let Some(printing) = printing {
        printing.abort();
    }
    let interrupted = outcome?;
    if !report.is_clean() {
        return Err(Failure::failed(format!("the node did not stop cleanly: {report:?}")));
    }
    if interrupted {
        output::remark("stopped");
    }
    Ok(())
}

/// Serves the control socket while the node runs; whether a signal ended that.
async fn run_until_stopped(
    node: &Arc<Node>,
    manifest: &Manifest,
    starter: StarterArgs,
) -> Result<bool, Failure> {
    let (stop, stopping) = watch::channel(false);
    let handler = NodeControl { node: Arc::clone(node), stop };
    let control = Server::open(&manifest.node.data_dir, Arc::new(handler)).await.map_err(Failure::invalid)?;
    let metrics = open_metrics(node, manifest).await?;
    let stopped = async {
        tokio::select! {
            by_signal = until_stopped(stopping) => by_signal,
            () = stdin_ends(starter) => true,
        }
    };
    let checked = async {
        standing::check(node, manifest).await?;
        // Nothing else ends the node.
        std::future::pending::<Outcome>().await
    };
    let ended = tokio::select! {
        by_signal = stopped => Ok(by_signal),
        failed = checked => failed.map(|()| false),
    };
    drop((control, metrics));
    ended
}

async fn open_metrics(node: &Arc<Node>, manifest: &Manifest) -> Result<Option<MetricsEndpoint>, Failure> {
    let Some(listen) = manifest.metrics.listen else { return Ok(None) };
    let endpoint = MetricsEndpoint::open(listen, Arc::clone(node)).await.map_err(Failure::failed)?;
    tracing::info!(address = %endpoint.address(), "metrics are served over HTTP");
    Ok(Some(endpoint))
}

async fn print_events(mut events: EventListener) {
    while let Some(delivery) = events.next().await {
        if let Delivery::Event(record) = delivery {
            output::event(&record.to_json());
        }
    }
}

/// Waits until standard input ends, if it is to be waited for.
#[expect(clippy::disallowed_methods, reason = "standard input blocks, and belongs to the process")]
pub async fn stdin_ends(starter: StarterArgs) {
    if !starter.until_stdin_ends {
        return std::future::pending().await;
    }
    let reading = tokio::task::spawn_blocking(|| {
        // What is said there does not matter, and an error is an end, too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    });
    let _ = reading.await;
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
                request => operations::answer(&node, request, &progress).await,
            }
        })
    }
}
