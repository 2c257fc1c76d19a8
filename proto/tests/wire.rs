//! Known bytes of representative messages, what old peers see of our own fields, and numbers without a name.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use lampkeeper_proto::cascade::{RegisterResponse, SupernodeEventType};
use lampkeeper_proto::cosmos::crypto::secp256k1::PubKey;
use lampkeeper_proto::cosmos::evm::crypto::v1::ethsecp256k1;
use lampkeeper_proto::cosmos::tx::v1beta1::SignDoc;
use lampkeeper_proto::lumera::audit::v1::{
    HostReport, Params, PortState, StorageProofResult, StorageProofResultClass,
};
use lampkeeper_proto::lumera::lumeraid::HandshakeInfo;
use lampkeeper_proto::supernode::status_response::Lep6Metrics;
use lampkeeper_proto::supernode::{
    ByteRange, GetCompoundProofRequest, GetCompoundProofResponse, GetSliceProofRequest,
    GetSliceProofResponse, ServeReconstructedArtefactsRequest, ServeReconstructedArtefactsResponse,
    VerifySliceProofRequest, VerifySliceProofResponse,
};
use prost::{Message, Name as _};
use prost_types::Any;

/// wire 11.3, the computed example; its 64 bytes of 0x11 are spelt out by the test.
const HANDSHAKE_HEAD: &str = "0a0d6c756d65726131636c69656e7410021a4104";
const HANDSHAKE_TAIL: &str = "22460a1f2f636f736d6f732e63727970746f2e736563703235366b312e5075624b6579\
    12230a21020102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202a0450323536";

#[test]
fn handshake_info_has_the_bytes_of_the_protocol() {
    let account_key: Vec<u8> = std::iter::once(2).chain(1..=32).collect();
    let ephemeral_key: Vec<u8> = std::iter::once(4).chain([0x11; 64]).collect();
    let info = HandshakeInfo {
        address: "lumera1client".to_owned(),
        peer_type: 2,
        public_key: ephemeral_key,
        account_public_key: Any::from_msg(&PubKey { key: account_key }).expect("encodes").encode_to_vec(),
        curve: "P256".to_owned(),
    };

    let expected = format!("{HANDSHAKE_HEAD}{}{HANDSHAKE_TAIL}", "11".repeat(64));
    assert_eq!(hex::encode(info.encode_to_vec()), expected);
    assert_eq!(info.encoded_len(), 162);
    assert_eq!(HandshakeInfo::decode(info.encode_to_vec().as_slice()), Ok(info));
}

#[test]
fn type_urls_are_those_of_the_chain() {
    // wire 2.10
    assert_eq!(PubKey::type_url(), "/cosmos.crypto.secp256k1.PubKey");
    assert_eq!(ethsecp256k1::PubKey::type_url(), "/cosmos.evm.crypto.v1.ethsecp256k1.PubKey");
}

#[test]
fn messages_have_known_bytes() {
    check(
        &SignDoc {
            body_bytes: vec![1],
            auth_info_bytes: vec![2, 3],
            chain_id: "c".to_owned(),
            account_number: 300,
        },
        "0a0101 12020203 1a0163 20ac02",
    );
    // Repeated scalars are packed; a double is little-endian.
    check(
        &HostReport {
            disk_usage_percent: 1.0,
            inbound_port_states: vec![PortState::Open.into(), PortState::Closed.into()],
            ..Default::default()
        },
        "19000000000000f03f 22020102",
    );
    // Numbers from 16 up take two bytes of tag; a negative int64 takes ten.
    check(
        &Params {
            required_open_ports: vec![4444, 80],
            storage_truth_node_suspicion_decay_per_epoch: -1,
            storage_truth_heal_verifier_count: 2,
            ..Default::default()
        },
        "3203dc2250 e001ffffffffffffffffff01 980302",
    );
    // A map is a repeated message; its keys are emitted in order, whatever the order of insertion.
    check(
        &Lep6Metrics {
            ticket_discovery_total: [("b".to_owned(), 2), ("a".to_owned(), 1)].into(),
            ..Default::default()
        },
        "3205 0a0161 1001 3205 0a0162 1002",
    );
}

