//! Fetching a healer's file to verify it: streamed, hashed, never kept (wire 5.10).
//!
//! Owns telling the healer's faults from our own. Only the former may become a vote.

use crate::node::{Node, PROBE_TIMEOUT};
use lampkeeper_plugin_sdk::address::host_and_port;
use lampkeeper_plugin_sdk::api::chain::{HealOp, PortState, SupernodeState};
use lampkeeper_plugin_sdk::api::transport::{CallError, MessageStream, Peer, StatusCode};
use lampkeeper_plugin_sdk::cascade::DataHasher;
use lampkeeper_proto::methods::SERVE_RECONSTRUCTED_ARTEFACTS;
use lampkeeper_proto::supernode::{ServeReconstructedArtefactsRequest, ServeReconstructedArtefactsResponse};
use prost::Message as _;

/// The largest file that is fetched (wire 5.1).
const FILE_LEN_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Other nodes that are tried to see whether this node is connected at all.
const OTHERS_TRIED_MAX: usize = 3;

/// What was streamed, and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchedFile {
    pub(crate) data_hash: String,
    pub(crate) len_bytes: u64,
}

/// Why there is no hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FetchFailure {
    /// The healer's fault: after enough attempts, a no.
    Healers(String),
    /// The healer could not be reached: its fault only if this node reaches others.
    Unreachable(String),
    /// The healer refuses in a way that an honest one may for a while: it does not see the chain as we do (wire 5.9
    /// answers NotFound for that), or its disk fails. Its fault only if it goes on.
    Refused(String),
    /// Our own fault or the chain's: nothing may be said about the healer.
    Ours(String),
}

impl FetchFailure {
    fn of_call(error: &CallError) -> Self {
        if error.is_ours() {
            return Self::Ours(error.to_string());
        }
        match error {
            CallError::Unreachable { .. } | CallError::TimedOut { .. } => {
                Self::Unreachable(error.to_string())
            }
            CallError::Refused { status, .. } => match status.code {
                // It is busy: it may be asked again, and if it always is, the operation expires.
                StatusCode::ResourceExhausted => Self::Ours(error.to_string()),
                StatusCode::NotFound
                | StatusCode::FailedPrecondition
                | StatusCode::Unavailable
                | StatusCode::Internal => Self::Refused(error.to_string()),
                _ => Self::Healers(error.to_string()),
            },
            _ => Self::Healers(error.to_string()),
        }
    }

    fn healers<T>(reason: impl Into<String>) -> Result<T, Self> {
        Err(Self::Healers(reason.into()))
    }
}

/// Sizes that a file of the ticket can have, in bytes: the chain knows it in KiB, rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PossibleSize {
    pub(crate) min_bytes: u64,
    pub(crate) max_bytes: u64,
}

impl PossibleSize {
    pub(crate) fn of_kib(file_size_kbs: i64) -> Self {
        match u64::try_from(file_size_kbs) {
            Ok(kib @ 1..) => {
                let max_bytes = kib.saturating_mul(1024).min(FILE_LEN_BYTES_MAX);
                Self { min_bytes: max_bytes.saturating_sub(1023), max_bytes }
            }
            _ => Self { min_bytes: 1, max_bytes: FILE_LEN_BYTES_MAX },
        }
    }

    const fn fits(self, len_bytes: u64) -> bool {
        self.min_bytes <= len_bytes && len_bytes <= self.max_bytes
    }
}

impl Node {
    /// One attempt. A healer that goes on sending is listened to until the operation's deadline, which is the caller's to
    /// keep; one that falls silent for the fetch timeout has failed.
    pub(crate) async fn fetch_once(
        &self,
        heal_op: &HealOp,
        size: PossibleSize,
    ) -> Result<FetchedFile, FetchFailure> {
        let account = &heal_op.healer_supernode_account;
        let healer = self.chain.supernode(account).await;
        let address = match healer {
            Ok(healer) if !healer.latest_address.is_empty() => healer.latest_address,
            Ok(_) => return Err(FetchFailure::Ours("the chain knows no address of the healer".to_owned())),
            Err(error) => return Err(FetchFailure::Ours(error.to_string())),
        };
        let request = ServeReconstructedArtefactsRequest {
            heal_op_id: heal_op.heal_op_id,
            verifier_account: self.account.clone(),
        };
        let peer = Peer { account: account.clone(), address };
        let stream = self
            .transport
            .call_stream(
                &peer,
                SERVE_RECONSTRUCTED_ARTEFACTS,
                request.encode_to_vec(),
                self.config.fetch_timeout(),
            )
            .await;
        match stream {
            Ok(mut stream) => receive(&mut *stream, size).await,
            Err(error) => Err(FetchFailure::of_call(&error)),
        }
    }

    /// Whether this node reaches anybody besides the healer. Nobody to try means that it can't be told.
    pub(crate) async fn is_connected(&self, healer: &str) -> bool {
        let Ok(others) = self.chain.some_supernodes().await else { return false };
        let others = others.into_iter().filter(|other| {
            other.state == SupernodeState::Active
                && other.supernode_account != healer
                && other.supernode_account != self.account
        });
        let others: Vec<_> = others.collect();
        let places = others.iter().filter_map(|other| host_and_port(&other.latest_address));
        for (host, port) in places.take(OTHERS_TRIED_MAX) {
            if self.transport.probe_port(host, port, PROBE_TIMEOUT).await == PortState::Open {
                return true;
            }
        }
        false
    }
}

