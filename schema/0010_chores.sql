-- What pollers do by themselves, each thing on one host at a time: whoever moves ran_at on does it.
CREATE TABLE ws_chores (
  name VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  ran_at DATETIME(3) NOT NULL,
  node_id SMALLINT UNSIGNED NOT NULL COMMENT 'of the poller that did it last'
) ENGINE=InnoDB;
INSERT INTO ws_chores (name, ran_at, node_id) VALUES ('expired', '1970-01-02 00:00:00', 0);
