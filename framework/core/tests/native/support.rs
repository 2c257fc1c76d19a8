//! Builds the guest, writes manifests for it, starts nodes of it.

use lampkeeper_api::plugin::Seam;
use lampkeeper_api::transport::{CallError, MessageStream, Peer, Router, ServerHandle, Transport};
use lampkeeper_core::{Manifest, Node, NodeHost, Problem, Registry, TelemetryHub};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::testkit::{TestSigner, VirtualScheduler};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// The guest's library, built once for all tests of this process, with what the node's own build left in its folder.
pub(crate) fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/Cargo.toml");
        // target/PROFILE/deps/this-test
        let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
        let release = if cfg!(debug_assertions) { [].as_slice() } else { ["--release"].as_slice() };
        let status = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(&target)
            .args(release)
            .status()
            .unwrap();
        assert!(status.success(), "the guest does not build");
        let profile = if release.is_empty() { "debug" } else { "release" };
        target.join(profile).join("liblampkeeper_native_guest.so")
    })
}

pub(crate) fn blake3_of(path: &Path) -> String {
    lampkeeper_core::native::LibraryFile::open(path).unwrap().blake3().to_owned()
}

/// A manifest with the guest's table, to which `config` is added.
pub(crate) fn manifest(library: &Path, config: &str) -> String {
    format!(
        "[node]\nname = 'n1'\nnetwork = 'devnet-1'\ndata_dir = 'data'\n[plugins.native-guest]\ntier = 'native'\n\
         path = '{}'\nblake3 = '{}'\ngrants = ['store', 'scheduler']\n[plugins.native-guest.config]\n{config}\n",
        library.display(),
        blake3_of(library)
    )
}

/// The registry of a program that links no plugin, and provides a scheduler and a transport.
pub(crate) fn bare_registry() -> Registry {
    Registry::new().with_host_seams([Seam::Scheduler, Seam::Transport])
}

/// Reads a manifest as a node does.
pub(crate) fn read(text: &str) -> (Registry, Result<Manifest, Vec<Problem>>) {
    let path = Path::new("node.toml");
    let registry = bare_registry().with_native_of(path, text);
    let manifest = Manifest::parse(path, text, &registry);
    (registry, manifest)
}

/// A library's own threads speak for the instance that was made last. Tests run side by side in one process, so one that
/// loses such a thread has to be the only one with a node.
static INSTANCES: RwLock<()> = RwLock::new(());

/// A test's share of the library.
#[expect(dead_code, reason = "held, not read")]
enum Share {
    One(RwLockReadGuard<'static, ()>),
    Only(RwLockWriteGuard<'static, ()>),
}

impl Share {
    fn one() -> Self {
        Self::One(INSTANCES.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn only() -> Self {
        Self::Only(INSTANCES.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A node of the guest alone.
pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) scheduler: VirtualScheduler,
    pub(crate) telemetry: Arc<TelemetryHub>,
    pub(crate) router: Router,
    _share: Share,
}

impl Running {
    pub(crate) fn start(config: &str) -> Result<Self, String> {
        let (registry, parsed) = read(&manifest(guest(), config));
        Self::start_with(&registry, parsed)
    }

    /// As `start`, while no other test has a node.
    pub(crate) fn start_only(config: &str) -> Result<Self, String> {
        let (registry, parsed) = read(&manifest(guest(), config));
        Self::start_sharing(Share::only(), &registry, parsed)
    }

    pub(crate) fn start_with(
        registry: &Registry,
        parsed: Result<Manifest, Vec<Problem>>,
    ) -> Result<Self, String> {
        Self::start_sharing(Share::one(), registry, parsed)
    }

    fn start_sharing(
        share: Share,
        registry: &Registry,
        parsed: Result<Manifest, Vec<Problem>>,
    ) -> Result<Self, String> {
        let parsed = parsed.map_err(|problems| format!("{problems:?}"))?;
        let (scheduler, telemetry) = (VirtualScheduler::new(1), TelemetryHub::new());
        let served = Arc::new(Served::default());
        let mut host = NodeHost::new(Arc::new(TestSigner::new("n1")), Arc::clone(&telemetry));
        host.seams.scheduler = Some(scheduler.handle());
        host.seams.transport = Some(served.clone());
        let node =
            scheduler.block_on(Node::start(&parsed, registry, host)).map_err(|error| error.to_string())?;
        let router = served.router.lock().unwrap().take().unwrap_or_default();
        Ok(Self { node, scheduler, telemetry, router, _share: share })
    }

    pub(crate) fn drain(self) {
        let report = self.scheduler.block_on(self.node.drain());
        assert!(report.is_clean(), "{report:?}");
    }
}

/// Keeps what it is to serve.
#[derive(Default)]
struct Served {
    router: Mutex<Option<Router>>,
}

#[async_trait]
impl Transport for Served {
    async fn call(&self, _: &Peer, _: &str, _: Vec<u8>, _: Duration) -> Result<Vec<u8>, CallError> {
        Err(CallError::Local { reason: "nobody is called here".to_owned() })
    }

    async fn call_stream(
        &self,
        _: &Peer,
        _: &str,
        _: Vec<u8>,
        _: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        Err(CallError::Local { reason: "nobody is called here".to_owned() })
    }

    async fn serve(&self, router: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        *self.router.lock().unwrap() = Some(router);
        Ok(Box::new(Serving))
    }

    async fn probe_port(&self, _: &str, _: u16, _: Duration) -> lampkeeper_api::chain::PortState {
        lampkeeper_api::chain::PortState::Unknown
    }
}

struct Serving;

#[async_trait]
impl ServerHandle for Serving {
    fn local_address(&self) -> String {
        "here".to_owned()
    }

    async fn drain(&self, _: Duration) {}
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, which has no runtime; the guest's own threads wake it.
pub(crate) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = Box::pin(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        std::thread::park();
    }
}