/// The messages between nodes as the existing network writes them: every field of wire 2.1 and 2.2 with a value, and none of
/// our own. They are read, and ours without extensions are the same bytes.
#[test]
fn messages_of_peers_have_the_bytes_of_the_protocol() {
    let range = |start, end| ByteRange { start, end };
    check(
        &GetCompoundProofRequest {
            challenge_id: "c1".to_owned(),
            epoch_id: 7,
            seed: vec![0xaa, 0xbb],
            ticket_id: "17".to_owned(),
            target_supernode_account: "t".to_owned(),
            challenger_account: "a".to_owned(),
            observer_accounts: vec!["o".to_owned()],
            artifact_class: 2,
            artifact_ordinal: 300,
            artifact_count: 301,
            bucket_type: 1,
            artifact_key: "k".to_owned(),
            artifact_size: 65_532,
            ranges: vec![range(256, 512), range(0, 256)],
            want_verified_slices: false,
        },
        "0a026331 1007 1a02aabb 22023137 2a0174 320161 3a016f 4002 48ac02 50ad02 5801 62016b 68fcff03 \
         7206088002108004 7203108002",
    );
    check(
        &GetCompoundProofResponse {
            challenge_id: "c1".to_owned(),
            epoch_id: 7,
            ticket_id: "17".to_owned(),
            artifact_class: 2,
            artifact_ordinal: 300,
            bucket_type: 1,
            artifact_key: "k".to_owned(),
            range_bytes: vec![vec![1, 2], vec![3, 4]],
            proof_hash_hex: "ff".to_owned(),
            recipient_signature: "00".to_owned(),
            ok: true,
            error: "e".to_owned(),
            ..Default::default()
        },
        "0a026331 1007 1a023137 2002 28ac02 3001 3a016b 42020102 42020304 4a026666 52023030 5801 620165",
    );
    check(
        &GetSliceProofRequest {
            challenge_id: "c1".to_owned(),
            epoch_id: 7,
            seed: vec![0xaa],
            file_key: "k".to_owned(),
            requested_start: 1,
            requested_end: 1024,
            challenger_id: "a".to_owned(),
            recipient_id: "t".to_owned(),
            observer_ids: vec!["o".to_owned()],
        },
        "0a026331 1007 1a01aa 22016b 2801 308008 3a0161 420174 4a016f",
    );
    check(
        &GetSliceProofResponse {
            challenge_id: "c1".to_owned(),
            epoch_id: 7,
            file_key: "k".to_owned(),
            start: 1,
            end: 3,
            recipient_id: "t".to_owned(),
            slice: vec![1, 2],
            proof_hash_hex: "ff".to_owned(),
            ok: true,
            error: "e".to_owned(),
        },
        "0a026331 1007 1a016b 2001 2803 320174 3a020102 42026666 4801 520165",
    );
    check(
        &VerifySliceProofRequest {
            challenge_id: "c1".to_owned(),
            epoch_id: 7,
            file_key: "k".to_owned(),
            start: 1,
            end: 3,
            slice: vec![1, 2],
            proof_hash_hex: "ff".to_owned(),
            challenger_id: "a".to_owned(),
            recipient_id: "t".to_owned(),
        },
        "0a026331 1007 1a016b 2001 2803 32020102 3a026666 420161 4a0174",
    );
    check(
        &VerifySliceProofResponse {
            challenge_id: "c1".to_owned(),
            epoch_id: 7,
            observer_id: "o".to_owned(),
            ok: true,
            error: "e".to_owned(),
        },
        "0a026331 1007 1a016f 2001 2a0165",
    );
    check(
        &ServeReconstructedArtefactsRequest { heal_op_id: 300, verifier_account: "bob".to_owned() },
        "08ac02 1203626f62",
    );
    check(
        &ServeReconstructedArtefactsResponse { chunk: vec![1, 2], total_size: 3, is_last: false },
        "0a020102 1003",
    );
    check(
        &ServeReconstructedArtefactsResponse { chunk: vec![3], total_size: 0, is_last: true },
        "0a0103 1801",
    );
}

