//! For tests: plugins that are declared by a few words and made by the constructor that a test gives, and what is logged.

use crate::manifest::LogSection;
use crate::registry::Registry;
use lampkeeper_api::plugin::{Constructor, Need, PluginDescriptor, Provided, Seam};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::fmt::MakeWriter;

/// Marks a need that a plugin works without.
pub(crate) const OPTIONAL: bool = true;
/// Marks a need that a plugin does not work without.
pub(crate) const REQUIRED: bool = false;

/// A plugin that takes any configuration and is made of nothing.
pub(crate) fn plugin(id: &str, provides: &[Seam], needs: &[(Seam, bool)]) -> PluginDescriptor {
    PluginDescriptor {
        id: id.to_owned(),
        version: "1.2.3".to_owned(),
        summary: format!("Stands for {id}."),
        provides: provides.to_vec(),
        needs: needs.iter().map(|(seam, optional)| Need { seam: *seam, optional: *optional }).collect(),
        config_schema: "{}".to_owned(),
        construct: |_| Box::pin(async { Ok(Provided::default()) }),
    }
}

/// The same, made by `construct`.
pub(crate) fn made_by(construct: Constructor, descriptor: PluginDescriptor) -> PluginDescriptor {
    PluginDescriptor { construct, ..descriptor }
}

/// The same, with this configuration schema.
pub(crate) fn configured_by(config_schema: &str, descriptor: PluginDescriptor) -> PluginDescriptor {
    PluginDescriptor { config_schema: config_schema.to_owned(), ..descriptor }
}

/// A registry of these plugins, in a program that provides a scheduler.
pub(crate) fn registry(plugins: impl IntoIterator<Item = PluginDescriptor>) -> Registry {
    let mut registry = Registry::new().with_host_seams([Seam::Scheduler]);
    for plugin in plugins {
        registry.add(plugin).unwrap();
    }
    registry
}

/// Collects what is logged.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap()
    }

    /// Does `work` on a thread whose records come here.
    ///
    /// Tests run on many threads, most without a subscriber. As long as a process has only one, `tracing` asks the thread
    /// that comes first whether a record's place is of interest at all, and remembers the answer for every thread. Two
    /// that stay make it ask again.
    pub(crate) fn collect<T>(&self, section: &LogSection, work: impl FnOnce() -> T) -> T {
        static STAYING: OnceLock<[Dispatch; 2]> = OnceLock::new();
        STAYING.get_or_init(|| [(); 2].map(|()| Dispatch::new(NoSubscriber::new())));
        let subscriber = crate::telemetry::logging::subscriber(section, self.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, work)
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes().clone()).unwrap()
    }

    /// Each line from its level on: the time before it is not ours to test.
    pub(crate) fn after_time(&self) -> Vec<String> {
        self.text().lines().map(|line| line.split_once(' ').unwrap().1.trim_start().to_owned()).collect()
    }

    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
