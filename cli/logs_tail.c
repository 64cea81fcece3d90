/*
 * `cmdbctl logs tail`: the last entries by GET /api/logs, then those to come by /events. In
 * between, where the events go on is asked before what has been stored meanwhile is read: an entry
 * may then come by both ways, and is shown once; none comes by neither. After a reset (the cursor
 * has expired, the log of events is another one) the same again, from what was shown last.
 */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "clock.h"
#include "entry_line.h"
#include "follow.h"
#include "json.h"
#include "logs.h"
#include "mem.h"
#include "out.h"
#include "secret.h"

#define PATH "/api/logs"
#define LAST_DEFAULT 100
#define LAST_MAX 10000
#define PAGE 500
/* What is shown is remembered for so many ids: a power of two, and no step of AUTO_INCREMENT. */
#define SHOWN_N 65536
/* Ids are given in the order of INSERTs, entries come in the order of COMMITs: so many ids below
 * the newest may still be new. */
#define LATE_IDS 10000
/* More than what can come meanwhile: then the end is asked for again before it goes on live. */
#define MANY 10000
#define SPACING_MS 50 /* between requests while much comes */

struct logs_tail {
	const struct call *call;
	struct entry_line line;
	struct follow follow;
	struct shown {
		uint64_t id, print; /* ids come again where a backup is restored */
	} * shown;                  /* by id modulo SHOWN_N */
	uint64_t newest;            /* the largest id shown */
	uint64_t floor;             /* entries up to it are not for us */
};

/* ---- entries ---- */

static uint64_t print_of(struct json_object *entry)
{
	const char *at = json_get_str(entry, "receivedAt"),
		   *device = json_get_str(entry, "deviceId"),
		   *message = json_get_str(entry, "message");
	uint8_t hash[SECRET_HASH_SIZE];
	struct str text = STR_INIT;
	uint64_t print;

	str_addf(&text, "%s %s %s", at ? at : "", device ? device : "", message ? message : "");
	secret_hash(hash, text.p, text.len);
	memcpy(&print, hash, sizeof(print));
	str_fini(&text);
	return print;
}

static uint64_t id_of(struct json_object *entry)
{
	return json_object_get_uint64(json_get(entry, "id"));
}

/* Shows it, unless that was done. */
static void logs_tail_show(struct logs_tail *t, struct json_object *entry)
{
	const struct shown now = {id_of(entry), print_of(entry)};
	struct shown *slot = &t->shown[now.id % SHOWN_N];

	if (slot->id == now.id && slot->print == now.print)
		return;
	*slot = now;
	if (now.id > t->newest)
		t->newest = now.id;
	entry_line_print(&t->line, entry);
}

/* ---- what is stored ---- */

static void logs_tail_number(struct str *path, const char *name, uint64_t n)
{
	struct str text = STR_INIT;

	str_addu(&text, n);
	rest_query(path, name, str_c(&text));
	str_fini(&text);
}

struct page {
	struct rest_answer answer;
	struct json_object *items; /* borrowed from it */
	size_t n;
	uint64_t cursor; /* to go on with */
	bool is_last;
};

/* One page, from the cursor on; `from` may be NULL. CTL_OK: the caller releases p->answer. */
static enum ctl_exit logs_tail_page(struct logs_tail *t, bool is_ascending, uint64_t cursor,
	const char *from, uint64_t limit, struct page *p)
{
	struct str path = STR_INIT;
	enum ctl_exit status;

	str_adds(&path, PATH);
	logs_add_filter(t->call, &path);
	if (from)
		rest_query(&path, "from", from);
	rest_query(&path, "order", is_ascending ? "asc" : "desc");
	if (cursor)
		logs_tail_number(&path, is_ascending ? "after" : "before", cursor);
	logs_tail_number(&path, "limit", limit < PAGE ? limit : PAGE);
	status = follow_get(&t->follow, str_c(&path), &p->answer);
	str_fini(&path);
	if (status != CTL_OK)
		return status;
	p->items = json_get(rest_data(&p->answer), "items");
	p->n = json_object_is_type(p->items, json_type_array) ? json_object_array_length(p->items)
							      : 0;
	p->cursor = json_object_get_uint64(json_get(rest_data(&p->answer), "next"));
	p->is_last = !p->cursor;
	return CTL_OK;
}

/* Shows all above an id, oldest first. *n: how many there were. */
static enum ctl_exit show_above(struct logs_tail *t, uint64_t above, const char *from, uint64_t *n)
{
	enum ctl_exit status = CTL_OK;
	struct page p = {.cursor = above};

	*n = 0;
	while (status == CTL_OK && !p.is_last) {
		status = logs_tail_page(t, true, p.cursor, from, PAGE, &p);
		if (status != CTL_OK)
			break;
		for (size_t i = 0; i < p.n; i++)
			logs_tail_show(t, json_object_array_get_idx(p.items, i));
		*n += p.n;
		rest_answer_fini(&p.answer);
		status = out_flush() ? CTL_OK : CTL_FAILED;
	}
	return status;
}

/* Adds the newest n to an array, newest first. */
static enum ctl_exit find_newest(
	struct logs_tail *t, uint64_t n, const char *from, struct json_object *into)
{
	enum ctl_exit status = CTL_OK;
	struct page p = {0};

	while (status == CTL_OK && !p.is_last && json_object_array_length(into) < n) {
		status = logs_tail_page(
			t, false, p.cursor, from, n - json_object_array_length(into), &p);
		if (status != CTL_OK)
			break;
		for (size_t i = 0; i < p.n; i++)
			json_object_array_add(
				into, json_object_get(json_object_array_get_idx(p.items, i)));
		rest_answer_fini(&p.answer);
	}
	return status;
}

