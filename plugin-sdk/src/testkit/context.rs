//! A plugin's context without a node around it.

use super::{MemoryJournal, MemoryStaging, MemoryStore, RecordingTelemetry, TestSigner, VirtualScheduler};
use lampkeeper_api::plugin::{NodeInfo, PluginContext, Provided};
use lampkeeper_api::signer::Signer;
use lampkeeper_api::transport::CallerMint;
use std::path::PathBuf;
use std::sync::Arc;

/// A builder of a [`PluginContext`]: a node called `test`, no seams, an empty configuration.
///
/// ```
/// use lampkeeper_plugin_sdk::testkit::{MemoryStore, RecordingTelemetry, context};
/// use std::sync::Arc;
///
/// let telemetry = RecordingTelemetry::new();
/// let context = context("my-plugin")
///     .config(r#"{"poll_interval_ms": 5}"#)
///     .telemetry(&telemetry)
///     .seams(|seams| seams.store = Some(Arc::new(MemoryStore::new())))
///     .build();
/// assert!(context.store().is_ok());
/// assert!(context.journal().is_err(), "only what was granted");
/// ```
pub fn context(plugin_id: &str) -> ContextBuilder {
    let account = TestSigner::new("test").account().to_owned();
    ContextBuilder {
        context: PluginContext {
            plugin_id: plugin_id.to_owned(),
            node: NodeInfo {
                name: "test".to_owned(),
                account,
                chain_id: "lampkeeper-test".to_owned(),
                data_dir: PathBuf::from("."),
            },
            config_json: "{}".to_owned(),
            seams: Provided::default(),
            telemetry: Arc::new(RecordingTelemetry::new()),
            caller_mint: None,
        },
    }
}

/// See [`context`].
#[derive(Clone)]
#[must_use]
pub struct ContextBuilder {
    context: PluginContext,
}

impl ContextBuilder {
    /// The plugin's configuration, as JSON.
    pub fn config(mut self, config_json: &str) -> Self {
        config_json.clone_into(&mut self.context.config_json);
        self
    }

    /// The node that it runs in.
    pub fn node(mut self, node: NodeInfo) -> Self {
        self.context.node = node;
        self
    }

    /// Where the node keeps its data.
    pub fn data_dir(mut self, data_dir: impl Into<PathBuf>) -> Self {
        self.context.node.data_dir = data_dir.into();
        self
    }

    /// Who is told what happens.
    pub fn telemetry(mut self, telemetry: &RecordingTelemetry) -> Self {
        self.context.telemetry = Arc::new(telemetry.clone());
        self
    }

    /// Grants seams.
    pub fn seams(mut self, grant: impl FnOnce(&mut Provided)) -> Self {
        grant(&mut self.context.seams);
        self
    }

    /// Grants the seams that the kit has in memory: scheduler, store, staging and journal, each empty.
    pub fn memory_seams(self, scheduler: &VirtualScheduler) -> Self {
        let scheduler = scheduler.handle();
        self.seams(|seams| {
            seams.scheduler = Some(scheduler);
            seams.store = Some(Arc::new(MemoryStore::new()));
            seams.staging = Some(Arc::new(MemoryStaging::new()));
            seams.journal = Some(Arc::new(MemoryJournal::new()));
        })
    }

    /// Grants a key, and makes its account the node's.
    pub fn signer(mut self, signer: TestSigner) -> Self {
        signer.account().clone_into(&mut self.context.node.account);
        self.seams(|seams| seams.signer = Some(Arc::new(signer)))
    }

    /// Grants the right to name callers, as a transport has it.
    pub fn caller_mint(mut self) -> Self {
        self.context.caller_mint = Some(CallerMint::for_host());
        self
    }

    /// The context.
    #[must_use]
    pub fn build(self) -> PluginContext {
        self.context
    }
}
