//! The transport over real sockets on the loopback interface.

mod clock;
mod common;
mod conformance;
mod hostile;
mod pooling;
mod serving;
