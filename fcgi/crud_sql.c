#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crud_engine.h"
#include "mem.h"

/*
 * The statement texts. They are made once, at the start, out of the names in the descriptors; a
 * request only ever brings parameters. Aliases: t the resource's table, r<i> what its field i
 * refers to, c a list's table, p a JSON array of ids as a table.
 */

#define IDS_TABLE "JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, id BIGINT UNSIGNED PATH '$')) p"

/* Takes the text of sql, leaving it empty. */
static void add_stmt(struct crud_set *set, struct db_stmt *st, const struct crud *c,
	const char *what, struct str *sql, size_t params_n, size_t cols_n)
{
	struct str name = STR_INIT;
	str_addf(&name, "%s.%s", c->res->name, what);
	assert(params_n <= CRUD_BINDS_MAX);
	*st = (struct db_stmt){str_take(&name), str_take(sql), (int)params_n, (int)cols_n};
	set->stmts = xreallocarray(set->stmts, set->stmts_n + 2, sizeof(*set->stmts));
	set->stmts[set->stmts_n++] = st;
	set->stmts[set->stmts_n] = NULL;
}

/* As an expression: the JSON text of a list. MariaDB renders `= 1` as a JSON boolean, a TINYINT as
 * a number. The index is named, as for some seconds after many rows came at once MariaDB still
 * takes the table for small, and would read all of it for each row. */
static void put_list(struct str *sql, const struct list *l)
{
	str_adds(sql, "(SELECT COALESCE(JSON_COMPACT(JSON_ARRAYAGG(");
	if (l->is_bare)
		str_addf(sql, "c.%s", l->items[0].name);
	for (size_t i = 0; !l->is_bare && i < l->items_n; i++)
		str_addf(sql, "%s'%s', c.%s%s", i ? ", " : "JSON_OBJECT(", l->items[i].name,
			l->items[i].name, l->items[i].type == FIELD_BOOL ? " = 1" : "");
	str_addf(sql,
		"%s ORDER BY c.position, c.id)), '[]') FROM %s c FORCE INDEX (%s) "
		"WHERE c.tenant_id = t.tenant_id AND c.%s = t.id)",
		l->is_bare ? "" : ")", l->table, l->index, l->parent);
}

/* The columns of a row in the order they are shown; how many. */
static size_t put_columns(struct str *sql, const struct resource *res)
{
	size_t n = 4;
	str_adds(sql, "t.id");
	for (size_t i = 0; i < res->fields_n; i++, n++) {
		const struct field *f = &res->fields[i];
		str_adds(sql, ", ");
		if (f->type == FIELD_LIST)
			put_list(sql, f->list);
		else
			str_addf(sql, "t.%s", f->name);
		for (size_t j = 0; j < CRUD_SHOWS_MAX && f->shows[j].json; j++, n++)
			str_addf(sql, ", r%zu.%s", i, f->shows[j].column);
	}
	str_adds(sql, ", t.version, t.created_at, t.updated_at");
	return n;
}

/* A reference carries its tenant (schema/0002), so the id alone finds the row. */
static void put_joins(struct str *sql, const struct crud_set *set, const struct resource *res)
{
	for (size_t i = 0; i < res->fields_n; i++)
		for (size_t k = 0; res->fields[i].shows[0].json && k < set->n; k++)
			if (strcmp(set->v[k].res->name, res->fields[i].ref) == 0)
				str_addf(sql, " LEFT JOIN %s r%zu ON r%zu.id = t.%s",
					set->v[k].res->table, i, i, res->fields[i].name);
}

static void build_reads(struct crud_set *set, struct crud *c)
{
	const struct resource *res = c->res;
	struct str sql = STR_INIT;

	str_adds(&sql, "SELECT ");
	size_t cols_n = put_columns(&sql, res);
	str_addf(&sql, " FROM %s t", res->table);
	put_joins(&sql, set, res);
	str_adds(&sql, " WHERE t.tenant_id = ? AND t.id = ?");
	add_stmt(set, &c->row, c, "row", &sql, 2, cols_n);

	str_adds(&sql, "SELECT ");
	put_columns(&sql, res);
	str_addf(&sql, " FROM " IDS_TABLE " STRAIGHT_JOIN %s t ON t.tenant_id = ? AND t.id = p.id",
		res->table);
	put_joins(&sql, set, res);
	str_adds(&sql, " ORDER BY p.n");
	add_stmt(set, &c->rows, c, "rows", &sql, 2, cols_n);

	str_adds(&sql, "SELECT ");
	put_columns(&sql, res);
	str_addf(&sql,
		" FROM (SELECT t.id FROM %s t WHERE t.tenant_id = ? AND t.id > ? ORDER BY t.id "
		"LIMIT ?) p STRAIGHT_JOIN %s t ON t.id = p.id",
		res->table, res->table);
	put_joins(&sql, set, res);
	str_adds(&sql, " ORDER BY p.id");
	add_stmt(set, &c->after, c, "after", &sql, 3, cols_n);
}

