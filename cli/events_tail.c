/*
 * `cmdbctl events tail`: a client of GET /events like any other. It keeps a cursor, so a server
 * that restarts costs nothing but a pause.
 */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "events.h"
#include "json.h"
#include "out.h"
#include "rows.h"
#include "secret.h"

#define POLL_S 25
#define ANSWER_TIMEOUT_MS ((POLL_S + 15) * 1000)
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 10000
#define LAST_DEFAULT 10
#define LOOK_FIRST 100 /* ids to look back through at first */
#define LOOK_FACTOR 8

struct tail {
	const struct call *call;
	struct rest *rest;
	const char *topics, *room;
	bool has_since, follows, is_caught_up;
	struct json_object
		*kept; /* looking back: the newest events so far; NULL: they are printed */
	size_t kept_max;
	bool was_reset;
	uint64_t since;
	char epoch[33]; /* "" until the server has said it */
	int64_t backoff_ms;
};

static uint64_t u64_of(struct json_object *o, const char *key)
{
	return json_object_get_uint64(json_get(o, key));
}

static void print_event(const struct tail *t, struct json_object *e)
{
	const char *room = json_get_str(e, "room"), *name = json_get_str(e, "name");
	const char *at = json_get_str(e, "created_at"), *topic = json_get_str(e, "topic");
	const char *type = json_get_str(e, "type");
	struct str line = STR_INIT, data = STR_INIT;

	if (t->call->json) {
		out_json(e);
		return;
	}
	if (json_get(e, "data"))
		json_print(&data, json_get(e, "data"));
	str_addf(&line, "%llu %s %s %s%s%s%s%s ", (unsigned long long)u64_of(e, "id"),
		at ? at : "-", topic ? topic : "-", type ? type : "-", room ? " room=" : "",
		room ? room : "", name ? " name=" : "", name ? name : "");
	str_adds(&line, str_c(&data));
	str_clear(&data);
	out_add_safe(&data, str_c(&line));
	out_line(str_c(&data));
	str_fini(&line);
	str_fini(&data);
}

/* A cursor that the log does not know any more: what lies between is lost to us, and we say so. */
static void print_reset(const struct tail *t, struct json_object *answer, struct json_object *reset)
{
	const char *reason = json_get_str(reset, "reason");

	if (t->call->json)
		out_json(answer);
	else
		cmd_fail(CTL_OK,
			"reset (%s): going on after event %llu, "
			"what was before may be missing",
			reason ? reason : "?", (unsigned long long)u64_of(answer, "lastEventId"));
}

/* The newest kept_max of all that come; now and then a little more. */
static void keep_event(struct tail *t, struct json_object *e)
{
	size_t n = json_object_array_length(t->kept);

	if (n >= 2 * t->kept_max)
		json_object_array_del_idx(t->kept, 0, n - t->kept_max + 1);
	json_object_array_add(t->kept, json_object_get(e));
}

static void take_event(struct tail *t, struct json_object *e)
{
	if (t->kept)
		keep_event(t, e);
	else
		print_event(t, e);
}

/* Takes an answer's events; true if there is more to fetch at once. */
static bool take_events(struct tail *t, struct json_object *answer)
{
	struct json_object *events = json_get(answer, "events"), *reset = json_get(answer, "reset");
	const char *epoch = json_get_str(answer, "epoch");

	t->was_reset = reset && t->has_since;
	if (t->was_reset && !t->kept)
		print_reset(t, answer, reset);
	if (json_object_is_type(events, json_type_array))
		for (size_t i = 0; i < json_object_array_length(events); i++)
			take_event(t, json_object_array_get_idx(events, i));
	t->since = u64_of(answer, "lastEventId");
	t->has_since = true;
	if (epoch && strlen(epoch) < sizeof(t->epoch))
		memcpy(t->epoch, epoch, strlen(epoch) + 1);
	return json_object_get_boolean(json_get(answer, "more"));
}

static void path_of(const struct tail *t, bool waits, struct str *path)
{
	struct str number = STR_INIT;

	str_addf(path, "/events?timeout=%d", waits ? POLL_S : 0);
	if (t->has_since) {
		str_addu(&number, t->since);
		rest_query(path, "since", str_c(&number));
	}
	if (t->topics)
		rest_query(path, "topics", t->topics);
	if (t->room)
		rest_query(path, "room", t->room);
	if (*t->epoch)
		rest_query(path, "epoch", t->epoch);
	str_fini(&number);
}

/* Waits before the next try: doubling, with up to a half taken off so that many do not come at
 * once, and not sooner than the server asked. */
static void events_tail_back_off(struct tail *t, unsigned retry_after_s)
{
	uint16_t dice;
	int64_t ms;

	t->backoff_ms = t->backoff_ms ? t->backoff_ms * 2 : BACKOFF_FIRST_MS;
	if (t->backoff_ms > BACKOFF_MAX_MS)
		t->backoff_ms = BACKOFF_MAX_MS;
	secret_random(&dice, sizeof(dice));
	ms = t->backoff_ms - t->backoff_ms / 2 * dice / UINT16_MAX;
	if (ms < (int64_t)retry_after_s * 1000)
		ms = (int64_t)retry_after_s * 1000;
	usleep((useconds_t)(ms * 1000));
}

