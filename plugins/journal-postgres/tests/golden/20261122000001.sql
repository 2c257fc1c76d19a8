-- A journal as the first step of the migrations left it, with a row in each table. Never changed; a newer version has
-- to read it.
CREATE TABLE __diesel_schema_migrations (
    version VARCHAR(50) PRIMARY KEY NOT NULL,
    run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO __diesel_schema_migrations (version) VALUES ('20261122000001');
CREATE TABLE journal_info (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
INSERT INTO journal_info VALUES ('written_by', '0.0.9');
CREATE TABLE heal_claims_submitted (
    heal_op_id BIGINT NOT NULL PRIMARY KEY,
    ticket_id TEXT COLLATE "C" NOT NULL,
    manifest_hash TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'submitted')),
    recorded_at_s BIGINT NOT NULL
);
INSERT INTO heal_claims_submitted VALUES (3, '7', 'aGFzaA==', 'pending', 1750000000);
CREATE TABLE heal_verifications_submitted (
    heal_op_id BIGINT NOT NULL,
    verifier_account TEXT COLLATE "C" NOT NULL,
    verified BOOLEAN NOT NULL,
    verification_hash TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'submitted')),
    recorded_at_s BIGINT NOT NULL,
    PRIMARY KEY (heal_op_id, verifier_account)
);
INSERT INTO heal_verifications_submitted VALUES (4, 'lumera1alice', true, 'aGFzaA==', 'submitted', 1750000001);
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
INSERT INTO storage_recheck_submissions VALUES (5, '7', 'lumera1bob', 'aa', 'bb', 7, 'submitted', 1750000002);
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
INSERT INTO recheck_attempt_failures VALUES (6, '7', 'lumera1bob', 2, 'no answer', 1750000600);
CREATE TABLE storage_challenge_state (
    state_key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    epoch_id BIGINT NOT NULL,
    updated_at_s BIGINT NOT NULL
);
INSERT INTO storage_challenge_state VALUES ('dispatched', 8, 1750000003);
