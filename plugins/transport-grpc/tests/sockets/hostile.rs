//! Peers that mean harm: what they get is an end, and honest peers don't notice them.
#![expect(clippy::disallowed_methods, reason = "hostile peers have sockets of their own")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use crate::common::{ECHO, Node, PATIENCE, chain, eventually, loopback, node, runtime, serve, signer};
use lampkeeper_plugin_sdk::api::signer::Signer as _;
use lampkeeper_plugin_sdk::api::transport::{CallError, Peer, Transport};
use lampkeeper_transport_grpc::Config;
use lampkeeper_transport_grpc::channel::handshake::{ClientHandshake, Credentials, EphemeralKey, PeerType};
use lampkeeper_transport_grpc::channel::message::{Message, Progress};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// Hostile connections that are held at once.
const HOSTILE_CONNECTIONS: usize = 1000;
/// Those that have proved nothing, as the server of these tests allows.
const UNPROVED_MAX: u32 = 250;

/// What a hostile peer sends before it waits.
#[derive(Debug, Clone, Copy)]
enum Trick {
    /// Nothing.
    Silence,
    /// The beginning of a good message.
    HalfAMessage,
    /// Bytes that are no message.
    Garbage,
    /// A length of 4 GiB.
    Oversized,
    /// A message with the signature of another one.
    Forged,
    /// A good message of a known peer, recorded earlier: the sender has not its ephemeral key.
    Replay,
    /// The same, and records that are none.
    ReplayWithGarbage,
}

const TRICKS: [Trick; 7] = [
    Trick::Silence,
    Trick::HalfAMessage,
    Trick::Garbage,
    Trick::Oversized,
    Trick::Forged,
    Trick::Replay,
    Trick::ReplayWithGarbage,
];

/// A good first message of `seed`'s to `server`.
fn hello(seed: &str, server: &str) -> Vec<u8> {
    let credentials = Credentials::new(Arc::new(signer(seed)), PeerType::Supernode).unwrap();
    let ephemeral = EphemeralKey::from_random(&[5; 32]).unwrap();
    ClientHandshake::begin(&credentials, ephemeral, server).unwrap().1
}

fn forged(hello: &[u8]) -> Vec<u8> {
    let Ok(Progress::Complete(mut message)) = Message::progress(hello) else { panic!("a whole message") };
    message.signature[10] ^= 1;
    message.encode()
}

impl Trick {
    fn bytes(self, hello: &[u8]) -> Vec<u8> {
        match self {
            Self::Silence => Vec::new(),
            Self::HalfAMessage => hello[..hello.len() / 2].to_vec(),
            Self::Garbage => vec![0x47; 3000],
            Self::Oversized => u32::MAX.to_be_bytes().to_vec(),
            Self::Forged => forged(hello),
            Self::Replay => hello.to_vec(),
            Self::ReplayWithGarbage => [hello, &[0x47; 2000]].concat(),
        }
    }

    /// Whether a server may have answered: only whoever shows a message that a known account really signed gets the
    /// server's, and it is of no use without the ephemeral key.
    const fn may_be_answered(self) -> bool {
        matches!(self, Self::Replay | Self::ReplayWithGarbage)
    }
}

/// Plays a trick; what the server says until it closes.
async fn play(trick: Trick, peer: &Peer, hello: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(&peer.address).await.unwrap();
    // The server may have closed already.
    let _ = socket.write_all(&trick.bytes(hello)).await;
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said).await; // a reset is an end, too
    said
}

fn hostile_config() -> Config {
    Config {
        handshake_timeout_ms: 500,
        unproved_connections_max: UNPROVED_MAX,
        unproved_time_min_ms: 200,
        ..loopback()
    }
}

#[test]
fn every_trick_ends_and_only_proven_accounts_are_answered() {
    runtime().block_on(async {
        let chain = chain(&["alice", "bob"], &[], &[]);
        let bob = node("bob", &chain, hostile_config());
        let (service, _handle, peer) = serve(&bob).await;
        let hello = hello("alice", &peer.account);
        for trick in TRICKS {
            let said = play(trick, &peer, &hello).await;
            assert_eq!(!said.is_empty(), trick.may_be_answered(), "{trick:?}: {} bytes", said.len());
        }
        // The same message again is no better.
        assert!(!play(Trick::Replay, &peer, &hello).await.is_empty());
        assert_eq!(service.calls.load(Ordering::Acquire), 0);
        let outcomes: Vec<(&str, u64)> =
            ["ok", "too_slow", "malformed", "too_long", "not_proved", "connection"]
                .map(|outcome| {
                    let labels = [("side", "server"), ("outcome", outcome)];
                    (outcome, bob.telemetry.counter("transport_handshakes_total", &labels))
                })
                .to_vec();
        let expected = [
            ("ok", 0),
            ("too_slow", 4), // silence, half a message, two replays
            ("malformed", 0),
            ("too_long", 2), // garbage announces a long info, too
            ("not_proved", 1),
            ("connection", 1), // a record that does not open
        ];
        assert_eq!(outcomes, expected);
    });
}

