//! The rules that all nodes must agree on, byte for byte.
//!
//! Everything here is a pure function of its arguments: no I/O, no clock, no async, no `unsafe`. Each item names the
//! section of the protocol pages that it follows ("wire 1.5" is section 1.5 of the wire page, "chain 7.3" section
//! 7.3 of the chain page). What a node decides beyond these rules is left to the plugins.
#![forbid(unsafe_code)]

pub mod account;
pub mod artifact_key;
pub mod assignment;
pub mod cascade;
pub mod document_signature;
pub mod epoch;
pub mod hash;
pub mod heal;
pub mod legacy;
pub mod placement;
pub mod score;
pub mod selection;
pub mod transcript;
pub mod vectors;
pub mod verified_slice;
pub mod words;
