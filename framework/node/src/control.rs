//! The control socket: how `status`, `metrics`, `store`, `fetch`, `tickets` and `stop` reach a running node.
//!
//! Owns the socket in the data directory, the requests and the replies: one JSON object a line, a request answered by
//! any number of progress lines and one last line. Only the owner of the data directory may connect: the directory is
//! private, the socket is private, and the peer's user is compared. What a request does is the handler's part.
#![expect(
    clippy::disallowed_methods,
    reason = "this module owns the control socket, and the host runs on tokio"
)]

use crate::history::Query;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// Name of the socket in a data directory.
pub const SOCKET_NAME: &str = "control.sock";
/// The longest request line.
const REQUEST_LEN_BYTES_MAX: u64 = 16 * 1024;
/// The longest reply line.
const REPLY_LEN_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Connections that are served at once; further ones are closed.
const CONNECTIONS_MAX: usize = 16;
/// Progress lines that may wait for a slow reader; further ones are dropped.
const PROGRESS_QUEUE_MAX: usize = 64;
/// The longest path that a Unix socket address can hold.
const SOCKET_PATH_LEN_BYTES_MAX: usize = 107;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How is it going?
    Status,
    /// What was counted?
    Metrics,
    /// What tickets are there?
    Tickets,
    /// Store a file.
    Store {
        /// Absolute path, read by the node's process.
        path: PathBuf,
    },
    /// Fetch a ticket's file.
    Fetch {
        /// The ticket.
        ticket_id: String,
        /// Absolute path of a file that does not exist, or of a directory; written by the node's process.
        output: PathBuf,
    },
    /// Which artifacts does a ticket have?
    Artifacts {
        /// The ticket.
        ticket_id: String,
    },
    /// Which of a ticket's artifacts are missing where they should be?
    Survey {
        /// The ticket.
        ticket_id: String,
    },
    /// What is staged or claimed?
    Heals {
        /// The operation; all of them if absent.
        heal_op_id: Option<u64>,
    },
    /// How far the scrub is, after it was paused or resumed if that was asked.
    Scrub {
        /// Whether to stand still; as it is if absent.
        pause: Option<bool>,
    },
    /// What is remembered of challenges?
    History {
        /// Of this node of a devnet alone.
        node: Option<String>,
        /// The question.
        query: Query,
    },
    /// Stop.
    Stop,
}

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// Work goes on.
    Progress {
        /// For people.
        text: String,
    },
    /// Done; the last line.
    Done {
        /// The answer.
        value: serde_json::Value,
    },
    /// Failed; the last line.
    Failed {
        /// What was attempted, why it failed, and what to do.
        message: String,
    },
}

/// Tells a client how far its request has come.
#[derive(Debug, Clone)]
pub struct Progress(Option<mpsc::Sender<String>>);

impl Progress {
    /// For work that nobody asked for over the socket.
    #[must_use]
    pub const fn silent() -> Self {
        Self(None)
    }

    /// Sends a line, unless the client is too slow to care.
    pub fn say(&self, text: impl Into<String>) {
        if let Some(sender) = &self.0 {
            let _ = sender.try_send(text.into());
        }
    }
}

/// The answer to a request, or why there is none.
pub type Answer = Pin<Box<dyn Future<Output = Result<serde_json::Value, String>> + Send>>;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Starts to work on a request; dropping the future gives it up.
    fn handle(&self, request: Request, progress: Progress) -> Answer;
}

/// A control socket that could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The path does not fit into a socket address.
    #[error("{0} is too long for a socket: choose a data directory with a path of at most {1} bytes")]
    PathTooLong(PathBuf, usize),
    /// The directory is open to others.
    #[error("{path} can be entered by other users (mode {mode:03o}): run `chmod 700 {path}`")]
    DirectoryNotPrivate {
        /// The directory.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process answers there.
    #[error(
        "{0} is in use: another node or devnet runs with this data directory; stop it first, or choose another"
    )]
    InUse(PathBuf),
    /// Nothing answers there.
    #[error("nothing is running with the data directory {0}: start it, or name another with --data-dir")]
    NotRunning(PathBuf),
    /// The system refused.
    #[error("{attempted}: {source}")]
    Io {
        /// What was attempted.
        attempted: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The other side broke off.
    #[error("the node closed the connection before it answered: it may have stopped; look at its log")]
    BrokenOff,
    /// The node says that it failed.
    #[error("{0}")]
    Failed(String),
}

fn io_error(attempted: impl Into<String>) -> impl FnOnce(std::io::Error) -> ControlError {
    let attempted = attempted.into();
    move |source| ControlError::Io { attempted, source }
}

