//! Handshake messages of any bytes: no panic, no length read that is above its maximum, and nobody accepted who did not
//! sign.
//!
//! The first byte chooses: bytes as they come in; an info of any bytes under a good signature; or a good info that is
//! followed by further fields, so that the checks behind the signature are reached, from the client's side and from the
//! server's.
#![no_main]

use lampkeeper_plugin_sdk::protocol::account::KeyType;
use lampkeeper_plugin_sdk::testkit::TestSigner;
use lampkeeper_transport_grpc::channel::handshake::{
    ClientHandshake, Credentials, EphemeralKey, PeerType, VerifiedClient,
};
use lampkeeper_transport_grpc::channel::message::{MESSAGE_LEN_BYTES_MAX, Message, Progress};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

struct Node {
    signer: TestSigner,
    credentials: Credentials,
    /// The info of a good message.
    info: Vec<u8>,
}

fn node(number: u8, key_type: KeyType) -> Node {
    let signer = TestSigner::with_key_type("node", key_type);
    let credentials =
        Credentials::new(Arc::new(signer.clone()), PeerType::Supernode).expect("a key of its account");
    let message = ClientHandshake::begin(&credentials, ephemeral(number), "").expect("a good key").1;
    let Ok(Progress::Complete(message)) = Message::progress(&message) else { panic!("its own message") };
    Node { signer, credentials, info: message.info }
}

fn ephemeral(number: u8) -> EphemeralKey {
    EphemeralKey::from_random(&[number; 32]).expect("a key")
}

static NODES: LazyLock<[Node; 2]> =
    LazyLock::new(|| [node(1, KeyType::Secp256k1), node(2, KeyType::EthSecp256k1)]);

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let node = &NODES[usize::from(choice & 1)];
    match choice >> 1 & 3 {
        0 => as_it_comes(node, rest),
        1 => signed(node, rest.to_vec()),
        _ => signed(node, [&node.info, rest].concat()),
    }
});

/// Reads as a socket would deliver, never more than the message needs.
fn as_it_comes(node: &Node, input: &[u8]) {
    let mut received = Vec::new();
    loop {
        match Message::progress(&received) {
            Ok(Progress::Needs(missing)) => {
                assert!(missing > 0 && received.len() + missing <= MESSAGE_LEN_BYTES_MAX);
                let Some(more) = input.get(received.len()..received.len() + missing) else { return };
                received.extend_from_slice(more);
            }
            Ok(Progress::Complete(message)) => {
                assert_eq!(message.encode(), received);
                return verified(node, &message);
            }
            Err(_) => return,
        }
    }
}

fn signed(node: &Node, info: Vec<u8>) {
    let signature = node.signer.secret_key().sign_handshake(&info);
    verified(node, &Message { info, signature });
}

fn verified(node: &Node, message: &Message) {
    // As a server; then, since a handshake costs signatures, as a client only where a server accepts or nearly does.
    let Ok(at_server) = VerifiedClient::verify(message) else {
        if message.info.starts_with(&node.info) {
            assert!(!client_accepts(node, message), "a client accepted what a server refuses");
        }
        return;
    };
    let identity = at_server.identity().clone();
    identity.public_key.verify(&message.info, &message.signature).expect("accepted, so it is signed");
    assert_eq!(identity.public_key.account(), identity.account, "accepted, so it is the key's account");
    assert_eq!(client_accepts(node, message), identity.account == node.credentials.account());
    at_server.answer(&NODES[0].credentials, &ephemeral(8)).expect("a good key");
}

/// Whether a client that called this node takes the message for its answer.
fn client_accepts(node: &Node, message: &Message) -> bool {
    let expected = node.credentials.account();
    let (client, _) =
        ClientHandshake::begin(&NODES[0].credentials, ephemeral(9), expected).expect("a good key");
    client.finish(message).is_ok()
}
