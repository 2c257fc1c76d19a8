//! The protobuf messages of the supernode and chain wires.
//!
//! The schemas stand in `proto/`, one folder a package; this crate is what they compile to. A module is a
//! package: `lumera.audit.v1.Params` is [`lumera::audit::v1::Params`].
//!
//! | modules | spoken with | specified in |
//! | --- | --- | --- |
//! | [`supernode`] | every supernode of the network, over the secure channel | wire 2.1 to 2.3 |
//! | [`cascade`] | clients that upload and download | wire 2.4 |
//! | [`grpc`] | supernodes and monitoring | wire 2.5 |
//! | [`lampkeeper`] | other Lampkeeper nodes only, over the same channel | its schema |
//! | [`lumera`] | the chain; `lumeraid` is the secure channel's handshake | wire 2.6 to 2.9 |
//! | [`cosmos`], [`tendermint`], [`ibc`] | the chain, as far as a node uses them | wire 2.10, 9.6 |
//!
//! Lampkeeper's own fields in the network's messages have numbers from 1001 up. Peers that do not know them
//! skip them, and a message that leaves them unset has the bytes it would have without them.
//!
//! It owns shapes, not rules: decoding checks no limit but protobuf's own, so the size of a message is bounded by
//! whoever reads it, before decoding. It leaves clients and servers of the services to the plugins that need
//! them, and keeps no unknown field: what must be signed or relayed as received is kept as bytes.
//!
//! Enumerations are open. A field of one is an `i32` that may hold a number without a name, which survives
//! decoding and encoding; the getter of such a field answers with the default, so use `try_from` where the
//! difference matters.
//!
//! # Examples
//!
//! A message for the chain, wrapped with its type URL:
//!
//! ```
//! use lampkeeper_proto::lumera::audit::v1::MsgClaimHealComplete;
//!
//! let message = MsgClaimHealComplete { heal_op_id: 7, ..Default::default() };
//! let wrapped = prost_types::Any::from_msg(&message)?;
//! assert_eq!(wrapped.type_url, "/lumera.audit.v1.MsgClaimHealComplete");
//! # Ok::<(), prost::EncodeError>(())
//! ```

pub mod calls;
pub mod methods;

#[allow(
    missing_docs,
    clippy::all,
    reason = "generated: the schemas document what names do not say, and their names are not ours to choose"
)]
mod packages {
    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}

/// Upload and download of files by clients (package `cascade`, wire 2.4).
pub use packages::cascade;
/// The parts of the Cosmos SDK's packages that a node uses (wire 2.10, 9.6).
pub use packages::cosmos;
/// The standard gRPC health service (wire 2.5).
pub use packages::grpc;
/// The one account type of IBC that an account query may return (wire 2.10).
pub use packages::ibc;
/// Calls between Lampkeeper nodes.
pub use packages::lampkeeper;
/// The chain's own packages (wire 2.6 to 2.9).
pub use packages::lumera;
/// Storage challenges, healing and status between supernodes (package `supernode`, wire 2.1 to 2.3).
pub use packages::supernode;
/// The parts of the consensus engine's packages that a node uses (wire 2.10).
pub use packages::tendermint;

/// Every schema of this crate and what it imports, as an encoded `google.protobuf.FileDescriptorSet` without
/// comments: for gRPC server reflection and for tools.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
