//! A file that is being fetched: written under a temporary name, and given its own when it is complete.
//!
//! Owns the local file. What is written, and that it is the ticket's file, is the SDK's part.
#![expect(clippy::disallowed_methods, reason = "the download is a file of the person who asked for it")]

use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::{FileTarget, TargetError};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A download under way; what is incomplete is removed when it is dropped.
pub struct Download {
    part: PathBuf,
    file: Arc<File>,
}

impl Download {
    /// Begins a download that will be called `path`, which must not exist.
    ///
    /// # Errors
    /// If it exists, or the directory can't be written to.
    pub fn begin(path: &Path) -> Result<Self, String> {
        if path.exists() {
            return Err(format!(
                "{} exists: nothing is overwritten, name another with --output",
                path.display()
            ));
        }
        let name = path.file_name().ok_or_else(|| format!("{} names no file", path.display()))?;
        let mut part_name = name.to_owned();
        part_name.push(".part");
        let part = path.with_file_name(part_name);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&part)
            .map_err(|error| format!("making {}: {error}", part.display()))?;
        Ok(Self { part, file: Arc::new(file) })
    }

    /// Makes the download durable and gives it its name, unless that was taken meanwhile.
    ///
    /// # Errors
    /// If the disk fails or the name is taken.
    pub fn finish(self, path: &Path) -> Result<(), String> {
        let failed = |error: io::Error| format!("finishing {}: {error}", path.display());
        self.file.sync_all().map_err(failed)?;
        std::fs::hard_link(&self.part, path).map_err(failed)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.part);
    }
}

#[async_trait]
impl FileTarget for Download {
    async fn write_at(&self, offset: u64, bytes: Vec<u8>) -> Result<(), TargetError> {
        self.blocking("writing", move |file| file.write_all_at(&bytes, offset)).await
    }

    async fn read_at(&self, offset: u64, len_bytes: usize) -> Result<Vec<u8>, TargetError> {
        self.blocking("reading", move |file| {
            let mut bytes = vec![0; len_bytes];
            let mut filled = 0;
            while filled < len_bytes {
                match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
                    0 => break,
                    len => filled += len,
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        })
        .await
    }
}

impl Download {
    async fn blocking<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> Result<T, TargetError> {
        let file = Arc::clone(&self.file);
        let attempted = format!("{what} {}", self.part.display());
        let done = tokio::task::spawn_blocking(move || work(&file)).await;
        let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| TargetError::Io { attempted, reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_download_appears_only_when_it_is_complete() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        let download = Download::begin(&path).expect("begins");
        download.write_at(3, b"def".to_vec()).await.expect("writes");
        download.write_at(0, b"abc".to_vec()).await.expect("writes");
        assert_eq!(download.read_at(1, 100).await.expect("reads"), b"bcdef");
        assert!(!path.exists());
        download.finish(&path).expect("finishes");
        assert_eq!(std::fs::read(&path).expect("reads"), b"abcdef");
        assert!(Download::begin(&path).is_err_and(|error| error.contains("nothing is overwritten")));
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1, "no part is left");
    }

    #[tokio::test]
    async fn a_download_that_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let download = Download::begin(&dir.path().join("file")).expect("begins");
        download.write_at(0, b"abc".to_vec()).await.expect("writes");
        drop(download);
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
    }
}
