//! A devnet whose chain and nodes are processes of their own, on loopback sockets.
//!
//! Owns the layout of the data directory and the asking of nodes over their control sockets. A process is a [`Child`]; what
//! the processes print becomes happenings in `lines`. Any process may be killed at any time: it is started again, and what
//! was asked of it meanwhile is asked again, of another node if need be.
#![expect(clippy::disallowed_methods, reason = "the devnet lays out its data directory")]

mod addresses;
mod child;
mod lines;

pub use lines::BLOCK;

use super::cluster::private_dir;
use super::damage::Damage;
use super::disk::Disk;
use super::genesis::{self, EPOCH_LENGTH_BLOCKS, NodeSeed};
use super::happenings::Happenings;
use super::network::{Network, Report};
use super::options::Plan;
use super::story::Happening;
use crate::commands::run::start_failure;
use crate::control::{self, Progress, Request};
use crate::operations::{TicketSurvey, read_artifacts};
use crate::output::Failure;
use crate::plugins::registry;
use addresses::Addresses;
use child::{Child, Listener, Program};
use lampkeeper_api::chain::{ChainReader, Ticket};
use lampkeeper_api::scheduler::Scheduler;
use lampkeeper_core::node::NodeHost;
use lampkeeper_core::{FileSigner, Manifest, Node, TelemetryHub};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::StoredFile;
use lampkeeper_plugin_sdk::futures::future::join_all;
use lampkeeper_protocol::account::KeyType;
use lines::ChainLine;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The chain in the story, and its directory.
const CHAIN: &str = "devchain";
/// How often something that is not there yet is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the chain, and then the nodes, may take to come up.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// For how long a request is repeated while processes die.
const ASK_WITHIN: Duration = Duration::from_secs(300);

/// One node.
struct Member {
    seed: NodeSeed,
    dir: PathBuf,
    child: Child,
}

/// The running processes.
pub struct Processes {
    chain: Arc<dyn ChainReader>,
    /// Keeps `chain` going.
    observer: Node,
    chain_process: Child,
    members: Vec<Member>,
    scheduler: Arc<dyn Scheduler>,
    afterword: Vec<String>,
    /// Numbers the attempts at fetching, each of which needs a name of its own.
    fetches: AtomicU64,
}

impl Processes {
    /// Lays out the data directory, starts the chain, and then the nodes.
    ///
    /// # Errors
    /// If something can't be written, or does not come up.
    pub async fn start(
        plan: &Plan,
        scheduler: &Arc<dyn Scheduler>,
        happenings: &Arc<Happenings>,
    ) -> Result<Self, Failure> {
        let seeds = genesis::node_seeds(plan.nodes, plan.seed);
        let addresses = Addresses::find(plan.nodes)?;
        let chain_arguments = lay_out_chain(plan, &seeds, &addresses)?;
        let afterword = afterword(plan, &chain_arguments);
        let observer = observe(plan, &addresses).await?;
        let chain = observer.seams().chain_reader.clone().or_else(|| {
            let chain = observer.seams().chain.clone();
            chain.map(|chain| chain as Arc<dyn ChainReader>)
        });
        let chain = chain.ok_or_else(|| Failure::failed("the plugin `chain-lumera` gave no chain"))?;
        let program = Program {
            name: CHAIN.to_owned(),
            arguments: as_child(chain_arguments),
            log: plan.data_dir.join(CHAIN).join("devchain.log"),
        };
        let chain_process = Child::start(program, chain_listener(happenings), scheduler, happenings);
        let mut processes = Self {
            chain,
            observer,
            chain_process,
            members: Vec::new(),
            scheduler: Arc::clone(scheduler),
            afterword,
            fetches: AtomicU64::new(0),
        };
        processes.wait_for_chain().await?;
        for (seed, address) in seeds.into_iter().zip(&addresses.nodes) {
            let dir = plan.data_dir.join(&seed.name);
            let manifest = genesis::process_manifest(plan, &seed.name, addresses.chain, *address);
            lay_out_node(&dir, &manifest, &seed)?;
            let run = ["run".into(), "--manifest".into(), genesis::manifest_path(&dir).into()];
            let program = Program {
                name: seed.name.clone(),
                arguments: as_child(run.to_vec()),
                log: dir.join("node.log"),
            };
            let child = Child::start(program, node_listener(happenings), scheduler, happenings);
            processes.members.push(Member { seed, dir, child });
        }
        processes.wait_for_nodes().await?;
        Ok(processes)
    }

