//! Libraries that are not loaded: one damaged copy of the guest for each reason.

use super::support::{bare_registry, blake3_of, guest, manifest, read};
use lampkeeper_api::native::{HEADER_LEN_BYTES, Header};
use lampkeeper_api::plugin::Seam;
use lampkeeper_core::Manifest;
use lampkeeper_core::native::{NativePlugin, Refusal, host_header, inspect};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A copy of the guest, to be damaged.
struct Copy {
    bytes: Vec<u8>,
    header_at: usize,
    folder: TempDir,
}

impl Copy {
    fn new() -> Self {
        let bytes = fs::read(guest()).unwrap();
        let magic = host_header().as_bytes()[..16].to_vec();
        // The bytes in the section; the copy behind the entry lies in another place and is left as it is.
        let header_at = section(&bytes).map(|(_, offset)| offset).unwrap();
        assert_eq!(&bytes[header_at..header_at + 16], &magic[..]);
        Self { bytes, header_at, folder: TempDir::new().unwrap() }
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        let range = Header::range_of(name).unwrap();
        let field = &mut self.bytes[self.header_at..][range];
        field.fill(0);
        field[..value.len()].copy_from_slice(value);
    }

    /// The damaged copy, pinned as it is.
    fn declared(&self) -> NativePlugin {
        let path = self.write();
        NativePlugin { plugin_id: "native-guest".to_owned(), blake3: Some(blake3_of(&path)), path }
    }

    fn write(&self) -> PathBuf {
        let path = self.folder.path().join("guest.so");
        fs::write(&path, &self.bytes).unwrap();
        path
    }

    fn refusal(&self) -> Refusal {
        inspect(&self.declared()).unwrap_err()
    }
}

