-- Who looks after connections sees those of other hosts, too, by these.
ALTER TABLE ws_sessions
  ADD COLUMN client_id VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'public name of the connection',
  ADD COLUMN subscription JSON NULL COMMENT 'what it has asked for, as GET /ws/connections tells it',
  ADD KEY ix_ws_sessions_client (client_id);
