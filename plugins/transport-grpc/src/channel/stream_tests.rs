//! The stream over pipes of every width.

use super::*;
use crate::channel::handshake::{ClientHandshake, Credentials, EphemeralKey, PeerType, VerifiedClient};
use crate::channel::message::MESSAGE_LEN_BYTES_MAX;
use crate::channel::record::RECEIVED_LEN_BYTES_MAX;
use lampkeeper_plugin_sdk::futures::future::join;
use lampkeeper_plugin_sdk::testkit::{TestSigner, VirtualScheduler};
use std::sync::Arc;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

fn ephemeral(number: u8) -> EphemeralKey {
    EphemeralKey::from_random(&[number; 32]).unwrap()
}

/// What both ends of a handshake know.
fn agreed() -> (Agreement, Agreement) {
    let node = |seed| Credentials::new(Arc::new(TestSigner::new(seed)), PeerType::Supernode).unwrap();
    let (client, server) = (node("client"), node("server"));
    let (handshake, hello) = ClientHandshake::begin(&client, ephemeral(1), server.account()).unwrap();
    let complete = |bytes: &[u8]| match Message::progress(bytes).unwrap() {
        Progress::Complete(message) => message,
        Progress::Needs(_) => panic!("a whole message"),
    };
    let (answer, at_server) =
        VerifiedClient::verify(&complete(&hello)).unwrap().answer(&server, &ephemeral(2)).unwrap();
    (handshake.finish(&complete(&answer)).unwrap(), at_server)
}

/// A client and a server over a pipe that holds so many bytes.
fn pair(pipe_len_bytes: usize) -> (SecureStream<DuplexStream>, SecureStream<DuplexStream>) {
    let (client, server) = agreed();
    let (near, far) = duplex(pipe_len_bytes);
    (SecureStream::new(near, client), SecureStream::new(far, server))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    VirtualScheduler::new(0).block_on(work)
}

#[test]
fn bytes_arrive_as_they_were_written_through_pipes_of_any_width() {
    let lengths = [0, 1, PLAINTEXT_LEN_BYTES_MAX, SEALED_AT_ONCE_LEN_BYTES + 1, 1_000_000];
    for pipe_len_bytes in [1, 7, 4096, 1 << 20] {
        for len_bytes in lengths.into_iter().filter(|len| len / pipe_len_bytes < 100_000) {
            let sent: Vec<u8> = (0..len_bytes).map(|i| (i * 7) as u8).collect();
            let (mut client, mut server) = pair(pipe_len_bytes);
            let write = async {
                let mut rest = [IoSlice::new(&sent[..len_bytes / 3]), IoSlice::new(&sent[len_bytes / 3..])];
                let mut rest = &mut rest[..];
                while rest.iter().any(|slice| !slice.is_empty()) {
                    let written = client.write_vectored(rest).await.unwrap();
                    IoSlice::advance_slices(&mut rest, written);
                }
                client.shutdown().await.unwrap();
            };
            let read = async {
                let mut received = Vec::new();
                server.read_to_end(&mut received).await.unwrap();
                received
            };
            let received = run(join(write, read)).1;
            assert!(received == sent, "{len_bytes} bytes through {pipe_len_bytes}");
        }
    }
}

#[test]
fn a_handshake_message_is_read_and_nothing_behind_it() {
    let message = Message { info: vec![1; 200], signature: vec![2; 64] };
    let (mut near, mut far) = duplex(64);
    let write = async {
        near.write_all(&message.encode()).await.unwrap();
        near.write_all(b"records").await.unwrap();
    };
    let ((), (read, behind)) = run(join(write, async {
        let read = read_message(&mut far).await.unwrap();
        let mut behind = [0; 7];
        far.read_exact(&mut behind).await.unwrap();
        (read, behind)
    }));
    assert_eq!((read, &behind), (message, b"records"));
}

#[test]
fn a_handshake_that_breaks_off_or_announces_too_much_ends() {
    let good = Message { info: vec![1; 9], signature: vec![2; 64] }.encode();
    let outcome = |bytes: Vec<u8>| {
        run(async move {
            let (mut near, mut far) = duplex(MESSAGE_LEN_BYTES_MAX + 8);
            near.write_all(&bytes).await.unwrap();
            drop(near);
            read_message(&mut far).await
        })
    };
    for len_bytes in 0..good.len() {
        let broken_off = outcome(good[..len_bytes].to_vec());
        assert!(matches!(broken_off, Err(ReadError::Connection(_))), "{len_bytes}: {broken_off:?}");
    }
    let announced = outcome(u32::MAX.to_be_bytes().to_vec());
    assert!(matches!(announced, Err(ReadError::Handshake(HandshakeError::TooLong { .. }))));
}

