#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crud_engine.h"
#include "crud_value.h"
#include "mem.h"

#define PATH_SIZE 128

enum err crud_ids(struct ctx *ctx, const struct db_stmt *st, uint64_t id, struct ids *to)
{
	const struct db_val in[] = {DBV_U(ctx->task.who->tenant_id), DBV_U(id)}, *row;
	enum err e = db_query(ctx->task.db, st, in, 2);
	if (e != ERR_OK)
		return e;
	while ((row = db_fetch(ctx->task.db)))
		ids_add(to, dbv_u(&row[0]));
	db_done(ctx->task.db);
	return ERR_OK;
}

enum err crud_lock(struct ctx *ctx, const struct db_stmt *st, uint64_t id)
{
	const struct db_val in[] = {DBV_U(ctx->task.who->tenant_id), DBV_U(id)}, *row = NULL;
	enum err e = db_one(ctx->task.db, st, in, 2, &row);
	return e == ERR_OK && !row ? ERR_NOT_FOUND : e;
}

enum err crud_lock_all(
	struct ctx *ctx, const struct crud *c, const struct ids *ids, struct ids *found)
{
	struct str json = STR_INIT;
	const struct db_val *row;
	enum err e = ERR_OK;
	for (size_t at = 0; at < ids->n && e == ERR_OK; at += CRUD_ROWS_MAX) {
		size_t n = ids->n - at < CRUD_ROWS_MAX ? ids->n - at : CRUD_ROWS_MAX;
		str_clear(&json);
		ids_json(ids->v + at, n, &json);
		const struct db_val in[] = {
			dbv_b(json.p, json.len), DBV_U(ctx->task.who->tenant_id)};
		e = db_query(ctx->task.db, &c->lock_all, in, 2);
		while (e == ERR_OK && (row = db_fetch(ctx->task.db)))
			ids_add(found, dbv_u(&row[0]));
		if (e == ERR_OK)
			db_done(ctx->task.db);
	}
	str_fini(&json);
	return e;
}

/* ---- what a row refers to ---- */

static void crud_links_note_missing(
	struct ctx *ctx, const char *path, const struct crud *to, uint64_t id)
{
	ctx_problem(ctx, path, "%s %llu does not exist", to->res->noun, (unsigned long long)id);
}

static uint64_t id_at(struct json_object *items, size_t i)
{
	return json_object_get_uint64(json_object_array_get_idx(items, i));
}

static enum err lock_item_refs(
	struct ctx *ctx, const struct field *f, const struct crud *to, struct json_object *items)
{
	struct ids ids = {0};
	char path[PATH_SIZE];
	enum err e = ERR_OK;
	size_t n = json_object_array_length(items);
	for (size_t i = 0; i < n; i++)
		if (id_at(items, i))
			ids_add(&ids, id_at(items, i));
	ids_sort(&ids);
	for (size_t i = 0; i < ids.n && e == ERR_OK; i++) {
		e = crud_lock(ctx, &to->share, ids.v[i]);
		if (e != ERR_NOT_FOUND)
			continue;
		e = ERR_OK;
		for (size_t j = 0; j < n; j++)
			if (id_at(items, j) == ids.v[i]) {
				snprintf(path, sizeof(path), "%s[%zu]", f->name, j);
				crud_links_note_missing(ctx, path, to, ids.v[i]);
			}
	}
	ids_fini(&ids);
	return e;
}

enum err crud_lock_refs(struct ctx *ctx, const struct crud *c, const struct input *in)
{
	enum err e = ERR_OK;
	for (size_t i = 0; i < c->res->fields_n && e == ERR_OK; i++) {
		const struct field *f = &c->res->fields[i];
		struct json_object *v = in->v[i].v;
		if (!c->refs[i] || !v || (f->flags & FIELD_OWNER))
			continue;
		if (f->type == FIELD_LIST) {
			e = lock_item_refs(ctx, f, c->refs[i], v);
			continue;
		}
		e = crud_lock(ctx, &c->refs[i]->share, json_object_get_uint64(v));
		if (e == ERR_NOT_FOUND) {
			crud_links_note_missing(
				ctx, f->name, c->refs[i], json_object_get_uint64(v));
			e = ERR_OK;
		}
	}
	return e;
}

