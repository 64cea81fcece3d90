#include "census.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <uthash.h>

#include "chores.h"
#include "clock.h"
#include "errand.h"
#include "hub.h"
#include "mem.h"
#include "observer.h"
#include "record.h"
#include "ring.h"
#include "session.h"
#include "session_poll.h"

#define TENANTS_MAX 65536 /* whoever can INSERT makes up what tenants there are */
#define LAG_LOOK 65536    /* events that are looked at for how far behind somebody is */

struct tenant {
	struct census_row row; /* row.tenant_id is the key */
	uint64_t cursor;       /* the least of its connections' */
	UT_hash_handle hh;
};

struct census {
	struct hub *hub;
	struct tenant *tenants, *last; /* last: the one that was found last, or NULL */
	int64_t begun_ms;              /* of what is being counted; 0: nothing is */
	bool is_walking;
};

struct census_walk {
	struct errand errand;
	uint64_t tail; /* of when it began */
};

static struct tenant *census_tenant(struct census *c, uint32_t id)
{
	struct tenant *t = c->last;

	if (t && t->row.tenant_id == id)
		return t;
	HASH_FIND(hh, c->tenants, &id, sizeof(id), t);
	if (!t && HASH_COUNT(c->tenants) < TENANTS_MAX) {
		t = xcalloc(1, sizeof(*t));
		t->row.tenant_id = id;
		t->cursor = UINT64_MAX;
		HASH_ADD(hh, c->tenants, row.tenant_id, sizeof(id), t);
	}
	c->last = t;
	return t;
}

static void census_clear(struct census *c)
{
	struct tenant *t, *next;

	HASH_ITER (hh, c->tenants, t, next) {
		HASH_DEL(c->tenants, t);
		free(t);
	}
	c->last = NULL;
}

/* ---- events ---- */

void census_count(struct hub *hub, const struct record *r)
{
	struct census *c = hub->census;
	struct tenant *t;

	/* What the census publishes itself would have a quiet tenant look alive. */
	if (!c || !c->begun_ms || record_is_internal(r) || strcmp(r->name, CENSUS_EVENT) == 0)
		return;
	t = census_tenant(c, r->tenant_id);
	if (!t)
		return;
	t->row.events_n++;
	if (strcmp(r->topic, "logs") == 0)
		t->row.lines_n += r->entries ? r->entries_n : 1;
}

/* ---- sessions ---- */

/* Whose all of its sockets are, or its handshake was; 0: of several, or of nobody. */
static uint32_t tenant_of(const struct session *s)
{
	uint32_t id = s->socks_n ? sock_tenant(&s->socks[0]) : s->caller ? s->caller->tenant_id : 0;

	for (size_t i = 1; i < s->socks_n; i++)
		if (sock_tenant(&s->socks[i]) != id)
			return 0;
	return id;
}

static void take_messages(struct census *c, struct session *s)
{
	uint32_t id = tenant_of(s);
	struct tenant *t = id && c->begun_ms ? census_tenant(c, id) : NULL;

	if (t) {
		t->row.heard_n += s->heard_n - s->taken_heard_n;
		t->row.sent_n += s->sent_n - s->taken_sent_n;
	}
	s->taken_heard_n = s->heard_n;
	s->taken_sent_n = s->sent_n;
}

static void census_left(void *me, struct session *s, struct sock *k, enum session_end how)
{
	take_messages(me, s);
}

static void count_connection(struct census *c, const struct session *s, uint32_t id)
{
	struct tenant *t = id ? census_tenant(c, id) : NULL;
	uint64_t cursor = session_cursor(s);

	if (!t)
		return;
	t->row.connections++;
	t->cursor = cursor < t->cursor ? cursor : t->cursor;
}

static bool is_first_of_its_tenant(const struct session *s, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (sock_tenant(&s->socks[j]) == sock_tenant(&s->socks[i]))
			return false;
	return true;
}

static void census_visit(struct errand *e, struct session *s)
{
	struct census *c = e->hub->census;

	if (s->state != SESSION_OPEN && s->state != SESSION_JOINED)
		return;
	take_messages(c, s);
	if (!s->socks_n)
		count_connection(c, s, tenant_of(s));
	for (size_t i = 0; i < s->socks_n; i++)
		if (is_first_of_its_tenant(s, i))
			count_connection(c, s, sock_tenant(&s->socks[i]));
}

