//! The Lampkeeper node: arguments, manifest, node or devnet. No rule of the protocol lives here.
#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "a binary has no public API; `pub` marks what a module offers the others")]

mod cli;
mod commands;
mod control;
mod devchain;
mod devnet;
mod download;
mod history;
mod host_runtime;
mod metrics_endpoint;
mod operations;
mod output;
mod plugins;
mod sim;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command, ManifestCommand, ScenarioCommand, VectorsCommand};
use output::{Failure, Outcome};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    output::finish(carry_out(cli.command))
}

fn carry_out(command: Command) -> Outcome {
    match command {
        Command::Devnet(args) => asynchronously(devnet::run(&args)),
        Command::Devchain(args) => asynchronously(devchain::run(&args)),
        Command::Sim(args) => sim::simulate(&args),
        Command::Run(args) => asynchronously(commands::run::run(&args)),
        Command::Check(args) => commands::check::check(&args.manifest),
        Command::Plugins(command) => commands::plugins::carry_out(&command),
        Command::Manifest(ManifestCommand::Schema) => commands::plugins::schema(),
        Command::Keys(command) => commands::keys::carry_out(&command),
        Command::Vectors(VectorsCommand::Check { dir }) => commands::vectors::check(&dir),
        Command::Scenario(ScenarioCommand::Run { files, verbose }) => {
            commands::scenario::run(&files, verbose)
        }
        Command::Status(control) => asynchronously(commands::ask::status(&control)),
        Command::Metrics { data_dir } => asynchronously(commands::ask::metrics(&data_dir)),
        Command::Store { file, control } => asynchronously(commands::ask::store(&file, &control)),
        Command::Fetch { ticket, output, control } => {
            asynchronously(commands::ask::fetch(&ticket, output.as_deref(), &control))
        }
        Command::Tickets(control) => asynchronously(commands::ask::tickets(&control)),
        Command::Heals(command) => asynchronously(commands::heals::heals(&command)),
        Command::Scrub(command) => asynchronously(commands::ask::scrub(&command)),
        Command::Challenges(command) => asynchronously(commands::challenges::challenges(&command)),
        Command::Evidence(command) => asynchronously(commands::evidence::evidence(&command)),
        Command::Stop(control) => asynchronously(commands::ask::stop(&control)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "lampkeeper", &mut std::io::stdout());
            Ok(())
        }
    }
}

fn asynchronously(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("starting the runtime: {error}")))?;
    let outcome = runtime.block_on(command);
    // Blocking work that was given up must not hold the process.
    runtime.shutdown_background();
    outcome
}
