//! The layout document: which symbols a file was encoded into (wire 4.5).
//!
//! Owns its two exact JSON forms and the checks of what others sent. Leaves encoding the file to the codec, and signing
//! the document to whoever creates a ticket.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::codec::{EncodedFile, OTI_LEN_BYTES};
use super::id_files::{IdFile, IdFileError};
use crate::artifact_key::ArtifactKey;

/// Length of RFC 6330's object transmission information in bytes (wire 4.7).
pub const ENCODER_PARAMETERS_LEN_BYTES: usize = OTI_LEN_BYTES;
/// The most symbols of a layout. The largest permitted file, of 1280 MiB, has 122,885.
pub const LAYOUT_SYMBOL_COUNT_MAX: usize = 131_072;
/// The most blocks of a layout that is read. Every permitted file has one.
pub const LAYOUT_BLOCK_COUNT_MAX: usize = 16;
/// The longest layout document that is read, in either form. A symbol takes at most 56 bytes of it.
pub const LAYOUT_JSON_LEN_BYTES_MAX: usize = 8 * 1024 * 1024;

const _: () =
    assert!(LAYOUT_SYMBOL_COUNT_MAX * 56 < LAYOUT_JSON_LEN_BYTES_MAX, "a permitted layout would not be read");

/// The layout of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The source blocks; exactly one in every layout that may be signed.
    pub blocks: Vec<BlockLayout>,
}

/// The layout of one source block. The order of the fields is the order of the document's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockLayout {
    /// The block's number.
    pub block_id: u32,
    /// RFC 6330's object transmission information. Read as an array of numbers or as base64, written as an array.
    #[serde(deserialize_with = "array_or_base64")]
    pub encoder_parameters: [u8; ENCODER_PARAMETERS_LEN_BYTES],
    /// Where the block starts in the file, in bytes.
    pub original_offset: u64,
    /// Length of the block in bytes.
    pub size: u64,
    /// Content keys of the symbol packets, source symbols first.
    pub symbols: Vec<ArtifactKey>,
    /// Content key of the block's bytes; `None` if the document leaves it empty.
    #[serde(serialize_with = "key_or_empty", deserialize_with = "empty_or_key")]
    pub hash: Option<ArtifactKey>,
}

/// Why a layout is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The document is longer than any permitted layout.
    #[error("can't read a layout of {len_bytes} bytes: at most {LAYOUT_JSON_LEN_BYTES_MAX} are permitted")]
    TooLong {
        /// Length of the document.
        len_bytes: usize,
    },
    /// The document is not a layout.
    #[error("can't read the layout document")]
    Malformed(#[source] serde_json::Error),
    /// There are more blocks or symbols than any permitted file has.
    #[error("can't use a layout of {blocks} blocks and {symbols} symbols: more than any permitted file has")]
    TooLarge {
        /// Number of blocks.
        blocks: usize,
        /// Number of symbols of all blocks.
        symbols: usize,
    },
    /// The layout does not have exactly one block.
    #[error("can't use a layout of {blocks} blocks: exactly one is supported")]
    NotOneBlock {
        /// Number of blocks.
        blocks: usize,
    },
    /// The layout's id file can't be read.
    #[error("can't read the id file of a layout")]
    IdFile(#[source] IdFileError),
}

impl Layout {
    /// The layout of a file that the codec encoded: one block, the whole file (wire 4.7).
    #[must_use]
    pub fn of_file(encoded: &EncodedFile) -> Self {
        Self {
            blocks: vec![BlockLayout {
                block_id: 0,
                encoder_parameters: encoded.parameters.oti(),
                original_offset: 0,
                size: encoded.parameters.len_bytes(),
                symbols: encoded.symbol_ids.clone(),
                hash: Some(encoded.block_hash),
            }],
        }
    }

    /// Reads a layout document in either form.
    ///
    /// # Errors
    /// The document is too long, malformed, or describes more than any permitted file has.
    pub fn from_json(json: &[u8]) -> Result<Self, LayoutError> {
        if json.len() > LAYOUT_JSON_LEN_BYTES_MAX {
            return Err(LayoutError::TooLong { len_bytes: json.len() });
        }
        let layout: Self = serde_json::from_slice(json).map_err(LayoutError::Malformed)?;
        let (blocks, symbols) = (layout.blocks.len(), layout.symbol_count());
        if blocks > LAYOUT_BLOCK_COUNT_MAX || symbols > LAYOUT_SYMBOL_COUNT_MAX {
            return Err(LayoutError::TooLarge { blocks, symbols });
        }
        Ok(layout)
    }

    /// Reads the layout out of one of its id files. Its signature is not checked.
    ///
    /// # Errors
    /// The file is no id file, or its document no permitted layout.
    pub fn from_id_file(file: &[u8]) -> Result<(Self, IdFile), LayoutError> {
        let file = IdFile::read(file).map_err(LayoutError::IdFile)?;
        Ok((Self::from_json(&file.document)?, file))
    }

    /// The compact form, which is hashed and signed.
    #[must_use]
    #[expect(clippy::expect_used, reason = "numbers, texts and arrays always have a JSON form")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a layout has a JSON form")
    }

    /// The form of `_raptorq_layout.json`: indented by two spaces, without a line end.
    #[must_use]
    #[expect(clippy::expect_used, reason = "numbers, texts and arrays always have a JSON form")]
    pub fn to_json_pretty(&self) -> String {
        serde_json::to_string_pretty(self).expect("a layout has a JSON form")
    }

    /// `layout_b64`: base64 of the compact form. This text is what the creator signs.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.to_json())
    }

    /// The only block.
    ///
    /// # Errors
    /// There is another number of blocks; such a layout is never signed, registered or reseeded.
    pub fn only_block(&self) -> Result<&BlockLayout, LayoutError> {
        match self.blocks.as_slice() {
            [block] => Ok(block),
            blocks => Err(LayoutError::NotOneBlock { blocks: blocks.len() }),
        }
    }

    /// Number of symbols of all blocks.
    #[must_use]
    pub fn symbol_count(&self) -> usize {
        self.blocks.iter().map(|block| block.symbols.len()).sum()
    }
}

