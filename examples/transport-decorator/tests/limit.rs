//! In front of the transport in memory: it is a transport like any other, it limits, and a node that links both gives
//! everybody the limited one.

use example_transport_decorator::descriptor;
use lampkeeper_core::{Manifest, Node, NodeHost, Registry, TelemetryHub};
use lampkeeper_plugin_sdk::api::plugin::Seam;
use lampkeeper_plugin_sdk::api::transport::{
    CallError, Caller, CallerMint, Peer, Route, Router, Status, Transport, UnaryHandler,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::testkit::conformance::{self, TransportPair};
use lampkeeper_plugin_sdk::testkit::{RecordingTelemetry, TestSigner, VirtualScheduler, context};
use lampkeeper_transport_memory::{Fabric, JoiningNode, MemoryTransport};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A node of a fabric behind the limit.
fn node(
    scheduler: &VirtualScheduler,
    fabric: &Fabric,
    name: &str,
    bytes_per_second: u64,
) -> Arc<dyn Transport> {
    let joining = JoiningNode {
        account: format!("lumera1{name}"),
        address: format!("{name}:4444"),
        scheduler: scheduler.for_node(name, 0).handle(),
        caller_mint: CallerMint::for_host(),
        telemetry: Arc::new(RecordingTelemetry::new()),
    };
    let inner: Arc<dyn Transport> = Arc::new(MemoryTransport::join(fabric, joining).unwrap());
    let handle = scheduler.handle();
    let context = context("transport-limit")
        .config(&format!(r#"{{"bytes_per_second": {bytes_per_second}}}"#))
        .seams(|seams| (seams.transport, seams.scheduler) = (Some(inner), Some(handle)))
        .build();
    // Making it waits for nothing, so that it can be made where a scheduler runs already.
    let made = futures_now((descriptor().construct)(context));
    made.unwrap().transport.unwrap()
}

fn futures_now<T>(future: impl Future<Output = T>) -> T {
    use lampkeeper_plugin_sdk::futures::FutureExt as _;
    future.now_or_never().expect("it waits for nothing")
}

#[test]
fn it_is_a_transport_like_any_other() {
    let scheduler = VirtualScheduler::new(1);
    let pair = async || {
        let fabric = Fabric::new();
        TransportPair {
            server: node(&scheduler, &fabric, "server", 10_000_000_000),
            server_account: "lumera1server".to_owned(),
            client: node(&scheduler, &fabric, "client", 10_000_000_000),
            client_account: "lumera1client".to_owned(),
            scheduler: scheduler.handle(),
        }
    };
    scheduler.block_on(conformance::transport(pair)).assert_passed();
}

/// Answers with what was asked.
struct Echo;

#[async_trait]
impl UnaryHandler for Echo {
    async fn call(&self, _: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        Ok(request)
    }
}

#[test]
fn calls_take_the_time_that_their_bytes_take() {
    let scheduler = VirtualScheduler::new(1);
    let fabric = Fabric::new();
    let (server, client) =
        (node(&scheduler, &fabric, "server", 1_000_000), node(&scheduler, &fabric, "client", 1_000_000));
    let peer = Peer { account: "lumera1server".to_owned(), address: "server:4444".to_owned() };
    let mut router = Router::default();
    router.add(Route::unary("/echo", Arc::new(Echo))).unwrap();
    scheduler.block_on(async {
        let _serving = server.serve(router).await.unwrap();
        let begun = scheduler.handle().now();
        let minute = Duration::from_secs(60);
        for _ in 0..3 {
            // 500,000 bytes there and as many back: a second for both together, of which the next call waits.
            let answer = client.call(&peer, "/echo", vec![7; 500_000], minute).await;
            assert_eq!(answer.unwrap().len(), 500_000);
        }
        let took = scheduler.handle().now().since(begun);
        assert!((Duration::from_secs(2)..Duration::from_millis(2100)).contains(&took), "{took:?}");
        // A call whose turn does not come in time is nobody's fault but ours.
        let late = client.call(&peer, "/echo", Vec::new(), Duration::from_millis(5)).await;
        assert!(matches!(&late, Err(CallError::Local { .. })), "{late:?}");
    });
}

#[test]
fn a_node_that_links_both_gives_everybody_the_limited_one() {
    let registry = Registry::from_static().unwrap().with_host_seams([Seam::Scheduler]);
    let text = "[node]\nname = 'n1'\nnetwork = 'devnet-1'\ndata_dir = 'data'\n[plugins.transport-memory]\n\
                [plugins.transport-limit]\n[provide]\ntransport = 'transport-limit'\n";
    let manifest = Manifest::parse(Path::new("node.toml"), text, &registry).unwrap();
    assert_eq!(manifest.plan.node_grants[&Seam::Transport], "transport-limit");
    let limit = manifest.plan.steps.iter().find(|step| step.plugin_id == "transport-limit").unwrap();
    assert_eq!(limit.grants[&Seam::Transport], "transport-memory");
    let scheduler = VirtualScheduler::new(1);
    let mut host = NodeHost::new(Arc::new(TestSigner::new("n1")), TelemetryHub::new());
    host.seams.scheduler = Some(scheduler.handle());
    let node = scheduler.block_on(Node::start(&manifest, &registry, host)).unwrap();
    assert!(scheduler.block_on(node.drain()).is_clean());
}
