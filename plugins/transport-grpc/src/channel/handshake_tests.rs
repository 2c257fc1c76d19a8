//! The handshake against the wire page's values, and against peers that lie.

use super::*;
use crate::channel::message::Progress;
use lampkeeper_plugin_sdk::testkit::TestSigner;

const KEY_TYPES: [KeyType; 2] = [KeyType::Secp256k1, KeyType::EthSecp256k1];

fn credentials(seed: &str, key_type: KeyType, peer_type: PeerType) -> Credentials {
    Credentials::new(Arc::new(TestSigner::with_key_type(seed, key_type)), peer_type).unwrap()
}

fn ephemeral(number: u8) -> EphemeralKey {
    EphemeralKey::from_random(&[number; 32]).unwrap()
}

fn received(bytes: &[u8]) -> Message {
    match Message::progress(bytes).unwrap() {
        Progress::Complete(message) => message,
        Progress::Needs(missing) => panic!("{missing} bytes are missing"),
    }
}

/// A message of `seed`'s, with its info altered before it is signed.
fn altered(seed: &str, key_type: KeyType, alter: impl FnOnce(&mut HandshakeInfo)) -> Message {
    let signer = TestSigner::with_key_type(seed, key_type);
    let made = credentials(seed, key_type, PeerType::Supernode).message(&ephemeral(9)).unwrap();
    let mut info = HandshakeInfo::decode(made.info.as_slice()).unwrap();
    alter(&mut info);
    let info = info.encode_to_vec();
    Message { signature: signer.secret_key().sign_handshake(&info), info }
}

#[test]
fn the_info_has_the_bytes_of_the_wire_page() {
    let key: Vec<u8> = std::iter::once(2).chain(1..=0x20).collect();
    let account_key = prost_types::Any {
        type_url: KeyType::Secp256k1.type_url().to_owned(),
        value: PubKey { key }.encode_to_vec(),
    };
    let info = HandshakeInfo {
        address: "lumera1client".to_owned(),
        peer_type: PeerType::Supernode.number(),
        public_key: std::iter::once(4).chain([0x11; 64]).collect(),
        account_public_key: account_key.encode_to_vec(),
        curve: CURVE.to_owned(),
    };
    let expected = [
        "0a0d6c756d65726131636c69656e7410021a4104",
        &"11".repeat(64),
        "22460a1f2f636f736d6f732e63727970746f2e736563703235366b312e5075624b6579",
        "12230a21020102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202a0450323536",
    ];
    assert_eq!(hex::encode(info.encode_to_vec()), expected.concat());
    assert_eq!(info.encode_to_vec().len(), 162);
}

#[test]
fn account_keys_are_wrapped_as_on_the_wire_page() {
    let table = [
        (KeyType::Secp256k1, "0a1f", "/cosmos.crypto.secp256k1.PubKey"),
        (KeyType::EthSecp256k1, "0a29", "/cosmos.evm.crypto.v1.ethsecp256k1.PubKey"),
    ];
    for (key_type, prefix, type_url) in table {
        let credentials = credentials("alice", key_type, PeerType::Account);
        let message = credentials.message(&ephemeral(1)).unwrap();
        let info = HandshakeInfo::decode(message.info.as_slice()).unwrap();
        let key = hex::encode(credentials.public_key.to_bytes());
        let expected = format!("{prefix}{}12230a21{key}", hex::encode(type_url));
        assert_eq!(hex::encode(&info.account_public_key), expected);
        assert_eq!((info.peer_type, info.curve.as_str(), info.public_key.len()), (1, "P256", 65));
        assert_eq!(info.public_key[0], 4);
        // An EVM signature keeps its V byte (wire 11.4).
        assert_eq!(message.signature.len(), if key_type == KeyType::Secp256k1 { 64 } else { 65 });
    }
}

#[test]
fn keys_are_derived_as_on_the_wire_page() {
    let shared: Vec<u8> = (0..32).collect();
    let keys = derive_keys(&shared, "lumera1client", "lumera1server");
    let expected = "df441f051e5391c31de13c683b42fba693daa57d93a693b0a147c0ee8e8cc7bf6e7e82682bc0431217298243fc4b\
                    121f796794ab1b8828be";
    assert_eq!(hex::encode(keys.bytes()), expected);
}