enum err crud_lock_owners(
	struct ctx *ctx, const struct crud *c, uint64_t was, uint64_t now, struct ids *owners)
{
	enum err e = ERR_OK;
	if (was)
		ids_add(owners, was);
	if (now)
		ids_add(owners, now);
	ids_sort(owners);
	for (size_t i = 0; i < owners->n && e == ERR_OK; i++) {
		e = crud_lock(ctx, &c->owner->lock, owners->v[i]);
		if (e == ERR_NOT_FOUND && owners->v[i] == now) {
			crud_links_note_missing(
				ctx, c->res->fields[c->owner_field].name, c->owner, now);
			e = ERR_OK;
		}
	}
	return e;
}

/* ---- lists ---- */

static enum err add_item(struct ctx *ctx, const struct crud_items *it, uint64_t parent,
	size_t position, struct json_object *item, uint64_t *id)
{
	const struct list *l = it->field->list;
	struct db_val in[3 + CRUD_FIELDS_MAX] = {
		DBV_U(ctx->task.who->tenant_id), DBV_U(parent), DBV_U(position)};
	for (size_t i = 0; i < l->items_n; i++)
		in[3 + i] = value_bind(
			l->is_bare ? item : json_object_object_get(item, l->items[i].name));
	return db_exec(ctx->task.db, &it->add, in, 3 + l->items_n, NULL, id);
}

/* A list whose items are nobody's rows is written anew. */
static enum err replace_items(
	struct ctx *ctx, const struct crud_items *it, uint64_t parent, struct json_object *items)
{
	const struct db_val in[] = {DBV_U(ctx->task.who->tenant_id), DBV_U(parent)};
	enum err e = db_exec(ctx->task.db, &it->clear, in, 2, NULL, NULL);
	size_t n = json_object_array_length(items);
	for (size_t i = 0; i < n && e == ERR_OK; i++)
		e = add_item(ctx, it, parent, i, json_object_array_get_idx(items, i), NULL);
	return e;
}

struct had {
	uint64_t id, position;
	char *value;
	bool is_kept;
};

/* The rows that are the list's items now. */
static enum err read_had(
	struct ctx *ctx, const struct crud_items *it, uint64_t parent, struct had **had, size_t *n)
{
	const struct db_val in[] = {DBV_U(ctx->task.who->tenant_id), DBV_U(parent)}, *row;
	enum err e = db_query(ctx->task.db, &it->have, in, 2);
	if (e != ERR_OK)
		return e;
	*had = xcalloc(db_rows_n(ctx->task.db) + 1, sizeof(**had));
	while ((row = db_fetch(ctx->task.db)))
		(*had)[(*n)++] = (struct had){
			dbv_u(&row[0]), dbv_u(&row[2]), xstrdup(dbv_text(&row[1])), false};
	db_done(ctx->task.db);
	return ERR_OK;
}

/* A list whose items are rows: those that stay keep their ids, and what goes goes first, so that no
 * unique value is in the way. */
static enum err merge_items(struct ctx *ctx, const struct crud_items *it, uint64_t parent,
	struct json_object *items, struct ids *added, struct ids *removed)
{
	const struct db_val tenant = DBV_U(ctx->task.who->tenant_id);
	struct had *had = NULL, **at = NULL;
	size_t had_n = 0, n = json_object_array_length(items);
	uint64_t id;
	enum err e = read_had(ctx, it, parent, &had, &had_n);
	if (e != ERR_OK)
		return e;

	at = xcalloc(n + 1, sizeof(*at));
	for (size_t i = 0; i < n; i++) {
		const char *value = json_object_get_string(json_object_array_get_idx(items, i));
		for (size_t j = 0; j < had_n && !at[i]; j++)
			if (strcmp(had[j].value, value) == 0) {
				at[i] = &had[j];
				had[j].is_kept = true;
			}
	}
	for (size_t j = 0; j < had_n && e == ERR_OK; j++)
		if (!had[j].is_kept) {
			e = db_exec(ctx->task.db, &it->rows->del,
				(struct db_val[]){tenant, DBV_U(had[j].id)}, 2, NULL, NULL);
			ids_add(removed, had[j].id);
		}
	for (size_t i = 0; i < n && e == ERR_OK; i++) {
		if (!at[i]) {
			e = add_item(ctx, it, parent, i, json_object_array_get_idx(items, i), &id);
			if (e == ERR_OK)
				ids_add(added, id);
		} else if (at[i]->position != i) {
			e = db_exec(ctx->task.db, &it->move,
				(struct db_val[]){DBV_U(i), tenant, DBV_U(at[i]->id)}, 3, NULL,
				NULL);
		}
	}
	for (size_t j = 0; j < had_n; j++)
		free(had[j].value);
	free(had);
	free(at);
	return e;
}

