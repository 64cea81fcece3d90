#include "events.h"

#include <string.h>
#include <strings.h>

#include "clock.h"
#include "log_filter.h"
#include "loop.h"
#include "mem.h"
#include "park_events.h"
#include "room.h"
#include "stream.h"
#include "wire.h"
#include "worker.h"

#define NAMES_MAX 64 /* topics or rooms in one request */
#define EPOCH_MAX 64

/* Addresses that clients of a WebSocket know: /events for some topics alone. */
struct alias {
	const char *topic; /* NULL: the console's */
	bool is_own;       /* the caller's own rooms, whatever else the caller may see */
};
static const struct alias console = {NULL, false};
static const struct alias notifications = {"notifications", true};

/* What a request asks for, as far as it says. */
struct ask {
	struct ctx *ctx;
	bool is_sse, has_since, has_last, has_topics, has_rooms;
	uint64_t since, last_id, timeout_s, limit;
	struct strlist topics, rooms;
	struct str epoch;
	struct log_filter filter;
	bool is_filtered;
};

/* Which of a topic's views shows what a filter of logs leaves of it; -1: none. */
static int filtered_view(const char *topic)
{
	const struct stream *st = stream_find(topic);
	int view = st ? stream_view_by(st, STREAM_IN_EVENTS) : -1;

	return view >= 0 && st->views[view].filter == &log_stream_filter ? view : -1;
}

/* ---- reading the request ---- */

static bool is_name(const char *p, size_t len, size_t max)
{
	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)p[i] <= ' ' || p[i] == 0x7f)
			return false;
	return true;
}

static void read_names(
	struct ask *a, const char *key, const char *value, size_t max, struct strlist *out)
{
	strlist_fini(out);
	for (;;) {
		size_t len = strcspn(value, ",");

		if (!is_name(value, len, max)) {
			ctx_problem(a->ctx, key,
				"must be names of 1 to %zu bytes without blanks, "
				"joined by commas",
				max);
			return;
		}
		if (out->n == NAMES_MAX) {
			ctx_problem(a->ctx, key, "may have at most %d names", NAMES_MAX);
			return;
		}
		strlist_add(out, value, len);
		if (!value[len])
			return;
		value += len + 1;
	}
}

static bool events_read_number(struct ask *a, const char *key, const char *value, uint64_t min,
	uint64_t max, uint64_t *out)
{
	if (parse_u64(value, min, max, out))
		return true;
	ctx_problem(a->ctx, key, "must be a decimal number from %llu to %llu",
		(unsigned long long)min, (unsigned long long)max);
	return false;
}

static bool events_read_filter(struct ask *a, const char *key, const char *value)
{
	const char *problem = NULL;
	int found = log_filter_add_parameter(&a->filter, key, value, &problem);

	if (found < 0)
		return false;
	a->is_filtered = true;
	if (!found)
		ctx_problem(a->ctx, key, "%s", problem);
	return true;
}

static void on_parameter(const char *key, const char *value, void *arg)
{
	struct ask *a = arg;
	const struct config *cfg = a->ctx->task.cfg;

	if (events_read_filter(a, key, value))
		return;

	if (strcmp(key, "since") == 0) {
		a->has_since = events_read_number(a, key, value, 0, UINT64_MAX, &a->since);
	} else if (strcmp(key, "lastEventId") == 0) {
		if (a->is_sse && value[0])
			a->has_last = events_read_number(a, key, value, 0, UINT64_MAX, &a->last_id);
	} else if (strcmp(key, "timeout") == 0) {
		events_read_number(
			a, key, value, 0, (uint64_t)cfg->events.timeout_max_s, &a->timeout_s);
	} else if (strcmp(key, "limit") == 0) {
		events_read_number(a, key, value, 1, (uint64_t)cfg->events.limit, &a->limit);
	} else if (strcmp(key, "topics") == 0) {
		a->has_topics = true;
		read_names(a, key, value, EVENT_TOPIC_MAX, &a->topics);
	} else if (strcmp(key, "room") == 0) {
		a->has_rooms = true;
		read_names(a, key, value, EVENT_ROOM_MAX, &a->rooms);
	} else if (strcmp(key, "epoch") == 0) {
		/* An answer may have had an empty one: made before any poller was seen. */
		str_clear(&a->epoch);
		if (is_name(value, strlen(value), EPOCH_MAX))
			str_adds(&a->epoch, value);
		else if (value[0])
			ctx_problem(a->ctx, key, "must be the epoch of an earlier answer");
	}
}

/* A filter is for what is asked for by name. */
static void check_filter(struct ask *a)
{
	size_t i = 0;

	while (i < a->topics.n && filtered_view(a->topics.v[i]) < 0)
		i++;
	if (a->is_filtered && i == a->topics.n)
		ctx_problem(a->ctx, "topics",
			"must name one that can be filtered by device, level, tag, keyword: logs");
}

