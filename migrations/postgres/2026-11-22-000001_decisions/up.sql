-- What the node has decided and may have submitted, after wire 8.1. Times are seconds since 1970.
-- Keys are ordered byte by byte, whatever the language of the database.

CREATE TABLE journal_info (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE heal_claims_submitted (
    heal_op_id BIGINT NOT NULL PRIMARY KEY,
    ticket_id TEXT COLLATE "C" NOT NULL,
    manifest_hash TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'submitted')),
    recorded_at_s BIGINT NOT NULL
);

CREATE TABLE heal_verifications_submitted (
    heal_op_id BIGINT NOT NULL,
    verifier_account TEXT COLLATE "C" NOT NULL,
    verified BOOLEAN NOT NULL,
    verification_hash TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'submitted')),
    recorded_at_s BIGINT NOT NULL,
    PRIMARY KEY (heal_op_id, verifier_account)
);

CREATE TABLE storage_recheck_submissions (
    epoch_id BIGINT NOT NULL,
    ticket_id TEXT COLLATE "C" NOT NULL,
    target_account TEXT NOT NULL,
    challenged_transcript_hash TEXT NOT NULL,
    recheck_transcript_hash TEXT NOT NULL,
    result_class INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'submitted')),
    recorded_at_s BIGINT NOT NULL,
    PRIMARY KEY (epoch_id, ticket_id)
);

CREATE TABLE recheck_attempt_failures (
    epoch_id BIGINT NOT NULL,
    ticket_id TEXT COLLATE "C" NOT NULL,
    target_account TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    last_error TEXT NOT NULL,
    expires_at_s BIGINT NOT NULL,
    PRIMARY KEY (epoch_id, ticket_id)
);

CREATE INDEX idx_recheck_attempt_failures_expires_at ON recheck_attempt_failures (expires_at_s);

CREATE TABLE storage_challenge_state (
    state_key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    epoch_id BIGINT NOT NULL,
    updated_at_s BIGINT NOT NULL
);
