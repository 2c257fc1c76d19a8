//! The metrics of a running node: over HTTP, and by the command.
#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::disallowed_methods, reason = "a test lays out a node's directory and reads its socket")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const MANIFEST: &str = r#"
[node]
name = "n1"
network = "lumera-test"
data_dir = "data"

[log]
format = "json"

[metrics]
listen = "127.0.0.1:0"

[plugins.scheduler-tokio]

[plugins.journal-sqlite]
"#;

fn lampkeeper(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
    command.current_dir(folder).args(arguments).output().unwrap()
}

/// A node with a key, in this folder.
fn lay_out(folder: &Path, manifest: &str) {
    std::fs::write(folder.join("node.toml"), manifest).unwrap();
    let made = lampkeeper(folder, &["keys", "create", "key.json", "--keyring", "test"]);
    assert!(made.status.success(), "{made:?}");
}

/// A running node; ends with the test, however that ends.
struct Running(Child);

impl Running {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
        command.current_dir(folder).args(["run", "--until-stdin-ends"]);
        Self(command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Where the node says that its metrics are.
    fn metrics_address(&mut self) -> String {
        // The node goes on writing to it.
        let log = BufReader::new(self.0.stderr.as_mut().unwrap()).lines();
        let line = log.map(Result::unwrap).find(|line| line.contains("metrics are served")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        record["fields"]["address"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn answer_to(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // A request may be refused before its end, and then end with a reset behind the answer.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn a_node_tells_its_metrics_over_http_and_to_the_command() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), MANIFEST);
    let mut running = Running::start(folder.path());
    let address = running.metrics_address();
    let answer = answer_to(&address, "GET /metrics HTTP/1.1\r\nHost: n1\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let counted = r#"lampkeeper_plugin_calls_total{node="n1",plugin="journal-sqlite"}"#;
    assert!(body.contains(counted), "{body}");
    // What is no request for them gets none, however long it is.
    assert!(answer_to(&address, "GET / HTTP/1.1\r\nHost: n1\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(answer_to(&address, "what?\r\n\r\n").starts_with("HTTP/1.1 400"));
    let long = format!("GET /metrics HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(1 << 20));
    assert!(!answer_to(&address, &long).contains(counted));
    let asked = lampkeeper(folder.path(), &["metrics", "--data-dir", "data"]);
    assert!(String::from_utf8(asked.stdout).unwrap().contains(counted));
}

#[test]
fn an_address_that_is_taken_ends_the_node_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    lay_out(folder.path(), &MANIFEST.replace("127.0.0.1:0", &address));
    let run = lampkeeper(folder.path(), &["run"]);
    let words = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{words}");
    assert!(words.contains(&format!("metrics.listen: listening on {address}: ")), "{words}");
}
