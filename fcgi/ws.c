#include "ws.h"

#include <string.h>

#include "cast.h"
#include "hosts.h"
#include "loop.h"
#include "park_question.h"
#include "question.h"
#include "room.h"
#include "worker.h"

/* Has the request parked, to be answered by the poller. NULL: it is answered that there is no room.
 */
static struct park_question *park_it(struct ctx *ctx)
{
	struct park_question *a;

	if (!loop_reserve(ctx->task.worker->app->loop, (size_t)ctx->task.cfg->fcgi.max_parked)) {
		ctx_fail(ctx, ERR_BUSY, NULL);
		return NULL;
	}
	a = park_question_new();
	a->tenant_id = ctx->task.who->tenant_id;
	park_set_caller(&a->park, ctx->task.who, ctx->task.arrived_ms);
	ctx->park = &a->park;
	return a;
}

/* ---- questions: the query string is what is asked, and the poller's answer is the data ---- */

static void add_argument(const char *key, const char *value, void *arg)
{
	/* The caller's token: read by dispatch. */
	if (strcmp(key, "token") != 0)
		json_object_object_add(arg, key, json_object_new_string(value));
}

/* What the path names. */
static void add_id(const struct ctx *ctx, struct json_object *args)
{
	struct slice id = ctx->params.v[0].text;

	if (ctx->params.n)
		json_object_object_add(args, "id", json_object_new_string_len(id.p, (int)id.len));
}

/* The question that a route has in `arg`, of what is the caller's tenant's. */
static void ws_ask(struct ctx *ctx)
{
	const struct question *q =
		question_find((struct slice){ctx->route->arg, strlen(ctx->route->arg)});
	struct json_object *args = json_object_new_object();
	struct park_question *a;

	if (!ctx_permit(ctx, q->perm)) {
		/* Answered. */
	} else if (!query_each(ctx->req.query, add_argument, args)) {
		ctx_fail(ctx, ERR_BAD_REQUEST, "The query string is not well encoded.");
	} else if (ctx->req.is_head) {
		ctx->res.status = 200;
		ctx->res.content_type = "application/json";
	} else {
		add_id(ctx, args);
		a = park_it(ctx);
		if (a) {
			a->question = q->name;
			json_print(&a->arguments, args);
		}
	}
	json_object_put(args);
}

/* ---- broadcast ---- */

static const char *ws_read_room(struct ctx *ctx)
{
	struct json_object *v = json_get(ctx->body, "room");
	const char *room = json_get_str(ctx->body, "room");

	if (v && (!room || !room_is_name(room, (size_t)json_object_get_string_len(v))))
		ctx_problem(ctx, "room", "must be the name of a room");
	return room ? room : "";
}

static void read_cast(struct ctx *ctx, struct str *args)
{
	const char *event = json_get_str(ctx->body, "event"), *field, *why;
	struct json_object *data = NULL;
	struct str text = STR_INIT;

	json_object_object_foreach (ctx->body, key, value)
		if (strcmp(key, "event") != 0 && strcmp(key, "data") != 0 &&
			strcmp(key, "room") != 0)
			ctx_problem(ctx, key, "unknown field");
	if (!event)
		ctx_problem(ctx, "event", "must be a text");
	if (!json_object_object_get_ex(ctx->body, "data", &data))
		ctx_problem(ctx, "data", "is missing");
	json_print(&text, data);
	cast_put(args, event ? event : "", str_c(&text), text.len);
	if (event && !cast_is_good((struct slice){args->p, args->len}, &field, &why))
		ctx_problem(ctx, field, "%s", why);
	str_fini(&text);
}

/* Has it carried to the sockets of other hosts, if there are any. false: answered. */
static bool cast_elsewhere(struct ctx *ctx, const char *room, const struct str *args)
{
	int64_t own = ctx->task.cfg->poller.node_id;
	struct event_out out = {.topic = EVENT_TOPIC_HOSTS, .type = EVENT_ADD};
	struct str json = STR_INIT;
	bool are_several;
	enum err e = hosts_are_several(ctx->task.db, own, &are_several);

	if (e != ERR_OK) {
		ctx_fail_db(ctx, e, "broadcast");
		return false;
	}
	if (are_several) {
		hosts_put_cast(&json, own, room, slice_str(args));
		out.payload = str_c(&json);
		ctx_emit(ctx, &out);
	}
	str_fini(&json);
	return true;
}

