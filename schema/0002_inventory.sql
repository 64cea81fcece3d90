-- The inventory. Every row belongs to a tenant, and a reference carries the tenant with it, so no
-- row can name another tenant's. The keys for that, (tenant_id, id), are plain ones, so that
-- whoever locks a row finds it by the primary key: two ways to it would be a way to a deadlock.
-- `version` starts at 1 and counts the row's own changes. Names sort and compare without regard to
-- case; host names and addresses are stored in canonical ASCII.

CREATE TABLE line_groups (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  name VARCHAR(64) NOT NULL,
  description VARCHAR(500) NOT NULL DEFAULT '',
  version INT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  KEY ix_line_groups_id (tenant_id, id),
  UNIQUE KEY uq_line_groups_name (tenant_id, name),
  CONSTRAINT fk_line_groups_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_as_ci;

CREATE TABLE origin_groups (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  name VARCHAR(64) NOT NULL,
  description VARCHAR(500) NOT NULL DEFAULT '',
  load_balance ENUM('round_robin','weighted','least_conn','ip_hash') NOT NULL DEFAULT 'round_robin',
  version INT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  KEY ix_origin_groups_id (tenant_id, id),
  UNIQUE KEY uq_origin_groups_name (tenant_id, name),
  CONSTRAINT fk_origin_groups_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_as_ci;

CREATE TABLE origin_addresses (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  origin_group_id BIGINT UNSIGNED NOT NULL,
  position SMALLINT UNSIGNED NOT NULL,
  address VARCHAR(253) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'host name or IP',
  port SMALLINT UNSIGNED NOT NULL,
  weight SMALLINT UNSIGNED NOT NULL DEFAULT 1,
  is_backup TINYINT(1) NOT NULL DEFAULT 0,
  UNIQUE KEY uq_origin_addresses_address (tenant_id, origin_group_id, address, port),
  CONSTRAINT fk_origin_addresses_group FOREIGN KEY (tenant_id, origin_group_id)
    REFERENCES origin_groups (tenant_id, id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_as_ci;

CREATE TABLE origin_sets (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  name VARCHAR(64) NOT NULL,
  description VARCHAR(500) NOT NULL DEFAULT '',
  host_header VARCHAR(253) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'NULL: as asked for',
  protocol ENUM('http','https','follow') NOT NULL DEFAULT 'follow',
  version INT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  KEY ix_origin_sets_id (tenant_id, id),
  UNIQUE KEY uq_origin_sets_name (tenant_id, name),
  CONSTRAINT fk_origin_sets_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_as_ci;

-- The origin groups of a set, tried in order of position.
CREATE TABLE origin_set_groups (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  origin_set_id BIGINT UNSIGNED NOT NULL,
  position SMALLINT UNSIGNED NOT NULL,
  origin_group_id BIGINT UNSIGNED NOT NULL,
  UNIQUE KEY uq_origin_set_groups_group (tenant_id, origin_set_id, origin_group_id),
  KEY ix_origin_set_groups_group (tenant_id, origin_group_id),
  CONSTRAINT fk_origin_set_groups_set FOREIGN KEY (tenant_id, origin_set_id)
    REFERENCES origin_sets (tenant_id, id) ON DELETE CASCADE,
  CONSTRAINT fk_origin_set_groups_group FOREIGN KEY (tenant_id, origin_group_id)
    REFERENCES origin_groups (tenant_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_as_ci;

CREATE TABLE cache_rules (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  name VARCHAR(64) NOT NULL,
  path_pattern VARCHAR(500) NOT NULL,
  ttl_seconds INT UNSIGNED NOT NULL,
  ignore_query TINYINT(1) NOT NULL DEFAULT 0,
  priority SMALLINT UNSIGNED NOT NULL DEFAULT 100,
  status ENUM('active','inactive') NOT NULL DEFAULT 'active',
  version INT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  KEY ix_cache_rules_id (tenant_id, id),
  UNIQUE KEY uq_cache_rules_name (tenant_id, name),
  CONSTRAINT fk_cache_rules_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_as_ci;

-- Which of the nullable columns are set follows from origin_mode.
CREATE TABLE websites (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  line_group_id BIGINT UNSIGNED NULL,
  cache_rule_id BIGINT UNSIGNED NULL,
  origin_mode ENUM('group','manual','redirect') NOT NULL,
  origin_group_id BIGINT UNSIGNED NULL COMMENT 'mode group',
  origin_set_id BIGINT UNSIGNED NULL COMMENT 'mode manual',
  redirect_url VARCHAR(2048) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'mode redirect',
  redirect_status_code SMALLINT UNSIGNED NULL COMMENT 'mode redirect',
  status ENUM('active','inactive') NOT NULL DEFAULT 'active',
  https_enabled TINYINT(1) NOT NULL DEFAULT 0,
  version INT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  KEY ix_websites_id (tenant_id, id),
  KEY ix_websites_line_group (tenant_id, line_group_id),
  KEY ix_websites_cache_rule (tenant_id, cache_rule_id),
  KEY ix_websites_origin_group (tenant_id, origin_group_id),
  KEY ix_websites_origin_set (tenant_id, origin_set_id),
  KEY ix_websites_status (tenant_id, status),
  KEY ix_websites_created (tenant_id, created_at),
  KEY ix_websites_updated (tenant_id, updated_at),
  CONSTRAINT fk_websites_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id),
  CONSTRAINT fk_websites_line_group FOREIGN KEY (tenant_id, line_group_id)
    REFERENCES line_groups (tenant_id, id),
  CONSTRAINT fk_websites_cache_rule FOREIGN KEY (tenant_id, cache_rule_id)
    REFERENCES cache_rules (tenant_id, id),
  CONSTRAINT fk_websites_origin_group FOREIGN KEY (tenant_id, origin_group_id)
    REFERENCES origin_groups (tenant_id, id),
  CONSTRAINT fk_websites_origin_set FOREIGN KEY (tenant_id, origin_set_id)
    REFERENCES origin_sets (tenant_id, id),
  CONSTRAINT ck_websites_origin CHECK (
    (origin_mode = 'group') = (origin_group_id IS NOT NULL)
    AND (origin_mode = 'manual') = (origin_set_id IS NOT NULL)
    AND (origin_mode = 'redirect') = (redirect_url IS NOT NULL)
    AND (origin_mode = 'redirect') = (redirect_status_code IS NOT NULL))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_as_ci;

-- A website's names, its main one first. One added on its own goes last.
CREATE TABLE domains (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  website_id BIGINT UNSIGNED NOT NULL,
  position SMALLINT UNSIGNED NOT NULL DEFAULT 65535,
  name VARCHAR(253) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'A-labels',
  version INT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  KEY ix_domains_id (tenant_id, id),
  UNIQUE KEY uq_domains_name (tenant_id, name),
  KEY ix_domains_website (tenant_id, website_id, position),
  CONSTRAINT fk_domains_website FOREIGN KEY (tenant_id, website_id)
    REFERENCES websites (tenant_id, id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_as_ci;

CREATE TABLE nodes (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  name VARCHAR(64) NOT NULL,
  address VARCHAR(45) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'IPv4 or IPv6',
  port SMALLINT UNSIGNED NOT NULL DEFAULT 80,
  line_group_id BIGINT UNSIGNED NULL,
  region VARCHAR(64) NOT NULL DEFAULT '',
  status ENUM('online','offline','maintenance') NOT NULL DEFAULT 'offline',
  version INT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  KEY ix_nodes_id (tenant_id, id),
  UNIQUE KEY uq_nodes_name (tenant_id, name),
  KEY ix_nodes_line_group (tenant_id, line_group_id),
  CONSTRAINT fk_nodes_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id),
  CONSTRAINT fk_nodes_line_group FOREIGN KEY (tenant_id, line_group_id)
    REFERENCES line_groups (tenant_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_as_ci;
