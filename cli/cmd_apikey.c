#include <string.h>

#include "event.h"
#include "people.h"
#include "rows.h"
#include "secret.h"

#define KEY_PREFIX "ck_" /* so that a key is known for one where it should not be */
#define PREFIX_LEN 8     /* api_keys.prefix */
#define APIKEY_COLS "id:u name:s tenant:s prefix:s status:s scopes:l expires_at:t created_at:t"

static const struct db_stmt list_keys = {
	.name = "apikey.list",
	.sql = "SELECT k.id, k.name, t.name, k.prefix,"
	       " IF(k.status = 'active' AND k.expires_at <= NOW(3), 'expired', k.status),"
	       " (SELECT GROUP_CONCAT(s.permission ORDER BY s.permission SEPARATOR '\n')"
	       "  FROM api_key_scopes s WHERE s.api_key_id = k.id), k.expires_at, k.created_at"
	       " FROM api_keys k JOIN tenants t ON t.id = k.tenant_id"
	       " WHERE ? IS NULL OR t.name = ? ORDER BY k.id LIMIT 100000",
	.params_n = 2,
	.cols_n = 8,
};
static const struct db_stmt find_key = {
	.name = "apikey.find",
	.sql = "SELECT id FROM api_keys WHERE tenant_id = ? AND name = ? AND status = 'active'",
	.params_n = 2,
	.cols_n = 1,
};
static const struct db_stmt forget_key = {
	.name = "apikey.forget",
	.sql = "DELETE FROM api_keys WHERE tenant_id = ? AND name = ? AND status = 'revoked'",
	.params_n = 2,
};
static const struct db_stmt add_key = {
	.name = "apikey.add",
	.sql = "INSERT INTO api_keys (tenant_id, name, prefix, hash, expires_at)"
	       " VALUES (?, ?, ?, ?, NOW(3) + INTERVAL ? DAY)",
	.params_n = 5,
};
static const struct db_stmt add_scope = {
	.name = "apikey.scope",
	.sql = "INSERT IGNORE INTO api_key_scopes (api_key_id, permission) VALUES (?, ?)",
	.params_n = 2,
};
static const struct db_stmt revoke_key = {
	.name = "apikey.revoke",
	.sql = "UPDATE api_keys SET status = 'revoked' WHERE id = ?",
	.params_n = 1,
};
static const struct db_set sql = {
	.name = "cmd_apikey",
	.stmts = (const struct db_stmt *const[]){&list_keys, &find_key, &forget_key, &add_key,
		&add_scope, &revoke_key, NULL},
	.is_lazy = true,
};
static const struct db_set *const sets[] = {&sql, &change_sql, &people_sql, &event_sql, NULL};

static const char *tenant_of(const struct call *call)
{
	const char *name = opt_text(call, "tenant");

	return name ? name : "default";
}

static enum ctl_exit apikey_list(struct call *call)
{
	const char *tenant = opt_text(call, "tenant");
	struct db_val in[2] = {dbv_s(tenant), dbv_s(tenant)};

	return rows_list(call, sets, &list_keys, in, 2, APIKEY_COLS);
}

/* The key itself leaves here once, in the output; the database has its hash. */
static enum err cmd_apikey_add(struct change *ch)
{
	const struct strlist *scopes = opt_list(ch->call, "scope");
	const char *name = ch->call->args.v[0], *key = ch->arg;
	int64_t days = opt_number(ch->call, "expires-days", 0);
	uint8_t hash[SECRET_HASH_SIZE];
	struct db_val in[5] = {{0}, dbv_s(name), dbv_b(key, PREFIX_LEN), dbv_b(hash, sizeof(hash)),
		days ? DBV_I(days) : DBV_NULL};
	uint64_t id = 0;
	uint32_t tenant;
	enum err e;

