//! What stands between a caller and a seam.
//!
//! Every call from one plugin to another, and from the host to a plugin, goes through a [`Guarded`] wrapper, which the
//! attribute `seam` generates from the seam's trait. The wrapper asks a [`Gate`] before the call, at each step of the
//! work behind it (the call itself, each poll of its future, the future's end) and after it. Accounting, the containment
//! of panics, the entering of a plugin's runtime, and later faults, delays, recordings and their replay, are gates.
//!
//! Owns the wrapper, the border that live objects are wrapped at, and what a caller is answered when a plugin can't.
//! What a gate does is its maker's: the host's are in core, those inside a native plugin in the SDK.
//!
//! Who wraps what: the side that *made* an object or a future wraps it before it crosses, so that its code is only ever
//! entered through its own gate, with its own thread-locals and its own panic machinery.

mod answer;
mod contain;
mod cross;
mod passage;
mod recording;
mod work;

#[cfg(test)]
mod tests;

pub use answer::{Answer, SeamError};
pub use contain::{contained, contained_drop, panic_words};
pub use cross::Cross;
pub use passage::{Codec, Passage};
pub use recording::{
    ANSWER_LEN_BYTES_MAX, ARGUMENTS_LEN_BYTES_MAX, ArgumentsText, RECORDING_LEN_BYTES_MAX, RECORDING_VERSION,
    RecordedCall, Recording, RecordingError, RecordingHeader, ReplayGate, is_identity,
};
pub(crate) use work::{run_blocking, spawn};

use crate::BoxFuture;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A method of a seam, as gates see it. One for each method and image.
#[derive(Debug)]
pub struct Method {
    /// The seam, such as `store`.
    pub seam: &'static str,
    /// The method, such as `put`.
    pub name: &'static str,
    slot: AtomicUsize,
}

/// The most methods that an image may number; above the sum of all seams' methods.
pub const METHOD_SLOTS_MAX: usize = 256;

impl Method {
    /// A method that was not called yet.
    #[must_use]
    pub const fn new(seam: &'static str, name: &'static str) -> Self {
        Self { seam, name, slot: AtomicUsize::new(usize::MAX) }
    }

    /// A small number of its own, below [`METHOD_SLOTS_MAX`], the same as long as the image is loaded. Numbers are given
    /// out in the order of first use; if they ever ran out, further methods would share the last.
    #[must_use]
    pub fn slot(&'static self) -> usize {
        static SLOTS_TAKEN: AtomicUsize = AtomicUsize::new(0);
        let known = self.slot.load(Ordering::Relaxed);
        if known != usize::MAX {
            return known;
        }
        let new = SLOTS_TAKEN.fetch_add(1, Ordering::Relaxed).min(METHOD_SLOTS_MAX - 1);
        // Of two threads that come first at once one number is lost, which costs nothing.
        match self.slot.compare_exchange(usize::MAX, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new,
            Err(first) => first,
        }
    }
}

/// A call that is about to be made.
pub struct Call<'a> {
    /// The method.
    pub method: &'static Method,
    /// The arguments as text, `name: value` each; formatted only if a gate looks at them.
    pub arguments: fmt::Arguments<'a>,
}

