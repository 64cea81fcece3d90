/*
 * The question "connections": who is connected to this host, by page, sorted and filtered. Of the
 * sessions it is shown one by one (errand.h) it keeps those that come first, page * page_size of
 * them, in a heap with the last of these on top: what is on the page lies on top at the end. So the
 * work a session is small, and none is left for the end. Those of other hosts (abroad.h) come
 * first, already in order.
 */

#include <stdlib.h>
#include <string.h>

#include "abroad.h"
#include "ask.h"
#include "connection.h"
#include "errand.h"
#include "hub.h"
#include "mem.h"
#include "session.h"
#include "sessions.h"

#define PAGE_SIZE 20
#define PAGE_SIZE_MAX 200
#define PAGE_MAX 1000000

enum key { BY_TIME, BY_LAG, BY_MESSAGES, BY_USER, KEYS_N };
static const char *const key_names[KEYS_N] = {
	[BY_TIME] = "connectedAt",
	[BY_LAG] = "lag",
	[BY_MESSAGES] = "messageCount",
	[BY_USER] = "user",
};

#define ABROAD_PLACE ((uint64_t)1 << 32)

/* One that matches, as it was when it was looked at. */
struct seen {
	uint64_t place; /* no two have the same: the session's number, or ABROAD_PLACE and more */
	uint64_t lag, key;
	struct caller *caller;        /* a reference; NULL: nobody, or abroad */
	const struct abroad_row *row; /* of another host; NULL: it is here */
};

struct connections {
	struct errand errand;
	struct connection_filter filter;
	struct connection_lag lag;
	uint64_t page, page_size, min_lag, total;
	enum key key;
	bool is_down;
	struct abroad *abroad; /* NULL: nothing was asked for */
	struct seen *heap;
	size_t n, cap;
};

static struct connections *connections_of(struct errand *e)
{
	return (struct connections *)e;
}

/* ---- what is asked ---- */

static void read_key(struct ask *a, struct connections *c, const char *value)
{
	c->is_down = value[0] == '-';
	for (int i = 0; i < KEYS_N; i++) {
		if (strcmp(value + c->is_down, key_names[i]) == 0) {
			c->key = (enum key)i;
			return;
		}
	}
	ask_problem(a, "sort",
		"must be one of connectedAt, lag, messageCount, user, each also with - before it");
}

static void read_argument(struct ask *a, struct connections *c, const char *key, const char *value)
{
	if (strcmp(key, "page") == 0)
		ask_number(a, key, value, 1, PAGE_MAX, &c->page);
	else if (strcmp(key, "page_size") == 0)
		ask_number(a, key, value, 1, PAGE_SIZE_MAX, &c->page_size);
	else if (strcmp(key, "min_lag") == 0)
		ask_number(a, key, value, 0, UINT64_MAX, &c->min_lag);
	else if (strcmp(key, "sort") == 0)
		read_key(a, c, value);
	else if (!connection_filter_read(a, &c->filter, key, value))
		ask_problem(a, key, "unknown parameter");
}

/* ---- which, and in which order ---- */

static const char *name_of(const struct seen *s)
{
	return s->row ? s->row->username : s->caller ? s->caller->username : "";
}

static uint64_t key_of(const struct connections *c, const struct session *s, uint64_t lag)
{
	switch (c->key) {
	case BY_TIME:
		return (uint64_t)s->opened_wall_ms;
	case BY_LAG:
		return lag;
	case BY_MESSAGES:
		return s->heard_n + s->sent_n;
	default:
		return 0; /* by the name, which is the caller's */
	}
}

/* Does a come before b? No two are equal, so a page is the same however often it is asked for. */
static bool is_before(const struct connections *c, const struct seen *a, const struct seen *b)
{
	int by = a->key < b->key ? -1 : a->key > b->key;

	if (c->key == BY_USER)
		by = strcmp(name_of(a), name_of(b));
	if (by == 0)
		return a->place < b->place;
	return c->is_down ? by > 0 : by < 0;
}

/* ---- the heap: the last is on top ---- */

static void swap(struct connections *c, size_t i, size_t j)
{
	struct seen t = c->heap[i];

	c->heap[i] = c->heap[j];
	c->heap[j] = t;
}

static void sink(struct connections *c)
{
	for (size_t i = 0, last;; i = last) {
		last = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < c->n; child++)
			if (is_before(c, &c->heap[last], &c->heap[child]))
				last = child;
		if (last == i)
			return;
		swap(c, i, last);
	}
}

static void rise(struct connections *c)
{
	for (size_t i = c->n - 1; i > 0 && is_before(c, &c->heap[(i - 1) / 2], &c->heap[i]);
		i = (i - 1) / 2)
		swap(c, i, (i - 1) / 2);
}

