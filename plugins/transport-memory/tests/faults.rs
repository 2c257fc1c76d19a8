//! What the fabric's faults do to calls, in virtual time.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use lampkeeper_plugin_sdk::api::chain::PortState;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::transport::{
    CallError, Caller, CallerMint, MessageStream, Peer, Route, Router, ServerHandle, Status, StreamHandler,
    Transport, UnaryHandler,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::futures::future::join;
use lampkeeper_plugin_sdk::testkit::{RecordingTelemetry, VirtualScheduler, context};
use lampkeeper_transport_memory::{
    Fabric, JoiningNode, LinkQuality, MemoryTransport, MessageFault, descriptor,
};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const ECHO: &str = "/test.Service/Echo";
const COUNT: &str = "/test.Service/Count";
const TIMEOUT: Duration = Duration::from_secs(10);

/// Answers with the request, after a while.
struct Echo {
    scheduler: Arc<dyn Scheduler>,
    takes: Duration,
    handled: Arc<AtomicUsize>,
}

#[async_trait]
impl UnaryHandler for Echo {
    async fn call(&self, _caller: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        self.scheduler.sleep(self.takes).await;
        self.handled.fetch_add(1, Ordering::Relaxed);
        Ok(request)
    }
}

/// Counts without end.
struct Count;

struct Counting(u8);

#[async_trait]
impl StreamHandler for Count {
    async fn call(&self, _caller: Caller, _request: Vec<u8>) -> Result<Box<dyn MessageStream>, Status> {
        Ok(Box::new(Counting(0)))
    }
}

#[async_trait]
impl MessageStream for Counting {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        self.0 += 1;
        Some(Ok(vec![self.0]))
    }
}

struct Node {
    account: String,
    transport: MemoryTransport,
    server: Option<Box<dyn ServerHandle>>,
    handled: Arc<AtomicUsize>,
}

struct Net {
    scheduler: VirtualScheduler,
    fabric: Fabric,
    nodes: Vec<Node>,
}

impl Net {
    /// Nodes `a`, `b` and `c`, each serving an echo that takes `takes`.
    fn new(takes: Duration) -> Self {
        let scheduler = VirtualScheduler::new(3);
        let fabric = Fabric::new();
        let nodes = ["a", "b", "c"].map(|name| Self::start(&scheduler, &fabric, name, takes));
        Self { scheduler, fabric, nodes: nodes.into() }
    }

    fn start(scheduler: &VirtualScheduler, fabric: &Fabric, name: &str, takes: Duration) -> Node {
        let own = scheduler.for_node(name, 0).handle();
        let joining = JoiningNode {
            account: name.to_owned(),
            address: format!("{name}.example:4444"),
            scheduler: Arc::clone(&own),
            caller_mint: CallerMint::for_host(),
            telemetry: Arc::new(RecordingTelemetry::new()),
        };
        let transport = MemoryTransport::join(fabric, joining).unwrap();
        let handled = Arc::new(AtomicUsize::new(0));
        let mut router = Router::default();
        let echo = Echo { scheduler: own, takes, handled: Arc::clone(&handled) };
        router.add(Route::unary(ECHO, Arc::new(echo))).unwrap();
        router.add(Route::server_stream(COUNT, Arc::new(Count))).unwrap();
        let server = Some(scheduler.block_on(transport.serve(router)).unwrap());
        Node { account: name.to_owned(), transport, server, handled }
    }

    fn peer(&self, to: usize) -> Peer {
        let account = self.nodes[to].account.clone();
        Peer { address: format!("{account}.example:4444"), account }
    }

    async fn echo(&self, from: usize, to: usize, len_bytes: usize) -> Result<Vec<u8>, CallError> {
        self.nodes[from].transport.call(&self.peer(to), ECHO, vec![7; len_bytes], TIMEOUT).await
    }

    async fn probe(&self, from: usize, address: &str) -> PortState {
        self.nodes[from].transport.probe_port(address, 4444, TIMEOUT).await
    }

    fn now_ms(&self) -> u128 {
        self.scheduler.now().since_start().as_millis()
    }
}

