//! One process of a devnet: started, listened to, started again when it died, ended with the devnet.
//!
//! Owns the process. A child ends when its standard input does, so that none is left behind, however this process ends.

use super::super::happenings::Happenings;
use crate::output::Failure;
use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::scheduler::{Scheduler, TaskHandle, sleep_unless_cancelled, within};
use lampkeeper_plugin_sdk::futures::future::{Either, join, select};
use std::ffi::OsString;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child as Process, Command};

/// The pause before a dead process is started again; it doubles with each death in a row.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A life as long as this makes earlier deaths forgotten.
const CALM: Duration = Duration::from_secs(10);
/// How long a process that was asked to end may take.
const END_WITHIN: Duration = Duration::from_secs(20);

/// What is started.
pub struct Program {
    /// Its name in the story.
    pub name: String,
    /// The arguments of this same binary.
    pub arguments: Vec<OsString>,
    /// The file that its standard error goes to.
    pub log: PathBuf,
}

/// Hears each line that a process prints.
pub type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// A process that is looked after until [`Self::stop`].
pub struct Child {
    stop: Cancel,
    task: Arc<dyn TaskHandle>,
    deaths: Arc<AtomicU64>,
}

impl Child {
    /// Starts a process and looks after it.
    pub fn start(
        program: Program,
        listener: Listener,
        scheduler: &Arc<dyn Scheduler>,
        happenings: &Arc<Happenings>,
    ) -> Self {
        let stop = Cancel::new();
        let deaths = Arc::new(AtomicU64::new(0));
        let keeper = Keeper {
            program,
            listener,
            scheduler: Arc::clone(scheduler),
            happenings: Arc::clone(happenings),
            stop: stop.clone(),
            deaths: Arc::clone(&deaths),
        };
        let task = scheduler.spawn("look after a process", Box::pin(keeper.look_after()));
        Self { stop, task, deaths }
    }

    /// How often it died.
    #[must_use]
    pub fn deaths(&self) -> u64 {
        self.deaths.load(Ordering::Acquire)
    }

    /// Whether it is meant to run.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.stop.is_cancelled()
    }

    /// Ends it, by force if it takes too long.
    pub async fn stop(&self) {
        self.stop.cancel();
        let _ = self.task.join().await;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Looks after one process.
struct Keeper {
    program: Program,
    listener: Listener,
    scheduler: Arc<dyn Scheduler>,
    happenings: Arc<Happenings>,
    stop: Cancel,
    deaths: Arc<AtomicU64>,
}

impl Keeper {
    async fn look_after(self) {
        let mut pause = PAUSE_MIN;
        let name = &self.program.name;
        while !self.stop.is_cancelled() {
            let begun = self.scheduler.now();
            let ended = match self.program.spawn() {
                Ok(process) => self.attend(process).await,
                Err(failure) => Some(failure.message),
            };
            let Some(ended) = ended else { return };
            self.deaths.fetch_add(1, Ordering::AcqRel);
            if self.scheduler.now().since(begun) >= CALM {
                pause = PAUSE_MIN;
            }
            let log = self.program.log.display();
            self.happenings.say(
                "process",
                format!(
                    "{name} ended ({ended}) and is started again in {} ms; its log is {log}",
                    pause.as_millis()
                ),
            );
            sleep_unless_cancelled(&*self.scheduler, pause, &self.stop).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Listens until the process ends; how it did, or `None` if it was asked to.
    async fn attend(&self, mut process: Process) -> Option<String> {
        let number = process.id().unwrap_or_default();
        self.happenings.say("process", format!("{} is process {number}", self.program.name));
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let listening = async {
            let Some(output) = output else { return };
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                (self.listener)(&line);
            }
        };
        let ending = async {
            match select(pin!(process.wait()), self.stop.cancelled()).await {
                Either::Left((Ok(status), _)) => return Some(status.to_string()),
                Either::Left((Err(error), _)) => return Some(error.to_string()),
                Either::Right(_) => {}
            }
            drop(input);
            if within(&*self.scheduler, END_WITHIN, process.wait()).await.is_none() {
                let _ = process.kill().await;
            }
            None
        };
        join(ending, listening).await.0
    }
}

/// The running program itself, where there is a name for it: its file may have been replaced since, by a build.
fn this_program() -> std::io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}

impl Program {
    fn spawn(&self) -> Result<Process, Failure> {
        let failed = |what: &str, error: std::io::Error| Failure::failed(format!("{what}: {error}"));
        let binary = this_program().map_err(|error| failed("finding this program", error))?;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(|error| failed(&self.log.display().to_string(), error))?;
        let mut command = Command::new(binary);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        // In a group of its own, so that Ctrl-C reaches this process alone, which ends the others in order.
        command.process_group(0).kill_on_drop(true);
        command.spawn().map_err(|error| failed(&format!("starting {}", self.name), error))
    }
}
