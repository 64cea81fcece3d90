-- An epoch is of one log only. One that is older than its table has come back with a dump, and what a
-- poller notes of how far it is counts for the epoch it was in.
ALTER TABLE ws_log ADD COLUMN made_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) COMMENT 'the epoch';
ALTER TABLE ws_pollers ADD COLUMN epoch CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '';
UPDATE ws_log SET made_at = NOW(3);
