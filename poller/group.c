#include "group.h"

#include <stdlib.h>
#include <string.h>

#include "body.h"
#include "conn.h"
#include "hub.h"
#include "mem.h"
#include "record.h"
#include "room.h"
#include "wait.h"
#include "wire.h"

/* ---- channels ---- */

enum channel_kind {
	CHANNEL_TOPIC = 'T',
	CHANNEL_ANY_TOPIC = 't',
	CHANNEL_ROOM = 'R',
	CHANNEL_ANY_ROOM = 'r'
};

struct channel {
	char *key;
	struct group **groups;
	size_t n, cap;
	UT_hash_handle hh;
};

#define CHANNEL_KEY_MAX 512

static size_t channel_key(
	char key[CHANNEL_KEY_MAX], uint32_t tenant_id, enum channel_kind kind, const char *name)
{
	size_t len = strnlen(name, CHANNEL_KEY_MAX - 5);

	memcpy(key, &tenant_id, 4);
	key[4] = (char)kind;
	memcpy(key + 5, name, len);
	return len + 5;
}

static struct channel *channel_find(
	struct hub *hub, uint32_t tenant_id, enum channel_kind kind, const char *name)
{
	char key[CHANNEL_KEY_MAX];
	size_t len = channel_key(key, tenant_id, kind, name);
	struct channel *ch;

	HASH_FIND(hh, hub->channels, key, len, ch);
	return ch;
}

static void channel_join(struct hub *hub, struct group *g, enum channel_kind kind, const char *name)
{
	struct channel *ch = channel_find(hub, g->want.tenant_id, kind, name);
	char key[CHANNEL_KEY_MAX];

	if (!ch) {
		size_t len = channel_key(key, g->want.tenant_id, kind, name);

		ch = xcalloc(1, sizeof(*ch));
		ch->key = xmalloc(len);
		memcpy(ch->key, key, len);
		HASH_ADD_KEYPTR(hh, hub->channels, ch->key, len, ch);
	}
	if (ch->n == ch->cap) {
		ch->cap = ch->cap ? ch->cap * 2 : 4;
		ch->groups = xreallocarray(ch->groups, ch->cap, sizeof(struct group *));
	}
	ch->groups[ch->n++] = g;
}

static void channel_leave(
	struct hub *hub, struct group *g, enum channel_kind kind, const char *name)
{
	struct channel *ch = channel_find(hub, g->want.tenant_id, kind, name);

	for (size_t i = 0; i < ch->n; i++) {
		if (ch->groups[i] == g) {
			ch->groups[i] = ch->groups[--ch->n];
			break;
		}
	}
	if (ch->n == 0) {
		HASH_DEL(hub->channels, ch);
		free(ch->groups);
		free(ch->key);
		free(ch);
	}
}

/* Every channel an interest hangs in, once. */
static void each_channel(struct hub *hub, struct group *g,
	void (*visit)(struct hub *, struct group *, enum channel_kind, const char *))
{
	const struct wire_interest *want = &g->want;

	if (!want->only_rooms && want->all_topics)
		visit(hub, g, CHANNEL_ANY_TOPIC, "");
	for (size_t i = 0; !want->only_rooms && !want->all_topics && i < want->topics.n; i++)
		visit(hub, g, CHANNEL_TOPIC, want->topics.v[i]);
	if (want->all_rooms)
		visit(hub, g, CHANNEL_ANY_ROOM, "");
	for (size_t i = 0; !want->all_rooms && i < want->rooms.n; i++)
		visit(hub, g, CHANNEL_ROOM, want->rooms.v[i]);
}

/* ---- groups ---- */

struct group *group_get(struct hub *hub, const void *key, size_t len)
{
	struct group *g;

	HASH_FIND(hh, hub->groups, key, len, g);
	if (g)
		return g;
	g = xcalloc(1, sizeof(*g));
	if (!wire_interest_get(key, len, &g->want)) {
		free(g);
		return NULL;
	}
	g->classes = floors_classes(&g->want);
	g->key = xmalloc(len);
	memcpy(g->key, key, len);
	g->key_len = len;
	TAILQ_INIT(&g->parked);
	TAILQ_INIT(&g->members);
	HASH_ADD_KEYPTR(hh, hub->groups, g->key, len, g);
	each_channel(hub, g, channel_join);
	return g;
}

struct group *group_of_room(struct hub *hub, uint32_t tenant_id, const char *room, size_t i)
{
	const struct channel *ch = channel_find(hub, tenant_id, CHANNEL_ROOM, room);

	return ch && i < ch->n ? ch->groups[i] : NULL;
}

/* ---- latest answers ---- */

#define MEMOS_BYTES_MAX (64u * 1024 * 1024) /* of all groups; past that no further one is kept */

static void forget_memo(struct hub *hub, struct group *g)
{
	if (g->memo)
		hub->memos_bytes -= evbuffer_get_length(g->memo->buf);
	body_put(g->memo);
	g->memo = NULL;
}

void group_keep(struct hub *hub, struct group *g, struct body *b, uint64_t since)
{
	size_t len = evbuffer_get_length(b->buf);

	forget_memo(hub, g);
	if (hub->memos_bytes + len > MEMOS_BYTES_MAX)
		return;
	hub->memos_bytes += len;
	g->memo = body_ref(b);
	g->memo_since = since;
	g->memo_tail = hub->tail;
}

