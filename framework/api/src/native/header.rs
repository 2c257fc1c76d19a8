//! The header's fields, how they are written and compared.

use super::digests::{COMMON, joined, seam_digest};
use super::layout::LAYOUT_DIGEST;
use crate::plugin::{Need, Seam};

/// What a header begins with; the last byte is the version of the header's own shape.
const MAGIC: &[u8; 16] = b"LAMPKEEPER-PLUG\x01";
/// Bytes that one seam has in the table of digests.
const SEAM_LEN_BYTES: usize = 8;
/// Room for seams, more than there are.
const SEAMS_MAX: usize = 32;

const _: () = assert!(Seam::ALL.len() <= SEAMS_MAX, "every seam has a bit in the header's masks");

/// The compiler flags of this build, for the command that rebuilds a plugin.
pub const BUILD_FLAGS: &str = env!("LAMPKEEPER_BUILD_FLAGS");

/// A field of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// What the field holds, for people.
    pub name: &'static str,
    start: usize,
    len: usize,
}

/// Fields one after the other, without padding.
macro_rules! fields {
    ($($constant:ident: $name:literal, $len:expr;)+) => {
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "numbers the constants")]
        enum Index { $($constant,)+ }

        const LENGTHS: &[usize] = &[$($len,)+];

        impl Field {
            $(pub(super) const $constant: Self = Self {
                name: $name,
                start: start_of(Index::$constant as usize),
                len: $len,
            };)+
        }

        pub(super) const ALL_FIELDS: &[Field] = &[$(Field::$constant,)+];
    };
}

fields! {
    MAGIC: "magic", MAGIC.len();
    LENGTH: "header length", 4;
    PLUGIN_ID: "plugin id", 64;
    PLUGIN_VERSION: "plugin version", 32;
    RUSTC_COMMIT: "rustc commit", 40;
    RUSTC_RELEASE: "rustc release", 32;
    TARGET: "target", 64;
    TARGET_FEATURES: "target features", 512;
    PANIC: "panic strategy", 8;
    DEBUG_ASSERTIONS: "debug assertions", 8;
    FLAGS: "digest of compiler flags", 16;
    ALLOCATOR: "allocator", 16;
    API: "api source digest", 16;
    LAYOUT: "layout digest", 16;
    COMMON_DIGEST: "digest of what every plugin uses", SEAM_LEN_BYTES;
    PROVIDES: "provided seams", 4;
    NEEDS: "needed seams", 4;
    OPTIONAL: "optional seams", 4;
    SEAMS: "digests of seams", SEAM_LEN_BYTES * SEAMS_MAX;
}

const fn start_of(index: usize) -> usize {
    let (mut start, mut before) = (0, 0);
    while before < index {
        start += LENGTHS[before];
        before += 1;
    }
    start
}

/// The length of a header.
pub const HEADER_LEN_BYTES: usize = start_of(LENGTHS.len());

/// What two builds must have in common, apart from the seams. In this order the first difference explains those after
/// it: another compiler also has other layouts.
const COMPARED: [Field; 11] = [
    Field::RUSTC_COMMIT,
    Field::RUSTC_RELEASE,
    Field::TARGET,
    Field::TARGET_FEATURES,
    Field::PANIC,
    Field::DEBUG_ASSERTIONS,
    Field::FLAGS,
    Field::ALLOCATOR,
    Field::API,
    Field::LAYOUT,
    Field::COMMON_DIGEST,
];

/// A plugin's header.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Header {
    bytes: [u8; HEADER_LEN_BYTES],
}

/// A field in which a plugin differs from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The field, for people.
    pub field: String,
    /// What the host has.
    pub host: String,
    /// What the plugin has.
    pub plugin: String,
}

/// Bytes that are no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Too few bytes.
    #[error("the plugin header is cut off: {have} of {need} bytes are there")]
    Truncated {
        /// Bytes that are there.
        have: usize,
        /// Bytes of a header.
        need: usize,
    },
    /// Another beginning.
    #[error(
        "the plugin header does not begin as one of this version does: it was built for another version of the SDK"
    )]
    Magic,
    /// Another length than this version's.
    #[error(
        "the plugin header is {have} bytes long, where this version has {need}: rebuild the plugin with this host's SDK"
    )]
    Length {
        /// What it says.
        have: usize,
        /// What this version writes.
        need: usize,
    },
}

