//! The tables as diesel sees them; the steps in `sqlite/` and `postgres/` make them. Nothing here is particular to one
//! database.

diesel::table! {
    journal_info (name) {
        name -> Text,
        value -> Text,
    }
}

diesel::table! {
    heal_claims_submitted (heal_op_id) {
        heal_op_id -> BigInt,
        ticket_id -> Text,
        manifest_hash -> Text,
        status -> Text,
        recorded_at_s -> BigInt,
    }
}

diesel::table! {
    heal_verifications_submitted (heal_op_id, verifier_account) {
        heal_op_id -> BigInt,
        verifier_account -> Text,
        verified -> Bool,
        verification_hash -> Text,
        status -> Text,
        recorded_at_s -> BigInt,
    }
}

diesel::table! {
    storage_recheck_submissions (epoch_id, ticket_id) {
        epoch_id -> BigInt,
        ticket_id -> Text,
        target_account -> Text,
        challenged_transcript_hash -> Text,
        recheck_transcript_hash -> Text,
        result_class -> Integer,
        status -> Text,
        recorded_at_s -> BigInt,
    }
}

diesel::table! {
    recheck_attempt_failures (epoch_id, ticket_id) {
        epoch_id -> BigInt,
        ticket_id -> Text,
        target_account -> Text,
        attempts -> BigInt,
        last_error -> Text,
        expires_at_s -> BigInt,
    }
}

diesel::table! {
    storage_challenge_state (state_key) {
        state_key -> Text,
        epoch_id -> BigInt,
        updated_at_s -> BigInt,
    }
}

diesel::table! {
    proof_rows (sequence) {
        sequence -> BigInt,
        epoch_id -> BigInt,
        target_account -> Text,
        challenger_account -> Text,
        ticket_id -> Text,
        bucket_type -> Integer,
        artifact_class -> Integer,
        artifact_ordinal -> BigInt,
        artifact_key -> Text,
        result_class -> Integer,
        transcript_hash -> Text,
        details -> Text,
        artifact_count -> BigInt,
        derivation_input_hash -> Text,
        challenger_signature -> Text,
        observer_attestation_signatures -> Text,
    }
}

diesel::table! {
    challenge_history (challenge_number) {
        challenge_number -> BigInt,
        epoch_id -> BigInt,
        target_account -> Text,
        ticket_id -> Text,
        bucket_type -> Integer,
        artifact_class -> Integer,
        artifact_key -> Text,
        ended -> Text,
        result_class -> Integer,
        transcript_hash -> Text,
        details -> Text,
        proof -> Text,
        proof_bytes -> BigInt,
        attempts -> BigInt,
        duration_ms -> BigInt,
        ended_at_s -> BigInt,
        evidence_id -> Nullable<Text>,
        is_reported -> Bool,
    }
}

diesel::table! {
    evidence (evidence_number) {
        evidence_number -> BigInt,
        evidence_id -> Text,
        epoch_id -> BigInt,
        target_account -> Text,
        observation -> Text,
        is_proven -> Bool,
        recorded_at_s -> BigInt,
        len_bytes -> BigInt,
        record -> Text,
    }
}