fn array_or_base64<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[u8; ENCODER_PARAMETERS_LEN_BYTES], D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "12 numbers below 256, or their base64")]
    enum Form {
        Array([u8; ENCODER_PARAMETERS_LEN_BYTES]),
        Base64(String),
    }
    match Form::deserialize(deserializer)? {
        Form::Array(bytes) => Ok(bytes),
        Form::Base64(text) => {
            let bytes = STANDARD.decode(text).map_err(de::Error::custom)?;
            let len = bytes.len();
            bytes.try_into().map_err(|_| de::Error::invalid_length(len, &"12 bytes"))
        }
    }
}

fn key_or_empty<S: Serializer>(key: &Option<ArtifactKey>, serializer: S) -> Result<S::Ok, S::Error> {
    match key {
        Some(key) => key.serialize(serializer),
        None => serializer.serialize_str(""),
    }
}

fn empty_or_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ArtifactKey>, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout() -> Layout {
        Layout {
            blocks: vec![BlockLayout {
                block_id: 0,
                encoder_parameters: [0, 0, 0, 0, 1, 0, 255, 248, 1, 0, 1, 8],
                original_offset: 0,
                size: 1,
                symbols: vec![ArtifactKey::of(b"a"), ArtifactKey::of(b"b")],
                hash: Some(ArtifactKey::of(b"block")),
            }],
        }
    }

    #[test]
    fn both_forms_are_exact_and_read_back() {
        let (a, b) = (ArtifactKey::of(b"a"), ArtifactKey::of(b"b"));
        let expected = format!(
            r#"{{"blocks":[{{"block_id":0,"encoder_parameters":[0,0,0,0,1,0,255,248,1,0,1,8],"original_offset":0,"size":1,"symbols":["{a}","{b}"],"hash":"{}"}}]}}"#,
            ArtifactKey::of(b"block")
        );
        assert_eq!(layout().to_json(), expected);
        assert!(layout().to_json_pretty().starts_with("{\n  \"blocks\": [\n    {\n      \"block_id\": 0,\n"));
        let with_base64 = expected.replace("[0,0,0,0,1,0,255,248,1,0,1,8]", "\"AAAAAAEA//gBAAEI\"");
        for json in [expected, layout().to_json_pretty(), with_base64] {
            assert_eq!(Layout::from_json(json.as_bytes()).unwrap(), layout());
        }
    }

    #[test]
    fn an_empty_hash_is_kept() {
        let mut layout = layout();
        layout.blocks[0].hash = None;
        assert!(layout.to_json().ends_with(r#""hash":""}]}"#));
        assert_eq!(Layout::from_json(layout.to_json().as_bytes()).unwrap(), layout);
    }

    #[test]
    fn hostile_documents_are_refused() {
        let json = layout().to_json();
        let bad = [
            String::new(),
            "{}".to_owned(),
            "[".repeat(100_000),
            json.replace("[0,0,0,0,1,0,255,248,1,0,1,8]", "[0]"),
            json.replace("[0,0,0,0,1,0,255,248,1,0,1,8]", "\"AAAA\""),
            json.replace("255", "256"),
            json.replace("\"size\":1", "\"size\":-1"),
            json.replace(&ArtifactKey::of(b"a").to_string(), "0OIl"),
            format!("{}{}", json, " ".repeat(LAYOUT_JSON_LEN_BYTES_MAX)),
        ];
        for json in bad {
            assert!(Layout::from_json(json.as_bytes()).is_err(), "{}", &json[..json.len().min(200)]);
        }
    }

    #[test]
    fn sizes_beyond_any_file_are_refused() {
        let mut many_blocks = layout();
        many_blocks.blocks = vec![many_blocks.blocks.remove(0); LAYOUT_BLOCK_COUNT_MAX + 1];
        let mut many_symbols = layout();
        many_symbols.blocks[0].symbols = vec![ArtifactKey::of(b"a"); LAYOUT_SYMBOL_COUNT_MAX + 1];
        for layout in [many_blocks, many_symbols] {
            let verdict = Layout::from_json(layout.to_json().as_bytes());
            assert!(matches!(verdict, Err(LayoutError::TooLarge { .. })), "{verdict:?}");
        }
    }

    #[test]
    fn only_layouts_of_one_block_are_used() {
        assert_eq!(layout().only_block().unwrap(), &layout().blocks[0]);
        for blocks in [vec![], vec![layout().blocks.remove(0); 2]] {
            assert!(matches!(Layout { blocks }.only_block(), Err(LayoutError::NotOneBlock { .. })));
        }
    }

    proptest! {
        #[test]
        fn reading_arbitrary_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert!(Layout::from_json(&bytes).is_err());
            prop_assert!(Layout::from_id_file(&bytes).is_err());
        }
    }
}