impl Header {
    /// The header of a plugin in the image that this is compiled into.
    ///
    /// Evaluated at compile time: an id or a version that is too long does not compile.
    #[must_use]
    pub const fn of_this_build(plugin_id: &str, version: &str, provides: &[Seam], needs: &[Need]) -> Self {
        let mut header = Self { bytes: [0; HEADER_LEN_BYTES] };
        header.set(Field::MAGIC, MAGIC);
        header.set(Field::LENGTH, &(HEADER_LEN_BYTES as u32).to_le_bytes());
        header.set(Field::PLUGIN_ID, plugin_id.as_bytes());
        header.set(Field::PLUGIN_VERSION, version.as_bytes());
        header.set(Field::RUSTC_COMMIT, env!("LAMPKEEPER_BUILD_RUSTC_COMMIT").as_bytes());
        header.set(Field::RUSTC_RELEASE, env!("LAMPKEEPER_BUILD_RUSTC_RELEASE").as_bytes());
        header.set(Field::TARGET, env!("LAMPKEEPER_BUILD_TARGET").as_bytes());
        header.set(Field::TARGET_FEATURES, env!("LAMPKEEPER_BUILD_TARGET_FEATURES").as_bytes());
        header.set(Field::PANIC, if cfg!(panic = "unwind") { b"unwind" } else { b"abort" });
        header.set(Field::DEBUG_ASSERTIONS, if cfg!(debug_assertions) { b"on" } else { b"off" });
        header.set(Field::FLAGS, env!("LAMPKEEPER_BUILD_FLAGS_DIGEST").as_bytes());
        // Whoever replaces the global allocator of one image must write another word here, and is then refused.
        header.set(Field::ALLOCATOR, b"system");
        header.set(Field::API, env!("LAMPKEEPER_BUILD_API_DIGEST").as_bytes());
        header.set(Field::LAYOUT, &hex(LAYOUT_DIGEST));
        header.set(Field::COMMON_DIGEST, &joined(&[COMMON]).to_le_bytes());
        header.set_seams(provides, needs);
        header
    }

    const fn set_seams(&mut self, provides: &[Seam], needs: &[Need]) {
        let (mut provided, mut needed, mut optional) = (0_u32, 0_u32, 0_u32);
        let mut index = 0;
        while index < provides.len() {
            provided |= 1 << provides[index] as u32;
            index += 1;
        }
        index = 0;
        while index < needs.len() {
            let bit = 1 << needs[index].seam as u32;
            if needs[index].optional {
                optional |= bit;
            } else {
                needed |= bit;
            }
            index += 1;
        }
        self.set(Field::PROVIDES, &provided.to_le_bytes());
        self.set(Field::NEEDS, &needed.to_le_bytes());
        self.set(Field::OPTIONAL, &optional.to_le_bytes());
        index = 0;
        while index < Seam::ALL.len() {
            let seam = Seam::ALL[index];
            let field = seam_field(seam);
            self.set(field, &seam_digest(seam).to_le_bytes());
            index += 1;
        }
    }

    const fn set(&mut self, field: Field, value: &[u8]) {
        assert!(value.len() <= field.len, "the value fits its field of the plugin header");
        let mut index = 0;
        while index < value.len() {
            self.bytes[field.start + index] = value[index];
            index += 1;
        }
    }

