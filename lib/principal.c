#include "principal.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

static const struct db_stmt select_user = {
	.name = "principal.user",
	.sql = "SELECT u.username, u.display_name, u.tenant_id, t.name,"
	       " u.status = 'active' AND t.status = 'active'"
	       " AND NOT EXISTS (SELECT 1 FROM revoked_tokens r WHERE r.jti = ?)"
	       " FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE u.id = ?",
	.params_n = 2,
	.cols_n = 5,
};
/* The first column says into which list the second goes. */
static const struct db_stmt select_user_lists = {
	.name = "principal.user_lists",
	.sql = "SELECT 0, r.name FROM user_roles ur JOIN roles r ON r.id = ur.role_id"
	       " WHERE ur.user_id = ?"
	       " UNION SELECT 1, d.name FROM user_departments ud"
	       " JOIN departments d ON d.id = ud.department_id WHERE ud.user_id = ?"
	       " UNION SELECT 2, p.permission FROM user_roles ur"
	       " JOIN role_permissions p ON p.role_id = ur.role_id WHERE ur.user_id = ?"
	       " ORDER BY 1, 2 LIMIT 4096",
	.params_n = 3,
	.cols_n = 2,
};
/* Seconds since 1970 without UNIX_TIMESTAMP(), which ends in 2038. */
#define SELECT_APIKEY                                                                            \
	"SELECT k.id, k.name, k.tenant_id, t.name, k.status = 'active' AND t.status = 'active'," \
	" COALESCE(k.expires_at <= NOW(3), 0),"                                                  \
	" TIMESTAMPDIFF(SECOND, '1970-01-01', k.expires_at)"                                     \
	" FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE "
static const struct db_stmt select_apikey = {
	.name = "principal.apikey",
	.sql = SELECT_APIKEY "k.hash = ?",
	.params_n = 1,
	.cols_n = 7,
};
static const struct db_stmt select_apikey_id = {
	.name = "principal.apikey_id",
	.sql = SELECT_APIKEY "k.id = ?",
	.params_n = 1,
	.cols_n = 7,
};
static const struct db_stmt select_apikey_lists = {
	.name = "principal.apikey_lists",
	.sql = "SELECT 2, permission FROM api_key_scopes WHERE api_key_id = ?"
	       " ORDER BY permission LIMIT 4096",
	.params_n = 1,
	.cols_n = 2,
};

const struct db_set principal_sql = {
	.name = "principal",
	.stmts = (const struct db_stmt *const[]){&select_user, &select_user_lists, &select_apikey,
		&select_apikey_id, &select_apikey_lists, NULL},
};
const struct db_set principal_id_sql = {
	.name = "principal_id",
	.stmts = (const struct db_stmt *const[]){&select_user, &select_user_lists,
		&select_apikey_id, &select_apikey_lists, NULL},
};

static char *text_dup(const struct db_val *v)
{
	const char *text = dbv_text(v);

	return xstrdup(text ? text : "");
}

static enum err load_lists(
	struct db *db, const struct db_stmt *st, uint64_t id, struct principal *p)
{
	struct strlist *const lists[] = {&p->roles, &p->departments, &p->perms};
	const struct db_val in[] = {DBV_U(id), DBV_U(id), DBV_U(id)}, *row;
	enum err e = db_query(db, st, in, (size_t)st->params_n);

	if (e != ERR_OK)
		return e;
	while ((row = db_fetch(db)))
		strlist_add(lists[dbv_i(&row[0])], row[1].s.p, row[1].s.len);
	db_done(db);
	return ERR_OK;
}

/* Keeps p, or frees it after a failure. */
static enum err principal_finish(enum err e, struct principal *p, struct principal **out)
{
	if (e != ERR_OK) {
		principal_unref(p);
		p = NULL;
	}
	*out = p;
	return e;
}

enum err principal_load_user(struct db *db, uint64_t user_id, const char *jti, int64_t expires_at_s,
	struct principal **out)
{
	const struct db_val in[] = {dbv_s(jti), DBV_U(user_id)}, *row;
	struct principal *p;
	enum err e;

	*out = NULL;
	e = db_one(db, &select_user, in, 2, &row);
	if (e != ERR_OK)
		return e;
	if (!row || !dbv_i(&row[4]))
		return ERR_TOKEN_REVOKED;
	p = principal_new();
	p->user_id = user_id;
	p->username = text_dup(&row[0]);
	p->display_name = text_dup(&row[1]);
	p->tenant_id = (uint32_t)dbv_u(&row[2]);
	p->tenant = text_dup(&row[3]);
	p->jti = xstrdup(jti);
	p->expires_at_s = expires_at_s;
	return principal_finish(load_lists(db, &select_user_lists, user_id, p), p, out);
}

static enum err load_apikey(
	struct db *db, const struct db_stmt *st, const struct db_val *key, struct principal **out)
{
	const struct db_val *row;
	struct principal *p;
	struct str name = STR_INIT;
	enum err e;

	*out = NULL;
	e = db_one(db, st, key, 1, &row);
	if (e != ERR_OK)
		return e;
	if (!row)
		return ERR_TOKEN_INVALID;
	if (!dbv_i(&row[4]))
		return ERR_TOKEN_REVOKED;
	if (dbv_i(&row[5]))
		return ERR_TOKEN_EXPIRED;
	p = principal_new();
	p->apikey_id = dbv_u(&row[0]);
	str_addf(&name, "apikey:%s", dbv_text(&row[1]));
	p->username = str_take(&name);
	p->display_name = text_dup(&row[1]);
	p->tenant_id = (uint32_t)dbv_u(&row[2]);
	p->tenant = text_dup(&row[3]);
	p->expires_at_s = dbv_i(&row[6]);
	return principal_finish(load_lists(db, &select_apikey_lists, p->apikey_id, p), p, out);
}

enum err principal_load_apikey(
	struct db *db, const uint8_t hash[SECRET_HASH_SIZE], struct principal **out)
{
	const struct db_val key = dbv_b(hash, SECRET_HASH_SIZE);

	return load_apikey(db, &select_apikey, &key, out);
}

enum err principal_load_apikey_id(struct db *db, uint64_t apikey_id, struct principal **out)
{
	return load_apikey(db, &select_apikey_id, &DBV_U(apikey_id), out);
}

static void render_list(struct str *s, const char *name, const struct strlist *l)
{
	str_addf(s, ",\"%s\":[", name);
	for (size_t i = 0; i < l->n; i++) {
		if (i > 0)
			str_addc(s, ',');
		str_add_json(s, l->v[i]);
	}
	str_addc(s, ']');
}

void principal_render(struct str *s, const struct principal *p)
{
	str_adds(s, "{\"id\":");
	if (p->user_id)
		str_addu(s, p->user_id);
	else
		str_addf(s, "null,\"apikey_id\":%llu", (unsigned long long)p->apikey_id);
	str_adds(s, ",\"username\":");
	str_add_json(s, p->username);
	str_adds(s, ",\"display_name\":");
	str_add_json(s, p->display_name);
	str_adds(s, ",\"tenant\":");
	str_add_json(s, p->tenant);
	str_addf(s, ",\"tenant_id\":%lu", (unsigned long)p->tenant_id);
	render_list(s, "roles", &p->roles);
	render_list(s, "departments", &p->departments);
	render_list(s, "permissions", &p->perms);
	str_addc(s, '}');
}