enum err crud_write_items(struct ctx *ctx, const struct crud *c, size_t i, uint64_t parent,
	struct json_object *items, struct ids *added, struct ids *removed)
{
	const struct crud_items *it = &c->items[i];
	return it->rows ? merge_items(ctx, it, parent, items, added, removed)
			: replace_items(ctx, it, parent, items);
}

/* ---- who is in the way ---- */

enum err crud_find_uses(struct ctx *ctx, const struct crud *c, const struct ids *ids)
{
	struct str json = STR_INIT;
	const struct db_val *row;
	enum err e = ERR_OK;
	ids_json(ids->v, ids->n, &json);
	for (size_t i = 0; i < c->users_n && e == ERR_OK; i++) {
		const struct crud_user *u = &c->users[i];
		const struct db_val in[] = {
			dbv_b(json.p, json.len), DBV_U(ctx->task.who->tenant_id)};
		if (u->field->flags & FIELD_OWNER)
			continue;
		e = db_query(ctx->task.db, &u->uses, in, 2);
		for (size_t k = 0; e == ERR_OK && (row = db_fetch(ctx->task.db)); k++) {
			const char *label = dbv_text(&row[2]);
			if (k == CRUD_USES_MAX)
				ctx_problem(ctx, "ids", "and by more %s", u->from->res->name);
			else
				ctx_problem(ctx, "ids", "%s %llu is used by %s %llu (%s)",
					c->res->noun, (unsigned long long)dbv_u(&row[0]),
					u->from->res->noun, (unsigned long long)dbv_u(&row[1]),
					label ? label : "");
		}
		if (e == ERR_OK)
			db_done(ctx->task.db);
	}
	str_fini(&json);
	return e;
}

/* Notes it if another row than `id`, or with by_owner a row of another owner than `id`, has the
 * value. */
static enum err note_holder(struct ctx *ctx, const struct crud *c, const char *path,
	const char *value, uint64_t id, bool by_owner)
{
	const struct db_val in[] = {DBV_U(ctx->task.who->tenant_id), dbv_s(value)}, *row = NULL;
	enum err e = db_one(ctx->task.db, &c->find, in, 2, &row);
	if (e != ERR_OK || !row || dbv_u(&row[by_owner ? 1 : 0]) == id)
		return e;
	if (c->owner)
		ctx_problem(ctx, path, "%s belongs to %s %llu already", value, c->owner->res->noun,
			(unsigned long long)dbv_u(&row[1]));
	else
		ctx_problem(ctx, path, "%s %llu has this %s already", c->res->noun,
			(unsigned long long)dbv_u(&row[0]), c->unique->name);
	return ERR_OK;
}

void crud_fail_duplicate(struct ctx *ctx, const struct crud *c, const struct input *in, uint64_t id)
{
	char path[PATH_SIZE];
	enum err e = ERR_OK;
	if (c->unique)
		e = note_holder(ctx, c, c->unique->name,
			json_object_get_string(in->v[c->unique - c->res->fields].v), id, false);
	for (size_t i = 0; i < c->res->fields_n && e == ERR_OK; i++) {
		struct json_object *items = in->v[i].v;
		if (!c->items[i].rows)
			continue;
		for (size_t j = 0; e == ERR_OK && j < json_object_array_length(items); j++) {
			snprintf(path, sizeof(path), "%s[%zu]", c->res->fields[i].name, j);
			e = note_holder(ctx, c->items[i].rows, path,
				json_object_get_string(json_object_array_get_idx(items, j)), id,
				true);
		}
	}
	if (e != ERR_OK)
		ctx_fail_db(ctx, e, "duplicate");
	else if (ctx->problems_n)
		ctx_fail(ctx, ERR_DUPLICATE, NULL);
	else /* whoever had it has let it go since */
		ctx_fail_db(ctx, ERR_DB_RETRY, "duplicate");
}
