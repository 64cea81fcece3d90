#include "grants.h"

#include <string.h>

#include "migrate.h"

#define NO_SUCH_GRANT 1141u /* ER_NONEXISTING_GRANT */

static const struct db_stmt sql_whoami = {"grants.whoami", "SELECT CURRENT_USER()", 0, 1};

static const struct grant fcgi_grants[] = {
	{"SELECT, INSERT, UPDATE, DELETE", NULL, false, NULL},
	{0},
};

static const struct grant poller_grants[] = {
	{"SELECT, INSERT", "ws_events", false, NULL},
	{"SELECT, UPDATE (epoch, floor, brief_floor, made_at)", "ws_log", false, NULL},
	{"SELECT, INSERT, UPDATE", "ws_pollers", false, NULL},
	{"SELECT, INSERT, UPDATE, DELETE", "ws_sessions", false, NULL},
	/* Who a live session belongs to by now. No SELECT shows it a hash of a password or key; the
	 * binlog does, since whoever may follow it sees every row that is written. */
	{"SELECT (id, tenant_id, username, display_name, status)", "users", false, NULL},
	{"SELECT (id, tenant_id, name, status, expires_at)", "api_keys", false, NULL},
	{"SELECT", "api_key_scopes", false, NULL},
	{"SELECT", "departments", false, NULL},
	{"SELECT, DELETE", "revoked_tokens", false, NULL},
	{"SELECT", "role_permissions", false, NULL},
	{"SELECT", "roles", false, NULL},
	{"SELECT", "tenants", false, NULL},
	{"SELECT", "user_departments", false, NULL},
	{"SELECT", "user_roles", false, NULL},
	/* Its chores. */
	{"SELECT, UPDATE", "ws_chores", false, NULL},
	{"SELECT (access_expires_at, expires_at), DELETE", "refresh_tokens", false, NULL},
	{"SELECT (created_at), DELETE", "idempotency_keys", false, NULL},
	{"SELECT (window_ends), DELETE", "auth_failures", false, NULL},
	{"SELECT (minute), DELETE", "log_counts", false, NULL},
	{"SELECT, UPDATE (is_online, last_seen_at)", "devices", false, NULL},
	{"SELECT (id, tenant_id, device_id, level, logged_at, received_at, message, tags)", "logs",
		false, NULL},
	{"SELECT, INSERT, UPDATE, DELETE", "log_index", false, NULL},
	{"SELECT, INSERT, UPDATE, DELETE", "log_blocks", false, NULL},
	{"SELECT, INSERT, UPDATE, DELETE", "log_supers", false, NULL},
	{"SELECT, INSERT, UPDATE, DELETE", "log_pages", false, NULL},
	{"REPLICATION SLAVE, BINLOG MONITOR", NULL, true,
		"the poller cannot follow the binlog and will look at the table by a timer"},
	{0},
};

const struct grant *grants_of(enum config_account who)
{
	return who == CONFIG_FCGI ? fcgi_grants : poller_grants;
}

bool grant_is_wanted(const struct grant *g, const struct config *cfg)
{
	return !g->is_global || cfg->poller.binlog;
}

struct account {
	const char *key; /* of the configuration, for messages */
	const char *user, *password;
	enum config_account who;
};

void sql_add_name(struct str *out, const char *name)
{
	str_addc(out, '`');
	for (; *name; name++) {
		if (*name == '`')
			str_addc(out, '`');
		str_addc(out, *name);
	}
	str_addc(out, '`');
}

/* In `GRANT ... ON name.*` the name is a pattern. */
static void add_pattern(struct str *out, const char *name)
{
	struct str escaped = STR_INIT;

	for (; *name; name++) {
		if (strchr("_%\\", *name))
			str_addc(&escaped, '\\');
		str_addc(&escaped, *name);
	}
	sql_add_name(out, str_c(&escaped));
	str_fini(&escaped);
}

static void add_account(struct str *out, struct db *db, const struct account *a, const char *host)
{
	db_quote(db, out, a->user);
	str_addc(out, '@');
	db_quote(db, out, host);
}

static enum err make_account(struct call *call, const struct account *a, const char *host)
{
	static const char *const verbs[] = {"CREATE USER IF NOT EXISTS ", "ALTER USER "};
	enum err e = ERR_OK;

