//! The index document, which names the layout files of a ticket, and the metadata's signatures field (wire 4.5).
//!
//! Owns their exact forms and the way from a signed layout to its index. Leaves the signing itself to the creator's
//! key, and which signatures count to [`crate::document_signature`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::id_files::{ID_FILE_COUNT_MAX, IdFile, IdFileError, IdFileSeries};
use crate::artifact_key::ArtifactKey;

/// The longest index document that is read; one with [`ID_FILE_COUNT_MAX`] ids fits.
pub const INDEX_JSON_LEN_BYTES_MAX: usize = 64 * 1024;
/// The version that is written today.
pub const INDEX_VERSION: u32 = 1;

const _: () = assert!(
    ID_FILE_COUNT_MAX as usize * 47 < INDEX_JSON_LEN_BYTES_MAX,
    "a permitted index would not be read"
);

/// The index document. The order of the fields is the order of the document's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexDocument {
    /// Content keys of the layout id files.
    pub layout_ids: Vec<ArtifactKey>,
    /// Base64 of the creator's signature over the layout's text.
    pub layout_signature: String,
    /// The document's version; 0 is left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub version: u32,
}

/// Why an index document or a signatures field is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The document is longer than any permitted index.
    #[error("can't read an index of {len_bytes} bytes: at most {INDEX_JSON_LEN_BYTES_MAX} are permitted")]
    TooLong {
        /// Length of the document.
        len_bytes: usize,
    },
    /// The document is not an index.
    #[error("can't read the index document")]
    Malformed(#[source] serde_json::Error),
    /// The document names too many layout files.
    #[error("can't use an index of {count} layout files: at most {ID_FILE_COUNT_MAX} are permitted")]
    TooManyLayouts {
        /// Number of layout files.
        count: usize,
    },
    /// The signatures field does not have two segments, or the first is not base64.
    #[error("can't read a signatures field: expected the index in base64, a dot, and its signature")]
    MalformedSignatures,
    /// An id file can't be made or read.
    #[error("can't make or read an id file of the index")]
    IdFile(#[source] IdFileError),
}

impl IndexDocument {
    /// The index of a signed layout, and the layout id files that it names (wire 4.12 step 1, wire 4.10).
    ///
    /// The layout is given as its base64 text, the signature in base64 as well. The counters of the `count` files
    /// start at `first_counter`. Once the creator has signed [`Self::to_base64`], the index id files are an
    /// [`IdFileSeries`] over [`Signatures`].
    ///
    /// # Errors
    /// The count or the layout is beyond what id files permit.
    pub fn of_layout(
        layout_base64: &str,
        layout_signature: &str,
        first_counter: u64,
        count: u32,
    ) -> Result<(Self, Vec<Vec<u8>>), IndexError> {
        let base = format!("{layout_base64}.{layout_signature}");
        let files = IdFileSeries::new(&base, first_counter, count)
            .and_then(|series| series.files())
            .map_err(IndexError::IdFile)?;
        let index = Self {
            layout_ids: files.iter().map(|file| ArtifactKey::of(file)).collect(),
            layout_signature: layout_signature.to_owned(),
            version: INDEX_VERSION,
        };
        Ok((index, files))
    }

    /// Reads an index document.
    ///
    /// # Errors
    /// The document is too long, malformed, or names too many layout files.
    pub fn from_json(json: &[u8]) -> Result<Self, IndexError> {
        if json.len() > INDEX_JSON_LEN_BYTES_MAX {
            return Err(IndexError::TooLong { len_bytes: json.len() });
        }
        let index: Self = serde_json::from_slice(json).map_err(IndexError::Malformed)?;
        match index.layout_ids.len() {
            count if count > ID_FILE_COUNT_MAX as usize => Err(IndexError::TooManyLayouts { count }),
            _ => Ok(index),
        }
    }

    /// Reads the index out of one of its id files. Its signature is not checked.
    ///
    /// # Errors
    /// The file is no id file, or its document no permitted index.
    pub fn from_id_file(file: &[u8]) -> Result<(Self, IdFile), IndexError> {
        let file = IdFile::read(file).map_err(IndexError::IdFile)?;
        Ok((Self::from_json(&file.document)?, file))
    }

    /// The document's bytes.
    #[must_use]
    #[expect(clippy::expect_used, reason = "numbers, texts and arrays always have a JSON form")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an index has a JSON form")
    }

    /// `index_b64`: base64 of the document. This text is what the creator signs.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.to_json())
    }
}

/// The signatures field of a ticket's metadata, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signatures<'a> {
    /// The index document in base64.
    pub index_base64: &'a str,
    /// Base64 of the creator's signature over that text.
    pub creator_signature: &'a str,
}

