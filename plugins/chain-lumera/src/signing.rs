//! Transactions as bytes: what is signed, and what is sent (wire 10.6, "signing", "tx raw").
//!
//! Owns the construction of a transaction with one message and one signer in SIGN_MODE_DIRECT. The key is behind the
//! [`Signer`] seam, which hashes by its own type (wire 3.6). Sequences and fees are given.

use lampkeeper_plugin_sdk::api::signer::{SignError, Signer};
use lampkeeper_proto::cosmos::base::v1beta1::Coin;
use lampkeeper_proto::cosmos::crypto::secp256k1::PubKey;
use lampkeeper_proto::cosmos::tx::signing::v1beta1::SignMode;
use lampkeeper_proto::cosmos::tx::v1beta1::{
    AuthInfo, Fee, ModeInfo, SignDoc, SignerInfo, TxBody, TxRaw, mode_info,
};
use prost::Message as _;
use prost_types::Any;
use sha2::{Digest as _, Sha256};

/// Everything about a transaction but its signature.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unsigned {
    pub(crate) message: Any,
    pub(crate) sequence: u64,
    /// The last block that may execute it; 0 for none.
    pub(crate) timeout_height: u64,
    pub(crate) gas_limit: u64,
    pub(crate) fee: u64,
    pub(crate) fee_denom: String,
}

/// A transaction ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    /// An encoded `TxRaw`.
    pub(crate) bytes: Vec<u8>,
    /// Uppercase hex of the SHA-256 of the bytes, under which the chain knows it.
    pub(crate) hash: String,
}

impl Unsigned {
    fn body_bytes(&self) -> Vec<u8> {
        TxBody {
            messages: vec![self.message.clone()],
            timeout_height: self.timeout_height,
            ..TxBody::default()
        }
        .encode_to_vec()
    }

    fn auth_info_bytes(&self, signer: &dyn Signer) -> Vec<u8> {
        // Both types of key are messages with the compressed key as their only field (wire 2.10).
        let public_key = Any {
            type_url: signer.public_key_type_url().to_owned(),
            value: PubKey { key: signer.public_key() }.encode_to_vec(),
        };
        let mode = mode_info::Single { mode: SignMode::Direct as i32 };
        let signer_info = SignerInfo {
            public_key: Some(public_key),
            mode_info: Some(ModeInfo { sum: Some(mode_info::Sum::Single(mode)) }),
            sequence: self.sequence,
        };
        let amount = Coin { denom: self.fee_denom.clone(), amount: self.fee.to_string() };
        let fee = Fee { amount: vec![amount], gas_limit: self.gas_limit, ..Fee::default() };
        AuthInfo { signer_infos: vec![signer_info], fee: Some(fee) }.encode_to_vec()
    }

    /// The bytes for a simulation: the signature is there, and empty (wire 10.6, "simulation tx").
    pub(crate) fn for_simulation(&self, signer: &dyn Signer) -> Vec<u8> {
        let (body_bytes, auth_info_bytes) = (self.body_bytes(), self.auth_info_bytes(signer));
        TxRaw { body_bytes, auth_info_bytes, signatures: vec![Vec::new()] }.encode_to_vec()
    }

