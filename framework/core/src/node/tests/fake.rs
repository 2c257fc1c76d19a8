//! A plugin that is everything at once, well or badly, and tells what happens to it.

use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::chain::{
    AccountInfo, AssignedTargets, ChainClient, ChainError, ChainMessage, ChainReader, ChainStatus,
    EpochAnchor, EpochInfo, EpochReport, HealOp, HealOpStatus, NodeSuspicion, Page, PageRequest, Params,
    PortState, ReporterReliability, Supernode, Ticket, TicketDeterioration, TxReceipt,
};
use lampkeeper_api::plugin::{Close, PluginContext, PluginError, Provided, Seam};
use lampkeeper_api::service::{Health, Service, ServiceError};
use lampkeeper_api::telemetry::{Event, Telemetry};
use lampkeeper_api::transport::{
    CallError, Caller, MessageStream, Peer, Route, Router, ServerHandle, Status, Transport, UnaryHandler,
};
use lampkeeper_api::{BoxFuture, EpochId};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::testkit::{MemoryJournal, MemoryStore};
use std::sync::Arc;
use std::time::Duration;

/// What a fake plugin does, from its configuration.
#[derive(Clone, serde::Deserialize)]
#[serde(default)]
struct Behaviour {
    /// The names of the seams that it really provides.
    provides: Vec<String>,
    /// `well`, `fail`, `panic`, `panic-early` or `hang`.
    start: String,
    /// `well`, `hang` or `panic`.
    run: String,
    /// `well`, `fail`, `panic` or `hang`.
    close: String,
    /// `well`, `fail`, `panic` or `hang`.
    serve: String,
    /// Paths, or `panic`.
    routes: Vec<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        let well = || "well".to_owned();
        Self {
            provides: Vec::new(),
            start: well(),
            run: well(),
            close: well(),
            serve: well(),
            routes: Vec::new(),
        }
    }
}

/// Every part of a fake plugin.
#[derive(Clone)]
struct Fake {
    behaviour: Behaviour,
    telemetry: Arc<dyn Telemetry>,
}

impl Fake {
    fn tell(&self, name: &str) {
        self.telemetry.event(Event::new(name));
    }
}

/// The constructor of every fake plugin.
pub(super) fn make(context: PluginContext) -> BoxFuture<'static, Result<Provided, PluginError>> {
    let behaviour: Behaviour = serde_json::from_str(&context.config_json).unwrap();
    assert_ne!(behaviour.start, "panic-early", "too early");
    Box::pin(async move {
        let granted: Vec<String> = context.seams.seams().iter().map(ToString::to_string).collect();
        context.telemetry.event(Event::new("made").with("granted", granted));
        let plugin_id = context.plugin_id.clone();
        match behaviour.start.as_str() {
            "fail" => {
                return Err(PluginError::CannotStart { plugin_id, reason: "the disk is gone".to_owned() });
            }
            "panic" => panic!("no luck"),
            "hang" => std::future::pending().await,
            _ => {}
        }
        let fake = Arc::new(Fake { behaviour, telemetry: context.telemetry });
        let has = |seam: Seam| fake.behaviour.provides.iter().any(|name| name == seam.name());
        Ok(Provided {
            store: has(Seam::Store).then(|| Arc::new(MemoryStore::new()) as Arc<_>),
            journal: has(Seam::Journal).then(|| Arc::new(MemoryJournal::new()) as Arc<_>),
            chain: has(Seam::ChainSubmit).then(|| Arc::new(NoChain) as Arc<_>),
            transport: has(Seam::Transport).then(|| Arc::clone(&fake) as Arc<_>),
            services: if has(Seam::Service) { vec![Arc::clone(&fake) as Arc<_>] } else { Vec::new() },
            close: Some(fake),
            ..Provided::default()
        })
    })
}

impl Close for Fake {
    fn close(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            self.tell("closed");
            match self.behaviour.close.as_str() {
                "fail" => Err("the disk is full".to_owned()),
                "panic" => panic!("too late"),
                "hang" => std::future::pending().await,
                _ => Ok(()),
            }
        })
    }
}