static void group_free(struct hub *hub, struct group *g)
{
	forget_memo(hub, g);
	each_channel(hub, g, channel_leave);
	HASH_DEL(hub->groups, g);
	wire_interest_fini(&g->want);
	free(g->hits);
	free(g->key);
	free(g);
}

void groups_sweep(struct hub *hub)
{
	struct group *g, *next;

	HASH_ITER (hh, hub->groups, g, next) {
		if (g->waiters_n == 0)
			group_free(hub, g);
		else if (g->memo_tail != hub->tail)
			forget_memo(hub, g);
	}
}

void groups_forget(struct hub *hub)
{
	for (struct group *g = hub->groups; g; g = g->hh.next)
		forget_memo(hub, g);
}

void groups_free(struct hub *hub)
{
	struct group *g, *next;

	HASH_ITER (hh, hub->groups, g, next)
		group_free(hub, g);
}

static bool wants_topic(const struct wire_interest *want, const struct record *r)
{
	return want->all_topics || strlist_has(&want->topics, r->topic);
}

bool group_wants(const struct group *g, const struct record *r)
{
	const struct wire_interest *want = &g->want;

	if (want->tenant_id != r->tenant_id || record_is_internal(r))
		return false;
	if (!r->room[0])
		return !want->only_rooms && wants_topic(want, r);
	return (want->all_rooms || room_is_among(&want->rooms, r->room)) &&
	       (want->rooms_any_topic || wants_topic(want, r));
}

/* ---- fan-out ---- */

static void hit(struct group **hits, struct group *g, struct record *r)
{
	if (TAILQ_EMPTY(&g->parked) || (g->hits_n && g->hits[g->hits_n - 1] == r))
		return; /* nobody, or it is in several of the record's rooms */
	if (g->hits_n == 0) {
		g->next_hit = *hits;
		*hits = g;
	}
	if (g->hits_n == g->hits_cap) {
		g->hits_cap = g->hits_cap ? g->hits_cap * 2 : 8;
		g->hits = xreallocarray(g->hits, g->hits_cap, sizeof(*g->hits));
	}
	g->hits[g->hits_n++] = r;
}

static void match(struct group **hits, struct channel *ch, struct record *r)
{
	for (size_t i = 0; ch && i < ch->n; i++)
		if (group_wants(ch->groups[i], r) &&
			!(r->is_again && ch->groups[i]->want.format == WIRE_SOCKET))
			hit(hits, ch->groups[i], r);
}

static void route(struct hub *hub, struct group **hits, struct record *r)
{
	bool has_room = r->room[0] != '\0';
	char room[EVENT_ROOM_MAX + 1];

	if (record_is_internal(r))
		return;
	if (!has_room)
		match(hits, channel_find(hub, r->tenant_id, CHANNEL_TOPIC, r->topic), r);
	for (const char *list = r->room; (list = room_next(list, room));)
		match(hits, channel_find(hub, r->tenant_id, CHANNEL_ROOM, room), r);
	match(hits,
		channel_find(
			hub, r->tenant_id, has_room ? CHANNEL_ANY_ROOM : CHANNEL_ANY_TOPIC, ""),
		r);
}

/* All groups of a fan-out that get the same bytes. */
struct outcome {
	struct group *groups; /* by next_hit */
	struct str key;       /* format, limit and the records' addresses */
	UT_hash_handle hh;
};

static struct outcome *outcome_of(struct outcome **all, const struct group *g)
{
	struct str key = STR_INIT;
	uint16_t limit = g->want.limit;
	struct outcome *o;

	/* A limit that is not reached makes no other body. */
	if (limit > g->hits_n)
		limit = (uint16_t)g->hits_n;
	str_add(&key, &g->want.format, sizeof(g->want.format));
	str_add(&key, &limit, sizeof(limit));
	str_add(&key, g->hits, g->hits_n * sizeof(*g->hits));
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

/* Late events come whole, whatever the limit: behind the cursor nobody would find the rest. */
static struct body *body_of_hits(
	struct hub *hub, const struct group *g, uint64_t cursor, bool is_late)
{
	struct body *b = body_new((enum wire_format)g->want.format, hub->epoch);
	size_t i;

	for (i = 0; i < g->hits_n && (is_late || body_has_room(b, g->want.limit)); i++)
		body_add(b, g->hits[i]);
	body_finish(b, i < g->hits_n ? b->last_id : cursor, i < g->hits_n);
	figure_add(hub->figures, FIGURE_BODIES_RENDERED, 1);
	return b;
}

static void outcome_send(struct hub *hub, struct outcome *o, uint64_t cursor, bool is_late)
{
	struct body *b = body_of_hits(hub, o->groups, cursor, is_late);
	struct waiter *w;

	for (struct group *g = o->groups; g; g = g->next_hit) {
		g->hits_n = 0;
		while ((w = TAILQ_FIRST(&g->parked))) {
			/* Late events are behind its cursor: they come now or never. */
			if (conn_is_clogged(w->conn) && !is_late)
				wait_put_off(w);
			else
				wait_give(w, b);
		}
	}
	body_put(b);
}

void fanout(struct hub *hub, struct record *const *records, size_t n, uint64_t cursor, bool is_late)
{
	struct group *hits = NULL, *g;
	struct outcome *all = NULL, *o, *next;

	for (size_t i = 0; i < n; i++)
		route(hub, &hits, records[i]);
	while ((g = hits)) {
		hits = g->next_hit;
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
