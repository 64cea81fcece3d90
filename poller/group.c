#include "group.h"

#include <stdlib.h>
#include <string.h>

#include "body.h"
#include "channel.h"
#include "hub.h"
#include "mem.h"
#include "record.h"
#include "room.h"
#include "wire.h"

/* ---- channels ---- */

/* channel_join() or channel_leave(). */
typedef void channel_visit(struct hub *, struct group *, const struct channel_name *);

struct walk {
	struct hub *hub;
	struct group *g;
	channel_visit *visit;
	struct channel_name name;
	size_t keys_n;
};

static void group_visit(struct walk *w, enum channel_kind kind, const char *name)
{
	w->name.kind = kind;
	w->name.name = name;
	w->visit(w->hub, w->g, &w->name);
}

static void visit_key(struct slice key, void *arg)
{
	struct walk *w = arg;

	w->keys_n++;
	w->name.key = key;
	group_visit(w, CHANNEL_KEY, w->name.name);
	w->name.key = (struct slice){NULL, 0};
}

/* By the keys of its filter, if it has such; then nothing without one of them is for it. */
static void visit_view(struct walk *w, const struct asked_view *v)
{
	w->keys_n = 0;
	w->name.name = v->stream->topic;
	if (v->row->filter && v->filter.len)
		v->row->filter->keys(v->filter, visit_key, w);
	if (w->keys_n == 0)
		group_visit(w, CHANNEL_VIEW, v->stream->topic);
}

/* Every channel an interest hangs in. */
static void each_channel(struct hub *hub, struct group *g, channel_visit *how)
{
	struct walk w = {
		.hub = hub, .g = g, .visit = how, .name = {.tenant_id = g->want.tenant_id}};
	const struct wire_interest *want = &g->want;

	if (!want->only_rooms && want->all_topics)
		group_visit(&w, CHANNEL_ANY_TOPIC, "");
	for (size_t i = 0; !want->only_rooms && !want->all_topics && i < want->topics.n; i++)
		group_visit(&w, CHANNEL_TOPIC, want->topics.v[i]);
	if (want->all_rooms)
		group_visit(&w, CHANNEL_ANY_ROOM, "");
	for (size_t i = 0; !want->all_rooms && i < want->rooms.n; i++)
		group_visit(&w, CHANNEL_ROOM, want->rooms.v[i]);
	for (size_t i = 0; i < g->views_n; i++)
		visit_view(&w, &g->views[i]);
}

/* ---- groups ---- */

static uint32_t rate_of(const struct hub *hub, const struct stream_pace *pace)
{
	return pace->per_s_set ? (uint32_t)pace->per_s_set(hub->cfg) : pace->per_s;
}

static void set_views(const struct hub *hub, struct group *g)
{
	g->views_n = views_of(&g->want, &g->views);
	for (size_t i = 0; i < g->views_n; i++) {
		const struct stream_pace *pace = g->views[i].row->pace;
		uint32_t per_s = pace ? rate_of(hub, pace) : 0;
		const struct asked_view *v = &g->views[i];

		g->is_costly = g->is_costly || v->looks > 1;
		if (!pace)
			continue;
		g->is_paced = true;
		if (pace->window_ms > g->window_ms)
			g->window_ms = pace->window_ms;
		if (per_s && (!g->per_s || per_s < g->per_s))
			g->per_s = per_s;
	}
}

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
	set_views(hub, g);
	each_channel(hub, g, channel_join);
	return g;
}

struct group *group_of_room(struct hub *hub, uint32_t tenant_id, const char *room, size_t i)
{
	return channel_at(
		channel_find(hub, &(struct channel_name){tenant_id, CHANNEL_ROOM, room, {0}}), i);
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

void group_keep(struct hub *hub, struct group *g, struct body *b, const struct start *start)
{
	size_t len = evbuffer_get_length(b->buf);

	forget_memo(hub, g);
	if (hub->memos_bytes + len > MEMOS_BYTES_MAX)
		return;
	hub->memos_bytes += len;
	g->memo = body_ref(b);
	g->memo_start = *start;
	g->memo_tail = hub->tail;
}

static void group_free(struct hub *hub, struct group *g)
{
	forget_memo(hub, g);
	each_channel(hub, g, channel_leave);
	HASH_DEL(hub->groups, g);
	wire_interest_fini(&g->want);
	hits_fini(&g->hits);
	free(g->views);
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
	channels_free(hub);
}

static bool wants_topic(const struct wire_interest *want, const struct record *r)
{
	return want->all_topics || strlist_has(&want->topics, r->topic);
}

static bool is_in_room(const struct wire_interest *want, const struct record *r)
{
	return want->all_rooms || room_is_among(&want->rooms, r->room);
}

bool group_wants_by_right(const struct group *g, const struct record *r)
{
	const struct wire_interest *want = &g->want;

	if (want->tenant_id != r->tenant_id || record_is_internal(r))
		return false;
	if (!r->room[0])
		return !want->only_rooms && wants_topic(want, r);
	return is_in_room(want, r) && (want->rooms_any_topic || wants_topic(want, r));
}

void group_match(const struct group *g, const struct record *r, struct hits *h)
{
	const struct wire_interest *want = &g->want;

	if (group_wants_by_right(g, r))
		hits_add(h, r);
	if (!g->views_n || want->tenant_id != r->tenant_id || record_is_internal(r) ||
		(r->room[0] && !is_in_room(want, r)))
		return;
	for (size_t i = 0; i < g->views_n; i++)
		hits_add_view(h, &g->views[i], r);
}

void group_match_entry(const struct group *g, const struct record *r, uint32_t i, struct hits *h)
{
	for (size_t v = 0; v < g->views_n; v++)
		hits_add_entry(h, &g->views[v], r, i);
}

bool group_wants(const struct group *g, const struct record *r)
{
	struct hits h = {0};
	bool wants;

	if (!g->views_n)
		return group_wants_by_right(g, r);
	group_match(g, r, &h);
	wants = h.n > 0;
	hits_fini(&h);
	return wants;
}
