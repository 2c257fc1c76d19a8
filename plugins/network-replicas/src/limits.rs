//! What one call between two nodes may carry. Both sides know these numbers: a client never asks for more, a server
//! refuses more before it spends memory on it.

use lampkeeper_plugin_sdk::api::store::ARTIFACT_LEN_BYTES_MAX;
use lampkeeper_plugin_sdk::api::transport::MESSAGE_LEN_BYTES_MAX;
use lampkeeper_plugin_sdk::protocol::artifact_key::ARTIFACT_KEY_TEXT_LEN_MAX;

/// The most keys in one `Possess`.
pub(crate) const POSSESS_KEYS_MAX: usize = 1024;
/// The most bytes that one `Possess` lets a holder hash; it answers for the keys before and leaves out the rest.
pub(crate) const POSSESS_HASHED_LEN_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most keys in one `Fetch`.
pub(crate) const FETCH_KEYS_MAX: usize = 128;
/// The most bytes of artifacts in one answer to a `Fetch`; the holder leaves out the rest.
pub(crate) const FETCH_ANSWER_LEN_BYTES_MAX: u64 = 12 * 1024 * 1024;
/// The most artifacts in one `Store`.
pub(crate) const STORE_ARTIFACTS_MAX: usize = 256;
/// The most bytes of artifacts in one `Store`.
pub(crate) const STORE_BATCH_LEN_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The longest request that names keys: each is a text with two bytes before it, and there is one flag.
pub(crate) const KEYS_REQUEST_LEN_BYTES_MAX: usize = POSSESS_KEYS_MAX * (ARTIFACT_KEY_TEXT_LEN_MAX + 2) + 16;
/// Fields of a message besides the repeated one: flags, and what newer peers may add.
pub(crate) const EXTRA_FIELDS_MAX: usize = 16;
/// The longest text of a peer that is passed on to people, in characters.
pub(crate) const PEER_TEXT_LEN_CHARS_MAX: usize = 200;
/// The most supernodes that are read from the chain.
pub(crate) const SUPERNODES_MAX: usize = 100_000;
/// The most nodes outside of a key's replica set that are asked for it.
pub(crate) const BEYOND_REPLICA_SET_MAX: usize = 32;
/// The most requests of peers that wait for their turn.
pub(crate) const WAITING_REQUESTS_MAX: usize = 64;
/// How many artifacts of the own store are worked on at once.
pub(crate) const STORE_OPERATIONS_AT_ONCE: usize = 8;

// Otherwise the largest artifact could never be fetched or stored.
const _: () = assert!(ARTIFACT_LEN_BYTES_MAX <= FETCH_ANSWER_LEN_BYTES_MAX);
const _: () = assert!(ARTIFACT_LEN_BYTES_MAX <= STORE_BATCH_LEN_BYTES_MAX);
// Otherwise the largest artifact could never be verified.
const _: () = assert!(ARTIFACT_LEN_BYTES_MAX <= POSSESS_HASHED_LEN_BYTES_MAX);
// Otherwise a full answer, with its keys and lengths, would not be carried.
const _: () = assert!(
    FETCH_ANSWER_LEN_BYTES_MAX as usize + FETCH_KEYS_MAX * (ARTIFACT_KEY_TEXT_LEN_MAX + 32)
        < MESSAGE_LEN_BYTES_MAX
);
const _: () = assert!(STORE_BATCH_LEN_BYTES_MAX as usize + STORE_ARTIFACTS_MAX * 16 < MESSAGE_LEN_BYTES_MAX);
