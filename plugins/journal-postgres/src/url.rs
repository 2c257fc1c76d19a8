//! The address of the server, which may hold a password.
//!
//! Owns the check that comes before libpq sees it. libpq quotes what it can't make sense of, and what it can't make
//! sense of may be a piece of a password with a character that needed escaping. So an address that libpq would not take
//! apart as its author meant is refused here, with a message that quotes nothing.

use std::fmt;

/// Longest address, in bytes.
pub const URL_LEN_BYTES_MAX: usize = 4096;

/// With which an address begins; libpq takes the second too.
const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

/// How often TCP asks whether the server is still there, and what a standby is: not a place to write to. An address may
/// say otherwise.
const DEFAULT_PARAMETERS: &str = "application_name=lampkeeper&target_session_attrs=read-write\
    &tcp_user_timeout=15000&keepalives_idle=10&keepalives_interval=5&keepalives_count=3";

/// The address of a server and a database. It may hold a password, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl fmt::Debug for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ServerUrl({})", self.server())
    }
}

/// Why a text is not the address of a server. Says nothing of what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is something else.
    #[error("it does not begin with `postgresql://`; write `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`")]
    Scheme,
    /// It is longer than [`URL_LEN_BYTES_MAX`].
    #[error("it is longer than {URL_LEN_BYTES_MAX} bytes")]
    TooLong,
    /// A space, a line break or the like.
    #[error("it has a space or a control character; write `%20` for a space")]
    Space,
    /// A percent sign that escapes nothing.
    #[error(
        "it has a `%` that is not followed by two hexadecimal digits; write `%25` for the character itself"
    )]
    Percent,
    /// A character that ends the password where it should not.
    #[error(
        "it has an `@` that is not the one before the host, or a `/` or `?` before that one; in a name or a password \
         write `%40`, `%2F` and `%3F`"
    )]
    Separator,
    /// What stands where the port does is none.
    #[error("what follows the colon after the host is not a port; a password needs `@HOST` after it")]
    Port,
}

impl ServerUrl {
    /// The address in `text`.
    ///
    /// ```
    /// use lampkeeper_journal_postgres::{ServerUrl, UrlError};
    ///
    /// let url = ServerUrl::parse("postgresql://node:s3cret@db.example:5432/lampkeeper?sslmode=disable").unwrap();
    /// assert_eq!(format!("{url:?}"), "ServerUrl(db.example:5432/lampkeeper)");
    /// assert_eq!(ServerUrl::parse("postgresql://node:s3@cret@db.example"), Err(UrlError::Separator));
    /// ```
    ///
    /// # Errors
    /// If it is not a `postgresql://` address, or if libpq might take a part of the password for something else.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > URL_LEN_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let rest = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)).ok_or(UrlError::Scheme)?;
        if rest.chars().any(|character| character.is_whitespace() || character.is_control()) {
            return Err(UrlError::Space);
        }
        let escapes = rest.split('%').skip(1);
        if escapes.into_iter().any(|after| !starts_with_two_hex_digits(after)) {
            return Err(UrlError::Percent);
        }
        let (authority, after) = split_authority(rest);
        if authority.matches('@').count() > 1 || after.contains('@') {
            return Err(UrlError::Separator);
        }
        let hosts = authority.rsplit('@').next().unwrap_or_default();
        if !hosts.split(',').all(has_no_port_but_a_number) {
            return Err(UrlError::Port);
        }
        Ok(Self(text.to_owned()))
    }

    /// The server and the database, for messages: neither user nor password, nor parameters.
    #[must_use]
    pub fn server(&self) -> String {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let place = rest.rsplit('@').next().unwrap_or_default();
        let place = place.split('?').next().unwrap_or_default();
        if place.is_empty() || place.starts_with('/') {
            format!("localhost{place}")
        } else {
            place.to_owned()
        }
    }

    /// The address with what it leaves open. The last of two values counts, so that the address has its way.
    pub(crate) fn with_defaults(&self, connect_timeout_s: u32) -> String {
        let (place, parameters) = self.0.split_once('?').unwrap_or((&self.0, ""));
        format!("{place}?connect_timeout={connect_timeout_s}&{DEFAULT_PARAMETERS}&{parameters}")
            .trim_end_matches('&')
            .to_owned()
    }
}

/// Up to the path or the parameters, and those.
fn split_authority(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

fn starts_with_two_hex_digits(text: &str) -> bool {
    text.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

fn has_no_port_but_a_number(host: &str) -> bool {
    // A colon within brackets belongs to an IPv6 address.
    let after_address = host.rsplit(']').next().unwrap_or_default();
    let port = after_address.split_once(':').map_or("", |(_, port)| port);
    port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_address() {
        // The address, and what messages show of it.
        let good = [
            ("postgresql://", "localhost"),
            ("postgres://db", "db"),
            ("postgresql://db:5432/node", "db:5432/node"),
            ("postgresql://node@db/node", "db/node"),
            ("postgresql://node:s3:cret%40%2F@db:5432/node?password=s3cret", "db:5432/node"),
            ("postgresql://node:s3cret@a:1,b:2,[::1]:3/node", "a:1,b:2,[::1]:3/node"),
            ("postgresql:///node?host=/run/postgresql&port=5433", "localhost/node"),
            ("postgresql://node:s3cret@%2Frun%2Fpostgresql/node", "%2Frun%2Fpostgresql/node"),
        ];
        for (text, server) in good {
            let url = ServerUrl::parse(text).unwrap();
            assert_eq!(url.server(), server, "{text}");
            assert_eq!(format!("{url:?}"), format!("ServerUrl({server})"), "{text}");
        }
        let bad = [
            ("", UrlError::Scheme),
            ("host=db password=s3cret", UrlError::Scheme),
            ("s3cret", UrlError::Scheme),
            ("postgresql://node:s3 cret@db", UrlError::Space),
            ("postgresql://node:s3cret@db/node\n", UrlError::Space),
            ("postgresql://node:s3%cret@db", UrlError::Percent),
            ("postgresql://node:s3cret@db/node%4", UrlError::Percent),
            ("postgresql://node:s3@cret@db", UrlError::Separator),
            ("postgresql://node:s3/cret@db", UrlError::Separator),
            ("postgresql://node:s3?cret@db", UrlError::Separator),
            ("postgresql://node:s3cret", UrlError::Port),
            ("postgresql://[::1]:s3cret", UrlError::Port),
            ("postgresql://a:1,b:s3cret", UrlError::Port),
        ];
        for (text, expected) in bad {
            assert_eq!(ServerUrl::parse(text), Err(expected), "{text}");
        }
        let longest = format!("postgresql://{}", "a".repeat(URL_LEN_BYTES_MAX - 13));
        assert!(ServerUrl::parse(&longest).is_ok());
        assert_eq!(ServerUrl::parse(&format!("{longest}a")), Err(UrlError::TooLong));
    }

    #[test]
    fn the_address_has_its_way() {
        let url = |text| ServerUrl::parse(text).unwrap().with_defaults(7);
        let plain = url("postgresql://db/node");
        assert!(plain.starts_with("postgresql://db/node?connect_timeout=7&"), "{plain}");
        assert!(plain.ends_with("keepalives_count=3"), "{plain}");
        let own = url("postgresql://db/node?connect_timeout=1");
        assert!(own.ends_with("&connect_timeout=1"), "{own}");
    }
}
