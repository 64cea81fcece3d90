#include <string.h>

#include "crud_engine.h"
#include "room.h"

/* The rooms of a row, as ws_events.room has them. One without any is for nobody's ears but those of
 * who is in all rooms: no name between two commas says so. */
static void put_rooms(struct str *out, const struct resource *res, struct json_object *row)
{
	struct strlist rooms = {0};

	res->rooms(row, &rooms);
	for (size_t i = 0; i < rooms.n; i++)
		if (room_is_name(rooms.v[i], strlen(rooms.v[i])))
			str_addf(out, "%s%s", out->len ? "," : "", rooms.v[i]);
	if (!out->len)
		str_addc(out, ',');
	strlist_fini(&rooms);
}

void crud_emit(struct ctx *ctx, enum event_type type, const struct row_verb *verb,
	const struct deed *d, const char *row)
{
	const struct resource *res = d->c->res;
	const struct row_event *as = verb && verb->event.name ? &verb->event : &res->events[type];
	struct str payload = STR_INIT, room = STR_INIT;

	if (as->put)
		as->put(&payload, d);
	if (res->rooms)
		put_rooms(&room, res, d->now ? d->now : d->old);
	ctx_emit(ctx, &(struct event_out){.topic = d->c->stream->topic,
			      .type = type,
			      .payload = as->put ? str_c(&payload) : row,
			      .room = str_c(&room),
			      .name = as->name});
	str_fini(&payload);
	str_fini(&room);
}

/* Do events of the type tell more than the row's text? */
static bool looks_inside(const struct resource *res, enum event_type type)
{
	return res->rooms || res->events[type].put;
}

static struct json_object *parse_row(const struct str *row)
{
	const char *why;
	size_t offset;

	return json_parse(row->p, row->len, &why, &offset);
}

enum err crud_emit_deleted(struct ctx *ctx, const struct crud *c, uint64_t id)
{
	struct deed d = {.c = c, .id = id};
	struct str payload = STR_INIT, row = STR_INIT;
	enum err e = ERR_OK;

	if (looks_inside(c->res, EVENT_DELETE)) {
		e = crud_render(ctx, c, id, &row);
		d.old = e == ERR_OK ? parse_row(&row) : NULL;
	}
	str_addf(&payload, "{\"id\":%llu}", (unsigned long long)id);
	if (e == ERR_OK)
		crud_emit(ctx, EVENT_DELETE, NULL, &d, payload.p);
	json_object_put(d.old);
	str_fini(&payload);
	str_fini(&row);
	return e;
}

static void emit_row(struct ctx *ctx, const struct crud *c, const struct str *row, void *arg)
{
	const enum event_type *type = arg;
	struct deed d = {.c = c};

	if (looks_inside(c->res, *type))
		d.now = parse_row(row);
	d.id = d.now ? json_object_get_uint64(json_object_object_get(d.now, "id")) : 0;
	crud_emit(ctx, *type, NULL, &d, str_c(row));
	json_object_put(d.now);
}

enum err crud_emit_rows(
	struct ctx *ctx, const struct crud *c, enum event_type type, const struct ids *ids)
{
	return crud_render_each(ctx, c, ids->v, ids->n, emit_row, &type);
}

/* Does a row that refers to this one show something that is different now? */
static bool shows_change(const struct crud_user *u, const struct crud *c, const struct input *now,
	struct json_object *old)
{
	for (size_t j = 0; j < CRUD_SHOWS_MAX && u->field->shows[j].json; j++)
		for (size_t i = 0; i < c->res->fields_n; i++) {
			const char *name = c->res->fields[i].name;
			if (strcmp(u->field->shows[j].column, name) == 0 &&
				!json_object_equal(now->v[i].v, json_object_object_get(old, name)))
				return true;
		}
	return false;
}

/* Locks the users of row `id` but those in `except`. The row is locked: none can be added, and one
 * that refers to another row by now does no harm in being published again. */
static enum err lock_users(struct ctx *ctx, const struct crud_user *u, uint64_t id,
	const struct ids *except, struct ids *to)
{
	struct ids all = {0}, some = {0};
	enum err e = crud_ids(ctx, &u->rows, id, &all);
	for (size_t i = 0; i < all.n; i++)
		if (!ids_has(except, all.v[i]))
			ids_add(&some, all.v[i]);
	if (e == ERR_OK)
		e = crud_lock_all(ctx, u->from, &some, to);
	ids_fini(&all);
	ids_fini(&some);
	return e;
}

enum err crud_emit_users(struct ctx *ctx, const struct crud *c, uint64_t id,
	const struct input *now, struct json_object *old, const struct ids *except)
{
	struct ids ids = {0};
	enum err e = ERR_OK;
	for (size_t i = 0; i < c->users_n && e == ERR_OK; i++) {
		const struct crud_user *u = &c->users[i];
		if (!shows_change(u, c, now, old))
			continue;
		ids.n = 0;
		e = lock_users(ctx, u, id, except, &ids);
		if (e == ERR_OK)
			e = crud_emit_rows(ctx, u->from, EVENT_UPDATE, &ids);
	}
	ids_fini(&ids);
	return e;
}

/* Has the owner as many parts as its list may have items? */
static enum err check_parts(struct ctx *ctx, const struct crud *c, uint64_t owner)
{
	const struct field *list = c->of->field;
	const struct db_val in[] = {DBV_U(ctx->task.who->tenant_id), DBV_U(owner)}, *row = NULL;
	enum err e = db_one(ctx->task.db, &c->of->count, in, 2, &row);
	if (e != ERR_OK)
		return e;
	int64_t n = row ? (int64_t)dbv_u(&row[0]) : 0;
	if (n >= list->min && n <= list->max)
		return ERR_OK;
	ctx_problem(ctx, c->res->fields[c->owner_field].name, "%s %llu must have %lld to %lld %s",
		c->owner->res->noun, (unsigned long long)owner, (long long)list->min,
		(long long)list->max, list->name);
	return ERR_CONFLICT;
}

enum err crud_touch_owners(struct ctx *ctx, const struct crud *c, const struct ids *owners)
{
	enum err e = ERR_OK;
	for (size_t i = 0; i < owners->n && e == ERR_OK; i++) {
		const struct db_val in[] = {DBV_U(ctx->task.who->tenant_id), DBV_U(owners->v[i])};
		e = check_parts(ctx, c, owners->v[i]);
		if (e == ERR_OK)
			e = db_exec(ctx->task.db, &c->owner->touch, in, 2, NULL, NULL);
	}
	return e == ERR_OK ? crud_emit_rows(ctx, c->owner, EVENT_UPDATE, owners) : e;
}