static void build_locks(struct crud_set *set, struct crud *c)
{
	struct str sql = STR_INIT;
	const char *table = c->res->table;

	str_addf(&sql, "SELECT id FROM %s WHERE tenant_id = ? AND id = ? FOR UPDATE", table);
	add_stmt(set, &c->lock, c, "lock", &sql, 2, 1);
	str_addf(&sql,
		"SELECT t.id FROM " IDS_TABLE
		" STRAIGHT_JOIN %s t ON t.tenant_id = ? AND t.id = p.id "
		"ORDER BY p.n FOR UPDATE",
		table);
	add_stmt(set, &c->lock_all, c, "lock_all", &sql, 2, 1);
	str_addf(
		&sql, "SELECT id FROM %s WHERE tenant_id = ? AND id = ? LOCK IN SHARE MODE", table);
	add_stmt(set, &c->share, c, "share", &sql, 2, 1);

	const char *owner = c->owner ? c->res->fields[c->owner_field].name : "NULL";
	if (c->owner) {
		str_addf(&sql, "SELECT %s FROM %s WHERE tenant_id = ? AND id = ?", owner, table);
		add_stmt(set, &c->owner_of, c, "owner_of", &sql, 2, 1);
	}
	if (c->unique) {
		str_addf(&sql, "SELECT id, %s FROM %s WHERE tenant_id = ? AND %s = ?", owner, table,
			c->unique->name);
		add_stmt(set, &c->find, c, "find", &sql, 2, 2);
	}
}

static void build_writes(struct crud_set *set, struct crud *c)
{
	const struct resource *res = c->res;
	struct str insert = STR_INIT, values = STR_INIT, update = STR_INIT;
	size_t n = 0;

	str_addf(&insert, "INSERT INTO %s (tenant_id", res->table);
	str_addf(&update, "UPDATE %s SET ", res->table);
	/* Assignments count from left to right: a part that changes its owner goes last there. */
	if (c->owner)
		str_addf(&update, "position = IF(%s = ?, position, DEFAULT(position)), ",
			res->fields[c->owner_field].name);
	for (size_t i = 0; i < res->fields_n; i++) {
		if (res->fields[i].type == FIELD_LIST)
			continue;
		n++;
		str_addf(&insert, ", %s", res->fields[i].name);
		str_adds(&values, ", ?");
		str_addf(&update, "%s = ?, ", res->fields[i].name);
	}
	str_addf(&insert, ") VALUES (?%s)", str_c(&values));
	str_adds(&update, "version = version + 1, updated_at = CURRENT_TIMESTAMP(3) "
			  "WHERE tenant_id = ? AND id = ?");
	add_stmt(set, &c->insert, c, "insert", &insert, n + 1, 0);
	add_stmt(set, &c->update, c, "update", &update, n + 2 + (c->owner ? 1 : 0), 0);
	str_fini(&values);

	str_addf(&update,
		"UPDATE %s SET version = version + 1, updated_at = CURRENT_TIMESTAMP(3) "
		"WHERE tenant_id = ? AND id = ?",
		res->table);
	add_stmt(set, &c->touch, c, "touch", &update, 2, 0);
	str_addf(&update, "DELETE FROM %s WHERE tenant_id = ? AND id = ?", res->table);
	add_stmt(set, &c->del, c, "delete", &update, 2, 0);
}

