//! The paths of the calls between nodes, as they stand on the wire: `/package.Service/Method`.
//!
//! Owns the names that handlers are registered and peers are called under. A test compares them with the
//! schemas, so none can be misspelt or forgotten. Calls to the chain are in [`calls`](crate::calls).

/// A challenger asks a target for ranges of an artifact (wire 2.1).
pub const GET_COMPOUND_PROOF: &str = "/supernode.StorageChallengeService/GetCompoundProof";
/// The legacy challenge of one range (wire 2.1, 3.8).
pub const GET_SLICE_PROOF: &str = "/supernode.StorageChallengeService/GetSliceProof";
/// The legacy check of a proof by an observer (wire 2.1, 3.8).
pub const VERIFY_SLICE_PROOF: &str = "/supernode.StorageChallengeService/VerifySliceProof";

/// A verifier streams the file that a healer reconstructed (wire 2.2).
pub const SERVE_RECONSTRUCTED_ARTEFACTS: &str = "/supernode.SelfHealingService/ServeReconstructedArtefacts";

/// What a supernode tells about itself (wire 2.3).
pub const GET_STATUS: &str = "/supernode.SupernodeService/GetStatus";
/// The services that a supernode advertises (wire 2.3).
pub const LIST_SERVICES: &str = "/supernode.SupernodeService/ListServices";
/// Profiling of the Go runtime: the index (wire 2.3). No peer calls any of the profiling methods.
pub const GET_RAW_PPROF: &str = "/supernode.SupernodeService/GetRawPprof";
/// Profiling of the Go runtime: the heap (wire 2.3).
pub const GET_RAW_PPROF_HEAP: &str = "/supernode.SupernodeService/GetRawPprofHeap";
/// Profiling of the Go runtime: goroutines (wire 2.3).
pub const GET_RAW_PPROF_GOROUTINE: &str = "/supernode.SupernodeService/GetRawPprofGoroutine";
/// Profiling of the Go runtime: allocations (wire 2.3).
pub const GET_RAW_PPROF_ALLOCS: &str = "/supernode.SupernodeService/GetRawPprofAllocs";
/// Profiling of the Go runtime: blocking (wire 2.3).
pub const GET_RAW_PPROF_BLOCK: &str = "/supernode.SupernodeService/GetRawPprofBlock";
/// Profiling of the Go runtime: mutexes (wire 2.3).
pub const GET_RAW_PPROF_MUTEX: &str = "/supernode.SupernodeService/GetRawPprofMutex";
/// Profiling of the Go runtime: thread creation (wire 2.3).
pub const GET_RAW_PPROF_THREADCREATE: &str = "/supernode.SupernodeService/GetRawPprofThreadcreate";
/// Profiling of the Go runtime: processor time (wire 2.3).
pub const GET_RAW_PPROF_PROFILE: &str = "/supernode.SupernodeService/GetRawPprofProfile";
/// Profiling of the Go runtime: the command line (wire 2.3).
pub const GET_RAW_PPROF_CMDLINE: &str = "/supernode.SupernodeService/GetRawPprofCmdline";
/// Profiling of the Go runtime: symbols (wire 2.3).
pub const GET_RAW_PPROF_SYMBOL: &str = "/supernode.SupernodeService/GetRawPprofSymbol";
/// Profiling of the Go runtime: an execution trace (wire 2.3).
pub const GET_RAW_PPROF_TRACE: &str = "/supernode.SupernodeService/GetRawPprofTrace";

/// A client uploads a file: streams both ways (wire 2.4).
pub const REGISTER: &str = "/cascade.CascadeService/Register";
/// A client downloads a file: the answer is a stream (wire 2.4).
pub const DOWNLOAD: &str = "/cascade.CascadeService/Download";

/// Whether a node, or one service of it, is serving (wire 2.5).
pub const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
/// The same as a stream of changes (wire 2.5).
pub const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Which artifacts a Lampkeeper peer holds.
pub const POSSESS: &str = "/lampkeeper.v1.ArtifactService/Possess";
/// Artifacts from a Lampkeeper peer.
pub const FETCH: &str = "/lampkeeper.v1.ArtifactService/Fetch";
/// Artifacts for a Lampkeeper peer to keep.
pub const STORE: &str = "/lampkeeper.v1.ArtifactService/Store";

/// Every path of this module, in the order above.
pub const ALL: &[&str] = &[
    GET_COMPOUND_PROOF,
    GET_SLICE_PROOF,
    VERIFY_SLICE_PROOF,
    SERVE_RECONSTRUCTED_ARTEFACTS,
    GET_STATUS,
    LIST_SERVICES,
    GET_RAW_PPROF,
    GET_RAW_PPROF_HEAP,
    GET_RAW_PPROF_GOROUTINE,
    GET_RAW_PPROF_ALLOCS,
    GET_RAW_PPROF_BLOCK,
    GET_RAW_PPROF_MUTEX,
    GET_RAW_PPROF_THREADCREATE,
    GET_RAW_PPROF_PROFILE,
    GET_RAW_PPROF_CMDLINE,
    GET_RAW_PPROF_SYMBOL,
    GET_RAW_PPROF_TRACE,
    REGISTER,
    DOWNLOAD,
    HEALTH_CHECK,
    HEALTH_WATCH,
    POSSESS,
    FETCH,
    STORE,
];