#[test]
fn a_node_that_is_down_is_refused_at_once_and_breaks_what_runs() {
    let net = Net::new(Duration::from_secs(2));
    let faults = net.fabric.faults();
    net.scheduler.block_on(async {
        let down = async {
            net.scheduler.sleep(Duration::from_secs(1)).await;
            faults.take_down("b");
        };
        let (outcome, ()) = join(net.echo(0, 1, 1), down).await;
        assert!(matches!(outcome, Err(CallError::Broken { .. })), "{outcome:?}");
        assert!(matches!(net.echo(0, 1, 1).await, Err(CallError::Unreachable { .. })));
        assert!(net.echo(1, 0, 1).await.is_err_and(|error| error.is_ours()), "its own calls blame nobody");
        assert_eq!(net.now_ms(), 1000);
        faults.bring_up("b");
        assert_eq!(net.echo(0, 1, 1).await, Ok(vec![7]));
    });
    assert_eq!(net.nodes[1].handled.load(Ordering::Relaxed), 1, "the broken call's handler was dropped");
}

#[test]
fn a_partition_lets_calls_run_out_of_time_until_it_ends() {
    let net = Net::new(Duration::ZERO);
    let faults = net.fabric.faults();
    faults.partition(&[&["a"]]);
    net.scheduler.block_on(async {
        assert!(matches!(net.echo(0, 1, 1).await, Err(CallError::TimedOut { timeout_ms: 10_000, .. })));
        assert_eq!(net.now_ms(), 10_000);
        assert!(net.echo(1, 2, 1).await.is_ok(), "the others are on one side");
        faults.end_partition();
        assert!(net.echo(0, 1, 1).await.is_ok());
    });
}

#[test]
fn a_port_is_what_a_prober_of_sockets_would_see() {
    let mut net = Net::new(Duration::ZERO);
    let faults = net.fabric.faults();
    net.scheduler.block_on(async {
        assert_eq!(net.probe(0, "b.example").await, PortState::Open);
        assert_eq!(net.probe(0, "b.example:4444").await, PortState::Open);
        assert_eq!(net.probe(0, "nobody.example").await, PortState::Unknown);
        assert_eq!(net.probe(0, "").await, PortState::Unknown);
        faults.take_down("b");
        assert_eq!(net.probe(0, "b.example").await, PortState::Closed);
        assert_eq!(net.probe(1, "a.example").await, PortState::Unknown, "its own fault");
        faults.partition(&[&["a", "c"]]);
        assert_eq!(net.probe(0, "b.example").await, PortState::Unknown, "nothing comes back");
        faults.clear();
        assert_eq!(net.probe(0, "b.example").await, PortState::Open);
        let endless = LinkQuality { latency: TIMEOUT * 2, ..LinkQuality::default() };
        faults.set_link("b", "a", endless);
        assert_eq!(net.probe(0, "b.example").await, PortState::Unknown, "too late");
        faults.clear();
    });
    net.nodes[1].server = None;
    assert_eq!(net.scheduler.block_on(net.probe(0, "b.example")), PortState::Closed);
}

#[test]
fn links_have_latency_and_bandwidth_in_each_direction() {
    let net = Net::new(Duration::ZERO);
    let quality = |latency_ms, bytes_per_s| LinkQuality {
        latency: Duration::from_millis(latency_ms),
        bandwidth_bytes_per_s: NonZeroU64::new(bytes_per_s),
    };
    net.fabric.faults().set_link("a", "b", quality(10, 0));
    net.fabric.faults().set_link("b", "a", quality(20, 1000));
    net.scheduler.block_on(async {
        assert!(net.echo(0, 1, 500).await.is_ok());
        assert_eq!(net.now_ms(), 10 + 20 + 500);
        assert!(net.echo(0, 2, 500).await.is_ok());
        assert_eq!(net.now_ms(), 530, "another link");
        let slow = net.echo(0, 1, 20_000).await;
        assert!(matches!(slow, Err(CallError::TimedOut { .. })), "the timeout covers carrying");
    });
}