#[test]
fn both_sides_agree_whatever_their_key_types_and_kinds() {
    for client_type in KEY_TYPES {
        for server_type in KEY_TYPES {
            let client = credentials("alice", client_type, PeerType::Account);
            let server = credentials("bob", server_type, PeerType::Supernode);
            let (handshake, hello) = ClientHandshake::begin(&client, ephemeral(1), server.account()).unwrap();
            let verified = VerifiedClient::verify(&received(&hello)).unwrap();
            assert_eq!(verified.identity().account, client.account());
            assert_eq!(verified.identity().peer_type, PeerType::Account);
            let (answer, at_server) = verified.answer(&server, &ephemeral(2)).unwrap();
            let at_client = handshake.finish(&received(&answer)).unwrap();
            assert_eq!(at_client.peer.account, server.account());
            assert_eq!(at_client.peer.peer_type, PeerType::Supernode);
            assert_eq!(at_client.keys.bytes(), at_server.keys.bytes());
            assert_eq!((at_client.side, at_server.side), (Side::Client, Side::Server));
        }
    }
}

#[test]
fn handshakes_at_the_same_time_do_not_disturb_each_other() {
    // Two with the same peer, and one with another: keys and expectations belong to a handshake, not to the node
    // (wire 11.10).
    let client = credentials("alice", KeyType::Secp256k1, PeerType::Supernode);
    let bob = credentials("bob", KeyType::Secp256k1, PeerType::Supernode);
    let carol = credentials("carol", KeyType::EthSecp256k1, PeerType::Supernode);
    let servers = [&bob, &bob, &carol];
    let begun: Vec<_> = (1..)
        .zip(servers)
        .map(|(number, server)| ClientHandshake::begin(&client, ephemeral(number), server.account()).unwrap())
        .collect();
    let answers: Vec<_> = (11..)
        .zip(servers)
        .zip(&begun)
        .map(|((number, server), (_, hello))| {
            VerifiedClient::verify(&received(hello)).unwrap().answer(server, &ephemeral(number)).unwrap()
        })
        .collect();
    let mut seen = Vec::new();
    for ((handshake, _), (answer, at_server)) in begun.into_iter().zip(answers).rev() {
        let at_client = handshake.finish(&received(&answer)).unwrap();
        assert_eq!(at_client.keys.bytes(), at_server.keys.bytes());
        assert!(!seen.contains(&at_client.keys.bytes().to_vec()));
        seen.push(at_client.keys.bytes().to_vec());
    }
}

#[test]
fn a_server_that_is_somebody_else_is_refused() {
    let client = credentials("alice", KeyType::Secp256k1, PeerType::Supernode);
    let bob = credentials("bob", KeyType::Secp256k1, PeerType::Supernode);
    for expected in ["", "lumera1nobody", &bob.account()[..10], client.account()] {
        let (handshake, hello) = ClientHandshake::begin(&client, ephemeral(1), expected).unwrap();
        let answer =
            VerifiedClient::verify(&received(&hello)).unwrap().answer(&bob, &ephemeral(2)).unwrap().0;
        let refused = handshake.finish(&received(&answer)).err();
        let claimed = bob.account().to_owned();
        assert_eq!(refused, Some(HandshakeError::WrongIdentity { expected: expected.to_owned(), claimed }));
    }
}

#[test]
fn a_message_that_was_reflected_is_refused() {
    let client = credentials("alice", KeyType::Secp256k1, PeerType::Supernode);
    let (handshake, hello) = ClientHandshake::begin(&client, ephemeral(1), "lumera1bob").unwrap();
    let refused = handshake.finish(&received(&hello)).err().unwrap();
    assert!(matches!(refused, HandshakeError::WrongIdentity { .. }), "{refused}");
}