/// What a gate says to a call.
#[non_exhaustive]
pub enum Decision {
    /// Make it.
    Pass,
    /// Make it, and hand the answer to [`Gate::outcome`] with this token.
    Watch(u64),
    /// Don't make it: the caller is told that the plugin is not available.
    Refuse(Unavailable),
    /// Don't make it: the caller is given this answer, a JSON text that [`Gate::outcome`] was once handed. A method whose
    /// answer can't be recorded refuses.
    Answer(String),
    /// Ask again when the future completes, which must not be with another `Wait`. A method that is not asynchronous
    /// can't wait and passes.
    Wait(BoxFuture<'static, Decision>),
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Finish {
    /// With an answer that is no error.
    Answered,
    /// With an error of the plugin's own.
    Failed,
    /// The gate did not let it pass.
    Refused,
    /// The plugin panicked.
    Panicked,
    /// The caller dropped the future before it was complete.
    Dropped,
}

/// Decides about calls and runs the work behind them. Called on whatever thread the caller is on; must not block.
pub trait Gate: Send + Sync {
    /// Who is behind the gate, for errors.
    fn plugin_id(&self) -> &str;

    /// Runs one step of the work behind a call: the call itself, one poll of its future or stream, or the drop of one.
    ///
    /// # Errors
    /// The words of a panic, if the gate contains them and the work panicked. A gate that contains no panics lets them
    /// pass.
    fn step(&self, method: &'static Method, work: &mut dyn FnMut()) -> Result<(), String>;

    /// Called before each call.
    fn before(&self, call: &Call<'_>) -> Decision {
        let _ = call;
        Decision::Pass
    }

    /// Called once for each call that `before` was asked about, when it has ended.
    fn finished(&self, method: &'static Method, finish: Finish) {
        let _ = (method, finish);
    }

    /// The answer to a call that was to be watched, as JSON; `None` if it can't be recorded.
    fn outcome(&self, token: u64, method: &'static Method, answer: Option<String>) {
        let _ = (token, method, answer);
    }
}

/// Why a call was not answered by the plugin that it was made to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin_id} {reason}")]
pub struct Unavailable {
    /// The plugin.
    pub plugin_id: String,
    /// Why.
    pub reason: UnavailableReason,
}

/// What keeps a plugin from answering.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnavailableReason {
    /// It panicked during this call.
    #[error("panicked: {0}")]
    Panicked(String),
    /// It is no longer called, because of what it did before.
    #[error("is quarantined: {0}")]
    Quarantined(String),
    /// The manifest put something in front of it that refused the call.
    #[error("is not available: {0}")]
    Refused(String),
}

impl Unavailable {
    /// The plugin panicked during this call.
    #[must_use]
    pub fn panicked(plugin_id: &str, words: String) -> Self {
        Self { plugin_id: plugin_id.to_owned(), reason: UnavailableReason::Panicked(words) }
    }

    /// Whether the plugin's code was entered, so that the call may have had an effect.
    #[must_use]
    pub const fn was_entered(&self) -> bool {
        match &self.reason {
            UnavailableReason::Panicked(_) => true,
            UnavailableReason::Quarantined(_) | UnavailableReason::Refused(_) => false,
        }
    }
}

/// A border, seen from an object that crosses it: who is to be asked when the object is called, and who when its caller
/// passes objects in.
#[derive(Clone)]
pub struct Border {
    calls: Option<Arc<dyn Gate>>,
    arguments: Option<Arc<dyn Gate>>,
}

impl Border {
    /// For what `gate`'s side made and gives away: its calls, and what they answer, go through the gate.
    #[must_use]
    pub fn giving(gate: Arc<dyn Gate>) -> Self {
        Self { calls: Some(gate), arguments: None }
    }

    /// For what `gate`'s side was given: it is called directly, and what is passed into it goes through the gate.
    #[must_use]
    pub fn given(gate: Arc<dyn Gate>) -> Self {
        Self { calls: None, arguments: Some(gate) }
    }

    /// The border with a gate for what callers pass in, too: for a side that stands between callers and an object.
    #[must_use]
    pub fn with_arguments(mut self, gate: Arc<dyn Gate>) -> Self {
        self.arguments = Some(gate);
        self
    }

    /// Asks the gate about a call.
    #[must_use]
    pub fn begin(&self, method: &'static Method, arguments: fmt::Arguments<'_>) -> Passage {
        Passage::begin(self.calls.as_ref(), &Call { method, arguments })
    }

    /// Wraps what a caller passes in.
    #[must_use]
    pub fn argument<T: Cross>(&self, value: T) -> T {
        match &self.arguments {
            Some(gate) => value.cross(&Self::giving(Arc::clone(gate))),
            None => value,
        }
    }

    /// Wraps what the callee answers.
    #[must_use]
    pub fn result<T: Cross>(&self, value: T) -> T {
        match &self.calls {
            Some(gate) => value.cross(&Self::giving(Arc::clone(gate))),
            None => value,
        }
    }
}

/// What every seam's trait object knows of its trait; written by the attribute `seam`.
pub trait SeamTrait {
    /// The name in accounts and messages.
    const NAME: &'static str;
    /// A digest of the trait's tokens.
    const DIGEST: u64;
    /// The names of its own methods, in their order.
    const METHODS: &'static [&'static str];
}

/// A live object behind a gate: implements a seam's trait by forwarding every method of `P`'s target.
///
/// Dropping it drops the object inside, through the gate as well.
pub struct Guarded<P> {
    pub(crate) inner: Held<P>,
    pub(crate) border: Border,
}

impl<P> Guarded<P> {
    /// Puts an object behind a border.
    pub fn new(inner: P, border: Border) -> Self {
        let dropped_by = border.calls.clone();
        Self { inner: Held { pointer: Some(inner), dropped_by }, border }
    }
}

/// An object that is dropped through its gate.
pub(crate) struct Held<P> {
    /// Empty only while it is being dropped.
    pointer: Option<P>,
    dropped_by: Option<Arc<dyn Gate>>,
}

/// The drop of a live object, which is foreign code like every other call.
static DROP: Method = Method::new("object", "drop");

impl<P> Drop for Held<P> {
    fn drop(&mut self) {
        let mut pointer = self.pointer.take();
        if let Some(gate) = &self.dropped_by {
            // The gate has noted a panic; there is nobody to tell it to.
            let _ = gate.step(&DROP, &mut || drop(pointer.take()));
        }
    }
}

impl<P: Deref> Deref for Held<P> {
    type Target = P::Target;

    #[expect(
        clippy::expect_used,
        reason = "the pointer is only taken by the drop, after which nobody can call"
    )]
    fn deref(&self) -> &P::Target {
        self.pointer.as_deref().expect("only dropping takes the pointer")
    }
}

impl<P: DerefMut> DerefMut for Held<P> {
    #[expect(
        clippy::expect_used,
        reason = "the pointer is only taken by the drop, after which nobody can call"
    )]
    fn deref_mut(&mut self) -> &mut P::Target {
        self.pointer.as_deref_mut().expect("only dropping takes the pointer")
    }
}
