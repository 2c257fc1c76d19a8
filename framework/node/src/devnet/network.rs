//! A devnet's network as its director sees it, whether its nodes run in this process or each in its own.
//!
//! Owns the interface. The implementations are `cluster` (one process) and `processes`.

use super::damage::Damage;
use crate::control::{Progress, Request};
use crate::output::Failure;
use lampkeeper_api::chain::{ChainReader, Ticket};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::StoredFile;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Says how far something long has come.
pub type Report<'a> = &'a (dyn Fn(String) + Send + Sync);

/// A running network.
#[async_trait]
pub trait Network: Send + Sync {
    /// The names and accounts of its nodes, `n1` first.
    fn members(&self) -> Vec<(String, String)>;

    /// The chain, as anybody may read it.
    fn chain(&self) -> Arc<dyn ChainReader>;

    /// Stores a file through a node.
    async fn store(&self, file: &Path, report: Report<'_>) -> Result<StoredFile, Failure>;

    /// Does some damage to a ticket's artifacts, drawn from the seed; what was done, for the story.
    async fn damage(&self, damage: &Damage, ticket: &Ticket, seed: u64) -> Result<Vec<String>, Failure>;

    /// How many artifacts of a ticket are not on all nodes that should hold them, as far as the nodes say.
    async fn lacking(&self, ticket: &Ticket) -> Result<u64, Failure>;

    /// Fetches a ticket's file to a path that does not exist; how many symbols had to be solved for.
    async fn fetch(&self, ticket_id: &str, output: &Path) -> Result<u64, Failure>;

    /// The accounts of nodes that were away for a reason of their own: who accuses them is not wrong.
    fn excused(&self) -> BTreeSet<String>;

    /// What to tell when everything is over.
    fn afterword(&self) -> Vec<String> {
        Vec::new()
    }

    /// Answers a request over the devnet's control socket; `Stop` is not among them.
    async fn answer(&self, request: Request, progress: &Progress) -> Result<serde_json::Value, String>;

    /// Stops everything.
    async fn stop(&self);
}
