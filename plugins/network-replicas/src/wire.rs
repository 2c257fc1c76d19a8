//! Reading messages of peers without spending more memory than they are worth.
//!
//! A field of two bytes can become a structure of fifty, so the fields of a message are counted before any of them is
//! decoded. What the fields mean is their readers' part.

use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};

/// The message, unless it is malformed or has more than `fields_max` fields at its top.
///
/// # Errors
/// Why not, for people.
pub(crate) fn decode<M: Message + Default>(bytes: &[u8], fields_max: usize) -> Result<M, String> {
    let mut rest = bytes;
    let mut fields = 0_usize;
    while !rest.is_empty() {
        fields += 1;
        if fields > fields_max {
            return Err(format!("more than {fields_max} fields"));
        }
        let skipped = decode_key(&mut rest)
            .and_then(|(tag, wire_type)| skip_field(wire_type, tag, &mut rest, DecodeContext::default()));
        skipped.map_err(|error| error.to_string())?;
    }
    M::decode(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_proto::lampkeeper::v1::FetchRequest;

    #[test]
    fn fields_are_counted_before_they_are_decoded() {
        let request = FetchRequest { keys: vec![String::new(); 5] };
        let bytes = request.encode_to_vec();
        assert_eq!(decode::<FetchRequest>(&bytes, 5), Ok(request));
        assert!(decode::<FetchRequest>(&bytes, 4).is_err());
        assert!(decode::<FetchRequest>(&bytes[..9], 5).is_err(), "cut off");
        assert!(decode::<FetchRequest>(&[0xff; 20], 100).is_err(), "no key");
    }
}