/* Shows the newest n, oldest first. If there are more, what lies below is none of ours. */
static enum ctl_exit show_newest(struct logs_tail *t, uint64_t n, const char *from)
{
	struct json_object *found = json_object_new_array();
	enum ctl_exit status = find_newest(t, n, from, found);
	size_t len = json_object_array_length(found);

	if (status == CTL_OK && len == n)
		t->floor = id_of(json_object_array_get_idx(found, len - 1)) - 1;
	for (size_t i = len; status == CTL_OK && i > 0; i--)
		logs_tail_show(t, json_object_array_get_idx(found, i - 1));
	json_object_put(found);
	return status == CTL_OK && !out_flush() ? CTL_FAILED : status;
}

/* Nothing of what is there is shown. */
static enum ctl_exit skip_all(struct logs_tail *t)
{
	struct json_object *found = json_object_new_array();
	enum ctl_exit status = find_newest(t, 1, NULL, found);

	if (status == CTL_OK && json_object_array_length(found))
		t->floor = id_of(json_object_array_get_idx(found, 0));
	json_object_put(found);
	return status;
}

/* ---- the start, and after resets ---- */

/* Where the events end now. */
static enum ctl_exit find_end(struct logs_tail *t)
{
	enum ctl_exit status = CTL_OK;

	t->follow.has_since = false;
	while (status == CTL_OK && !t->follow.has_since)
		status = follow_ask(&t->follow, false);
	return status;
}

/* Where a backup was restored, or entries were pruned, what is stored ends lower. */
static enum ctl_exit step_down(struct logs_tail *t)
{
	struct json_object *found = json_object_new_array();
	enum ctl_exit status = find_newest(t, 1, NULL, found);
	uint64_t newest =
		json_object_array_length(found) ? id_of(json_object_array_get_idx(found, 0)) : 0;

	if (status == CTL_OK && newest < t->newest)
		t->newest = newest;
	if (status == CTL_OK && newest < t->floor)
		t->floor = newest;
	json_object_put(found);
	return status;
}

/* All that is stored above what was shown or is not wanted, and then the events behind it. */
static enum ctl_exit catch_up(struct logs_tail *t, const char *from)
{
	enum ctl_exit status = CTL_OK;
	uint64_t n = MANY + 1;

	while (status == CTL_OK && n > MANY) {
		uint64_t above = t->newest > LATE_IDS ? t->newest - LATE_IDS : 0;

		status = find_end(t);
		if (status == CTL_OK)
			status = show_above(t, above > t->floor ? above : t->floor, from, &n);
	}
	return status;
}

static enum ctl_exit logs_tail_begin(struct logs_tail *t)
{
	const char *since = opt_text(t->call, "since");
	uint64_t last = (uint64_t)opt_number(t->call, "n", LAST_DEFAULT), n = 0;
	char from[CLOCK_RFC3339_SIZE] = "";
	enum ctl_exit status;

	if (since && !logs_time(since, from))
		return cmd_fail(CTL_USAGE,
			"--since wants a time as in 90s, 10m, 2h or 7d, or "
			"2026-11-22T19:35:00Z, not \"%s\"",
			since);
	if (!last)
		status = skip_all(t);
	else if (since && !opt_is_given(t->call, "n"))
		status = show_above(t, 0, from, &n);
	else
		status = show_newest(t, last, since ? from : NULL);
	if (status == CTL_OK)
		status = catch_up(t, since ? from : NULL);
	/* What is stored and older by its time is not to show up after a reset. */
	if (status == CTL_OK && since && !t->newest)
		status = skip_all(t);
	if (since && t->newest > t->floor)
		t->floor = t->newest;
	return status;
}

/* ---- live ---- */

static void logs_tail_on_event(void *arg, struct json_object *event)
{
	struct json_object *entries = json_get(event, "data");

	if (!json_object_is_type(entries, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(entries); i++)
		logs_tail_show(arg, json_object_array_get_idx(entries, i));
}

static void logs_tail_on_reset(void *arg, struct json_object *answer)
{
	(void)arg;
	(void)answer;
}

static enum ctl_exit logs_tail_run(struct logs_tail *t)
{
	struct follow *f = &t->follow;
	enum ctl_exit status;

	rest_query(&f->path, "topics", "logs");
	logs_add_filter(t->call, &f->path);
	f->spacing_ms = SPACING_MS;
	status = logs_tail_begin(t);
	while (status == CTL_OK) {
		status = follow_ask(f, f->is_caught_up);
		if (status == CTL_OK && f->was_reset) {
			status = step_down(t);
			if (status == CTL_OK)
				status = catch_up(t, NULL);
		}
	}
	return status;
}

enum ctl_exit logs_tail(struct call *call)
{
	static const struct follow_on on = {logs_tail_on_event, logs_tail_on_reset};
	struct logs_tail t = {.call = call};
	enum ctl_exit status;
	struct rest *rest = api_open(call, &status);

	if (!rest)
		return status;
	t.shown = xcalloc(SHOWN_N, sizeof(*t.shown));
	entry_line_init(&t.line, call);
	follow_init(&t.follow, rest, true, &on, &t);
	status = logs_tail_run(&t);
	follow_fini(&t.follow);
	free(t.shown);
	rest_free(rest);
	return status;
}

const struct opt logs_tail_opts[] = {
	LOGS_FILTER_OPTS,
	{"since", OPT_TEXT, "TIME", "begin with all since then, as in 10m, 2h, 7d, or RFC 3339", 0,
		0},
	{"n", OPT_NUMBER, "N", "begin with the last N (100)", 0, LAST_MAX},
	{"f", OPT_FLAG, NULL, "go on with what comes, as it does without", 0, 0},
	API_OPTS,
	{0},
};
