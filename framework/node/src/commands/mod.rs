//! The commands, one module each.

pub mod ask;
pub mod challenges;
pub mod check;
pub mod evidence;
pub mod keys;
pub mod memory;
pub mod plugins;
pub mod run;
pub mod scenario;
pub mod vectors;
