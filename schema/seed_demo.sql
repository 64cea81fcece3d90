-- Demo data for the default tenant: an inventory that looks like a small CDN's. Only names and
-- addresses set aside for examples (RFC 2606, 3849, 5737). Run again it adds what is
-- missing. It publishes no events: it is meant for a database that nobody reads yet.

INSERT IGNORE INTO line_groups (tenant_id, name, description, created_at, updated_at)
SELECT 1, g.name, g.description, @at := TIMESTAMP('2025-02-03 08:00:00') + INTERVAL g.n HOUR, @at
FROM JSON_TABLE('[
  ["Global Anycast", "All points of presence, nearest wins"],
  ["Europe West", "Frankfurt, Amsterdam, London"],
  ["Europe North", "Stockholm, Helsinki"],
  ["North America East", "Ashburn, Toronto"],
  ["North America West", "San Jose, Seattle"],
  ["Asia Pacific", "Singapore, Tokyo, Sydney"]
]', '$[*]' COLUMNS (n FOR ORDINALITY, name VARCHAR(64) PATH '$[0]',
  description VARCHAR(500) PATH '$[1]')) g;

INSERT IGNORE INTO cache_rules
  (tenant_id, name, path_pattern, ttl_seconds, ignore_query, priority, status,
  created_at, updated_at)
SELECT 1, r.name, r.path, r.ttl, r.iq, r.priority, r.status,
  @at := TIMESTAMP('2025-02-10 09:00:00') + INTERVAL r.n HOUR, @at
FROM JSON_TABLE('[
  ["Static assets", "/static/*", 604800, 1, 10, "active"],
  ["Images", "*.webp", 2592000, 1, 20, "active"],
  ["Video segments", "/media/*.m4s", 86400, 1, 30, "active"],
  ["Storefront pages", "/*", 60, 0, 900, "active"],
  ["News pages", "/news/*", 30, 0, 200, "active"],
  ["API, never", "/api/*", 0, 0, 1, "active"],
  ["Downloads", "/download/*", 2592000, 1, 40, "active"],
  ["Documentation", "/docs/*", 3600, 1, 100, "active"],
  ["Fonts", "*.woff2", 31536000, 1, 15, "active"],
  ["Spring campaign", "/spring/*", 300, 0, 50, "inactive"]
]', '$[*]' COLUMNS (n FOR ORDINALITY, name VARCHAR(64) PATH '$[0]', path VARCHAR(500) PATH '$[1]',
  ttl INT PATH '$[2]', iq INT PATH '$[3]', priority INT PATH '$[4]',
  status VARCHAR(16) PATH '$[5]')) r;

-- Five places with four kinds of origin each.
INSERT IGNORE INTO origin_groups
  (tenant_id, name, description, load_balance, created_at, updated_at)
SELECT 1, CONCAT(p.place, '-', k.kind), CONCAT(k.description, ' in ', p.city), k.balance,
  @at := TIMESTAMP('2025-02-17 10:00:00') + INTERVAL p.n * 4 + k.n HOUR, @at
FROM JSON_TABLE('[["fra", "Frankfurt"], ["ams", "Amsterdam"], ["iad", "Ashburn"],
  ["sjc", "San Jose"], ["sin", "Singapore"]]',
  '$[*]' COLUMNS (n FOR ORDINALITY, place VARCHAR(8) PATH '$[0]', city VARCHAR(32) PATH '$[1]')) p
JOIN JSON_TABLE('[["web", "Web servers", "round_robin"], ["api", "API gateways", "least_conn"],
  ["media", "Media storage", "ip_hash"], ["legacy", "Old platform", "weighted"]]',
  '$[*]' COLUMNS (n FOR ORDINALITY, kind VARCHAR(8) PATH '$[0]',
  description VARCHAR(32) PATH '$[1]', balance VARCHAR(16) PATH '$[2]')) k
ORDER BY p.n, k.n;

-- Two IPv4 origins each; media storage has an IPv6 one besides, the others a backup by name.
INSERT IGNORE INTO origin_addresses
  (tenant_id, origin_group_id, position, address, port, weight, is_backup)
SELECT 1, g.id, a.n,
  CASE WHEN a.n < 2
    THEN CONCAT(IF(g.name LIKE '%-legacy', '198.51.100.', '192.0.2.'), g.k * 4 + a.n)
    WHEN g.name LIKE '%-media' THEN CONCAT('2001:db8:', g.k, '::10')
    ELSE CONCAT('backup.', REPLACE(g.name, '-', '.'), '.example.net') END,
  IF(g.name LIKE '%-api', 8443, IF(g.name LIKE '%-legacy', 8080, 443)),
  IF(g.name LIKE '%-legacy', 10 DIV (1 + a.n), 1), a.n = 2 AND g.name NOT LIKE '%-media'
