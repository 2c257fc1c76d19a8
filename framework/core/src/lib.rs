//! Manifest, plugin registry, dependency resolution, supervision and telemetry.
