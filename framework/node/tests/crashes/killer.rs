//! The process under test: starting it, killing it with SIGKILL at a point, and what it tells.

use crate::diary::Diary;
use crate::node::READY;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;

/// How long a node may take to start, on a machine that is busy with other things.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Where a node is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// When it tells this event.
    Event(&'static str),
    /// It has submitted a claim, which the chain does not get.
    ClaimLost,
    /// The chain has executed its claim, and it is not told.
    ClaimExecuted,
    /// It has submitted a vote, which the chain does not get.
    VoteLost,
    /// The chain has executed its vote, and it is not told.
    VoteExecuted,
    /// It fetches artifacts to reconstruct from.
    Fetching,
    /// It sends artifacts to those who lack them, who do not get them.
    Publishing,
    /// They have them, and it is not told.
    Published,
    /// It streams its reconstruction to a verifier.
    Serving,
    /// It streams a healer's reconstruction.
    Verifying,
    /// At any time within so many milliseconds.
    Within(u64),
}

/// What the process told last: how often it was ready.
type Ready = watch::Sender<u64>;

struct State {
    child: Option<Child>,
    armed: Option<Point>,
}

/// Leaves no process behind, when a test fails either.
pub(crate) struct KillAtEnd(pub(crate) Killer);

impl Drop for KillAtEnd {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// The hand on the process. Clones share it.
#[derive(Clone)]
pub(crate) struct Killer {
    dir: PathBuf,
    pub(crate) diary: Diary,
    state: Arc<Mutex<State>>,
    ready: Ready,
}

impl Killer {
    pub(crate) fn new(dir: &Path, diary: &Diary) -> Self {
        let state = State { child: None, armed: None };
        Self {
            dir: dir.to_owned(),
            diary: diary.clone(),
            state: Arc::new(Mutex::new(state)),
            ready: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Starts the process and waits until its node runs.
    pub(crate) async fn start(&self) {
        let mut ready = self.ready.subscribe();
        let before = *ready.borrow();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["the_process_that_is_killed", "--exact", "--ignored", "--nocapture"])
            .env(crate::NODE_DIR, &self.dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        self.lock().child = Some(child);
        let listener = self.clone();
        std::thread::spawn(move || listener.listen(output));
        let started = tokio::time::timeout(START_WITHIN, ready.wait_for(|count| *count > before)).await;
        assert!(started.is_ok(), "the node did not start within {START_WITHIN:?}");
    }

    fn listen(&self, output: impl BufRead) {
        for line in output.lines().map_while(Result::ok) {
            // The test harness writes its own words before the first line.
            if line.ends_with(READY) {
                self.ready.send_modify(|count| *count += 1);
            }
            let armed = self.lock().armed;
            if let Some(point @ Point::Event(name)) = armed
                && serde_json::from_str::<Value>(&line).is_ok_and(|record| record["event"] == name)
            {
                self.reach(point);
            }
            self.diary.note(line);
        }
    }

    /// From now on the process is killed when it comes to this point.
    pub(crate) fn arm(&self, point: Point) {
        self.lock().armed = Some(point);
    }

    /// The process has come to a point; whether it was killed there.
    pub(crate) fn reach(&self, point: Point) -> bool {
        let is_here = {
            let mut state = self.lock();
            let is_here = state.armed == Some(point);
            if is_here {
                state.armed = None;
            }
            is_here
        };
        is_here && self.kill()
    }

    /// Kills the process, if it runs.
    pub(crate) fn kill(&self) -> bool {
        let mut state = self.lock();
        state.armed = None;
        let Some(mut child) = state.child.take() else { return false };
        child.kill().unwrap();
        child.wait().unwrap();
        self.diary.note("the node was killed".to_owned());
        true
    }

    /// Whether the process runs.
    pub(crate) fn is_running(&self) -> bool {
        self.lock().child.is_some()
    }
}