/* In a transaction for its audit row. It is committed before anybody is told anything; so whoever
 * comes again with the same Idempotency-Key has nothing sent twice, and cannot learn to how many it
 * was. */
static void broadcast(struct ctx *ctx)
{
	static const char again[] = "{\"sockets\":null,\"skipped\":null}";
	struct str args = STR_INIT, data = STR_INIT;
	const char *room = ws_read_room(ctx);
	struct park_question *a;

	read_cast(ctx, &args);
	str_adds(&data, again);
	if (ctx->problems_n) {
		ctx_fail(ctx, ERR_VALIDATION, NULL);
	} else if (cast_elsewhere(ctx, room, &args) && (a = park_it(ctx))) {
		ctx_audit(ctx, "%s%s%s", json_get_str(ctx->body, "event"), room[0] ? " to " : "",
			room);
		ctx_ok(ctx, 200, &data);
		str_adds(&a->room, room);
		str_add(&a->arguments, args.p, args.len);
	}
	str_fini(&args);
	str_fini(&data);
}

/* ---- disconnect ---- */

static void answer_gone(struct ctx *ctx, int64_t node_id)
{
	struct slice id = ctx->params.v[0].text;
	struct str data = STR_INIT;

	ctx_audit(ctx, "connections/%.*s", (int)id.len, id.p);
	str_adds(&data, "{\"id\":");
	str_add_json_n(&data, id.p, id.len);
	str_addf(&data, ",\"node\":%lld}", (long long)node_id);
	ctx_ok(ctx, 200, &data);
	str_fini(&data);
}

/* The poller of this host is asked, once the audit row is committed. */
static void disconnect_here(struct ctx *ctx)
{
	struct json_object *args = json_object_new_object();
	struct park_question *a = park_it(ctx);

	if (a) {
		add_id(ctx, args);
		a->question = "disconnect";
		json_print(&a->arguments, args);
		answer_gone(ctx, ctx->task.cfg->poller.node_id);
	}
	json_object_put(args);
}

/* The poller of the other one reads it in the event log. */
static void disconnect_there(struct ctx *ctx, int64_t node_id)
{
	struct event_out e = {.topic = EVENT_TOPIC_HOSTS, .type = EVENT_DELETE};
	struct str json = STR_INIT;

	hosts_put_disconnect(&json, node_id, ctx->params.v[0].text);
	e.payload = str_c(&json);
	ctx_emit(ctx, &e);
	answer_gone(ctx, node_id);
	str_fini(&json);
}

/* The audit row says who asked for it, and is committed before anybody is told. */
static void disconnect(struct ctx *ctx)
{
	int64_t own = ctx->task.cfg->poller.node_id, where;
	enum err e = hosts_find(
		ctx->task.db, own, ctx->task.who->tenant_id, ctx->params.v[0].text, &where);

	if (e != ERR_OK)
		ctx_fail_db(ctx, e, "disconnect");
	else if (where)
		disconnect_there(ctx, where);
	else
		disconnect_here(ctx);
}

#define BOTH(method, path, ...)                                              \
	{.methods = (method), .pattern = "/ws/" path, __VA_ARGS__},          \
	{                                                                    \
		.methods = (method), .pattern = "/api/ws/" path, __VA_ARGS__ \
	}

const struct route ws_routes[] = {
	BOTH(HTTP_GET, "connections", .flags = ROUTE_PARKS, .handle = ws_ask, .arg = "connections"),
	BOTH(HTTP_POST, "broadcast", .flags = ROUTE_JSON | ROUTE_TXN, .perm = "ws:admin",
		.handle = broadcast),
	BOTH(HTTP_GET, "connections/{connection}", .flags = ROUTE_PARKS, .handle = ws_ask,
		.arg = "connection"),
	BOTH(HTTP_DELETE, "connections/{connection}", .flags = ROUTE_TXN, .perm = "ws:admin",
		.handle = disconnect),
	BOTH(HTTP_GET, "stats", .flags = ROUTE_PARKS, .handle = ws_ask, .arg = "connection-stats"),
};
const size_t ws_routes_n = sizeof(ws_routes) / sizeof(ws_routes[0]);
