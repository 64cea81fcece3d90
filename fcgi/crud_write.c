#include <string.h>

#include "crud_engine.h"
#include "crud_value.h"

/* A create or update on its way. */
struct change {
	struct ctx *ctx;
	const struct crud *c;
	struct input in;
	uint64_t id;
	struct str row;            /* as it was, then as it is */
	struct json_object *old;   /* as it was; NULL when it is made */
	struct ids owners;         /* locked */
	struct ids added, removed; /* parts */
};

static void change_fini(struct change *ch)
{
	input_fini(&ch->in);
	str_fini(&ch->row);
	json_object_put(ch->old);
	ids_fini(&ch->owners);
	ids_fini(&ch->added);
	ids_fini(&ch->removed);
}

/* Answers for the error of a step, with what was noted. */
static void fail_step(struct ctx *ctx, enum err e, const char *what)
{
	if (e == ERR_CONFLICT || e == ERR_NOT_FOUND || e == ERR_VALIDATION)
		ctx_fail(ctx, e, NULL);
	else
		ctx_fail_db(ctx, e, what);
}

static void fail_missing(struct change *ch)
{
	ctx_failf(ch->ctx, ERR_NOT_FOUND, "There is no %s %llu.", ch->c->res->noun,
		(unsigned long long)ch->id);
}

static bool is_changed(const struct change *ch, size_t i)
{
	return !json_object_equal(
		ch->in.v[i].v, json_object_object_get(ch->old, ch->c->res->fields[i].name));
}

/* Adds the values of the columns to in; how many there are then. */
static size_t bind_columns(const struct change *ch, struct db_val *in, size_t n)
{
	for (size_t i = 0; i < ch->c->res->fields_n; i++)
		if (ch->c->res->fields[i].type != FIELD_LIST)
			in[n++] = value_bind(ch->in.v[i].v);
	return n;
}

static enum err insert_row(struct change *ch)
{
	struct db_val in[1 + CRUD_FIELDS_MAX] = {DBV_U(ch->ctx->task.who->tenant_id)};
	size_t n = bind_columns(ch, in, 1);
	return db_exec(ch->ctx->task.db, &ch->c->insert, in, n, NULL, &ch->id);
}

static enum err update_row(struct change *ch)
{
	struct db_val in[3 + CRUD_FIELDS_MAX];
	size_t n = 0;
	if (ch->c->owner)
		in[n++] = value_bind(ch->in.v[ch->c->owner_field].v);
	n = bind_columns(ch, in, n);
	in[n++] = DBV_U(ch->ctx->task.who->tenant_id);
	in[n++] = DBV_U(ch->id);
	return db_exec(ch->ctx->task.db, &ch->c->update, in, n, NULL, NULL);
}

static enum err write_lists(struct change *ch)
{
	enum err e = ERR_OK;
	for (size_t i = 0; i < ch->c->res->fields_n && e == ERR_OK; i++)
		if (ch->c->items[i].field && is_changed(ch, i))
			e = crud_write_items(
				ch->ctx, ch->c, i, ch->id, ch->in.v[i].v, &ch->added, &ch->removed);
	return e;
}

/* The parts that lists added and removed. */
static enum err emit_parts(struct change *ch)
{
	enum err e = ERR_OK;
	for (size_t i = 0; i < ch->c->res->fields_n && e == ERR_OK; i++) {
		const struct crud *parts = ch->c->items[i].rows;
		if (!parts)
			continue;
		for (size_t j = 0; j < ch->removed.n; j++)
			crud_emit_deleted(ch->ctx, parts, ch->removed.v[j]);
		e = crud_emit_rows(ch->ctx, parts, EVENT_ADD, &ch->added);
	}
	return e;
}

/* The row itself is written: now its lists, the events of all rows that look different, the answer.
 */
static void crud_write_finish(struct change *ch, enum event_type type, int status)
{
	struct ctx *ctx = ch->ctx;
	const struct crud *c = ch->c;
	enum err e = write_lists(ch);
	if (e == ERR_DB_DUP) {
		crud_fail_duplicate(ctx, c, &ch->in, ch->id);
		return;
	}
	str_clear(&ch->row);
	if (e == ERR_OK)
		e = crud_render(ctx, c, ch->id, &ch->row);
	if (e == ERR_OK) {
		ctx_emit(ctx,
			&(struct event_out){
				.topic = c->res->name, .type = type, .payload = str_c(&ch->row)});
		e = emit_parts(ch);
	}
	if (e == ERR_OK && type == EVENT_UPDATE)
		e = crud_emit_users(ctx, c, ch->id, &ch->in, ch->old, &ch->added);
	if (e == ERR_OK && c->owner)
		e = crud_touch_owners(ctx, c, &ch->owners);
	if (e != ERR_OK) {
		fail_step(ctx, e, c->res->name);
		return;
	}
	ctx_audit(ctx, "%s/%llu", c->res->name, (unsigned long long)ch->id);
	ctx_ok(ctx, status, &ch->row);
}

