-- What devices log. Of one tenant's rows the ids rise in the order of arrival; the times are what
-- the devices say.
CREATE TABLE logs (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  device_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  level TINYINT UNSIGNED NOT NULL COMMENT '1 DEBUG, 2 INFO, 3 WARN, 4 ERROR, 5 FATAL',
  logged_at DATETIME(3) NOT NULL COMMENT 'as the device says',
  received_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  message MEDIUMTEXT NOT NULL,
  tags JSON COMMENT 'an array of texts; NULL: none',
  source VARCHAR(255),
  meta JSON COMMENT 'an object',
  KEY ix_logs_device (tenant_id, device_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- A device is there from its first line or heartbeat on. last_seen_at may lag behind its lines by
-- a few seconds: the newest line of a device says when it came.
CREATE TABLE devices (
  tenant_id INT UNSIGNED NOT NULL,
  device_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  is_online BOOLEAN NOT NULL,
  status VARCHAR(64) NOT NULL DEFAULT '' COMMENT 'as the device says of itself',
  first_seen_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  last_seen_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (tenant_id, device_id),
  KEY ix_devices_seen (is_online, last_seen_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- How many lines came of a device in a minute. Who counts has a shard, so that two requests for one
-- device do not wait for each other.
CREATE TABLE log_counts (
  tenant_id INT UNSIGNED NOT NULL,
  device_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  minute INT UNSIGNED NOT NULL COMMENT 'since 1970',
  shard SMALLINT UNSIGNED NOT NULL,
  lines_n INT UNSIGNED NOT NULL,
  PRIMARY KEY (tenant_id, device_id, minute, shard),
  KEY ix_log_counts_minute (minute)
) ENGINE=InnoDB;

-- Devices of which nothing comes any more go offline.
INSERT INTO ws_chores (name, ran_at, node_id) VALUES ('offline', '1970-01-02 00:00:00', 0);