#[async_trait]
impl Service for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    fn routes(&self) -> Vec<Route> {
        assert!(!self.behaviour.routes.iter().any(|path| path == "panic"), "no routes");
        let handler: Arc<dyn UnaryHandler> = Arc::new(self.clone());
        self.behaviour.routes.iter().map(|path| Route::unary(path, Arc::clone(&handler))).collect()
    }

    async fn run(&self, shutdown: Cancel) -> Result<(), ServiceError> {
        self.tell("running");
        match self.behaviour.run.as_str() {
            "hang" => std::future::pending().await,
            "panic" => panic!("out of luck"),
            _ => {}
        }
        shutdown.cancelled().await;
        self.tell("ended");
        Ok(())
    }

    fn health(&self) -> Health {
        Health::Ok
    }
}

#[async_trait]
impl UnaryHandler for Fake {
    async fn call(&self, _caller: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        Ok(request)
    }
}

#[async_trait]
impl Transport for Fake {
    async fn call(&self, peer: &Peer, _: &str, _: Vec<u8>, _: Duration) -> Result<Vec<u8>, CallError> {
        Err(CallError::Unreachable { peer: peer.account.clone(), reason: "fake".to_owned() })
    }
    async fn call_stream(
        &self,
        peer: &Peer,
        _: &str,
        _: Vec<u8>,
        _: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        Err(CallError::Unreachable { peer: peer.account.clone(), reason: "fake".to_owned() })
    }
    async fn serve(&self, router: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        let paths = router.paths().map(str::to_owned).collect::<Vec<_>>();
        self.telemetry.event(Event::new("serving").with("paths", paths));
        match self.behaviour.serve.as_str() {
            "fail" => Err(CallError::Local { reason: "the port is taken".to_owned() }),
            "panic" => panic!("no port"),
            _ => Ok(Box::new(self.clone())),
        }
    }
    async fn probe_port(&self, _: &str, _: u16, _: Duration) -> PortState {
        PortState::Unknown
    }
}

#[async_trait]
impl ServerHandle for Fake {
    fn local_address(&self) -> String {
        "127.0.0.1:4444".to_owned()
    }
    async fn drain(&self, _grace: Duration) {
        self.tell("served");
        if self.behaviour.serve == "hang" {
            std::future::pending::<()>().await;
        }
    }
}

/// A chain client that nobody calls.
struct NoChain;

macro_rules! never_called {
    ($($name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*) => {
        #[async_trait]
        impl ChainReader for NoChain {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$output, ChainError> {
                unreachable!("{:?}", ($($argument,)*))
            })*
        }
    };
}

never_called! {
    status() -> ChainStatus;
    params() -> Params;
    current_epoch() -> EpochInfo;
    epoch_anchor(epoch_id: EpochId) -> EpochAnchor;
    assigned_targets(account: &str, epoch_id: EpochId) -> AssignedTargets;
    epoch_report(account: &str, epoch_id: EpochId) -> EpochReport;
    heal_op(heal_op_id: u64) -> HealOp;
    heal_ops_by_status(status: HealOpStatus, page: PageRequest) -> Page<HealOp>;
    heal_ops_by_ticket(ticket_id: &str, page: PageRequest) -> Page<HealOp>;
    ticket(ticket_id: &str) -> Ticket;
    tickets_of_supernode(account: &str, page: PageRequest) -> Page<Ticket>;
    tickets(page: PageRequest) -> Page<Ticket>;
    ticket_deterioration(ticket_id: &str) -> TicketDeterioration;
    node_suspicion(account: &str) -> NodeSuspicion;
    reporter_reliability(account: &str) -> ReporterReliability;
    supernode(account: &str) -> Supernode;
    supernodes(page: PageRequest) -> Page<Supernode>;
    top_supernodes(height: i64, limit: u32) -> Vec<Supernode>;
    account(address: &str) -> AccountInfo;
}

#[async_trait]
impl ChainClient for NoChain {
    fn account_address(&self) -> &str {
        "nobody"
    }
    async fn submit(&self, message: ChainMessage) -> Result<TxReceipt, ChainError> {
        unreachable!("{message:?}")
    }
}
