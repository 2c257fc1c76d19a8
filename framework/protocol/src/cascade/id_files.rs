//! Id files: numbered copies of a signed document, each under its own content key (wire 4.6).
//!
//! Owns their bytes, which are consensus: the chain recomputes ids, so the compressor must be libzstd 1.5.7 to the bit.
//! Leaves what the documents say to [`super::layout`] and [`super::index`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

use super::layout::LAYOUT_JSON_LEN_BYTES_MAX;
use crate::artifact_key::ArtifactKey;

/// The compression level of every id file.
const COMPRESSION_LEVEL: i32 = 3;

/// The most id files of one kind that a ticket may have; the chain's parameter says 50.
pub const ID_FILE_COUNT_MAX: u32 = 1024;
/// The longest payload of an id file: the longest layout in base64, with room for signature and counter.
pub const ID_FILE_PAYLOAD_LEN_BYTES_MAX: usize = LAYOUT_JSON_LEN_BYTES_MAX / 3 * 4 + 4096;
/// The longest id file that is read. Compression never adds more than this.
pub const ID_FILE_LEN_BYTES_MAX: usize =
    ID_FILE_PAYLOAD_LEN_BYTES_MAX + ID_FILE_PAYLOAD_LEN_BYTES_MAX / 128 + 1024;

const _: () = assert!(
    ID_FILE_LEN_BYTES_MAX as u64 <= crate::verified_slice::SLICE_ARTIFACT_LEN_BYTES_MAX,
    "slices of a permitted id file could not be proven"
);

/// Why id files can't be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdFileError {
    /// More id files are asked for than any ticket has.
    #[error("can't derive {count} id files: at most {ID_FILE_COUNT_MAX} are permitted")]
    TooMany {
        /// Number of files.
        count: u64,
    },
    /// The file or its payload is longer than permitted.
    #[error("can't use an id file of {len_bytes} bytes: its document is longer than any permitted one")]
    TooLong {
        /// Length of the file or of its payload.
        len_bytes: u64,
    },
    /// There is no id file with this ordinal.
    #[error("can't derive id file {ordinal} of {count}")]
    NoSuchFile {
        /// The ordinal, from 0.
        ordinal: u32,
        /// Number of files.
        count: u32,
    },
    /// The compressor failed, which means that there is no memory.
    #[error("can't compress an id file")]
    Compression(#[source] std::io::Error),
    /// The bytes are not one frame of known length.
    #[error("can't decompress an id file: not a zstd frame that tells its length")]
    NotCompressed,
    /// The payload is not a document, a signature and a counter.
    #[error("can't read an id file: expected document, signature and counter, separated by dots")]
    Malformed,
}

/// The id files of one document: `count` files, whose counters start at `first_counter`.
///
/// ```
/// use lampkeeper_protocol::cascade::id_files::IdFileSeries;
/// let series = IdFileSeries::new("aW5kZXg=.c2ln", 1, 3)?;
/// assert_eq!(series.keys()?[0].to_string(), "Fkjj2agushc3nHyxbYmcYTQYhquKNptpxUTTAzhJX1eG");
/// # Ok::<(), lampkeeper_protocol::cascade::id_files::IdFileError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdFileSeries<'a> {
    base: &'a str,
    first_counter: u64,
    count: u32,
}

impl<'a> IdFileSeries<'a> {
    /// The files over a base text: a document in base64, a dot, and its signature.
    ///
    /// Counters are 64 bits wide and wrap, as the chain computes them. (The reference node truncates to 32 bits, but
    /// the chain accepts no ticket for which that makes a difference.)
    ///
    /// # Errors
    /// The count or the base is beyond the bounds of this module.
    pub fn new(base: &'a str, first_counter: u64, count: u32) -> Result<Self, IdFileError> {
        if count > ID_FILE_COUNT_MAX {
            return Err(IdFileError::TooMany { count: count.into() });
        }
        // A dot and a counter of up to 20 digits follow.
        if base.len() > ID_FILE_PAYLOAD_LEN_BYTES_MAX - 21 {
            return Err(IdFileError::TooLong { len_bytes: base.len() as u64 });
        }
        Ok(Self { base, first_counter, count })
    }