/* An empty 200 is what some web servers make of a poll whose process was killed. */
static bool is_passing(const struct rest_answer *a)
{
	switch (a->status) {
	case 200:
		return !a->json;
	case 408:
	case 429:
	case 500:
	case 502:
	case 503:
	case 504:
		return true;
	default:
		return false;
	}
}

/* One request. CTL_OK: go on (*done is set when what there was has been read); else the end. */
static enum ctl_exit events_tail_ask(struct tail *t, bool waits, bool *done)
{
	struct str path = STR_INIT, why = STR_INIT;
	enum ctl_exit status = CTL_OK;
	struct rest_answer a;

	path_of(t, waits, &path);
	if (!rest_call(t->rest, "GET", str_c(&path), NULL, ANSWER_TIMEOUT_MS, &a, &why)) {
		if (!t->follows)
			status = cmd_fail(CTL_UNREACHABLE, "the web server cannot be reached: %s",
				str_c(&why));
		else
			events_tail_back_off(t, 0);
	} else {
		if (a.status == 200 && json_get(a.json, "lastEventId")) {
			t->backoff_ms = 0;
			*done = !take_events(t, a.json);
			t->is_caught_up = *done;
			/* Whoever reads us has gone. */
			if (!out_flush())
				status = CTL_FAILED;
		} else if (t->follows && is_passing(&a)) {
			events_tail_back_off(t, a.retry_after_s);
		} else {
			status = api_fail(&a, "/events");
		}
		rest_answer_fini(&a);
	}
	str_fini(&path);
	str_fini(&why);
	return status;
}

/* Keeps the newest events of the last `ids` ids before `end`. */
static enum ctl_exit look_from(struct tail *t, uint64_t end, uint64_t ids)
{
	enum ctl_exit status = CTL_OK;
	bool done = false;

	json_object_put(t->kept);
	t->kept = json_object_new_array();
	t->since = end > ids ? end - ids : 0;
	while (status == CTL_OK && !done && !(t->was_reset && !json_object_array_length(t->kept)))
		status = events_tail_ask(t, false, &done);
	return status;
}

/* Finds the last n events that we may see: how far back they lie is not known, since other topics
 * and tenants take ids too. So it looks at more and more ids until there are enough, or at as many
 * as the log still has. */
static enum ctl_exit look_back(struct tail *t, uint64_t n)
{
	uint64_t end = t->since, good = 0, bad = UINT64_MAX, ids = n < LOOK_FIRST ? LOOK_FIRST : n;
	enum ctl_exit status = CTL_OK;
	size_t len = 0;

	t->kept_max = n;
	for (;;) {
		t->was_reset = false;
		status = look_from(t, end, ids);
		len = status == CTL_OK ? json_object_array_length(t->kept) : 0;
		if (status != CTL_OK || len >= n || (!t->was_reset && ids >= end))
			break;
		*(t->was_reset ? &bad : &good) = ids;
		if (bad - good <= 1)
			break;
		ids = bad < UINT64_MAX ? good + (bad - good) / 2 : ids * LOOK_FACTOR;
	}
	if (status == CTL_OK && t->was_reset && good)
		status = look_from(t, end, good);
	len = status == CTL_OK ? json_object_array_length(t->kept) : 0;
	for (size_t i = len > n ? len - n : 0; i < len; i++)
		print_event(t, json_object_array_get_idx(t->kept, i));
	json_object_put(t->kept);
	t->kept = NULL;
	return status == CTL_OK && !out_flush() ? CTL_FAILED : status;
}

/* Without --since: the last events, and then what comes. */
static enum ctl_exit find_start(struct tail *t)
{
	uint64_t n = (uint64_t)opt_number(t->call, "n", t->follows ? 0 : LAST_DEFAULT);
	enum ctl_exit status = CTL_OK;
	bool done = false;

	while (status == CTL_OK && !t->has_since)
		status = events_tail_ask(t, false, &done);
	return status == CTL_OK && n > 0 ? look_back(t, n) : status;
}

enum ctl_exit events_tail(struct call *call)
{
	struct tail t = {
		.call = call,
		.topics = opt_text(call, "topics"),
		.room = opt_text(call, "room"),
		.follows = opt_flag(call, "f"),
	};
	int64_t since = opt_number(call, "since", -1);
	enum ctl_exit status;
	bool done = false;

	t.rest = api_open(call, &status);
	if (!t.rest)
		return status;
	if (since >= 0) {
		t.since = (uint64_t)since;
		t.has_since = true;
	} else {
		status = find_start(&t);
	}
	while (status == CTL_OK && (t.follows || !done))
		status = events_tail_ask(&t, t.is_caught_up && t.follows, &done);
	rest_free(t.rest);
	return status;
}

const struct opt events_tail_opts[] = {
	{"topics", OPT_TEXT, "A,B", "only these topics", 0, 0},
	{"room", OPT_TEXT, "ROOM", "only events of this room", 0, 0},
	{"since", OPT_NUMBER, "ID", "what came after this event", 0, INT64_MAX},
	{"n", OPT_NUMBER, "N", "without --since: the last N events (10; with -f 0)", 0, 1000000},
	{"f", OPT_FLAG, NULL, "go on with what comes", 0, 0},
	API_OPTS,
	{0},
};
