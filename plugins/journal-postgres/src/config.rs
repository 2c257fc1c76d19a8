//! What an operator may set, and the place that it names.
//!
//! Owns where the server's address comes from, and that it is never shown.

use crate::url::{ServerUrl, URL_LEN_BYTES_MAX};
use lampkeeper_plugin_sdk::prelude::*;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest name of a schema, in bytes; PostgreSQL cuts off the rest.
pub const SCHEMA_LEN_BYTES_MAX: usize = 63;

/// What an operator may set. One of `url`, `url_env` and `url_file` is needed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// The server and the database, `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`. Never logged; but a manifest is
    /// easily shown to others, so a password is better kept in `url_env` or `url_file`.
    pub url: Option<Secret>,
    /// The environment variable that holds the address.
    pub url_env: Option<String>,
    /// The file that holds the address, and nothing else; a relative path starts at the node's data directory.
    pub url_file: Option<PathBuf>,
    /// The schema in which the journal's tables are; no other is touched. Nodes that share a database need one each.
    pub schema: String,
    /// How long to wait for the server to answer a connection, in seconds.
    #[schemars(range(min = 2, max = 300))]
    pub connect_timeout_s: u32,
    /// How long to wait for another node, or an earlier run of this one, to let go of the journal, in milliseconds.
    #[schemars(range(min = 1, max = 300_000))]
    pub lock_wait_ms: u32,
    /// The longest pause between two attempts to reach a server that is away, in milliseconds.
    #[schemars(range(min = 250, max = 600_000))]
    pub reconnect_wait_ms_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            url_env: None,
            url_file: None,
            schema: "lampkeeper".to_owned(),
            connect_timeout_s: 5,
            lock_wait_ms: 5000,
            reconnect_wait_ms_max: 10_000,
        }
    }
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", transparent)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars", extend("writeOnly" = true))]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// A key whose value is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct ConfigError {
    /// The key.
    pub key: &'static str,
    /// What is wrong with its value, and what to write instead; quotes no secret.
    pub reason: String,
}

/// A schema's name: lower-case letters, digits and underscores, so that it reads the same with and without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaName(String);

impl SchemaName {
    /// The name, if it is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(name: &str) -> Result<Self, String> {
        let letters = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if name.is_empty() || !letters || name.as_bytes()[0].is_ascii_digit() {
            return Err(format!("{name:?} is not a name of lower-case letters, digits and underscores"));
        }
        if name.len() > SCHEMA_LEN_BYTES_MAX {
            return Err(format!("the name is longer than {SCHEMA_LEN_BYTES_MAX} characters"));
        }
        if name.starts_with("pg_") || name == "information_schema" {
            return Err(format!("`{name}` belongs to PostgreSQL: choose another name"));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a journal is, and how patiently it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The server and the database.
    pub url: ServerUrl,
    /// The schema.
    pub schema: SchemaName,
    /// How long to wait for the server's answer, in seconds.
    pub connect_timeout_s: u32,
    /// How long to wait for another user of the journal, in milliseconds.
    pub lock_wait_ms: u32,
    /// The longest pause between two attempts to reach the server again.
    pub reconnect_wait_max: Duration,
}

impl Config {
    /// The place that is meant. Reads the environment or a file; blocks.
    ///
    /// # Errors
    /// If there is not exactly one address, if it can't be read, or if a value makes no sense.
    pub fn place(&self, data_dir: &Path) -> Result<Place, ConfigError> {
        let (key, text) = self.address(data_dir)?;
        let url = ServerUrl::parse(&text).map_err(|error| ConfigError {
            key,
            reason: format!("the server's address is not usable: {error}"),
        })?;
        let schema =
            SchemaName::parse(&self.schema).map_err(|reason| ConfigError { key: "schema", reason })?;
        Ok(Place {
            url,
            schema,
            connect_timeout_s: within("connect_timeout_s", self.connect_timeout_s, 2, 300)?,
            lock_wait_ms: within("lock_wait_ms", self.lock_wait_ms, 1, 300_000)?,
            reconnect_wait_max: Duration::from_millis(
                within("reconnect_wait_ms_max", self.reconnect_wait_ms_max, 250, 600_000)?.into(),
            ),
        })
    }