#[test]
fn lies_are_refused_before_anything_is_answered() {
    let carol = TestSigner::new("carol");
    let carol_account = carol.account().to_owned();
    let zeros = |len: usize| vec![0; len];
    let compressed = p256::CompressedPoint::from(ephemeral(3).secret.public_key()).to_vec();
    let any = |type_url: &str, key: Vec<u8>| {
        prost_types::Any { type_url: type_url.to_owned(), value: PubKey { key }.encode_to_vec() }
            .encode_to_vec()
    };
    type Lie = Box<dyn Fn(&mut HandshakeInfo)>;
    let url = KeyType::Secp256k1.type_url();
    let carols_key = any(url, carol.public_key());
    let uncompressed = any(url, zeros(65));
    let off_curve = any(url, [vec![2], vec![0xff; 32]].concat());
    let unknown = any("/cosmos.crypto.ed25519.PubKey", carol.public_key());
    let table: Vec<(&str, Lie)> = vec![
        ("no address", Box::new(|info| info.address.clear())),
        ("a long address", Box::new(|info| info.address = "l".repeat(ACCOUNT_TEXT_LEN_MAX + 1))),
        ("another's address", Box::new(move |info| info.address.clone_from(&carol_account))),
        ("another's key", Box::new(move |info| info.account_public_key.clone_from(&carols_key))),
        ("peer type 0", Box::new(|info| info.peer_type = 0)),
        ("peer type 3", Box::new(|info| info.peer_type = 3)),
        ("peer type -1", Box::new(|info| info.peer_type = -1)),
        ("no account key", Box::new(|info| info.account_public_key.clear())),
        ("an account key that is no message", Box::new(|info| info.account_public_key = vec![0xff; 9])),
        (
            "an account key of unknown type",
            Box::new(move |info| info.account_public_key.clone_from(&unknown)),
        ),
        (
            "an uncompressed account key",
            Box::new(move |info| info.account_public_key.clone_from(&uncompressed)),
        ),
        (
            "an account key off the curve",
            Box::new(move |info| info.account_public_key.clone_from(&off_curve)),
        ),
        ("no ephemeral key", Box::new(|info| info.public_key.clear())),
        ("an ephemeral key at infinity", Box::new(move |info| info.public_key = zeros(1))),
        ("an ephemeral key off the curve", Box::new(|info| info.public_key[40] ^= 1)),
        ("a compressed ephemeral key", Box::new(move |info| info.public_key.clone_from(&compressed))),
    ];
    for key_type in KEY_TYPES {
        assert!(VerifiedClient::verify(&altered("alice", key_type, |_| ())).is_ok(), "the truth is accepted");
        for (what, lie) in &table {
            let message = altered("alice", key_type, lie);
            let refused = VerifiedClient::verify(&message).err();
            assert!(refused.is_some_and(|error| error.blames_peer()), "{what} of {key_type:?} was accepted");
        }
    }
}

#[test]
fn only_the_exact_bytes_are_signed() {
    for key_type in KEY_TYPES {
        let message = altered("alice", key_type, |_| ());
        for position in 0..message.info.len() {
            let mut info = message.info.clone();
            info[position] ^= 1;
            let forged = Message { info, signature: message.signature.clone() };
            assert!(VerifiedClient::verify(&forged).is_err(), "a flipped bit in byte {position}");
        }
        for len_bytes in (0..64).chain(66..70) {
            let mut signature = message.signature.clone();
            signature.resize(len_bytes, 0);
            let forged = Message { info: message.info.clone(), signature };
            assert!(VerifiedClient::verify(&forged).is_err(), "a signature of {len_bytes} bytes");
        }
        // Another encoding of the same fields is as good, and so are fields of later versions (wire 11.3).
        let info = [message.info.as_slice(), &[0xba, 0x3e, 1, 7]].concat();
        let signature = TestSigner::with_key_type("alice", key_type).secret_key().sign_handshake(&info);
        assert!(VerifiedClient::verify(&Message { info, signature }).is_ok());
    }
}

#[test]
fn random_bytes_that_are_no_key_are_refused() {
    for bytes in [[0; 32], [0xff; 32]] {
        assert!(EphemeralKey::from_random(&bytes).is_none());
    }
}

#[test]
fn a_signer_whose_key_is_not_its_accounts_is_refused() {
    struct Wrong(TestSigner);
    impl Signer for Wrong {
        fn account(&self) -> &str {
            "lumera1somebody"
        }
        fn public_key(&self) -> Vec<u8> {
            self.0.public_key()
        }
        fn public_key_type_url(&self) -> &str {
            self.0.public_key_type_url()
        }
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, lampkeeper_plugin_sdk::api::signer::SignError> {
            self.0.sign(message)
        }
    }
    let refused = Credentials::new(Arc::new(Wrong(TestSigner::new("alice"))), PeerType::Supernode).err();
    assert!(matches!(refused, Some(HandshakeError::OwnKey(_))));
}