FROM (SELECT id, name, ROW_NUMBER() OVER (ORDER BY id) AS k FROM origin_groups
  WHERE tenant_id = 1 AND name REGEXP '^(fra|ams|iad|sjc|sin)-(web|api|media|legacy)$') g
JOIN (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2) a
WHERE NOT EXISTS (SELECT 1 FROM origin_addresses x
  WHERE x.tenant_id = 1 AND x.origin_group_id = g.id);

INSERT IGNORE INTO origin_sets
  (tenant_id, name, description, host_header, protocol, created_at, updated_at)
SELECT 1, s.name, s.description, s.host, s.protocol,
  @at := TIMESTAMP('2025-03-03 11:00:00') + INTERVAL s.n HOUR, @at
FROM JSON_TABLE('[
  ["Storefront Europe", "Shops, Europe first", null, "https"],
  ["Storefront America", "Shops, America first", null, "https"],
  ["Storefront Asia", "Shops, Asia first", null, "https"],
  ["Media library", "Films and pictures", "media.example.net", "follow"],
  ["Public API", "Partners", "api.example.net", "https"],
  ["Old platform", "To be switched off", "legacy.example.net", "http"]
]', '$[*]' COLUMNS (n FOR ORDINALITY, name VARCHAR(64) PATH '$[0]',
  description VARCHAR(500) PATH '$[1]',
  host VARCHAR(253) PATH '$[2]' NULL ON EMPTY, protocol VARCHAR(8) PATH '$[3]')) s;

INSERT IGNORE INTO origin_set_groups (tenant_id, origin_set_id, position, origin_group_id)
SELECT 1, s.id, m.n, g.id
FROM JSON_TABLE('[
  ["Storefront Europe", "fra-web"], ["Storefront Europe", "ams-web"],
  ["Storefront Europe", "iad-web"],
  ["Storefront America", "iad-web"], ["Storefront America", "sjc-web"],
  ["Storefront Asia", "sin-web"], ["Storefront Asia", "sjc-web"],
  ["Media library", "fra-media"], ["Media library", "sin-media"], ["Media library", "iad-media"],
  ["Public API", "fra-api"], ["Public API", "iad-api"], ["Public API", "sin-api"],
  ["Old platform", "fra-legacy"], ["Old platform", "ams-legacy"]
]', '$[*]' COLUMNS (n FOR ORDINALITY,
  set_name VARCHAR(64) COLLATE utf8mb4_uca1400_as_ci PATH '$[0]',
  group_name VARCHAR(64) COLLATE utf8mb4_uca1400_as_ci PATH '$[1]')) m
JOIN origin_sets s ON s.tenant_id = 1 AND s.name = m.set_name
JOIN origin_groups g ON g.tenant_id = 1 AND g.name = m.group_name;

-- Four nodes in each of six places.
INSERT IGNORE INTO nodes
  (tenant_id, name, address, port, line_group_id, region, status, created_at, updated_at)
SELECT 1, CONCAT('edge-', p.place, '-0', i.n),
  IF(i.n = 4, CONCAT('2001:db8:e:', p.n, '::1'), CONCAT('203.0.113.', p.n * 16 + i.n)), 443, l.id,
  p.region,
  CASE (p.n * 4 + i.n) MOD 12 WHEN 5 THEN 'maintenance' WHEN 11 THEN 'offline' ELSE 'online' END,
  @at := TIMESTAMP('2025-03-10 12:00:00') + INTERVAL p.n * 4 + i.n HOUR, @at
FROM JSON_TABLE('[["fra", "eu-central", "Europe West"], ["lon", "eu-west", "Europe West"],
  ["arn", "eu-north", "Europe North"], ["iad", "us-east", "North America East"],
  ["sjc", "us-west", "North America West"], ["sin", "ap-southeast", "Asia Pacific"]]',
  '$[*]' COLUMNS (n FOR ORDINALITY, place VARCHAR(8) PATH '$[0]', region VARCHAR(64) PATH '$[1]',
  line_group VARCHAR(64) COLLATE utf8mb4_uca1400_as_ci PATH '$[2]')) p
JOIN (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) i
JOIN line_groups l ON l.tenant_id = 1 AND l.name = p.line_group
ORDER BY p.n, i.n;

