//! What a plugin does inside its own shared library.
//!
//! Owns the guest's side of the border: whatever the plugin makes is wrapped before it leaves, so that its code is only
//! entered with its runtime around it, its log records on their way to the host, and its panics contained in the image
//! in which they happen. Reading and comparing headers, and loading, is the host's (core).
//!
//! Nothing of this runs in the static tier.

mod forward;
mod gate;
mod runtime;
mod stray;

#[cfg(test)]
mod tests;

pub use runtime::Runtime;

use gate::GuestGate;
use lampkeeper_api::BoxFuture;
use lampkeeper_api::guard::{Border, Codec, Cross as _, Gate, Method, contained};
use lampkeeper_api::plugin::{Constructor, PluginContext, PluginDescriptor, PluginError, Provided};
use std::sync::Arc;

static CONSTRUCT: Method = Method::new("plugin", "construct");

/// The descriptor of a plugin, made by its own code; called once by the host after it has compared the header.
///
/// # Errors
/// The words of a panic.
pub fn start(describe: fn() -> PluginDescriptor, construct: Constructor) -> Result<PluginDescriptor, String> {
    contained(|| PluginDescriptor { construct, ..describe() })
}

/// Makes the plugin behind its border: what it is given is told who passes things in, what it provides is wrapped.
pub fn construct(
    context: PluginContext,
    runtime: Runtime,
    inner: Constructor,
) -> BoxFuture<'static, Result<Provided, PluginError>> {
    let plugin_id = context.plugin_id.clone();
    let making = contained(|| {
        forward::install(&context.telemetry);
        stray::install();
        let gate: Arc<dyn Gate> = Arc::new(GuestGate::new(&context, runtime));
        let given = Border::given(Arc::clone(&gate));
        let context = PluginContext { seams: context.seams.cross(&given), ..context };
        let giving = Border::giving(gate);
        let passage = giving.begin(&CONSTRUCT, format_args!(""));
        let made = passage.future(move || inner(context), Codec::none());
        let crossed = async move { made.await.cross(&giving) };
        Box::pin(crossed) as BoxFuture<'static, _>
    });
    making
        .unwrap_or_else(|message| Box::pin(async move { Err(PluginError::Panicked { plugin_id, message }) }))
}
