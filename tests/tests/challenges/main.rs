//! Networks of nodes that challenge each other, in virtual time, on a simulated chain: who lies is caught, who is honest
//! is not accused.
#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::print_stdout, reason = "a page of the documentation shows what is printed")]

mod adversaries;
mod evidence;
mod honesty;
mod liars;
mod network;
mod seen;
