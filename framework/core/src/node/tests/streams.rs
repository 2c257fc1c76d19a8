//! Streams and values of a plugin that is linked: what panics when a stream is polled, or when something is dropped, is
//! contained and counted as that of a library is.

use super::*;
use lampkeeper_api::BoxFuture;
use lampkeeper_api::chain::PortState;
use lampkeeper_api::plugin::{PluginContext, PluginError};
use lampkeeper_api::transport::{
    CallError, MessageStream, Peer, Router, ServerHandle, Status, StatusCode, Transport,
};
use lampkeeper_plugin_sdk::async_trait;
use std::task::{Context, Waker};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("boom");
    }
}

/// A line whose calls do what their path says.
struct Line(Bomb);

#[async_trait]
impl Transport for Line {
    async fn call(&self, _: &Peer, path: &str, _: Vec<u8>, _: Duration) -> Result<Vec<u8>, CallError> {
        if path == "/bomb" {
            let _bomb = Bomb;
            std::future::pending::<()>().await;
        }
        Ok(Vec::new())
    }

    async fn call_stream(
        &self,
        _: &Peer,
        path: &str,
        _: Vec<u8>,
        _: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        Ok(if path == "/bomb" { Box::new(Laden(Bomb)) } else { Box::new(Torn { is_begun: false }) })
    }

    async fn serve(&self, _: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        Err(CallError::Local { reason: "nobody is served here".to_owned() })
    }

    async fn probe_port(&self, _: &str, _: u16, _: Duration) -> PortState {
        PortState::Unknown
    }
}

/// A message, then a panic.
struct Torn {
    is_begun: bool,
}

#[async_trait]
impl MessageStream for Torn {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        assert!(!self.is_begun, "torn");
        self.is_begun = true;
        Some(Ok(vec![1]))
    }
}

/// Messages without end, and a bomb.
struct Laden(Bomb);

#[async_trait]
impl MessageStream for Laden {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        Some(Ok(vec![2]))
    }
}

fn make_line(_: PluginContext) -> BoxFuture<'static, Result<Provided, PluginError>> {
    Box::pin(async { Ok(Provided { transport: Some(Arc::new(Line(Bomb))), ..Provided::default() }) })
}

#[test]
fn a_linked_plugins_panics_in_streams_and_drops_are_contained_counted_and_named() {
    let registry = registry([made_by(make_line, plugin("line", &[Seam::Transport], &[]))]);
    let text = "[node]\nname = 'n1'\nnetwork = 'devnet-1'\ndata_dir = 'data'\n[plugins.line]\n";
    let manifest = Manifest::parse(Path::new("node.toml"), text, &registry).unwrap();
    let (scheduler, hub) = (VirtualScheduler::new(1), TelemetryHub::new());
    let mut host = NodeHost::new(Arc::new(TestSigner::new("n1")), Arc::clone(&hub));
    host.seams.scheduler = Some(scheduler.handle());
    let node = scheduler.block_on(Node::start(&manifest, &registry, host)).unwrap();
    let line = node.seams().transport.clone().unwrap();
    let account = node.account("line").unwrap();
    let peer = Peer { address: "a1:4444".to_owned(), account: "a1".to_owned() };
    let call_stream =
        |path: &str| scheduler.block_on(line.call_stream(&peer, path, Vec::new(), Duration::MAX)).unwrap();
    let last = || (account.panics(), account.last_panic().unwrap_or_default());

    let mut torn = call_stream("/torn");
    assert_eq!(scheduler.block_on(torn.next()), Some(Ok(vec![1])));
    let Some(Err(status)) = scheduler.block_on(torn.next()) else { panic!("a failure") };
    assert_eq!(status.code, StatusCode::Unavailable);
    assert_eq!(last(), (1, "message-stream.next: torn".to_owned()));

    let mut laden = call_stream("/bomb");
    assert_eq!(scheduler.block_on(laden.next()), Some(Ok(vec![2])));
    drop(laden);
    assert_eq!(last(), (2, "object.drop: boom".to_owned()));

    let mut waiting = line.call(&peer, "/bomb", Vec::new(), Duration::MAX);
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(waiting);
    assert_eq!(last(), (3, "transport.call: boom".to_owned()));

    assert_eq!(scheduler.block_on(line.call(&peer, "/", Vec::new(), Duration::MAX)), Ok(Vec::new()));
    assert_eq!(hub.metrics.counter_total("plugin_panics_total"), 3);
    assert_eq!(account.quarantined(), None);
    drop(line);
    scheduler.block_on(node.drain());
    drop(node);
    assert_eq!(last(), (4, "object.drop: boom".to_owned()), "the plugin's own value");
}