    /// The address, and the key that it comes from.
    fn address(&self, data_dir: &Path) -> Result<(&'static str, String), ConfigError> {
        match (&self.url, &self.url_env, &self.url_file) {
            (Some(url), None, None) => Ok(("url", url.0.clone())),
            (None, Some(name), None) => {
                let reason = || format!("the environment variable `{name}` is not set, or is not UTF-8");
                let text =
                    std::env::var(name).map_err(|_| ConfigError { key: "url_env", reason: reason() })?;
                Ok(("url_env", text))
            }
            (None, None, Some(file)) => {
                let path = data_dir.join(file);
                let text = read_address(&path).map_err(|error| ConfigError {
                    key: "url_file",
                    reason: format!("{} can't be read: {error}", path.display()),
                })?;
                Ok(("url_file", text.trim_ascii().to_owned()))
            }
            _ => Err(ConfigError {
                key: "url",
                reason: "set exactly one of `url`, `url_env` and `url_file`".to_owned(),
            }),
        }
    }
}

fn within(key: &'static str, value: u32, min: u32, max: u32) -> Result<u32, ConfigError> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(ConfigError { key, reason: format!("{value} is not between {min} and {max}") })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one file of this crate, which keeps a secret out of the manifest"
)]
fn read_address(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    // One byte more than an address may have; what is too long is refused when it is looked at.
    std::fs::File::open(path)?.take(URL_LEN_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::serde_json;

    const URL: &str = "postgresql://node:s3cret@db/node";

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "writes the file that is read")]
    fn the_address_comes_from_one_place() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("url"), format!("{URL}\n")).unwrap();
        std::fs::write(dir.path().join("long"), format!("{URL}{}", "a".repeat(URL_LEN_BYTES_MAX))).unwrap();
        std::fs::write(dir.path().join("binary"), [0xff]).unwrap();
        for json in [format!(r#"{{"url": "{URL}"}}"#), r#"{"url_file": "url"}"#.to_owned()] {
            let config = config(&json);
            let place = config.place(dir.path()).unwrap();
            assert_eq!(place.url, ServerUrl::parse(URL).unwrap());
            assert!(!format!("{config:?} {place:?}").contains("s3cret"), "{config:?} {place:?}");
        }
        // PATH is set wherever a test runs, and is no address.
        let bad = [
            ("{}", "url: set exactly one of"),
            (r#"{"url": "postgresql://a", "url_env": "A"}"#, "url: set exactly one of"),
            (r#"{"url": "s3cret"}"#, "url: the server's address is not usable: it does not begin"),
            (r#"{"url_env": "PATH"}"#, "url_env: the server's address is not usable: it does not begin"),
            (r#"{"url_env": "NOT=SET"}"#, "url_env: the environment variable `NOT=SET` is not set"),
            (r#"{"url_file": "none"}"#, "url_file: "),
            (r#"{"url_file": "binary"}"#, "url_file: "),
            (r#"{"url_file": "long"}"#, "url_file: the server's address is not usable: it is longer"),
        ];
        for (json, expected) in bad {
            let error = config(json).place(dir.path()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{json}: {error}");
            assert!(!error.contains("s3cret"), "{json}: {error}");
        }
    }

    #[test]
    fn values_have_bounds() {
        let bad = [
            (r#""schema": """#, "schema: "),
            (r#""schema": "Journal""#, "schema: "),
            (r#""schema": "1st""#, "schema: "),
            (r#""schema": "a\"; DROP SCHEMA public; --""#, "schema: "),
            (r#""schema": "pg_catalog""#, "schema: `pg_catalog` belongs to PostgreSQL"),
            (r#""schema": "information_schema""#, "schema: "),
            (r#""connect_timeout_s": 1"#, "connect_timeout_s: 1 is not between 2 and 300"),
            (r#""lock_wait_ms": 0"#, "lock_wait_ms: "),
            (r#""reconnect_wait_ms_max": 600001"#, "reconnect_wait_ms_max: "),
        ];
        for (json, expected) in bad {
            let json = format!(r#"{{"url": "{URL}", {json}}}"#);
            let error = config(&json).place(Path::new(".")).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{json}: {error}");
        }
        let longest = "a".repeat(SCHEMA_LEN_BYTES_MAX);
        assert_eq!(SchemaName::parse(&longest).unwrap().as_str(), longest);
        assert!(SchemaName::parse(&format!("{longest}a")).is_err());
    }
}
