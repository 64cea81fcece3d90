/* doctor: what the accounts of cmdb-fcgi and cmdb-poller may do, by the list that grants them. */
#include "doctor.h"

#include <stdlib.h>
#include <string.h>

#include "grants.h"
#include "mem.h"

#define NAMED_MAX 4 /* rights that a finding names */

/* A name of a database in a grant is a pattern. Only who may read the tables of grants sees those
 * of others. */
static const struct db_stmt list = {
	.name = "doctor.list_rights",
	.sql = "SELECT '', '', PRIVILEGE_TYPE, IS_GRANTABLE = 'YES'"
	       " FROM information_schema.USER_PRIVILEGES WHERE LEFT(GRANTEE, CHAR_LENGTH(?)) = ?"
	       " UNION ALL SELECT '*', '', PRIVILEGE_TYPE, IS_GRANTABLE = 'YES'"
	       " FROM information_schema.SCHEMA_PRIVILEGES WHERE LEFT(GRANTEE, CHAR_LENGTH(?)) = ?"
	       " AND DATABASE() LIKE TABLE_SCHEMA"
	       " UNION ALL SELECT TABLE_NAME, '', PRIVILEGE_TYPE, IS_GRANTABLE = 'YES'"
	       " FROM information_schema.TABLE_PRIVILEGES WHERE LEFT(GRANTEE, CHAR_LENGTH(?)) = ?"
	       " AND TABLE_SCHEMA = DATABASE()"
	       " UNION ALL SELECT TABLE_NAME, COLUMN_NAME, PRIVILEGE_TYPE, IS_GRANTABLE = 'YES'"
	       " FROM information_schema.COLUMN_PRIVILEGES WHERE LEFT(GRANTEE, CHAR_LENGTH(?)) = ?"
	       " AND TABLE_SCHEMA = DATABASE()",
	.params_n = 8,
	.cols_n = 4,
};
const struct db_set doctor_rights_sql = {
	.name = "doctor_rights",
	.stmts = (const struct db_stmt *const[]){&list, NULL},
	.is_lazy = true,
};

/* One right: table "" is the server, "*" the database; column "" is all of them. */
struct right {
	char *table, *column, *name;
	bool is_wanted;
};

struct rights {
	struct right *v;
	size_t n;
	bool may_grant;
};

static void rights_fini(struct rights *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].table);
		free(r->v[i].column);
		free(r->v[i].name);
	}
	free(r->v);
}

static enum err read_rights(struct db *db, const char *user, struct rights *r)
{
	struct str grantee = STR_INIT;
	const struct db_val *row;
	struct db_val in[8];
	enum err e;

	str_addf(&grantee, "'%s'@", user);
	for (size_t i = 0; i < 8; i++)
		in[i] = dbv_s(str_c(&grantee));
	e = db_query(db, &list, in, 8);
	while (e == ERR_OK && (row = db_fetch(db))) {
		r->v = xreallocarray(r->v, r->n + 1, sizeof(*r->v));
		r->v[r->n++] = (struct right){.table = xstrdup(dbv_text(&row[0])),
			.column = xstrdup(dbv_text(&row[1])),
			.name = xstrdup(dbv_text(&row[2]))};
		r->may_grant |= dbv_i(&row[3]) != 0;
	}
	if (e == ERR_OK)
		db_done(db);
	str_fini(&grantee);
	return e;
}

static bool is_named(const struct right *r, const char *name, size_t len)
{
	return strlen(r->name) == len && !strncmp(r->name, name, len);
}

/* Is there this right on the table, the column, or on more than these? Marks the one that is
 * exactly it. */
static bool doctor_rights_find(struct rights *all, const char *table, const char *column,
	size_t column_len, const char *name, size_t len)
{
	bool is_there = false;

	for (size_t i = 0; i < all->n; i++) {
		struct right *r = &all->v[i];
		bool is_column =
			strlen(r->column) == column_len && !strncmp(r->column, column, column_len);

		if (!is_named(r, name, len))
			continue;
		if (!strcmp(r->table, table) && is_column)
			r->is_wanted = is_there = true;
		else if (!*r->table || (*table && !strcmp(r->table, "*")) ||
			 (!strcmp(r->table, table) && !*r->column))
			is_there = true;
	}
	return is_there;
}