static bool wants_stream(const char *accept)
{
	static const char type[] = "text/event-stream";

	for (; *accept; accept++)
		if (strncasecmp(accept, type, sizeof(type) - 1) == 0)
			return true;
	return false;
}

static bool events_read_ask(struct ctx *ctx, struct ask *a)
{
	const char *last = ctx->req.last_event_id;

	*a = (struct ask){.ctx = ctx,
		.timeout_s = (uint64_t)ctx->task.cfg->events.timeout_s,
		.limit = (uint64_t)ctx->task.cfg->events.limit,
		.is_sse = wants_stream(ctx->req.accept)};
	if (!query_each(ctx->req.query, on_parameter, a)) {
		ctx_fail(ctx, ERR_BAD_REQUEST,
			"The query string is not well-formed: check its "
			"percent-encoding.");
		return false;
	}
	check_filter(a);
	/* A browser that reconnects repeats the address it began with: the header is newer, and so
	 * is what an EventSource that may not set headers adds to the address. */
	if (a->has_last) {
		a->has_since = true;
		a->since = a->last_id;
	}
	if (a->is_sse && last[0])
		a->has_since =
			events_read_number(a, "Last-Event-ID", last, 0, UINT64_MAX, &a->since);
	if (ctx->problems_n == 0)
		return true;
	ctx_fail(ctx, ERR_BAD_REQUEST, NULL);
	return false;
}

static void events_ask_fini(struct ask *a)
{
	strlist_fini(&a->topics);
	strlist_fini(&a->rooms);
	str_fini(&a->epoch);
	log_filter_fini(&a->filter);
}

/* ---- what the caller may see ---- */

static void add(struct strlist *l, const char *s)
{
	strlist_add(l, s, strlen(s));
}

static bool choose_rooms(
	struct ctx *ctx, const struct ask *a, const struct alias *alias, struct wire_interest *in)
{
	if (!a->has_rooms) {
		in->all_rooms = perm_is_all(ctx->task.who) && !(alias && alias->is_own);
		if (!in->all_rooms)
			room_add_own(ctx->task.who, &in->rooms);
		return true;
	}
	in->only_rooms = true;
	for (size_t i = 0; i < a->rooms.n; i++) {
		if (!room_may(ctx->task.who, a->rooms.v[i])) {
			ctx_failf(ctx, ERR_FORBIDDEN, "You are not in the room %s.", a->rooms.v[i]);
			return false;
		}
		add(&in->rooms, a->rooms.v[i]);
	}
	return true;
}

static bool alias_has(const struct alias *alias, const struct stream *st)
{
	return alias->topic ? strcmp(alias->topic, st->topic) == 0 : st->is_console;
}

static void fail_topic(struct ctx *ctx, const char *topic)
{
	const struct stream *st = stream_find(topic);

	if (st && st->perm)
		ctx_failf(ctx, ERR_FORBIDDEN, "The topic %s needs the permission %s.", topic,
			st->perm);
	else
		ctx_failf(ctx, ERR_FORBIDDEN, "The topic %s needs the permission %s:read.", topic,
			topic);
}

/* Of the one that can be filtered, what is asked for of it; false: that is too much. */
static bool choose_view(struct ask *a, struct wire_interest *in, const char *topic)
{
	struct str filter = STR_INIT;
	bool ok = log_filter_put(&a->filter, &filter);

	if (ok)
		wire_interest_add_view(
			in, slice_of(topic), (uint8_t)filtered_view(topic), slice_str(&filter));
	else
		ctx_failf(a->ctx, ERR_BAD_REQUEST, "The filter is too long: it may have %d bytes.",
			LOG_FILTER_MAX);
	str_fini(&filter);
	return ok;
}

static bool choose_topics(
	struct ctx *ctx, struct ask *a, const struct alias *alias, struct wire_interest *in)
{
	const struct stream *st;

	if (a->has_topics) {
		for (size_t i = 0; i < a->topics.n; i++) {
			if (!stream_may_read(ctx->task.who, a->topics.v[i])) {
				fail_topic(ctx, a->topics.v[i]);
				return false;
			}
			if (!a->is_filtered || filtered_view(a->topics.v[i]) < 0)
				add(&in->topics, a->topics.v[i]);
			else if (!choose_view(a, in, a->topics.v[i]))
				return false;
		}
		return true;
	}
	for (st = streams; alias && st->topic; st++) {
		bool may_read = stream_may_read(ctx->task.who, st->topic);

		if (!alias_has(alias, st) || (!may_read && !alias->is_own))
			continue;
		/* What is in one's own rooms is one's own; what is for all takes the permission. */
		in->only_rooms = in->only_rooms || !may_read;
		add(&in->topics, st->topic);
	}
	if (!alias) {
		in->rooms_any_topic = true;
		in->all_topics = perm_is_all(ctx->task.who);
		if (!in->all_topics)
			stream_add_readable(ctx->task.who, &in->topics);
	}
	if (in->all_topics || in->topics.n > 0 || (in->rooms_any_topic && in->rooms.n > 0))
		return true;
	ctx_fail(ctx, ERR_FORBIDDEN, "There is no topic that you may read.");
	return false;
}