-- Fifty companies with four websites each: the main site, the shop, the API and one of others.
CREATE TEMPORARY TABLE seed_sites AS
SELECT (b.n - 1) * 4 + k.n AS n, b.n AS company, k.n AS kind, b.name,
  CONCAT(CASE k.n WHEN 1 THEN '' WHEN 2 THEN 'shop.' WHEN 3 THEN 'api.'
    ELSE ELT(1 + b.n MOD 5, 'docs.', 'media.', 'blog.', 'jobs.', 'old.') END,
    b.name, IF(b.n MOD 7 = 3, '.test', IF(b.n MOD 11 = 5, '.example.com', '.example'))) AS domain
FROM JSON_TABLE('["northwind", "bluepeak", "harborline", "kestrel-air", "maplewood", "ironbridge",
  "silverbirch", "tidewater", "oakhaven", "redrock-mining", "lumen-labs", "fernway", "copperfield",
  "granite-bank", "solstice", "quayside", "juniper-foods", "westmark", "orchard-health",
  "pinecrest", "skylark", "novaterra", "beacon-media", "cedarstone", "driftwood", "eastgate",
  "falconer",
  "glasshouse", "highfield", "indigo-press", "xn--kche-0ra", "larkspur", "meridian-rail",
  "nightingale", "open-harvest", "paperboat", "quarry-works", "riverbend", "saltmarsh", "thornbury",
  "umbra-games",
  "vantage-point", "windmill", "xn--bcherwurm-q9a", "yellowtail", "zephyr-post", "atlas-freight",
  "brightwater", "clover-dairy", "dunes-travel"]',
  '$[*]' COLUMNS (n FOR ORDINALITY, name VARCHAR(63) PATH '$')) b
JOIN (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) k;

DELETE FROM seed_sites WHERE domain IN (SELECT name FROM domains WHERE tenant_id = 1);

SET @last = (SELECT COALESCE(MAX(id), 0) FROM websites);

INSERT INTO websites (id, tenant_id, line_group_id, cache_rule_id, origin_mode, origin_group_id,
  origin_set_id, redirect_url, redirect_status_code, status, https_enabled, created_at, updated_at)
SELECT @last + s.n, 1, l.id, r.id, m.mode, IF(m.mode = 'group', g.id, NULL),
  IF(m.mode = 'manual', o.id, NULL),
  IF(m.mode = 'redirect', CONCAT('https://', SUBSTRING_INDEX(s.domain, '.', -2), '/'), NULL),
  IF(m.mode = 'redirect', 301, NULL), IF(s.n MOD 17 = 9, 'inactive', 'active'), s.n MOD 13 <> 6,
  @at := TIMESTAMP('2025-04-01 07:00:00') + INTERVAL s.n * 29 HOUR,
  @at + INTERVAL s.n * 7 MOD 40 DAY
FROM seed_sites s
JOIN (SELECT n, CASE WHEN kind = 2 THEN 'manual' WHEN kind = 4 AND company MOD 5 = 4 THEN 'redirect'
  ELSE 'group' END AS mode FROM seed_sites) m ON m.n = s.n
LEFT JOIN line_groups l ON l.tenant_id = 1 AND l.name = ELT(1 + s.company MOD 6, 'Global Anycast',
  'Europe West', 'Europe North', 'North America East', 'North America West', 'Asia Pacific')
LEFT JOIN cache_rules r ON r.tenant_id = 1 AND m.mode <> 'redirect' AND r.name = ELT(s.kind,
  'Static assets', 'Storefront pages', 'API, never',
  ELT(1 + s.company MOD 5, 'Documentation', 'Video segments', 'News pages', 'Images', 'Downloads'))
LEFT JOIN origin_groups g ON g.tenant_id = 1 AND g.name = CONCAT(
  ELT(1 + s.company MOD 5, 'fra', 'ams', 'iad', 'sjc', 'sin'), '-',
  ELT(s.kind, 'web', 'web', 'api', 'media'))
LEFT JOIN origin_sets o ON o.tenant_id = 1 AND o.name = ELT(1 + s.company MOD 4,
  'Storefront Europe', 'Storefront America', 'Storefront Asia', 'Old platform')
ORDER BY s.n;

-- The main site answers to www as well, some shops to every name below theirs.
INSERT INTO domains (tenant_id, website_id, position, name, created_at, updated_at)
SELECT w.tenant_id, w.id, d.position, d.name, w.created_at, w.created_at
FROM (SELECT n, 0 AS position, domain AS name FROM seed_sites
  UNION ALL SELECT n, 1, CONCAT('www.', domain) FROM seed_sites WHERE kind = 1
  UNION ALL SELECT n, 1, CONCAT('*.', domain) FROM seed_sites
    WHERE kind = 2 AND company MOD 4 = 1) d
JOIN websites w ON w.id = @last + d.n AND w.tenant_id = 1
ORDER BY d.n, d.position;

DROP TEMPORARY TABLE seed_sites;
