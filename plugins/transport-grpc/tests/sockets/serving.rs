//! What callers and operators see: who gets in, what is counted, what is kept, how it ends.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use crate::common::{
    ECHO, FORBIDDEN, PATIENCE, Service, chain, eventually, loopback, node, runtime, scheduler, serve,
};
use lampkeeper_plugin_sdk::api::chain::PortState;
use lampkeeper_plugin_sdk::api::transport::{CallError, Peer, StatusCode, Transport};
use lampkeeper_plugin_sdk::futures::future::join_all;
use lampkeeper_proto::grpc::health::v1::health_check_response::ServingStatus;
use lampkeeper_proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};
use lampkeeper_proto::methods::HEALTH_CHECK;
use lampkeeper_transport_grpc::{Config, ShownAs};
use prost::Message as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

async fn health(client: &dyn Transport, peer: &Peer, service: &str) -> Result<ServingStatus, CallError> {
    let request = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let answer = client.call(peer, HEALTH_CHECK, request, PATIENCE).await?;
    Ok(HealthCheckResponse::decode(answer.as_slice()).unwrap().status())
}

#[test]
fn calls_share_a_connection_and_a_dead_one_is_replaced() {
    runtime().block_on(async {
        let chain = chain(&["alice", "bob"], &[], &[]);
        let (alice, bob) = (node("alice", &chain, loopback()), node("bob", &chain, loopback()));
        let (service, handle, peer) = serve(&bob).await;
        let call = || alice.transport.call(&peer, ECHO, vec![7], PATIENCE);
        let handshakes = || {
            alice.telemetry.counter("transport_handshakes_total", &[("side", "client"), ("outcome", "ok")])
        };
        for outcome in join_all((0..20).map(|_| call())).await {
            assert_eq!(outcome, Ok(vec![7]));
        }
        assert_eq!((handshakes(), service.calls.load(Ordering::Acquire)), (1, 20));

        handle.drain(PATIENCE).await;
        assert!(call().await.is_err_and(|error| error.is_no_response()));
        let listen = peer.address.clone();
        let restarted = node("bob", &chain, Config { listen, ..Config::default() });
        let (service, _handle, _) = serve(&restarted).await;
        assert_eq!(call().await, Ok(vec![7]));
        assert_eq!((handshakes(), service.calls.load(Ordering::Acquire)), (2, 1));
    });
}

#[test]
fn only_peers_that_the_chain_knows_get_in() {
    runtime().block_on(async {
        let chain = chain(&["alice", "bob"], &["ordinary"], &["stranger", "ordinary as supernode"]);
        let bob = node("bob", &chain, loopback());
        let (service, _handle, peer) = serve(&bob).await;
        let as_account = Config { shown_as: ShownAs::Account, ..loopback() };
        let table = [
            ("alice", loopback(), true),
            ("ordinary", as_account.clone(), true),
            ("stranger", loopback(), false),
            ("stranger", as_account.clone(), false),
        ];
        for (seed, config, gets_in) in table {
            let client = node(seed, &chain, config);
            let outcome = client.transport.call(&peer, ECHO, vec![1], PATIENCE).await;
            assert_eq!(outcome.is_ok(), gets_in, "{seed}: {outcome:?}");
        }
        assert_eq!(service.calls.load(Ordering::Acquire), 2);
        let unknown = [("side", "server"), ("outcome", "unknown")];
        eventually("refusals are counted", || {
            bob.telemetry.counter("transport_handshakes_total", &unknown) == 2
        })
        .await;

        let strict = node("bob", &chain, Config { accept_ordinary_accounts: false, ..loopback() });
        let (_, _handle, peer) = serve(&strict).await;
        let ordinary = node("ordinary", &chain, as_account);
        assert!(ordinary.transport.call(&peer, ECHO, vec![1], PATIENCE).await.is_err());
    });
}

#[test]
fn a_server_that_the_chain_does_not_know_is_not_called() {
    runtime().block_on(async {
        let chain = chain(&["alice"], &[], &["stranger"]);
        let (alice, stranger) = (node("alice", &chain, loopback()), node("stranger", &chain, loopback()));
        let (service, _handle, peer) = serve(&stranger).await;
        let outcome = alice.transport.call(&peer, ECHO, b"secret".to_vec(), PATIENCE).await;
        assert!(matches!(outcome, Err(CallError::WrongIdentity { .. })), "{outcome:?}");
        assert_eq!(service.calls.load(Ordering::Acquire), 0);
    });
}