#[test]
fn an_unknown_account_is_not_answered() {
    runtime().block_on(async {
        let chain = chain(&["bob"], &[], &["stranger"]);
        let bob = node("bob", &chain, hostile_config());
        let (_, _handle, peer) = serve(&bob).await;
        let mut socket = TcpStream::connect(&peer.address).await.unwrap();
        socket.write_all(&hello("stranger", &peer.account)).await.unwrap();
        let mut said = Vec::new();
        let _ = socket.read_to_end(&mut said).await;
        assert!(said.is_empty());
    });
}

/// Keeps up one hostile connection: when the server ends it there is soon a new one.
async fn besiege(number: usize, peer: Peer, hello: Arc<Vec<u8>>) {
    loop {
        play(TRICKS[number % TRICKS.len()], &peer, &hello).await;
        tokio::time::sleep(Duration::from_millis(100)).await; // the siege shares its processors with the server
    }
}

#[test]
fn honest_peers_are_served_while_a_thousand_hostile_connections_are_held() {
    runtime().block_on(async {
        let chain = chain(&["alice", "bob"], &[], &[]);
        let config = Config { handshake_timeout_ms: 20_000, unproved_time_min_ms: 1000, ..hostile_config() };
        let bob = node("bob", &chain, config);
        let (service, _handle, peer) = serve(&bob).await;
        let hello = Arc::new(hello("alice", &peer.account));
        let besiege = |number| tokio::spawn(besiege(number, peer.clone(), Arc::clone(&hello)));
        let siege: Vec<_> = (0..HOSTILE_CONNECTIONS).map(besiege).collect();
        eventually("the server is crowded", || {
            bob.telemetry.counter_sum("transport_connections_pushed_out_total") >= HOSTILE_CONNECTIONS as u64
        })
        .await;

        let honest = 5;
        let mut most_tasks = 0;
        for number in 1..=honest {
            // A new node each time, so that each needs a handshake of its own.
            let patient = Config { handshake_timeout_ms: 60_000, connect_timeout_ms: 60_000, ..loopback() };
            let alice = node("alice", &chain, patient);
            assert_eq!(call_patiently(&alice, &peer).await, Ok(vec![9]));
            assert_eq!(service.calls.load(Ordering::Acquire), number);
            let (unproved, proved) = (gauge(&bob, "unproved"), gauge(&bob, "proved"));
            assert!(unproved <= f64::from(UNPROVED_MAX), "{unproved} connections wait to prove themselves");
            assert!(proved <= honest as f64, "{proved} connections are proved");
            most_tasks = most_tasks.max(Handle::current().metrics().num_alive_tasks());
        }
        // One task a connection that the server holds, those that are just ending, and a few of the honest peers'.
        let server_tasks_max = 3 * UNPROVED_MAX as usize + 20 * honest;
        let own_tasks = most_tasks.saturating_sub(HOSTILE_CONNECTIONS);
        assert!(own_tasks <= server_tasks_max, "{own_tasks} tasks, at most {server_tasks_max} expected");
        siege.into_iter().for_each(|task| task.abort());
    });
}

/// A call that is repeated when it may succeed later: on a machine that is busy with other things, a second may not be
/// enough for a handshake.
async fn call_patiently(client: &Node, peer: &Peer) -> Result<Vec<u8>, CallError> {
    for _ in 0..10 {
        match client.transport.call(peer, ECHO, vec![9], PATIENCE).await {
            Err(error) if error.is_transient() => {}
            outcome => return outcome,
        }
    }
    client.transport.call(peer, ECHO, vec![9], PATIENCE).await
}

fn gauge(node: &Node, state: &str) -> f64 {
    node.telemetry.gauge_value("transport_connections", &[("state", state)]).unwrap_or_default()
}

#[test]
fn the_account_in_a_message_must_be_the_one_that_was_called() {
    // A man in the middle who passes bob's address off as carol's.
    runtime().block_on(async {
        let chain = chain(&["alice", "bob", "carol"], &[], &[]);
        let (alice, bob) = (node("alice", &chain, loopback()), node("bob", &chain, loopback()));
        let (service, _handle, peer) = serve(&bob).await;
        let carol = Peer { account: signer("carol").account().to_owned(), ..peer };
        assert!(alice.transport.call(&carol, ECHO, b"for carol".to_vec(), PATIENCE).await.is_err());
        assert_eq!(service.calls.load(Ordering::Acquire), 0);
    });
}
