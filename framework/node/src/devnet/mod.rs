//! A whole network in one process: it stores a file, damages it, and shows how it is found and healed.
//!
//! Owns the process of a devnet: its parts, its signals, its control socket, its end. The network is the cluster's, the
//! course of events the director's, the words the story's, the terminal the display's.

mod cluster;
pub mod damage;
mod director;
mod display;
mod genesis;
mod options;
mod story;
mod watch;

use crate::cli::{DevnetArgs, exit};
use crate::commands::run::until_stopped;
use crate::control::{self, Answer, Handler, Progress, Request, Server};
use crate::history;
use crate::operations;
use crate::output::{Failure, Outcome};
use cluster::{Cluster, Member};
use display::Display;
use lampkeeper_api::scheduler::Scheduler;
use lampkeeper_core::manifest::{LogFormat, LogSection};
use lampkeeper_core::telemetry::logging;
use options::{Plan, check_file, file_to_store};
use serde_json::json;
use std::sync::Arc;
use story::Story;
use tokio::sync::watch as signal;

/// Runs a devnet from the first block to the last line.
pub async fn run(args: &DevnetArgs) -> Outcome {
    let plan = Plan::new(args)?;
    if let Some(filter) = &args.log {
        let section = LogSection { filter: filter.clone(), format: LogFormat::Text };
        logging::install(&section).map_err(Failure::invalid)?;
    }
    if control::ask(&plan.data_dir, &Request::Status, |_| {}).await.is_ok() {
        let dir = plan.data_dir.display();
        return Err(Failure::invalid(format!(
            "a devnet runs in {dir}: stop it first with `lampkeeper stop`"
        )));
    }
    check_file(args, &plan)?;
    cluster::prepare_data_dir(&plan.data_dir)?;
    let file = file_to_store(args, &plan.data_dir)?;
    let plan = plan.with_default_damage(&file)?;
    let scheduler = scheduler()?;
    let cluster = Arc::new(Cluster::start(&plan, Arc::clone(&scheduler)).await?);
    let (stop, stopping) = signal::channel(false);
    let handler = DevnetControl { cluster: Arc::clone(&cluster), stop };
    let outcome = match Server::open(&plan.data_dir, Arc::new(handler)).await {
        Ok(control) => {
            let outcome = show(args, &plan, &file, &cluster, scheduler, stopping).await;
            drop(control);
            outcome
        }
        Err(error) => Err(Failure::invalid(error)),
    };
    cluster.stop().await;
    outcome
}

/// Shows everything that happens until the director has come to the end, or somebody stops it.
async fn show(
    args: &DevnetArgs,
    plan: &Plan,
    file: &std::path::Path,
    cluster: &Arc<Cluster>,
    scheduler: Arc<dyn Scheduler>,
    stopping: signal::Receiver<bool>,
) -> Outcome {
    let names = cluster.members.iter().map(|member| (member.account.clone(), member.name.clone()));
    let mut display = Display::new(Story::new(names), args.json);
    let mut watch = watch::Watch::start(Arc::clone(cluster), plan.epoch_ms, Arc::clone(&scheduler));
    let director =
        director::Director::new(plan.clone(), file.to_owned(), Arc::clone(cluster), scheduler, &watch);
    let mut directing = Box::pin(director.direct());
    let mut interrupted = Box::pin(until_stopped(stopping.clone()));
    let ended = loop {
        tokio::select! {
            biased;
            Some(happening) = watch.next() => {
                display.show(&happening);
                display.progress(&watch.progress());
            }
            outcome = &mut directing => break Some(outcome),
            by_signal = &mut interrupted => break by_signal.then_some(Err(interruption())).or(None),
        }
    };
    // What was told before the end still belongs to the story.
    while let Some(happening) = watch.try_next() {
        display.show(&happening);
    }
    let outcome = match ended {
        Some(Ok(())) if plan.keep => keep_running(&mut display, &mut watch, plan, stopping).await,
        Some(outcome) => outcome,
        None => Ok(()),
    };
    display.finish();
    display.say("left", format!("the network's data in {}", plan.data_dir.display()));
    outcome
}

async fn keep_running(
    display: &mut Display,
    watch: &mut watch::Watch,
    plan: &Plan,
    stopping: signal::Receiver<bool>,
) -> Outcome {
    let dir = plan.data_dir.display();
    display.say(
        "running",
        format!("ask it with `lampkeeper status --data-dir {dir}`; stop it with Ctrl-C or `stop`"),
    );
    let mut stopped = Box::pin(until_stopped(stopping));
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => return Ok(()),
            Some(happening) = watch.next() => {
                display.show(&happening);
                display.progress(&watch.progress());
            }
        }
    }
}

fn interruption() -> Failure {
    Failure { message: "interrupted before the file was healed".to_owned(), code: exit::INTERRUPTED }
}

/// The scheduler of commands that run in this process.
pub fn scheduler() -> Result<Arc<dyn Scheduler>, Failure> {
    let handle = tokio::runtime::Handle::current();
    let scheduler = lampkeeper_scheduler_tokio::TokioScheduler::new(handle).map_err(Failure::failed)?;
    Ok(Arc::new(scheduler))
}

struct DevnetControl {
    cluster: Arc<Cluster>,
    stop: signal::Sender<bool>,
}

impl Handler for DevnetControl {
    fn handle(&self, request: Request, progress: Progress) -> Answer {
        let cluster = Arc::clone(&self.cluster);
        let stop = self.stop.clone();
        Box::pin(async move {
            let gateway = || cluster.gateway().map_err(|failure| failure.message);
            match request {
                Request::Status => {
                    let nodes: Vec<_> = cluster.members.iter().filter_map(Member::node).collect();
                    operations::status(&nodes).await
                }
                Request::Tickets => operations::tickets(gateway()?.as_ref()).await,
                Request::Store { path } => operations::store(gateway()?.as_ref(), &path, &progress).await,
                Request::Fetch { ticket_id, output } => {
                    operations::fetch(gateway()?.as_ref(), &ticket_id, &output, &progress).await
                }
                Request::Heals { heal_op_id } => {
                    let nodes: Vec<_> = cluster.members.iter().filter_map(Member::node).collect();
                    crate::commands::heals::answer(&nodes, heal_op_id).await
                }
                Request::Scrub { pause } => {
                    let nodes: Vec<_> = cluster.members.iter().filter_map(Member::node).collect();
                    operations::scrub(&nodes, pause).await
                }
                Request::History { node: name, query } => {
                    let nodes: Vec<_> = cluster.members.iter().filter_map(Member::node).collect();
                    let journals = history::journals_of(&nodes, name.as_deref())?;
                    history::answer(&journals, &query).await
                }
                Request::Stop => {
                    let _ = stop.send(true);
                    Ok(json!({ "stopped": "the devnet is stopping" }))
                }
            }
        })
    }
}