static void build_items(struct crud_set *set, struct crud *c, struct crud_items *it)
{
	const struct list *l = it->field->list;
	struct str sql = STR_INIT;

	str_addf(&sql, "INSERT INTO %s (tenant_id, %s, position", l->table, l->parent);
	for (size_t i = 0; i < l->items_n; i++)
		str_addf(&sql, ", %s", l->items[i].name);
	str_adds(&sql, ") VALUES (?, ?, ?");
	for (size_t i = 0; i < l->items_n; i++)
		str_adds(&sql, ", ?");
	str_adds(&sql, ")");
	add_stmt(set, &it->add, c, "items.add", &sql, 3 + l->items_n, 0);

	str_addf(&sql, "DELETE FROM %s WHERE tenant_id = ? AND %s = ?", l->table, l->parent);
	add_stmt(set, &it->clear, c, "items.clear", &sql, 2, 0);
	if (!it->rows)
		return;

	str_addf(&sql,
		"SELECT id, %s, position FROM %s WHERE tenant_id = ? AND %s = ? ORDER BY position, "
		"id",
		l->items[0].name, l->table, l->parent);
	add_stmt(set, &it->have, c, "items.have", &sql, 2, 3);
	str_addf(&sql, "UPDATE %s SET position = ? WHERE tenant_id = ? AND id = ?", l->table);
	add_stmt(set, &it->move, c, "items.move", &sql, 3, 0);
	str_addf(&sql, "SELECT COUNT(*) FROM %s WHERE tenant_id = ? AND %s = ?", l->table,
		l->parent);
	add_stmt(set, &it->count, c, "items.count", &sql, 2, 1);
}

static void build_user(struct crud_set *set, struct crud *c, struct crud_user *u)
{
	const struct resource *by = u->from->res;
	const struct list *l = u->field->list;
	struct str sql = STR_INIT;

	str_addf(&sql,
		"SELECT u.used, u.id, %s FROM (SELECT p.id AS used, x.%s AS id FROM " IDS_TABLE
		" STRAIGHT_JOIN %s x ON x.tenant_id = ? AND x.%s = p.id ORDER BY 1, 2 LIMIT %d) u "
		"JOIN %s t ON t.id = u.id ORDER BY u.used, u.id",
		by->label, l ? l->parent : "id", l ? l->table : by->table,
		l ? l->items[0].name : u->field->name, CRUD_USES_MAX + 1, by->table);
	add_stmt(set, &u->uses, c, "uses", &sql, 2, 3);
	if (l)
		return;
	str_addf(&sql, "SELECT id FROM %s WHERE tenant_id = ? AND %s = ? ORDER BY id", by->table,
		u->field->name);
	add_stmt(set, &u->rows, c, "users", &sql, 2, 1);
}

/* Adds " AND (? IS NULL OR ...)": the server drops a condition whose filter is not given before it
 * chooses an index. */
static void put_filter(struct str *sql, struct crud *c, const char *name, const struct field *field,
	const char *cond, const char *binds)
{
	struct crud_filter *f = &c->filters[c->filters_n++];
	f->name = name;
	f->field = field;
	assert(strlen(binds) < sizeof(f->binds));
	memcpy(f->binds, binds, strlen(binds) + 1);
	str_addf(sql, " AND (? IS NULL OR %s)", cond);
}

/* What it is that the items are asked for, and ')', come behind it. */
static void put_in_list(struct str *cond, const struct list *l)
{
	str_addf(cond, "t.id IN (SELECT c.%s FROM %s c WHERE c.tenant_id = ? AND ", l->parent,
		l->table);
}

/* Texts compare without regard to case. Names of the net are ASCII in lower case, and their columns
 * refuse a pattern that is not (MariaDB error 1267): they take another one, 'a'. */
static char put_like(struct str *cond, const struct field *f, char alias)
{
	str_addf(cond, "%c.%s LIKE ?", alias, f->name);
	return f->type == FIELD_HOST || f->type == FIELD_ADDRESS || f->type == FIELD_IP ? 'a' : 'v';
}

static void put_search(struct str *where, struct crud *c)
{
	struct str cond = STR_INIT, binds = STR_INIT;
	for (size_t i = 0; i < c->res->fields_n; i++) {
		const struct field *f = &c->res->fields[i];
		if (!(f->flags & FIELD_SEARCH))
			continue;
		str_adds(&cond, cond.len ? " OR " : "(");
		if (f->type == FIELD_LIST) {
			put_in_list(&cond, f->list);
			str_addc(&binds, 't');
			str_addc(&binds, put_like(&cond, &f->list->items[0], 'c'));
			str_addc(&cond, ')');
		} else {
			str_addc(&binds, put_like(&cond, f, 't'));
		}
	}
	if (cond.len) {
		str_addc(&cond, ')');
		put_filter(where, c, "q", NULL, str_c(&cond), str_c(&binds));
	}
	str_fini(&cond);
	str_fini(&binds);
}

