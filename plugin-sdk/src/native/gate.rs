//! The guest's gate: every entry into a native plugin's code.

use super::forward;
use super::runtime::Runtime;
use lampkeeper_api::guard::{Gate, Method, contained};
use lampkeeper_api::plugin::PluginContext;
use lampkeeper_api::telemetry::Telemetry;
use std::sync::Arc;

/// Enters the plugin's runtime, sends its log records to the host, and contains its panics.
pub(super) struct GuestGate {
    plugin_id: String,
    telemetry: Arc<dyn Telemetry>,
    runtime: Runtime,
}

impl GuestGate {
    pub(super) fn new(context: &PluginContext, runtime: Runtime) -> Self {
        Self { plugin_id: context.plugin_id.clone(), telemetry: Arc::clone(&context.telemetry), runtime }
    }
}

impl Gate for GuestGate {
    fn plugin_id(&self) -> &str {
        &self.plugin_id
    }

    fn step(&self, method: &'static Method, work: &mut dyn FnMut()) -> Result<(), String> {
        let outcome = {
            let _listening = forward::Listening::to(&self.telemetry);
            contained(|| self.runtime.enter(work))
        };
        if let Err(words) = &outcome {
            self.telemetry.panicked(method.seam, method.name, words);
        }
        outcome
    }
}