	secret_hash(hash, key, strlen(key));
	if ((e = people_tenant(ch, tenant_of(ch->call), &tenant)))
		return e;
	in[0] = DBV_U(tenant);
	if ((e = db_exec(ch->db, &forget_key, in, 2, NULL, NULL)))
		return e;
	e = db_exec(ch->db, &add_key, in, 5, NULL, &id);
	if (e == ERR_DB_DUP)
		return change_problem(ch, ERR_DUPLICATE,
			"there is an API key named \"%s\" in this tenant already; "
			"revoke it first or take another name",
			name);
	for (size_t i = 0; e == ERR_OK && i < scopes->n; i++) {
		struct db_val scope[2] = {DBV_U(id), dbv_s(scopes->v[i])};

		e = db_exec(ch->db, &add_scope, scope, 2, NULL, NULL);
	}
	if (e != ERR_OK)
		return e;
	ch->result = rows_object("id:u name:s key:s",
		(const struct db_val[]){DBV_U(id), dbv_s(name), dbv_s(key)}, 3);
	return change_did(ch, tenant, "apikey.add", name,
		"API key %s added; it is shown only now: %s", name, key);
}

static enum ctl_exit apikey_add(struct call *call)
{
	const struct strlist *scopes = opt_list(call, "scope");
	enum ctl_exit status;
	char key[64];

	if (!people_name_is_valid("key", call->args.v[0]))
		return CTL_USAGE;
	if (scopes->n == 0)
		return cmd_fail(CTL_USAGE,
			"say what the key may do: --scope websites:read, and more of them");
	for (size_t i = 0; i < scopes->n; i++)
		if (!people_perm_is_valid(scopes->v[i]))
			return CTL_USAGE;
	secret_random_token(key, KEY_PREFIX);
	status = change_run(call, sets, cmd_apikey_add, key);
	secret_wipe(key, sizeof(key));
	return status;
}

static enum err cmd_apikey_revoke(struct change *ch)
{
	const char *name = ch->call->args.v[0];
	struct db_val in[2] = {{0}, dbv_s(name)};
	const struct db_val *row;
	uint32_t tenant;
	uint64_t id;
	enum err e;

	if ((e = people_tenant(ch, tenant_of(ch->call), &tenant)))
		return e;
	in[0] = DBV_U(tenant);
	if ((e = db_one(ch->db, &find_key, in, 2, &row)))
		return e;
	if (!row)
		return change_problem(ch, ERR_NOT_FOUND,
			"the tenant %s has no active API key named \"%s\"; "
			"see cmdbctl apikey list",
			tenant_of(ch->call), name);
	id = dbv_u(&row[0]);
	in[0] = DBV_U(id);
	if ((e = db_exec(ch->db, &revoke_key, in, 1, NULL, NULL)))
		return e;
	change_tell(ch, CHANGE_KEY, id);
	return change_did(ch, tenant, "apikey.revoke", name, "API key %s revoked", name);
}

static enum ctl_exit apikey_revoke(struct call *call)
{
	return change_run(call, sets, cmd_apikey_revoke, NULL);
}

static const struct opt list_opts[] = {
	{"tenant", OPT_TEXT, "NAME", "only of this tenant", 0, 0},
	{0},
};
static const struct opt add_opts[] = {
	{"tenant", OPT_TEXT, "NAME", "it acts for this tenant (default)", 0, 0},
	{"scope", OPT_LIST, "PERMISSION", "it may do this; repeatable", 0, 0},
	{"expires-days", OPT_NUMBER, "DAYS", "it is good for so long; else until it is revoked", 1,
		36500},
	{0},
};
static const struct opt revoke_opts[] = {
	{"tenant", OPT_TEXT, "NAME", "the tenant it acts for (default)", 0, 0},
	{0},
};

const struct cmd cmd_apikey = {
	"apikey",
	"keys for programs",
	(const struct verb[]){
		{"list", "", 0, 0, list_opts, apikey_list, "show all keys, not the secrets", false},
		{"add", "NAME", 1, 1, add_opts, apikey_add, "make a key and show it once", false},
		{"revoke", "NAME", 1, 1, revoke_opts, apikey_revoke, "end a key", false},
		{0},
	},
};
