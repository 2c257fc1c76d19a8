//! `devchain`: the simulated chain behind the gRPC services of a real one, until it is asked to stop.
//!
//! Owns the command's arguments, the reading of the genesis file and the process around the chain. The chain is
//! `lampkeeper-devchain`'s.

use crate::cli::StarterArgs;
use crate::commands::run::{stdin_ends, until_stopped};
use crate::devnet::processes::BLOCK;
use crate::devnet::{enriched, scheduler};
use crate::output::{self, Failure, Outcome};
use clap::Args;
use lampkeeper_api::cancel::Cancel;
use lampkeeper_chain_sim::{Event, State};
use lampkeeper_core::manifest::{LogFormat, LogSection};
use lampkeeper_core::telemetry::logging;
use lampkeeper_devchain::{
    DevChain, DevChainOptions, DevChainService, GENESIS_LEN_BYTES_MAX, Genesis, Listener, NoIntercept,
};
use serde_json::json;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// The options of a chain for local networks.
#[derive(Debug, Clone, Args)]
pub struct DevchainArgs {
    /// Where to listen; port 0 takes any free port, which is printed.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub listen: SocketAddr,
    /// What a new chain begins with: a TOML file as in docs/devchain.md, or a whole state as `.json`. Not read if the data
    /// directory holds a chain.
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// Where the chain is kept. It goes on where it stopped, also after it was killed.
    #[arg(long, value_name = "DIR", default_value = "devchain")]
    pub data_dir: PathBuf,
    /// Time between two blocks in milliseconds; 0 makes a block for each transaction, and no others.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub block_ms: u64,
    /// The least price of a unit of gas, in thousandths of an ulume.
    #[arg(long, value_name = "N", default_value_t = 25)]
    pub gas_price_milli: u64,
    /// Who started it.
    #[command(flatten)]
    pub starter: StarterArgs,
    /// Which log records to print: a level, or levels for parts.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// Serves the chain until a signal.
pub async fn run(args: &DevchainArgs) -> Outcome {
    let section = LogSection { filter: args.log.clone(), format: LogFormat::Text };
    logging::install(&section).map_err(Failure::invalid)?;
    let scheduler = scheduler()?;
    let options = DevChainOptions {
        block_interval_ms: args.block_ms,
        gas_price_min_milli: args.gas_price_milli,
        ..DevChainOptions::default()
    };
    let now_ms = scheduler.wall_clock_ms();
    let genesis = || genesis_state(args.genesis.as_deref(), now_ms);
    let chain = DevChain::open(&args.data_dir, genesis, options, scheduler).map_err(Failure::invalid)?;
    let listener = Listener::bind(args.listen).map_err(Failure::invalid)?;
    let (chain_id, height) = chain.read(|state| (state.chain_id.clone(), state.height));
    // The first line is for programs that start this one on port 0.
    output::line(format!("http://{}", listener.address()));
    output::remark(&format!("chain {chain_id} at height {height}, kept in {}", args.data_dir.display()));
    if args.starter.events {
        chain.watch(Box::new(print_block));
    }
    let stop = Cancel::new();
    let blocks = chain.start(stop.clone());
    let service = DevChainService::new(Arc::clone(&chain), Arc::new(NoIntercept));
    // Nobody asks it to stop but a signal.
    let (_never, stopping) = watch::channel(false);
    let halted = async {
        match args.block_ms {
            0 => std::future::pending().await,
            _ => blocks.join().await,
        }
    };
    let served = tokio::select! {
        served = listener.serve(service, Cancel::new()) => served.map_err(Failure::failed),
        _ = until_stopped(stopping) => Ok(()),
        () = stdin_ends(args.starter) => Ok(()),
        _ = halted => Ok(()),
    };
    stop.cancel();
    served?;
    match chain.halted() {
        Some(reason) => Err(Failure::failed(format!("the chain has halted: {reason}"))),
        None => Ok(()),
    }
}

/// Prints that there is a new block, and what happened in it.
fn print_block(state: &State, events: &[Event]) {
    let epoch = state.query_current_epoch();
    output::event(&json!({
        "event": BLOCK,
        "height": state.height,
        "epoch_id": epoch.epoch_id,
        "epoch_start_height": epoch.epoch_start_height,
    }));
    for event in events {
        let fields = enriched(event, state);
        output::event(&json!({ "event": event.kind, "height": state.height, "fields": fields }));
    }
}

fn genesis_state(path: Option<&Path>, now_ms: i64) -> Result<State, String> {
    let Some(path) = path else { return Genesis::default().state(now_ms) };
    let named = |error: String| format!("{}: {error}", path.display());
    let text = read(path).map_err(named)?;
    if path.extension().is_some_and(|extension| extension == "json") {
        return State::from_json(&text).map_err(|error| named(error.to_string()));
    }
    Genesis::from_toml(&text).and_then(|genesis| genesis.state(now_ms)).map_err(named)
}

fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::OpenOptions::new().read(true).open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(GENESIS_LEN_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    if text.len() as u64 > GENESIS_LEN_BYTES_MAX {
        return Err(format!("it is longer than {GENESIS_LEN_BYTES_MAX} bytes"));
    }
    Ok(text)
}
