#include "fanout.h"

#include <stdlib.h>

#include "answer.h"
#include "body.h"
#include "channel.h"
#include "conn.h"
#include "event.h"
#include "figure.h"
#include "group.h"
#include "hub.h"
#include "mem.h"
#include "record.h"
#include "room.h"
#include "wait.h"

/* ---- who wants it ---- */

struct route {
	struct hub *hub;
	struct group *hits;
	struct record *r;
	struct channel_name name;
	uint32_t entry;     /* of the event, whose keys are looked up, */
	uint64_t entries_n; /* and which of all that ever were it is */
};

/* It may hang in several of the event's channels. */
static bool is_to_be_asked(const struct route *to, const struct group *g)
{
	return g->looked != to->hub->routed_n && !TAILQ_EMPTY(&g->parked) &&
	       !(to->r->is_again && g->want.format == WIRE_SOCKET);
}

static void note_hits(struct route *to, struct group *g, size_t had)
{
	if (had || !g->hits.n)
		return;
	g->next_hit = to->hits;
	to->hits = g;
}

static void match(struct route *to, enum channel_kind kind, const char *name)
{
	const struct channel *ch;
	struct group *g;

	to->name.kind = kind;
	to->name.name = name;
	ch = channel_find(to->hub, &to->name);
	for (size_t i = 0; (g = channel_at(ch, i)); i++) {
		size_t had = g->hits.n;

		if (!is_to_be_asked(to, g))
			continue;
		g->looked = to->hub->routed_n;
		group_match(g, to->r, &g->hits);
		note_hits(to, g, had);
	}
}

/* Who hangs here wants nothing of the event but entries that have one of its keys: it is asked
 * about those alone, one by one. */
static void match_key(struct slice key, void *arg)
{
	struct route *to = arg;
	struct channel *ch;
	struct group *g;

	to->name.key = key;
	ch = channel_find(to->hub, &to->name);
	if (!ch || channel_was_found(ch, to->entries_n))
		return;
	for (size_t i = 0; (g = channel_at(ch, i)); i++) {
		size_t had = g->hits.n;

		if (g->looked_entry == to->entries_n || !is_to_be_asked(to, g))
			continue;
		g->looked_entry = to->entries_n;
		group_match_entry(g, to->r, to->entry, &g->hits);
		note_hits(to, g, had);
	}
}

/* Those that asked for the topic: first those that want it whatever the entries' keys, as a whole.
 */
static void match_views(struct route *to)
{
	const struct stream_filter *f = stream_filter(to->r->stream);

	match(to, CHANNEL_VIEW, to->r->topic);
	to->name.kind = CHANNEL_KEY;
	for (uint32_t i = 0; f && i < to->r->entries_n; i++) {
		to->entry = i;
		to->entries_n = ++to->hub->entries_routed_n;
		f->entry_keys(record_digest(to->r, i), match_key, to);
	}
	to->name.key = (struct slice){NULL, 0};
}

/* What goes to rooms is shown to those in one, whatever else they asked for. */
static void route(struct route *to)
{
	const struct record *r = to->r;
	char room[EVENT_ROOM_MAX + 1];

	if (record_is_internal(r))
		return;
	to->hub->routed_n++;
	to->name = (struct channel_name){.tenant_id = r->tenant_id};
	if (r->room[0]) {
		for (const char *list = r->room; (list = room_next(list, room));)
			match(to, CHANNEL_ROOM, room);
		match(to, CHANNEL_ANY_ROOM, "");
		return;
	}
	match(to, CHANNEL_TOPIC, r->topic);
	match(to, CHANNEL_ANY_TOPIC, "");
	if (r->stream && stream_is_asked(r->stream))
		match_views(to);
}

/* ---- what they get ---- */

/* All groups of a fan-out that get the same bytes. */
struct outcome {
	struct group *groups;       /* by next_hit */
	struct str key;             /* format, limit and what is hit */
	struct body *all, *unpaced; /* NULL: not made yet */
	UT_hash_handle hh;
};

static struct outcome *outcome_of(struct outcome **all, const struct group *g)
{
	struct str key = STR_INIT;
	uint16_t limit = g->want.limit;
	struct outcome *o;

	/* A limit that is not reached makes no other body. */
	if (limit > g->hits.n && !g->is_paced)
		limit = (uint16_t)g->hits.n;
	str_add(&key, &g->want.format, sizeof(g->want.format));
	str_add(&key, &limit, sizeof(limit));
	str_add(&key, g->hits.v, g->hits.n * sizeof(*g->hits.v));
	if (g->hits.entries_n)
		str_add(&key, g->hits.entries, g->hits.entries_n * sizeof(*g->hits.entries));
	HASH_FIND(hh, *all, key.p, key.len, o);
	if (o) {
		str_fini(&key);
		return o;
	}
	o = xcalloc(1, sizeof(*o));
	o->key = key;
	HASH_ADD_KEYPTR(hh, *all, o->key.p, o->key.len, o);
	return o;
}