static struct seen pop(struct connections *c)
{
	struct seen top = c->heap[0];

	c->heap[0] = c->heap[--c->n];
	sink(c);
	return top;
}

static void offer(struct connections *c, struct seen seen)
{
	if (c->n == c->page * c->page_size) {
		if (!is_before(c, &seen, &c->heap[0]))
			return;
		caller_unref(pop(c).caller);
	}
	if (c->n == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 64;
		c->heap = xreallocarray(c->heap, c->cap, sizeof(*c->heap));
	}
	if (seen.caller)
		caller_ref(seen.caller);
	c->heap[c->n++] = seen;
	rise(c);
}

static void connections_visit(struct errand *e, struct session *s)
{
	struct connections *c = connections_of(e);
	struct seen seen = {.place = s->num};

	if (!connection_is_wanted(&c->filter, s, &seen.caller))
		return;
	seen.lag = connection_lag(&c->lag, s);
	seen.key = key_of(c, s, seen.lag);
	if (seen.lag < c->min_lag)
		return;
	c->total++;
	offer(c, seen);
}

/* ---- those of other hosts ---- */

/* How far behind they are nobody here knows. */
static bool connections_start(struct errand *e)
{
	struct connections *c = connections_of(e);

	return !c->min_lag && abroad_ask(e, &c->filter, c->key == BY_USER,
				      c->is_down && (c->key == BY_USER || c->key == BY_TIME),
				      c->page * c->page_size);
}

/* They come in order, so that of equal ones the order is always the same. */
static void connections_take(struct errand *e, struct abroad *a)
{
	struct connections *c = connections_of(e);

	c->abroad = a;
	c->total += a->total;
	for (size_t i = 0; i < a->n; i++)
		offer(c, (struct seen){.place = ABROAD_PLACE + i,
				 .row = &a->rows[i],
				 .key = c->key == BY_TIME ? (uint64_t)a->rows[i].connected_ms : 0});
}

/* ---- the answer ---- */

/* false: it has gone since. */
static bool put_seen(const struct connections *c, const struct seen *seen, struct str *json)
{
	const struct session *s;
	struct caller *whose;

	if (seen->row) {
		str_adds(json, seen->row->json);
		return true;
	}
	s = sessions_at(c->errand.hub->sessions, (uint32_t)seen->place);
	/* Another one may have its number. */
	if (!s || !connection_is_wanted(&c->filter, s, &whose))
		return false;
	connection_put(json, s, whose, c->filter.tenant_id, seen->lag);
	return true;
}

static enum wire_answer connections_finish(struct errand *e, struct str *json)
{
	struct connections *c = connections_of(e);
	uint64_t before = (c->page - 1) * c->page_size;
	struct seen on_page[PAGE_SIZE_MAX];
	const char *between = "";
	size_t n = 0;

	/* From the last to the first. */
	while (c->n > before)
		on_page[n++] = pop(c);
	str_adds(json, "{\"items\":[");
	while (n-- > 0) {
		size_t len = json->len;

		str_adds(json, between);
		if (put_seen(c, &on_page[n], json))
			between = ",";
		else
			str_truncate(json, len);
		caller_unref(on_page[n].caller);
	}
	str_addf(json, "],\"total\":%llu,\"page\":%llu,\"page_size\":%llu%s}",
		(unsigned long long)c->total, (unsigned long long)c->page,
		(unsigned long long)c->page_size,
		c->abroad && !c->abroad->is_done ? ",\"partial\":true" : "");
	return WIRE_ANSWER_OK;
}

static void connections_fini(struct errand *e)
{
	struct connections *c = connections_of(e);

	for (size_t i = 0; i < c->n; i++)
		caller_unref(c->heap[i].caller);
	free(c->heap);
	abroad_free(c->abroad);
	connection_lag_fini(&c->lag);
	connection_filter_fini(&c->filter);
}

static const struct errand_kind connections_kind = {.start = connections_start,
	.take = connections_take,
	.visit = connections_visit,
	.finish = connections_finish,
	.fini = connections_fini};

void ask_connections(struct ask *a)
{
	struct connections *c = connections_of(errand_new(a->hub, &connections_kind, sizeof(*c)));

	c->filter.tenant_id = a->tenant_id;
	c->page = 1;
	c->page_size = PAGE_SIZE;
	connection_lag_init(&c->lag, a->hub, a->tenant_id);
	if (a->args) {
		json_object_object_foreach (a->args, key, value)
			read_argument(a, c, key, value ? json_object_get_string(value) : "");
	}
	a->errand = &c->errand;
}