    /// Number of files.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The file with an ordinal, from 0.
    ///
    /// # Errors
    /// The ordinal is not below the count, or the compressor fails.
    pub fn file(&self, ordinal: u32) -> Result<Vec<u8>, IdFileError> {
        if ordinal >= self.count {
            return Err(IdFileError::NoSuchFile { ordinal, count: self.count });
        }
        self.compress(&mut compressor()?, ordinal)
    }

    /// All files, in order.
    ///
    /// # Errors
    /// The compressor fails.
    pub fn files(&self) -> Result<Vec<Vec<u8>>, IdFileError> {
        let mut compressor = compressor()?;
        (0..self.count).map(|ordinal| self.compress(&mut compressor, ordinal)).collect()
    }

    /// The content keys of all files, in order. Holds one file at a time.
    ///
    /// # Errors
    /// The compressor fails.
    pub fn keys(&self) -> Result<Vec<ArtifactKey>, IdFileError> {
        let mut compressor = compressor()?;
        (0..self.count)
            .map(|ordinal| Ok(ArtifactKey::of(&self.compress(&mut compressor, ordinal)?)))
            .collect()
    }

    fn compress(&self, compressor: &mut Compressor<'static>, ordinal: u32) -> Result<Vec<u8>, IdFileError> {
        let payload = format!("{}.{}", self.base, self.first_counter.wrapping_add(ordinal.into()));
        compressor.compress(payload.as_bytes()).map_err(IdFileError::Compression)
    }
}

fn compressor() -> Result<Compressor<'static>, IdFileError> {
    Compressor::new(COMPRESSION_LEVEL).map_err(IdFileError::Compression)
}

/// What an id file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdFile {
    /// The document in base64: the text that is signed.
    pub document_base64: String,
    /// The document.
    pub document: Vec<u8>,
    /// Base64 of the creator's signature over the text.
    pub signature: String,
    /// Which copy this is.
    pub counter: u64,
}

impl IdFile {
    /// Reads an id file. Neither its key nor its signature is checked.
    ///
    /// # Errors
    /// The file is too long, not compressed, or has other segments.
    pub fn read(file: &[u8]) -> Result<Self, IdFileError> {
        let payload = decompress(file)?;
        let payload = String::from_utf8(payload).map_err(|_| IdFileError::Malformed)?;
        let mut segments = payload.split('.');
        let (Some(document_base64), Some(signature), Some(counter), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(IdFileError::Malformed);
        };
        Ok(Self {
            document_base64: document_base64.to_owned(),
            document: STANDARD.decode(document_base64).map_err(|_| IdFileError::Malformed)?,
            signature: signature.to_owned(),
            counter: counter.parse().map_err(|_| IdFileError::Malformed)?,
        })
    }
}

