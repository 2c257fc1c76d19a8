//! What a node does around a plugin that is in another image: whatever goes in and comes out crosses a border.
//!
//! Owns the test's side of that border. Without it a panic of a test's own task would reach the plugin's image, which
//! can't catch it.

use lampkeeper_api::guard::{Border, Cross as _, Gate, Method, contained};
use lampkeeper_api::plugin::{PluginContext, PluginDescriptor, PluginError, Provided};
use std::sync::Arc;

/// Makes a plugin of a loaded library.
pub(super) async fn construct_loaded(
    descriptor: &PluginDescriptor,
    context: PluginContext,
) -> Result<Provided, PluginError> {
    let host: Arc<dyn Gate> = Arc::new(Containing);
    let given = Border::giving(Arc::clone(&host));
    let context = PluginContext {
        seams: context.seams.cross(&given),
        telemetry: context.telemetry.cross(&given),
        ..context
    };
    let provided = (descriptor.construct)(context).await?;
    Ok(provided.cross(&Border::giving(Arc::clone(&host)).with_arguments(host)))
}

/// Contains the panics of this image, and nothing else.
struct Containing;

impl Gate for Containing {
    fn plugin_id(&self) -> &'static str {
        "conformance"
    }

    fn step(&self, _: &'static Method, work: &mut dyn FnMut()) -> Result<(), String> {
        contained(work)
    }
}
