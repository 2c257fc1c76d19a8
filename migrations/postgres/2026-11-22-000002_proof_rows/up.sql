-- Rows of proof that wait for their epoch's report (wire 3.10), with the columns of wire 2.6, `StorageProofResult`.

CREATE TABLE proof_rows (
    -- A number is never given again after its row was reported and deleted.
    sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch_id BIGINT NOT NULL,
    target_account TEXT NOT NULL,
    challenger_account TEXT NOT NULL,
    ticket_id TEXT NOT NULL,
    bucket_type INTEGER NOT NULL,
    artifact_class INTEGER NOT NULL,
    artifact_ordinal BIGINT NOT NULL,
    artifact_key TEXT NOT NULL,
    result_class INTEGER NOT NULL,
    transcript_hash TEXT NOT NULL,
    details TEXT NOT NULL,
    artifact_count BIGINT NOT NULL,
    derivation_input_hash TEXT NOT NULL,
    challenger_signature TEXT NOT NULL,
    -- A JSON list of texts; never filled by today's challengers.
    observer_attestation_signatures TEXT NOT NULL
);

CREATE INDEX idx_proof_rows_epoch ON proof_rows (epoch_id, sequence);
