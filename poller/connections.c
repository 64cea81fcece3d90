/*
 * The question "connections": who is connected to this host, by page, sorted and filtered. Of the
 * sessions it is shown one by one (errand.h) it keeps those that come first, page * page_size of
 * them, in a heap with the last of these on top: what is on the page lies on top at the end. So the
 * work a session is small, and none is left for the end.
 *
 * A connection is an Engine.IO session with a socket of the tenant, or whose handshake was the
 * tenant's; of the sockets it has only those of the tenant are told.
 */

#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "clock.h"
#include "errand.h"
#include "hub.h"
#include "mem.h"
#include "record.h"
#include "ring.h"
#include "session.h"
#include "session_poll.h"
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

/* One that matches, as it was when it was looked at. */
struct seen {
	uint32_t num;
	uint64_t lag, key;
	struct caller *caller; /* a reference; NULL: nobody */
};

struct connections {
	struct errand errand;
	uint32_t tenant_id;
	uint64_t page, page_size, min_lag, total;
	enum key key;
	bool is_down;
	char *user, *ip; /* NULL: any */
	uint64_t upto;   /* the tail of when it was asked */
	/* Ids of the tenant's events up to there, from the newest back as far as was needed. */
	uint64_t *ids, before;
	size_t ids_n, ids_cap;
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

static void read_text(struct ask *a, const char *field, const char *value, char **out)
{
	if (!value[0])
		ask_problem(a, field, "must not be empty");
	free(*out);
	*out = xstrdup(value);
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
	else if (strcmp(key, "user") == 0)
		read_text(a, key, value, &c->user);
	else if (strcmp(key, "ip") == 0)
		read_text(a, key, value, &c->ip);
	else
		ask_problem(a, key, "unknown parameter");
}

/* ---- lag: the tenant's events that are still to be looked through for it ---- */

/* The ring's events with cursor < id < c->before. */
static void look_back(struct connections *c, uint64_t cursor)
{
	const struct ring *ring = &c->errand.hub->ring;

	for (size_t i = ring_after(ring, c->before - 1); i-- > 0;) {
		const struct record *r = ring_at(ring, i);

		if (r->item.id <= cursor)
			break;
		if (record_is_internal(r) || (c->tenant_id && r->tenant_id != c->tenant_id))
			continue;
		if (c->ids_n == c->ids_cap) {
			c->ids_cap = c->ids_cap ? 2 * c->ids_cap : 64;
			c->ids = xreallocarray(c->ids, c->ids_cap, sizeof(*c->ids));
		}
		c->ids[c->ids_n++] = r->item.id;
	}
	c->before = cursor + 1;
}

static uint64_t lag_of(struct connections *c, const struct session *s)
{
	uint64_t cursor = session_cursor(s);
	size_t from = 0, to;

	if (cursor >= c->upto)
		return 0;
	if (cursor + 1 < c->before)
		look_back(c, cursor);
	/* They descend: how many are above the cursor? */
	for (to = c->ids_n; from < to;) {
		size_t middle = from + (to - from) / 2;

		if (c->ids[middle] > cursor)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* ---- which, and in which order ---- */

/* Whose it is, as far as the tenant may know. false: it is none of the tenant's. */
static bool is_seen_by(uint32_t tenant_id, const struct session *s, struct caller **whose)
{
	*whose = NULL;
	for (size_t i = 0; i < s->socks_n && !*whose; i++)
		if (s->socks[i].caller && (!tenant_id || sock_tenant(&s->socks[i]) == tenant_id))
			*whose = s->socks[i].caller;
	if (!*whose && s->caller && (!tenant_id || s->caller->tenant_id == tenant_id))
		*whose = s->caller;
	return *whose || !tenant_id;
}

static const char *name_of(const struct caller *p)
{
	return p ? p->username : "";
}

/* As it would be asked for: a user's name, or id. */
static bool is_user(const struct caller *p, const char *user)
{
	uint64_t id;

	return p && (strcmp(p->username, user) == 0 ||
			    (parse_u64(user, 1, UINT64_MAX, &id) && p->user_id == id));
}

static bool connections_is_wanted(
	const struct connections *c, const struct session *s, struct caller **whose)
{
	return (s->state == SESSION_OPEN || s->state == SESSION_JOINED) &&
	       is_seen_by(c->tenant_id, s, whose) && (!c->user || is_user(*whose, c->user)) &&
	       (!c->ip || strcmp(s->address, c->ip) == 0);
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
		by = strcmp(name_of(a->caller), name_of(b->caller));
	if (by == 0)
		return a->num < b->num;
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

static void connections_visit(struct errand *e, struct session *s)
{
	struct connections *c = connections_of(e);
	struct seen seen = {.num = s->num};

	if (!connections_is_wanted(c, s, &seen.caller))
		return;
	seen.lag = lag_of(c, s);
	seen.key = key_of(c, s, seen.lag);
	if (seen.lag < c->min_lag)
		return;
	c->total++;
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

/* ---- the answer ---- */

static void put_texts(struct str *out, const char *key, const struct strlist *l)
{
	str_addf(out, "\"%s\":[", key);
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			str_addc(out, ',');
		str_add_json(out, l->v[i]);
	}
	str_addc(out, ']');
}

static void put_user(struct str *out, const struct caller *p)
{
	if (!p) {
		str_adds(out, "null,\"tenant\":null");
		return;
	}
	str_adds(out, "{\"id\":");
	if (p->user_id)
		str_addu(out, p->user_id);
	else
		str_adds(out, "null");
	str_adds(out, ",\"username\":");
	str_add_json(out, p->username);
	str_addf(out, "},\"tenant\":%u", p->tenant_id);
}

static void put_sockets(struct str *out, const struct session *s, uint32_t tenant_id)
{
	const char *between = "";

	str_adds(out, ",\"namespaces\":[");
	for (size_t i = 0; i < s->socks_n; i++) {
		const struct sock *k = &s->socks[i];

		if (tenant_id && sock_tenant(k) != tenant_id)
			continue;
		str_addf(out, "%s{\"name\":", between);
		str_add_json(out, k->nsp);
		str_adds(out, ",\"socket\":");
		str_add_json(out, k->id);
		str_addc(out, '}');
		between = ",";
	}
	str_addc(out, ']');
}

static void put_subscription(struct str *out, const struct session *s)
{
	struct strlist topics = {0}, rooms = {0};

	str_adds(out, ",\"subscription\":");
	if (!s->requested.n && !s->subs.n) {
		str_adds(out, "null");
		return;
	}
	for (size_t i = 0; i < s->requested.n; i++)
		strlist_add(&topics, s->requested.v[i], strlen(s->requested.v[i]));
	for (size_t i = 0; i < s->subs.n; i++)
		strlist_add(s->subs.v[i].type == SUB_ROOM ? &rooms : &topics, s->subs.v[i].name.p,
			s->subs.v[i].name.len);
	str_addc(out, '{');
	put_texts(out, "topics", &topics);
	str_addc(out, ',');
	put_texts(out, "rooms", &rooms);
	str_addc(out, '}');
	strlist_fini(&topics);
	strlist_fini(&rooms);
}

static void put_connection(const struct connections *c, struct str *out, const struct session *s,
	const struct caller *whose, uint64_t lag)
{
	char at[CLOCK_RFC3339_SIZE];

	clock_rfc3339(s->opened_wall_ms, at);
	str_adds(out, "{\"id\":");
	str_add_json(out, s->client_id);
	str_adds(out, ",\"user\":");
	put_user(out, whose);
	str_adds(out, ",\"ip\":");
	str_add_json(out, s->address);
	str_addf(out, ",\"connectedAt\":\"%s\",\"state\":\"%s\"", at,
		s->state == SESSION_OPEN ? "open" : "joined");
	put_sockets(out, s, c->tenant_id);
	put_subscription(out, s);
	str_addf(out,
		",\"messageCount\":%llu,\"messagesSent\":%llu,\"messagesReceived\":%llu,"
		"\"lag\":%llu}",
		(unsigned long long)(s->sent_n + s->heard_n), (unsigned long long)s->sent_n,
		(unsigned long long)s->heard_n, (unsigned long long)lag);
}

static void connections_finish(struct errand *e, struct str *json)
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
		const struct session *s = sessions_at(e->hub->sessions, on_page[n].num);
		struct caller *whose;

		/* It may have gone since, and another one have its number. */
		if (s && connections_is_wanted(c, s, &whose)) {
			str_adds(json, between);
			put_connection(c, json, s, whose, on_page[n].lag);
			between = ",";
		}
		caller_unref(on_page[n].caller);
	}
	str_addf(json, "],\"total\":%llu,\"page\":%llu,\"page_size\":%llu}",
		(unsigned long long)c->total, (unsigned long long)c->page,
		(unsigned long long)c->page_size);
}

static void connections_fini(struct errand *e)
{
	struct connections *c = connections_of(e);

	for (size_t i = 0; i < c->n; i++)
		caller_unref(c->heap[i].caller);
	free(c->heap);
	free(c->ids);
	free(c->user);
	free(c->ip);
}

static const struct errand_kind connections_kind = {
	.visit = connections_visit, .finish = connections_finish, .fini = connections_fini};

void ask_connections(struct ask *a)
{
	struct connections *c = connections_of(errand_new(a->hub, &connections_kind, sizeof(*c)));

	c->tenant_id = a->tenant_id;
	c->page = 1;
	c->page_size = PAGE_SIZE;
	c->upto = a->hub->tail;
	c->before = c->upto + 1;
	if (a->args) {
		json_object_object_foreach (a->args, key, value)
			read_argument(a, c, key, value ? json_object_get_string(value) : "");
	}
	a->errand = &c->errand;
}
