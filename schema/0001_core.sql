-- Tenants, people, keys, and the event log.

CREATE TABLE tenants (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(64) NOT NULL,
  status ENUM('active','disabled') NOT NULL DEFAULT 'active',
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
  UNIQUE KEY uq_tenants_name (name)
) ENGINE=InnoDB;

CREATE TABLE departments (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  name VARCHAR(64) NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  UNIQUE KEY uq_departments_name (tenant_id, name),
  CONSTRAINT fk_departments_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) ENGINE=InnoDB;

-- Usernames are unique over all tenants, so that a login needs no tenant.
CREATE TABLE users (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  username VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  display_name VARCHAR(128) NOT NULL DEFAULT '',
  password_hash VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'Argon2id, PHC string',
  status ENUM('active','disabled') NOT NULL DEFAULT 'active',
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
  UNIQUE KEY uq_users_username (username),
  KEY ix_users_tenant (tenant_id),
  CONSTRAINT fk_users_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) ENGINE=InnoDB;

-- Roles are the same for all tenants; what a role's holder sees is always of the holder's own tenant.
CREATE TABLE roles (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(64) NOT NULL,
  description VARCHAR(255) NOT NULL DEFAULT '',
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  UNIQUE KEY uq_roles_name (name)
) ENGINE=InnoDB;