/// Reads the stream to its end and hashes it (wire 5.10).
async fn receive(stream: &mut dyn MessageStream, size: PossibleSize) -> Result<FetchedFile, FetchFailure> {
    let mut hasher = DataHasher::new();
    let mut advertised = None;
    loop {
        let message = match stream.next().await {
            Some(Ok(message)) => message,
            Some(Err(status)) if status.code == StatusCode::Internal => {
                return Err(FetchFailure::Refused(format!("the healer could not go on: {status}")));
            }
            Some(Err(status)) => {
                return FetchFailure::healers(format!("the healer's stream broke off: {status}"));
            }
            // The reference takes what it has; a truncated file must not look like a wrong one.
            None => return FetchFailure::healers("the healer's stream ended before the file did"),
        };
        let Ok(message) = ServeReconstructedArtefactsResponse::decode(&message[..]) else {
            return FetchFailure::healers("the healer sent something that is no message");
        };
        let total = *advertised.get_or_insert(message.total_size);
        if !size.fits(total) {
            return FetchFailure::healers(format!(
                "the healer's file has {total} bytes, which is not the ticket's"
            ));
        }
        if message.chunk.is_empty() && !message.is_last {
            return FetchFailure::healers("the healer sent an empty chunk");
        }
        hasher.update(&message.chunk);
        match hasher.len_bytes() {
            received if received > total => {
                return FetchFailure::healers(format!(
                    "the healer sent more than the {total} bytes it announced"
                ));
            }
            received if message.is_last && received < total => {
                return FetchFailure::healers(format!(
                    "the healer sent {received} of the {total} bytes it announced"
                ));
            }
            len_bytes if message.is_last => {
                return Ok(FetchedFile { data_hash: hasher.data_hash(), len_bytes });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::api::transport::Status;
    use lampkeeper_plugin_sdk::async_trait;
    use lampkeeper_plugin_sdk::testkit::VirtualScheduler;

    struct Messages(Vec<Result<Vec<u8>, Status>>);

    #[async_trait]
    impl MessageStream for Messages {
        async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
            if self.0.is_empty() { None } else { Some(self.0.remove(0)) }
        }
    }

    fn message(chunk: &[u8], total_size: u64, is_last: bool) -> Result<Vec<u8>, Status> {
        Ok(ServeReconstructedArtefactsResponse { chunk: chunk.to_vec(), total_size, is_last }.encode_to_vec())
    }

    #[test]
    fn a_file_counts_only_if_it_arrives_whole() {
        let broken = || Err(Status::new(StatusCode::Unavailable, "gone"));
        // Messages; the length that was taken, or part of the reason why not.
        type Row = (Vec<Result<Vec<u8>, Status>>, Result<u64, &'static str>);
        let table: Vec<Row> = vec![
            (vec![message(b"hello", 5, true)], Ok(5)),
            (vec![message(b"he", 5, false), message(b"llo", 0, true)], Ok(5)),
            (vec![message(b"hello", 5, false), message(b"", 0, true)], Ok(5)),
            // What follows the last message is not read.
            (vec![message(b"hello", 5, true), broken()], Ok(5)),
            (vec![], Err("ended before")),
            // A healer that stalls: the transport gives up waiting for the next message.
            (
                vec![
                    message(b"he", 5, false),
                    Err(Status::new(StatusCode::DeadlineExceeded, "silent for 60 s")),
                ],
                Err("silent for 60 s"),
            ),
            (vec![message(b"he", 5, false)], Err("ended before")),
            (vec![message(b"he", 5, false), broken()], Err("broke off")),
            (vec![message(b"he", 5, true)], Err("2 of the 5")),
            (vec![message(b"hello!", 5, true)], Err("more than")),
            (vec![message(b"hello", 5, false), message(b"!", 0, true)], Err("more than")),
            (vec![message(b"hello", 0, true)], Err("0 bytes")),
            (vec![message(b"hello", 2000, true)], Err("2000 bytes")),
            (vec![message(b"he", 5, false), message(b"", 0, false)], Err("empty chunk")),
            (vec![Ok(vec![255, 255])], Err("no message")),
        ];
        for (position, (messages, expected)) in table.into_iter().enumerate() {
            let outcome =
                VirtualScheduler::new(0).block_on(receive(&mut Messages(messages), PossibleSize::of_kib(1)));
            match (&outcome, expected) {
                (Ok(file), Ok(len_bytes)) => {
                    assert_eq!(file.len_bytes, len_bytes, "row {position}");
                    assert_eq!(
                        file.data_hash, "6o8WPbOGgpJeRJHF5Y1Ls1Bu+MFOt4qG6QjFYkpnIA8=",
                        "row {position}"
                    );
                }
                (Err(FetchFailure::Healers(reason)), Err(part)) => {
                    assert!(reason.contains(part), "row {position}: {reason}");
                }
                _ => panic!("row {position}: {outcome:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn the_size_on_the_chain_is_rounded_up() {
        for (kib, len_bytes, fits) in [
            (1, 1, true),
            (1, 1024, true),
            (1, 1025, false),
            (2, 1024, false),
            (2, 1025, true),
            (0, 9999, true),
        ] {
            assert_eq!(PossibleSize::of_kib(kib).fits(len_bytes), fits, "{len_bytes} bytes, {kib} KiB");
        }
        assert!(
            !PossibleSize::of_kib(0).fits(FILE_LEN_BYTES_MAX + 1) && !PossibleSize::of_kib(i64::MAX).fits(0)
        );
    }
}
