DROP TABLE proof_rows;