    async fn wait_for_chain(&self) -> Result<(), Failure> {
        let begun = self.scheduler.now();
        loop {
            match self.chain.status().await {
                Ok(status) if status.latest_height > EPOCH_LENGTH_BLOCKS as i64 => return Ok(()),
                Err(error) if self.scheduler.now().since(begun) > UP_WITHIN => {
                    return Err(Failure::failed(format!("the devchain does not come up: {error}")));
                }
                Ok(_) | Err(_) => self.scheduler.sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn wait_for_nodes(&self) -> Result<(), Failure> {
        let begun = self.scheduler.now();
        for member in &self.members {
            while let Err(error) = control::ask(&member.dir, &Request::Status, |_| {}).await {
                if self.scheduler.now().since(begun) > UP_WITHIN {
                    let (name, log) = (&member.seed.name, member.dir.join("node.log"));
                    return Err(Failure::failed(format!(
                        "{name} does not come up: {error}; look at {}",
                        log.display()
                    )));
                }
                self.scheduler.sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    /// The nodes that are not taken down.
    fn wanted(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.child.is_wanted())
    }

    /// Asks one node after the other, again and again, until one has done it.
    async fn ask_any(
        &self,
        request: impl Fn() -> Request,
        report: Report<'_>,
    ) -> Result<(Value, Request), Failure> {
        let begun = self.scheduler.now();
        let mut problem = "all nodes are down".to_owned();
        loop {
            for member in self.wanted() {
                let request = request();
                match control::ask(&member.dir, &request, |step| report(step.to_owned())).await {
                    Ok(answer) => return Ok((answer, request)),
                    Err(error) => problem = format!("{}: {error}", member.seed.name),
                }
            }
            if self.scheduler.now().since(begun) > ASK_WITHIN {
                return Err(Failure::failed(problem));
            }
            self.scheduler.sleep(LOOK_EVERY).await;
        }
    }

    async fn ask_any_quietly<T: for<'a> Deserialize<'a>>(&self, request: Request) -> Result<T, Failure> {
        let (answer, _) = self.ask_any(|| request.clone(), &|_| {}).await?;
        serde_json::from_value(answer).map_err(Failure::failed)
    }

    /// The lists that all nodes answer with, as one; nodes that don't answer are left out.
    async fn gathered(&self, request: &Request) -> Vec<Value> {
        let answers = self.wanted().map(|member| control::ask(&member.dir, request, |_| {}));
        join_all(answers).await.into_iter().flatten().collect()
    }

    async fn status(&self) -> Result<Value, String> {
        let answers = self.gathered(&Request::Status).await;
        let chain = answers.first().map(|answer| answer["chain"].clone()).ok_or("no node answers")?;
        let nodes = answers.iter().filter_map(|answer| answer["nodes"].as_array()).flatten();
        Ok(json!({ "chain": chain, "nodes": nodes.collect::<Vec<_>>() }))
    }

    fn member(&self, name: &str) -> Result<&Member, Failure> {
        let member = self.members.iter().find(|member| member.seed.name == name);
        member.ok_or_else(|| Failure::invalid(format!("there is no node {name}")))
    }
}

#[async_trait]
impl Network for Processes {
    fn members(&self) -> Vec<(String, String)> {
        self.members.iter().map(|member| (member.seed.name.clone(), member.seed.account.clone())).collect()
    }

    fn chain(&self) -> Arc<dyn ChainReader> {
        Arc::clone(&self.chain)
    }

    async fn store(&self, file: &Path, report: Report<'_>) -> Result<StoredFile, Failure> {
        #[derive(Deserialize)]
        struct Stored {
            ticket_id: String,
            data_hash: String,
            len_bytes: u64,
            symbol_count: u64,
            artifact_count: u64,
        }
        let request = || Request::Store { path: file.to_owned() };
        let (answer, _) = self.ask_any(request, report).await?;
        let Stored { ticket_id, data_hash, len_bytes, symbol_count, artifact_count } =
            serde_json::from_value(answer).map_err(Failure::failed)?;
        Ok(StoredFile { ticket_id, data_hash, len_bytes, symbol_count, artifact_count })
    }

    async fn damage(&self, damage: &Damage, ticket: &Ticket, seed: u64) -> Result<Vec<String>, Failure> {
        let request = Request::Artifacts { ticket_id: ticket.ticket_id.clone() };
        let artifacts = read_artifacts(self.ask_any_quietly(request).await?).map_err(Failure::failed)?;
        let mut told = Vec::new();
        for name in damage.nodes() {
            let member = self.member(name)?;
            if let Damage::Down { .. } = damage {
                member.child.stop().await;
                told.push(format!("{name} is down"));
            } else {
                let disk = Disk::of(name, &member.dir)?;
                told.push(disk.damage(damage, &artifacts, &ticket.ticket_id, seed)?);
            }
        }
        Ok(told)
    }

    /// What a node does not answer for counts as lacking: a process that was killed may be the one that was damaged.
    async fn lacking(&self, ticket: &Ticket) -> Result<u64, Failure> {
        let request = Request::Survey { ticket_id: ticket.ticket_id.clone() };
        let survey: TicketSurvey = self.ask_any_quietly(request).await?;
        let wanted: BTreeSet<_> = self.wanted().map(|member| member.seed.account.as_str()).collect();
        let silent = survey.unknown.iter().filter(|(account, _)| wanted.contains(account.as_str()));
        Ok(survey.lacking + silent.map(|(_, count)| count).sum::<u64>())
    }

    async fn fetch(&self, ticket_id: &str, output: &Path) -> Result<u64, Failure> {
        let request = || {
            let number = self.fetches.fetch_add(1, Ordering::Relaxed);
            let output = output.with_extension(format!("attempt-{number}"));
            Request::Fetch { ticket_id: ticket_id.to_owned(), output }
        };
        let (answer, request) = self.ask_any(request, &|_| {}).await?;
        if let Request::Fetch { output: fetched, .. } = request {
            std::fs::rename(&fetched, output)
                .map_err(|error| Failure::failed(format!("{}: {error}", output.display())))?;
        }
        Ok(answer["recovered_symbols"].as_u64().unwrap_or_default())
    }

    fn excused(&self) -> BTreeSet<String> {
        let died = self.members.iter().filter(|member| member.child.deaths() > 0);
        died.map(|member| member.seed.account.clone()).collect()
    }

    fn afterword(&self) -> Vec<String> {
        self.afterword.clone()
    }

    async fn answer(&self, request: Request, progress: &Progress) -> Result<Value, String> {
        let words = |failure: Failure| failure.message;
        match &request {
            Request::Status => self.status().await,
            Request::Heals { .. } | Request::Scrub { .. } => {
                let answers = self.gathered(&request).await;
                Ok(answers.into_iter().flat_map(|answer| answer.as_array().cloned()).flatten().collect())
            }
            Request::History { node: Some(name), query } => {
                let request = Request::History { node: None, query: query.clone() };
                let dir = &self.member(name).map_err(words)?.dir;
                control::ask(dir, &request, |_| {}).await.map_err(|error| error.to_string())
            }
            Request::Metrics => {
                Err("each node is a process with metrics of its own: ask one, with --data-dir".to_owned())
            }
            Request::History { node: None, .. } => {
                Err("each node is a process with a memory of its own: name one with --node".to_owned())
            }
            // What may have been done in part is not repeated here: who asked decides about that.
            _ => {
                let Some(member) = self.wanted().next() else { return Err("all nodes are down".to_owned()) };
                let asked = control::ask(&member.dir, &request, |step| progress.say(step)).await;
                asked.map_err(|error| format!("{}: {error}", member.seed.name))
            }
        }
    }

    async fn stop(&self) {
        // The nodes first: their last words are to the chain.
        join_all(self.members.iter().map(|member| member.child.stop())).await;
        self.chain_process.stop().await;
        self.observer.drain().await;
    }
}

/// The options of every process of a devnet.
fn as_child(mut arguments: Vec<OsString>) -> Vec<OsString> {
    arguments.extend(["--events", "--until-stdin-ends"].map(OsString::from));
    arguments
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

/// Writes the genesis file; the arguments that start the chain.
fn lay_out_chain(plan: &Plan, seeds: &[NodeSeed], addresses: &Addresses) -> Result<Vec<OsString>, Failure> {
    let dir = plan.data_dir.join(CHAIN);
    private_dir(&dir).map_err(|error| Failure::failed(format!("{}: {error}", dir.display())))?;
    let genesis = genesis::genesis(plan, seeds, &addresses.nodes).map_err(Failure::failed)?;
    let file = dir.join("genesis.toml");
    write(&file, &genesis.to_toml().map_err(Failure::failed)?)?;
    let block_ms = (plan.epoch_ms / EPOCH_LENGTH_BLOCKS).max(1);
    Ok(vec![
        "devchain".into(),
        "--listen".into(),
        addresses.chain.to_string().into(),
        "--genesis".into(),
        file.into(),
        "--data-dir".into(),
        dir.into(),
        "--block-ms".into(),
        block_ms.to_string().into(),
    ])
}

fn lay_out_node(dir: &Path, manifest: &str, seed: &NodeSeed) -> Result<(), Failure> {
    private_dir(dir).map_err(|error| Failure::failed(format!("{}: {error}", dir.display())))?;
    write(&genesis::manifest_path(dir), manifest)?;
    FileSigner::import(&dir.join("key.json"), KeyType::Secp256k1, &seed.secret).map_err(Failure::failed)?;
    Ok(())
}

/// How every process is started by itself.
fn afterword(plan: &Plan, chain_arguments: &[OsString]) -> Vec<String> {
    let arguments: Vec<_> = chain_arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let first = genesis::manifest_path(&plan.data_dir.join("n1"));
    vec![
        format!("the chain goes on with `lampkeeper {}`", arguments.join(" ")),
        format!("and each node with its manifest: `lampkeeper run --manifest {}`", first.display()),
    ]
}

/// A node of this process that does nothing but read the chain.
async fn observe(plan: &Plan, addresses: &Addresses) -> Result<Node, Failure> {
    let registry = registry().map_err(Failure::failed)?;
    let text = genesis::observer_manifest(plan, addresses.chain);
    let path = plan.data_dir.join(genesis::OBSERVER).join("node.toml");
    let manifest = Manifest::parse(&path, &text, &registry).map_err(|problems| {
        Failure::failed(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    let secret = genesis::draw_secret(plan.seed, genesis::OBSERVER);
    let signer = FileSigner::from_secret(KeyType::Secp256k1, &secret).map_err(Failure::failed)?;
    let host = NodeHost::new(Arc::new(signer), TelemetryHub::new());
    Node::start(&manifest, &registry, host).await.map_err(start_failure)
}

fn node_listener(happenings: &Arc<Happenings>) -> Listener {
    let happenings = Arc::clone(happenings);
    Arc::new(move |line| {
        if let Some(happening) = lines::of_node(line) {
            happenings.tell(happening);
        }
    })
}

fn chain_listener(happenings: &Arc<Happenings>) -> Listener {
    let happenings = Arc::clone(happenings);
    let epoch = Mutex::new(None);
    Arc::new(move |line| match lines::of_chain(line) {
        Some(ChainLine::Block { epoch_id, blocks_done }) => {
            happenings.block(epoch_id, blocks_done, EPOCH_LENGTH_BLOCKS);
            let before = epoch.lock().unwrap_or_else(PoisonError::into_inner).replace(epoch_id);
            if before != Some(epoch_id) {
                happenings.tell(Happening::EpochBegan { epoch_id });
            }
        }
        Some(ChainLine::Event(happening)) => {
            happenings.tell(happening);
        }
        None => {}
    })
}