/* ---- how far behind ---- */

static int64_t age_ms(const struct record *r, int64_t now)
{
	uint64_t d = r->stamp;
	struct tm tm = {0};
	int64_t ms = (int64_t)(d % 1000);

	d /= 1000;
	tm.tm_sec = (int)(d % 100), d /= 100;
	tm.tm_min = (int)(d % 100), d /= 100;
	tm.tm_hour = (int)(d % 100), d /= 100;
	tm.tm_mday = (int)(d % 100), d /= 100;
	tm.tm_mon = (int)(d % 100) - 1, d /= 100;
	tm.tm_year = (int)d - 1900;
	ms = now - ((int64_t)timegm(&tm) * 1000 + ms);
	return ms > 0 ? ms : 0;
}

/* One look through the ring for all tenants. */
static void count_lag(struct census *c, uint64_t upto, int64_t now)
{
	const struct ring *ring = &c->hub->ring;
	uint64_t least = UINT64_MAX;
	size_t i;

	for (struct tenant *t = c->tenants; t; t = t->hh.next)
		least = t->cursor < least ? t->cursor : least;
	i = ring_after(ring, least);
	if (ring->n > LAG_LOOK && i < ring->n - LAG_LOOK)
		i = ring->n - LAG_LOOK;
	for (; i < ring->n && ring_at(ring, i)->item.id <= upto; i++) {
		const struct record *r = ring_at(ring, i);
		struct tenant *t = record_is_internal(r) ? NULL : census_tenant(c, r->tenant_id);

		if (t && r->item.id > t->cursor && t->row.lag_events++ == 0)
			t->row.lag_ms = age_ms(r, now);
	}
}

/* ---- the result ---- */

static struct census_result *census_result(const struct census *c)
{
	size_t most = HASH_COUNT(c->tenants);
	struct census_result *all = xcalloc(1, sizeof(*all) + most * sizeof(all->rows[0]));

	all->wall_ms = clock_wall_ms();
	all->over_ms = clock_ms() - c->begun_ms;
	for (struct tenant *t = c->tenants; t; t = t->hh.next)
		if (t->row.connections)
			all->rows[all->n++] = t->row;
	return all;
}

static enum wire_answer census_finish(struct errand *e, struct str *json)
{
	struct census *c = e->hub->census;

	count_lag(c, ((struct census_walk *)e)->tail, clock_wall_ms());
	chores_give(e->hub->chores, census_result(c));
	census_clear(c);
	c->begun_ms = clock_ms();
	c->is_walking = false;
	return WIRE_ANSWER_OK;
}

static const struct errand_kind census_kind = {
	.visit = census_visit, .finish = census_finish, .goes_on = true};

static void census_walk(struct census *c)
{
	struct census_walk *w = (struct census_walk *)errand_new(c->hub, &census_kind, sizeof(*w));

	w->tail = c->hub->tail;
	c->is_walking = errand_add(&w->errand, NULL, 0);
	if (!c->is_walking)
		errand_free(&w->errand);
}

static void census_tick(void *me, int64_t now)
{
	struct census *c = me;
	int64_t every_ms = c->hub->cfg->poller.stats_s * 1000;

	if (c->is_walking)
		return;
	if (!every_ms || !c->hub->is_ready) {
		census_clear(c);
		c->begun_ms = 0;
	} else if (!c->begun_ms) {
		c->begun_ms = now;
	} else if (now - c->begun_ms >= every_ms) {
		census_walk(c);
	}
}

static void *census_start(struct hub *hub)
{
	struct census *c = xcalloc(1, sizeof(*c));

	c->hub = hub;
	hub->census = c;
	return c;
}

static void census_stop(void *me)
{
	struct census *c = me;

	census_clear(c);
	c->hub->census = NULL;
	free(c);
}

const struct observer census_observer = {
	.start = census_start, .stop = census_stop, .tick = census_tick, .left = census_left};
