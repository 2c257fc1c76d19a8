//! From a URL to a backend.

use crate::Config;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use std::sync::Arc;
use url::Url;

/// The backend that a URL names, and the prefix of all paths in it; or the key that is wrong, and how.
pub(crate) fn open(config: &Config) -> Result<(Arc<dyn ObjectStore>, Path), (&'static str, String)> {
    let wrong = |reason: String| ("config.url", reason);
    let url =
        Url::parse(&config.url).map_err(|error| wrong(format!("`{}` is no URL: {error}", config.url)))?;
    if url.scheme() != "s3" && !config.options.is_empty() {
        return Err(("config.options", "only s3 has options: remove them".to_owned()));
    }
    match url.scheme() {
        "memory" => Ok((Arc::new(InMemory::new()), Path::default())),
        "file" => {
            let folder =
                url.to_file_path().map_err(|()| wrong("write file:///absolute/folder".to_owned()))?;
            let backend = LocalFileSystem::new_with_prefix(&folder);
            let backend = backend.map_err(|error| wrong(format!("{}: {error}", folder.display())))?;
            Ok((Arc::new(backend), Path::default()))
        }
        "s3" => s3(&url, config),
        scheme => Err(wrong(format!("`{scheme}` is none of memory, file and s3"))),
    }
}

#[cfg(feature = "s3")]
fn s3(url: &Url, config: &Config) -> Result<(Arc<dyn ObjectStore>, Path), (&'static str, String)> {
    let (backend, prefix) = object_store::parse_url_opts(url, &config.options)
        .map_err(|error| ("config.url", error.to_string()))?;
    Ok((Arc::from(backend), prefix))
}

#[cfg(not(feature = "s3"))]
fn s3(_: &Url, _: &Config) -> Result<(Arc<dyn ObjectStore>, Path), (&'static str, String)> {
    Err(("config.url", "this build has no S3: build the plugin with `--features s3`".to_owned()))
}
