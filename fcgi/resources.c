#include "resources.h"

#include <assert.h>
#include <string.h>

#include "stream.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FIND (FIELD_SORT | FIELD_FILTER)

/* One field a line or two: clang-format would give each property a line. */
/* clang-format off */

static const char *const on_off[] = {"active", "inactive", NULL};

/* Fields that several resources have. */
#define NAME \
	{.name = "name", .type = FIELD_TEXT, .min = 1, .max = 64, \
		.flags = FIELD_REQUIRED | FIELD_UNIQUE | FIND | FIELD_SEARCH}
#define DESCRIPTION \
	{.name = "description", .type = FIELD_TEXT, .max = 500, .def = "\"\"", \
		.flags = FIELD_LINES | FIELD_SEARCH}
#define STATUS \
	{.name = "status", .type = FIELD_ENUM, .values = on_off, .def = "\"active\"", .flags = FIND}
#define LINE_GROUP \
	{.name = "line_group_id", .type = FIELD_REF, .ref = "line-groups", \
		.flags = FIELD_NULL | FIND, .shows = {{"line_group_name", "name", FIELD_TEXT}}}

/* ---- line groups ---- */

static const struct field line_group_fields[] = {NAME, DESCRIPTION};

static const struct resource line_groups = {
	.name = "line-groups",
	.noun = "line group",
	.table = "line_groups",
	.label = "t.name",
	.fields = line_group_fields,
	.fields_n = COUNT(line_group_fields),
};

/* ---- origin groups ---- */

static const char *const balancing[] = {"round_robin", "weighted", "least_conn", "ip_hash", NULL};

static const struct field address_fields[] = {
	{.name = "address", .type = FIELD_ADDRESS, .flags = FIELD_REQUIRED},
	{.name = "port", .type = FIELD_INT, .min = 1, .max = 65535, .def = "80"},
	{.name = "weight", .type = FIELD_INT, .min = 1, .max = 1000, .def = "1"},
	{.name = "is_backup", .type = FIELD_BOOL, .def = "false"},
};

static const struct list addresses = {
	.table = "origin_addresses",
	.index = "uq_origin_addresses_address",
	.parent = "origin_group_id",
	.items = address_fields,
	.items_n = COUNT(address_fields),
	.key_n = 2,
};

static const struct field origin_group_fields[] = {
	NAME,
	DESCRIPTION,
	{.name = "load_balance", .type = FIELD_ENUM, .values = balancing, .def = "\"round_robin\"",
		.flags = FIND},
	{.name = "addresses", .type = FIELD_LIST, .max = 100, .def = "[]", .list = &addresses},
};

static const struct resource origin_groups = {
	.name = "origin-groups",
	.noun = "origin group",
	.table = "origin_groups",
	.label = "t.name",
	.fields = origin_group_fields,
	.fields_n = COUNT(origin_group_fields),
};

/* ---- origin sets ---- */

static const char *const protocols[] = {"http", "https", "follow", NULL};

static const struct field set_group_fields[] = {
	{.name = "origin_group_id", .type = FIELD_REF, .ref = "origin-groups"},
};

static const struct list set_groups = {
	.table = "origin_set_groups",
	.index = "uq_origin_set_groups_group",
	.parent = "origin_set_id",
	.filter = "origin_group_id",
	.items = set_group_fields,
	.items_n = COUNT(set_group_fields),
	.key_n = 1,
	.is_bare = true,
};

static const struct field origin_set_fields[] = {
	NAME,
	DESCRIPTION,
	{.name = "host_header", .type = FIELD_HOST, .flags = FIELD_NULL | FIELD_FILTER},
	{.name = "protocol", .type = FIELD_ENUM, .values = protocols, .def = "\"follow\"",
		.flags = FIND},
	{.name = "origin_group_ids", .type = FIELD_LIST, .max = 32, .def = "[]",
		.list = &set_groups, .flags = FIELD_FILTER},
};

static const struct resource origin_sets = {
	.name = "origin-sets",
	.noun = "origin set",
	.table = "origin_sets",
	.label = "t.name",
	.fields = origin_set_fields,
	.fields_n = COUNT(origin_set_fields),
};

/* ---- cache rules ---- */

static const struct field cache_rule_fields[] = {
	NAME,
	{.name = "path_pattern", .type = FIELD_PATH, .min = 1, .max = 500,
		.flags = FIELD_REQUIRED | FIELD_SEARCH},
	{.name = "ttl_seconds", .type = FIELD_INT, .max = 315360000,
		.flags = FIELD_REQUIRED | FIND},
	{.name = "ignore_query", .type = FIELD_BOOL, .def = "false", .flags = FIELD_FILTER},
	{.name = "priority", .type = FIELD_INT, .max = 1000, .def = "100", .flags = FIND},
	STATUS,
};

static const struct resource cache_rules = {
	.name = "cache-rules",
	.noun = "cache rule",
	.table = "cache_rules",
	.label = "t.name",
	.fields = cache_rule_fields,
	.fields_n = COUNT(cache_rule_fields),
};

/* ---- websites ---- */

static const char *const origin_modes[] = {"group", "manual", "redirect", NULL};
static const char *const redirect_codes[] = {"301", "302", "307", "308", NULL};

