#include <string.h>

#include "crud_engine.h"
#include "crud_value.h"

/* A create, update or verb on its way. */
struct change {
	struct ctx *ctx;
	const struct crud *c;
	const struct row_verb *verb;
	struct deed deed; /* old is change's */
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
	json_object_put(ch->deed.now);
	json_object_put(ch->deed.given);
	json_object_put(ch->deed.changes);
	json_object_put(ch->deed.result);
	ids_fini(&ch->owners);
	ids_fini(&ch->added);
	ids_fini(&ch->removed);
}

/* Answers for the error of a step, with what was noted. */
static void fail_step(struct ctx *ctx, enum err e, const char *what)
{
	if (e < ERR_INTERNAL)
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
		for (size_t j = 0; j < ch->removed.n && e == ERR_OK; j++)
			e = crud_emit_deleted(ch->ctx, parts, ch->removed.v[j]);
		if (e == ERR_OK)
			e = crud_emit_rows(ch->ctx, parts, EVENT_ADD, &ch->added);
	}
	return e;
}

static enum err emit_change(struct change *ch, enum event_type type)
{
	const char *why;
	size_t offset;

	ch->deed.c = ch->c;
	ch->deed.id = ch->id;
	ch->deed.old = ch->old;
	ch->deed.now = json_parse(ch->row.p, ch->row.len, &why, &offset);
	if (!ch->deed.now)
		return ERR_INTERNAL;
	crud_emit(ch->ctx, type, ch->verb, &ch->deed, str_c(&ch->row));
	return ERR_OK;
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
	if (e == ERR_OK)
		e = emit_change(ch, type);
	if (e == ERR_OK)
		e = emit_parts(ch);
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

static bool may_follow(const struct transition *t, const char *from, const char *to)
{
	for (; t->from; t++)
		for (size_t i = 0; strcmp(t->from, from) == 0 && t->to[i]; i++)
			if (strcmp(t->to[i], to) == 0)
				return true;
	return false;
}

static void note_transition(
	struct ctx *ctx, const struct field *f, const char *from, const char *to)
{
	struct str allowed = STR_INIT;

	for (const struct transition *t = f->transitions; t->from; t++)
		for (size_t i = 0; strcmp(t->from, from) == 0 && t->to[i]; i++)
			str_addf(&allowed, "%s%s", allowed.len ? ", " : "", t->to[i]);
	ctx_problem(ctx, f->name, "is %s, which may become %s, not %s", from,
		allowed.len ? allowed.p : "nothing else", to);
	str_fini(&allowed);
}

/* ERR_CONFLICT, noted, if a field is to become what may not follow what it is. */
static enum err check_transitions(struct change *ch)
{
	size_t had_n = ch->ctx->problems_n;

	for (size_t i = 0; i < ch->c->res->fields_n; i++) {
		const struct field *f = &ch->c->res->fields[i];
		const char *from = f->transitions ? json_get_str(ch->old, f->name) : NULL;
		const char *to = json_object_get_string(ch->in.v[i].v);

		if (from && to && strcmp(from, to) != 0 && !may_follow(f->transitions, from, to))
			note_transition(ch->ctx, f, from, to);
	}
	return ch->ctx->problems_n > had_n ? ERR_CONFLICT : ERR_OK;
}

/* What a verb does, before what it changes is looked at as an update. */
static enum err run_verb(struct change *ch)
{
	struct deed *d = &ch->deed;
	enum err e = ERR_OK;

	d->c = ch->c;
	d->id = ch->id;
	d->old = ch->old;
	d->changes = json_object_new_object();
	if (ch->verb->run)
		e = ch->verb->run(ch->ctx, d);
	if (e != ERR_OK)
		return e;
	input_change(ch->ctx, &ch->in, d->changes);
	return json_object_object_length(d->changes) ? crud_lock_refs(ch->ctx, ch->c, &ch->in)
						     : ERR_OK;
}

static void update_locked(struct change *ch)
{
	struct ctx *ctx = ch->ctx;
	size_t changes = 0;
	enum err e = ERR_OK;
	if (!check_version(ch))
		return;
	if (ch->verb)
		e = run_verb(ch);
	if (e == ERR_OK)
		input_settle(ctx, &ch->in, ch->old);
	if (e == ERR_OK && ctx->problems_n)
		e = ERR_VALIDATION;
	if (e == ERR_OK)
		e = check_transitions(ch);
	if (ctx->failed != ERR_OK) /* the verb has answered */
		return;
	for (size_t i = 0; i < ch->c->res->fields_n; i++)
		changes += is_changed(ch, i);
	if (e == ERR_OK && changes == 0 && !ch->deed.is_done) {
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

static void update(struct change *ch)
{
	enum err e = ERR_OK;

	ch->id = ch->in.id;
	if (ch->ctx->problems_n)
		e = ERR_VALIDATION;
	else
		e = lock_row(ch);
	if (e == ERR_OK)
		update_locked(ch);
	else if (e == ERR_NOT_FOUND)
		fail_missing(ch);
	else
		fail_step(ch->ctx, e, "update");
	change_fini(ch);
}

void crud_update(struct ctx *ctx)
{
	struct change ch = {.ctx = ctx, .c = ctx->route->arg};

	input_parse(ctx, ch.c->res, true, &ch.in);
	update(&ch);
}

void crud_verb(struct ctx *ctx)
{
	const struct crud_verb *at = ctx->route->arg;
	struct change ch = {.ctx = ctx, .c = at->c, .verb = at->verb};

	ch.deed.given = input_parse_verb(ctx, at->c->res, at->verb, &ch.in);
	update(&ch);
}
