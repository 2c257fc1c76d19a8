//! What a running node can be asked to do: its status, its tickets, its scrub, storing and fetching a file.
//!
//! Owns the answers' shape. The work is done by the SDK through the node's seams; no rule of the protocol is here.
#![expect(clippy::disallowed_methods, reason = "these commands read and write files of the person who asks")]

use crate::control::{Progress, Request};
use crate::download::Download;
use lampkeeper_api::chain::{ChainClient, ChainError, ChainReader, PageRequest, Ticket};
use lampkeeper_api::network::{ArtifactNetwork, Possession};
use lampkeeper_api::signer::Signer;
use lampkeeper_core::Node;
use lampkeeper_plugin_sdk::cascade::{
    ArtifactKind, FileToStore, LAYOUT_ID_FILES, Reconstructor, StoreFileProgress, StoreSeams, StoredFile,
    TicketDocuments, store_file,
};
use lampkeeper_plugin_sdk::scrub as switch;
use lampkeeper_protocol::artifact_key::ArtifactKey;
use lampkeeper_protocol::cascade::codec::FileSource;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Tickets that one answer lists.
const TICKETS_LISTED_MAX: usize = 10_000;
/// Keys that one look at the network asks about at once.
const KEYS_PER_LOOK: usize = 1024;

struct Seams {
    chain: Arc<dyn ChainClient>,
    network: Arc<dyn ArtifactNetwork>,
    signer: Arc<dyn Signer>,
}