#define DOMAIN_NAME(more) \
	{.name = "name", .type = FIELD_HOST, .flags = FIELD_REQUIRED | FIELD_WILDCARD | (more)}

static const struct field website_domain_fields[] = {DOMAIN_NAME(0)};

static const struct list website_domains = {
	.table = "domains",
	.index = "ix_domains_website",
	.parent = "website_id",
	.filter = "domain",
	.items = website_domain_fields,
	.items_n = COUNT(website_domain_fields),
	.key_n = 1,
	.is_bare = true,
	.rows = "domains",
};

static const struct field website_fields[] = {
	{.name = "domains", .type = FIELD_LIST, .min = 1, .max = 100, .list = &website_domains,
		.flags = FIELD_REQUIRED | FIELD_FILTER | FIELD_SEARCH},
	LINE_GROUP,
	{.name = "cache_rule_id", .type = FIELD_REF, .ref = "cache-rules",
		.flags = FIELD_NULL | FIND, .shows = {{"cache_rule_name", "name", FIELD_TEXT}}},
	{.name = "origin_mode", .type = FIELD_ENUM, .values = origin_modes,
		.flags = FIELD_REQUIRED | FIND},
	{.name = "origin_group_id", .type = FIELD_REF, .ref = "origin-groups",
		.flags = FIELD_REQUIRED | FIELD_NULL | FIND, .when = {"origin_mode", "group"},
		.shows = {{"origin_group_name", "name", FIELD_TEXT}}},
	{.name = "origin_set_id", .type = FIELD_REF, .ref = "origin-sets",
		.flags = FIELD_REQUIRED | FIELD_NULL | FIND, .when = {"origin_mode", "manual"},
		.shows = {{"origin_set_name", "name", FIELD_TEXT}}},
	{.name = "redirect_url", .type = FIELD_URL, .flags = FIELD_REQUIRED | FIELD_NULL,
		.when = {"origin_mode", "redirect"}},
	{.name = "redirect_status_code", .type = FIELD_INT, .min = 301, .max = 308,
		.values = redirect_codes, .def = "302", .flags = FIELD_NULL | FIELD_FILTER,
		.when = {"origin_mode", "redirect"}},
	STATUS,
	{.name = "https_enabled", .type = FIELD_BOOL, .def = "false", .flags = FIND},
};

static const struct resource websites = {
	.name = "websites",
	.noun = "website",
	.table = "websites",
	.label = "(SELECT c.name FROM domains c WHERE c.tenant_id = t.tenant_id "
		 "AND c.website_id = t.id ORDER BY c.position, c.id LIMIT 1)",
	.fields = website_fields,
	.fields_n = COUNT(website_fields),
};

/* ---- domains ---- */

static const struct field domain_fields[] = {
	DOMAIN_NAME(FIELD_UNIQUE | FIND | FIELD_SEARCH),
	{.name = "website_id", .type = FIELD_REF, .ref = "websites",
		.flags = FIELD_REQUIRED | FIELD_OWNER | FIND,
		.shows = {{"website_status", "status", FIELD_ENUM},
			{"website_https_enabled", "https_enabled", FIELD_BOOL}}},
};

static const struct resource domains = {
	.name = "domains",
	.noun = "domain",
	.table = "domains",
	.label = "t.name",
	.fields = domain_fields,
	.fields_n = COUNT(domain_fields),
};

/* ---- nodes ---- */

static const char *const node_states[] = {"online", "offline", "maintenance", NULL};

static const struct field node_fields[] = {
	NAME,
	{.name = "address", .type = FIELD_IP, .flags = FIELD_REQUIRED | FIND | FIELD_SEARCH},
	{.name = "port", .type = FIELD_INT, .min = 1, .max = 65535, .def = "80",
		.flags = FIELD_FILTER},
	LINE_GROUP,
	{.name = "region", .type = FIELD_TEXT, .max = 64, .def = "\"\"",
		.flags = FIND | FIELD_SEARCH},
	{.name = "status", .type = FIELD_ENUM, .values = node_states, .def = "\"offline\"",
		.flags = FIND},
};

static const struct resource nodes = {
	.name = "nodes",
	.noun = "node",
	.table = "nodes",
	.label = "t.name",
	.fields = node_fields,
	.fields_n = COUNT(node_fields),
};

/* clang-format on */

static const struct resource *const all[] = {
	&websites,
	&line_groups,
	&origin_groups,
	&origin_sets,
	&cache_rules,
	&domains,
	&nodes,
};

/* Of a resource without a stream nobody would be told; a stream without a resource has no rows. */
static bool have_streams(void)
{
	size_t n = 0;

	for (const struct stream *st = streams; st->topic; st++)
		n += st->has_rows;
	for (size_t i = 0; i < COUNT(all); i++)
		if (!stream_find(all[i]->name) || !stream_find(all[i]->name)->has_rows)
			return false;
	return n == COUNT(all);
}

static const struct crud_set *set(void)
{
	static const struct crud_set *built;
	if (!built) {
		assert(have_streams());
		built = crud_build(all, COUNT(all));
	}
	return built;
}

const struct route *resource_routes(size_t *n)
{
	return crud_routes(set(), n);
}

const struct db_set *resource_sql(void)
{
	return crud_sql(set());
}

const struct crud *resource_find(const char *name)
{
	return crud_find(set(), name);
}
