//! The header: what is written is read, what differs is named, what is cut off or foreign is refused.

use super::header::ALL_FIELDS;
use super::*;
use crate::plugin::{Need, Seam};
use std::path::Path;

const USED: [Seam; 2] = [Seam::HealStrategy, Seam::Service];

fn header() -> Header {
    Header::of_this_build(
        "my-strategy",
        "1.2.3",
        &USED,
        &[Need::required(Seam::Network), Need::optional(Seam::Signer)],
    )
}

#[test]
fn what_is_written_is_read() {
    let read = Header::parse(header().as_bytes()).unwrap();
    assert_eq!(read, header());
    assert_eq!((read.plugin_id().as_str(), read.plugin_version().as_str()), ("my-strategy", "1.2.3"));
    assert_eq!(
        (read.provides(), read.needs(), read.optional()),
        (USED.to_vec(), vec![Seam::Network], vec![Seam::Signer])
    );
    assert!(read.rustc_release().starts_with("1."), "{}", read.rustc_release());
    assert_eq!(header().mismatches(&read), []);
}

/// Changes one byte of every field, and expects just this field to be named; or, for those that are not compared, none.
#[test]
fn every_compared_field_is_named_when_it_differs() {
    let not_compared = [
        "magic",
        "header length",
        "plugin id",
        "plugin version",
        "provided seams",
        "needed seams",
        "optional seams",
    ];
    for field in ALL_FIELDS.iter().filter(|field| field.name != "digests of seams") {
        let mut bytes = *header().as_bytes();
        let start = field_start(field);
        bytes[start] ^= 1;
        let Ok(changed) = Header::parse(&bytes) else {
            assert!(["magic", "header length"].contains(&field.name), "{}", field.name);
            continue;
        };
        let named: Vec<String> =
            header().mismatches(&changed).into_iter().map(|mismatch| mismatch.field).collect();
        if !not_compared.contains(&field.name) {
            assert_eq!(named, [field.name]);
        }
    }
}

fn field_start(field: &Field) -> usize {
    Header::range_of(field.name).unwrap().start
}

#[test]
fn only_the_seams_that_a_plugin_uses_are_compared() {
    let seams = ALL_FIELDS.iter().find(|field| field.name == "digests of seams").unwrap();
    for seam in Seam::ALL {
        let mut bytes = *header().as_bytes();
        bytes[field_start(seams) + seam as usize * 8] ^= 1;
        let mismatches = header().mismatches(&Header::parse(&bytes).unwrap());
        let is_used = USED.contains(&seam) || [Seam::Network, Seam::Signer].contains(&seam);
        assert_eq!(mismatches.len(), usize::from(is_used), "{seam}");
        if let [mismatch] = &mismatches[..] {
            assert_eq!(mismatch.field, format!("digest of the seam `{seam}`"));
            assert_ne!(mismatch.host, mismatch.plugin);
        }
    }
}

#[test]
fn bytes_that_are_no_header_are_refused() {
    let bytes = header().as_bytes().to_vec();
    let cut = |len: usize| Header::parse(&bytes[..len]).unwrap_err();
    for len in [0, 15, 16, 19, 20, HEADER_LEN_BYTES - 1] {
        assert_eq!(cut(len), HeaderError::Truncated { have: len, need: HEADER_LEN_BYTES });
    }
    let mut other = bytes.clone();
    other[0] = b'l';
    assert_eq!(Header::parse(&other).unwrap_err(), HeaderError::Magic);
    let mut other = bytes;
    other[16] ^= 1;
    assert!(matches!(Header::parse(&other).unwrap_err(), HeaderError::Length { .. }));
}

#[test]
fn every_seam_has_its_own_traits() {
    let mut digests: Vec<u64> = Seam::ALL.into_iter().map(seam_digest).collect();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), Seam::ALL.len() - 1, "only a shadow strategy has the traits of another seam");
}

/// A type that crosses and is not in the list would have a layout that nobody compares.
#[test]
fn the_layout_digest_knows_every_public_type() {
    fn walk(folder: &Path, missing: &mut Vec<String>, list: &str) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() && name != "guard" && name != "native" {
                walk(&path, missing, list);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for line in text.lines() {
                    let rest = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "));
                    let Some(rest) = rest else { continue };
                    let name: String = rest.chars().take_while(|letter| letter.is_alphanumeric()).collect();
                    if ![format!("::{name} {{"), format!("::{name}<")].iter().any(|text| list.contains(text))
                    {
                        missing.push(name);
                    }
                }
            }
        }
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let list = std::fs::read_to_string(source.join("native/layout.rs")).unwrap();
    let mut missing = Vec::new();
    walk(&source, &mut missing, &list);
    assert_eq!(missing, [""; 0], "add them to native/layout.rs, with their public fields");
}
