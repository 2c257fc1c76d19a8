//! The commands, one module each.

pub mod ask;
pub mod challenges;
pub mod check;
pub mod conform;
pub mod evidence;
#[cfg(feature = "self-healing")]
pub mod heals;
#[cfg(not(feature = "self-healing"))]
#[path = "heals_left_out.rs"]
pub mod heals;
pub mod keys;
pub mod memory;
pub mod passphrase;
pub mod plugins;
pub mod run;
pub mod scenario;
pub mod standing;
pub mod vectors;
