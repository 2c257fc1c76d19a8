//! The commands, one module each.

pub mod ask;
pub mod check;
pub mod keys;
pub mod plugins;
pub mod run;
pub mod scenario;
pub mod vectors;