static void add_missing(struct str *missing, const char *name, size_t len, const char *column,
	size_t column_len, const char *table)
{
	str_addf(missing, "%s%.*s", missing->len ? ", " : "", (int)len, name);
	if (column_len)
		str_addf(missing, " (%.*s)", (int)column_len, column);
	if (*table)
		str_addf(missing, " on %s", !strcmp(table, "*") ? "the database" : table);
}

/* Looks for each right of "SELECT (id, name)" or "SELECT, INSERT". */
static void look_for(struct rights *all, const struct grant *g, struct str *missing)
{
	const char *table = g->is_global ? "" : g->table ? g->table : "*", *p = g->rights;

	while (*p) {
		size_t len = strcspn(p, ",(");
		const char *columns = p[len] == '(' ? p + len + 1 : NULL;
		const char *name = p;

		if (columns)
			len--;
		p += strcspn(p, columns ? ")" : ",");
		do {
			size_t column_len = columns ? strcspn(columns, ",)") : 0;

			if (!doctor_rights_find(
				    all, table, columns ? columns : "", column_len, name, len))
				add_missing(missing, name, len, columns, column_len, table);
			if (columns)
				columns += column_len + strspn(columns + column_len, ", ");
		} while (columns && *columns != ')' && columns < p);
		p += strspn(p, "), ");
	}
}

/* Names what nobody has asked for; returns how many rights that are. */
static size_t surplus(const struct rights *all, struct str *out)
{
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++) {
		const struct right *r = &all->v[i];

		if (r->is_wanted || !strcmp(r->name, "USAGE"))
			continue;
		if (n++ < NAMED_MAX)
			str_addf(out, "%s%s%s%s", out->len ? ", " : "", r->name,
				*r->table ? " on " : " on the server",
				!*r->table               ? ""
				: !strcmp(r->table, "*") ? "the database"
							 : r->table);
	}
	if (n > NAMED_MAX)
		str_addf(out, " and %zu more", n - NAMED_MAX);
	return n;
}

static void judge(const struct doctor *d, enum config_account who, struct rights *all,
	const char *user, struct finding *f)
{
	struct str missing = STR_INIT, without = STR_INIT, more = STR_INIT;

	for (const struct grant *g = grants_of(who); g->rights; g++)
		if (grant_is_wanted(g, d->cfg))
			look_for(all, g, g->without ? &without : &missing);
	if (missing.len)
		finding_bad(f, VERDICT_FAIL,
			"cmdbctl migrate --grants, run as an administrator of the database",
			"%s lacks %s", user, str_c(&missing));
	else if (surplus(all, &more) || all->may_grant)
		finding_bad(f, VERDICT_WARN,
			"DROP USER it, and have cmdbctl migrate --grants make it anew with what "
			"it needs",
			"%s may do more than it has to: %s%s", user, str_c(&more),
			all->may_grant ? ", and give its rights to others" : "");
	else
		finding_ok(f, "%s may do what it has to, and no more%s%s", user,
			without.len ? " (but for " : "",
			without.len ? "the binlog: see there)" : "");
	str_fini(&missing);
	str_fini(&without);
	str_fini(&more);
}

static void doctor_rights_check(
	struct doctor *d, enum config_account who, struct db *own, struct finding *f)
{
	const struct db_login login = config_login(d->cfg, who);
	struct rights all = {0};
	enum err e = ERR_OK;

	/* Who cannot log in as the account may be allowed to see its grants. */
	if (!own)
		own = d->db;
	if (!own || !*login.user) {
		finding_skip(f, "the database was not reached");
		return;
	}
	e = read_rights(own, login.user, &all);
	if (e != ERR_OK)
		finding_bad(f, VERDICT_FAIL, "see what the server says", "%s", db_errmsg(own));
	else if (!all.n)
		finding_skip(f, "the rights of %s cannot be seen from here", login.user);
	else
		judge(d, who, &all, login.user, f);
	rights_fini(&all);
}

void check_rights_fcgi(struct doctor *d, struct finding *f)
{
	doctor_rights_check(d, CONFIG_FCGI, d->fcgi_db, f);
}

void check_rights_poller(struct doctor *d, struct finding *f)
{
	doctor_rights_check(d, CONFIG_POLLER, d->poller_db, f);
}
