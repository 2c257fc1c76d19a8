//! The simulated chain behind the gRPC services of a real one (wire 2.6 to 2.10, 10.6, 10.7).
//!
//! A chain client can't tell it from a real chain: transactions are decoded, their signatures, sequences, gas and fees are
//! checked, blocks are made in the scheduler's time, and an executed transaction is found by its hash. The rules of the
//! modules are `lampkeeper-chain-sim`'s; here is what stands around them. A chain in a directory comes back at its height
//! after its process was killed.
//!
//! It belongs to the binary and, like it, may know plugins; it is a crate of its own so that tests can use it.
//!
//! ```no_run
//! use lampkeeper_devchain::{DevChain, DevChainOptions, DevChainService, Genesis, Listener, NoIntercept};
//! use lampkeeper_plugin_sdk::api::{cancel::Cancel, scheduler::Scheduler};
//! use std::sync::Arc;
//!
//! async fn serve(scheduler: Arc<dyn Scheduler>) -> Result<(), Box<dyn std::error::Error>> {
//!     let state = Genesis::default().state(scheduler.wall_clock_ms())?;
//!     let chain = DevChain::new(state, DevChainOptions::default(), scheduler);
//!     let stop = Cancel::new();
//!     let blocks = chain.start(stop.clone());
//!     let listener = Listener::bind("127.0.0.1:9090".parse()?)?;
//!     listener.serve(DevChainService::new(chain, Arc::new(NoIntercept)), stop).await?;
//!     blocks.join().await?;
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]

mod chain;
mod codes;
mod genesis;
mod messages;
mod params;
mod records;
mod router;
mod server;
mod services;
mod store;
mod transaction;

pub use chain::{BlockWatcher, DevChain, DevChainOptions, ExecutedTx, Simulated, Taken};
pub use genesis::{GENESIS_LEN_BYTES_MAX, Genesis, GenesisAccount, GenesisSupernode, START_HEIGHT_MAX};
pub use router::{DevChainService, Intercept, NoIntercept};
pub use server::{Listener, ServeError};
pub use store::StoreError;