fn decompress(file: &[u8]) -> Result<Vec<u8>, IdFileError> {
    if file.len() > ID_FILE_LEN_BYTES_MAX {
        return Err(IdFileError::TooLong { len_bytes: file.len() as u64 });
    }
    // Every id file tells its length, so a frame that does not, or lies, is none.
    let Ok(Some(len_bytes)) = zstd_safe::get_frame_content_size(file) else {
        return Err(IdFileError::NotCompressed);
    };
    if len_bytes > ID_FILE_PAYLOAD_LEN_BYTES_MAX as u64 {
        return Err(IdFileError::TooLong { len_bytes });
    }
    let mut decompressor = Decompressor::new().map_err(IdFileError::Compression)?;
    decompressor.decompress(file, len_bytes as usize).map_err(|_| IdFileError::NotCompressed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_and_ids_agree_with_the_published_table() {
        let letters: String = (0_u64..3000).map(|i| char::from(65 + ((i * i + 7 * i) % 26) as u8)).collect();
        let long = format!("{letters}.c2ln");
        // Wire 4.6: base, first counter, then each file and its id.
        let table: [(&str, u64, &[[&str; 2]]); 2] = [
            (
                "aW5kZXg=.c2ln",
                1,
                &[
                    [
                        "28b52ffd200f7900006157356b5a58673d2e63326c6e2e31",
                        "Fkjj2agushc3nHyxbYmcYTQYhquKNptpxUTTAzhJX1eG",
                    ],
                    [
                        "28b52ffd200f7900006157356b5a58673d2e63326c6e2e32",
                        "5825sJ35f6dfGHAdT6Y8MRsHHno1wLeXGgMAFcKG6219",
                    ],
                    [
                        "28b52ffd200f7900006157356b5a58673d2e63326c6e2e33",
                        "Ek9oWD1rUE7FhNYGvUAumEBY3ypqLJRAhEHiEjHx7M8y",
                    ],
                ],
            ),
            (
                &long,
                50,
                &[
                    [
                        "28b52ffd60c00aed0000a84149534553494155514f4f51552e63326c6e2e35300100a8037f7e01",
                        "Hu8nGokwHGejrZEjWVNVXme3Jc1yh3eXgRrUicdSTQEt",
                    ],
                    [
                        "28b52ffd60c00aed0000a84149534553494155514f4f51552e63326c6e2e35310100a8037f7e01",
                        "24zHToLi4zQY7FfRECz2k5B6KAUXrzMovsDjbNio8Ai6",
                    ],
                ],
            ),
        ];
        for (base, first_counter, expected) in table {
            let series = IdFileSeries::new(base, first_counter, expected.len() as u32).unwrap();
            let (files, keys) = (series.files().unwrap(), series.keys().unwrap());
            for (i, [file, id]) in expected.iter().enumerate() {
                assert_eq!(hex::encode(&files[i]), *file);
                assert_eq!(keys[i].to_string(), *id);
                assert_eq!(
                    series.file(i as u32).unwrap(),
                    files[i],
                    "a fresh compressor gives the same bytes"
                );
            }
        }
    }

    #[test]
    fn files_read_back() {
        let series = IdFileSeries::new("aW5kZXg=.c2ln", u64::MAX, 2).unwrap();
        for (file, counter) in series.files().unwrap().iter().zip([u64::MAX, 0]) {
            let expected = IdFile {
                document_base64: "aW5kZXg=".to_owned(),
                document: b"index".to_vec(),
                signature: "c2ln".to_owned(),
                counter,
            };
            assert_eq!(IdFile::read(file).unwrap(), expected);
        }
        assert!(matches!(series.file(2), Err(IdFileError::NoSuchFile { ordinal: 2, count: 2 })));
    }

    #[test]
    fn hostile_files_are_refused() {
        let file = |payload: &[u8]| zstd::bulk::compress(payload, COMPRESSION_LEVEL).unwrap();
        for payload in ["", "aW5kZXg=.c2ln", "aW5kZXg=.c2ln.1.2", "%.c2ln.1", "aW5kZXg=.c2ln.x", "a.b.-1"] {
            assert!(
                matches!(IdFile::read(&file(payload.as_bytes())), Err(IdFileError::Malformed)),
                "{payload}"
            );
        }
        assert!(matches!(IdFile::read(&file(&[0xff])), Err(IdFileError::Malformed)));
        let good = file(b"aW5kZXg=.c2ln.1");
        let twice = [good.clone(), good.clone()].concat();
        for bytes in [&[][..], b"aW5kZXg=.c2ln.1", &good[..good.len() - 1], &twice] {
            assert!(matches!(IdFile::read(bytes), Err(IdFileError::NotCompressed)), "{bytes:?}");
        }
        // A few bytes that would unpack to more than any document: refused by the length that they tell.
        let bomb = file(&vec![0; ID_FILE_PAYLOAD_LEN_BYTES_MAX + 1]);
        assert!(bomb.len() < 2_000);
        assert!(matches!(IdFile::read(&bomb), Err(IdFileError::TooLong { .. })));
    }

    #[test]
    fn bounds_of_a_series_are_checked() {
        assert!(matches!(
            IdFileSeries::new("a.b", 0, ID_FILE_COUNT_MAX + 1),
            Err(IdFileError::TooMany { .. })
        ));
        let long = "a".repeat(ID_FILE_PAYLOAD_LEN_BYTES_MAX);
        assert!(matches!(IdFileSeries::new(&long, 0, 1), Err(IdFileError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn reading_arbitrary_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            prop_assert!(IdFile::read(&bytes).is_err());
            let with_magic = [&[0x28, 0xb5, 0x2f, 0xfd][..], &bytes].concat();
            prop_assert!(IdFile::read(&with_magic).is_err());
        }
    }
}
