//! Recordings that are read.
#![expect(clippy::disallowed_methods, reason = "the recordings of a node are core's own files")]

use lampkeeper_api::guard::{RECORDING_LEN_BYTES_MAX, Recording};
use lampkeeper_api::plugin::Seam;
use std::path::Path;

/// Reads the recording of a seam.
pub(super) fn read_recording(path: &Path, seam: Seam) -> Result<Recording, String> {
    let failed = |error: std::io::Error| format!("replaying {}: {error}", path.display());
    let len_bytes = std::fs::metadata(path).map_err(failed)?.len();
    if len_bytes > RECORDING_LEN_BYTES_MAX {
        return Err(format!(
            "replaying {}: {len_bytes} bytes are more than a recording may have",
            path.display()
        ));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    let recording =
        Recording::parse(&text).map_err(|error| format!("replaying {}: {error}", path.display()))?;
    if recording.header.seam == seam.name() {
        Ok(recording)
    } else {
        let other = &recording.header.seam;
        Err(format!("replaying {}: it is a recording of `{other}`, not of `{seam}`", path.display()))
    }
}
