//! The host and the port in a registered address (wire 2.8, "Host/port parsing").
//!
//! Owns the parsing. Whether the host can be reached is the transport's part.

use std::net::Ipv6Addr;

/// The port of an address that names none (wire 9.1).
pub const GRPC_PORT_DEFAULT: u16 = 4444;

/// The longest address that is looked at: a name of 253 characters, a scheme and a port fit.
const ADDRESS_LEN_BYTES_MAX: usize = 512;
/// What no host holds, besides white space.
const NEVER_IN_A_HOST: [char; 8] = ['/', '\\', '?', '#', '@', '[', ']', '%'];

/// The host of an address: a URL, `host:port`, or a host alone; without the brackets of an IPv6 literal. `None` if there
/// is no acceptable one.
///
/// ```
/// use lampkeeper_plugin_sdk::address::host_of;
/// assert_eq!(host_of("https://[2001:db8::7]:443/status"), Some("2001:db8::7"));
/// assert_eq!(host_of("user@node"), None);
/// ```
#[must_use]
pub fn host_of(address: &str) -> Option<&str> {
    host_and_port(address).map(|(host, _)| host)
}

/// The host as [`host_of`] finds it, and the port; [`GRPC_PORT_DEFAULT`] if the address names none that is a port.
///
/// ```
/// use lampkeeper_plugin_sdk::address::host_and_port;
/// assert_eq!(host_and_port("node.example:7000"), Some(("node.example", 7000)));
/// assert_eq!(host_and_port("2001:db8::7"), Some(("2001:db8::7", 4444)));
/// ```
#[must_use]
pub fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let address = address.trim();
    if address.len() > ADDRESS_LEN_BYTES_MAX {
        return None;
    }
    let (host, port) = split_port(authority(address));
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_literal = host.parse::<Ipv6Addr>().is_ok();
    let acceptable = !host.is_empty()
        && !host.contains(|c: char| c.is_whitespace() || c.is_control() || NEVER_IN_A_HOST.contains(&c))
        && (is_literal || !host.contains(':'));
    let port = port.and_then(|port| port.parse().ok()).filter(|port| *port > 0);
    acceptable.then_some((host, port.unwrap_or(GRPC_PORT_DEFAULT)))
}

/// The part of a URL between the scheme, or a user's name, and the path; anything else as it is.
fn authority(address: &str) -> &str {
    let Some((scheme, rest)) = address.split_once("://") else { return address };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !is_scheme {
        return address;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// A port is cut off even if it is no number: the host is still good, and the port falls back to the default.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if host.starts_with('[') && host.ends_with(']') => (host, Some(port)),
        Some((host, port)) if !host.contains([':', '[', ']']) => (host, Some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_found_in_every_form_of_address() {
        let table = [
            ("node.example", Some(("node.example", 4444))),
            ("  node.example  ", Some(("node.example", 4444))),
            ("node.example:7000", Some(("node.example", 7000))),
            ("node.example:grpc", Some(("node.example", 4444))), // a port that is no number
            ("node.example:99999", Some(("node.example", 4444))), // or out of range
            ("node.example:0", Some(("node.example", 4444))),
            ("node.example:", Some(("node.example", 4444))),
            ("192.0.2.7", Some(("192.0.2.7", 4444))),
            ("192.0.2.7:7000", Some(("192.0.2.7", 7000))),
            ("2001:db8::7", Some(("2001:db8::7", 4444))), // its last group is no port
            ("[2001:db8::7]", Some(("2001:db8::7", 4444))),
            ("[2001:db8::7]:7000", Some(("2001:db8::7", 7000))),
            ("https://node.example:443/status?x#y", Some(("node.example", 443))),
            ("dns://user@node.example", Some(("node.example", 4444))),
            ("http://[2001:db8::7]:80/", Some(("2001:db8::7", 80))),
            ("", None),
            ("   ", None),
            (":4444", None),
            ("http://", None),
            ("http:///path", None),
            ("two words", None),
            ("a/b", None),
            ("a\\b", None),
            ("a?b", None),
            ("a#b", None),
            ("user@node", None),
            ("a:b:c", None), // a colon outside a literal
            ("[2001:db8::7", None),
            ("[node]", Some(("node", 4444))),
            ("x\u{0}y", None),
        ];
        for (address, expected) in table {
            assert_eq!(host_and_port(address), expected, "{address:?}");
            assert_eq!(host_of(address), expected.map(|(host, _)| host), "{address:?}");
        }
        assert_eq!(host_of(&"a".repeat(ADDRESS_LEN_BYTES_MAX + 1)), None);
    }
}
