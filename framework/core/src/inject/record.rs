//! Calls that are written down.
//!
//! Each answered call is one line, handed to the system when it is answered: a crash of the process loses none of
//! them, and at most the last line is cut off. Nothing of the configuration, the identity or the environment is
//! written, only what crosses the seam; the file is for its owner alone.
#![expect(clippy::disallowed_methods, reason = "the recordings of a node are core's own files")]

use super::Injection;
use crate::node::CORE;
use crate::telemetry::NodeTelemetry;
use lampkeeper_api::guard::{
    ArgumentsText, Call, Method, RECORDING_LEN_BYTES_MAX, RECORDING_VERSION, RecordedCall, RecordingHeader,
};
use lampkeeper_api::telemetry::{Level, Telemetry as _};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most calls that wait for their answers; of more, the oldest are not recorded.
const CALLS_WAITING_MAX: usize = 4096;

/// Writes the calls of one injection.
pub(super) struct Recorder {
    telemetry: NodeTelemetry,
    state: Mutex<State>,
}

struct State {
    /// `None` once the recording has ended.
    file: Option<File>,
    len_bytes: u64,
    calls: u64,
    waiting: BTreeMap<u64, ArgumentsText>,
}

impl Recorder {
    /// Opens a file and writes the header of this run behind what it holds.
    pub(super) fn open(path: &Path, injection: &Injection, telemetry: NodeTelemetry) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("recording to {}: {error}", path.display());
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        let header = RecordingHeader {
            lampkeeper_recording: RECORDING_VERSION,
            seam: injection.seam.name().to_owned(),
            plugin: injection.plugin_id.clone(),
        };
        let len_bytes = file.metadata().map_err(failed)?.len();
        if len_bytes > 0 {
            drop_cut_line(path, &file).map_err(failed)?;
        }
        file.write_all(header.line().as_bytes()).map_err(failed)?;
        let state = State { file: Some(file), len_bytes, calls: 0, waiting: BTreeMap::new() };
        Ok(Self { telemetry, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call; the token for its answer.
    pub(super) fn begin(&self, call: &Call<'_>) -> u64 {
        let arguments = ArgumentsText::of(call.arguments);
        let mut state = self.lock();
        state.calls += 1;
        let token = state.calls;
        state.waiting.insert(token, arguments);
        if state.waiting.len() > CALLS_WAITING_MAX {
            state.waiting.pop_first();
        }
        token
    }

    /// Writes a call with its answer.
    pub(super) fn end(&self, token: u64, method: &Method, answer: Option<&str>) {
        let at = self.telemetry.scheduler().map(|scheduler| scheduler.now()).unwrap_or_default();
        let at_ms = u64::try_from(at.since_start().as_millis()).unwrap_or(u64::MAX);
        let Some(arguments) = self.lock().waiting.remove(&token) else { return };
        let line = RecordedCall::new(method, arguments, at_ms, answer).line();
        if let Err(reason) = self.write(&line) {
            let message = format!("a recording has ended: {reason}");
            self.telemetry.of_plugin(CORE).log(Level::Error, &message, &[]);
        }
    }

    fn write(&self, line: &str) -> Result<(), String> {
        let mut state = self.lock();
        let len_bytes = state.len_bytes.saturating_add(line.len() as u64);
        let Some(file) = state.file.as_mut() else { return Ok(()) };
        let written = if len_bytes > RECORDING_LEN_BYTES_MAX {
            Err(format!("it has reached its {RECORDING_LEN_BYTES_MAX} bytes"))
        } else {
            file.write_all(line.as_bytes()).map_err(|error| error.to_string())
        };
        match written {
            Ok(()) => state.len_bytes = len_bytes,
            Err(_) => state.file = None,
        }
        written
    }
}

/// Drops a last line that a crash left without its end: it would swallow the header.
fn drop_cut_line(path: &Path, file: &File) -> std::io::Result<()> {
    if file.metadata()?.len() > RECORDING_LEN_BYTES_MAX {
        return Err(std::io::Error::other("it is larger than a recording may be; name another file"));
    }
    let bytes = std::fs::read(path)?;
    match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(end) if end + 1 == bytes.len() => Ok(()),
        Some(end) => file.set_len(end as u64 + 1),
        None => file.set_len(0),
    }
}
