-- What cmdb-fcgi writes to find out whether it can: a row for each host, seconds apart at least and
-- only while somebody asks.
CREATE TABLE ws_health (
  node_id SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
  written_at DATETIME(3) NOT NULL
) ENGINE=InnoDB;