/// Where the entry of our section stands in the table of sections of a 64-bit little-endian ELF file, and where the
/// section's bytes begin.
fn section(bytes: &[u8]) -> Option<(usize, usize)> {
    let number = |at: usize, len: usize| {
        bytes[at..at + len].iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let (table, entry_len, count) = (number(0x28, 8), number(0x3a, 2), number(0x3c, 2));
    let header = host_header();
    let magic = &header.as_bytes()[..16];
    (0..count).map(|index| table + index * entry_len).find_map(|entry| {
        let (offset, len) = (number(entry + 0x18, 8), number(entry + 0x20, 8));
        (len == HEADER_LEN_BYTES && bytes.get(offset..offset + 16) == Some(magic)).then_some((entry, offset))
    })
}

#[test]
fn the_untouched_guest_is_let_in() {
    let inspected = inspect(&Copy::new().declared()).unwrap();
    assert_eq!(inspected.header.plugin_version(), "0.3.1");
    assert_eq!(inspected.header.provides(), [Seam::HealStrategy, Seam::Service]);
    assert_eq!(host_header().mismatches(&inspected.header), []);
}

#[test]
fn each_field_of_another_build_is_named_with_both_values_and_what_to_do() {
    let table: [(&str, &[u8]); 10] = [
        ("rustc commit", b"0123456789abcdef0123456789abcdef01234567"),
        ("rustc release", b"1.94.1"),
        ("target", b"aarch64-unknown-linux-gnu"),
        ("target features", b"avx512f,fxsr,sse,sse2"),
        ("panic strategy", b"abort"),
        ("debug assertions", b"perhaps"),
        ("digest of compiler flags", b"0000000000000000"),
        ("allocator", b"jemalloc"),
        ("api source digest", b"1111111111111111"),
        ("layout digest", b"2222222222222222"),
    ];
    for (field, value) in table {
        let mut copy = Copy::new();
        copy.field(field, value);
        let refusal = copy.refusal();
        let Refusal::Incompatible { mismatches, rebuild, .. } = &refusal else {
            panic!("{field}: {refusal}")
        };
        let [mismatch] = &mismatches[..] else { panic!("{field}: {mismatches:?}") };
        let value = String::from_utf8(value.to_vec()).unwrap();
        assert_eq!((mismatch.field.as_str(), &mismatch.plugin), (field, &value));
        let text = refusal.to_string();
        for part in [format!("{field} is `{value}`, here `{}`", mismatch.host), rebuild.clone()] {
            assert!(text.contains(&part), "{text}: lacks {part}");
        }
        assert!(rebuild.contains("cargo +1."), "{rebuild}");
    }
}

#[test]
fn a_seam_that_changed_is_named_if_the_plugin_uses_it() {
    for (seam, is_used) in [(Seam::HealStrategy, true), (Seam::Store, true), (Seam::Network, false)] {
        let mut copy = Copy::new();
        let at = copy.header_at + Header::range_of("digests of seams").unwrap().start + seam as usize * 8;
        copy.bytes[at] ^= 1;
        match inspect(&copy.declared()) {
            Ok(_) => assert!(!is_used, "{seam}"),
            Err(refusal) => {
                assert!(is_used, "{seam}: {refusal}");
                assert!(
                    refusal.to_string().contains(&format!("digest of the seam `{seam}` is")),
                    "{refusal}"
                );
            }
        }
    }
}

#[test]
fn files_that_are_no_plugin_are_refused_and_never_loaded() {
    let refused_as = |damage: &dyn Fn(&mut Copy), words: &str| {
        let mut copy = Copy::new();
        damage(&mut copy);
        let text = copy.refusal().to_string();
        assert!(text.contains(words), "{text}: lacks {words}");
    };
    refused_as(&|copy| copy.bytes.truncate(100), "is not a shared library");
    refused_as(&|copy| copy.bytes.truncate(copy.bytes.len() / 2), "is not a shared library");
    refused_as(&|copy| copy.bytes.clear(), "is not a shared library");
    refused_as(&|copy| copy.bytes[..4].copy_from_slice(b"#!/b"), "is not a shared library");
    refused_as(
        &|copy| {
            let name = b".lampkeeper.plugin\0";
            let at = copy.bytes.windows(name.len()).rposition(|bytes| bytes == name).unwrap();
            copy.bytes[at + 1] = b'x';
        },
        "has no plugin header",
    );
    refused_as(
        &|copy| {
            let (entry, _) = section(&copy.bytes).unwrap();
            copy.bytes[entry + 0x20..entry + 0x28].copy_from_slice(&100_u64.to_le_bytes());
        },
        "the plugin header is cut off: 100 of",
    );
    refused_as(&|copy| copy.field("magic", b"LAMPKEEPER-PLUG\x02"), "built for another version of the SDK");
    refused_as(&|copy| copy.field("header length", &[7]), "is 7 bytes long");
    refused_as(&|copy| copy.field("plugin id", b"other-guest"), "holds `other-guest`, not `native-guest`");
}

#[test]
fn a_file_is_what_its_pin_says_or_is_not_loaded() {
    let copy = Copy::new();
    let good = copy.declared();
    let unpinned = inspect(&NativePlugin { blake3: None, ..good.clone() }).unwrap_err();
    let actual = good.blake3.clone().unwrap();
    assert!(unpinned.to_string().contains(&format!("write `blake3 = \"{actual}\"`")), "{unpinned}");
    let other = NativePlugin { blake3: Some("00".repeat(32)), ..good.clone() };
    assert!(matches!(inspect(&other).unwrap_err(), Refusal::WrongPin { .. }));
    let absent = NativePlugin { path: copy.folder.path().join("absent.so"), ..good.clone() };
    assert!(matches!(inspect(&absent).unwrap_err(), Refusal::Unreadable { .. }));
    let folder = NativePlugin { path: copy.folder.path().to_owned(), ..good };
    assert!(matches!(inspect(&folder).unwrap_err(), Refusal::Unreadable { .. }));
}

#[test]
fn what_nobody_provides_is_missed_before_anything_is_loaded() {
    let mut copy = Copy::new();
    copy.field("needed seams", &(1_u32 << Seam::Signer as u32 | 1 << Seam::Journal as u32).to_le_bytes());
    let (registry, manifest) = read(&manifest(&copy.write(), ""));
    let refusal = registry.refusal_of("native-guest").unwrap();
    assert!(matches!(refusal, Refusal::MissingNeed { seam: Seam::Journal, .. }), "{refusal}");
    let problems = manifest.unwrap_err();
    assert_eq!(problems[0].line, 5);
    assert!(problems[0].what.ends_with("needs the seam `journal`, and no enabled plugin provides it"));
}

#[test]
fn a_library_that_lied_about_itself_is_found_out_once_it_is_loaded() {
    let mut copy = Copy::new();
    // The copy behind the entry still says 0.3.1.
    copy.field("plugin version", b"9.9.9");
    let refusal = inspect(&copy.declared()).unwrap().load().unwrap_err();
    assert!(matches!(refusal, Refusal::EntryDiffers { .. }), "{refusal}");
    assert!(refusal.to_string().contains("the header in memory differs from the file's"), "{refusal}");
}

#[test]
fn an_id_that_is_taken_names_both_files() {
    let copies = [Copy::new(), Copy::new()];
    let texts = copies.each_ref().map(|copy| manifest(&copy.write(), ""));
    let path = Path::new("node.toml");
    let registry = texts.iter().fold(bare_registry(), |registry, text| registry.with_native_of(path, text));
    let text = registry.refusal_of("native-guest").unwrap().to_string();
    assert!(text.contains("plugin id `native-guest` is registered twice"), "{text}");
    for copy in &copies {
        assert!(text.contains(&copy.folder.path().display().to_string()), "{text}");
    }
}

#[test]
fn a_file_that_was_replaced_under_a_running_node_needs_a_restart() {
    let copy = Copy::new();
    let declared = copy.declared();
    inspect(&declared).unwrap().load().unwrap();
    // Only lengthened: a file that is cut short under a process that has mapped it takes the process down.
    fs::OpenOptions::new().append(true).open(&declared.path).unwrap().write_all(b"!").unwrap();
    let pinned_anew = NativePlugin { blake3: Some(blake3_of(&declared.path)), ..declared };
    let refusal = inspect(&pinned_anew).unwrap().load().unwrap_err();
    assert!(matches!(refusal, Refusal::Replaced { .. }), "{refusal}");
}

#[test]
fn a_manifest_says_what_is_wrong_with_a_native_plugin() {
    let good = manifest(guest(), "greeting = 'hello'");
    assert!(read(&good).1.is_ok());
    let table = [
        (good.replace("greeting = 'hello'", "greeting = 7"), "expected text"),
        (good.replace("greeting = 'hello'", "greetings = 'hello'"), "unknown key"),
        (good.replace("tier = 'native'", "tier = 'static'"), "unknown plugin"),
        (
            good.lines().filter(|line| !line.starts_with("path")).collect::<Vec<_>>().join("\n"),
            "needs the file",
        ),
        (good.replace("native-guest", "other-guest"), "holds `native-guest`, not `other-guest`"),
    ];
    for (text, words) in table {
        let problems = read(&text).1.unwrap_err();
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(shown.iter().any(|problem| problem.contains(words)), "{words}: {shown:?}");
    }
    let off = good.replace("[plugins.native-guest]\n", "[plugins.native-guest]\nenabled = false\n");
    let (registry, parsed): (_, Result<Manifest, _>) = read(&off);
    assert!(
        parsed.is_ok() && registry.find("native-guest").is_none(),
        "a library that is turned off is not loaded"
    );
}
