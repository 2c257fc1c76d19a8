DROP TABLE evidence;
DROP TABLE challenge_history;