#[test]
fn a_lost_request_never_arrives_and_a_repeated_one_is_handled_twice() {
    let net = Net::new(Duration::from_millis(1));
    let faults = net.fabric.faults();
    let handled = || net.nodes[1].handled.load(Ordering::Relaxed);
    net.scheduler.block_on(async {
        faults.on_message("a", "b", 2, MessageFault::Drop);
        assert!(net.echo(0, 1, 1).await.is_ok());
        assert!(matches!(net.echo(0, 1, 1).await, Err(CallError::TimedOut { .. })));
        assert_eq!(handled(), 1);
        faults.on_message("b", "a", 1, MessageFault::Drop);
        assert!(matches!(net.echo(0, 1, 1).await, Err(CallError::TimedOut { .. })));
        assert_eq!(handled(), 2, "only the answer was lost");
        faults.on_message("a", "b", 1, MessageFault::Duplicate);
        assert!(net.echo(0, 1, 1).await.is_ok());
    });
    net.scheduler.run_until_idle();
    assert_eq!(handled(), 4);
}

#[test]
fn messages_of_a_stream_are_lost_and_repeated_one_by_one() {
    let net = Net::new(Duration::ZERO);
    let faults = net.fabric.faults();
    faults.on_message("b", "a", 2, MessageFault::Duplicate);
    faults.on_message("b", "a", 3, MessageFault::Drop);
    net.scheduler.block_on(async {
        let opened = net.nodes[0].transport.call_stream(&net.peer(1), COUNT, Vec::new(), TIMEOUT).await;
        let mut stream = opened.unwrap_or_else(|error| panic!("{error}"));
        for expected in [1, 2, 2] {
            assert_eq!(stream.next().await, Some(Ok(vec![expected])));
        }
        assert!(stream.next().await.is_some_and(|message| message.is_err()), "the third is lost");
        assert_eq!(stream.next().await, None);
    });
}

#[test]
fn a_stream_breaks_when_its_source_goes_down() {
    let net = Net::new(Duration::ZERO);
    net.scheduler.block_on(async {
        let opened = net.nodes[0].transport.call_stream(&net.peer(1), COUNT, Vec::new(), TIMEOUT).await;
        let mut stream = opened.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(stream.next().await, Some(Ok(vec![1])));
        net.fabric.faults().take_down("b");
        assert!(stream.next().await.is_some_and(|message| message.is_err()));
        assert_eq!(stream.next().await, None);
    });
}

#[test]
fn a_crashed_node_breaks_its_calls_and_can_join_again() {
    let mut net = Net::new(Duration::from_secs(5));
    let crash = async {
        net.scheduler.sleep(Duration::from_secs(1)).await;
        net.scheduler.kill_group("b");
    };
    let (outcome, ()) = net.scheduler.block_on(join(net.echo(0, 1, 1), crash));
    assert!(matches!(outcome, Err(CallError::Broken { .. })), "{outcome:?}");
    drop(net.nodes.remove(1));
    let reborn = Net::start(&net.scheduler, &net.fabric, "b", Duration::ZERO);
    net.nodes.insert(1, reborn);
    assert!(net.scheduler.block_on(net.echo(0, 1, 1)).is_ok());
}

#[test]
fn a_drain_waits_no_longer_than_its_grace() {
    let net = Net::new(Duration::from_secs(5));
    net.scheduler.block_on(async {
        let server = net.nodes[1].server.as_ref().expect("it serves");
        let (outcome, ()) = join(net.echo(0, 1, 1), async {
            net.scheduler.sleep(Duration::from_secs(1)).await;
            server.drain(Duration::from_secs(2)).await;
            assert_eq!(net.now_ms(), 3000);
        })
        .await;
        assert!(matches!(outcome, Err(CallError::Broken { .. })), "{outcome:?}");
        assert!(matches!(net.echo(0, 1, 1).await, Err(CallError::Unreachable { .. })));
    });
}

#[test]
fn plugins_of_one_network_name_meet() {
    let scheduler = VirtualScheduler::new(0);
    let fabric = Fabric::named("plugins meet");
    let construct = |config: &str| {
        let context = context("transport-memory").config(config).caller_mint().memory_seams(&scheduler);
        scheduler.block_on((descriptor().construct)(context.build()))
    };
    let provided = construct(r#"{"network": "plugins meet", "address": "n1"}"#).unwrap();
    assert!(provided.transport.is_some());
    assert_eq!(fabric.accounts().len(), 1);
    let again = construct(r#"{"network": "plugins meet", "address": "n2"}"#).err();
    assert!(again.is_some_and(|error| error.to_string().contains("already on this network")));
    assert!(construct(r#"{"network": "another"}"#).is_ok());
}
