/*
 * `cmdbctl events tail`: shows what a client of GET /events (follow.h) is given.
 */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "events.h"
#include "follow.h"
#include "json.h"
#include "out.h"
#include "rows.h"

#define LAST_DEFAULT 10
#define LOOK_FIRST 100 /* ids to look back through at first */
#define LOOK_FACTOR 8

struct tail {
	const struct call *call;
	struct follow follow;
	/* Looking back: the newest events so far; NULL: they are printed. */
	struct json_object *kept;
	size_t kept_max;
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

/* What lies between is lost to us, and we say so. */
static void events_tail_on_reset(void *arg, struct json_object *answer)
{
	const struct tail *t = arg;
	const char *reason = json_get_str(json_get(answer, "reset"), "reason");

	if (t->kept)
		return;
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

static void events_tail_on_event(void *arg, struct json_object *e)
{
	struct tail *t = arg;

	if (t->kept)
		keep_event(t, e);
	else
		print_event(t, e);
}

static const struct follow_on on = {events_tail_on_event, events_tail_on_reset};

/* Keeps the newest events of the last `ids` ids before `end`. */
static enum ctl_exit look_from(struct tail *t, uint64_t end, uint64_t ids)
{
	struct follow *f = &t->follow;
	enum ctl_exit status = CTL_OK;
	bool is_done = false;

	json_object_put(t->kept);
	t->kept = json_object_new_array();
	f->since = end > ids ? end - ids : 0;
	f->is_caught_up = false;
	while (status == CTL_OK && !is_done) {
		status = follow_ask(f, false);
		is_done = f->is_caught_up || (f->was_reset && !json_object_array_length(t->kept));
	}
	return status;
}

/* Finds the last n events that we may see: how far back they lie is not known, since other topics
 * and tenants take ids too. So it looks at more and more ids until there are enough, or at as many
 * as the log still has. */
static enum ctl_exit look_back(struct tail *t, uint64_t n)
{
	struct follow *f = &t->follow;
	uint64_t end = f->since, good = 0, bad = UINT64_MAX, ids = n < LOOK_FIRST ? LOOK_FIRST : n;
	enum ctl_exit status = CTL_OK;
	size_t len = 0;

	t->kept_max = n;
	for (;;) {
		f->was_reset = false;
		status = look_from(t, end, ids);
		len = status == CTL_OK ? json_object_array_length(t->kept) : 0;
		if (status != CTL_OK || len >= n || (!f->was_reset && ids >= end))
			break;
		*(f->was_reset ? &bad : &good) = ids;
		if (bad - good <= 1)
			break;
		ids = bad < UINT64_MAX ? good + (bad - good) / 2 : ids * LOOK_FACTOR;
	}
	if (status == CTL_OK && f->was_reset && good)
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
	struct follow *f = &t->follow;
	uint64_t n = (uint64_t)opt_number(t->call, "n", f->is_patient ? 0 : LAST_DEFAULT);
	enum ctl_exit status = CTL_OK;

	while (status == CTL_OK && !f->has_since)
		status = follow_ask(f, false);
	return status == CTL_OK && n > 0 ? look_back(t, n) : status;
}

static enum ctl_exit events_tail_run(struct tail *t)
{
	struct follow *f = &t->follow;
	const char *topics = opt_text(t->call, "topics"), *room = opt_text(t->call, "room");
	int64_t since = opt_number(t->call, "since", -1);
	enum ctl_exit status = CTL_OK;

	if (topics)
		rest_query(&f->path, "topics", topics);
	if (room)
		rest_query(&f->path, "room", room);
	f->has_since = since >= 0;
	f->since = f->has_since ? (uint64_t)since : 0;
	if (!f->has_since)
		status = find_start(t);
	while (status == CTL_OK && (f->is_patient || !f->is_caught_up))
		status = follow_ask(f, f->is_caught_up);
	return status;
}

enum ctl_exit events_tail(struct call *call)
{
	struct tail t = {.call = call};
	enum ctl_exit status;
	struct rest *rest = api_open(call, &status);

	if (!rest)
		return status;
	follow_init(&t.follow, rest, opt_flag(call, "f"), &on, &t);
	status = events_tail_run(&t);
	follow_fini(&t.follow);
	rest_free(rest);
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
