-- What a stored session is worth depends on the log it followed, and on how it ended: a cursor of
-- another epoch means nothing, and from a socket that was disconnected on purpose nobody goes on.
-- Rows of before have neither, and are gone on from by nobody: their clients begin anew, once.
ALTER TABLE ws_sessions
  ADD COLUMN epoch VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'what cursor_id is of',
  ADD COLUMN is_over TINYINT UNSIGNED NOT NULL DEFAULT 0 COMMENT '1: disconnected on purpose';