#[test]
fn a_caller_that_asks_for_more_than_its_role_is_refused_and_counted() {
    runtime().block_on(async {
        let chain = chain(&["alice", "bob"], &[], &[]);
        let (alice, bob) = (node("alice", &chain, loopback()), node("bob", &chain, loopback()));
        let (_, _handle, peer) = serve(&bob).await;
        let outcome = alice.transport.call(&peer, FORBIDDEN, Vec::new(), PATIENCE).await;
        let Err(CallError::Refused { status, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(status.code, StatusCode::PermissionDenied);
        assert_eq!(status.message, format!("{} may not", alice.account));
        let counted = bob.telemetry.counter("transport_callers_refused_total", &[("path", FORBIDDEN)]);
        assert_eq!(counted, 1);
    });
}

#[test]
fn health_and_reflection_are_behind_the_same_channel() {
    runtime().block_on(async {
        let chain = chain(&["alice", "bob"], &[], &[]);
        let (alice, bob) = (node("alice", &chain, loopback()), node("bob", &chain, loopback()));
        let (_, handle, peer) = serve(&bob).await;
        let client = &*alice.transport;
        for service in ["", "lampkeeper.Test"] {
            assert_eq!(health(client, &peer, service).await, Ok(ServingStatus::Serving), "{service}");
        }
        let unknown = health(client, &peer, "no.Such").await;
        let is_not_found = |error: &CallError| matches!(error, CallError::Refused { status, .. } if status.code == StatusCode::NotFound);
        assert!(unknown.as_ref().is_err_and(is_not_found), "{unknown:?}");

        // ServerReflectionRequest { list_services = "*" }, in both versions.
        for version in ["v1", "v1alpha"] {
            let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
            let mut answers = client.call_stream(&peer, &path, vec![0x3a, 1, b'*'], PATIENCE).await.unwrap();
            let answer = answers.next().await.unwrap().unwrap();
            let names = String::from_utf8_lossy(&answer).into_owned();
            assert!(names.contains("lampkeeper.Test"), "{names}");
        }
        handle.drain(PATIENCE).await;
    });
}

#[test]
fn a_server_that_drains_says_that_it_does_not_serve() {
    runtime().block_on(async {
        let chain = chain(&["alice", "bob"], &[], &[]);
        let (alice, bob) = (node("alice", &chain, loopback()), node("bob", &chain, loopback()));
        let (_, handle, peer) = serve(&bob).await;
        let request = HealthCheckRequest { service: String::new() }.encode_to_vec();
        let watch = "/grpc.health.v1.Health/Watch";
        let mut changes = alice.transport.call_stream(&peer, watch, request, PATIENCE).await.unwrap();
        let status = |bytes: Vec<u8>| HealthCheckResponse::decode(bytes.as_slice()).unwrap().status();
        assert_eq!(changes.next().await.map(|change| change.map(status)), Some(Ok(ServingStatus::Serving)));
        // A watcher does not hold up the drain, which would otherwise take all of its grace.
        handle.drain(PATIENCE * 1000).await;
        while let Some(Ok(change)) = changes.next().await {
            assert_eq!(status(change), ServingStatus::NotServing);
        }
    });
}

#[test]
fn an_address_without_a_server_is_unreachable_and_its_port_closed() {
    runtime().block_on(async {
        let chain = chain(&["alice", "bob"], &[], &[]);
        let (alice, bob) = (node("alice", &chain, loopback()), node("bob", &chain, loopback()));
        let (_, handle, peer) = serve(&bob).await;
        drop(handle);
        let (host, port) = peer.address.rsplit_once(':').unwrap();
        let port = port.parse().unwrap();
        let probe = async || alice.transport.probe_port(host, port, PATIENCE).await;
        for _ in 0..1000 {
            if probe().await == PortState::Closed {
                break;
            }
            scheduler().sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(probe().await, PortState::Closed);
        for address in [peer.address.as_str(), "", "no host:1", "127.0.0.1:notaport:1"] {
            let peer = Peer { account: bob.account.clone(), address: address.to_owned() };
            let outcome = alice.transport.call(&peer, ECHO, vec![1], PATIENCE).await;
            assert!(matches!(outcome, Err(CallError::Unreachable { .. })), "{address}: {outcome:?}");
        }
        assert_eq!(alice.transport.probe_port("", port, PATIENCE).await, PortState::Unknown);
        assert_eq!(alice.transport.probe_port(host, 0, PATIENCE).await, PortState::Unknown);
    });
}

#[test]
fn private_addresses_are_called_only_where_the_manifest_says_so() {
    runtime().block_on(async {
        let chain = chain(&["alice", "bob"], &[], &[]);
        let bob = node("bob", &chain, loopback());
        let (service, _handle, peer) = serve(&bob).await;
        let (host, port) = peer.address.rsplit_once(':').unwrap();
        let port = port.parse().unwrap();
        let strict = node("alice", &chain, Config { dial_private_addresses: false, ..loopback() });
        for host in [host, "localhost"] {
            let peer = Peer { account: peer.account.clone(), address: format!("{host}:{port}") };
            let outcome = strict.transport.call(&peer, ECHO, vec![1], PATIENCE).await;
            let words = outcome.as_ref().map_err(ToString::to_string);
            assert!(matches!(outcome, Err(CallError::Unreachable { .. })), "{outcome:?}");
            assert!(words.is_err_and(|words| words.contains("dial_private_addresses")), "{outcome:?}");
            assert_eq!(strict.transport.probe_port(host, port, PATIENCE).await, PortState::Unknown);
        }
        assert_eq!(service.calls.load(Ordering::Acquire), 0);
        let open = node("alice", &chain, loopback());
        assert_eq!(open.transport.call(&peer, ECHO, vec![1], PATIENCE).await, Ok(vec![1]));
    });
}

#[test]
fn peers_that_call_at_the_same_time_are_told_apart() {
    // Handshakes of many pairs at once, each with its own expectation (wire 11.10).
    runtime().block_on(async {
        let seeds: Vec<String> = (0..6).map(|number| format!("node {number}")).collect();
        let names: Vec<&str> = seeds.iter().map(String::as_str).collect();
        let chain = chain(&names, &[], &[]);
        let nodes: Vec<_> = names.iter().map(|seed| node(seed, &chain, loopback())).collect();
        let served = join_all(nodes.iter().map(serve)).await;
        let calls = nodes.iter().flat_map(|caller| served.iter().map(move |(_, _, peer)| (caller, peer)));
        let outcomes =
            join_all(calls.map(|(caller, peer)| caller.transport.call(peer, ECHO, vec![1, 2, 3], PATIENCE)))
                .await;
        assert!(outcomes.iter().all(|outcome| *outcome == Ok(vec![1, 2, 3])), "{outcomes:?}");
        let calls = |service: &Arc<Service>| service.calls.load(Ordering::Acquire);
        assert!(served.iter().all(|(service, ..)| calls(service) == nodes.len()));
    });
}