static uint64_t new_owner(const struct change *ch)
{
	return ch->c->owner ? json_object_get_uint64(ch->in.v[ch->c->owner_field].v) : 0;
}

void crud_create(struct ctx *ctx)
{
	struct change ch = {.ctx = ctx, .c = ctx->route->arg};
	enum err e = ERR_OK;

	input_parse(ctx, ch.c->res, false, &ch.in);
	input_settle(ctx, &ch.in, NULL);
	e = crud_lock_refs(ctx, ch.c, &ch.in);
	if (e == ERR_OK && ch.c->owner)
		e = crud_lock_owners(ctx, ch.c, 0, new_owner(&ch), &ch.owners);
	if (e == ERR_OK && ctx->problems_n)
		e = ERR_VALIDATION;
	if (e == ERR_OK)
		e = insert_row(&ch);
	if (e == ERR_OK)
		crud_write_finish(&ch, EVENT_ADD, 201);
	else if (e == ERR_DB_DUP)
		crud_fail_duplicate(ctx, ch.c, &ch.in, 0);
	else
		fail_step(ctx, e, "create");
	change_fini(&ch);
}

/* Locks what the row is to refer to and the row, which is read into row and old. An owner comes
 * before its part: it is looked up first, and when the part has gone to another owner since, all
 * begins anew. */
static enum err lock_row(struct change *ch)
{
	struct ctx *ctx = ch->ctx;
	const struct crud *c = ch->c;
	struct ids was = {0};
	const char *why;
	size_t offset;
	enum err e = crud_lock_refs(ctx, c, &ch->in);

	if (e == ERR_OK && c->owner) {
		e = crud_ids(ctx, &c->owner_of, ch->id, &was);
		if (e == ERR_OK && was.n == 0)
			e = ERR_NOT_FOUND;
		if (e == ERR_OK)
			e = crud_lock_owners(ctx, c, was.v[0], new_owner(ch), &ch->owners);
	}
	if (e == ERR_OK)
		e = crud_lock(ctx, &c->lock, ch->id);
	if (e == ERR_OK)
		e = crud_render(ctx, c, ch->id, &ch->row);
	if (e != ERR_OK)
		goto out;
	ch->old = json_parse(ch->row.p, ch->row.len, &why, &offset);
	if (!ch->old)
		e = ERR_INTERNAL;
	else if (c->owner && json_object_get_uint64(json_object_object_get(
				     ch->old, c->res->fields[c->owner_field].name)) != was.v[0])
		e = ERR_DB_RETRY;
out:
	ids_fini(&was);
	return e;
}

/* false: the request names another version than the row has, and is answered. */
static bool check_version(struct change *ch)
{
	uint64_t is = json_object_get_uint64(json_object_object_get(ch->old, "version"));
	if (!ch->in.has_version || ch->in.version == is)
		return true;
	ctx_problem(ch->ctx, "version", "the current version is %llu", (unsigned long long)is);
	ctx_fail(ch->ctx, ERR_STALE, NULL);
	return false;
}

static void update_locked(struct change *ch)
{
	struct ctx *ctx = ch->ctx;
	size_t changes = 0;
	if (!check_version(ch))
		return;
	input_settle(ctx, &ch->in, ch->old);
	enum err e = ctx->problems_n ? ERR_VALIDATION : ERR_OK;
	for (size_t i = 0; i < ch->c->res->fields_n; i++)
		changes += is_changed(ch, i);
	if (e == ERR_OK && changes == 0) {
		ctx_ok(ctx, 200, &ch->row);
		return;
	}
	if (e == ERR_OK)
		e = update_row(ch);
	if (e == ERR_OK)
		crud_write_finish(ch, EVENT_UPDATE, 200);
	else if (e == ERR_DB_DUP)
		crud_fail_duplicate(ctx, ch->c, &ch->in, ch->id);
	else
		fail_step(ctx, e, "update");
}

void crud_update(struct ctx *ctx)
{
	struct change ch = {.ctx = ctx, .c = ctx->route->arg};
	enum err e = ERR_OK;

	input_parse(ctx, ch.c->res, true, &ch.in);
	ch.id = ch.in.id;
	if (ctx->problems_n)
		e = ERR_VALIDATION;
	else
		e = lock_row(&ch);
	if (e == ERR_OK)
		update_locked(&ch);
	else if (e == ERR_NOT_FOUND)
		fail_missing(&ch);
	else
		fail_step(ctx, e, "update");
	change_fini(&ch);
}