/* The hits from i on that are of one event. */
static size_t same_event_n(const struct hits *h, size_t i)
{
	size_t n = 1;

	while (i + n < h->n && h->v[i + n].record == h->v[i].record)
		n++;
	return n;
}

static void add_hit(struct body *b, const struct hits *h, const struct hit *hit)
{
	if (hit->row)
		body_add_hit(b, h, hit);
	else
		body_add(b, hit->record);
}

/* Late events come whole, whatever the limit: behind the cursor nobody would find the rest. */
static struct body *body_of_hits(
	struct hub *hub, const struct group *g, bool is_all, uint64_t cursor, bool is_late)
{
	struct body *b = body_new((enum wire_format)g->want.format, hub->epoch);
	const struct hits *h = &g->hits;
	size_t i = 0, n;

	for (; i < h->n; i += n) {
		n = same_event_n(h, i);
		if (!is_late && !body_has_room(b, g->want.limit, n))
			break;
		for (size_t k = i; k < i + n; k++)
			if (is_all || !hit_is_paced(&h->v[k]))
				add_hit(b, h, &h->v[k]);
	}
	body_add_batches(b, g->want.limit);
	body_finish(b, i < h->n ? b->last_id : cursor, i < h->n);
	figure_add(hub->figures, FIGURE_BODIES_RENDERED, 1);
	return b;
}

/* ---- sending ---- */

/* Late events are behind the waiter's cursor: they come now or never. */
static void give(struct hub *hub, struct waiter *w, struct body *b, bool is_late)
{
	if (conn_is_clogged(w->conn) && !is_late)
		wait_put_off(w);
	else
		wait_give(w, b);
}

static void give_all(
	struct hub *hub, struct outcome *o, struct group *g, uint64_t cursor, bool is_late)
{
	struct waiter *w;

	if (!o->all)
		o->all = body_of_hits(hub, g, true, cursor, is_late);
	while ((w = TAILQ_FIRST(&g->parked)))
		give(hub, w, o->all, is_late);
}

/* Before the first event with something of a paced view. */
static uint64_t before_paced(const struct hits *h, size_t *paced_n)
{
	uint64_t before = 0;

	*paced_n = 0;
	for (size_t i = 0; i < h->n; i++)
		if (hit_is_paced(&h->v[i]) && !(*paced_n)++)
			before = h->v[i].record->item.id - 1;
	return before;
}

/* Each gets what its pace lets it have. */
static void give_paced(struct hub *hub, struct outcome *o, struct group *g, uint64_t cursor)
{
	struct waiter_list waiting = TAILQ_HEAD_INITIALIZER(waiting);
	size_t paced_n;
	uint64_t before = before_paced(&g->hits, &paced_n);
	bool has_unpaced = paced_n < g->hits.n;
	struct waiter *w;

	if (!paced_n) {
		give_all(hub, o, g, cursor, false);
		return;
	}
	if (!o->all)
		o->all = body_of_hits(hub, g, true, cursor, false);
	if (has_unpaced && !o->unpaced)
		o->unpaced = body_of_hits(hub, g, false, cursor, false);
	wait_take_all(&g->parked, &waiting);
	while ((w = TAILQ_FIRST(&waiting))) {
		if (wait_may_have(w, o->all)) {
			give(hub, w, o->all, false);
			continue;
		}
		wait_hold(w, before);
		if (has_unpaced)
			give(hub, w, o->unpaced, false);
	}
}

static void outcome_send(struct hub *hub, struct outcome *o, uint64_t cursor, bool is_late)
{
	for (struct group *g = o->groups; g; g = g->next_hit) {
		if (g->is_paced && !is_late)
			give_paced(hub, o, g, cursor);
		else
			give_all(hub, o, g, cursor, is_late);
		hits_clear(&g->hits);
	}
	body_put(o->all);
	body_put(o->unpaced);
}

void fanout(struct hub *hub, struct record *const *records, size_t n, uint64_t cursor, bool is_late)
{
	struct route to = {.hub = hub};
	struct outcome *all = NULL, *o, *next;
	struct group *g;

	for (size_t i = 0; i < n; i++) {
		to.r = records[i];
		route(&to);
	}
	while ((g = to.hits)) {
		to.hits = g->next_hit;
		o = outcome_of(&all, g);
		g->next_hit = o->groups;
		o->groups = g;
	}
	HASH_ITER (hh, all, o, next) {
		HASH_DEL(all, o);
		outcome_send(hub, o, cursor, is_late);
		str_fini(&o->key);
		free(o);
	}
}
