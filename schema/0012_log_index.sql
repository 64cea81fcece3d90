-- The index of logs, which cmdb-poller makes behind the lines (lib/log_index.h). Empty tables, or a
-- version that is not the program's, are an index that is still to be made: nothing is missed.
CREATE TABLE log_index (
  version SMALLINT UNSIGNED NOT NULL COMMENT '0: nothing is made',
  next_block BIGINT UNSIGNED NOT NULL COMMENT 'blocks below are in it; a block is 512 ids',
  next_super BIGINT UNSIGNED NOT NULL COMMENT 'superblocks below are turned; one is 512 blocks',
  last_id BIGINT UNSIGNED NOT NULL COMMENT 'the last line that is in it, and when it came: if that',
  last_ms BIGINT NOT NULL COMMENT 'is not so, the index is of other lines'
) ENGINE=InnoDB;
INSERT INTO log_index (version, next_block, next_super, last_id, last_ms) VALUES (0, 0, 0, 0, 0);

CREATE TABLE log_blocks (
  block BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  is_open BOOLEAN NOT NULL COMMENT 'it has gaps that may still be filled: to be looked at always',
  lines_n SMALLINT UNSIGNED NOT NULL COMMENT 'when it was made',
  from_ms BIGINT NOT NULL COMMENT 'the first and last timestamp of its lines',
  to_ms BIGINT NOT NULL,
  signature MEDIUMBLOB COMMENT 'NULL: it is open, or in the pages of its superblock',
  KEY ix_log_blocks_open (is_open, block)
) ENGINE=InnoDB;

CREATE TABLE log_supers (
  super BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  from_ms BIGINT NOT NULL,
  to_ms BIGINT NOT NULL
) ENGINE=InnoDB;

CREATE TABLE log_pages (
  super BIGINT UNSIGNED NOT NULL,
  page SMALLINT UNSIGNED NOT NULL,
  bits VARBINARY(4096) NOT NULL,
  PRIMARY KEY (super, page)
) ENGINE=InnoDB;
INSERT INTO ws_chores (name, ran_at, node_id) VALUES ('log_index', '1970-01-02 00:00:00', 0);