/* ---- parking ---- */

/* Where what is held keeps a whole process (fcgi.process_per_request), it is not for long. */
static uint32_t short_hold_ms(struct ctx *ctx)
{
	return app_is_alone(ctx->task.worker->app) ? (uint32_t)ctx->task.cfg->fcgi.short_hold_ms
						   : 0;
}

static uint32_t timeout_ms(const struct ask *a, const struct config *cfg, uint32_t short_ms)
{
	uint32_t ms =
		(uint32_t)(a->is_sse ? cfg->events.timeout_max_s : (int64_t)a->timeout_s) * 1000;

	return short_ms && short_ms < ms ? short_ms : ms;
}

static char *who_text(const struct principal *who)
{
	struct str s = STR_INIT;

	str_addf(&s, "%s:%llu", who->apikey_id ? "apikey" : "user",
		(unsigned long long)(who->apikey_id ? who->apikey_id : who->user_id));
	return str_take(&s);
}

static struct park *make_park(struct ctx *ctx, const struct ask *a, struct wire_interest *in)
{
	const struct config *cfg = ctx->task.cfg;
	struct park_events *e = park_events_new();

	e->is_sse = a->is_sse;
	e->has_since = a->has_since;
	e->since = a->since;
	if (!e->has_since && shm_is_fresh(ctx->task.shm)) {
		e->has_since = true;
		e->since = atomic_load(&ctx->task.shm->tail);
	}
	e->short_ms = short_hold_ms(ctx);
	e->timeout_ms = timeout_ms(a, cfg, e->short_ms);
	e->needs_head = strncasecmp(ctx->req.server_software, "lighttpd", 8) == 0;
	e->heartbeat_ms = (uint32_t)cfg->events.sse_heartbeat_s * 1000;
	if (a->epoch.len > 0)
		e->epoch = xstrdup(str_c(&a->epoch));
	e->who = who_text(ctx->task.who);
	e->address = xstrdup(ctx->req.remote_addr);
	park_set_caller(&e->park, ctx->task.who, ctx->task.arrived_ms);
	wire_interest_put(&e->interest, in);
	return &e->park;
}

static void answer_head(struct ctx *ctx, const struct ask *a)
{
	ctx->res.status = 200;
	ctx->res.content_type = a->is_sse ? "text/event-stream; charset=utf-8" : "application/json";
}

static void events(struct ctx *ctx)
{
	const struct alias *alias = ctx->route->arg;
	struct app *app = ctx->task.worker->app;
	struct wire_interest in = {0};
	struct ask ask;

	if (!events_read_ask(ctx, &ask))
		goto out;
	in.tenant_id = ctx->task.who->tenant_id;
	in.format = ask.is_sse ? WIRE_SSE : WIRE_JSON;
	in.limit = (uint16_t)ask.limit;
	if (!choose_rooms(ctx, &ask, alias, &in) || !choose_topics(ctx, &ask, alias, &in))
		goto out;
	if (ctx->req.is_head)
		answer_head(ctx, &ask);
	else if (!loop_reserve(app->loop, (size_t)ctx->task.cfg->fcgi.max_parked))
		ctx_fail(ctx, ERR_BUSY, NULL);
	else
		ctx->park = make_park(ctx, &ask, &in);
out:
	wire_interest_fini(&in);
	events_ask_fini(&ask);
}

static void events_of_websocket(struct ctx *ctx)
{
	/* Before the caller is asked who it is: a WebSocket handshake of a browser cannot say. */
	if (ctx->req.upgrade[0]) {
		ctx_fail(ctx, ERR_UPGRADE,
			"There are no WebSockets here: use Socket.IO with "
			"transports: [\"polling\"] at /socket.io/, or a plain GET of this address, "
			"which "
			"is a long-poll (see GET /events).");
		return;
	}
	if (ctx_authenticate(ctx))
		events(ctx);
}

const struct route events_routes[] = {
	{.methods = HTTP_GET, .pattern = "/events", .flags = ROUTE_PARKS, .handle = events},
	{.methods = HTTP_GET,
		.pattern = "/api/ws/realtime",
		.flags = ROUTE_OPEN | ROUTE_PARKS,
		.handle = events_of_websocket,
		.arg = &console},
	{.methods = HTTP_GET,
		.pattern = "/api/v1/notifications/ws",
		.flags = ROUTE_OPEN | ROUTE_PARKS,
		.handle = events_of_websocket,
		.arg = &notifications},
};
const size_t events_routes_n = sizeof(events_routes) / sizeof(events_routes[0]);
