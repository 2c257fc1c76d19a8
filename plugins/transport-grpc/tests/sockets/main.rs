//! The transport over real sockets on the loopback interface.

mod common;
mod conformance;
mod hostile;
mod serving;
