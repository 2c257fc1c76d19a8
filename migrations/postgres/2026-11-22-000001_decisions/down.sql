DROP TABLE storage_challenge_state;
DROP TABLE recheck_attempt_failures;
DROP TABLE storage_recheck_submissions;
DROP TABLE heal_verifications_submitted;
DROP TABLE heal_claims_submitted;
DROP TABLE journal_info;
