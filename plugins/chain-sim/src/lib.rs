//! A deterministic simulation of the chain: its audit rules in full, and of the action and supernode modules what a
//! node touches.
//!
//! The middle of the crate is a pure state machine without I/O, clock or async. A [`State`] executes blocks
//! ([`State::begin_block`], [`State::deliver`], [`State::end_block`]) and answers [`queries`]. Testers write its public
//! fields directly ("planted" state), save it and load it as JSON. Every rule names the section of the protocol page
//! that it follows.
//!
//! Around it, [`SimChain`](chain::SimChain) makes blocks in the scheduler's time and hands out chain clients, and
//! [`injection`] makes them fail on purpose.
//!
//! ```
//! use lampkeeper_chain_sim::state::supernodes::SupernodeRecord;
//! use lampkeeper_chain_sim::{ChainConfig, State};
//! use lampkeeper_plugin_sdk::api::chain::SupernodeState;
//!
//! let mut state = State::new(ChainConfig::default());
//! state.supernode.supernodes.insert(SupernodeRecord::planted("operator", "node", SupernodeState::Active, 0));
//! state.advance_to(400)?;
//! let node = state.query_supernode_by_account("node").map_err(|error| error.to_string())?;
//! assert_eq!(node.state(), SupernodeState::Postponed, "it sent no report");
//! assert_eq!(node.states[1].reason, "audit_missing_reports");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

use lampkeeper_plugin_sdk::{api, protocol};

pub mod action_module;
pub mod address;
pub mod assignment;
pub mod block;
pub mod chain;
mod enforcement;
mod epoch;
pub mod event;
mod evidence;
pub mod genesis;
mod heal;
pub mod injection;
pub mod message;
mod names;
pub mod params;
pub mod plugin;
pub mod queries;
mod recheck;
pub mod refusal;
mod report;
mod retention;
pub mod scenario;
mod scoring;
pub mod state;
mod supernode_module;
pub mod transaction;

pub use block::{Block, BlockError, Delivered};
pub use event::Event;
pub use message::Message;
pub use refusal::Refusal;
pub use state::{ChainConfig, State};
pub use transaction::{Transaction, TxFailure, TxResult};