impl<'a> Signatures<'a> {
    /// Reads the field, which has exactly one dot.
    ///
    /// # Errors
    /// There is another number of segments, or one is empty.
    pub fn parse(field: &'a str) -> Result<Self, IndexError> {
        match field.split_once('.') {
            Some((index_base64, creator_signature))
                if !index_base64.is_empty()
                    && !creator_signature.is_empty()
                    && !creator_signature.contains('.') =>
            {
                Ok(Self { index_base64, creator_signature })
            }
            _ => Err(IndexError::MalformedSignatures),
        }
    }

    /// The index document within.
    ///
    /// # Errors
    /// The first segment is no base64 of a permitted index.
    pub fn index(&self) -> Result<IndexDocument, IndexError> {
        // Four characters stand for three bytes; the document's own bound follows.
        if self.index_base64.len() / 4 * 3 > INDEX_JSON_LEN_BYTES_MAX + 3 {
            return Err(IndexError::TooLong { len_bytes: self.index_base64.len() / 4 * 3 });
        }
        let json = STANDARD.decode(self.index_base64).map_err(|_| IndexError::MalformedSignatures)?;
        IndexDocument::from_json(&json)
    }
}

impl std::fmt::Display for Signatures<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.index_base64, self.creator_signature)
    }
}

fn is_zero(version: &u32) -> bool {
    *version == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index() -> IndexDocument {
        IndexDocument {
            layout_ids: vec![ArtifactKey::of(b"a")],
            layout_signature: "c2ln".to_owned(),
            version: 1,
        }
    }

    #[test]
    fn the_form_is_exact_and_reads_back() {
        let a = ArtifactKey::of(b"a");
        let expected = format!(r#"{{"layout_ids":["{a}"],"layout_signature":"c2ln","version":1}}"#);
        assert_eq!(index().to_json(), expected);
        let unversioned = IndexDocument { version: 0, ..index() };
        assert_eq!(unversioned.to_json(), expected.replace(r#","version":1"#, ""));
        for index in [index(), unversioned] {
            assert_eq!(IndexDocument::from_json(index.to_json().as_bytes()).unwrap(), index);
        }
    }

    #[test]
    fn a_layout_leads_to_every_id_file() {
        let (index, layout_files) = IndexDocument::of_layout("bGF5b3V0", "c2ln", 7, 3).unwrap();
        assert_eq!((index.layout_signature.as_str(), index.layout_ids.len()), ("c2ln", 3));
        for (file, id) in layout_files.iter().zip(&index.layout_ids) {
            assert_eq!(ArtifactKey::of(file), *id);
            assert_eq!(IdFile::read(file).unwrap().document, b"layout");
        }
        let index_base64 = index.to_base64();
        let field = Signatures { index_base64: &index_base64, creator_signature: "Y3JlYXRvcg==" }.to_string();
        let signatures = Signatures::parse(&field).unwrap();
        assert_eq!(signatures.creator_signature, "Y3JlYXRvcg==");
        assert_eq!(signatures.index().unwrap(), index);
        let index_files = IdFileSeries::new(&field, 7, 3).unwrap().files().unwrap();
        for (file, counter) in index_files.iter().zip(7..) {
            let (from_file, id_file) = IndexDocument::from_id_file(file).unwrap();
            assert_eq!((&from_file, id_file.counter), (&index, counter));
        }
    }

    #[test]
    fn hostile_documents_are_refused() {
        let mut many = index();
        many.layout_ids = vec![ArtifactKey::of(b"a"); ID_FILE_COUNT_MAX as usize + 1];
        assert!(matches!(
            IndexDocument::from_json(many.to_json().as_bytes()),
            Err(IndexError::TooManyLayouts { .. })
        ));
        let too_long = " ".repeat(INDEX_JSON_LEN_BYTES_MAX + 1);
        assert!(matches!(IndexDocument::from_json(too_long.as_bytes()), Err(IndexError::TooLong { .. })));
        let too_long = format!("{}.c2ln", "A".repeat(2 * INDEX_JSON_LEN_BYTES_MAX));
        assert!(matches!(Signatures::parse(&too_long).unwrap().index(), Err(IndexError::TooLong { .. })));
        for field in ["", ".", "a", "a.", ".b", "a.b.c", "a.b."] {
            assert!(matches!(Signatures::parse(field), Err(IndexError::MalformedSignatures)), "{field}");
        }
    }

    proptest! {
        #[test]
        fn reading_arbitrary_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert!(IndexDocument::from_json(&bytes).is_err());
            prop_assert!(IndexDocument::from_id_file(&bytes).is_err());
        }
    }
}
