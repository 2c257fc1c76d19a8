//! Tests of the plugin around a small world: a ticket, some supernodes, a scripted chain, a transport without a network.

mod answers;
mod asking;
mod history;
mod legacy_calls;
mod recording;
mod reference;
mod repeating;
mod rhythm;
mod serving;
mod support;
