#include "devices.h"

#include <string.h>

#include "clock.h"
#include "device.h"

/* In one statement, for the time is the database's also where there is no such device yet. */
static const struct db_stmt beat_lock = {"devices.beat_lock",
	"SELECT " DB_MS_OF("NOW(3)") ", d.is_online, d.status"
				     " FROM (SELECT 1) one LEFT JOIN devices d ON d.tenant_id = ? "
				     "AND d.device_id = ? FOR UPDATE",
	2, 3};
static const struct db_stmt beat_update = {"devices.beat_update",
	"UPDATE devices SET is_online = TRUE, status = ?, last_seen_at = GREATEST(last_seen_at, ?)"
	" WHERE tenant_id = ? AND device_id = ?",
	4, 0};
static const struct db_stmt beat_insert = {"devices.beat_insert",
	"INSERT INTO devices (status, last_seen_at, tenant_id, device_id, first_seen_at, is_online)"
	" VALUES (?, ?, ?, ?, last_seen_at, TRUE)",
	4, 0};

struct beat {
	struct device device; /* as it is from now on */
	bool was_there, was_online;
	struct str said_before;
	struct json_object *said; /* NULL: nothing new */
};

/* ---- what it says ---- */

/* false: answered. */
static bool beat_read(struct ctx *ctx, struct beat *b)
{
	if (!ctx->body)
		return true;
	json_object_object_foreach (ctx->body, key, v) {
		if (strcmp(key, "status") != 0)
			ctx_problem(
				ctx, strlen(key) > 64 ? "(a longer name)" : key, "unknown field");
		else if (v && (!json_object_is_type(v, json_type_string) ||
				      json_object_get_string_len(v) > DEVICE_STATUS_MAX))
			ctx_problem(
				ctx, key, "must be a text of at most %d bytes", DEVICE_STATUS_MAX);
		else if (v && !strcmp(json_object_get_string(v), "offline"))
			ctx_problem(ctx, key, "a device that can say so is not offline");
		else
			b->said = v;
	}
	if (ctx->problems_n)
		ctx_fail(ctx, ERR_VALIDATION, NULL);
	return !ctx->problems_n;
}

static enum err beat_find(struct ctx *ctx, struct beat *b)
{
	const struct db_val in[] = {
		DBV_U(ctx->task.who->tenant_id), dbv_b(b->device.id.p, b->device.id.len)};
	const struct db_val *row;
	enum err e = db_one(ctx->task.db, &beat_lock, in, 2, &row);

	if (e != ERR_OK || !row)
		return e;
	b->device.seen_ms = dbv_i(&row[0]);
	b->was_there = row[1].type != DB_NULL;
	b->was_online = dbv_u(&row[1]);
	str_add(&b->said_before, dbv_slice(&row[2]).p, dbv_slice(&row[2]).len);
	return ERR_OK;
}

static enum err beat_write(struct ctx *ctx, const struct beat *b)
{
	const struct device *d = &b->device;
	char seen[CLOCK_RFC3339_SIZE];
	enum err e;

	clock_sql(d->seen_ms, seen);

	const struct db_val in[] = {dbv_b(d->said.p, d->said.len), dbv_s(seen),
		DBV_U(ctx->task.who->tenant_id), dbv_b(d->id.p, d->id.len)};

	e = db_exec(ctx->task.db, b->was_there ? &beat_update : &beat_insert, in, 4, NULL, NULL);
	/* Another one has just made it: with that one there it goes on from the beginning. */
	return e == ERR_DB_DUP ? ERR_DB_RETRY : e;
}

static void beat_tell(struct ctx *ctx, const struct beat *b)
{
	uint32_t tenant_id = ctx->task.who->tenant_id;

	if (!b->was_online)
		device_emit_flip(ctx->txn, tenant_id, &b->device);
	else if (!slice_same(slice_str(&b->said_before), b->device.said))
		device_emit_status(ctx->txn, tenant_id, &b->device);
}

static void devices_beat(struct ctx *ctx)
{
	struct beat b = {.device = {.id = ctx->params.v[0].text, .is_online = true}};
	struct str data = STR_INIT;
	enum err e;

	if (!beat_read(ctx, &b))
		return;
	e = beat_find(ctx, &b);
	b.device.said = b.said ? (struct slice){json_object_get_string(b.said),
					 (size_t)json_object_get_string_len(b.said)}
			       : slice_str(&b.said_before);
	if (e == ERR_OK)
		e = beat_write(ctx, &b);
	if (e == ERR_OK) {
		beat_tell(ctx, &b);
		device_put(&data, &b.device);
		ctx_ok(ctx, 200, &data);
	} else {
		ctx_fail_db(ctx, e, "heartbeat");
	}
	str_fini(&b.said_before);
	str_fini(&data);
}

const struct route devices_routes[] = {
	{.methods = HTTP_GET,
		.pattern = "/api/devices",
		.flags = ROUTE_DB,
		.perm = "logs:read",
		.handle = devices_list},
	{.methods = HTTP_GET,
		.pattern = "/api/devices/{device}",
		.flags = ROUTE_DB,
		.perm = "logs:read",
		.handle = devices_get},
	{.methods = HTTP_POST,
		.pattern = "/api/devices/{device}/heartbeat",
		.flags = ROUTE_JSON | ROUTE_MAY_BE_EMPTY | ROUTE_TXN | ROUTE_UNAUDITED,
		.perm = "logs:ingest",
		.handle = devices_beat},
};
const size_t devices_routes_n = sizeof(devices_routes) / sizeof(devices_routes[0]);
