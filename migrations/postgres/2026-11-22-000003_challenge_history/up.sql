-- What this node's challenges came to, and the evidence of those that failed; both are bounded and decide nothing.

CREATE TABLE challenge_history (
    -- A number is never given again after its row was forgotten.
    challenge_number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch_id BIGINT NOT NULL,
    target_account TEXT NOT NULL,
    ticket_id TEXT NOT NULL,
    bucket_type INTEGER NOT NULL,
    artifact_class INTEGER NOT NULL,
    artifact_key TEXT NOT NULL,
    -- An observation, or `not_eligible` or `undecided`.
    ended TEXT NOT NULL,
    result_class INTEGER NOT NULL,
    transcript_hash TEXT NOT NULL,
    details TEXT NOT NULL,
    proof TEXT NOT NULL,
    proof_bytes BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    ended_at_s BIGINT NOT NULL,
    evidence_id TEXT,
    is_reported BOOLEAN NOT NULL
);

CREATE INDEX idx_challenge_history_epoch ON challenge_history (epoch_id, challenge_number);
CREATE INDEX idx_challenge_history_target ON challenge_history (target_account, challenge_number);

CREATE TABLE evidence (
    evidence_number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    evidence_id TEXT NOT NULL UNIQUE,
    epoch_id BIGINT NOT NULL,
    target_account TEXT NOT NULL,
    observation TEXT NOT NULL,
    is_proven BOOLEAN NOT NULL,
    recorded_at_s BIGINT NOT NULL,
    len_bytes BIGINT NOT NULL,
    -- JSON; its format is its own, see docs/evidence.md.
    record TEXT NOT NULL
);
