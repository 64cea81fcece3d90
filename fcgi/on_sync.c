#include "on_sync.h"

#include <string.h>

#include "app.h"
#include "cache.h"
#include "interest.h"
#include "log.h"
#include "resources.h"
#include "worker.h"

/* rooms is a JSON array of the rooms that the caller is in. */
static const struct db_stmt select_missed = {
	.name = "sync.missed",
	.sql = "SELECT id, event_type, payload, name FROM ws_events"
	       " WHERE topic = ? AND id > ? AND id <= ? AND tenant_id = ?"
	       " AND (room = '' OR JSON_CONTAINS(?, JSON_QUOTE(room))) ORDER BY id LIMIT ?",
	.params_n = 6,
	.cols_n = 4,
};
static const struct db_stmt select_version = {
	.name = "sync.version",
	.sql = "SELECT id FROM ws_events WHERE topic = ? AND id <= ? AND tenant_id = ?"
	       " ORDER BY id DESC LIMIT 1",
	.params_n = 3,
	.cols_n = 1,
};
const struct db_set on_sync_sql = {
	.name = "on_sync",
	.stmts = (const struct db_stmt *const[]){&select_missed, &select_version, NULL},
};

/* ---- snapshots ---- */

/* Rises with each change of the topic: the last event of it, or, when that has been pruned, how far
 * that has gone. */
static enum err read_version(struct ctx *ctx, const char *topic, uint64_t tail, uint64_t *version)
{
	const struct db_val in[] = {dbv_s(topic), DBV_U(tail), DBV_U(ctx->who->tenant_id)}, *row;
	enum err e = db_one(ctx->db, &select_version, in, 3, &row);

	*version = e == ERR_OK && row ? dbv_u(&row[0]) : atomic_load(&ctx->shm->floor);
	return e;
}

static enum err render(struct ctx *ctx, const char *topic, uint64_t tail, struct str *out)
{
	struct str items = STR_INIT;
	uint64_t total = 0, version = 0;
	enum err e = ERR_DB_LOST;

	/* A lost connection shows when it is used. */
	for (int i = 0; i < 2 && e == ERR_DB_LOST; i++) {
		str_clear(&items);
		e = db_ensure(ctx->db);
		if (e == ERR_OK)
			e = read_version(ctx, topic, tail, &version);
		if (e == ERR_OK)
			e = resource_snapshot(ctx, topic, ON_SYNC_ITEMS_MAX, &items, &total);
	}
	if (e == ERR_OK) {
		str_reserve(out, items.len + 128);
		str_adds(out, "{\"items\":[");
		str_add(out, str_c(&items), items.len);
		str_addf(out, "],\"total\":%llu,\"version\":%llu,\"lastEventId\":%llu}",
			(unsigned long long)total, (unsigned long long)version,
			(unsigned long long)tail);
	}
	str_fini(&items);
	return e;
}

/* The snapshot of topic, as of event (*snapshot)->tail: a reference of the caller's. */
static enum err get_snapshot(struct ctx *ctx, const char *topic, struct cached **snapshot)
{
	static const char path[] = "socket.io/initial"; /* no path of a request */
	struct app *app = ctx->worker->app;
	uint32_t tenant_id = ctx->who->tenant_id;
	struct cache_note note = {0};
	struct str body = STR_INIT;
	bool may_keep;
	enum err e;

	*snapshot = NULL;
	if (!ctx->shm)
		return ERR_UNAVAILABLE;
	may_keep = cache_note(&note, ctx->shm, tenant_id, topic) && ctx->cfg->fcgi.cache;
	if (may_keep)
		*snapshot = cache_get(app->cache, tenant_id, path, topic, &note);
	stats_add(*snapshot ? &app->stats.cache_hits : &app->stats.cache_misses, 1);
	if (*snapshot)
		return ERR_OK;
	/* While the poller is away its last word is still true: it goes on from there. */
	if (!note.page)
		note.tail = atomic_load(&ctx->shm->tail);
	e = render(ctx, topic, note.tail, &body);
	if (e != ERR_OK) {
		str_fini(&body);
		return e;
	}
	*snapshot = cached_new(&body, &note.tail);
	if (may_keep)
		cache_add(app->cache, tenant_id, path, topic, &note, *snapshot);
	return ERR_OK;
}

static enum err send_snapshot(
	struct socket_work *w, struct slice nsp, const char *topic, uint64_t *at)
{
	struct str args = STR_INIT;
	struct cached *snapshot;
	enum err e = get_snapshot(w->ctx, topic, &snapshot);

	if (e != ERR_OK)
		return e;
	*at = snapshot->tail;
	str_reserve(&args, snapshot->body.len + 128);
	str_addf(&args, "\"%s:initial\",", topic);
	str_add(&args, str_c(&snapshot->body), snapshot->body.len);
	socket_emit_sync(w, nsp, &args, topic, *at);
	str_fini(&args);
	cached_put(snapshot);
	return ERR_OK;
}

void on_sync_send_snapshot(struct socket_work *w, struct slice nsp, const char *topic)
{
	uint64_t at;
	enum err e;

	for (size_t i = 0; i < interest_topics_n; i++) {
		if (strcmp(topic, interest_topics[i]) != 0)
			continue;
		e = send_snapshot(w, nsp, interest_topics[i], &at);
		if (e != ERR_OK)
			log_error("sync", "%s:initial: %s request_id=%s", topic,
				db_errmsg(w->ctx->db), w->post->request_id);
	}
}

/* ---- what was missed ---- */

