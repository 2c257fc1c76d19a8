//! What a plugin author depends on, and nothing else.
//!
//! Re-exports the seams and the protocol's rules, and owns what turns a crate into a plugin: [`register_plugin!`], the
//! configuration helpers, and with the feature `testkit` the mocks, the scheduler in virtual time and the conformance
//! suites. Loading and supervising plugins is core's business.
//!
//! ```
//! use lampkeeper_plugin_sdk::prelude::*;
//!
//! /// What an operator may set.
//! #[derive(Debug, Default, Deserialize, JsonSchema)]
//! #[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
//! #[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
//! struct Config {
//!     /// How long to wait between two looks, in milliseconds.
//!     poll_interval_ms: u64,
//! }
//!
//! async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
//!     let scheduler = context.scheduler()?;
//!     # let _ = (scheduler, config);
//!     Ok(Provided::default())
//! }
//!
//! lampkeeper_plugin_sdk::register_plugin! {
//!     id: "my-service",
//!     summary: "Looks at something now and then.",
//!     provides: [Service],
//!     needs: [required Scheduler, optional Journal],
//!     config: Config,
//!     construct: construct,
//! }
//! # fn main() { assert_eq!(descriptor().id, "my-service"); }
//! ```
#![forbid(unsafe_code)]

pub mod address;
pub mod cascade;
pub mod checked_log;
pub mod config;
pub mod evidence;
pub mod native;
pub mod scrub;
#[cfg(feature = "testkit")]
pub mod testkit;

pub use lampkeeper_api as api;
pub use lampkeeper_protocol as protocol;
pub use {async_trait::async_trait, futures, schemars, serde, serde_json};

/// What most plugins use.
pub mod prelude {
    pub use crate::api::cancel::Cancel;
    pub use crate::api::plugin::{Need, PluginContext, PluginDescriptor, PluginError, Provided, Seam};
    pub use crate::api::telemetry::{Event, Level, Telemetry, Value};
    pub use async_trait::async_trait;
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}

/// Makes a crate a plugin: defines `pub fn descriptor() -> PluginDescriptor`, registers it with the image that the crate is
/// linked into, and exports it from a shared library that the crate is built as.
///
/// `construct` is an `async fn(PluginContext, Config) -> Result<Provided, PluginError>`. See the crate's example.
///
/// The same source serves both tiers. As an `rlib` the plugin is found by the program that links it. As a `cdylib` it carries a
/// header in a section of the file and one C function, by which a host compares and then starts it; there
/// `runtime: small` (or `per_core`, see [`native::Runtime`]; both need the feature `native-runtime`) gives it a tokio runtime
/// of its own. Without that line it has none, and uses seams only.
#[macro_export]
macro_rules! register_plugin {
    (
        id: $id:literal,
        summary: $summary:literal,
        provides: [$($provides:ident),* $(,)?],
        needs: [$($kind:ident $needs:ident),* $(,)?],
        config: $config:ty,
        construct: $construct:path
        $(, runtime: $runtime:ident)?
        $(,)?
    ) => {
        /// This plugin's descriptor.
        #[must_use]
        pub fn descriptor() -> $crate::api::plugin::PluginDescriptor {
            $crate::api::plugin::PluginDescriptor {
                id: $id.to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                summary: $summary.to_owned(),
                provides: vec![$($crate::api::plugin::Seam::$provides),*],
                needs: vec![$($crate::api::plugin::Need::$kind($crate::api::plugin::Seam::$needs)),*],
                config_schema: $crate::config::schema_json::<$config>(),
                construct: |context| {
                    Box::pin(async move {
                        let config = $crate::config::parse::<$config>(&context)?;
                        $construct(context, config).await
                    })
                },
            }
        }

        $crate::api::plugin::inventory::submit! {
            $crate::api::plugin::StaticPlugin { describe: descriptor }
        }

        const _: () = {
            $crate::api::native::export_plugin! {
                $crate::api::native,
                $id,
                $crate::api::native::Header::of_this_build(
                    $id,
                    env!("CARGO_PKG_VERSION"),
                    &[$($crate::api::plugin::Seam::$provides),*],
                    &[$($crate::api::plugin::Need::$kind($crate::api::plugin::Seam::$needs)),*],
                ),
                || $crate::native::start(descriptor, |context| {
                    let runtime = $crate::__runtime!($($runtime)?);
                    $crate::native::construct(context, runtime, |context| (descriptor().construct)(context))
                })
            }
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __runtime {
    () => {
        $crate::native::Runtime::none
    };
    ($runtime:ident) => {
        $crate::native::Runtime::$runtime
    };
}