/// An open control socket; removed when dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    accepting: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Opens the socket in `data_dir`, which must be private.
    ///
    /// # Errors
    /// If the directory is open to others, another process answers there, or the system refuses.
    pub async fn open(data_dir: &Path, handler: Arc<dyn Handler>) -> Result<Self, ControlError> {
        let path = socket_path(data_dir)?;
        let directory =
            std::fs::metadata(data_dir).map_err(io_error(format!("reading {}", data_dir.display())))?;
        let mode = directory.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(ControlError::DirectoryNotPrivate { path: data_dir.display().to_string(), mode });
        }
        if UnixStream::connect(&path).await.is_ok() {
            return Err(ControlError::InUse(path));
        }
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(io_error(format!("removing the stale socket {}", path.display()))(error));
            }
        }
        let listener = UnixListener::bind(&path).map_err(io_error(format!("opening {}", path.display())))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .map_err(io_error(format!("making {} private", path.display())))?;
        let owner = directory.uid();
        Ok(Self { path, accepting: tokio::spawn(accept(listener, owner, handler)) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

fn socket_path(data_dir: &Path) -> Result<PathBuf, ControlError> {
    let path = data_dir.join(SOCKET_NAME);
    if path.as_os_str().len() > SOCKET_PATH_LEN_BYTES_MAX {
        let room = SOCKET_PATH_LEN_BYTES_MAX - SOCKET_NAME.len() - 1;
        return Err(ControlError::PathTooLong(path, room));
    }
    Ok(path)
}

async fn accept(listener: UnixListener, owner: u32, handler: Arc<dyn Handler>) {
    let permits = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: give running requests the time to end.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let is_owner = stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0);
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
        if is_owner {
            let handler = Arc::clone(&handler);
            tokio::spawn(async move {
                let _permit = permit;
                let _ = serve(stream, handler).await;
            });
        }
    }
}

async fn serve(stream: UnixStream, handler: Arc<dyn Handler>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(REQUEST_LEN_BYTES_MAX)).read_line(&mut line).await?;
    let request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => {
            return send(
                &mut write,
                &Reply::Failed { message: format!("the request is not readable: {error}") },
            )
            .await;
        }
    };
    let (sender, mut progress) = mpsc::channel(PROGRESS_QUEUE_MAX);
    let mut answer = handler.handle(request, Progress(Some(sender)));
    let last = loop {
        tokio::select! {
            biased;
            Some(text) = progress.recv() => send(&mut write, &Reply::Progress { text }).await?,
            answer = &mut answer => break answer,
        }
    };
    while let Ok(text) = progress.try_recv() {
        send(&mut write, &Reply::Progress { text }).await?;
    }
    let last = match last {
        Ok(value) => Reply::Done { value },
        Err(message) => Reply::Failed { message },
    };
    send(&mut write, &last).await
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), reply: &Reply) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(reply).map_err(std::io::Error::other)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    write.flush().await
}

/// Sends a request to the process that runs with `data_dir`, and waits for its answer.
///
/// # Errors
/// If nothing runs there, the connection breaks, or the request failed.
pub async fn ask(
    data_dir: &Path,
    request: &Request,
    mut on_progress: impl FnMut(&str),
) -> Result<serde_json::Value, ControlError> {
    let path = socket_path(data_dir)?;
    let stream = UnixStream::connect(&path).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            ControlError::NotRunning(data_dir.to_owned())
        }
        _ => io_error(format!("connecting to {}", path.display()))(source),
    })?;
    let (read, mut write) = stream.into_split();
    let mut line = serde_json::to_vec(request).map_err(|error| ControlError::Failed(error.to_string()))?;
    line.push(b'\n');
    write.write_all(&line).await.map_err(io_error("sending the request"))?;
    let mut lines = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let len = (&mut lines).take(REPLY_LEN_BYTES_MAX).read_until(b'\n', &mut line).await;
        if len.map_err(io_error("reading the answer"))? == 0 {
            return Err(ControlError::BrokenOff);
        }
        match serde_json::from_slice(&line) {
            Ok(Reply::Progress { text }) => on_progress(&text),
            Ok(Reply::Done { value }) => return Ok(value),
            Ok(Reply::Failed { message }) => return Err(ControlError::Failed(message)),
            Err(error) => return Err(ControlError::Failed(format!("the answer is not readable: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Handler for Echo {
        fn handle(&self, request: Request, progress: Progress) -> Answer {
            Box::pin(async move {
                progress.say("working");
                match request {
                    Request::Stop => Err("not now".to_owned()),
                    other => serde_json::to_value(other).map_err(|error| error.to_string()),
                }
            })
        }
    }

    fn private_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).expect("chmod");
        dir
    }

    #[tokio::test]
    async fn a_request_is_answered_and_the_socket_goes_away() {
        let dir = private_dir();
        let server = Server::open(dir.path(), Arc::new(Echo)).await.expect("opens");
        let mut said = Vec::new();
        let answer =
            ask(dir.path(), &Request::Status, |text| said.push(text.to_owned())).await.expect("answers");
        assert_eq!(answer, serde_json::json!({ "request": "status" }));
        assert_eq!(said, ["working"]);
        let failed = ask(dir.path(), &Request::Stop, |_| {}).await.expect_err("fails");
        assert_eq!(failed.to_string(), "not now");
        assert!(matches!(Server::open(dir.path(), Arc::new(Echo)).await, Err(ControlError::InUse(_))));
        drop(server);
        assert!(matches!(ask(dir.path(), &Request::Status, |_| {}).await, Err(ControlError::NotRunning(_))));
    }

    #[tokio::test]
    async fn a_directory_that_others_may_enter_is_refused() {
        let dir = private_dir();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
        let refused = Server::open(dir.path(), Arc::new(Echo)).await.expect_err("refuses").to_string();
        assert!(refused.contains("mode 755") && refused.contains("chmod 700"), "{refused}");
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_garbage_is_answered() {
        let dir = private_dir();
        drop(std::os::unix::net::UnixListener::bind(dir.path().join(SOCKET_NAME)).expect("binds"));
        let _server = Server::open(dir.path(), Arc::new(Echo)).await.expect("replaces the stale socket");
        let mut stream = UnixStream::connect(dir.path().join(SOCKET_NAME)).await.expect("connects");
        stream.write_all(b"nonsense\n").await.expect("writes");
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).await.expect("reads");
        assert!(reply.contains("not readable"), "{reply}");
    }
}