static struct str rooms_of(const struct principal *who)
{
	struct strlist rooms = {0};
	struct str json = STR_INIT;

	interest_add_own_rooms(who, &rooms);
	str_addc(&json, '[');
	for (size_t i = 0; i < rooms.n; i++) {
		str_adds(&json, i ? "," : "");
		str_add_json(&json, rooms.v[i]);
	}
	str_addc(&json, ']');
	strlist_fini(&rooms);
	return json;
}

static void emit_missed(struct socket_call *call, const char *topic, uint64_t at)
{
	struct db *db = call->work->ctx->db;
	struct slice nsp = call->packet->nsp;
	struct str args = STR_INIT;
	const struct db_val *row;
	uint64_t n = db_rows_n(db);

	/* With nothing missed the poller is told of it all the same. */
	if (n == 0)
		socket_emit_sync(call->work, nsp, &args, topic, at);
	while ((row = db_fetch(db))) {
		const struct event_row event = {.id = dbv_u(&row[0]),
			.type = (enum event_type)event_type_find(dbv_text(&row[1])),
			.topic = topic,
			.payload = row[2].s.p,
			.payload_len = row[2].s.len,
			.name = dbv_text(&row[3])};

		str_clear(&args);
		event_render_socket(&args, &event);
		if (--n > 0)
			socket_emit(call->work, nsp, &args);
		else
			socket_emit_sync(call->work, nsp, &args, topic, at);
	}
	str_fini(&args);
}

/* *is_done false: there are too many. */
static enum err replay(
	struct socket_call *call, const char *topic, uint64_t since, uint64_t at, bool *is_done)
{
	struct db *db = call->work->ctx->db;
	struct str rooms = rooms_of(call->who);
	const struct db_val in[] = {dbv_s(topic), DBV_U(since), DBV_U(at),
		DBV_U(call->who->tenant_id), dbv_b(rooms.p, rooms.len),
		DBV_U(ON_SYNC_EVENTS_MAX + 1)};
	enum err e = ERR_DB_LOST;

	for (int i = 0; i < 2 && e == ERR_DB_LOST; i++) {
		e = db_ensure(db);
		if (e == ERR_OK)
			e = db_query(db, &select_missed, in, 6);
	}
	str_fini(&rooms);
	if (e != ERR_OK)
		return e;
	*is_done = db_rows_n(db) <= ON_SYNC_EVENTS_MAX;
	if (*is_done)
		emit_missed(call, topic, at);
	db_done(db);
	return ERR_OK;
}

/* ---- request:<topic> ---- */

/* What the client has: all events up to since; 0: nothing. */
struct ask {
	uint64_t since;
	const char *epoch; /* NULL: not said */
};

static const char *read_ask(const struct socket_call *call, struct ask *a)
{
	struct json_object *o = socket_arg(call, 0), *last = json_get(o, "lastEventId"),
			   *epoch = json_get(o, "epoch");

	*a = (struct ask){0};
	if (o && !json_object_is_type(o, json_type_object))
		return "The argument must be an object: {\"lastEventId\":N}.";
	if (epoch && !json_object_is_type(epoch, json_type_string))
		return "epoch must be a string.";
	a->epoch = epoch ? json_object_get_string(epoch) : NULL;
	if (!last)
		return NULL;
	if (json_object_is_type(last, json_type_int) && json_object_get_int64(last) >= 0)
		a->since = json_object_get_uint64(last);
	else if (!json_object_is_type(last, json_type_string) ||
		 !parse_u64(json_object_get_string(last), 0, INT64_MAX, &a->since))
		return "lastEventId must be the id of an event, as a number, or null.";
	return NULL;
}

static const char *check(const struct socket_call *call)
{
	struct ask a;

	return read_ask(call, &a);
}

/* Can the events after a->since be told one by one? */
static bool is_near(const struct ctx *ctx, const struct ask *a, uint64_t tail)
{
	const struct shm *page = ctx->shm;

	return a->since > 0 && a->since <= tail && a->since >= atomic_load(&page->floor) &&
	       tail - a->since <= (uint64_t)ctx->cfg->socketio.max_replay &&
	       (!a->epoch || strcmp(a->epoch, page->epoch) == 0);
}

static void request(struct socket_call *call)
{
	const char *topic = call->event->arg;
	struct ctx *ctx = call->work->ctx;
	struct str ack = STR_INIT;
	bool is_done = false;
	enum err e = ERR_OK;
	struct ask a;
	uint64_t at = ctx->shm ? atomic_load(&ctx->shm->tail) : 0;

	read_ask(call, &a);
	if (ctx->shm && is_near(ctx, &a, at))
		e = replay(call, topic, a.since, at, &is_done);
	if (e == ERR_OK && !is_done)
		e = send_snapshot(call->work, call->packet->nsp, topic, &at);
	if (e != ERR_OK) {
		socket_fail_err(call, e);
		return;
	}
	str_addf(&ack, "{\"ok\":true,\"lastEventId\":%llu}", (unsigned long long)at);
	socket_ack(call, str_c(&ack));
	str_fini(&ack);
}

#define REQUEST(topic)                                                           \
	{                                                                        \
		.name = "request:" topic, .perm = topic ":read", .check = check, \
		.handle = request, .arg = topic                                  \
	}

const struct socket_event on_sync_events[] = {
	REQUEST("websites"),
	REQUEST("line-groups"),
	REQUEST("origin-groups"),
	REQUEST("origin-sets"),
	REQUEST("cache-rules"),
	REQUEST("domains"),
	REQUEST("nodes"),
	{0},
};
