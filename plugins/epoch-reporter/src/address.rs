//! The host in a registered address (wire 2.8, "Host/port parsing").
//!
//! Owns the parsing. Whether the host can be reached is the transport's part.

use std::net::Ipv6Addr;

/// The longest address that is looked at: a name of 253 characters, a scheme and a port fit.
const ADDRESS_LEN_BYTES_MAX: usize = 512;
/// What no host holds, besides white space.
const NEVER_IN_A_HOST: [char; 8] = ['/', '\\', '?', '#', '@', '[', ']', '%'];

/// The host of an address: a URL, `host:port`, or a host alone; without the brackets of an IPv6 literal. `None` if there
/// is no acceptable one.
pub(crate) fn host_of(address: &str) -> Option<&str> {
    let address = address.trim();
    if address.len() > ADDRESS_LEN_BYTES_MAX {
        return None;
    }
    let host = without_port(authority(address));
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_literal = host.parse::<Ipv6Addr>().is_ok();
    let acceptable = !host.is_empty()
        && !host.contains(|c: char| c.is_whitespace() || c.is_control() || NEVER_IN_A_HOST.contains(&c))
        && (is_literal || !host.contains(':'));
    acceptable.then_some(host)
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
fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') && host.ends_with(']') => host,
        Some((host, _)) if !host.contains([':', '[', ']']) => host,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_every_form_of_address() {
        let table = [
            ("node.example", Some("node.example")),
            ("  node.example  ", Some("node.example")),
            ("node.example:4444", Some("node.example")),
            ("node.example:grpc", Some("node.example")), // a port that is no number
            ("node.example:99999", Some("node.example")), // or out of range
            ("node.example:", Some("node.example")),
            ("192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.7:4444", Some("192.0.2.7")),
            ("2001:db8::7", Some("2001:db8::7")),
            ("[2001:db8::7]", Some("2001:db8::7")),
            ("[2001:db8::7]:4444", Some("2001:db8::7")),
            ("https://node.example:443/status?x#y", Some("node.example")),
            ("dns://user@node.example", Some("node.example")),
            ("http://[2001:db8::7]:80/", Some("2001:db8::7")),
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
            ("[node]", Some("node")),
            ("x\u{0}y", None),
        ];
        for (address, expected) in table {
            assert_eq!(host_of(address), expected, "{address:?}");
        }
        assert_eq!(host_of(&"a".repeat(ADDRESS_LEN_BYTES_MAX + 1)), None);
    }
}
