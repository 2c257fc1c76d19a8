//! A whole network, in one process or in many: it stores a file, damages it, and shows how it is found and healed.
//!
//! Owns the process of a devnet: its parts, its signals, its control socket, its end. The network is the cluster's, the
//! course of events the director's, the words the story's, the terminal the display's.

mod cluster;
pub mod damage;
mod director;
mod disk;
mod display;
mod genesis;
mod happenings;
mod libraries;
mod network;
mod options;
pub mod processes;
mod story;
mod watch;

pub use watch::enriched;

use crate::cli::{DevnetArgs, exit};
use crate::commands::run::until_stopped;
use crate::control::{self, Answer, Handler, Progress, Request, Server};
use crate::output::{Failure, Outcome};
use cluster::Cluster;
use director::Director;
use display::Display;
use happenings::Happenings;
use lampkeeper_api::scheduler::Scheduler;
use lampkeeper_core::manifest::{LogFormat, LogSection};
use lampkeeper_core::telemetry::logging;
use network::Network;
use options::{Plan, check_file, file_to_store};
use processes::Processes;
use serde_json::json;
use std::pin::pin;
use std::sync::Arc;
use story::{Happening, Story};
use tokio::sync::{mpsc, watch as signal};
use watch::Watch;

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
    let (happenings, stream) = Happenings::new();
    let seeds = genesis::node_seeds(plan.nodes, plan.seed);
    let names = seeds.into_iter().map(|seed| (seed.account, seed.name));
    let display = Display::new(Story::new(names), args.json);
    let mut screen = Screen { display, stream, happenings: Arc::clone(&happenings) };
    let (network, _watch) = screen.during(start(args, &plan, &scheduler, &happenings)).await?;
    let (stop, stopping) = signal::channel(false);
    let handler = DevnetControl { network: Arc::clone(&network), stop };
    let outcome = match Server::open(&plan.data_dir, Arc::new(handler)).await {
        Ok(control) => {
            let director = Director::new(plan.clone(), file, Arc::clone(&network), scheduler, happenings);
            let outcome = screen.show(director, &plan, stopping, &network.afterword()).await;
            drop(control);
            outcome
        }
        Err(error) => Err(Failure::invalid(error)),
    };
    network.stop().await;
    outcome
}

/// Starts the chain and the nodes.
async fn start(
    args: &DevnetArgs,
    plan: &Plan,
    scheduler: &Arc<dyn Scheduler>,
    happenings: &Arc<Happenings>,
) -> Result<(Arc<dyn Network>, Option<Watch>), Failure> {
    if args.processes {
        let processes = Processes::start(plan, scheduler, happenings).await?;
        return Ok((Arc::new(processes), None));
    }
    let cluster = Arc::new(Cluster::start(plan, Arc::clone(scheduler)).await?);
    let watch = Watch::start(Arc::clone(&cluster), plan.epoch_ms, scheduler, happenings);
    Ok((cluster, Some(watch)))
}

/// What is shown, and what there is to show.
struct Screen {
    display: Display,
    stream: mpsc::UnboundedReceiver<Happening>,
    happenings: Arc<Happenings>,
}

impl Screen {
    /// Shows everything that happens until some work is done, and what was told before its end.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let done = loop {
            tokio::select! {
                biased;
                Some(happening) = self.stream.recv() => {
                    self.display.show(&happening);
                    self.display.progress(&self.happenings.progress());
                }
                done = &mut work => break done,
            }
        };
        while let Ok(happening) = self.stream.try_recv() {
            self.display.show(&happening);
        }
        done
    }

    /// Shows everything that happens until the director has come to the end, or somebody stops it.
    async fn show(
        &mut self,
        director: Director,
        plan: &Plan,
        stopping: signal::Receiver<bool>,
        afterword: &[String],
    ) -> Outcome {
        let by_signal = until_stopped(stopping.clone());
        let directing = async {
            tokio::select! {
                biased;
                by_signal = by_signal => by_signal.then_some(Err(interruption())),
                outcome = director.direct() => Some(outcome),
            }
        };
        let outcome = match self.during(directing).await {
            Some(Ok(())) if plan.keep => {
                let dir = plan.data_dir.display();
                let ask = format!("ask it with `lampkeeper status --data-dir {dir}`");
                self.display.say("running", format!("{ask}; stop it with Ctrl-C or `stop`"));
                self.during(until_stopped(stopping)).await;
                Ok(())
            }
            Some(outcome) => outcome,
            None => Ok(()),
        };
        self.display.finish();
        self.display.say("left", format!("the network's data in {}", plan.data_dir.display()));
        for words in afterword {
            self.display.say("left", words);
        }
        outcome
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
    network: Arc<dyn Network>,
    stop: signal::Sender<bool>,
}

impl Handler for DevnetControl {
    fn handle(&self, request: Request, progress: Progress) -> Answer {
        let network = Arc::clone(&self.network);
        let stop = self.stop.clone();
        Box::pin(async move {
            if request == Request::Stop {
                let _ = stop.send(true);
                return Ok(json!({ "stopped": "the devnet is stopping" }));
            }
            network.answer(request, &progress).await
        })
    }
}
