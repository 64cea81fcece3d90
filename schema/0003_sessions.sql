-- Socket.IO sessions, as the pollers that own them have written them behind: for other hosts, for
-- reboots and for connection state recovery. The truth about a live session is its poller's.
--
-- Neither a sid nor a private id is here, only a hash that finds the row of one: who reads the
-- table cannot take over a session. A session that recovered another's state has that one's pid:
-- of several rows with a pid, the one that connected last counts, and a late write of an older one
-- fails on nothing.
CREATE TABLE ws_sessions (
  id BINARY(16) NOT NULL PRIMARY KEY COMMENT 'BLAKE2b-128 of the sid',
  pid BINARY(16) NULL COMMENT 'BLAKE2b-128 of the private id',
  socket_id VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'public id of the socket in namespace /',
  node_id SMALLINT UNSIGNED NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  user_id BIGINT UNSIGNED NOT NULL COMMENT '0: an API key',
  api_key_id BIGINT UNSIGNED NOT NULL COMMENT '0: a user',
  username VARCHAR(96) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  jti CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'of the access token',
  token_expires_at DATETIME(3) NULL,
  cursor_id BIGINT UNSIGNED NOT NULL COMMENT 'events up to here have been acknowledged',
  topics VARCHAR(1024) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'asked for with request:<topic>, joined by commas',
  address VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  connected_at DATETIME(3) NOT NULL,
  seen_at DATETIME(3) NOT NULL,
  ended_at DATETIME(3) NULL,
  record MEDIUMBLOB NOT NULL COMMENT 'the session as the poller serialises it',
  KEY ix_ws_sessions_pid (pid, connected_at),
  KEY ix_ws_sessions_node (node_id, ended_at),
  KEY ix_ws_sessions_user (user_id),
  KEY ix_ws_sessions_ended (ended_at)
) ENGINE=InnoDB;
