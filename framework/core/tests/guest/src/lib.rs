//! A native plugin that does what a test asks of it: answers, waits on its own runtime, streams, panics.
//!
//! What it does with a heal job follows from the ticket's id, what its stream does from the request.

mod mischief;

use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::heal::{HealCost, HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_plugin_sdk::api::plugin::Close;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::service::{Service, ServiceError};
use lampkeeper_plugin_sdk::api::transport::{Caller, MessageStream, Route, Status, StreamHandler};
use lampkeeper_plugin_sdk::prelude::*;
use mischief::Mischief;
use std::sync::Arc;
use std::time::Duration;

/// What a test may set.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
struct Config {
    /// What a reconstruction answers.
    greeting: String,
    /// When the plugin panics by itself: `start`, `routes`, `run` or `close`.
    panic_at: String,
}

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    assert!(config.panic_at != "start", "no start today");
    tracing::info!(greeting = config.greeting, "a guest arrives");
    let scheduler = context.scheduler()?;
    let mischief = Mischief { scheduler: Arc::clone(&scheduler), telemetry: context.telemetry };
    Ok(Provided {
        heal_strategy: Some(Arc::new(Guest { greeting: config.greeting, scheduler, mischief })),
        close: Some(Arc::new(Closing { panics: config.panic_at == "close" })),
        services: vec![Arc::new(Letters { panic_at: config.panic_at })],
        ..Provided::default()
    })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "native-guest",
    summary: "Does what a test asks of it.",
    provides: [HealStrategy, Service],
    needs: [required Scheduler, optional Store],
    config: Config,
    construct: construct,
    runtime: small,
}

struct Guest {
    greeting: String,
    scheduler: Arc<dyn Scheduler>,
    mischief: Mischief,
}

impl Drop for Guest {
    fn drop(&mut self) {
        assert!(self.greeting != "bomb", "dropped a bomb");
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("boom");
    }
}

#[async_trait]
impl HealStrategy for Guest {
    fn name(&self) -> &str {
        "native-guest"
    }

    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError> {
        match job.ticket.ticket_id.as_str() {
            // Needs a runtime: a nested spawn in somebody else's would abort the process.
            "spawn" => {
                let task = tokio::spawn(async {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    std::thread::current().name().unwrap_or_default().to_owned()
                });
                let thread = task.await.expect("the task ends");
                return saying(thread);
            }
            "host-task" => {
                let task = self.scheduler.spawn("fragile", Box::pin(async { panic!("glass") }));
                let ended = task.join().await;
                return Err(HealError::Retry {
                    attempted: "joining".to_owned(),
                    reason: format!("{ended:?}"),
                });
            }
            "panic" => panic!("out of luck"),
            "panic-later" => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                panic!("out of time");
            }
            "bomb" => {
                let _bomb = Bomb;
                std::future::pending::<()>().await;
            }
            "hang" => std::future::pending::<()>().await,
            deed => self.mischief.make(deed),
        }
        saying(self.greeting.clone())
    }
}

/// A reconstruction that cost nothing and says this.
fn saying(manifest_hash: String) -> Result<Reconstruction, HealError> {
    Ok(Reconstruction { manifest_hash, cost: HealCost::default() })
}

struct Closing {
    panics: bool,
}

impl Close for Closing {
    fn close(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            assert!(!self.panics, "the door sticks");
            Ok(())
        })
    }
}

struct Letters {
    panic_at: String,
}

#[async_trait]
impl Service for Letters {
    fn name(&self) -> &str {
        "letters"
    }

    fn routes(&self) -> Vec<Route> {
        assert!(self.panic_at != "routes", "no way");
        vec![Route::server_stream("/guest/letters", Arc::new(Post))]
    }

    async fn run(&self, shutdown: Cancel) -> Result<(), ServiceError> {
        assert!(self.panic_at != "run", "out of breath");
        shutdown.cancelled().await;
        Ok(())
    }
}

struct Post;

#[async_trait]
impl StreamHandler for Post {
    async fn call(&self, _: Caller, request: Vec<u8>) -> Result<Box<dyn MessageStream>, Status> {
        match request.as_slice() {
            [] => Ok(Box::new(Bulk { left: BULK_MESSAGE_COUNT })),
            [count] => Ok(Box::new(Stream { left: *count, _bomb: None })),
            [count, ..] => Ok(Box::new(Stream { left: *count, _bomb: Some(Bomb) })),
        }
    }
}

/// 64 MB in messages of 1 MiB, as a heal is streamed.
const BULK_MESSAGE_COUNT: u32 = 64;

struct Bulk {
    left: u32,
}

#[async_trait]
impl MessageStream for Bulk {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        self.left = self.left.checked_sub(1)?;
        Some(Ok(vec![7; 1 << 20]))
    }
}

/// As many messages as were asked for, then a panic.
struct Stream {
    left: u8,
    _bomb: Option<Bomb>,
}

#[async_trait]
impl MessageStream for Stream {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        tokio::task::yield_now().await;
        assert!(self.left > 0, "no more letters");
        self.left -= 1;
        Some(Ok(vec![self.left; 1024]))
    }
}