CREATE TABLE role_permissions (
  role_id INT UNSIGNED NOT NULL,
  permission VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (role_id, permission),
  CONSTRAINT fk_role_permissions_role FOREIGN KEY (role_id) REFERENCES roles (id) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE user_roles (
  user_id BIGINT UNSIGNED NOT NULL,
  role_id INT UNSIGNED NOT NULL,
  PRIMARY KEY (user_id, role_id),
  KEY ix_user_roles_role (role_id),
  CONSTRAINT fk_user_roles_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
  CONSTRAINT fk_user_roles_role FOREIGN KEY (role_id) REFERENCES roles (id)
) ENGINE=InnoDB;

CREATE TABLE user_departments (
  user_id BIGINT UNSIGNED NOT NULL,
  department_id INT UNSIGNED NOT NULL,
  PRIMARY KEY (user_id, department_id),
  KEY ix_user_departments_department (department_id),
  CONSTRAINT fk_user_departments_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
  CONSTRAINT fk_user_departments_department FOREIGN KEY (department_id) REFERENCES departments (id)
) ENGINE=InnoDB;

-- A refresh token is one of a family that began with a login. Each is used once; a second use
-- revokes the family. Only its hash is stored (BLAKE2b-256 of a random token).
CREATE TABLE refresh_tokens (
  hash BINARY(32) NOT NULL PRIMARY KEY,
  family BINARY(16) NOT NULL,
  user_id BIGINT UNSIGNED NOT NULL,
  access_jti CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'the access token issued with it',
  access_expires_at DATETIME(3) NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  expires_at DATETIME(3) NOT NULL,
  used_at DATETIME(3) NULL,
  revoked_at DATETIME(3) NULL,
  KEY ix_refresh_tokens_family (family),
  KEY ix_refresh_tokens_user (user_id),
  KEY ix_refresh_tokens_expires (expires_at),
  CONSTRAINT fk_refresh_tokens_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE revoked_tokens (
  jti CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  expires_at DATETIME(3) NOT NULL COMMENT 'of the token: the row may go then',
  revoked_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  KEY ix_revoked_tokens_expires (expires_at)
) ENGINE=InnoDB;

CREATE TABLE api_keys (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  name VARCHAR(64) NOT NULL,
  prefix CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'first characters of the key, to tell keys apart',
  hash BINARY(32) NOT NULL COMMENT 'BLAKE2b-256 of the key',
  status ENUM('active','revoked') NOT NULL DEFAULT 'active',
  expires_at DATETIME(3) NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  UNIQUE KEY uq_api_keys_hash (hash),
  UNIQUE KEY uq_api_keys_name (tenant_id, name),
  CONSTRAINT fk_api_keys_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) ENGINE=InnoDB;

CREATE TABLE api_key_scopes (
  api_key_id BIGINT UNSIGNED NOT NULL,
  permission VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (api_key_id, permission),
  CONSTRAINT fk_api_key_scopes_key FOREIGN KEY (api_key_id) REFERENCES api_keys (id) ON DELETE CASCADE
) ENGINE=InnoDB;

-- Failed logins and bad tokens, counted per account and per address in a window.
CREATE TABLE auth_failures (
  kind ENUM('account','address') NOT NULL,
  subject VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  window_ends DATETIME(3) NOT NULL,
  failures INT UNSIGNED NOT NULL DEFAULT 0,
  PRIMARY KEY (kind, subject),
  KEY ix_auth_failures_window (window_ends)
) ENGINE=InnoDB;

-- The durable, ordered log behind everything.
CREATE TABLE ws_events (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  topic VARCHAR(64) NOT NULL,
  event_type ENUM('add','update','delete') NOT NULL,
  payload JSON NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  tenant_id INT UNSIGNED NOT NULL DEFAULT 1,
  room VARCHAR(128) NOT NULL DEFAULT '',
  name VARCHAR(64) NOT NULL DEFAULT '',
  KEY ix_ws_events_topic (topic, id),
  KEY ix_ws_events_created (created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- One row. epoch names this log: a cursor of another log is foreign. Ids up to floor may be gone;
-- pruning raises it, and commits that, before it deletes.
CREATE TABLE ws_log (
  one TINYINT UNSIGNED NOT NULL DEFAULT 1 PRIMARY KEY CHECK (one = 1),
  epoch CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  floor BIGINT UNSIGNED NOT NULL DEFAULT 0
) ENGINE=InnoDB;
INSERT INTO ws_log (epoch) VALUES (LOWER(HEX(RANDOM_BYTES(16))));

-- How far each poller has released: where it goes on after a restart.
CREATE TABLE ws_pollers (
  node_id SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
  tail BIGINT UNSIGNED NOT NULL,
  seen_at DATETIME(3) NOT NULL
) ENGINE=InnoDB;

CREATE TABLE idempotency_keys (
  tenant_id INT UNSIGNED NOT NULL,
  subject VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'u:<user id> or k:<api key id>',
  idem_key VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  request_hash BINARY(32) NOT NULL COMMENT 'BLAKE2b-256 of method, path and body',
  status SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  response MEDIUMTEXT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (tenant_id, subject, idem_key),
  KEY ix_idempotency_created (created_at)
) ENGINE=InnoDB;

CREATE TABLE audit_log (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  subject VARCHAR(96) NOT NULL COMMENT 'user:<name>, apikey:<name>, cmdbctl:<os user>',
  action VARCHAR(64) NOT NULL,
  target VARCHAR(255) NOT NULL DEFAULT '',
  request_id VARCHAR(64) NOT NULL DEFAULT '',
  address VARCHAR(64) NOT NULL DEFAULT '',
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  KEY ix_audit_log_created (created_at),
  KEY ix_audit_log_tenant (tenant_id, id)
) ENGINE=InnoDB;

INSERT INTO tenants (id, name) VALUES (1, 'default');
INSERT INTO roles (id, name, description) VALUES
  (1, 'admin',  'everything'),
  (2, 'editor', 'reads and changes the inventory'),
  (3, 'viewer', 'reads the inventory');
INSERT INTO role_permissions (role_id, permission) VALUES
  (1, '*'),
  (2, 'websites:*'), (2, 'line-groups:*'), (2, 'origin-groups:*'), (2, 'origin-sets:*'),
  (2, 'cache-rules:*'), (2, 'domains:*'), (2, 'nodes:*'),
  (3, 'websites:read'), (3, 'line-groups:read'), (3, 'origin-groups:read'), (3, 'origin-sets:read'),
  (3, 'cache-rules:read'), (3, 'domains:read'), (3, 'nodes:read');