    /// The signed transaction.
    pub(crate) fn sign(
        &self,
        signer: &dyn Signer,
        chain_id: &str,
        account_number: u64,
    ) -> Result<Signed, SignError> {
        let (body_bytes, auth_info_bytes) = (self.body_bytes(), self.auth_info_bytes(signer));
        let document = SignDoc {
            body_bytes: body_bytes.clone(),
            auth_info_bytes: auth_info_bytes.clone(),
            chain_id: chain_id.to_owned(),
            account_number,
        };
        let signature = signer.sign(&document.encode_to_vec())?;
        let bytes = TxRaw { body_bytes, auth_info_bytes, signatures: vec![signature] }.encode_to_vec();
        let hash = hex::encode_upper(Sha256::digest(&bytes));
        Ok(Signed { bytes, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
    use k256::ecdsa::{Signature, VerifyingKey};
    use lampkeeper_plugin_sdk::protocol::account::{KeyType, SecretKey};
    use lampkeeper_proto::lumera::audit::v1::MsgClaimHealComplete;

    struct Key(SecretKey, String);

    impl Key {
        fn new(key_type: KeyType) -> Self {
            let key = SecretKey::from_bytes(key_type, &[7; 32]).unwrap();
            let account = key.public_key().account();
            Self(key, account)
        }
    }

    impl Signer for Key {
        fn account(&self) -> &str {
            &self.1
        }
        fn public_key(&self) -> Vec<u8> {
            self.0.public_key().to_bytes()
        }
        fn public_key_type_url(&self) -> &str {
            self.0.public_key().key_type().type_url()
        }
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
            Ok(self.0.sign(message).to_vec())
        }
    }

    fn transaction() -> Unsigned {
        let message = MsgClaimHealComplete {
            creator: "lumera1creator".to_owned(),
            heal_op_id: 7,
            ticket_id: "12".to_owned(),
            heal_manifest_hash: "aGFzaA==".to_owned(),
            details: String::new(),
        };
        Unsigned {
            message: Any::from_msg(&message).unwrap(),
            sequence: 5,
            timeout_height: 99,
            gas_limit: 200_000,
            fee: 5000,
            fee_denom: "ulume".to_owned(),
        }
    }

    /// One field of a protobuf message: its number and its content.
    #[derive(Debug, PartialEq)]
    enum Field<'a> {
        Number(u64, u64),
        Bytes(u64, &'a [u8]),
    }

    /// Reads protobuf without any of the code that wrote it.
    fn fields(mut bytes: &[u8]) -> Vec<Field<'_>> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    return value;
                }
                shift += 7;
            }
        }
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            match key & 7 {
                0 => found.push(Field::Number(key >> 3, varint(&mut bytes))),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)).unwrap();
                    found.push(Field::Bytes(key >> 3, &bytes[..length]));
                    bytes = &bytes[length..];
                }
                other => panic!("wire type {other}"),
            }
        }
        found
    }

    fn content<'a>(field: &Field<'a>) -> &'a [u8] {
        match field {
            Field::Bytes(_, bytes) => bytes,
            Field::Number(..) => panic!("a number"),
        }
    }

    #[test]
    fn a_signed_transaction_has_the_layout_of_the_protocol_and_verifies_independently() {
        for key_type in [KeyType::Secp256k1, KeyType::EthSecp256k1] {
            let key = Key::new(key_type);
            let signed = transaction().sign(&key, "lumera-testnet-2", 42).unwrap();
            // TxRaw: 1 body, 2 auth info, 3 signature.
            let raw = fields(&signed.bytes);
            let [body, auth_info, signature] = &raw[..] else { panic!("{raw:?}") };
            // TxBody: 1 message, 3 timeout height, and no memo.
            let body_fields = fields(content(body));
            assert_eq!(body_fields.len(), 2);
            assert_eq!(body_fields[1], Field::Number(3, 99));
            let any = fields(content(&body_fields[0]));
            assert_eq!(any[0], Field::Bytes(1, b"/lumera.audit.v1.MsgClaimHealComplete"));
            // AuthInfo: 1 signer info {1 key, 2 mode, 3 sequence}, 2 fee {1 coin, 2 gas}.
            let auth_fields = fields(content(auth_info));
            let info = fields(content(&auth_fields[0]));
            let public_key = fields(content(&info[0]));
            assert_eq!(public_key[0], Field::Bytes(1, key_type.type_url().as_bytes()));
            let compressed = content(&fields(content(&public_key[1]))[0]);
            assert_eq!(content(&info[1]), [0x0a, 0x02, 0x08, 0x01], "single, direct");
            assert_eq!(info[2], Field::Number(3, 5));
            let fee = fields(content(&auth_fields[1]));
            assert_eq!(fields(content(&fee[0])), [Field::Bytes(1, b"ulume"), Field::Bytes(2, b"5000")]);
            assert_eq!(fee[1], Field::Number(2, 200_000));

            // SignDoc by hand: 1 body, 2 auth info, 3 chain id, 4 account number.
            let mut document = Vec::new();
            for (tag, part) in
                [(0x0a, content(body)), (0x12, content(auth_info)), (0x1a, b"lumera-testnet-2")]
            {
                document.push(tag);
                prost::encoding::encode_varint(part.len() as u64, &mut document);
                document.extend_from_slice(part);
            }
            document.extend_from_slice(&[0x20, 42]);
            let digest: [u8; 32] = match key_type {
                KeyType::Secp256k1 => Sha256::digest(&document).into(),
                KeyType::EthSecp256k1 => sha3::Keccak256::digest(&document).into(),
            };
            let verifier = VerifyingKey::from_sec1_bytes(compressed).unwrap();
            let signature = Signature::from_slice(content(signature)).unwrap();
            verifier.verify_prehash(&digest, &signature).unwrap();
            assert_eq!(signature.normalize_s(), signature, "the lower half of the order");
            assert_eq!(signed.hash, hex::encode_upper(Sha256::digest(&signed.bytes)));
        }
    }

    #[test]
    fn everything_signed_changes_the_signature() {
        let key = Key::new(KeyType::Secp256k1);
        let hash =
            |unsigned: Unsigned, chain_id: &str, number| unsigned.sign(&key, chain_id, number).unwrap().hash;
        let mut hashes = std::collections::BTreeSet::from([
            hash(transaction(), "a", 1),
            hash(transaction(), "b", 1),
            hash(transaction(), "a", 2),
            hash(Unsigned { sequence: 6, ..transaction() }, "a", 1),
            hash(Unsigned { timeout_height: 98, ..transaction() }, "a", 1),
            hash(Unsigned { gas_limit: 1, ..transaction() }, "a", 1),
            hash(Unsigned { fee: 1, ..transaction() }, "a", 1),
        ]);
        assert_eq!(hashes.len(), 7);
        assert!(!hashes.insert(hash(transaction(), "a", 1)), "signing is deterministic");
    }

    #[test]
    fn a_simulation_has_an_empty_signature() {
        let key = Key::new(KeyType::Secp256k1);
        let bytes = transaction().for_simulation(&key);
        let raw = fields(&bytes);
        assert_eq!(raw[2], Field::Bytes(3, b""));
    }
}
