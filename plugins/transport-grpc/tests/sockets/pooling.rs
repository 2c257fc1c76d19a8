//! Connections that a node keeps: how many, for how long, and what becomes of those whose peer is gone without a word.
#![expect(clippy::disallowed_methods, reason = "what stands between two nodes has sockets of its own")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use crate::common::{ECHO, Node, PATIENCE, chain, eventually, loopback, node, runtime, serve};
use lampkeeper_plugin_sdk::api::transport::{Peer, Transport};
use lampkeeper_transport_grpc::Config;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// A line between two nodes that can be cut without either side being told.
struct Line {
    peer: Peer,
    is_cut: Arc<AtomicBool>,
    /// How many sides have closed.
    closed: Arc<AtomicUsize>,
}

impl Line {
    async fn to(peer: &Peer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (is_cut, closed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let line = Self {
            peer: Peer { account: peer.account.clone(), address },
            is_cut: Arc::clone(&is_cut),
            closed: Arc::clone(&closed),
        };
        let target = peer.address.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&target).await.unwrap();
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_in, far_out, Arc::clone(&is_cut), Arc::clone(&closed)));
                tokio::spawn(carry(far_in, near_out, Arc::clone(&is_cut), Arc::clone(&closed)));
            }
        });
        line
    }
}

/// Carries bytes, or loses them once the line is cut. The other side hears of an end only while it is not.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    is_cut: Arc<AtomicBool>,
    closed: Arc<AtomicUsize>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut bytes).await {
        if !is_cut.load(Ordering::Acquire) && to.write_all(&bytes[..len]).await.is_err() {
            break;
        }
    }
    closed.fetch_add(1, Ordering::AcqRel);
    if is_cut.load(Ordering::Acquire) {
        // Held open until the test ends.
        std::future::pending::<()>().await;
    }
}

fn proved(node: &Node) -> usize {
    node.telemetry.gauge_value("transport_connections", &[("state", "proved")]).unwrap_or_default() as usize
}

#[test]
fn a_peer_that_is_gone_without_a_word_is_noticed_on_both_sides() {
    runtime().block_on(async {
        let chain = chain(&["alice", "bob"], &[], &[]);
        let watchful = Config {
            keepalive_interval_ms: 50,
            client_keepalive_interval_ms: 50,
            keepalive_timeout_ms: 500,
            ..loopback()
        };
        let (alice, bob) = (node("alice", &chain, watchful.clone()), node("bob", &chain, watchful));
        let (_, _handle, peer) = serve(&bob).await;
        let line = Line::to(&peer).await;
        let call = async || alice.transport.call(&line.peer, ECHO, vec![1], PATIENCE).await;
        assert_eq!(call().await, Ok(vec![1]));
        assert_eq!((proved(&bob), line.closed.load(Ordering::Acquire)), (1, 0));
        line.is_cut.store(true, Ordering::Release);
        // Nobody calls: it is the tests of the connection that find out.
        eventually("both sides close", || line.closed.load(Ordering::Acquire) == 2).await;
        eventually("the server forgets the peer", || proved(&bob) == 0).await;
        line.is_cut.store(false, Ordering::Release);
        assert_eq!(call().await, Ok(vec![1]), "a new connection is made");
    });
}

#[test]
fn an_idle_connection_is_closed() {
    runtime().block_on(async {
        let chain = chain(&["alice", "bob"], &[], &[]);
        let bob = node("bob", &chain, loopback());
        let alice = node("alice", &chain, Config { pooled_idle_max_ms: 100, ..loopback() });
        let (_, _handle, peer) = serve(&bob).await;
        for _ in 0..2 {
            assert_eq!(alice.transport.call(&peer, ECHO, vec![1], PATIENCE).await, Ok(vec![1]));
            eventually("the connection ends by itself", || proved(&bob) == 0).await;
        }
    });
}

#[test]
fn a_pool_stays_within_its_limit_and_the_longest_unused_goes() {
    runtime().block_on(async {
        let names = ["bob", "carol", "dave", "erin"];
        let chain = chain(&["alice", "bob", "carol", "dave", "erin"], &[], &[]);
        let alice = node("alice", &chain, Config { pooled_connections_max: 2, ..loopback() });
        let servers: Vec<_> = names.iter().map(|name| node(name, &chain, loopback())).collect();
        let mut served = Vec::new();
        for server in &servers {
            served.push(serve(server).await);
        }
        let connections = || servers.iter().map(proved).collect::<Vec<_>>();
        for (_, _, peer) in &served {
            assert_eq!(alice.transport.call(peer, ECHO, vec![1], PATIENCE).await, Ok(vec![1]));
        }
        eventually("only the last two stay", || connections() == [0, 0, 1, 1]).await;
        // The one that was used last stays, although it is the older one.
        for number in [2, 0] {
            let peer = &served[number].2;
            assert_eq!(alice.transport.call(peer, ECHO, vec![1], PATIENCE).await, Ok(vec![1]));
        }
        eventually("the unused one goes", || connections() == [1, 0, 1, 0]).await;
        let dialled = [("side", "client"), ("outcome", "ok")];
        assert_eq!(alice.telemetry.counter("transport_handshakes_total", &dialled), 5);
    });
}