#[test]
fn own_fields_are_only_appended() {
    let plain = GetCompoundProofRequest {
        challenge_id: "c".to_owned(),
        ranges: vec![ByteRange { start: 1, end: 2 }],
        ..Default::default()
    };
    check(&plain, "0a0163 7204 0801 1002");
    let asking = GetCompoundProofRequest { want_verified_slices: true, ..plain };
    check(&asking, "0a0163 7204 0801 1002 c83e01");

    let plain = GetCompoundProofResponse { ok: true, ..Default::default() };
    check(&plain, "5801");
    let proving = GetCompoundProofResponse { verified_slices: vec![7], artifact_size: 5, ..plain };
    check(&proving, "5801 ca3e0107 d03e05");
}

/// The field of [`GetCompoundProofResponse`] that a peer without our extension reads here.
#[derive(Clone, PartialEq, Message)]
struct OldResponse {
    #[prost(bool, tag = "11")]
    ok: bool,
}

#[test]
fn peers_that_do_not_know_a_field_skip_it() {
    let response = GetCompoundProofResponse {
        ok: true,
        verified_slices: vec![0xff; 300],
        artifact_size: u64::MAX,
        ..Default::default()
    };
    assert_eq!(OldResponse::decode(response.encode_to_vec().as_slice()), Ok(OldResponse { ok: true }));

    let from_old = GetCompoundProofResponse::decode(OldResponse { ok: true }.encode_to_vec().as_slice());
    assert_eq!(from_old, Ok(GetCompoundProofResponse { ok: true, ..Default::default() }));
}

#[test]
fn numbers_without_a_name_survive() {
    // 18 and 19 are on the wire although the schema does not name them (wire 2.4).
    for number in [17, 18, 19, i32::MAX, -1] {
        let sent = RegisterResponse { event_type: number, ..Default::default() };
        let received = RegisterResponse::decode(sent.encode_to_vec().as_slice()).expect("decodes");
        assert_eq!(received.event_type, number);
        assert_eq!(SupernodeEventType::try_from(number).is_ok(), number == 17);
    }

    let sent = StorageProofResult { result_class: 99, ..Default::default() };
    let received = StorageProofResult::decode(sent.encode_to_vec().as_slice()).expect("decodes");
    assert_eq!(received.encode_to_vec(), sent.encode_to_vec());
    // What the crate's documentation warns of.
    assert_eq!(received.result_class(), StorageProofResultClass::Unspecified);

    // In a packed list, too.
    let sent = HostReport { inbound_port_states: vec![1, 99, 2], ..Default::default() };
    let received = HostReport::decode(sent.encode_to_vec().as_slice()).expect("decodes");
    assert_eq!(received.inbound_port_states, [1, 99, 2]);
}

#[test]
fn enum_names_are_those_of_the_chains_json() {
    // wire 2.6: the JSON forms carry the enum's prefix.
    assert_eq!(StorageProofResultClass::Pass.as_str_name(), "STORAGE_PROOF_RESULT_CLASS_PASS");
    assert_eq!(PortState::from_str_name("PORT_STATE_OPEN"), Some(PortState::Open));
}

#[test]
fn truncated_messages_are_refused() {
    let whole = HandshakeInfo { address: "lumera1client".to_owned(), peer_type: 2, ..Default::default() };
    let whole = whole.encode_to_vec();
    // Cuts between fields give a shorter message that is valid; these are inside one.
    for cut in [1, 2, 8, 14, 16] {
        assert!(HandshakeInfo::decode(&whole[..cut]).is_err(), "cut after {cut} of {} bytes", whole.len());
    }
}

/// Encodes `message`, compares it with `expected_hex` (blanks are for the reader) and decodes it again.
#[track_caller]
fn check<M: Message + Default + PartialEq + std::fmt::Debug>(message: &M, expected_hex: &str) {
    let bytes = message.encode_to_vec();
    assert_eq!(hex::encode(&bytes), expected_hex.replace(' ', ""));
    assert_eq!(&M::decode(bytes.as_slice()).expect("decodes what it encoded"), message);
}