fn seams(node: &Node) -> Result<Seams, String> {
    let missing =
        |seam: &str| format!("{} has no `{seam}`; enable a plugin that provides it", node.info().name);
    let provided = node.seams();
    Ok(Seams {
        chain: provided.chain.clone().ok_or_else(|| missing("chain:submit"))?,
        network: provided.network.clone().ok_or_else(|| missing("network"))?,
        signer: provided.signer.clone().ok_or_else(|| missing("signer"))?,
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// How the nodes are doing, and the chain as the first of them sees it.
///
/// # Errors
/// If there is no node.
pub async fn status(nodes: &[Arc<Node>]) -> Result<Value, String> {
    let first = nodes.first().ok_or("no node is up")?;
    let chain = seams(first)?.chain;
    let mut states = Vec::new();
    for node in nodes {
        let mut status = serde_json::to_value(node.status()).map_err(text)?;
        let state =
            chain.supernode(&node.info().account).await.map(|supernode| supernode.state.name().to_owned());
        let margins = margins(node);
        status["tickets_watched"] = json!(margins.len());
        status["margin_symbols_min"] = json!(margins.values().min());
        status["state"] = json!(state.unwrap_or_else(|error| {
            let words = if error.is_not_found() { "not registered" } else { "standing unknown" };
            words.to_owned()
        }));
        states.push(status);
    }
    // The nodes' own standing is told all the same while the chain is away.
    let chain = match (chain.status().await, chain.current_epoch().await) {
        (Ok(seen), Ok(epoch)) => json!({
            "chain_id": seen.chain_id,
            "height": seen.latest_height,
            "epoch_id": epoch.epoch_id,
        }),
        (Err(error), _) | (_, Err(error)) => json!({ "problem": error.to_string() }),
    };
    Ok(json!({ "chain": chain, "nodes": states }))
}

/// How far tickets are from being lost, as the node's healing service last saw it: distinct live symbols beyond those
/// needed, by ticket.
fn margins(node: &Node) -> BTreeMap<String, i64> {
    let gauges = node.gauges("ticket_margin_symbols");
    let margin = |(labels, value): (Vec<(String, String)>, f64)| {
        let ticket_id = labels.into_iter().find(|(name, _)| name == "ticket_id");
        ticket_id.map(|(_, ticket_id)| (ticket_id, value as i64))
    };
    gauges.into_iter().filter_map(margin).collect()
}

/// How far the scrubs of these nodes are, after pausing or resuming them if that is asked. All that it needs is in the
/// journal, so a paused scrub stays so when the node restarts.
///
/// # Errors
/// If a node has no scrub, or its journal fails.
pub async fn scrub(nodes: &[Arc<Node>], pause: Option<bool>) -> Result<Value, String> {
    let mut scrubs = Vec::new();
    for node in nodes {
        let name = node.info().name.clone();
        let plugins = node.status().plugins;
        let service = plugins.iter().flat_map(|plugin| &plugin.services).find(|one| one.name == "scrub");
        let service = service.ok_or_else(|| format!("{name} has no scrub: enable the plugin `scrub`"))?;
        let journal = node.seams().journal.clone().ok_or_else(|| format!("{name} has no `journal`"))?;
        if let Some(pause) = pause {
            let now_s = node.scheduler().wall_clock_ms() / 1000;
            switch::set_paused(&*journal, pause, now_s).await.map_err(text)?;
        }
        let position = switch::position(&*journal).await.map_err(text)?;
        let paused = switch::is_paused(&*journal).await.map_err(text)?.unwrap_or(false);
        scrubs.push(json!({
            "name": name,
            "paused": paused,
            "completed_cycles": position.cycle,
            "cycle_percent": position.share() * 100.0,
            "health": serde_json::to_value(&service.health).map_err(text)?,
        }));
    }
    Ok(Value::Array(scrubs))
}

/// The tickets that the chain knows, with their scores.
///
/// # Errors
/// If the chain can't be asked.
pub async fn tickets(node: &Node) -> Result<Value, String> {
    let chain = seams(node)?.chain;
    let margins = margins(node);
    let mut listed = Vec::new();
    let mut next = Some(PageRequest::default());
    while let Some(request) = next {
        let page = chain.tickets(request.clone()).await.map_err(text)?;
        next = request.after(&page);
        for ticket in page.items {
            let mut described = describe(chain.as_ref(), &ticket).await?;
            described["margin_symbols"] = json!(margins.get(&ticket.ticket_id));
            listed.push(described);
        }
        if listed.len() >= TICKETS_LISTED_MAX {
            break;
        }
    }
    Ok(Value::Array(listed))
}

async fn describe(chain: &dyn ChainReader, ticket: &Ticket) -> Result<Value, String> {
    let deterioration = match chain.ticket_deterioration(&ticket.ticket_id).await {
        Ok(score) => score.deterioration_score,
        Err(error) if error.is_not_found() => 0,
        Err(error) => return Err(error.to_string()),
    };
    Ok(json!({
        "ticket_id": ticket.ticket_id,
        "state": format!("{:?}", ticket.state).to_lowercase(),
        "file_name": ticket.file_name,
        "file_size_kbs": ticket.file_size_kbs,
        "data_hash": ticket.data_hash,
        "block_height": ticket.block_height,
        "supernode_accounts": ticket.supernode_accounts,
        "deterioration": deterioration,
    }))
}

/// A file on disk, as the encoder reads it.
struct FileOnDisk {
    file: File,
    len_bytes: u64,
}

impl FileSource for FileOnDisk {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}

fn open(path: &Path) -> Result<FileOnDisk, String> {
    let failed = |reason: String| format!("{}: {reason}", path.display());
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
    if !metadata.is_file() {
        return Err(failed("is not a file".to_owned()));
    }
    Ok(FileOnDisk { file, len_bytes: metadata.len() })
}

/// Stores a file through a node.
///
/// # Errors
/// If the file can't be read, or the network or the chain refuses.
pub async fn store(node: &Node, path: &Path, progress: &Progress) -> Result<Value, String> {
    let stored = store_reporting(node, path, &|step| progress.say(progress_text(&step))).await?;
    Ok(json!({
        "ticket_id": stored.ticket_id,
        "data_hash": stored.data_hash,
        "len_bytes": stored.len_bytes,
        "symbol_count": stored.symbol_count,
        "artifact_count": stored.artifact_count,
    }))
}

/// As [`store`], for a caller with a display of its own.
///
/// # Errors
/// If the file can't be read, or the network or the chain refuses.
pub async fn store_reporting(
    node: &Node,
    path: &Path,
    report: &(dyn Fn(StoreFileProgress) + Send + Sync),
) -> Result<StoredFile, String> {
    let Seams { chain, network, signer } = seams(node)?;
    let scheduler = node.scheduler();
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let source = Arc::new(open(path)?);
    let file = FileToStore { source, file_name, public: true, layout_id_files: LAYOUT_ID_FILES };
    let seams = StoreSeams {
        chain: chain.as_ref(),
        network: network.as_ref(),
        scheduler: scheduler.as_ref(),
        signer: signer.as_ref(),
    };
    store_file(seams, file, report).await.map_err(|error| format!("{}: {error}", path.display()))
}

/// A step of storing, for people.
#[must_use]
pub fn progress_text(step: &StoreFileProgress) -> String {
    match step {
        StoreFileProgress::Encoded { symbol_count } => format!("encoded {symbol_count} symbols"),
        StoreFileProgress::Registered { ticket_id } => format!("registered ticket {ticket_id}"),
        StoreFileProgress::Published { artifact_count, total } => {
            format!("published {artifact_count} of {total} artifacts")
        }
        StoreFileProgress::Finalised { ticket_id } => format!("finalised ticket {ticket_id}"),
    }
}

/// Answers those requests of the control socket that one node alone can be asked for; the others are for whoever knows
/// all nodes.
///
/// # Errors
/// If the request fails, or is not one of these.
pub async fn answer(node: &Node, request: Request, progress: &Progress) -> Result<Value, String> {
    match request {
        Request::Metrics => Ok(Value::String(node.render_metrics())),
        Request::Tickets => tickets(node).await,
        Request::Store { path } => store(node, &path, progress).await,
        Request::Fetch { ticket_id, output } => fetch(node, &ticket_id, &output, progress).await,
        Request::Artifacts { ticket_id } => {
            let documents = documents(node, &ticket_id).await?;
            let listed = documents.artifacts().map(|(key, kind)| json!([key.to_string(), number_of(kind)]));
            Ok(Value::Array(listed.collect()))
        }
        Request::Survey { ticket_id } => serde_json::to_value(survey(node, &ticket_id).await?).map_err(text),
        Request::Status
        | Request::Heals { .. }
        | Request::Scrub { .. }
        | Request::History { .. }
        | Request::Stop => Err("this can't be asked here".to_owned()),
    }
}

/// An artifact's kind and number: `symbol`, `index` or `layout`, and which.
fn number_of(kind: ArtifactKind) -> (&'static str, u32) {
    match kind {
        ArtifactKind::Symbol { esi } => ("symbol", esi),
        ArtifactKind::IndexFile { ordinal } => ("index", ordinal),
        ArtifactKind::LayoutFile { ordinal } => ("layout", ordinal),
    }
}

/// The reverse of what [`Request::Artifacts`] is answered with.
///
/// # Errors
/// If it is something else.
pub fn read_artifacts(answer: Value) -> Result<Vec<(ArtifactKey, ArtifactKind)>, String> {
    let listed: Vec<(String, (String, u32))> = serde_json::from_value(answer).map_err(text)?;
    let read = |(key, (kind, number)): (String, (String, u32))| {
        let kind = match kind.as_str() {
            "symbol" => ArtifactKind::Symbol { esi: number },
            "index" => ArtifactKind::IndexFile { ordinal: number },
            "layout" => ArtifactKind::LayoutFile { ordinal: number },
            other => return Err(format!("`{other}` is no kind of artifact")),
        };
        Ok((key.parse::<ArtifactKey>().map_err(text)?, kind))
    };
    listed.into_iter().map(read).collect()
}

/// The documents of a ticket, as the node finds them in the network.
///
/// # Errors
/// If they can't be loaded.
pub async fn documents(node: &Node, ticket_id: &str) -> Result<TicketDocuments, String> {
    let Seams { chain, network, .. } = seams(node)?;
    let ticket = chain.ticket(ticket_id).await.map_err(text)?;
    TicketDocuments::load(chain.as_ref(), network.as_ref(), &ticket).await.map_err(text)
}

/// Where a ticket's artifacts are not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketSurvey {
    /// Artifacts that some member of their replica set certainly lacks.
    pub lacking: u64,
    /// How many artifacts each account did not say anything about.
    pub unknown: BTreeMap<String, u64>,
}

/// Asks all holders of a ticket's artifacts, who read and hash them for the answer.
///
/// # Errors
/// If the network can't be asked.
pub async fn survey(node: &Node, ticket_id: &str) -> Result<TicketSurvey, String> {
    let documents = documents(node, ticket_id).await?;
    let network = seams(node)?.network;
    let keys: Vec<ArtifactKey> = documents.artifacts().map(|(key, _)| key).collect();
    let mut found = TicketSurvey::default();
    for keys in keys.chunks(KEYS_PER_LOOK) {
        for survey in network.survey(keys, true).await.map_err(text)? {
            found.lacking += u64::from(survey.lacking().next().is_some());
            for (account, possession) in &survey.holders {
                if matches!(possession, Possession::Unknown) {
                    *found.unknown.entry(account.clone()).or_default() += 1;
                }
            }
        }
    }
    Ok(found)
}

/// Fetches a ticket's file and compares its hash with the chain's.
///
/// # Errors
/// If the ticket is unknown, too little of it is left, or the disk refuses.
pub async fn fetch(
    node: &Node,
    ticket_id: &str,
    output: &Path,
    progress: &Progress,
) -> Result<Value, String> {
    let Seams { chain, network, .. } = seams(node)?;
    let ticket = chain.ticket(ticket_id).await.map_err(|error| match error {
        ChainError::NotFound { .. } => {
            format!("there is no ticket {ticket_id}; `tickets` lists those there are")
        }
        error => error.to_string(),
    })?;
    if !ticket.state.is_stored() {
        return Err(format!("ticket {ticket_id} is {:?}, its file is not stored", ticket.state));
    }
    progress.say(format!("loading the documents of ticket {ticket_id}"));
    let documents = TicketDocuments::load(chain.as_ref(), network.as_ref(), &ticket).await.map_err(text)?;
    let path = output_path(output, &ticket)?;
    let download = Download::begin(&path)?;
    let len_bytes = documents.parameters().len_bytes();
    progress.say(format!("fetching {len_bytes} bytes"));
    let reconstructor = Reconstructor::new(network, node.scheduler());
    let made = reconstructor.reconstruct(&documents, &BTreeSet::new(), &download).await.map_err(text)?;
    download.finish(&path)?;
    Ok(json!({
        "path": path,
        "len_bytes": len_bytes,
        "data_hash": documents.data_hash(),
        "fetched_symbols": made.fetched_count,
        "recovered_symbols": made.recovered_count,
    }))
}

/// A directory gets the ticket's file name, reduced to its last part: the name is the creator's, not to be trusted.
fn output_path(output: &Path, ticket: &Ticket) -> Result<PathBuf, String> {
    if !output.is_dir() {
        return Ok(output.to_owned());
    }
    match Path::new(&ticket.file_name).file_name() {
        Some(name) => Ok(output.join(name)),
        None => {
            Err(format!("ticket {} has no usable file name; name a file with --output", ticket.ticket_id))
        }
    }
}