#[test]
fn memory_follows_what_was_sent_not_what_was_announced() {
    let (_, server) = agreed();
    let (mut near, far) = duplex(RECEIVED_LEN_BYTES_MAX);
    let mut server = SecureStream::new(far, server);
    let announced = u32::try_from(RECEIVED_LEN_BYTES_MAX).unwrap().to_le_bytes();
    run(async {
        for sent_bytes in [0, 1000, 100_000, 400_000] {
            near.write_all(&announced[..]).await.ok();
            near.write_all(&vec![6; sent_bytes]).await.unwrap();
            let polled = std::future::poll_fn(|context| Poll::Ready(server.poll_plaintext(context))).await;
            assert!(polled.is_pending());
            let total: usize = 520_000; // all rounds together
            assert!(server.buffered_bytes() <= 2 * total, "{} bytes", server.buffered_bytes());
            if sent_bytes == 0 {
                assert!(server.buffered_bytes() <= READ_LEN_BYTES_MIN, "{} bytes", server.buffered_bytes());
            }
        }
    });
}

#[test]
fn a_forged_record_ends_the_stream_for_good() {
    let (client, server) = agreed();
    let (mut near, far) = duplex(1 << 16);
    let mut server = SecureStream::new(far, server);
    let mut sealer = client.keys.sealer(client.side);
    let mut frames = Vec::new();
    sealer.seal(b"good", &mut frames).unwrap();
    let forged_at = frames.len() + 12;
    sealer.seal(b"forged", &mut frames).unwrap();
    sealer.seal(b"good again", &mut frames).unwrap();
    frames[forged_at] ^= 1;
    run(async {
        near.write_all(&frames).await.unwrap();
        let mut good = [0; 4];
        server.read_exact(&mut good).await.unwrap();
        assert_eq!(&good, b"good");
        for _ in 0..3 {
            let error = server.read(&mut good).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(server.write(b"answer").await.is_err());
        }
    });
}

#[test]
fn a_connection_that_ends_inside_a_record_is_not_a_proper_end() {
    let (client, server) = agreed();
    let (mut near, far) = duplex(1 << 16);
    let mut server = SecureStream::new(far, server);
    let mut frames = Vec::new();
    client.keys.sealer(client.side).seal(b"half", &mut frames).unwrap();
    run(async {
        near.write_all(&frames[..frames.len() - 1]).await.unwrap();
        drop(near);
        let error = server.read(&mut [0; 4]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_replayed_handshake_never_gets_past_its_first_record() {
    // Whoever replays a message has not the ephemeral key in it, so can seal nothing.
    let (_, server) = agreed();
    let (mut near, far) = duplex(1 << 16);
    let mut server = SecureStream::new(far, server);
    let mut frames = Vec::new();
    let other = agreed_with_other_keys();
    other.keys.sealer(other.side).seal(b"PRI * HTTP/2.0", &mut frames).unwrap();
    run(async {
        near.write_all(&frames).await.unwrap();
        assert_eq!(server.first_record().await.unwrap_err().kind(), ErrorKind::InvalidData);
    });
}

/// A client's end whose ephemeral key is another one than the server saw.
fn agreed_with_other_keys() -> Agreement {
    let (client, server) = agreed();
    let node = |seed| Credentials::new(Arc::new(TestSigner::new(seed)), PeerType::Supernode).unwrap();
    let (handshake, _) = ClientHandshake::begin(&node("client"), ephemeral(3), &server_account()).unwrap();
    drop((client, server));
    let (_, hello) = ClientHandshake::begin(&node("client"), ephemeral(1), &server_account()).unwrap();
    let Ok(Progress::Complete(hello)) = Message::progress(&hello) else { panic!("a whole message") };
    let (answer, _) = VerifiedClient::verify(&hello).unwrap().answer(&node("server"), &ephemeral(2)).unwrap();
    let Ok(Progress::Complete(answer)) = Message::progress(&answer) else { panic!("a whole message") };
    handshake.finish(&answer).unwrap()
}

fn server_account() -> String {
    use lampkeeper_plugin_sdk::api::signer::Signer as _;
    TestSigner::new("server").account().to_owned()
}