	for (size_t i = 0; i < 2 && e == ERR_OK; i++) {
		struct str sql = STR_INIT;

		str_adds(&sql, verbs[i]);
		add_account(&sql, call->db, a, host);
		if (*a->password) {
			str_adds(&sql, " IDENTIFIED BY ");
			db_quote(call->db, &sql, a->password);
		} else {
			str_adds(&sql, " IDENTIFIED VIA unix_socket");
		}
		e = db_script(call->db, str_c(&sql));
		str_fini(&sql);
	}
	return e;
}

/* GRANT, or REVOKE of what the account may have from before. */
static enum err give_or_take(struct call *call, const struct account *a, const char *host,
	const struct grant *g, bool gives)
{
	const char *name = call->cfg->database.name;
	struct str sql = STR_INIT;
	enum err e;

	str_addf(&sql, "%s %s ON ", gives ? "GRANT" : "REVOKE", g->rights);
	if (g->is_global) {
		str_adds(&sql, "*.*");
	} else if (g->table) {
		sql_add_name(&sql, name);
		str_addc(&sql, '.');
		sql_add_name(&sql, g->table);
	} else {
		add_pattern(&sql, name);
		str_adds(&sql, ".*");
	}
	str_adds(&sql, gives ? " TO " : " FROM ");
	add_account(&sql, call->db, a, host);
	e = db_script(call->db, str_c(&sql));
	str_fini(&sql);
	return !gives && e == ERR_DB && db_errno(call->db) == NO_SUCH_GRANT ? ERR_OK : e;
}

static enum ctl_exit grants_apply_one(struct call *call, const struct account *a, const char *host)
{
	enum err e = make_account(call, a, host);

	if (e != ERR_OK)
		return cmd_fail_db(call, e, a->user);
	for (const struct grant *g = grants_of(a->who); g->rights; g++) {
		e = give_or_take(call, a, host, g, grant_is_wanted(g, call->cfg));
		if (e == ERR_DB_DENIED && g->without)
			cmd_fail(CTL_FAILED, "warning: %s: cannot grant %s (%s): %s", a->user,
				g->rights, db_errmsg(call->db), g->without);
		else if (e != ERR_OK)
			return cmd_fail_db(call, e, a->user);
	}
	return CTL_OK;
}

/* Nobody's own account is to get another password and fewer rights by an oversight. */
static enum ctl_exit grants_check(struct call *call, const struct account *a)
{
	const struct db_val *row;
	enum err e;
	size_t len = strlen(a->user);

	if (!len)
		return cmd_fail(
			CTL_USAGE, "[%s] db_user is empty: name the account to make", a->key);
	if (!*a->password && !*call->cfg->database.socket)
		return cmd_fail(CTL_USAGE,
			"[%s] db_password is empty, which is for UNIX sockets: set one", a->key);
	e = db_one(call->db, &sql_whoami, NULL, 0, &row);
	if (e != ERR_OK)
		return cmd_fail_db(call, e, "grants");
	if (row && !strncmp(dbv_text(row), a->user, len) && dbv_text(row)[len] == '@')
		return cmd_fail(CTL_USAGE,
			"[%s] db_user is %s, the account you are using: give it one of its own",
			a->key, a->user);
	return CTL_OK;
}

enum ctl_exit grants_apply(struct call *call, const char *host)
{
	const struct config *cfg = call->cfg;
	const struct account accounts[] = {
		{"fcgi", cfg->fcgi.db_user, cfg->fcgi.db_password, CONFIG_FCGI},
		{"poller", cfg->poller.db_user, cfg->poller.db_password, CONFIG_POLLER},
	};
	enum ctl_exit status = CTL_OK;

	if (!strcmp(cfg->fcgi.db_user, cfg->poller.db_user))
		return cmd_fail(CTL_USAGE,
			"[fcgi] and [poller] db_user are both %s: give each its own",
			cfg->fcgi.db_user);
	for (size_t i = 0; i < 2 && status == CTL_OK; i++)
		status = grants_check(call, &accounts[i]);
	for (size_t i = 0; i < 2 && status == CTL_OK; i++)
		status = grants_apply_one(call, &accounts[i], host);
	return status;
}