static void put_where(struct str *where, struct crud *c)
{
	struct str cond = STR_INIT;
	str_adds(where, " WHERE t.tenant_id = ?");
	for (size_t i = 0; i < c->res->fields_n; i++) {
		const struct field *f = &c->res->fields[i];
		if (!(f->flags & FIELD_FILTER))
			continue;
		str_clear(&cond);
		if (f->type == FIELD_LIST) {
			put_in_list(&cond, f->list);
			str_addf(&cond, "c.%s = ?)", f->list->items[0].name);
			put_filter(
				where, c, f->list->filter, &f->list->items[0], str_c(&cond), "tv");
		} else {
			str_addf(&cond, "t.%s = ?", f->name);
			put_filter(where, c, f->name, f, str_c(&cond), "v");
		}
	}
	put_search(where, c);
	str_fini(&cond);
}

/* The page is chosen by ids alone, from an index where there is one; only its rows are looked at
 * then. Rows with the same value go by id; where there are none, saying so would cost a sort. */
static void build_page(struct crud_set *set, struct crud *c, struct db_stmt *st, const char *where,
	size_t params_n, const char *name, const char *dir)
{
	bool is_unique =
		strcmp(name, "id") == 0 || (c->unique && strcmp(name, c->unique->name) == 0);
	struct str sql = STR_INIT;
	str_adds(&sql, "SELECT ");
	size_t cols_n = put_columns(&sql, c->res);
	str_addf(&sql, " FROM (SELECT t.id, t.%s AS k FROM %s t%s ORDER BY t.%s%s", name,
		c->res->table, where, name, dir);
	if (!is_unique)
		str_addf(&sql, ", t.id%s", dir);
	str_addf(&sql, " LIMIT ? OFFSET ?) p STRAIGHT_JOIN %s t ON t.id = p.id", c->res->table);
	put_joins(&sql, set, c->res);
	str_addf(&sql, " ORDER BY p.k%s, p.id%s", dir, dir);
	add_stmt(set, st, c, "page", &sql, params_n + 2, cols_n);
}

static void build_lists(struct crud_set *set, struct crud *c)
{
	static const char *const always[] = {"id", "created_at", "updated_at", "version"};
	const size_t always_n = sizeof(always) / sizeof(*always);
	struct str filtered = STR_INIT, sql = STR_INIT;
	size_t params_n[2] = {1, 1};

	put_where(&filtered, c);
	for (size_t i = 0; i < c->filters_n; i++)
		params_n[1] += 1 + strlen(c->filters[i].binds);
	const char *where[2] = {" WHERE t.tenant_id = ?", str_c(&filtered)};

	c->sorts = xcalloc(always_n + c->res->fields_n, sizeof(*c->sorts));
	for (size_t i = 0; i < always_n; i++)
		c->sorts[c->sorts_n++].name = always[i];
	for (size_t i = 0; i < c->res->fields_n; i++)
		if (c->res->fields[i].flags & FIELD_SORT)
			c->sorts[c->sorts_n++].name = c->res->fields[i].name;

	for (int f = 0; f < 2; f++) {
		str_addf(&sql, "SELECT COUNT(*) FROM %s t%s", c->res->table, where[f]);
		add_stmt(set, &c->count[f], c, "count", &sql, params_n[f], 1);
		for (size_t i = 0; i < c->sorts_n; i++)
			for (int down = 0; down < 2; down++)
				build_page(set, c, &c->sorts[i].page[f][down], where[f],
					params_n[f], c->sorts[i].name, down ? " DESC" : "");
	}
	str_fini(&filtered);
}

void crud_sql_build(struct crud_set *set, struct crud *c)
{
	build_reads(set, c);
	build_locks(set, c);
	build_writes(set, c);
	build_lists(set, c);
	for (size_t i = 0; i < c->res->fields_n; i++)
		if (c->items[i].field)
			build_items(set, c, &c->items[i]);
	for (size_t i = 0; i < c->users_n; i++)
		build_user(set, c, &c->users[i]);
}
