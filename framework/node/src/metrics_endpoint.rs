//! The metrics endpoint: what Prometheus and the like read over HTTP.
//!
//! Owns the socket that `[metrics] listen` opens, and the bounds on who reads from it. `GET /metrics` is answered, and
//! nothing else; who may reach the address is the operator's business. What is counted is core's.
#![expect(
    clippy::disallowed_methods,
    reason = "this module owns the metrics socket, and the host runs on tokio"
)]

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use lampkeeper_core::Node;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections that are served at once; further ones are closed.
const CONNECTIONS_MAX: usize = 16;
/// How long one connection may take for its request and the answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of a request that are kept.
const REQUEST_LEN_BYTES_MAX: usize = 16 * 1024;
/// The text format of Prometheus.
const TEXT_FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// An open endpoint; closed when dropped.
#[derive(Debug)]
pub struct MetricsEndpoint {
    address: SocketAddr,
    accepting: tokio::task::JoinHandle<()>,
}

impl MetricsEndpoint {
    /// Opens the endpoint for a node's metrics.
    ///
    /// # Errors
    /// If the address can't be listened on: what to change, in words.
    pub async fn open(listen: SocketAddr, node: Arc<Node>) -> Result<Self, String> {
        let opened = async {
            let listener = TcpListener::bind(listen).await?;
            Ok::<_, std::io::Error>((listener.local_addr()?, listener))
        };
        let (address, listener) = opened.await.map_err(|error| {
            format!(
                "metrics.listen: listening on {listen}: {error}; write another address, or remove the line"
            )
        })?;
        Ok(Self { address, accepting: tokio::spawn(accept(listener, node)) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsEndpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, node: Arc<Node>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: give running connections the time to end.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
        // Weak, or a slow reader would keep a node that has stopped.
        let node = Arc::downgrade(&node);
        tokio::spawn(async move {
            let _permit = permit;
            let render = || node.upgrade().map(|node| node.render_metrics());
            // A reader that breaks off harms nobody but itself.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, serve(stream, render)).await;
        });
    }
}

/// Serves one request; readers of metrics come back with a new connection.
async fn serve(stream: TcpStream, render: impl Fn() -> Option<String>) -> hyper::Result<()> {
    let answering = service_fn(|request: Request<Incoming>| {
        let answered = answer(request.method(), request.uri().path(), &render);
        async move { Ok::<_, Infallible>(answered) }
    });
    hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(REQUEST_LEN_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answering)
        .await
}

fn answer(method: &Method, path: &str, render: impl Fn() -> Option<String>) -> Response<String> {
    let mut response = Response::new(String::new());
    if path != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        *response.body_mut() = "the metrics are at /metrics\n".to_owned();
    } else if method != Method::GET && method != Method::HEAD {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    } else if let Some(text) = render() {
        response.headers_mut().insert(CONTENT_TYPE, TEXT_FORMAT);
        *response.body_mut() = text;
    } else {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_metrics_are_answered() {
        let text = || Some("lampkeeper_up 1\n".to_owned());
        // (method, path, status, whether the metrics are told)
        let table = [
            (Method::GET, "/metrics", StatusCode::OK, true),
            (Method::HEAD, "/metrics", StatusCode::OK, true),
            (Method::POST, "/metrics", StatusCode::METHOD_NOT_ALLOWED, false),
            (Method::GET, "/", StatusCode::NOT_FOUND, false),
            (Method::GET, "/metrics/../keys", StatusCode::NOT_FOUND, false),
        ];
        for (method, path, status, told) in table {
            let response = answer(&method, path, text);
            assert_eq!(response.status(), status, "{method} {path}");
            assert_eq!(response.body() == "lampkeeper_up 1\n", told, "{method} {path}");
        }
        assert_eq!(answer(&Method::GET, "/metrics", || None).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
