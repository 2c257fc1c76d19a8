//! The set of layouts: files that are made, encoded, and laid out.
//!
//! Unlike the other sets, this one does real work: it encodes each file.

use std::num::NonZeroUsize;

use serde::Deserialize;
use serde_json::{Value, json};

use super::parse;
use super::sets::made_bytes;
use crate::artifact_key::ArtifactKey;
use crate::cascade::codec::{self, EncodedFile, SYMBOL_ALIGNMENT_BYTES, SYMBOL_LEN_BYTES};
use crate::cascade::layout::Layout;

/// The only redundancy factor of the protocol (wire 4.7).
const REDUNDANCY_FACTOR: u32 = 6;
/// Cases list all symbol ids up to this many, and the first and last few beyond.
const LISTED_ID_COUNT_MAX: usize = 32;
const END_ID_COUNT: usize = 3;

pub(super) fn raptorq_layout(input: &Value) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Input {
        seed: String,
        size: usize,
        symbol_size: u16,
        redundancy_factor: u32,
    }
    let Input { seed, size, symbol_size, redundancy_factor } = parse(input)?;
    if (symbol_size, redundancy_factor) != (codec::SYMBOL_LEN_BYTES_REQUESTED, REDUNDANCY_FACTOR) {
        return Err("only symbols of 65535 bytes with redundancy factor 6 are supported".to_owned());
    }
    let file = made_bytes(&seed, size)?;
    let encoded =
        codec::encode(file.as_slice(), NonZeroUsize::MIN, |_| Ok(())).map_err(|error| error.to_string())?;
    Ok(answer(&file, &encoded))
}

fn answer(file: &[u8], encoded: &EncodedFile) -> Value {
    let EncodedFile { parameters, symbol_ids, block_hash } = encoded;
    let layout_json = Layout::of_file(encoded).to_json_pretty();
    let joined = symbol_ids.iter().map(ArtifactKey::to_string).collect::<Vec<_>>().join("\n");
    let mut answer = json!({
        "file_blake3": hex::encode(ArtifactKey::of(file).as_bytes()),
        "encoder_parameters": hex::encode(parameters.oti()),
        "transfer_length": parameters.len_bytes(),
        "aligned_symbol_size": SYMBOL_LEN_BYTES,
        "source_blocks": 1,
        "sub_blocks": parameters.sub_blocks(),
        "symbol_alignment": SYMBOL_ALIGNMENT_BYTES,
        "source_symbols": parameters.source_symbols(),
        "repair_symbols": parameters.repair_symbols(),
        "total_symbols": parameters.total_symbols(),
        "block_hash": block_hash,
        "symbol_ids_joined_blake3": blake3::hash(joined.as_bytes()).to_hex().to_string(),
        "layout_json_len": layout_json.len(),
        "layout_json_blake3": blake3::hash(layout_json.as_bytes()).to_hex().to_string(),
    });
    if symbol_ids.len() <= LISTED_ID_COUNT_MAX {
        answer["symbol_ids"] = json!(symbol_ids);
    } else {
        answer["symbol_ids_first3"] = json!(symbol_ids[..END_ID_COUNT]);
        answer["symbol_ids_last3"] = json!(symbol_ids[symbol_ids.len() - END_ID_COUNT..]);
    }
    answer
}