    /// Reads a header.
    ///
    /// # Errors
    /// If the bytes are no header of this version.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let need = HEADER_LEN_BYTES;
        if bytes.len() < Field::LENGTH.start + Field::LENGTH.len {
            return Err(HeaderError::Truncated { have: bytes.len(), need });
        }
        if bytes[..MAGIC.len()] != MAGIC[..] {
            return Err(HeaderError::Magic);
        }
        let length = &bytes[Field::LENGTH.start..Field::LENGTH.start + Field::LENGTH.len];
        let have = length.iter().rev().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        if have != need {
            return Err(HeaderError::Length { have, need });
        }
        match bytes.first_chunk::<HEADER_LEN_BYTES>() {
            Some(bytes) => Ok(Self { bytes: *bytes }),
            None => Err(HeaderError::Truncated { have: bytes.len(), need }),
        }
    }

    /// The bytes, as they stand in the section.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HEADER_LEN_BYTES] {
        &self.bytes
    }

    /// The plugin.
    #[must_use]
    pub fn plugin_id(&self) -> String {
        self.text(Field::PLUGIN_ID)
    }

    /// Its version.
    #[must_use]
    pub fn plugin_version(&self) -> String {
        self.text(Field::PLUGIN_VERSION)
    }

    /// The release of the compiler that built it.
    #[must_use]
    pub fn rustc_release(&self) -> String {
        self.text(Field::RUSTC_RELEASE)
    }

    /// The target that it was built for.
    #[must_use]
    pub fn target(&self) -> String {
        self.text(Field::TARGET)
    }

    /// Whether it was built with debug assertions.
    #[must_use]
    pub fn has_debug_assertions(&self) -> bool {
        self.text(Field::DEBUG_ASSERTIONS) == "on"
    }

    /// The seams that it provides.
    #[must_use]
    pub fn provides(&self) -> Vec<Seam> {
        self.seams_in(Field::PROVIDES)
    }

    /// The seams that it can't work without.
    #[must_use]
    pub fn needs(&self) -> Vec<Seam> {
        self.seams_in(Field::NEEDS)
    }

    /// The seams that it uses if they are there.
    #[must_use]
    pub fn optional(&self) -> Vec<Seam> {
        self.seams_in(Field::OPTIONAL)
    }

    /// Where a field of this name lies; for tools and tests that take headers apart.
    #[must_use]
    pub fn range_of(field_name: &str) -> Option<std::ops::Range<usize>> {
        let field = ALL_FIELDS.iter().find(|field| field.name == field_name)?;
        Some(field.start..field.start + field.len)
    }

    /// What is compared with a host, and its value: for displays.
    #[must_use]
    pub fn compared(&self) -> Vec<(&'static str, String)> {
        COMPARED.iter().map(|field| (field.name, self.shown(*field))).collect()
    }

    /// Every field in which `plugin` differs from this host. Seams that the plugin does not use may differ.
    #[must_use]
    pub fn mismatches(&self, plugin: &Self) -> Vec<Mismatch> {
        let used =
            [Field::PROVIDES, Field::NEEDS, Field::OPTIONAL].map(|field| plugin.seams_in(field)).concat();
        let seams = Seam::ALL.into_iter().filter(|seam| used.contains(seam));
        let seams = seams.map(|seam| (format!("digest of the seam `{seam}`"), seam_field(seam)));
        COMPARED
            .into_iter()
            .map(|field| (field.name.to_owned(), field))
            .chain(seams)
            .filter(|(_, field)| self.of(*field) != plugin.of(*field))
            .map(|(name, field)| Mismatch {
                field: name,
                host: self.shown(field),
                plugin: plugin.shown(field),
            })
            .collect()
    }

    fn of(&self, field: Field) -> &[u8] {
        &self.bytes[field.start..field.start + field.len]
    }

    /// A field as text, up to its first zero.
    fn text(&self, field: Field) -> String {
        let bytes = self.of(field);
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    fn shown(&self, field: Field) -> String {
        let bytes = self.of(field);
        if field.len == SEAM_LEN_BYTES && field.start >= Field::COMMON_DIGEST.start {
            return bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect();
        }
        // What stands in a file that nobody trusts yet is not shown raw.
        self.text(field).chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
    }

    fn seams_in(&self, field: Field) -> Vec<Seam> {
        let mask = self.of(field).iter().rev().fold(0_u32, |mask, byte| mask << 8 | u32::from(*byte));
        Seam::ALL.into_iter().filter(|seam| mask & (1 << *seam as u32) != 0).collect()
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Header").field("plugin_id", &self.plugin_id()).finish_non_exhaustive()
    }
}

const fn seam_field(seam: Seam) -> Field {
    let start = Field::SEAMS.start + seam as usize * SEAM_LEN_BYTES;
    Field { name: seam.name(), start, len: SEAM_LEN_BYTES }
}

const fn hex(number: u64) -> [u8; 16] {
    let mut text = [0; 16];
    let mut index = 0;
    while index < 16 {
        let nibble = ((number >> (60 - 4 * index)) & 15) as u8;
        text[index] = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        index += 1;
    }
    text
}
