//! Where the chain is, and how it is connected to.
//!
//! Owns the reading of an endpoint's address and the choice between TLS and plaintext, which its scheme makes and nothing
//! else (wire 10.8, *Known weakness*: the reference dials both and takes whichever is ready first). Which endpoint is
//! asked is the pool's choice.

use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// The longest endpoint address, in characters.
const ENDPOINT_LEN_MAX: usize = 1024;

/// An endpoint as it is configured.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The address with its scheme, for connecting and for people.
    pub(crate) uri: String,
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
    pub(crate) root_certificate_pem: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) keepalive_interval: Duration,
    pub(crate) keepalive_timeout: Duration,
}

impl Target {
    /// Reads an address; the other settings are left for the caller to fill in.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > ENDPOINT_LEN_MAX {
            return Err(format!("an endpoint of {} characters is too long", text.len()));
        }
        let refused = |why: &str| {
            format!(
                "`{text}` is not an endpoint: {why}; write `https://host:port`, or `http://host:port` for plaintext"
            )
        };
        let (tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(refused("its scheme is neither https nor http")),
            None => return Err(refused("it has no scheme")),
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            return Err(refused("it has to be a host and a port"));
        }
        let uri = format!("{}://{authority}", if tls { "https" } else { "http" });
        Endpoint::from_shared(uri.clone()).map_err(|error| refused(&error.to_string()))?;
        Ok(Self {
            uri,
            tls,
            root_certificate_pem: String::new(),
            connect_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
        })
    }

    /// A connection that is made when it is first needed, and made again after it broke.
    pub(crate) fn connect_lazily(&self) -> Result<Channel, String> {
        let unusable = |error: tonic::transport::Error| format!("`{}` can't be used: {error}", self.uri);
        let mut endpoint = Endpoint::from_shared(self.uri.clone())
            .map_err(unusable)?
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout)
            .keep_alive_while_idle(true);
        if self.tls {
            let mut tls = ClientTlsConfig::new().with_webpki_roots();
            if !self.root_certificate_pem.is_empty() {
                tls = tls.ca_certificate(Certificate::from_pem(&self.root_certificate_pem));
            }
            endpoint = endpoint.tls_config(tls).map_err(unusable)?;
        }
        Ok(endpoint.connect_lazy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_alone_decides_about_tls() {
        for (text, expected) in [
            ("https://grpc.example:443", Some(("https://grpc.example:443", true))),
            ("http://127.0.0.1:9090", Some(("http://127.0.0.1:9090", false))),
            ("http://[::1]:9090/", Some(("http://[::1]:9090", false))),
            // The port says nothing: 443 in plaintext stays plaintext.
            ("http://grpc.example:443", Some(("http://grpc.example:443", false))),
            ("grpc.example:443", None),
            ("grpc.example", None),
            ("tcp://grpc.example:9090", None),
            ("HTTPS://grpc.example", None),
            ("https://", None),
            ("https://user@host", None),
            ("https://host/path", None),
            ("http://host name", None),
        ] {
            let parsed = Target::parse(text).ok();
            assert_eq!(parsed.as_ref().map(|target| (target.uri.as_str(), target.tls)), expected, "{text}");
        }
        assert!(Target::parse(&format!("https://{}", "h".repeat(ENDPOINT_LEN_MAX))).is_err());
    }
}
